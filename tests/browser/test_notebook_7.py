"""Notebook 7: the same outputs, the same buttons, the same panel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.browser import LabServer, NotebookPage, serve_lab
from helpers.wait import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

DEFINE = """\
%load_ext burrow
import burrow, os, pathlib, time

@burrow.remote
def simmer(pot, path):
    while not os.path.exists(path):
        time.sleep(0.01)
    print("simmered", pot)
    return f"hot {pot}"
"""


@pytest.fixture(scope="module")
def server(private_corner: Path) -> Iterator[LabServer]:
    """Notebook 7, for the tests of this module."""
    with serve_lab(private_corner / "notebook-7", app="notebook") as started:
        yield started


@pytest.fixture
def notebook(
    page: Page, server: LabServer, artifacts: Path, request: pytest.FixtureRequest
) -> Iterator[NotebookPage]:
    """A page of it, still empty."""
    opened = NotebookPage(page, server, artifacts)
    yield opened
    opened.screenshot(request.node.name)
    page.goto("about:blank")
    server.end_kernels()


def test_outputs_are_live_and_under_their_own_cells(notebook: NotebookPage):
    notebook.open(
        [
            DEFINE,
            "ref = simmer.remote('soup', 'door'); ref",
            "print('another cell')",
            "pathlib.Path('door').touch()",
            "burrow.get(ref)",
        ]
    )
    for index in range(3):
        notebook.run_cell(index)
    notebook.wait_text(1, "running")

    notebook.run_cell(3)

    notebook.wait_text(1, "finished")
    notebook.wait_text(1, "simmered soup")
    notebook.run_cell(4)
    assert "simmered" not in notebook.output(2).inner_text()
    assert "simmered" not in notebook.output(4).inner_text()
    saved = notebook.save()
    shown = [output for output in saved.cells[1].outputs if "data" in output]
    wait_until(lambda: "hot soup" in shown[0]["data"]["text/plain"], 5, "the saved value")


def test_stop_under_a_cell_works_while_the_kernel_is_busy(notebook: NotebookPage):
    notebook.open([DEFINE, "burrow.get([simmer.remote(n, 'never') for n in range(20)])"])
    notebook.run_cell(0)
    notebook.start_cell(1)
    notebook.wait_text(1, "0 of 20 tasks done")

    notebook.output(1).get_by_role("button", name="Stop").click()

    notebook.wait_text(1, "0 of 20 tasks done · 20 cancelled")
    notebook.wait_text(1, "TaskCancelledError")


def test_outputs_go_on_after_the_page_was_loaded_anew(notebook: NotebookPage):
    notebook.open([DEFINE, "simmer.remote('stew', 'gate')", "pathlib.Path('gate').touch()"])
    notebook.run_cell(0)
    notebook.run_cell(1)
    notebook.wait_text(1, "running")
    notebook.save()

    notebook.reload()
    notebook.wait_text(1, "running")
    notebook.run_cell(2)

    notebook.wait_text(1, "hot stew")


def test_the_panel_opens_and_shows_the_notebooks_burrow(notebook: NotebookPage):
    notebook.open([DEFINE, "refs = [simmer.remote(n, 'never') for n in range(3)]"])
    notebook.command("burrow:open")
    panel = notebook.page.locator(".jp-Burrow")
    panel.wait_for(state="visible")
    notebook.run_cell(0)
    notebook.run_cell(1)

    panel.get_by_text("simmer").first.wait_for()
    row = panel.locator(".jp-Burrow-run")
    row.get_by_role("button", name="Stop").click()

    panel.locator(".jp-Burrow-run[data-ended]").wait_for()
    panel.get_by_text("3 cancelled").wait_for()
