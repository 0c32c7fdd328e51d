"""The side panel, in a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from helpers.browser import NotebookPage

pytestmark = pytest.mark.browser

DEFINE = """\
%load_ext burrow
import burrow, os, time

@burrow.remote
def simmer(pot, path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return f"hot {pot}"
"""


def open_panel(notebook: NotebookPage) -> Locator:
    """Open the side panel and wait for it."""
    notebook.command("burrow:open")
    panel = notebook.page.locator(".jp-Burrow")
    panel.wait_for(state="visible")
    return panel


def take_pictures(notebook: NotebookPage, name: str) -> None:
    """Keep a picture in each theme."""
    for theme in ("Dark", "Light"):
        notebook.set_theme(f"JupyterLab {theme}")
        notebook.screenshot(f"{name}-{theme.lower()}")


def test_stop_in_the_panel_ends_the_tasks_of_one_cell_while_the_kernel_is_busy(
    notebook: NotebookPage,
):
    notebook.open(
        [
            DEFINE,
            "kept = simmer.remote('kept', 'a door that nobody opens')",
            "burrow.get([simmer.remote(n, 'never') for n in range(40)])",
        ]
    )
    panel = open_panel(notebook)
    notebook.run_cell(0)
    notebook.run_cell(1)
    notebook.start_cell(2)
    busy = panel.locator(".jp-Burrow-run", has_text="burrow.get([simmer")
    busy.get_by_text("queued").wait_for()
    take_pictures(notebook, "panel-runs")

    busy.get_by_role("button", name="Stop the tasks of").click()

    notebook.wait_text(2, "TaskCancelledError")
    notebook.page.mouse.move(0, 0)  # rows keep their place under the pointer
    busy.wait_for(state="detached")
    assert panel.locator(".jp-Burrow-run").inner_text().startswith("[2] kept = ")
    notebook.screenshot("panel-run-stopped")


def test_a_task_says_why_it_has_not_ended_while_the_kernel_is_busy(notebook: NotebookPage):
    notebook.open(
        [
            DEFINE,
            "burrow.get([simmer.options(name=n).remote(n, 'never') for n in ('one', 'two', 'soup')])",
        ]
    )
    panel = open_panel(notebook)
    notebook.run_cell(0)
    notebook.start_cell(1)
    tasks = panel.locator(".jp-Burrow-task")
    soup = tasks.filter(has_text="soup")
    soup.locator("[data-state='ready']").wait_for()

    soup.get_by_role("button", name="soup", exact=True).click()
    soup.get_by_text("soup waits for a free CPU: all are taken by").wait_for()
    take_pictures(notebook, "panel-why")
    running = tasks.filter(has_text="one")
    running.get_by_role("button", name="one", exact=True).click()
    running.get_by_text("one runs in process").wait_for()
    take_pictures(notebook, "panel-why-runs")

    assert soup.locator(".jp-Burrow-why").count() == 0
    running.get_by_role("button", name="Stop one").click()
    running.locator("[data-state='cancelled']").wait_for()
    assert running.locator(".jp-Burrow-why").count() == 0
