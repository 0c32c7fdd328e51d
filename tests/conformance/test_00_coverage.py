"""The suite itself: each point has a test, each exception of inline mode means one."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from conformance.conftest import point_of
from conformance.inline import NOT_INLINE
from conformance.points import POINTS

HERE = Path(__file__).parent
FUNCTION = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


@functools.cache
def names():
    """The names of all tests of the suite."""
    # Not by ast: Python 3.11 fails to make a tree during which the garbage collector runs into
    # something that makes another, such as an error to be logged.
    texts = [path.read_text() for path in HERE.glob("test_*.py")]
    return frozenset(name for text in texts for name in FUNCTION.findall(text))


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
