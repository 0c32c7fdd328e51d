"""The stop button: it ends what the cell has launched, and nothing else."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.kernels import CellRun, Kernel

PROGRAM = """
@burrow.remote(max_retries=0)
def hang(mark, stubborn=False):
    Path(mark).touch()
    while True:
        try:
            threading.Event().wait(0.01) if stubborn else threading.Event().wait()
        except KeyboardInterrupt:
            if not stubborn:
                raise

@burrow.remote
def parent(mark):
    return burrow.get([hang.remote(f"{mark}-{n}") for n in range(2)])

@burrow.remote
class Counter:
    def __init__(self): self.n = 0
    def add(self): self.n += 1; return self.n
    def hold(self, mark, door):
        Path(mark).touch()
        while not os.path.exists(door): time.sleep(0.005)
        return self.n

def unfinished(*names):
    return [row for row in burrow.tasks() if row["name"] in names
            and row["state"] in ("waiting", "ready", "running", "blocked")]
"""


def fresh() -> str:
    """A name of a file that no other test makes."""
    return f"mark-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def kitchen(cells: Kernel) -> Kernel:
    """The module's kernel with this module's definitions."""
    return cells.run_ok(PROGRAM) and cells


@pytest.fixture(scope="module")
def folder(kitchen: Kernel) -> Path:
    """Where the kernel works."""
    from pathlib import Path  # the checker wants the name for annotations only

    return Path(kitchen.run_ok("print(os.getcwd(), end='')").stdout)


def stop(kitchen: Kernel, run: CellRun) -> None:
    """Press the button and wait until the cell has ended as it should."""
    kitchen.interrupt()
    kitchen.wait(run)
    assert run.error is not None, (run.reply, [m["msg_type"] for m in run.messages], run.stderr)
    assert run.error["ename"] in ("KeyboardInterrupt", "CancelledError")


def ended(kitchen: Kernel, *names: str) -> None:
    """Waits until no task of these names is under way."""
    code = (
        f"print(len(unfinished{names!r}))"
        if len(names) > 1
        else f"print(len(unfinished({names[0]!r})))"
    )
    wait_until(lambda: kitchen.run_ok(code).stdout == "0\n", 10, f"the end of {names}")


def test_running_and_queued_tasks_of_the_cell_end(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(f"burrow.get([hang.remote({mark!r}) for _ in range(8)])")
    wait_until((folder / mark).exists, 10, "a task to run")

    stop(kitchen, run)

    ended(kitchen, "hang")
    assert kitchen.run_ok("burrow.get([square.remote(n) for n in range(4)])").text == "[0, 1, 4, 9]"


def test_children_end_with_their_parents(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(f"burrow.get(parent.remote({mark!r}))")
    wait_until((folder / f"{mark}-1").exists, 10, "both children to run")

    stop(kitchen, run)

    ended(kitchen, "hang", "parent")


def test_a_task_that_ignores_the_interrupt_is_ended_with_its_process(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(
        f"refs = [hang.remote({mark!r}, True)]; print('made', flush=True); burrow.get(refs)"
    )
    wait_until(lambda: "made" in run.stdout, 10, "the refs")
    wait_until((folder / mark).exists, 10, "the task to run")

    stop(kitchen, run)

    ended(kitchen, "hang")
    shown = kitchen.run("burrow.get(refs)")
    assert shown.error is not None
    assert shown.error["ename"] == "TaskCancelledError"


@pytest.mark.parametrize("stuck", ["sum(range(10**10))", "subprocess.run(['sleep', '100'])"])
def test_the_next_cell_does_not_wait_for_the_end_of_code_that_hears_no_interrupt(
    kitchen: Kernel, folder: Path, stuck: str
):
    kitchen.run_ok(
        "import subprocess\n@burrow.remote(max_retries=0)\n"
        f"def deaf(mark):\n    Path(mark).touch()\n    {stuck}"
    )
    cpus = int(kitchen.run_ok("int(burrow.cluster_resources()['CPU'])").text)
    next_cell = "burrow.get(square.remote(3)); print(len(unfinished('deaf')), end='')"
    for _ in range(5):  # on a machine that is slow now it may be killed before we have looked
        mark = fresh()
        run = kitchen.submit(f"burrow.get([deaf.remote(f'{mark}-{{n}}') for n in range({cpus})])")
        wait_until(lambda m=mark: len(list(folder.glob(f"{m}-*"))) == cpus, 10, "all to run")
        stop(kitchen, run)
        if kitchen.run_ok(next_cell).stdout != "0":
            break
    else:
        pytest.fail("the next cell began when what was stopped had ended")
    ended(kitchen, "deaf")


def test_tasks_of_other_cells_go_on(kitchen: Kernel, folder: Path):
    door, mark = fresh(), fresh()
    kitchen.run_ok(f"other = wait_for.options(num_cpus=0).remote({door!r}, 'untouched')")
    run = kitchen.submit(f"burrow.get(hang.remote({mark!r}))")
    wait_until((folder / mark).exists, 10, "the task to run")

    stop(kitchen, run)

    assert kitchen.run_ok(f"Path({door!r}).touch(); burrow.get(other)").text == "'untouched'"


def test_actors_and_finished_objects_stay(kitchen: Kernel, folder: Path):
    mark = fresh()
    kitchen.run_ok("counter = Counter.remote(); kept = square.remote(5); burrow.get(kept)")
    run = kitchen.submit(
        f"burrow.get([counter.add.remote(), square.remote(6)]); made = counter.add.remote()\n"
        f"burrow.get(made); burrow.get(hang.remote({mark!r}))"
    )
    wait_until((folder / mark).exists, 10, "the task to run")

    stop(kitchen, run)

    assert kitchen.run_ok("burrow.get([kept, made, counter.add.remote()])").text == "[25, 2, 3]"


def test_a_call_that_an_actor_runs_is_not_torn(kitchen: Kernel, folder: Path):
    mark, door = fresh(), fresh()
    kitchen.run_ok("counter = Counter.remote(); burrow.get(counter.add.remote())")
    run = kitchen.submit(
        f"burrow.get([counter.hold.remote({mark!r}, {door!r}), *[counter.add.remote() for _ in 'ab']])"
    )
    wait_until((folder / mark).exists, 10, "the call to run")

    stop(kitchen, run)
    ended(kitchen, "Counter.add")
    (folder / door).touch()

    assert kitchen.run_ok("burrow.get(counter.add.remote())").text == "2"  # those queued never ran


def test_an_awaiting_cell_is_stopped_like_any_other(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(f"await hang.remote({mark!r})")
    wait_until((folder / mark).exists, 10, "the task to run")

    stop(kitchen, run)

    ended(kitchen, "hang")


def test_a_cell_that_computes_itself_is_stopped_with_its_tasks(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(f"ref = hang.remote({mark!r})\nwhile True: pass")
    wait_until((folder / mark).exists, 10, "the task to run")

    stop(kitchen, run)

    ended(kitchen, "hang")


def test_the_traceback_of_an_interrupt_shows_the_cell_and_not_the_engine(
    kitchen: Kernel, folder: Path
):
    mark = fresh()
    run = kitchen.submit(f"burrow.get(hang.remote({mark!r}))")
    wait_until((folder / mark).exists, 10, "the task to run")

    stop(kitchen, run)

    assert "client.py" not in run.traceback
    assert "local.py" not in run.traceback
    assert "hang.remote" in run.traceback


def test_an_interrupt_while_an_object_is_finalized_is_not_lost(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(
        "class Slow:\n    def __del__(self):\n"
        f"        Path({mark!r}).touch(); end = time.monotonic() + 1\n"
        "        while time.monotonic() < end: pass\n"
        f"thing = Slow(); del thing\nburrow.get(hang.remote({fresh()!r}))"
    )
    wait_until((folder / mark).exists, 10, "the finalizer to run")

    stop(kitchen, run)

    ended(kitchen, "hang")


def test_an_interrupt_between_two_statements_ends_the_tasks_of_the_first(kitchen: Kernel):
    # IPython compiles each statement when its turn comes, and takes what is raised there for an
    # error of the compiler. The compiler warns of this assertion: so it comes just there.
    kitchen.run_ok(
        "import signal, warnings\n"
        "def press(*_): warnings.showwarning = shown; signal.raise_signal(signal.SIGINT)\n"
        "shown = warnings.showwarning"
    )

    run = kitchen.run(
        f"hung = hang.remote({fresh()!r}); warnings.showwarning = press\n"
        "assert (hung, 'a tuple is always true')\nburrow.get(hung)"
    )

    assert run.error is not None
    assert run.error["ename"] == "KeyboardInterrupt"
    ended(kitchen, "hang")


def test_random_interrupts_lose_nothing_and_hang_nothing(kitchen: Kernel, folder: Path):
    dice = random.Random(7)
    kitchen.run_ok("steady = Counter.remote(); burrow.get(steady.add.remote())")
    for _ in range(100):
        mark = fresh()
        run = kitchen.submit(
            "print('one', flush=True)\n"
            f"burrow.get([square.remote(n) for n in range({dice.randint(1, 300)})])\n"
            "print('two', flush=True)\n"
            f"burrow.get([hang.remote({mark!r}) for _ in range({dice.randint(1, 6)})])"
        )
        reached = {
            "the first line": lambda run=run: "one" in run.stdout,
            "the second": lambda run=run: "two" in run.stdout,
            "a task": (folder / mark).exists,
        }
        moment = dice.choice(list(reached))
        wait_until(reached[moment], 10, moment)

        stop(kitchen, run)

        ended(kitchen, "hang", "square")
        assert kitchen.run_ok("burrow.get(square.remote(3))").text == "9"
    assert kitchen.run_ok("burrow.get(steady.add.remote())").text == "2"


def test_an_interrupt_between_the_end_of_a_cell_and_its_reply_loses_no_reply(kitchen: Kernel):
    # ipykernel sleeps for a moment there, here for a second.
    kitchen.run_ok("kernel = get_ipython().kernel; usual = kernel._execute_sleep")
    run = kitchen.submit("kernel._execute_sleep = 1; print('over', flush=True)")
    wait_until(lambda: "over" in run.stdout, 10, "the code of the cell")

    kitchen.interrupt()

    assert kitchen.wait(run).status == "ok"
    kitchen.run_ok("kernel._execute_sleep = usual")


def test_a_cell_that_has_run_another_cell_can_still_be_stopped(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(
        f"get_ipython().run_cell('1 + 1'); burrow.get(hang.remote({mark!r}))\nwhile True: pass"
    )
    wait_until((folder / mark).exists, 10, "the task to run")

    stop(kitchen, run)

    ended(kitchen, "hang")


def test_an_executor_does_not_wait_for_what_the_interrupt_is_to_end(kitchen: Kernel, folder: Path):
    mark = fresh()
    run = kitchen.submit(
        f"with burrow.Executor() as executor:\n"
        f"    list(executor.map(hang._function, [{mark!r}] * 4))"
    )
    wait_until((folder / mark).exists, 20, "the first to run")

    stop(kitchen, run)

    ended(kitchen, "hang")
