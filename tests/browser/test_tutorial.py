"""The first tutorial, in a real JupyterLab, beside the panel."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.browser import NotebookPage

pytestmark = pytest.mark.browser
TUTORIAL = "01-welcome-to-the-burrow.ipynb"


def test_the_tutorial_runs_and_the_panel_shows_its_burrow(notebook: NotebookPage, root: Path):
    shutil.copy(root / "notebooks" / TUTORIAL, notebook.server.folder / TUTORIAL)
    notebook.open_file(TUTORIAL)
    notebook.command("burrow:open")
    page = notebook.page
    panel = page.locator(".jp-Burrow")
    panel.wait_for(state="visible")
    cells = json.loads((root / "notebooks" / TUTORIAL).read_text())["cells"]
    code = [index for index, cell in enumerate(cells) if cell["cell_type"] == "code"]
    for index in code[:-1]:  # the last one ends the burrow
        notebook.run_cell(index)
        if cells[index]["id"] == "simmering-soup":
            notebook.wait_text(index, "running")
            notebook.wait_text(index, "finished in")
            notebook.wait_text(index, "hot soup")
        if cells[index]["id"] == "row-of-pots":
            notebook.wait_text(index, "waiting")
            notebook.screenshot("tutorial-pots")
            notebook.wait_text(index, "8 of 8 done")
        if cells[index]["id"] == "the-pan-itself":
            notebook.wait_text(index, "idle")
    wait_until(lambda: "Pan" in panel.inner_text(), 30, "the panel to show the pan")
    notebook.screenshot("tutorial-light")
    notebook.set_theme("JupyterLab Dark")
    notebook.screenshot("tutorial-dark")
    assert "chop" in panel.inner_text()
