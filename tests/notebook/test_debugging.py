"""`%debug` and `breakpoint()`: the frames of tasks, opened in the notebook."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.kernels import Kernel

PROGRAM = """
import threading
from pathlib import Path

def spoil(dish, lock):
    spice = "pepper"
    raise ValueError(f"{dish} is spoilt")

@burrow.remote
def cook(dish):
    lock = threading.Lock()
    grams = 250
    return spoil(dish, lock)

@burrow.remote
def dine(dish):
    guests = 3
    return burrow.get(cook.remote(dish))

@burrow.remote
def taste(dish):
    salt = 1
    breakpoint()
    salt += 1
    return f"{dish} with {salt} of salt"

@burrow.remote
def serve(dish):
    for part in (1, 2):
        breakpoint()
        yield f"{dish} {part}"

@burrow.remote
def plate(dish):
    garnish = "cress"
    breakpoint()

@burrow.remote
class Chef:
    def __init__(self): self.stars = 2
    def cook(self, dish):
        raise KeyError(dish)
"""


@pytest.fixture(scope="module")
def kitchen(cells: Kernel) -> Kernel:
    """The module's kernel with this module's definitions."""
    return cells.run_ok(PROGRAM) and cells


def talk(kitchen: Kernel, *lines: str) -> list[str]:
    """Answers the questions of a cell, one after the other; returns the prompts."""
    return [kitchen.answer(line) for line in lines]


def nothing_runs(kitchen: Kernel) -> bool:
    """Whether each task that was begun has ended."""
    running = "[t for t in burrow.tasks() if t['state'] in ('running', 'blocked')]"
    return kitchen.run_ok(f"print({running})").stdout == "[]\n"


@pytest.fixture(scope="module")
def folder(kitchen: Kernel) -> Path:
    """Where the kernel works."""
    from pathlib import Path  # the checker wants the name for annotations only

    return Path(kitchen.run_ok("print(os.getcwd(), end='')").stdout)


def test_debug_opens_the_frames_of_the_failed_task(kitchen: Kernel):
    failed = kitchen.run("burrow.get(cook.remote('soup'))")
    assert failed.error is not None

    run = kitchen.submit("%debug", allow_stdin=True)
    lines = ("p spice, dish", "up", "p grams", "p lock", "grams = 300", "p grams + 1", "q")
    prompts = talk(kitchen, *lines)
    kitchen.wait(run)

    assert set(prompts) == {"(Pdb) "}
    assert re.search(r"In cook of In\[\d+\], process \d+:\n", run.stdout)
    for said in ("('pepper', 'soup')", "\n250\n", "<unlocked _thread.lock", "\n301\n"):
        assert said in run.stdout
    assert "burrow_jupyter" not in run.stdout
    assert run.status == "ok"
    assert kitchen.run_ok("burrow.get(square.remote(3))").text == "9"


def test_other_tasks_run_while_the_frames_are_looked_at(kitchen: Kernel, folder: Path):
    mark, door = f"mark-{uuid.uuid4().hex}", f"gate-{uuid.uuid4().hex}"
    kitchen.run_ok(
        "@burrow.remote\ndef signs(mark, door):\n"
        "    while not os.path.exists(door): time.sleep(0.005)\n"
        "    Path(mark).touch()\n"
    )
    kitchen.run(
        f"marks = [signs.remote(f'{mark}-{{n}}', {door!r}) for n in range(8)]\n"
        "burrow.get(cook.options(num_cpus=0).remote('soup'))"
    )

    run = kitchen.submit("%debug", allow_stdin=True)
    kitchen.answer("p dish")
    (folder / door).touch()
    wait_until((folder / f"{mark}-7").exists, 20, "the tasks to run")
    kitchen.answer("q")

    kitchen.wait(run)
    assert "'soup'" in run.stdout


def test_the_failure_of_an_actors_method_can_be_looked_at(kitchen: Kernel):
    kitchen.run("chef = Chef.remote(); burrow.get(chef.cook.remote('cake'))")

    run = kitchen.submit("%debug", allow_stdin=True)
    talk(kitchen, "p self.stars, dish", "q")
    kitchen.wait(run)

    assert "(2, 'cake')" in run.stdout


def test_debug_opens_the_innermost_of_nested_tasks_and_goes_on_to_those_that_waited(
    kitchen: Kernel,
):
    kitchen.run("burrow.get(dine.remote('soup'))")

    run = kitchen.submit("%debug", allow_stdin=True)
    talk(
        kitchen,
        "p spice",
        "u",
        "p grams",
        "u",
        "p guests",
        "u",
        "d",
        "p grams",
        "d",
        "p spice",
        "q",
    )
    kitchen.wait(run)

    said = [line for line in run.stdout.splitlines() if line.startswith(("'", "2", "3", "In "))]
    assert [line.partition(" of In")[0] for line in said] == [
        *("In cook", "'pepper'", "250", "In dine", "3", "In cook", "250", "'pepper'")
    ]
    assert "u from its oldest frame goes on to dine:" in run.stdout
    assert "*** Oldest frame" in run.stdout


WITHOUT_FRAMES = {
    "the process of Burnt ended with its __init__": (
        "@burrow.remote\nclass Burnt:\n    def __init__(self): raise ValueError('burnt')\n"
        "    def cook(self): pass\n"
        "def order(): return burrow.get(Burnt.remote().cook.remote())\norder()"
    ),
    "its process has died": (
        "@burrow.remote(max_retries=0)\ndef explode(): os._exit(4)\n"
        "def order(): return burrow.get(explode.remote())\norder()"
    ),
    "none has failed": (
        "door = f'gate-{time.monotonic_ns()}'\n"
        "@burrow.remote\ndef simmer(door):\n"
        "    while not os.path.exists(door): time.sleep(0.005)\n"
        "def order(): return burrow.get(simmer.remote(door), timeout=0.01)\n"
        "try: order()\nfinally: Path(door).touch()"
    ),
}
"""Why there are no frames of a task, and cells that end so."""


@pytest.mark.parametrize("why", WITHOUT_FRAMES)
def test_where_a_task_has_left_no_frames_debug_says_why_and_opens_the_cells(
    kitchen: Kernel, why: str
):
    assert kitchen.run(WITHOUT_FRAMES[why]).error is not None

    run = kitchen.submit("%debug", allow_stdin=True)
    talk(kitchen, "w", "up", "down", "q")
    kitchen.wait(run)

    assert run.stdout.startswith(f"There are no frames of a task to look at: {why}.\n")
    assert "order" in run.stdout
    assert "burrow_jupyter" not in run.stdout


@pytest.mark.parametrize(
    "code",
    [
        "list(burrow.map(heat, range(50)))",
        "with burrow.Executor() as e: list(e.map(heat, range(50)))",
        "with burrow.Executor() as e: list(e.map(heat, range(50), chunksize=10))",
        "with burrow.Executor() as e: e.submit(heat, 37).result()",
        "pool = Pool(1); pool.map(heat, range(50))",
    ],
)
def test_debug_opens_the_frames_of_a_call_in_a_batch(kitchen: Kernel, code: str):
    kitchen.run_ok(
        "from burrow.util.multiprocessing import Pool\n"
        "def heat(plate):\n    level = plate + 100\n    if plate == 37: raise ValueError(plate)"
    )
    failed = kitchen.run(code)
    assert failed.error is not None

    run = kitchen.submit("%debug", allow_stdin=True)
    talk(kitchen, "p plate, level", "q")
    kitchen.wait(run)
    kitchen.run_ok("pool = None")

    assert "In heat of In[" in run.stdout
    assert "-> if plate == 37: raise ValueError(plate)" in run.stdout
    assert "(37, 137)" in run.stdout


def test_frames_of_a_call_in_a_batch_are_gone_after_another_cell(kitchen: Kernel):
    kitchen.run_ok("def heat(plate): raise ValueError(plate)")
    kitchen.run("list(burrow.map(heat, range(5)))")
    kitchen.run_ok("1 + 1")

    run = kitchen.submit("%debug", allow_stdin=True)
    kitchen.answer("q")  # of the debugger that opens here instead
    kitchen.wait(run)

    assert "cannot be looked at: its frames were let go" in run.stdout


def test_after_another_cell_the_frames_are_gone_and_that_is_said(kitchen: Kernel):
    kitchen.run("burrow.get(cook.remote('soup'))")
    kitchen.run_ok("burrow.get(square.remote(2))")

    run = kitchen.submit("%debug", allow_stdin=True)
    kitchen.answer("q")  # of the debugger that opens here instead
    kitchen.wait(run)

    assert "cannot be looked at: its frames were let go" in run.stdout


BUSY = """
cpus = int(burrow.cluster_resources()['CPU'])

