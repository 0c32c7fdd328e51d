"""Several calls in one task: their results, and the errors of those that raised."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.engine import current, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from burrow_jupyter.core.failures import UserError


class Raised(NamedTuple):
    """Stands among results for a call that has raised."""

    failure: UserError

    def exception(self) -> BaseException:
        """Return what to raise: as if the call had been a task of its own."""
        return to_exception(self.failure)


class Outcome(NamedTuple):
    """What came of a batch."""

    results: list[Any]
    took_s: float


def run_batch(
    function: Callable[..., Any], items: Iterable[tuple[Any, ...]], *, go_on: bool = False
) -> Outcome:
    """Call the function with each item, on a worker.

    Args:
        function: the user's.
        items: the arguments of each call.
        go_on: make the other calls also when one has raised.
    """
    began = time.perf_counter()
    results: list[Any] = []
    for arguments in items:
        try:
            results.append(function(*arguments))
        except Exception as error:  # noqa: BLE001  # the border of the user's code
            results.append(Raised(_capture(error)))
            if not go_on:
                break
    return Outcome(results, time.perf_counter() - began)


def _capture(error: BaseException) -> UserError:
    now = current.call()
    return errors.capture(
        error,
        function=now.options.name if now.options is not None else "",
        task_id=now.task_id,
        actor_id=now.actor_id,
        attempt=now.attempt,
    )
