"""Burrows in which a test speaks everybody's lines."""

import pytest

from helpers.scenario import Burrow


@pytest.fixture
def one():
    """A burrow of one CPU."""
    return Burrow(cpus=1)


@pytest.fixture
def two():
    """A burrow of two CPUs."""
    return Burrow(cpus=2)