@burrow.remote(num_cpus=cpus)
def burn(dish):
    raise (ConnectionError if dish < 20 else KeyError)(dish)

@burrow.remote(num_cpus=cpus, max_retries=1, retry_exceptions=True)
def retry(dish, mark):
    first = not os.path.exists(mark)
    Path(mark).touch()
    if first or dish == 5:
        raise ValueError(dish)
"""
"""Tasks that run one after the other, so mostly in one worker."""


def test_failures_that_the_cell_expects_leave_a_place_for_the_one_that_ends_it(kitchen: Kernel):
    kitchen.run_ok(BUSY)
    kitchen.run(
        "for ref in [burn.remote(n) for n in range(21)]:\n"
        "    try: burrow.get(ref)\n    except ConnectionError: pass"
    )

    run = kitchen.submit("%debug", allow_stdin=True)
    talk(kitchen, "p dish", "q")
    kitchen.wait(run)

    assert "\n20\n" in run.stdout


def test_attempts_that_are_made_again_take_no_place(kitchen: Kernel):
    kitchen.run_ok(BUSY)
    mark = f"mark-{uuid.uuid4().hex}"
    kitchen.run(
        f"refs = [retry.remote(n, f'{mark}-{{n}}') for n in range(12)]\n"
        "burrow.wait(refs, num_returns=12)\nburrow.get(refs)"
    )

    run = kitchen.submit("%debug", allow_stdin=True)
    talk(kitchen, "p dish", "q")
    kitchen.wait(run)

    assert "\n5\n" in run.stdout


def test_a_failure_that_was_one_of_too_many_says_so(kitchen: Kernel):
    kitchen.run_ok(BUSY)
    kitchen.run(
        "refs = [cook.remote('soup') for _ in range(100)]\n"
        "burrow.wait(refs, num_returns=100)\nburrow.get(refs[50])"
    )

    run = kitchen.submit("%debug", allow_stdin=True)
    kitchen.answer("q")  # of the debugger that opens here instead
    kitchen.wait(run)

    assert "only the first and the last 3 failures of a run are kept" in run.stdout


def test_debug_of_a_cells_own_failure_is_ipythons(kitchen: Kernel):
    kitchen.run("burrow.get(cook.remote('soup'))")
    kitchen.run("mine = 5\n1 / 0")

    run = kitchen.submit("%debug", allow_stdin=True)
    assert kitchen.answer("p mine") == "ipdb> "
    kitchen.answer("q")
    kitchen.wait(run)


def test_where_nobody_can_answer_debug_shows_where_it_is_and_ends(kitchen: Kernel):
    kitchen.run("burrow.get(cook.remote('soup'))")

    run = kitchen.wait(kitchen.submit("%debug", allow_stdin=False))

    assert "in spoil" in run.stdout
    assert "nobody can answer here" in run.stdout


def test_what_the_kept_frames_held_goes_when_another_cell_runs(kitchen: Kernel):
    kitchen.run_ok(
        "@burrow.remote\ndef holds(box):\n    ref = box[0]\n    raise ValueError('held')\n"
        "kept = burrow.put('kept'); name = kept.hex()"
    )
    kitchen.run("burrow.get(holds.remote([kept]))")
    kitchen.run_ok("del kept")

    def gone() -> bool:
        listed = kitchen.run_ok("print(any(row['id'] == name for row in burrow.objects()))")
        return listed.stdout == "False\n"

    wait_until(gone, 10, "the object to be freed")


# ---- breakpoints ---------------------------------------------------------------------


def test_a_breakpoint_opens_in_the_cell_that_waits(kitchen: Kernel):
    run = kitchen.submit("burrow.get(taste.remote('soup'))", allow_stdin=True)

    prompts = talk(kitchen, "p dish, salt", "n", "p salt", "c")
    kitchen.wait(run)

    assert set(prompts) == {"(Pdb) "}
    assert "('soup', 1)" in run.stdout
    assert "\n2\n" in run.stdout
    assert "A task is at a breakpoint: Cell In[" in run.stderr
    assert run.text == "'soup with 2 of salt'"


WAYS = {
    "await": ("await taste.remote('soup')", 1),
    "gather": ("await asyncio.gather(taste.remote('soup'), taste.remote('cake'))", 2),
    "run_in_executor": (
        "await asyncio.get_running_loop().run_in_executor(burrow.Executor(), eat, 'soup')",
        1,
    ),
    "for": ("[burrow.get(part) for part in serve.remote('soup')]", 2),
    "next": ("parts = serve.remote('soup')\n[burrow.get(next(parts)), burrow.get(next(parts))]", 2),
    "async for": ("[await part async for part in serve.remote('soup')]", 2),
    "future": ("taste.remote('soup').future().result()", 1),
    "submit": ("with burrow.Executor() as pool: at = pool.submit(eat, 'soup')\nat.result()", 1),
    "map": ("with burrow.Executor() as pool: served = list(pool.map(eat, ['soup']))\nserved", 1),
    "Pool": ("with Pool(1) as pool: served = pool.map(eat, ['soup'])\nserved", 1),
}
"""Cells that wait, and at how many breakpoints their tasks stop."""


@pytest.mark.parametrize("way", WAYS)
def test_a_breakpoint_opens_in_the_cell_whatever_way_that_waits(kitchen: Kernel, way: str):
    kitchen.run_ok(
        "import asyncio\nfrom burrow.util.multiprocessing import Pool\n"
        "def eat(dish):\n    breakpoint()\n    return f'{dish} is eaten'"
    )
    code, stops = WAYS[way]
    run = kitchen.submit(code, allow_stdin=True)

    prompts = talk(kitchen, *["p dish", "c"] * stops)
    kitchen.wait(run)

    assert set(prompts) == {"(Pdb) "}
    assert run.stdout.count("'soup'") + run.stdout.count("'cake'") == stops
    assert "soup" in run.text


def test_a_breakpoint_that_only_the_kernels_loop_waits_for_waits_for_a_cell(kitchen: Kernel):
    first = kitchen.run_ok("import asyncio; later = asyncio.ensure_future(taste.remote('soup'))")
    wait_until(lambda: "at a breakpoint" in first.stderr, 10, "the line that says so")
    assert kitchen.run_ok("print(later.done())").stdout == "False\n"

    run = kitchen.submit("await later", allow_stdin=True)
    talk(kitchen, "p dish", "c")
    kitchen.wait(run)

    assert "nobody can answer" not in first.stdout
    assert run.text == "'soup with 2 of salt'"


@pytest.mark.parametrize("code", ["await taste.remote(1)", "taste.remote(1).future().result()"])
def test_the_stop_button_at_a_prompt_ends_cell_and_task_in_each_way(kitchen: Kernel, code: str):
    run = kitchen.submit(code, allow_stdin=True)
    kitchen.client.get_stdin_msg(timeout=30)

    kitchen.interrupt()
    kitchen.wait(run)

    assert run.error is not None
    wait_until(lambda: nothing_runs(kitchen), 10, "the task to end")


def test_a_breakpoint_in_the_last_statement_stops_there(kitchen: Kernel):
    run = kitchen.submit("burrow.get(plate.remote('soup'))", allow_stdin=True)

    talk(kitchen, "p garnish", "c")
    kitchen.wait(run)

    assert "'cress'" in run.stdout
    assert "-> breakpoint()" in run.stdout
    assert run.status == "ok"


def test_stepping_to_the_end_of_a_task_ends_the_talk(kitchen: Kernel):
    run = kitchen.submit("burrow.get(taste.remote('soup'))", allow_stdin=True)

    talk(kitchen, "n", "n")
    kitchen.wait(run)

    assert run.text == "'soup with 2 of salt'"
    assert "burrow_jupyter" not in run.stdout
    assert kitchen.run_ok("burrow.get([square.remote(n) for n in range(4)])").text == "[0, 1, 4, 9]"


def test_what_is_changed_at_a_breakpoint_counts(kitchen: Kernel):
    run = kitchen.submit("burrow.get(taste.remote('soup'))", allow_stdin=True)

    talk(kitchen, "salt = 40", "c")
    kitchen.wait(run)

    assert run.text == "'soup with 41 of salt'"


def test_leaving_the_debugger_cancels_the_task(kitchen: Kernel):
    run = kitchen.submit("burrow.get(taste.remote('soup'))", allow_stdin=True)

    kitchen.answer("q")
    kitchen.wait(run)

    assert run.error is not None
    assert run.error["ename"] == "TaskCancelledError"


def test_tasks_at_breakpoints_lend_their_cpus_and_take_turns(kitchen: Kernel):
    cpus = kitchen.run_ok("cpus = int(burrow.cluster_resources()['CPU']); print(cpus)")
    count = int(cpus.stdout) + 1
    run = kitchen.submit(
        "refs = [taste.remote(n) for n in range(cpus + 1)]\nburrow.get(refs)", allow_stdin=True
    )
    for _ in range(count):
        kitchen.answer("c")
    kitchen.wait(run)

    assert run.text.count("of salt") == count


def test_a_breakpoint_where_nobody_can_answer_is_passed(kitchen: Kernel):
    run = kitchen.wait(kitchen.submit("burrow.get(taste.remote('soup'))", allow_stdin=False))

    assert run.text == "'soup with 2 of salt'"
    assert "nobody can answer here" in run.stdout


def test_the_stop_button_ends_a_task_at_a_breakpoint(kitchen: Kernel):
    run = kitchen.submit("burrow.get(taste.remote('soup'))", allow_stdin=True)
    kitchen.client.get_stdin_msg(timeout=30)

    kitchen.interrupt()
    kitchen.wait(run)

    assert run.error is not None
    wait_until(lambda: nothing_runs(kitchen), 10, "the task to end")


def test_debug_opens_a_breakpoint_that_no_cell_waits_for(kitchen: Kernel):
    first = kitchen.run_ok("later = taste.remote('soup'); None")
    wait_until(lambda: "at a breakpoint" in first.stderr, 10, "the line that says so")

    run = kitchen.submit("%debug", allow_stdin=True)
    talk(kitchen, "p dish", "c")
    kitchen.wait(run)

    assert "'soup'" in run.stdout
    assert kitchen.run_ok("burrow.get(later)").text == "'soup with 2 of salt'"


@pytest.mark.parametrize(
    "line",
    [
        "import pdb; pdb.set_trace()",
        "from IPython.core.debugger import set_trace; set_trace()",
        "breakpoint()",
    ],
)
def test_breakpoints_in_actors_stop_in_the_users_line(kitchen: Kernel, line: str):
    kitchen.run_ok(
        "@burrow.remote\nclass Waiter:\n    def __init__(self): self.table = 7\n"
        f"    def serve(self):\n        {line}\n        return self.table\n"
    )
    run = kitchen.submit("burrow.get(Waiter.remote().serve.remote())", allow_stdin=True)

    talk(kitchen, "p self.table", "self.table = 8", "c")
    kitchen.wait(run)

    assert "\n7\n" in run.stdout
    assert run.text == "8"
