"""A task runs what the notebook says now."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.kernels import Kernel

ENTRIES = textwrap.dedent(
    """
    factor = 2
    settings = {"extra": 0}

    def helper(x):
        return x * factor

    @burrow.remote
    def compute(x):
        return helper(x) + settings["extra"]

    @burrow.remote
    def outer(x):
        return burrow.get(compute.remote(x))

    @burrow.remote
    class Cook:
        def work(self, x):
            return helper(x)
    """
)


@pytest.fixture
def workshop(cells: Kernel) -> Kernel:
    """The module's kernel, with a function that reaches helpers, globals and a mutable one."""
    cells.run_ok(ENTRIES)
    assert cells.run_ok("burrow.get([compute.remote(10), outer.remote(10)])").text == "[20, 20]"
    return cells


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ("factor = 3", 30),
        ("def helper(x): return x + 1", 11),
        ("settings['extra'] = 5", 25),
        ("settings = {'extra': 7}", 27),
    ],
)
def test_what_a_function_uses_is_as_the_notebook_has_it_now(
    workshop: Kernel, change: str, result: int
):
    workshop.run_ok(change)

    for _ in range(2):
        code = "burrow.get([compute.remote(10) for _ in range(8)] + [outer.remote(10)])"
        assert workshop.run_ok(code).text == str([result] * 9)


def test_a_new_actor_has_the_helpers_of_now_and_an_old_one_its_own(workshop: Kernel):
    workshop.run_ok("old = Cook.remote(); burrow.get(old.work.remote(1))")
    workshop.run_ok("def helper(x): return 'new'")

    code = "burrow.get([old.work.remote(1), Cook.remote().work.remote(1)])"
    assert workshop.run_ok(code).text == "[2, 'new']"


def test_a_name_that_was_missing_is_found_once_it_is_defined(workshop: Kernel):
    workshop.run_ok("@burrow.remote\ndef late(): return defined_later()")
    failed = workshop.run("burrow.get(late.remote())")
    assert failed.error is not None
    assert "NameError" in failed.error["ename"]

    workshop.run_ok("def defined_later(): return 'here'")

    assert workshop.run_ok("burrow.get(late.remote())").text == "'here'"


def test_an_import_made_later_is_there(workshop: Kernel):
    workshop.run_ok("@burrow.remote\ndef root(): return math.sqrt(16)")
    assert workshop.run("burrow.get(root.remote())").status == "error"

    workshop.run_ok("import math")

    assert workshop.run_ok("burrow.get(root.remote())").text == "4.0"


def test_never_in_the_middle_of_a_run(workshop: Kernel):
    run = workshop.run_ok(
        "first = compute.remote(10); factor = 100; second = compute.remote(10)\n"
        "burrow.get([first, second])"
    )

    assert run.text == "[20, 20]"
    assert workshop.run_ok("burrow.get(compute.remote(10))").text == "1000"


def test_unchanged_code_is_not_sent_again(workshop: Kernel):
    count = "from burrow_jupyter.api import context; len(context.backend()._codes._ids)"
    before = workshop.run_ok(count).text

    for _ in range(5):
        workshop.run_ok("burrow.get([compute.remote(1), outer.remote(1)])")

    assert workshop.run_ok(count).text == before


def test_objects_of_notebook_classes_keep_their_class_through_a_round_trip(workshop: Kernel):
    workshop.run_ok(
        "import dataclasses, enum\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "class Colour(enum.Enum):\n    RED = 1\n"
        "@burrow.remote\ndef back(thing): return thing, type(thing) is Point or thing is Colour.RED"
    )

    for _ in range(2):
        run = workshop.run_ok(
            "pairs = burrow.get([back.remote(Point(3)), back.remote(Colour.RED)])\n"
            "isinstance(pairs[0][0], Point), pairs[1][0] is Colour.RED, pairs[0][1], pairs[1][1]"
        )
        assert run.text == "(True, True, True, True)"


def test_a_redefined_class_is_the_one_that_tasks_see(workshop: Kernel):
    workshop.run_ok(
        "class Recipe:\n    name = 'soup'\n@burrow.remote\ndef cook(): return Recipe.name"
    )
    assert workshop.run_ok("burrow.get(cook.remote())").text == "'soup'"

    workshop.run_ok("class Recipe:\n    name = 'stew'")
    assert workshop.run_ok("burrow.get(cook.remote())").text == "'stew'"

    workshop.run_ok("Recipe.name = 'broth'")
    assert workshop.run_ok("burrow.get([cook.remote() for _ in range(4)])").text == str(
        ["broth"] * 4
    )
