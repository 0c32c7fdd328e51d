"""What Burrow shows under cells, in a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.browser import NotebookPage

pytestmark = pytest.mark.browser

DEFINE = """\
%load_ext burrow
import burrow, os, pathlib, time

@burrow.remote
def simmer(pot, path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return f"hot {pot}"
"""


def test_stop_ends_the_tasks_of_a_cell_while_the_kernel_is_busy(notebook: NotebookPage):
    notebook.open([DEFINE, "burrow.get([simmer.remote(n, 'never') for n in range(40)])"])
    notebook.run_cell(0)
    notebook.start_cell(1)
    notebook.wait_text(1, "0 of 40 tasks done")
    notebook.set_theme("JupyterLab Light")
    notebook.screenshot("strip-light")
    notebook.set_theme("JupyterLab Dark")
    notebook.screenshot("strip-dark")
    notebook.set_theme("JupyterLab Light")

    notebook.output(1).get_by_role("button", name="Stop").click()

    notebook.wait_text(1, "0 of 40 tasks done · 40 cancelled")
    notebook.wait_text(1, "TaskCancelledError")
    notebook.screenshot("strip-stopped")


def test_stop_is_heard_also_when_its_line_is_drawn_anew_while_it_is_pressed(notebook: NotebookPage):
    notebook.open([DEFINE, "burrow.get([simmer.remote(n, 'never') for n in range(4)])"])
    notebook.run_cell(0)
    notebook.start_cell(1)
    notebook.wait_text(1, "0 of 4 tasks done")
    line = notebook.output(1)

    line.get_by_role("button", name="Stop").hover()
    pressed = line.get_by_role("button", name="Stop").element_handle()
    notebook.page.mouse.down()
    notebook.page.wait_for_function("button => !button.isConnected", arg=pressed, timeout=20_000)
    line.get_by_role("button", name="Stop").hover()
    notebook.page.mouse.up()

    notebook.wait_text(1, "0 of 4 tasks done · 4 cancelled")


def test_outputs_go_on_after_the_page_was_loaded_anew(notebook: NotebookPage):
    notebook.open(
        [
            DEFINE,
            "ref = simmer.remote('soup', 'door'); ref",
            "refs = [simmer.remote(n, 'door') for n in range(4)]; refs",
            "pathlib.Path('door').touch()",
        ]
    )
    for index in range(3):
        notebook.run_cell(index)
    notebook.wait_text(1, "running")
    notebook.wait_text(2, "0 of 4 done")
    notebook.save()

    notebook.reload()
    notebook.wait_text(1, "running")
    notebook.run_cell(3)

    notebook.wait_text(1, "hot soup")
    notebook.wait_text(2, "4 of 4 done")
    saved = notebook.save()
    wait_until(lambda: "hot soup" in saved.cells[1].outputs[0]["data"]["text/plain"], 5, "the file")


def test_nothing_of_the_users_is_taken_for_markup(notebook: NotebookPage):
    nasty = "<img src=x onerror=\\'document.title=1\\'>"
    notebook.open(
        [
            DEFINE,
            f"@burrow.remote\ndef bad(): raise ValueError('{nasty}')\n[bad.remote()]",
            f"simmer.options(name='{nasty}').remote(1, '/')",
        ]
    )
    for index in range(3):
        notebook.run_cell(index)
    notebook.wait_text(1, "ValueError: <img")
    notebook.wait_text(2, "<img")

    assert notebook.output(1).locator("img").count() == 0
    assert notebook.output(2).locator("img").count() == 0
