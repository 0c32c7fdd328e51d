"""What tasks print is shown under the cell that launched them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import Kernel


def gate() -> str:
    """A name of a file that no other test makes."""
    return f"gate-{uuid.uuid4().hex}"


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
