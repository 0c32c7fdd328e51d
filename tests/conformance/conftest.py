"""Runs each test on the local engine and inline, but for what `inline.py` lists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import burrow
from conformance.inline import NOT_INLINE

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"test_(\d+)_(\d+)_\w+")


def point_of(name: str) -> str:
    """The point that a test is named after, such as "3.4"; empty for other tests."""
    found = NAME.match(name)
    return f"{found[1]}.{found[2]}" if found else ""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both modes, or the local one for what inline cannot have."""
    if "mode" in metafunc.fixturenames:
        name = metafunc.function.__name__
        excepted = name in NOT_INLINE or point_of(name) in NOT_INLINE
        modes = ["local"] if excepted else ["local", "inline"]
        metafunc.parametrize("mode", modes, scope="module")


@pytest.fixture(scope="module")
def shared(mode: str) -> Iterator[None]:
    """One burrow of two CPUs for all tests of a file."""
    burrow.init(num_cpus=2, mode=mode)
    yield
    burrow.shutdown()


@pytest.fixture
def own(mode: str) -> Iterator[object]:
    """Starts a burrow as the test likes, in the mode that it is run in."""

    def start(**arguments: object) -> object:
        return burrow.init(mode=mode, **arguments)

    yield start
    burrow.shutdown()
