"""Cells that call one after the other: what they show, and that they can be stopped."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from burrow_jupyter.engine.observer import Observer
from helpers.burrows import burrow_of
from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import Kernel


def test_the_line_under_a_loop_counts_every_call(cells: Kernel):
    code = """
began, count = time.monotonic(), 0
while time.monotonic() - began < 1.5:
    burrow.get(square.remote(count))
    count += 1
square.remote(0)  # on its way when the cell ends
print(count + 1)
"""
    run = cells.run_ok(code, cell_id=uuid.uuid4().hex)
    count = f"{int(run.stdout.strip()):,}"

    def is_final() -> bool:
        said = str(run.displays[0]["text/plain"]) if run.displays else ""
        return said.startswith(f"{count} of {count} tasks done")

    wait_until(is_final, 20, f"the line to say {count}")


def test_what_tasks_print_stands_in_the_order_of_the_calls(cells: Kernel):
    code = """
@burrow.remote
def say(n):
    if n % 10 == 0:
        print("task", n)
    return n
for n in range(200):
    burrow.get(say.remote(n))
    if n % 10 == 0:
        print("cell", n)
"""
    run = cells.run_ok(code, cell_id=uuid.uuid4().hex)

    said = [int(n) for n in re.findall(r"task.* (\d+)", run.stdout)]
    assert said == list(range(0, 200, 10))


@pytest.mark.parametrize("call", ["square.remote(1)", "counter.add.remote()"])
def test_a_loop_of_calls_is_stopped_from_outside(cells: Kernel, tmp_path: Path, call: str):
    cells.run_ok("""
@burrow.remote
class Tally:
    def __init__(self): self.n = 0
    def add(self): self.n += 1; return self.n
counter = Tally.remote()
""")
    note = tmp_path / "run"
    run = cells.submit(
        "from burrow_jupyter.api import context\n"
        f"for n in range(500): burrow.get({call})\n"
        f"Path({str(note)!r}).write_text(str(context.run_of_caller()))\n"
        f"while True: burrow.get({call})",
        cell_id=uuid.uuid4().hex,
    )
    wait_until(lambda: note.exists() and note.read_text(), 20, "the loop")
    observer = Observer.connect(Path(burrow_of(cells.pid).path))
    try:
        observer.cancel_run(int(note.read_text()))
        cells.wait(run)
    finally:
        observer.close()

    assert run.error is not None
    assert "TaskCancelledError" in run.traceback
    assert cells.run_ok(f"burrow.get({call}) > 0").result
