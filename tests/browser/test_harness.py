"""The page object does what a person does; on it rest all other browser tests."""

import pytest

from helpers.browser import NotebookPage, serve_lab

pytestmark = pytest.mark.browser


def test_cells_are_run_interrupted_saved_and_survive_a_reload(notebook):
    notebook.open(["print(6 * 7)", "import threading\nthreading.Event().wait()", "print('after')"])

    notebook.run_cell(0)
    notebook.wait_text(0, "42")

    notebook.start_cell(1)
    notebook.wait_busy()
    notebook.interrupt()
    notebook.wait_text(1, "KeyboardInterrupt")

    saved = notebook.save()
    assert saved.cells[0].outputs[0].text == "42\n"

    notebook.reload()
    notebook.run_cell(2)
    notebook.wait_text(2, "after")


def test_the_theme_changes(notebook):
    notebook.open(["1"])

    notebook.set_theme("JupyterLab Dark")

    assert notebook.page.evaluate("document.body.dataset.jpThemeLight") == "false"


def test_notebook_7_works_behind_a_strange_base_url(page, private_corner, artifacts):
    with serve_lab(private_corner / "classic", base_url="/a%40b/", app="notebook") as server:
        classic = NotebookPage(page, server, artifacts)
        classic.open(["print(6 * 7)"])
        classic.run_cell(0)
        classic.wait_text(0, "42")
        classic.screenshot("notebook-7")
        page.goto("about:blank")
