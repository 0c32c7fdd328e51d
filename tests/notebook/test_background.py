"""`%%burrow`: cells that run as tasks."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import CellRun, Kernel

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

    assert "--cpus" in cells.run("%%burrow --cpu\npass").stderr
