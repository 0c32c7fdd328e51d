"""Several calls in one task: their results, and the errors of those that raised."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.exceptions import RayTaskError
from burrow_jupyter.engine import current, errors, seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from burrow_jupyter.core.failures import UserError


class Raised(NamedTuple):
    """Stands among results for a call that has raised."""

    failure: UserError

    def exception(self) -> BaseException:
        """Return what to raise: as if the call had been a task of its own."""
        seen.count += 1
        return to_exception(self.failure)


class _Seen:
    """How many failures of calls in batches this process has met."""

    count = 0


seen = _Seen()


def name_of(function: Callable[..., Any]) -> str:
    """Return what errors and rows call a function that is given to a pool or an executor."""
    return str(getattr(function, "__name__", type(function).__name__))


def as_raised(error: BaseException) -> BaseException:
    """Return what a call has raised, itself, where an interface of the standard library is kept.

    Its `__cause__` is the `RayTaskError` with the traceback of the worker, as that of an
    exception from `multiprocessing` is a remote traceback.
    """
    if not isinstance(error, RayTaskError) or error.cause is None:
        return error
    raised = error.cause
    raised.__cause__ = error
    return raised


class Outcome(NamedTuple):
    """What came of a batch: the first results, all of them unless it says otherwise."""

    results: list[Any]
    took_s: float
    has_raised: bool
    """Whether there is a `Raised` among the results."""


STEP_MAX = 64
"""Most calls of a batch between two looks at the clock: a look costs as much as two short calls."""


def run_batch(
    function: Callable[..., Any],
    items: Sequence[Any],
    start: int = 0,
    *,
    name: str = "",
    single: bool = False,
    go_on: bool = False,
    within_s: float | None = None,
) -> Outcome:
    """Call the function with each item, on a worker.

    Args:
        function: the user's.
        items: the arguments of each call, as a tuple.
        start: the number of the first of them among all that are mapped, from 0.
        name: of the function, for errors; default: that of the task.
        single: each item is the one argument itself, and not a tuple.
        go_on: make the other calls also when one has raised.
        within_s: make no more calls after so many seconds.
    """
    began = time.perf_counter()
    results: list[Any] = []
    append = results.append
    left = iter(items)
    seed = current.call().seed
    if seed:  # each item draws the same, however they are cut into batches
        function = seeded(function, seed, itertools.count(start))
    has_raised = False
    step = 1
    while True:
        some = left if within_s is None else itertools.islice(left, step)
        try:
            if single:
                for argument in some:
                    append(function(argument))
            else:
                for arguments in some:
                    append(function(*arguments))
        except Exception as error:  # noqa: BLE001  # the border of the user's code
            append(Raised(_capture(error, name, may_keep=not has_raised)))
            has_raised = True
            if not go_on:
                break
            continue
        if within_s is None or len(results) == len(items):
            break
        if time.perf_counter() - began > within_s:
            break
        step = min(2 * step, STEP_MAX)
    return Outcome(results, time.perf_counter() - began, has_raised)


def seeded(function: Callable[..., Any], seed: int, numbers: Iterator[int]) -> Callable[..., Any]:
    """Return the function so that each call draws by its number of what was given the seed."""

    def call(*args: Any, **kwargs: Any) -> Any:
        seeds.part(seed, next(numbers))
        return function(*args, **kwargs)

    return call


def _capture(error: BaseException, name: str, *, may_keep: bool) -> UserError:
    """Return as data what a call has raised; its frames are kept where those of tasks are."""
    now = current.call()
    failure = errors.capture(
        error,
        function=name or (now.options.name if now.options is not None else ""),
        task_id=now.task_id,
        actor_id=now.actor_id,
        attempt=now.attempt,
        run_id=now.run_id,
    )
    keep = current.facts.keep
    if not (may_keep and keep is not None and keep(now, error)):
        errors.clear_frames(error)
    return failure
