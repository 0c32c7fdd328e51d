"""The functions and the class that the workers run.

In a module of their own, which every worker can import: so they are pickled by name, which is
the cheapest way in every system.
"""

from __future__ import annotations

import time
from typing import Any

LARGE_BYTES = 100_000_000


def noop(value: Any = None) -> Any:
    """Return the argument."""
    return value


def renew(record: dict[str, Any]) -> dict[str, Any]:
    """Take a dict and return another."""
    return {**record, "done": True}


def add(left: int, right: int) -> int:
    """Add two results."""
    return left + right


def successor(number: int) -> int:
    """Be one link of a chain."""
    return number + 1


def ends(array: Any) -> float:
    """Read both ends of an array."""
    return float(array[0] + array[-1])


def fresh_array(_: int) -> Any:
    """Make an array of 100 MB."""
    import numpy as np  # noqa: PLC0415  # only the workloads with arrays need it

    return np.ones(LARGE_BYTES // 8)


def busy(seconds: float) -> None:
    """Compute for so much CPU time of this thread's."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(2000))


class Counter:
    """An actor."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, amount: int) -> int:
        """Count."""
        self.count += amount
        return self.count
