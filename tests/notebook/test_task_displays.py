"""What tasks display, objects and figures, is shown under the cell that launched them."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import Kernel

PROGRAM = """
class Rich:
    def __init__(self, name): self.name = name
    def __repr__(self): return f"<{self.name}>"
    def _repr_html_(self): return f"<b>{self.name}</b>"

@burrow.remote
def shows(name, path=None):
    while path and not os.path.exists(path):
        time.sleep(0.005)
    print("before")
    display(Rich(name))
    print("after")

@burrow.remote
def progress(steps):
    from IPython.display import clear_output, display
    for step in range(steps):
        clear_output(wait=True)
        display(Rich(f"step {step}"))

@burrow.remote
def handles():
    from IPython.display import display
    handle = display(Rich("first"), display_id=True)
    handle.update(Rich("second"))
    return type(handle).__name__

@burrow.remote
def huge():
    display({"text/plain": "a huge thing", "text/html": "x" * 20_000_000}, raw=True)

@burrow.remote
def draws(how):
    import matplotlib.pyplot as plt
    plt.plot([1, 2, 3])
    if how == "show":
        plt.show()
    if how == "raise":
        raise ValueError("after drawing")
    if how == "return":
        return plt.gcf()
    return len(plt.get_fignums())
"""


@pytest.fixture(scope="module")
def kitchen(cells: Kernel) -> Kernel:
    """The module's kernel with this module's definitions."""
    return cells.run_ok(PROGRAM) and cells


def html_of(run: object) -> list[str]:
    """The HTML of what is shown under a cell, as it looks now."""
    return [shown["text/html"] for shown in run.displays if "text/html" in shown]  # type: ignore[attr-defined]


def test_an_object_is_shown_rich_and_in_order_with_what_is_printed(kitchen: Kernel):
    run = kitchen.run_ok("burrow.get(shows.remote('soup'))")

    wait_until(lambda: run.stdout == "before\nafter\n", 10, "what is printed")
    assert run.displays == [{"text/plain": "<soup>", "text/html": "<b>soup</b>"}]
    kinds = [m["msg_type"] for m in run.messages if m["msg_type"] in ("stream", "display_data")]
    assert kinds == ["stream", "display_data", "stream"]


def test_a_late_display_goes_under_the_cell_that_launched_the_task(kitchen: Kernel):
    door = f"gate-{uuid.uuid4().hex}"
    first = kitchen.run_ok(f"late = shows.remote('late', {door!r}); None")

    second = kitchen.run_ok(f"Path({door!r}).touch(); burrow.get(late)")

    wait_until(lambda: html_of(first), 10, "the display")
    assert html_of(first) == ["<b>late</b>"]
    assert html_of(second) == []


def test_a_captured_cell_captures_the_displays_of_its_tasks(kitchen: Kernel):
    run = kitchen.run_ok("%%capture caught\nburrow.get(shows.remote('soup'))\ntime.sleep(0)")

    assert html_of(run) == []
    wait_until(
        lambda: "soup" in kitchen.run_ok("print([o.data for o in caught.outputs])").stdout,
        10,
        "what was caught",
    )


def test_clear_output_clears_what_the_task_has_displayed_and_nothing_else(kitchen: Kernel):
    run = kitchen.run_ok("display('mine')\nburrow.get([progress.remote(3), shows.remote('other')])")

    wait_until(lambda: len(html_of(run)) == 2, 10, "both displays")
    wait_until(lambda: "<b>step 2</b>" in html_of(run), 10, "the last step")
    assert sorted(html_of(run)) == ["<b>other</b>", "<b>step 2</b>"]
    assert {"text/plain": "'mine'"} in run.displays


def test_a_display_can_be_updated_through_its_handle(kitchen: Kernel):
    run = kitchen.run_ok("burrow.get(handles.remote())")

    assert run.text == "'DisplayHandle'"
    wait_until(lambda: html_of(run) == ["<b>second</b>"], 10, "the update")


def test_a_display_too_large_for_a_notebook_is_its_text_and_says_so(kitchen: Kernel):
    run = kitchen.run_ok("burrow.get(huge.remote())")

    wait_until(lambda: run.displays, 10, "the text")
    assert list(run.displays[0]) == ["text/plain"]
    assert run.displays[0]["text/plain"].startswith("a huge thing\n(not displayed: 20.0 MB")


@pytest.mark.parametrize("how", ["show", "leave", "raise"])
def test_a_figure_is_shown_as_in_a_cell_and_closed(kitchen: Kernel, how: str):
    run = kitchen.run(f"burrow.get(draws.remote({how!r}))", within_s=60)

    wait_until(lambda: run.displays, 10, "the figure")
    assert len(run.displays) == 1
    assert base64.b64decode(run.displays[0]["image/png"]).startswith(b"\x89PNG")
    assert run.text == {"show": "0", "leave": "1", "raise": ""}[how]
    assert (run.error is not None) == (how == "raise")


def test_a_figure_that_is_returned_is_shown_by_whoever_gets_it(kitchen: Kernel):
    run = kitchen.run_ok(
        "figure = burrow.get(draws.remote('return')); print(type(figure).__name__)"
    )

    kitchen.run_ok("burrow.get(shows.remote('later'))")
    assert run.stdout == "Figure\n"
    assert len([shown for shown in run.displays if "image/png" in shown]) == 1


def test_displays_are_bounded_and_all_are_in_the_log(kitchen: Kernel):
    run = kitchen.run_ok(
        "@burrow.remote\ndef many(count):\n    for n in range(count):\n"
        "        display({'text/plain': f'thing {n}', 'text/html': 'x' * 7_000_000}, raw=True)\n"
        "burrow.get(many.remote(10))"
    )

    wait_until(lambda: "not shown" in run.stderr, 30, "the line that says so")
    assert len(html_of(run)) == 7
    number = run.reply["content"]["execution_count"]  # type: ignore[index]  # it has ended
    assert "thing 9" in kitchen.run_ok(f"%burrow logs {number}").stdout
