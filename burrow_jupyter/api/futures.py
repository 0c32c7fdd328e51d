"""Futures, and waiting for other threads: the user may be asked something meanwhile.

A task at a breakpoint is talked to by the main thread where that waits, so whatever the API has
the user's code wait for is waited for here, or in the backend itself.
"""

from __future__ import annotations

import concurrent.futures
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from burrow_jupyter.api import context
from burrow_jupyter.api.errors import to_exception

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from burrow_jupyter.backends.protocol import Backend
    from burrow_jupyter.core.failures import Failure

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
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error; see `concurrent.futures.Future.exception`."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        wait_on(self._condition, self.done, timeout)


class RefFuture(Future[T]):
    """That of a ref: who waits for it in a task lends the task's CPU.

    It knows which object it is of, and no more: it keeps none. It raises what the task raised, and
    `DeadlockError` where that can never come.
    """

    def __init__(self, object_id: int, backend: Backend) -> None:
        super().__init__()
        self._object_id = object_id
        self._backend = backend

    def _wait(self, timeout: float | None) -> None:
        if not self.done():
            give_up = self._give_up if timeout is None else None
            with self._backend.paused([self._object_id], give_up):
                super()._wait(timeout)

    def _give_up(self, failure: Failure) -> None:
        """What it is of will never come, as it waits for who waits for this."""
        with suppress(InvalidStateError):  # it came just then
            self.set_exception(to_exception(failure))
