"""What tasks print while a page is loaded anew is under their cell afterwards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.browser import NotebookPage

pytestmark = pytest.mark.browser

DEFINE = """\
%load_ext burrow
import burrow, os, time

@burrow.remote
def count(door):
    n = 0
    while not os.path.exists(door):
        print(f"line {n}")
        n += 1
        time.sleep(0.05)
    print(f"{n} lines")
    return n
"""
LINES_BEFORE = 15


def lines_of(notebook: NotebookPage, index: int) -> list[str]:
    """The printed lines in the model of a cell, which is what will be saved."""
    outputs = notebook.page.evaluate(
        "index => window.jupyterapp.shell.currentWidget.content.widgets[index]"
        ".model.outputs.toJSON()",
        index,
    )
    text = "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    return text.splitlines()


def is_whole(lines: list[str]) -> bool:
    """Whether these are all lines of one task, each once and in order."""
    counted = lines[:-1]
    return lines[-1:] == [f"{len(counted)} lines"] and counted == [
        f"line {n}" for n in range(len(counted))
    ]


@pytest.mark.parametrize("saved", [False, True], ids=["unsaved", "saved"])
@pytest.mark.parametrize("waits", [False, True], ids=["idle", "busy"])
def test_each_line_is_there_once_after_a_reload(
    notebook: NotebookPage,
    tmp_path: Path,
    saved: bool,  # noqa: FBT001  # pytest gives it
    waits: bool,  # noqa: FBT001  # pytest gives it
):
    door = tmp_path / "door"
    launch = f"print('own'); ref = count.remote({str(door)!r})"
    notebook.open([DEFINE, f"{launch}; burrow.get(ref); print('ended')" if waits else launch])
    notebook.run_cell(0)
    notebook.start_cell(1)
    notebook.wait_text(1, f"line {LINES_BEFORE}")
    if saved:
        notebook.save()
    before = len(lines_of(notebook, 1))

    notebook.reload(busy=waits)
    wait_until(lambda: len(lines_of(notebook, 1)) > before + 10, 30, "more lines")
    door.touch()

    last = "ended" if waits else " lines"
    wait_until(lambda: lines_of(notebook, 1)[-1].endswith(last), 30, "the last line")
    notebook.wait_cell(1)  # has its number
    own, *lines = lines_of(notebook, 1)
    assert own == "own"
    assert is_whole(lines[:-1] if waits else lines), lines
    notebook.screenshot(f"reload-{'saved' if saved else 'unsaved'}-{'busy' if waits else 'idle'}")


def test_what_ended_while_no_page_was_open_is_there(notebook: NotebookPage, tmp_path: Path):
    door = tmp_path / "door"
    launch = f"count.remote({str(door)!r})"
    notebook.open([DEFINE, f"ref = {launch}; ref", f"ref2 = {launch}"])
    for index in range(3):
        notebook.run_cell(index)
    notebook.wait_text(1, f"line {LINES_BEFORE}")
    notebook.wait_text(2, f"line {LINES_BEFORE}")
    notebook.save()
    notebook.page.goto("about:blank")
    door.touch()
    kernel = notebook.server.kernel_ids()[0]
    address = f"api/kernels/{kernel}"
    wait_until(lambda: notebook.server.get(address)["execution_state"] == "idle", 30, "idle")

    notebook.open_file(notebook.name)

    notebook.wait_text(1, "finished in")
    for index in (1, 2):
        wait_until(lambda i=index: is_whole(lines_of(notebook, i)), 30, "all lines")


def test_what_was_cleared_and_saved_stays_away(notebook: NotebookPage):
    notebook.open([DEFINE, "burrow.get(count.remote('/'))", "print('another')"])
    notebook.run_cell(0)
    notebook.run_cell(1)
    notebook.wait_text(1, "0 lines")
    notebook.command("notebook:clear-all-cell-outputs")
    notebook.page.wait_for_timeout(2500)  # a file's time says no more than that
    notebook.save()

    notebook.reload()
    notebook.run_cell(2)

    assert lines_of(notebook, 1) == []


def test_a_run_of_another_page_ends_with_its_kernel(notebook: NotebookPage, tmp_path: Path):
    notebook.open([DEFINE, f"burrow.get(count.remote({str(tmp_path / 'door')!r}))"])
    notebook.run_cell(0)
    notebook.start_cell(1)
    notebook.wait_text(1, f"line {LINES_BEFORE}")
    notebook.reload(busy=True)
    prompt = notebook.cell(1).locator(".jp-InputPrompt")
    prompt.get_by_text("[*]:").wait_for()

    notebook.command("notebook:restart-kernel")

    # It has its number if the old kernel got to say that the cell has ended.
    prompt.get_by_text(re.compile(r"\[[ 2]\]:")).wait_for()
