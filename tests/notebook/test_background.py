"""`%%burrow`: cells that run as tasks."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from helpers.kernels import Kernel
from helpers.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.kernels import CellRun

WAIT = "while not os.path.exists({!r}): time.sleep(0.005)\n"


def gate() -> str:
    """A name of a file that no other test makes."""
    return f"gate-{uuid.uuid4().hex}"


def text(run: CellRun) -> str:
    """What the cell shows."""
    return str(run.displays[0]["text/plain"])


def test_a_cell_returns_at_once_and_later_cells_wait_for_what_they_use(cells: Kernel):
    door = gate()
    run = cells.run_ok(f"%%burrow\n{WAIT.format(door)}soup = 'hot'\nplates = 4")
    assert cells.run_ok("1 + 1").text == "2"
    wait_until(lambda: "running" in text(run), 20, "the cell to run")

    reader = cells.submit("soup, plates")
    open_door(cells, door)
    cells.wait(reader)

    assert reader.text == "('hot', 4)"
    wait_until(lambda: "finished" in text(run), 20, "the display")


def open_door(cells: Kernel, door: str) -> None:
    """Open a door from outside of the kernel."""
    from pathlib import Path

    (Path(f"/proc/{cells.pid}/cwd").resolve() / door).touch()


def test_it_uses_what_the_notebook_has(cells: Kernel):
    cells.run_ok("spice = 'salt'\ndef season(x): return f'{x} with {spice}'")
    cells.run_ok(
        "%%burrow\ndish = season('potatoes')\ndef again(): return season('leek')\nimport math as m"
    )

    assert cells.run_ok("dish, again(), m.floor(2.5)").text == (
        "('potatoes with salt', 'leek with salt', 2)"
    )


def test_background_cells_use_each_other_without_waiting(cells: Kernel):
    door = gate()
    cells.run_ok(f"%%burrow\n{WAIT.format(door)}first = 20")
    cells.run_ok("%%burrow\nsecond = first + 1")
    cells.run_ok(f"Path({door!r}).touch()")

    assert cells.run_ok("second * 2").text == "42"


def test_output_and_the_last_expression_are_under_the_cell(cells: Kernel):
    run = cells.run_ok("%%burrow\nprint('working')\n6 * 7")

    wait_until(lambda: run.stdout == "working\n42\n", 20, "the output")


def test_what_cannot_be_sent_takes_no_other_name_along(cells: Kernel):
    run = cells.run_ok(
        "%%burrow\nimport threading\nwith open('/etc/hosts') as file: hosts = file.read()\n"
        "latch = threading.Lock(); big = bytes(2_000_000)"
    )
    wait_until(lambda: "threading, file, hosts, latch, big" in text(run), 20, "the names")

    assert cells.run_ok("len(big), 'localhost' in hosts").text == "(2000000, True)"
    refused = cells.run("latch.locked()")
    assert "_thread.lock objects cannot be sent" in refused.traceback
    cells.run_ok("%%burrow\nlatch = threading.Lock()\ndone = 1")
    cells.run_ok("done")
    refused = cells.run("%%burrow\nlatch.locked()")
    assert "_thread.lock objects cannot be sent" in refused.traceback
    cells.run_ok("file = 3")
    assert cells.run_ok("file").text == "3"


def test_magics_and_shell_commands_run_in_the_background(cells: Kernel):
    run = cells.run_ok("%%burrow\n!echo from a shell\nnames = !echo one two\n%time sum([1, 2])")

    assert cells.run_ok("list(names)").text == "['one two']"
    wait_until(lambda: "from a shell" in run.stdout and "Wall time" in run.stdout, 20, "the output")


@pytest.mark.parametrize(
    ("cell", "shown", "value"),
    [
        ("%time made = add_one(base)", "made", "21"),
        ("%%time\nmade = add_one(base)", "made", "21"),
        ("made = %time add_one(base)", "made", "21"),
        ("%timeit -n 1 -r 1 add_one(base)\nmade = 1", "made", "1"),
        ("%timeit -n1 -r1 untouched = add_one(base)", "untouched", "'as it was'"),
        ("%%capture said\nprint(base)\nmade = 2", "[str(said), made]", "['20\\n', 2]"),
        ("made = !echo $base {base + 1}", "made", "['20 21']"),
        ("%env MADE=base\nmade = os.environ['MADE']", "made", "'base'"),
    ],
)
def test_names_in_the_text_of_a_magic_come_and_go_like_any_others(
    cells: Kernel, cell: str, shown: str, value: str
):
    cells.run_ok("base = 20; untouched = 'as it was'; made = None\ndef add_one(x): return x + 1")

    cells.run_ok(f"%%burrow\n{cell}")

    assert cells.run_ok(shown).text == value


def test_a_magic_waits_for_the_names_in_its_text(cells: Kernel):
    door = gate()
    cells.run_ok(f"%%burrow\n{WAIT.format(door)}late = 'soup'")

    reader = cells.submit("!echo hot {late}")
    open_door(cells, door)

    assert cells.wait(reader).stdout.strip() == "hot soup"


def test_a_background_cell_may_await(cells: Kernel):
    cells.run_ok(
        "%%burrow\nimport asyncio\nawait asyncio.sleep(0)\nslept = await asyncio.sleep(0, 5)"
    )

    assert cells.run_ok("slept").text == "5"


def test_the_last_expression_shows_as_in_a_cell(cells: Kernel):
    run = cells.run_ok("%%burrow\nimport pandas as pd\npd.DataFrame({'pots': [1, 2]})")

    wait_until(lambda: any("pots" in d.get("text/html", "") for d in run.displays), 30, "the table")
    quiet = cells.run_ok("%%burrow\nquiet = 1\n6 * 7;")
    wait_until(lambda: "finished" in text(quiet), 20, "the end")
    assert quiet.stdout == ""


def test_a_failed_cell_is_told_to_who_uses_its_names(cells: Kernel):
    run = cells.run_ok("%%burrow\nbroken = 1 / 0")
    wait_until(lambda: "failed" in text(run), 20, "the failure")

    user = cells.run("broken + 1")
    assert user.status == "error"
    assert "division by zero" in user.stderr + user.traceback
    again = cells.run("broken + 1")
    assert "NameError" in again.stderr + again.traceback


def test_a_name_that_is_assigned_anew_is_the_new_one(cells: Kernel):
    cells.run_ok("%%burrow\nvalue = 'old'")
    cells.run_ok("value = 'new'")

    assert cells.run_ok("value").text == "'new'"


def test_options_and_wrong_ones(cells: Kernel):
    cells.run_ok(
        "%%burrow --name stock --cpus 2\nbroth = burrow.get_runtime_context().get_assigned_resources()"
    )
    assert "2.0" in cells.run_ok("broth").text
    assert cells.run_ok("any(row['name'] == 'stock' for row in burrow.tasks())").text == "True"
    cells.run_ok("%%burrow --cpus 0\nfond = burrow.get_runtime_context().get_assigned_resources()")
    assert cells.run_ok("fond").text == "{}"

    assert "--cpus" in cells.run("%%burrow --cpu\npass").stderr


# ---- functions that come and go -------------------------------------------------------

SPICES = """%%burrow
import functools
def season(): return spice
def passed_on(function):
    @functools.wraps(function)
    def inner(): return function() + spice
    return inner
