"""Results as they come: `as_completed`, `map_unordered`, and `map` with automatic batches."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import checks, context, refs
from burrow_jupyter.api.calls import get, wait
from burrow_jupyter.api.remote import remote
from burrow_jupyter.api.tasks import RemoteFunction
from burrow_jupyter.api.util.batches import Raised, name_of, run_batch
from burrow_jupyter.core import resources
from burrow_jupyter.engine import seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

BATCH_TARGET_S = 0.02
"""Measured work in one batch of `map`: a round trip is under 5 % of it."""
BATCH_LATE_S = 5 * BATCH_TARGET_S
"""After so long a batch that was measured wrongly comes back, with what it has."""
BATCH_MAX = 10_000
BATCHES_AHEAD = 3
"""Batches under way for each CPU: enough that no worker waits for the reader."""
SHARED_FROM_S = 0.0002
"""Less work than this is one batch: to have several workers woken would take longer."""

_paces: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
"""Seconds that a call took on average when a function was last mapped: where its next begins."""


def as_completed(
    refs: Sequence[refs.ObjectRef[Any]],
    *,
    chunk_size: int = 10,
    yield_obj_refs: bool = False,
    **waiting: Any,
) -> Iterator[Any]:
    """Yield values as they become ready.

    Args:
        refs: of objects; duplicates are given once.
        chunk_size: hand results out when so many are ready (or all that are left), in the
            order of `refs`; 1: strictly as they come.
        yield_obj_refs: yield refs that are ready in place of values.
        waiting: of each `wait`, such as `timeout`: after so long what is ready is handed out.

    Raises:
        ValueError: `chunk_size` below 1.
        Exception: of the task whose turn it is.

    Source: Ray 2.60 `ray.util.as_completed`.
    """
    checks.whole("chunk_size", chunk_size, least=1)
    return _completed(
        list(dict.fromkeys(checks.items("refs", refs))),
        chunk_size,
        waiting,
        refs_only=yield_obj_refs,
    )


def _completed(
    left: list[refs.ObjectRef[Any]], chunk_size: int, waiting: dict[str, Any], *, refs_only: bool
) -> Iterator[Any]:
    while left:
        ready, left = wait(left, num_returns=min(chunk_size, len(left)), **waiting)
        for ref in ready:
            yield ref if refs_only else get(ref)


def map_unordered(
    fn: RemoteFunction[Any, Any],
    items: Iterable[Any],
    *,
    backpressure_size: int | None = 100,
    chunk_size: int = 10,
    yield_obj_refs: bool = False,
    **waiting: Any,
) -> Iterator[Any]:
    """Call a remote function with each item; yield results as they become ready.

    Args:
        fn: a remote function of one argument.
        items: read only as far as there is room.
        backpressure_size: most calls under way; `None`: no limit. At least `chunk_size`.
        chunk_size: as in `as_completed`.
        yield_obj_refs: as in `as_completed`.
        waiting: as in `as_completed`.

    Raises:
        ValueError: a size below 1, or less room than a chunk.
        Exception: of the call whose turn it is.

    Source: Ray 2.60 `ray.util.map_unordered`.
    """
    if not hasattr(fn, "remote"):  # a function, or an actor's method
        msg = f"map_unordered() takes a remote function, got {fn!r:.60}; map() takes others"
        raise TypeError(msg)
    checks.whole("chunk_size", chunk_size, least=1)
    most = (
        None if backpressure_size is None else checks.whole("backpressure_size", backpressure_size)
    )
    if most is not None and most < chunk_size:
        msg = f"backpressure_size must be chunk_size ({chunk_size}) or more, got {most!r}"
        raise ValueError(msg)
    given = checks.items("items", items)
    return _mapped(fn, given, backpressure_size, chunk_size, waiting, refs_only=yield_obj_refs)


def _mapped(
    function: RemoteFunction[Any, Any],
    items: Iterator[Any],
    most: int | None,
    chunk_size: int,
    waiting: dict[str, Any],
    *,
    refs_only: bool,
) -> Iterator[Any]:
    under_way: list[refs.ObjectRef[Any]] = []
    while True:
        room = None if most is None else most - len(under_way)
        under_way += [function.remote(item) for item in itertools.islice(items, room)]
        if not under_way:
            return
        ready, under_way = wait(under_way, num_returns=min(chunk_size, len(under_way)), **waiting)
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
    is fine. Batches grow, from one item where the function is new, until one takes about
    20 ms, so that tiny calls cost little and long ones spread evenly.

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
    if batch_size is not None:
        checks.whole("batch_size", batch_size, least=1)
    given = dict(options)
    plain: Any = function
    if isinstance(function, RemoteFunction):
        plain = function._function  # noqa: SLF001  # the API's own
        given = {**function._given, **given}  # noqa: SLF001
    checks.function("function", plain)
    if not iterables:
        msg = "map() needs at least one iterable"
        raise TypeError(msg)
    single = len(iterables) == 1
    sources = [checks.items("an iterable", one) for one in iterables]
    items = sources[0] if single else zip(*sources, strict=False)
    name = name_of(plain)
    given.setdefault("name", name)
    within_s = None if batch_size else BATCH_LATE_S
    calls: Any = functools.partial(run_batch, plain, single=single, within_s=within_s)
    calls.__name__ = name  # what errors and rows are to call it
    hints = [hint for one in iterables if (hint := operator.length_hint(one, -1)) >= 0]
    left = min(hints) if hints else None
    batch = functools.partial(seeds.giving, seeds.for_next_call(), remote(**given)(calls).remote)
    batches = _batches(batch, plain, items, left, batch_size, ordered=ordered)
    return itertools.chain.from_iterable(batches)


def _batches(
    batch: Callable[[list[Any], int], refs.ObjectRef[Any]],
    plain: Callable[..., Any],
    items: Iterator[Any],
    left: int | None,
    fixed: int | None,
    *,
    ordered: bool,
) -> Iterator[list[Any]]:
    """Yield the results, batch by batch.

    `batch` submits items and is told the number of the first; `left` items there are, at most.
    """
    cpus = max(1, round(context.backend().totals.get(resources.CPU, 1.0)))
    size = fixed or _size(_pace_of(plain), left, cpus)
    under_way: deque[tuple[refs.ObjectRef[Any], list[Any], int]] = deque()
    calls, worked_s, read = 0, 0.0, 0
    while True:
        while len(under_way) < BATCHES_AHEAD * cpus:
            chunk = list(itertools.islice(items, size))
            if not chunk:
                break
            under_way.append((batch(chunk, read), chunk, read))
            read += len(chunk)
            if left is not None:
                left = max(0, left - len(chunk))
        if not under_way:
            return
        if not ordered:
            _bring_ready_first(under_way)
        ref, chunk, first = under_way.popleft()
        results, took_s, has_raised = get(ref)
        if has_raised:
            raised: Raised = results.pop()
            yield results
            raise raised.exception()
        if fixed is None:
            calls += len(results)
            worked_s += took_s
            _note_pace(plain, worked_s / calls)
            size = min(_size(took_s / len(results), left, cpus), 4 * size)
            starts = range(len(results), len(chunk), size)
            pieces = [(chunk[at : at + size], first + at) for at in starts]
            again = [(batch(piece, number), piece, number) for piece, number in pieces]
            under_way.extendleft(reversed(again))
        del ref, chunk  # the reader may take long
        yield results


def _bring_ready_first(under_way: deque[tuple[refs.ObjectRef[Any], list[Any], int]]) -> None:
    refs = [ref for ref, *_ in under_way]
    ready, _ = wait(refs, num_returns=1)
    under_way.rotate(-refs.index(ready[0]))


def _pace_of(function: Callable[..., Any]) -> float | None:
    try:
        return _paces.get(function)
    except TypeError:  # it cannot be hashed, or not be referred to weakly
        return None


def _note_pace(function: Callable[..., Any], pace: float) -> None:
    with contextlib.suppress(TypeError):  # as above
        _paces[function] = pace


def _size(pace: float | None, left: int | None, cpus: int) -> int:
    """Return how many items a batch is to have, of calls that take `pace` seconds each."""
    if pace is None:
        return 1
    wanted = max(1, min(int(BATCH_TARGET_S / max(pace, 1e-9)), BATCH_MAX))
    if left is None:
        return wanted
    work_s = left * pace
    shares = 1 if work_s < SHARED_FROM_S else cpus * math.ceil(work_s / (cpus * BATCH_TARGET_S))
    return max(1, min(wanted, math.ceil(left / shares)))
