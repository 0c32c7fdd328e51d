"""A burrow for each test, or one that a test starts as it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import burrow

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def two_cpus() -> Iterator[None]:
    """A burrow of two CPUs."""
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


@pytest.fixture
def ends() -> Iterator[None]:
    """Whatever burrow the test starts is ended."""
    yield
    burrow.shutdown()