@passed_on
def decorated(): return spice
@functools.cache
def cached(): return spice
class Shelf:
    @property
    def first(self): return spice
in_list = [lambda: spice]
@burrow.remote
def far(): return spice
"""


def test_functions_of_a_background_cell_see_what_is_assigned_later(cells: Kernel):
    cells.run_ok("spice = 'salt'")
    cells.run_ok(SPICES)
    assert cells.run_ok("season(), Shelf().first").text == "('salt', 'salt')"

    cells.run_ok("spice = 'dill'")

    assert cells.run_ok("season(), decorated(), cached(), Shelf().first, in_list[0]()").text == (
        "('dill', 'dilldill', 'dill', 'dill', 'dill')"
    )
    assert cells.run_ok("burrow.get(far.remote())").text == "'dill'"
    cells.run_ok("def season(): return 'none'")
    assert cells.run_ok("season()").text == "'none'"


def test_functions_of_a_background_cell_change_the_notebook(cells: Kernel):
    cells.run_ok("%%burrow\nserved = 0\ndef serve():\n    global served\n    served += 1")

    cells.run_ok("serve(); serve()")

    assert cells.run_ok("served").text == "2"
    assert "module 'builtins'" in cells.run_ok("__builtins__").text


def test_functions_of_the_notebook_see_what_a_background_cell_assigns(cells: Kernel):
    cells.run_ok("heat = 1; turns = 0\ndef shown():\n    return heat")
    cells.run_ok("def turn():\n    global turns\n    turns += heat")

    cells.run_ok("%%burrow\nheat = 5; turns = 10\nturn()\nseen = shown()")

    assert cells.run_ok("seen, turns").text == "(5, 15)"


def test_a_class_that_comes_home_is_that_of_the_notebook(cells: Kernel):
    cells.run_ok("spice = 'salt'\nclass Jar:\n    size = 1\n    def look(self): return spice")
    cells.run_ok("%%burrow\njar = Jar()")

    cells.run_ok("Jar.size = 2; spice = 'dill'")

    assert cells.run_ok("type(jar) is Jar, jar.size, jar.look()").text == "(True, 2, 'dill')"


@pytest.mark.parametrize(
    ("before", "use"),
    [
        ("def user(): return {0}", "user()"),
        ("def inner(): return {0}\ndef outer(): return [inner() for _ in '1'][0]", "outer()"),
        ("class User:\n    def method(self): return {0}\nuser = User()", "user.method()"),
        ("user = burrow.remote(lambda: {0})", "burrow.get(user.remote())"),
        ("import functools\nuser = functools.partial(lambda x: {0}, 1)", "user()"),
        ("{0} = 'old'\ndef user(): return {0}", "user()"),
    ],
)
def test_a_function_waits_for_the_names_that_it_uses(cells: Kernel, before: str, use: str):
    name, door = f"late_{uuid.uuid4().hex}", gate()
    cells.run_ok(before.format(name))
    cells.run_ok(f"%%burrow\n{WAIT.format(door)}{name} = 5")

    reader = cells.submit(use)
    open_door(cells, door)

    assert cells.wait(reader).text == "5", reader.traceback
    cells.run_ok(f"%%burrow\n{name} = 6")
    cells.run_ok(f"%%burrow\nthere = {use}")
    assert cells.run_ok("there").text == "6"


# ---- names that are perhaps assigned ---------------------------------------------------


def test_what_is_added_to_or_deleted_is_used(cells: Kernel):
    cells.run_ok("grown = 1; gone = 2; kept = [1]")
    cells.run_ok("%%burrow\ngrown += 1\ndel gone\nfor n in (2, 3): kept += [n]")
    assert cells.run_ok("grown, kept").text == "(2, [1, 2, 3])"
    assert "NameError" in cells.run("gone").traceback

    cells.run_ok("%%burrow\ncome = 1; leave = 1")
    cells.run_ok("come += 1; del leave")
    assert cells.run_ok("come").text == "2"


@pytest.mark.parametrize(
    "unassigned", ["if not str(): pass\nelse: best = 1", "for best in []: pass", "1 / 0\nbest = 1"]
)
def test_a_name_that_is_not_assigned_is_what_it_was(cells: Kernel, unassigned: str):
    cells.run_ok("best = 10")
    run = cells.run_ok(f"%%burrow\n{unassigned}")
    wait_until(lambda: "finished" in text(run) or "failed" in text(run), 20, "the end")
    cells.run("best")  # tells of a failure, once
    assert cells.run_ok("best").text == "10"

    cells.run_ok("%%burrow\nbest = 20")
    cells.run(unassigned)
    assert cells.run_ok("best").text == "20"


def test_a_background_cell_takes_what_a_name_was_where_another_has_not_assigned_it(cells: Kernel):
    cells.run_ok("%%burrow\nchosen = 'first'")
    cells.run_ok("%%burrow\nif str(): chosen = 'second'")
    cells.run_ok("%%burrow\ncopy = chosen")

    assert cells.run_ok("copy, chosen").text == "('first', 'first')"


def test_a_background_cell_takes_the_newest_of_each_name(cells: Kernel):
    cells.run_ok("%%burrow\nzest = 1; herb = 'old'\ndef told(): return herb")
    cells.run_ok("%%burrow\naroma = 1; herb = 'new'")
    cells.run_ok("%%burrow\nboth = aroma, zest, herb, told()")

    assert cells.run_ok("both").text == "(1, 1, 'new', 'new')"


def test_a_cell_that_has_failed_can_be_mended_and_run_again(cells: Kernel):
    code = "%%burrow\nwith open('/etc/hosts') as file: lines = file.read()\ncount = len(lines)"
    run = cells.run_ok(f"{code}; 1 / 0")
    wait_until(lambda: "failed" in text(run), 20, "the failure")

    cells.run_ok(code)

    assert cells.run_ok("count > 0").text == "True"


@pytest.mark.parametrize(
    ("code", "shown", "value"),
    [
        ("match [1, 2, 3]:\n    case [one, *more]: pass", "one, more", "(1, [2, 3])"),
        ("[latest := n for n in range(4)]", "latest", "3"),
        ("from math import *", "gcd(4, 6)", "2"),
        ("def put():\n    global placed\n    placed = 7\nput()", "placed", "7"),
    ],
)
def test_all_ways_to_assign_a_name(cells: Kernel, code: str, shown: str, value: str):
    cells.run_ok(f"%%burrow\n{code}")

    assert cells.run_ok(shown).text == value


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("def cook(latch): return latch + 1\nmade = cook(1)", "2"),
        ("made = 0\nfor latch in range(4): made = made + latch", "6"),
        ("made = [latch * 2 for latch in range(3)]", "[0, 2, 4]"),
        ("latch = 3\nmade = latch", "3"),
    ],
)
def test_a_name_that_the_cell_binds_itself_is_not_sent(cells: Kernel, code: str, value: str):
    cells.run_ok("latch = threading.Lock()")

    cells.run_ok(f"%%burrow\n{code}")

    assert cells.run_ok("made").text == value


def test_a_name_that_a_cell_binds_itself_is_not_waited_for(cells: Kernel):
    door = gate()
    cells.run_ok(f"%%burrow\n{WAIT.format(door)}n = 1")

    for code in ("[n for n in range(3)]", "(lambda n: n)(2)", "def f(n): return n", "dict(n=3)"):
        cells.run_ok(code)

    open_door(cells, door)
    assert cells.run_ok("n").text == "1"


# ---- as in a notebook ------------------------------------------------------------------


def test_a_cell_has_one_event_loop(cells: Kernel):
    run = cells.run_ok(
        "%%burrow\nimport asyncio\ntask = asyncio.create_task(asyncio.sleep(0, 9))\nawait task"
    )

    wait_until(lambda: "9" in run.stdout, 20, "the result")


def test_annotations_are_what_the_cell_says(cells: Kernel):
    cells.run_ok("%%burrow\ndef cook(hours: int): pass\nnotes = cook.__annotations__")

    assert cells.run_ok("notes").text == "{'hours': int}"


def test_a_cell_whose_worker_dies_is_not_repeated(cells: Kernel):
    mark = gate()
    run = cells.run_ok(f"%%burrow\nopen({mark!r}, 'a').write('x')\nos._exit(3)")

    wait_until(lambda: "failed" in text(run), 20, "the failure")
    assert cells.run_ok(f"open({mark!r}).read()").text == "'x'"


def test_sys_exit_ends_a_cell_and_no_worker(cells: Kernel):
    run = cells.run_ok("%%burrow\nimport sys\nplate = 1\nsys.exit(3)\nplate = 2")

    assert cells.run_ok("plate").text == "1"
    wait_until(lambda: "SystemExit: 3" in run.stderr, 20, "the line that says so")


def test_what_cells_have_shown_can_be_used(cells: Kernel):
    cells.run_ok("40 + 1")
    cells.run_ok("%%burrow\nraised = _ + 1\nfor _ in range(3): pass")

    assert cells.run_ok("raised").text == "42"
    assert cells.run_ok("_").text == "42"


def test_a_question_about_a_name_waits_for_it(cells: Kernel):
    door = gate()
    cells.run_ok(f"%%burrow\n{WAIT.format(door)}def asked(): 'told'")

    reader = cells.submit("asked?")
    open_door(cells, door)

    assert "not found" not in cells.wait(reader).stdout


def test_a_traceback_says_which_cell_a_function_is_of(cells: Kernel):
    cells.run_ok("def boom():\n    1 / 0")
    number = cells.run_ok("len(In) - 2").text
    cells.run_ok("%%burrow\nboom()\nblown = 1")

    told = cells.run("blown")
    assert f"Cell In[{number}], line 2, in boom" in told.stderr + told.traceback


def test_what_there_is_not_is_told_by_the_cell(cells: Kernel):
    assert "] asks for 64 CPU" in cells.run("%%burrow --cpus 64\npass").traceback
    assert "] asks for 1 stove" in cells.run("%%burrow --resources stove=1\npass").traceback
    asked = cells.run("%%burrow --resources '{\"stove\": 2}'\npass")
    assert "] asks for 2 stove" in asked.traceback
    assert "'stove' is not of the form" in cells.run("%%burrow --resources stove\npass").stderr


def test_names_of_a_burrow_that_has_ended_are_told_once(
    private_corner: Path, tmp_path: Path
) -> None:
    kernel = Kernel.start(cwd=tmp_path, connections=private_corner)
    try:
        kernel.run_ok("%load_ext burrow\nimport burrow, time")
        kernel.run_ok("old = 1")
        kernel.run_ok("%%burrow\nold = 2; area = 3\nwhile True: time.sleep(0.01)")
        kernel.run_ok("burrow.restart()")

        assert kernel.run_ok("def square(area): return area ** 2\nsquare(3)").text == "9"
        told = kernel.run("%%burrow\nnew = area")
        assert "the burrow has ended that was to make area" in told.stderr
        assert kernel.run_ok("old").text == "1"
    finally:
        kernel.shutdown()


# ---- in every worker -------------------------------------------------------------------


def workers_pids(cells: Kernel) -> set[str]:
    """The processes that run tasks."""
    shown = cells.run_ok("print(*[w['pid'] for w in burrow.workers() if not w['actor']])").stdout
    return set(shown.split())


def crew(cells: Kernel) -> set[str]:
    """The same, once each CPU has its worker, all free."""
    door = gate()
    cells.run_ok(
        f"crew = [wait_for.remote({door!r}) for _ in range(int(burrow.cluster_resources()['CPU']))]"
    )
    wait_until(
        lambda: (
            cells.run_ok(
                "all(t['state'] == 'running' for t in burrow.tasks()"
                " if t['name'] == 'wait_for' and t['state'] != 'finished')"
            ).text
            == "True"
        ),
        20,
        "all workers to work",
    )
    cells.run_ok(f"Path({door!r}).touch(); burrow.get(crew); del crew")
    return workers_pids(cells)


def test_every_worker_runs_a_cell_for_all_once(cells: Kernel):
    pids = crew(cells)
    run = cells.run_ok(
        "%%burrow --all\nimport os, sys\nsys.runs = getattr(sys, 'runs', 0) + 1\n"
        "os.environ['HEAT'] = 'low'\nprint('warm', sys.runs)\nos.system('echo from a child')\nNone"
    )

    lines = sorted(run.stdout.splitlines())
    assert {line for line in lines if "warm" in line} == {f"[worker {p}] warm 1" for p in pids}
    assert sum("] from a child" in line for line in lines) == len(pids)
    assert lines[0] == f"Run by {len(pids)} workers. Workers that start later run it first."
    told = cells.run_ok(
        "set(burrow.get([burrow.remote(lambda: (os.environ['HEAT'], sys.runs)).remote()"
        " for _ in range(8)]))"
    )
    assert told.text == "{('low', 1)}"


def test_a_cell_for_all_that_runs_again_takes_its_own_place(cells: Kernel):
    cells.run_ok("%%burrow --all\nimport sys\nsys.spices = ['salt']", cell_id="spices")
    cells.run_ok(
        "%%burrow --all\nimport sys\nsys.spices = [*getattr(sys, 'spices', []), 'dill']",
        cell_id="spices",
    )

    code = "burrow.get(burrow.remote(num_cpus=0)(lambda: sys.spices).options({}).remote())"
    fresh = cells.run_ok(code.format("runtime_env={'env_vars': {'FRESH': '1'}}"))
    assert fresh.text == "['dill']", "a new process has run the latest one only"


def test_what_a_cell_for_all_raises_is_shown_and_not_tried_again(cells: Kernel):
    run = cells.run("%%burrow --all\npot = {}\npot['lid']")

    assert run.error is not None
    assert run.error["ename"] == "RayTaskError(KeyError)"
    assert "pot['lid']" in run.traceback
    assert "burrow_jupyter" not in run.traceback
    assert cells.run_ok("burrow.get(square.options(num_cpus=0).remote(3))").text == "9"


def test_a_worker_at_work_runs_it_after_its_task(cells: Kernel):
    crew(cells)
    door = gate()
    cells.run_ok(f"busy = wait_for.remote({door!r})")
    wait_until(lambda: "running" in text(cells.run_ok("busy")), 20, "the task to run")
    run = cells.run_ok("%%burrow --all\nprint('prepared')")
    assert "By 1 more when their tasks end." in run.stdout
    before = run.stdout.count("] prepared")

    cells.run_ok(f"Path({door!r}).touch(); burrow.get(busy)")

    wait_until(lambda: run.stdout.count("] prepared") == before + 1, 20, "the last worker")


def test_the_stop_button_ends_a_cell_for_all(cells: Kernel):
    pids = crew(cells)
    run = cells.submit("%%burrow --all\nimport time\nprint('on')\nwhile True: time.sleep(0.01)")
    wait_until(lambda: run.stdout.count("] on") == len(pids), 20, "the cell to run in all")

    cells.interrupt()
    cells.wait(run)

    assert run.error is not None
    assert run.error["ename"] == "KeyboardInterrupt"
    assert cells.run_ok("burrow.get([square.remote(n) for n in range(4)])").text == "[0, 1, 4, 9]"
    assert workers_pids(cells) <= pids, "no process had to be ended"


def test_a_cell_for_all_that_ends_its_worker_does_not_end_those_that_follow(cells: Kernel):
    crew(cells)
    run = cells.run("%%burrow --all\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)")

    wait_until(lambda: "killed by SIGKILL" in run.stderr, 20, "the line that says so")
    assert "workers have ended in it" in run.stderr
    assert cells.run_ok("burrow.get([square.remote(n) for n in range(4)])").text == "[0, 1, 4, 9]"


def test_a_cell_for_all_uses_the_notebook_and_takes_no_options(cells: Kernel):
    cells.run_ok("%%burrow\nherb = 'thyme'")
    run = cells.run_ok("%%burrow --all\ntaste = herb + ' and salt'\ntaste")
    assert "] 'thyme and salt'" in run.stdout
    assert "NameError" in (cells.run("taste").traceback)

    assert "--all takes no other option" in cells.run("%%burrow --all --cpus 2\npass").stderr
