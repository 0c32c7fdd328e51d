"""What a person sees of tasks that draw, fail and stop at breakpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.browser import NotebookPage

pytestmark = pytest.mark.browser

LOAD = "%load_ext burrow\nimport burrow"
DRAW = """
import matplotlib.pyplot as plt
@burrow.remote
def draw(n):
    plt.plot([1, n])
burrow.get([draw.remote(n) for n in (2, 3)])
"""
FAIL = """
@burrow.remote
def cook(dish):
    grams = 250
    raise ValueError(f"{dish} is burnt")
burrow.get(cook.remote("soup"))
"""
STOP = """
@burrow.remote
def taste(salt):
    breakpoint()
    return salt
burrow.get(taste.remote(1))
"""


def answer(notebook: NotebookPage, index: int, line: str) -> None:
    """Types a line into the box under a cell that asks for one."""
    box = notebook.output(index).locator(".jp-Stdin-input").last.element_handle(timeout=30_000)
    assert box is not None
    box.fill(line)
    box.press("Enter")
    # The next one may be there before this one has gone.
    box.wait_for_element_state("hidden", timeout=30_000)


def test_figures_of_tasks_are_under_their_cell(notebook: NotebookPage):
    notebook.open([LOAD, DRAW])
    notebook.run_cell(0)
    notebook.run_cell(1)

    pictures = notebook.output(1).locator("img")
    pictures.nth(1).wait_for(timeout=30_000)

    assert pictures.count() == 2


def test_debug_asks_in_its_cell(notebook: NotebookPage):
    notebook.open([LOAD, FAIL, "%debug"])
    notebook.run_cell(0)
    notebook.start_cell(1)
    notebook.wait_cell(1)
    notebook.start_cell(2)

    answer(notebook, 2, "p grams + 1")
    notebook.wait_text(2, "251")
    answer(notebook, 2, "q")
    notebook.wait_cell(2)


def test_a_breakpoint_asks_in_the_cell_that_waits(notebook: NotebookPage):
    notebook.open([LOAD, STOP])
    notebook.run_cell(0)
    notebook.start_cell(1)

    answer(notebook, 1, "salt = 41 + salt")
    answer(notebook, 1, "c")
    notebook.wait_cell(1)

    notebook.wait_text(1, "42")
