"""The suite itself: each point has a test, each exception of inline mode means one."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from conformance.conftest import point_of
from conformance.inline import NOT_INLINE
from conformance.points import POINTS

HERE = Path(__file__).parent


@functools.cache
def names():
    """The names of all tests of the suite."""
    trees = [ast.parse(path.read_text()) for path in HERE.glob("test_*.py")]
    functions = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    return frozenset(f.name for f in functions if f.name.startswith("test_"))


@pytest.mark.parametrize("point", POINTS)
def test_each_point_has_a_test(point):
    assert any(point_of(name) == point for name in names())


def test_no_test_names_a_point_that_there_is_not():
    named = {point_of(name) for name in names()} - {""}

    assert named - set(POINTS) == set()


@pytest.mark.parametrize("name", NOT_INLINE)
def test_each_exception_means_a_point_or_a_test(name):
    assert name in POINTS or name in names()
    assert NOT_INLINE[name]
