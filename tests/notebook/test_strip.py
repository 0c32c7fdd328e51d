"""The line under a cell whose tasks take long."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import CellRun, Kernel


def strip(run: CellRun) -> str:
    """What the one display under a cell says now, "" if there is none."""
    assert len(run.displays) <= 1
    return str(run.displays[0]["text/plain"]) if run.displays else ""


def wait_for(run: CellRun, part: str) -> str:
    """Waits until the strip says something."""
    wait_until(lambda: part in strip(run), 20, f"{part!r} in the strip, not {strip(run)!r}")
    return strip(run)


def launch(cells: Kernel, count: int) -> tuple[CellRun, str]:
    """A cell with tasks that wait for a door; the run and the door."""
    door = f"gate-{uuid.uuid4().hex}"
    code = f"refs = [wait_for.remote({door!r}) for _ in range({count})]; None"
    return cells.run_ok(code, cell_id=uuid.uuid4().hex), door


def test_a_cell_whose_tasks_take_long_gets_a_line_that_becomes_final(cells: Kernel):
    run, door = launch(cells, 5)

    said = wait_for(run, "0 of 5 tasks done")
    assert re.search(r"\d+ running · \d+ waiting", said)
    assert "burrow-stop" in run.displays[0]["text/html"]
    cells.run_ok(f"Path({door!r}).touch()")

    assert "running" not in wait_for(run, "5 of 5 tasks done")
    assert "burrow-stop" not in run.displays[0]["text/html"]


def test_two_cells_count_only_their_own_tasks(cells: Kernel):
    first, door = launch(cells, 3)
    second, other = launch(cells, 7)

    wait_for(first, "of 3 tasks done")
    wait_for(second, "of 7 tasks done")
    cells.run_ok(f"Path({door!r}).touch(); Path({other!r}).touch()")

    wait_for(first, "3 of 3 tasks done")
    wait_for(second, "7 of 7 tasks done")


def test_very_short_tasks_are_told_of_batches(cells: Kernel):
    few, door = launch(cells, 1)
    many = cells.run_ok(
        f"refs = [square.remote(n) for n in range(6_000)]; late = wait_for.remote({door!r}); None",
        cell_id=uuid.uuid4().hex,
    )

    assert "burrow.map sends them in batches" in wait_for(many, "6,000 of 6,001 tasks done")
    assert "burrow.map" not in wait_for(few, "0 of 1 task done")
    cells.run_ok(f"Path({door!r}).touch()")
    wait_for(many, "6,001 of 6,001 tasks done")


def test_short_work_gets_no_line(cells: Kernel):
    run = cells.run_ok("burrow.get([square.remote(n) for n in range(20)])", cell_id="short")
    other, door = launch(cells, 1)
    wait_for(other, "1 running")  # by now the other would have its line

    assert not run.displays
    cells.run_ok(f"Path({door!r}).touch()")


def test_a_list_that_shows_its_progress_gets_no_second_line(cells: Kernel):
    door = f"gate-{uuid.uuid4().hex}"
    run = cells.run_ok(f"[wait_for.remote({door!r}) for _ in range(3)]", cell_id="list")
    other, other_door = launch(cells, 1)
    wait_for(other, "1 waiting")

    assert len(run.displays) == 1
    assert "of 3 done" in strip(run)
    cells.run_ok(f"Path({door!r}).touch(); Path({other_door!r}).touch()")


def test_a_stopped_cell_says_what_was_cancelled(cells: Kernel):
    door = f"gate-{uuid.uuid4().hex}"
    run = cells.submit(
        f"burrow.get([wait_for.remote({door!r}) for _ in range(4)])", cell_id="stopped"
    )
    wait_for(run, "0 of 4 tasks done")

    cells.interrupt()
    cells.wait(run)

    assert "0 of 4 tasks done" in wait_for(run, "4 cancelled")


def test_quiet_hides_the_lines_and_loud_brings_them_back(cells: Kernel):
    cells.run_ok("%burrow quiet")
    run, door = launch(cells, 1)
    cells.run_ok("%burrow loud")
    other, other_door = launch(cells, 1)
    wait_for(other, "of 1 task done")

    assert not run.displays
    cells.run_ok(f"Path({door!r}).touch(); Path({other_door!r}).touch()")


def test_programs_that_run_notebooks_get_no_line(cells: Kernel):
    door = f"gate-{uuid.uuid4().hex}"
    run = cells.run_ok(f"ref = wait_for.remote({door!r}); None")  # names no cell
    other, other_door = launch(cells, 1)
    wait_for(other, "of 1 task done")

    assert not run.displays
    cells.run_ok(f"Path({door!r}).touch(); Path({other_door!r}).touch()")


def test_a_cell_that_works_in_batches_keeps_its_line(cells: Kernel):
    folder = Path(cells.run_ok("print(os.getcwd(), end='')").stdout)
    doors = [folder / f"gate-{uuid.uuid4().hex}" for _ in range(2)]
    run = cells.submit(
        f"burrow.get(wait_for.remote({str(doors[0])!r}))\n"
        f"burrow.get([wait_for.remote({str(doors[1])!r}) for _ in range(2)])",
        cell_id="batches",
    )
    wait_for(run, "0 of 1 task done")
    doors[0].touch()
    wait_for(run, "1 of 3 tasks done")
    doors[1].touch()

    cells.wait(run)
    wait_for(run, "3 of 3 tasks done")


def test_a_single_future_that_is_shown_gets_no_second_line(cells: Kernel):
    door = f"gate-{uuid.uuid4().hex}"
    run = cells.run_ok(f"ref = wait_for.remote({door!r}); ref", cell_id="single")
    other, other_door = launch(cells, 1)
    wait_for(other, "of 1 task done")

    assert len(run.displays) == 1
    assert "wait_for" in strip(run)
    cells.run_ok(f"Path({door!r}).touch(); Path({other_door!r}).touch()")


def test_the_line_and_the_status_tell_of_the_pause_for_memory(kernel: Kernel):
    kernel.run_ok(
        "%load_ext burrow\nimport os, time, burrow; burrow.init(num_cpus=2, memory_pause=1e-9)\n"
        "@burrow.remote\ndef hold():\n    while not os.path.exists('door'): time.sleep(0.01)"
    )
    run = kernel.run_ok("refs = [hold.remote() for _ in range(3)]; None", cell_id="held")

    assert "1 running · 2 waiting · paused for memory" in wait_for(run, "paused")
    assert (
        "paused for memory" in kernel.run_ok("refs[-1]", cell_id="shown").displays[0]["text/plain"]
    )
    status = " ".join(
        kernel.run_ok("%burrow").stdout.split()
    )  # its lines break where they are full
    assert "Paused for memory: " in status
    assert "or when nothing else runs" in status
    kernel.run_ok("open('door', 'w').close(); burrow.get(refs)")
    assert "paused" not in wait_for(run, "3 of 3 tasks done").lower()
    assert "aused" not in kernel.run_ok("%burrow").stdout
