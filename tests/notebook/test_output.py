"""What tasks print is shown under the cell that launched them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import CellRun, Kernel


def gate() -> str:
    """A name of a file that no other test makes."""
    return f"gate-{uuid.uuid4().hex}"


def log_of(cells: Kernel, run: CellRun) -> list[str]:
    """The lines of the log of a cell's run."""
    number = run.reply["content"]["execution_count"]
    listed = cells.run_ok("%burrow logs").stdout
    (path,) = [line.split()[-1] for line in listed.splitlines() if f"In[{number}]" in line]
    return Path(path).read_text().splitlines()


SAY = """
@burrow.remote
def say(text, path=None, err=False):
    while path and not os.path.exists(path):
        time.sleep(0.005)
    print(text, file=sys.stderr if err else sys.stdout)

@burrow.remote
def parent(text):
    burrow.get(say.remote(text))
"""


def test_output_is_in_order_with_the_cells_own(cells: Kernel):
    cells.run_ok(SAY)

    run = cells.run_ok("print('before')\nburrow.get(say.remote('task'))\nprint('after')")

    assert run.stdout == "before\ntask\nafter\n"


def test_late_output_goes_under_the_cell_that_launched_the_task(cells: Kernel):
    cells.run_ok(SAY)
    door = gate()

    first = cells.run_ok(f"late = say.remote('late', {door!r}); None")
    second = cells.run_ok(f"Path({door!r}).touch(); burrow.get(late); print('mine')")

    wait_until(lambda: first.stdout, 10, "the late line")
    assert first.stdout == "late\n"
    assert second.stdout == "mine\n"


def test_stderr_stays_stderr(cells: Kernel):
    cells.run_ok(SAY)
    run = cells.run_ok("burrow.get(say.remote('careful', err=True))")

    wait_until(lambda: run.stderr, 10, "the line")
    assert (run.stdout, run.stderr) == ("", "careful\n")


def test_tasks_of_tasks_belong_to_the_cell_too(cells: Kernel):
    cells.run_ok(SAY)
    run = cells.run_ok("ref = parent.remote('from the depth'); None")
    other = cells.run_ok("burrow.get(ref)")

    wait_until(lambda: run.stdout, 10, "the line")
    assert (run.stdout, other.stdout) == ("from the depth\n", "")


def test_a_thread_keeps_the_run_of_the_cell_that_started_it(cells: Kernel):
    cells.run_ok(SAY)
    door = gate()
    first = cells.run_ok(
        f"def work():\n    burrow.get(wait_for.remote({door!r})); burrow.get(say.remote('thread'))\n"
        "worker = threading.Thread(target=work); worker.start()"
    )
    second = cells.run_ok(f"Path({door!r}).touch(); worker.join()")

    wait_until(lambda: first.stdout, 10, "the line")
    assert (first.stdout, second.stdout) == ("thread\n", "")


KEEPS_THREADS = """
from concurrent.futures import ThreadPoolExecutor

def speak(path, text, done):
    while not os.path.exists(path):
        time.sleep(0.005)
    print(text + chr(10), end="")  # in one piece: the call beside it may end just now
    burrow.get(say.remote(f"a task of {text}"))
    Path(done).touch()

@burrow.remote
class Choir:
    def __init__(self):
        self.pool = ThreadPoolExecutor(1)
    def leave(self, *how):
        threading.Thread(target=speak, args=how).start()
    def hand_over(self, *how):
        self.pool.submit(speak, *how)
    def wait(self, begun, done):
        Path(begun).touch()
        while not os.path.exists(done):
            time.sleep(0.005)
"""


def test_a_thread_that_outlives_its_call_keeps_the_run_of_that_call(cells: Kernel):
    cells.run_ok(SAY)
    cells.run_ok(KEEPS_THREADS)
    begun, done = gate(), gate()
    first = cells.run_ok(
        f"choir = Choir.remote(); burrow.get(choir.leave.remote({begun!r}, 'thread', {done!r}))"
    )
    second = cells.run_ok(f"burrow.get(choir.wait.remote({begun!r}, {done!r}))")

    wait_until(lambda: first.stdout.count("\n") == 2, 10, "the lines")
    assert set(first.stdout.splitlines()) == {"thread", "a task of thread"}
    assert second.stdout == ""


