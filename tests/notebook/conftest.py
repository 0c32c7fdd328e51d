"""Kernels with Burrow loaded, as a notebook has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.kernels import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KITCHEN = """
import burrow, os, sys, threading, time
from pathlib import Path

@burrow.remote
def square(x):
    return x * x

@burrow.remote
def wait_for(path, value=None):
    end = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.005)
    return value

@burrow.remote
def fail(text):
    raise ValueError(text)

@burrow.remote
class Pan:
    def __init__(self):
        self.temperature = 0
    def heat(self, path=None):
        while path and not os.path.exists(path):
            time.sleep(0.005)
        self.temperature += 10
        return self.temperature
"""


@pytest.fixture(scope="module")
def cells(private_corner: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel for the tests of a module, with Burrow loaded and a few definitions made.

    Tasks wait for files in its working directory, which is fresh.
    """
    started = Kernel.start(cwd=tmp_path_factory.mktemp("cells"), connections=private_corner)
    try:
        started.run_ok("%load_ext burrow")
        started.run_ok(KITCHEN)
        started.run_ok("burrow.get(square.remote(1))")
        yield started
    finally:
        started.shutdown()
