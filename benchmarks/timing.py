"""How durations are taken: medians, and loops that stop in time on a slow system."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BUDGET_S = 1.5
"""A loop begins no further repetition after this time: slow systems get fewer of them."""


def duration(run: Callable[[], object], *, at_most: int = 7, budget_s: float = BUDGET_S) -> float:
    """Return the median seconds of a few runs."""
    taken: list[float] = []
    end = time.perf_counter() + budget_s
    while len(taken) < at_most and (not taken or time.perf_counter() < end):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return median(taken)


def rate(step: Callable[[], object], *, at_most: int, budget_s: float = BUDGET_S) -> float:
    """Return steps a second, over a loop that looks at the clock once in a while."""
    began = now = time.perf_counter()
    done = 0
    block = 10
    while done < at_most and now - began < budget_s:
        for _ in range(block):
            step()
        done += block
        block = 100
        now = time.perf_counter()
    return done / (now - began)


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which `share` of the ordered values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