def test_the_thread_of_a_pool_has_the_run_of_the_call_that_it_works_for(cells: Kernel):
    cells.run_ok(SAY)
    cells.run_ok(KEEPS_THREADS)
    begun, done, again = gate(), gate(), gate()
    first = cells.run_ok(
        f"choir = Choir.remote(); choir.hand_over.remote({begun!r}, 'first', {done!r})\n"
        f"burrow.get(choir.wait.remote({begun!r}, {done!r}))"
    )
    second = cells.run_ok(
        f"choir.hand_over.remote({begun!r}, 'second', {again!r})\n"
        f"burrow.get(choir.wait.remote({begun!r}, {again!r}))"
    )

    for said, run in (("first", first), ("second", second)):
        wait_until(lambda run=run: run.stdout.count("\n") == 2, 10, "the lines")
        assert set(run.stdout.splitlines()) == {said, f"a task of {said}"}


def test_asyncio_tasks_keep_their_run(cells: Kernel):
    cells.run_ok(SAY)
    door = gate()
    first = cells.run_ok(
        "import asyncio\nasync def work():\n"
        f"    await wait_for.remote({door!r})\n    await say.remote('async')\n"
        "pending = asyncio.ensure_future(work())"
    )
    second = cells.run_ok(f"Path({door!r}).touch(); await pending")

    wait_until(lambda: first.stdout, 10, "the line")
    assert (first.stdout, second.stdout) == ("async\n", "")


def test_captured_cells_capture_their_tasks(cells: Kernel):
    cells.run_ok(SAY)

    run = cells.run_ok("%%capture said\nburrow.get(say.remote('quiet'))")

    assert run.stdout == ""
    assert cells.run_ok("print(said.stdout, end='')").stdout == "quiet\n"


def test_an_output_that_cannot_be_written_to_loses_no_line(cells: Kernel):
    cells.run_ok(SAY)

    run = cells.run_ok(
        "import contextlib, io\nclosed = io.StringIO(); closed.close()\n"
        "with contextlib.redirect_stdout(closed):\n    burrow.get(say.remote('kept'))\n"
        "burrow.get(say.remote('and on'))"
    )

    assert run.stdout == "kept\nand on\n"


def test_many_lines_of_many_tasks_each_arrive_once_under_their_cell(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef lines(cell, task):\n    for n in range(100): print(cell, task, n)"
    )
    runs = [
        cells.run_ok(f"refs{c} = [lines.remote({c}, t) for t in range(4)]; None") for c in "012"
    ]
    cells.run_ok("burrow.get(refs0 + refs1 + refs2)")

    for cell, run in enumerate(runs):
        wait_until(lambda run=run: run.stdout.count("\n") == 400, 20, f"the lines of {cell}")
        expected = {f"{cell} {task} {n}" for task in range(4) for n in range(100)}
        assert set(run.stdout.splitlines()) == expected


