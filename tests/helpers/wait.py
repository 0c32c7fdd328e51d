"""Waiting in tests: for a condition, with a bound. The only place that may sleep."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.05
"""Polling starts fine, so that quick things stay quick, and backs off, so that a waiting
test leaves the cores to what it waits for."""


class NotInTimeError(AssertionError):
    """Raised when a condition did not come true within its bound."""


def wait_until(condition: Callable[[], T], within_s: float, what: str) -> T:
    """Polls `condition` until it is true and returns what it returned.

    `what` completes the sentence "waited ... s for ...". An exception in `condition` is not
    swallowed: a condition that may not be ready yet must say so by a false value.
    """
    end = time.monotonic() + within_s
    pause_s = FIRST_PAUSE_S
    while True:
        value = condition()
        if value:
            return value
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise NotInTimeError(f"waited {within_s} s for {what}; last seen: {value!r}")
        time.sleep(min(pause_s, left_s))  # noqa: TID251 the one sleep of the tests, see above
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def holds_for(condition: Callable[[], object], for_s: float, what: str) -> None:
    """Checks that `condition` stays true for `for_s` seconds: that something does *not* happen."""
    end = time.monotonic() + for_s
    while True:
        assert condition(), f"expected for {for_s} s: {what}"
        if time.monotonic() >= end:
            return
        time.sleep(LONGEST_PAUSE_S)  # noqa: TID251 as in wait_until
