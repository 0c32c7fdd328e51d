"""What the kernel records of the outputs of cells, for a page that was not there."""

from __future__ import annotations

import ast
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from burrow_jupyter.engine import recording
from helpers.wait import wait_until

if TYPE_CHECKING:
    from burrow_jupyter.core.outputs import CellOutputs
    from helpers.kernels import CellRun, Kernel


@pytest.fixture
def folder(cells: Kernel) -> Path:
    """The directory of the session."""
    code = "from burrow_jupyter.api import context; context.current_or_none().client.info"
    return Path(ast.literal_eval(cells.run_ok(f"{code}['directory']").text))


def recorded(folder: Path, cell: str) -> CellOutputs | None:
    """What is recorded of a cell."""
    found = [row for row in recording.read_all(folder, 0) if row.cell == cell]
    assert len(found) <= 1
    return found[0] if found else None


def published(run: CellRun) -> list[str]:
    """Ids of the messages that came for a cell, those of its displays' updates included."""
    kinds = {"stream", "display_data", "update_display_data", "execute_result", "error"}
    return [m["header"]["msg_id"] for m in run.messages if m["msg_type"] in kinds]


def test_all_that_a_cell_shows_is_recorded_in_order_also_what_comes_later(
    cells: Kernel, folder: Path
):
    cell, door = uuid.uuid4().hex, f"gate-{uuid.uuid4().hex}"
    run = cells.run_ok(
        "@burrow.remote\n"
        "def say(path):\n"
        "    print('begun')\n"
        "    while not os.path.exists(path): time.sleep(0.005)\n"
        "    print('over')\n"
        f"print('own'); ref = say.remote({door!r}); 6 * 7",
        cell_id=cell,
    )
    wait_until(lambda: "begun" in run.stdout, 20, "the task's first line")
    cells.run_ok(f"Path({door!r}).touch(); burrow.get(ref)")
    wait_until(lambda: "over" in run.stdout, 20, "the task's last line")

    found = recorded(folder, cell)

    assert found is not None
    assert (found.request, found.client) == (run.msg_id, cells.client.session.session)
    assert found.messages is not None
    ids = [message.id for message in found.messages if message.type != "status"]
    assert ids == published(run)
    contents = [json.loads(bytes(message.content)) for message in found.messages]
    assert "".join(c.get("text", "") for c in contents) == run.stdout
    assert {"execution_state": "idle"} in contents


def test_a_cell_that_runs_again_or_launches_nothing_has_no_record(cells: Kernel, folder: Path):
    cell = uuid.uuid4().hex
    cells.run_ok("burrow.get(square.remote(2))", cell_id=cell)
    assert recorded(folder, cell) is not None

    cells.run_ok("print('no task')", cell_id=cell)

    assert recorded(folder, cell) is None


def test_without_a_cell_nothing_is_recorded(cells: Kernel, folder: Path):
    before = sorted(folder.glob(recording.PATTERN))

    cells.run_ok("burrow.get(square.remote(3))")

    assert sorted(folder.glob(recording.PATTERN)) == before


def test_too_much_is_not_recorded_at_all(cells: Kernel, folder: Path):
    cell = uuid.uuid4().hex
    run = cells.run_ok("burrow.get(square.remote(4)); print('x' * 6_000_000)", cell_id=cell)

    assert len(run.stdout) == 6_000_001
    assert recorded(folder, cell) is None
    assert not any(run.msg_id in path.read_text() for path in folder.glob(recording.PATTERN))