LOW = """
import ctypes, logging, subprocess, warnings

@burrow.remote
def low(what, path=None):
    if what == "c":
        ctypes.CDLL(None).puts(b"from C")
    elif what == "child":
        subprocess.run(["echo", "from a child"], check=True)
    elif what == "descriptor":
        os.write(2, b"to the descriptor\\n")
    elif what == "log":
        logging.getLogger("kitchen").warning("from a logger")
    elif what == "warn":
        warnings.warn("from a warning")
    elif what == "half":
        print("no line end", end="")
    elif what == "bytes":
        sys.stdout.buffer.write(b"as bytes\\n")
    elif what == "original":
        print("to the original", file=sys.__stdout__)
    while path and not os.path.exists(path):
        time.sleep(0.005)

@burrow.remote(max_retries=0)
def crash():
    for n in range(30):
        print("step", n)
    ctypes.string_at(0)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("c", "from C\n"),
        ("child", "from a child\n"),
        ("descriptor", "to the descriptor\n"),
        ("log", "from a logger\n"),
        ("warn", "from a warning"),
        ("half", "no line end"),
        ("bytes", "as bytes\n"),
        ("original", "to the original\n"),
    ],
)
def test_whatever_way_a_task_writes_it_lands_under_its_cell(cells: Kernel, what: str, said: str):
    cells.run_ok(LOW)
    run = cells.run_ok(f"ref = low.remote({what!r}); None")
    other = cells.run_ok("burrow.get(ref); burrow.get(square.remote(1))")

    wait_until(lambda: said in run.stdout + run.stderr, 10, said)
    assert said not in other.stdout + other.stderr


@pytest.mark.parametrize("what", ["c", "half"])
def test_output_is_live(cells: Kernel, what: str):
    cells.run_ok(LOW)
    door = gate()
    run = cells.run_ok(f"ref = low.remote({what!r}, {door!r}); None")
    said = {"c": "from C", "half": "no line end"}[what]
    wait_until(lambda: said in run.stdout, 10, "the text while the task runs")

    cells.run_ok(f"Path({door!r}).touch(); burrow.get(ref)")


def test_what_a_task_writes_past_python_is_not_taken_for_the_task_before(cells: Kernel):
    cells.run_ok(
        "@burrow.remote(num_cpus=2)\ndef both_ways(cell):\n"
        "    os.write(1, f'{cell} by system call\\n'.encode())\n    print(cell, 'by print')"
    )
    runs = [
        cells.run_ok(f"many{c} = [both_ways.remote({c}) for _ in range(50)]; None") for c in (1, 2)
    ]
    cells.run_ok("burrow.get(many1 + many2)")

    for cell, run in enumerate(runs, 1):
        wait_until(lambda run=run: run.stdout.count("\n") >= 100, 10, f"the lines of {cell}")
        assert set(run.stdout.splitlines()) == {f"{cell} by system call", f"{cell} by print"}


def test_long_texts_of_several_tasks_are_cut_between_lines_and_characters(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef at_length(letter):\n"
        "    print(letter * 40_000)\n    print('\\n'.join(letter * 99 for _ in range(500)))"
    )
    run = cells.run_ok("burrow.get([at_length.remote(letter) for letter in 'ä中'])")

    wait_until(lambda: run.stdout.count("\n") == 1002, 10, "all lines")
    expected = ["ä" * 40_000, "中" * 40_000, *["ä" * 99] * 500, *["中" * 99] * 500]
    assert sorted(run.stdout.splitlines()) == sorted(expected)


def test_a_crash_quotes_the_last_output_and_the_native_stack(cells: Kernel):
    cells.run_ok(LOW)

    run = cells.run("burrow.get(crash.remote())")

    assert "SIGSEGV" in run.traceback
    shown = [line.strip() for line in run.traceback.splitlines()]
    last, native = shown.index("Its last output:"), shown.index("Its native stack:")
    assert shown[last + 1 : native] == [f"step {n}" for n in range(10, 30)]
    assert shown[native + 1] == "Fatal Python error: Segmentation fault"
    assert any(line.endswith("in crash") for line in shown[native:])
    assert "burrow_jupyter" not in run.traceback
    assert "Extension modules" not in run.traceback


def test_all_that_a_task_has_printed_before_it_dies_is_shown(cells: Kernel):
    run = cells.run(
        "@burrow.remote(max_retries=0)\ndef shout():\n"
        "    os.write(1, b''.join(b'line %d\\n' % n for n in range(20_000)))\n    os._exit(3)\n"
        "burrow.get(shout.remote())"
    )

    wait_until(lambda: run.stdout.endswith("line 19999\n"), 10, "the last line")
    assert run.stdout.count("\n") == 20_000
    assert "exit code 3" in run.traceback


def test_a_failure_that_nobody_fetched_is_told_once_under_its_cell(cells: Kernel):
    run = cells.run_ok("ref = fail.remote('burnt'); burrow.wait([ref]); del ref")
    cells.run_ok("burrow.get(square.remote(2))")

    wait_until(lambda: run.stderr, 10, "the failure to be told")
    assert run.stderr.count("burnt") == 1


def test_a_flood_of_output_is_bounded_and_the_log_has_all_of_it(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef flood(task):\n"
        "    for n in range(50_000): print(task, 'line', n, 'of very many')"
    )
    run = cells.run_ok("refs = [flood.remote(t) for t in range(4)]; burrow.get(refs)")
    number = run.reply["content"]["execution_count"]

    wait_until(lambda: f"%burrow logs {number}" in run.stdout, 20, "the line that says where")
    assert len(run.stdout) < 400_000
    assert "of very many" in cells.run_ok(f"%burrow logs {number}").stdout
    wait_until(lambda: len(log_of(cells, run)) == 200_000, 20, "the whole log")


def test_logs_of_a_cell_that_printed_nothing(cells: Kernel):
    assert "printed nothing" in cells.run_ok("%burrow logs 99999").stdout
    assert "printed nothing" in cells.run_ok("%burrow logs nonsense").stdout


def test_runs_have_the_numbers_of_their_cells(kernel: Kernel):
    kernel.run_ok("%load_ext burrow\nimport burrow; burrow.put(1)\n@burrow.remote\ndef one(): pass")
    for _ in range(2):
        run = kernel.run_ok(
            "burrow.get(one.remote()); from burrow_jupyter.api import context\n"
            "from burrow_jupyter.notebook.extension import wire\n"
            "print(wire(get_ipython()).runs.current().number)"
        )
        assert run.stdout == f"{run.reply['content']['execution_count']}\n"


def test_the_tasks_of_a_cell_are_listed_by_its_number_or_name(kernel: Kernel):
    kernel.run_ok(
        "%load_ext burrow\nimport burrow\n@burrow.remote\ndef f(): pass\n"
        "@burrow.remote\ndef g(): burrow.get(f.remote())"
    )
    kernel.run_ok("burrow.get(g.remote())")
    kernel.run_ok("burrow.get(f.remote())")

    for run in ("2", "'In[2]'"):
        rows = f"sorted(row['name'] for row in burrow.tasks(run={run}))"
        assert kernel.run_ok(rows).text == "['f', 'g']"
    assert "no run is called In[1]" in kernel.run("burrow.tasks(run=1)").traceback


def test_a_variable_of_the_users_called_in_disturbs_no_cell(kernel: Kernel):
    kernel.run_ok("%load_ext burrow\nimport burrow\n@burrow.remote\ndef f(): pass")
    kernel.run_ok("class In: pass")

    run = kernel.run_ok("burrow.get(f.remote())")

    rows = kernel.run_ok("[row['name'] for row in burrow.tasks(run='In[3]')]")
    assert (run.stderr, rows.text) == ("", "['f']")


def test_progress_bars_of_tasks_are_a_line_each(cells: Kernel):
    cells.run_ok(
        "from tqdm import tqdm\n"
        "@burrow.remote\ndef bar(task, path):\n"
        "    for n in tqdm(range(20), desc=f'pot {task}', mininterval=0):\n"
        "        while n == 10 and not os.path.exists(path): time.sleep(0.005)\n"
        "    print('done', task)"
    )
    door = gate()
    run = cells.run_ok(f"bars = [bar.options(num_cpus=0).remote(t, {door!r}) for t in range(8)]")
    wait_until(lambda: run.displays, 20, "the bars")
    wait_until(
        lambda: run.displays[0]["text/plain"].count(" 50%") == 8, 20, "all bars to be half way"
    )

    cells.run_ok(f"Path({door!r}).touch(); burrow.get(bars)")

    wait_until(lambda: run.displays[0]["text/plain"].count("100%") == 8, 20, "all bars to be full")
    assert len(run.displays) == 1
    lines = run.displays[0]["text/plain"].splitlines()
    assert sorted(line[:6] for line in lines) == [f"pot {t}:" for t in range(8)]
    wait_until(lambda: run.stdout.count("done") == 8, 10, "the plain lines")
    assert "pot" not in run.stderr


@pytest.mark.parametrize(
    "library", ["tqdm", "tqdm.auto", "tqdm.notebook", "burrow.experimental.tqdm_ray"]
)
def test_a_bar_of_an_actors_method_is_a_line(cells: Kernel, library: str):
    run = cells.run_ok(
        f"from {library} import tqdm\n@burrow.remote\nclass Stove:\n"
        "    def boil(self):\n"
        "        for n in tqdm(range(10), desc='pot', mininterval=0): pass\n"
        "        return n\n"
        "stove = Stove.remote(); burrow.get(stove.boil.remote())"
    )

    wait_until(
        lambda: any("pot: 100%" in d["text/plain"] for d in run.displays), 20, "the full bar"
    )


def test_a_bar_that_wipes_itself_out_leaves_nothing(cells: Kernel):
    cells.run_ok(
        "from tqdm import tqdm\n@burrow.remote\ndef wiped():\n"
        "    for n in tqdm(range(5), leave=False, mininterval=0): pass"
    )
    run = cells.run_ok("burrow.get(wiped.remote())")

    wait_until(lambda: run.displays and run.displays[0]["text/plain"] == "", 10, "an empty place")
    assert run.stderr == ""


def test_a_line_that_is_rewritten_from_its_end_shows(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef count(path):\n    for n in range(95, 101): print(f'at {n} %', end='\\r')\n"
        "    while not os.path.exists(path): time.sleep(0.005)\n    print('all of it')"
    )
    door = gate()
    run = cells.run_ok(f"ref = count.remote({door!r}); None")
    wait_until(lambda: run.displays and run.displays[0]["text/plain"] == "at 100 %", 10, "a count")

    cells.run_ok(f"Path({door!r}).touch(); burrow.get(ref)")

    wait_until(lambda: run.displays[0]["text/plain"] == "all of it", 10, "the last words")


def test_bars_in_bars_move_up_and_down(cells: Kernel):
    cells.run_ok(
        "from tqdm import tqdm\n@burrow.remote\ndef nested():\n"
        "    for n in tqdm(range(2), desc='outer', mininterval=0):\n"
        "        for m in tqdm(range(3), desc='inner', leave=False, mininterval=0): pass\n"
        "    print('done')"
    )
    run = cells.run_ok("burrow.get(nested.remote())")

    wait_until(lambda: run.displays and "100%" in run.displays[0]["text/plain"], 10, "the end")
    lines = run.displays[0]["text/plain"].splitlines()
    assert [line[:12] for line in lines] == ["outer: 100%|"]
    wait_until(lambda: run.stdout == "done\n", 10, "the plain line")


def test_of_very_many_bars_the_last_ones_show_and_the_log_has_each(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef steps(task):\n"
        "    for n in range(5_000): print(f'\\r{task} at', end=''); print(f'\\r{task} step {n}')"
    )
    run = cells.run_ok("burrow.get([steps.remote(task) for task in range(4)])")
    number = run.reply["content"]["execution_count"]

    left = f"… and 19,900 more that have ended: %burrow logs {number}"
    wait_until(lambda: run.displays and left in run.displays[0]["text/plain"], 20, "the count")
    assert len(run.displays[0]["text/plain"].splitlines()) == 101
    assert run.stdout == ""
    expected = [f"{task} step {n}" for task in range(4) for n in range(5_000)]
    assert sorted(log_of(cells, run)) == sorted(expected)


def test_a_bar_that_goes_on_stays_in_view_while_many_others_end(cells: Kernel):
    cells.run_ok(
        "@burrow.remote(num_cpus=0)\ndef roast(begun, path):\n"
        "    print('\\rroast 50%', end='', flush=True); Path(begun).touch()\n"
        "    while not os.path.exists(path): time.sleep(0.005)\n"
        "    print('\\rroast 100%', end='')\n"
        "@burrow.remote(num_cpus=0)\ndef steps(begun):\n"
        "    while not os.path.exists(begun): time.sleep(0.005)\n"
        "    for n in range(500): print(f'\\rstep {n}')"
    )
    begun, door = gate(), gate()
    run = cells.run_ok(f"both = [roast.remote({begun!r}, {door!r}), steps.remote({begun!r})]")
    wait_until(
        lambda: run.displays and "and 401 more" in run.displays[0]["text/plain"], 20, "the steps"
    )
    before = run.displays[0]["text/plain"].splitlines()

    cells.run_ok(f"Path({door!r}).touch(); burrow.get(both)")

    wait_until(lambda: "roast 100%" in run.displays[0]["text/plain"], 20, "the full bar")
    assert "roast 50%" in before
    wait_until(lambda: "roast 100%" in log_of(cells, run), 20, "its last state in the log")
    assert sum("roast" in line for line in log_of(cells, run)) == 1


def test_a_rewritten_line_that_is_too_long_for_a_bar_is_printed(cells: Kernel):
    run = cells.run_ok(
        "burrow.get(burrow.remote(lambda: print('\\r50%', '\\r' + 'x' * 5_000)).remote())"
    )

    wait_until(lambda: "x" * 5_000 in run.stdout, 10, "the text")
    assert all("x" not in shown["text/plain"] for shown in run.displays)


def test_hundreds_of_failures_are_one_line_more(cells: Kernel):
    run = cells.run_ok(
        "refs = [fail.remote('no salt') for _ in range(300)]; burrow.wait(refs, num_returns=300); del refs"
    )
    cells.run_ok("burrow.get(square.remote(2))")

    wait_until(lambda: run.displays, 20, "the line for the others")
    wait_until(
        lambda: run.displays[-1]["text/plain"].startswith("299 more tasks failed like this: fail"),
        20,
        "all to be counted",
    )
    assert run.stderr.count("no salt") == 1
    assert ", in fail\n    raise ValueError(text)\n" in run.stderr
    assert len(run.displays) == 1


def test_failures_that_differ_in_what_they_say_are_one_line_too(cells: Kernel):
    run = cells.run_ok(
        "refs = [fail.remote(f'no salt in {n}') for n in range(50)]\n"
        "burrow.wait(refs, num_returns=50); del refs"
    )
    cells.run_ok("burrow.get(square.remote(2))")

    wait_until(
        lambda: (
            run.displays
            and run.displays[-1]["text/plain"]
            == "49 more tasks failed like this: fail: ValueError: …"
        ),
        20,
        "all to be counted",
    )


def test_failures_that_are_let_go_of_later_are_counted_in_the_same_line(cells: Kernel):
    run = cells.run_ok(
        "refs = [fail.remote('no salt') for _ in range(4)]; burrow.wait(refs, num_returns=4)\n"
        "del refs[2:]; burrow.get(square.remote(2))"
    )
    line = "{} failed like this: fail: ValueError: no salt"
    wait_until(
        lambda: run.displays and run.displays[-1]["text/plain"] == line.format("1 more task"),
        20,
        "the second to be counted",
    )
    followed = "print('burrow-live' in [thread.name for thread in threading.enumerate()])"
    wait_until(lambda: cells.run_ok(followed).stdout == "False\n", 20, "the line to be final")

    for _ in range(2):
        cells.run_ok("del refs[-1]; burrow.get(square.remote(2))")

    wait_until(
        lambda: run.displays[-1]["text/plain"] == line.format("3 more tasks"), 20, "all of them"
    )
    assert len(run.displays) == 1
    assert run.stderr.count("no salt") == 1


def shown_in_the_next_cell(cells: Kernel, launch: str) -> str:
    """Execute as programs do; return what comes after the end of the cell, in its order.

    The cell is to make the future `last`. Its tasks find the name of a file in `door`, for which
    the first is to wait.
    """
    folder = Path(cells.run_ok("print(os.getcwd(), end='')").stdout)
    door, done = gate(), gate()
    run = cells.submit(
        f"door = {door!r}\n{launch}\n"
        f"def wait_for_last():\n    burrow.get(last)\n    Path({done!r}).touch()\n"
        "threading.Thread(target=wait_for_last).start()",
        allow_stdin=False,
    )
    cells.wait(run)
    (folder / door).touch()
    wait_until((folder / done).exists, 20, "the last task")
    after = cells.run_ok("None")
    found = [m for m in after.messages if m["msg_type"] in ("stream", "display_data")]
    return "".join(m["content"].get("text") or m["content"]["data"]["text/plain"] for m in found)


def test_programs_get_late_text_and_displays_in_their_order(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef mixed(door):\n    from IPython.display import display\n"
        "    while not os.path.exists(door): time.sleep(0.005)\n"
        "    print('1'); display({'text/plain': '2\\n'}, raw=True); print('3')"
    )

    shown = shown_in_the_next_cell(cells, "last = mixed.remote(door)")

    assert shown == "1\n2\n3\n"


def test_programs_get_the_first_late_failure_before_the_count_of_the_others(cells: Kernel):
    shown = shown_in_the_next_cell(
        cells,
        "alone = {'num_cpus': int(burrow.cluster_resources()['CPU'])}\n"
        "wait_for.options(**alone).remote(door)\n"
        "for _ in range(5): fail.options(**alone).remote('no salt')\n"
        "last = square.options(**alone).remote(1)",
    )

    assert shown.index("fail failed: ") < shown.index(" failed like this: ")
