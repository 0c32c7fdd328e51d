"""Results as they come: `as_completed`, `map_unordered`, and `map` with automatic batches."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context, refs
from burrow_jupyter.api.calls import get, wait
from burrow_jupyter.api.remote import remote
from burrow_jupyter.api.tasks import RemoteFunction
from burrow_jupyter.api.util.batches import Raised, run_batch
from burrow_jupyter.core import resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

BATCH_TARGET_S = 0.02
"""Measured work in one batch of `map`: a round trip is under 5 % of it."""
BATCH_MAX = 10_000
BATCHES_AHEAD = 3
"""Batches under way for each CPU: enough that no worker waits for the reader."""


def as_completed(
    refs: Sequence[refs.ObjectRef[Any]],
    *,
    chunk_size: int = 10,
    yield_obj_refs: bool = False,
) -> Iterator[Any]:
    """Yield values as they become ready.

    Args:
        refs: of objects; duplicates are given once.
        chunk_size: hand results out when so many are ready (or all that are left), in the
            order of `refs`; 1: strictly as they come.
        yield_obj_refs: yield refs that are ready in place of values.

    Raises:
        ValueError: `chunk_size` below 1.
        Exception: of the task whose turn it is.

    Source: Ray 2.60 `ray.util.as_completed`.
    """
    if chunk_size < 1:
        msg = f"chunk_size must be 1 or more, got {chunk_size!r}"
        raise ValueError(msg)
    return _completed(list(dict.fromkeys(refs)), chunk_size, yield_obj_refs=yield_obj_refs)


def _completed(
    left: list[refs.ObjectRef[Any]], chunk_size: int, *, yield_obj_refs: bool
) -> Iterator[Any]:
    while left:
        ready, left = wait(left, num_returns=min(chunk_size, len(left)), fetch_local=True)
        for ref in ready:
            yield ref if yield_obj_refs else get(ref)


def map_unordered(
    function: RemoteFunction[Any, Any],
    items: Iterable[Any],
    *,
    backpressure_size: int | None = 100,
    chunk_size: int = 10,
    yield_obj_refs: bool = False,
) -> Iterator[Any]:
    """Call a remote function with each item; yield results as they become ready.

    Args:
        function: a remote function of one argument.
        items: read only as far as there is room.
        backpressure_size: most calls under way; `None`: no limit. At least `chunk_size`.
        chunk_size: as in `as_completed`.
        yield_obj_refs: as in `as_completed`.

    Raises:
        ValueError: a size below 1, or less room than a chunk.
        Exception: of the call whose turn it is.

    Source: Ray 2.60 `ray.util.map_unordered`.
    """
    if chunk_size < 1:
        msg = f"chunk_size must be 1 or more, got {chunk_size!r}"
        raise ValueError(msg)
    if backpressure_size is not None and backpressure_size < chunk_size:
        msg = f"backpressure_size must be chunk_size ({chunk_size}) or more, got {backpressure_size!r}"
        raise ValueError(msg)
    return _mapped(function, iter(items), backpressure_size, chunk_size, refs_only=yield_obj_refs)


def _mapped(
    function: RemoteFunction[Any, Any],
    items: Iterator[Any],
    most: int | None,
    chunk_size: int,
    *,
    refs_only: bool,
) -> Iterator[Any]:
    under_way: list[refs.ObjectRef[Any]] = []
    while True:
        room = None if most is None else most - len(under_way)
        under_way += [function.remote(item) for item in itertools.islice(items, room)]
        if not under_way:
            return
        ready, under_way = wait(under_way, num_returns=min(chunk_size, len(under_way)))
        for ref in ready:
            yield ref if refs_only else get(ref)


# ---- map -------------------------------------------------------------------------------


def map(  # noqa: A001  # named after what it stands for, as in concurrent.futures
    function: Callable[..., Any],
    *iterables: Iterable[Any],
    batch_size: int | None = None,
    ordered: bool = True,
    **options: Any,
) -> Iterator[Any]:
    """Do `map(function, *iterables)` on the workers, in batches of a good size.

    Items are read, and results made, only a little ahead of the reader: an endless iterable
    is fine. Batches begin with one item and grow until one takes about 20 ms, so that tiny
    calls cost little and long ones spread evenly.

    Args:
        function: a plain function, or a remote one, whose options are used then.
        iterables: as many as the function has arguments; the shortest ends the map.
        batch_size: items in a batch; default: as measured.
        ordered: yield in the order of the items; otherwise as they come.
        options: of the tasks, as in `@remote(...)`.

    Yields:
        The results.

    Raises:
        TypeError: `function` cannot be called, or something cannot be iterated over.
        ValueError: `batch_size` below 1, or a wrong option.
        Exception: of the first call that raises, at its turn.

    Source: the built-in `map`; batches as in joblib's `batch_size="auto"`.
    """
    if batch_size is not None and batch_size < 1:
        msg = f"batch_size must be 1 or more, got {batch_size!r}"
        raise ValueError(msg)
    given = dict(options)
    plain: Any = function
    if isinstance(function, RemoteFunction):
        plain = function._function  # noqa: SLF001  # the API's own
        given = {**function._given, **given}  # noqa: SLF001
    if not callable(plain):
        msg = f"map() needs a function first, got {type(function).__name__}"
        raise TypeError(msg)
    if not iterables:
        msg = "map() needs at least one iterable"
        raise TypeError(msg)
    items = zip(*iterables, strict=False)  # raises for what is no iterable, now
    given.setdefault("name", getattr(plain, "__name__", type(plain).__name__))
    batch = remote(**given)(functools.partial(run_batch, plain))
    return _in_batches(batch, items, batch_size, ordered=ordered)


def _in_batches(
    batch: RemoteFunction[Any, Any],
    items: Iterator[tuple[Any, ...]],
    size: int | None,
    *,
    ordered: bool,
) -> Iterator[Any]:
    backend = context.backend()
    most = BATCHES_AHEAD * max(1, round(backend.totals.get(resources.CPU, 1.0)))
    count = size or 1
    under_way: deque[refs.ObjectRef[Any]] = deque()
    while True:
        while len(under_way) < most:
            chunk = list(itertools.islice(items, count))
            if not chunk:
                break
            under_way.append(batch.remote(chunk))
        if not under_way:
            return
        if not ordered:
            _bring_ready_first(under_way)
        results, took_s = get(under_way.popleft())
        for result in results:
            if type(result) is Raised:
                raise result.exception()
            yield result
        if size is None and results:
            count = _better_size(count, len(results), took_s)


def _bring_ready_first(under_way: deque[refs.ObjectRef[Any]]) -> None:
    ready, _ = wait(list(under_way), num_returns=1)
    under_way.rotate(-under_way.index(ready[0]))


def _better_size(now: int, items: int, took_s: float) -> int:
    """Return how many items a batch is to have; it grows fourfold at most."""
    wanted = int(BATCH_TARGET_S * items / max(took_s, 1e-9))
    return max(1, min(wanted, 4 * now, BATCH_MAX))
