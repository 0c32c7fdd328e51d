"""Futures, and waiting for other threads: the user may be asked something meanwhile.

A task at a breakpoint is talked to by the main thread where that waits, so whatever the API has
the user's code wait for is waited for here, or in the backend itself.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, TypeVar

from burrow_jupyter.api import context

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

T = TypeVar("T")


def wait_on(
    condition: threading.Condition, done: Callable[[], bool], timeout_s: float | None = None
) -> bool:
    """Wait until `done()`, of which other threads notify the condition; say whether it is."""
    backend = context.current_or_none()
    if backend is not None:
        return backend.wait_on(condition, done, timeout_s)
    with condition:
        return condition.wait_for(done, timeout_s)


class Future(concurrent.futures.Future[T]):
    """A future of the standard library's, of what a burrow makes."""

    def result(self, timeout: float | None = None) -> T:
        """Return the result; see `concurrent.futures.Future.result`."""
        wait_on(self._condition, self.done, timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error; see `concurrent.futures.Future.exception`."""
        wait_on(self._condition, self.done, timeout)
        return super().exception(0)
