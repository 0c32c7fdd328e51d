"""`multiprocessing.Pool` over actors: its processes, its methods, its rules."""

from __future__ import annotations

import functools
import itertools
import threading
from collections import deque
from multiprocessing import TimeoutError as PoolTimeoutError
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import checks, context, lifecycle
from burrow_jupyter.api.calls import get, kill, wait
from burrow_jupyter.api.futures import wait_on
from burrow_jupyter.api.refs import ObjectRef, fetch
from burrow_jupyter.api.remote import remote
from burrow_jupyter.api.util import callbacks
from burrow_jupyter.api.util.batches import Outcome, Raised, as_raised, name_of, run_batch
from burrow_jupyter.core import resources
from burrow_jupyter.engine import seeds
from burrow_jupyter.engine.by_value import AsCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

CHUNKS_AHEAD = 4
"""Chunks for each process when none is asked for, as in the standard library."""

Item = tuple[tuple[Any, ...], dict[str, Any]]


class PoolProcess:
    """The actor: one process of a pool."""

    def __init__(self, start: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
        if start is not None:
            start(*arguments)

    def ping(self) -> None:
        """Be there."""

    def run(self, given: AsCode, items: list[Item], start: int) -> Outcome:
        """Make calls, all of them, whatever they raise; `start`: the number of the first."""
        function = given.function

        def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            refs = [a for a in (*args, *kwargs.values()) if isinstance(a, ObjectRef)]
            if refs:
                args = tuple(get(a) if isinstance(a, ObjectRef) else a for a in args)
                kwargs = {k: get(v) if isinstance(v, ObjectRef) else v for k, v in kwargs.items()}
            return function(*args, **kwargs)

        return run_batch(call, items, start, name=name_of(function), go_on=True)


class _Settler:
    """A thread that gives results to those who wait and calls back, one at a time.

    It ends when nothing has come for a while: a pool that is never closed leaves no thread.
    """

    IDLE_S = 0.2

    def __init__(self) -> None:
        self._ended: deque[Callable[[], None]] = deque()
        self._lock = threading.Condition()
        self._running = False
        self._expected = 0

    def expect(self) -> None:
        """Count a result that will be added."""
        with self._lock:
            self._expected += 1

    def wait_for_all(self, timeout_s: float) -> None:
        """Wait until all that are expected are settled and their callbacks have returned."""
        with self._lock:
            self._lock.wait_for(lambda: not self._expected, timeout_s)

    def add(self, settle: Callable[[], None]) -> None:
        """Have a result settled: by calling this."""
        with self._lock:
            self._ended.append(settle)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="burrow-pool", daemon=True).start()
            self._lock.notify_all()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._lock.wait_for(lambda: self._ended, self.IDLE_S):
                    self._running = False
                    return
                settle = self._ended.popleft()
            try:
                settle()
            except Exception as error:  # noqa: BLE001  # of the user's callback, as in any thread
                callbacks.report(error)
            with self._lock:
                self._expected -= 1
                self._lock.notify_all()


class AsyncResult:
    """The results of calls that were sent to a pool.

    Source: Python's `multiprocessing.pool.AsyncResult`.
    """

    def __init__(
        self,
        chunks: list[ObjectRef[Any]],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        *,
        single: bool,
        settler: _Settler,
    ) -> None:
        """Follow chunks of calls; of a `single` call the result is no list."""
        self._chunks = chunks
        self._single = single
        self._done = False
        self._results: list[Any] = []
        self._error: BaseException | None = None
        self._callbacks = (callback, error_callback)
        settler.expect()
        self._left = len(chunks)
        self._news = threading.Condition()
        for chunk in chunks:
            done = functools.partial(self._chunk_ended, settler)
            chunk._backend.when_done(chunk.id, done)  # noqa: SLF001  # the API's own
        if not chunks:
            settler.add(self._settle)

    def _chunk_ended(self, settler: _Settler) -> None:
        """Said by a thread that reads, which must not run the user's callbacks."""
        with self._news:
            self._left -= 1
            last = self._left == 0
        if last:
            settler.add(self._settle)

    def _settle(self) -> None:
        """All chunks have ended: take their results, and call back."""
        results: list[Any] = []
        error: BaseException | None = None
        try:
            for chunk in self._chunks:
                for result in fetch(chunk).results:
                    if type(result) is Raised:
                        error = error or as_raised(result.exception())
                    results.append(result)
        except BaseException as raised:  # noqa: BLE001  # the process died, or the burrow ended
            error = raised
        self._results, self._error, self._chunks = results, error, []
        with self._news:
            self._done = True
            self._news.notify_all()
        callback, error_callback = self._callbacks
        if error is None and callback is not None:
            callback(results[0] if self._single else results)
        elif error is not None and error_callback is not None:
            error_callback(error)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all calls have ended, at most `timeout` seconds."""
        wait_on(self._news, self.ready, checks.seconds("timeout", timeout))

    def get(self, timeout: float | None = None) -> Any:
        """Return the result, or the list of results.

        Raises:
            TimeoutError: not all calls had ended after `timeout` seconds.
            Exception: of the first call that has raised.
        """
        self.wait(timeout)
        if not self._done:
            raise PoolTimeoutError
        if self._error is not None:
            raise self._error
        return self._results[0] if self._single else self._results

    def ready(self) -> bool:
        """Say whether all calls have ended."""
        return self._done

    def successful(self) -> bool:
        """Say whether no call has raised.

        Raises:
            ValueError: they have not all ended.
        """
        if not self.ready():
            msg = f"{self!r} not ready"
            raise ValueError(msg)
        return self._error is None


class _Results:
    """What `imap` gives: results as they are asked for; errors stand in their place."""

    def __init__(
        self,
        pool: Pool,
        function: Callable[..., Any],
        items: Iterator[Any],
        chunksize: int,
        *,
        ordered: bool,
    ) -> None:
        self._pool = pool
        self._function = function
        self._items = items
        self._chunksize = chunksize
        self._ordered = ordered
        self._seed = seeds.for_next_call()
        self._sent = 0
        self._under_way: deque[ObjectRef[Any]] = deque()
        self._ready: deque[Any] = deque()
        self._feed()

    def _feed(self) -> None:
        while len(self._under_way) < CHUNKS_AHEAD * self._pool.size:
            chunk: list[Item] = [
                ((item,), {}) for item in itertools.islice(self._items, self._chunksize)
            ]
            if not chunk:
                return
            ref = self._pool.send(self._function, chunk, self._sent, self._seed)
            self._sent += len(chunk)
            self._under_way.append(ref)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result, or the exception object of a call that has raised.

        Raises:
            TimeoutError: it was not there after `timeout` seconds.
            StopIteration: there are no more.
        """
        while not self._ready:
            if not self._under_way:
                raise StopIteration
            first = [self._under_way[0]] if self._ordered else list(self._under_way)
            ready, _ = wait(first, num_returns=1, timeout=timeout)
            if not ready:
                raise PoolTimeoutError
            self._under_way.remove(ready[0])
            self._feed()
            try:
                results = get(ready[0]).results
            except Exception as error:  # noqa: BLE001  # the process died
                results = [error]
            self._ready.extend(
                as_raised(r.exception()) if type(r) is Raised else r for r in results
            )
        return self._ready.popleft()


class Pool:
    """A pool of processes that stay: actors, each with the initializer run in it.

    One that dies is replaced: the call that it ran raises `ActorUnavailableError`, later ones
    go on.

    Args:
        processes: how many; default: the CPUs of the burrow. A burrow that is started for
            the pool has so many CPUs.
        initializer, initargs: called in each process when it starts.
        maxtasksperchild: replace a process after so many chunks of work.
        context: accepted, and means nothing here.
        ray_remote_args: options of the actors, such as `{"num_gpus": 1}`.

    Raises:
        ValueError: `processes` below 1.
        TypeError: `initializer` cannot be called.

    Source: Ray 2.60 `ray.util.multiprocessing.Pool`, and `multiprocessing.Pool`.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Any = None,
        initargs: Iterable[Any] | None = None,
        maxtasksperchild: int | None = None,
        context: Any = None,
        ray_address: str | None = None,
        ray_remote_args: dict[str, Any] | None = None,
    ) -> None:
        """Start the processes; the burrow too, if none runs."""
        if processes is not None:
            processes = checks.whole("processes", processes, least=1)
        if initializer is not None:
            checks.function("initializer", initializer)
        if maxtasksperchild is not None:
            checks.whole("maxtasksperchild", maxtasksperchild, least=1)
        if not lifecycle.is_initialized():
            lifecycle.init(ray_address, num_cpus=processes)
        self.size = processes or _cpus()
        """How many processes there are."""
        self._start = (initializer, tuple(checks.items("initargs", initargs or ())))
        self._most = maxtasksperchild
        options = {"num_cpus": 0, "max_restarts": -1, **(ray_remote_args or {})}
        self._class: Any = remote(**options)(PoolProcess)
        self._seed = seeds.for_next_call()
        self._made = 0
        self._processes = [self._process() for _ in range(self.size)]
        self._sent = [0] * self.size
        self._turn = itertools.cycle(range(self.size))
        self._under_way: list[ObjectRef[Any]] = []
        self._closed = False
        self._settler = _Settler()
        get([seeds.giving(0, process.ping.remote) for process in self._processes])

    def _process(self) -> Any:
        """Return a new process; how many there are shifts nobody's seeds."""
        self._made += 1
        seed = seeds.mix(self._seed, self._made) if self._seed else 0
        return seeds.giving(seed, self._class.remote, *self._start)

    def send(
        self, function: Callable[..., Any], items: list[Item], start: int, seed: int
    ) -> ObjectRef[Any]:
        """Send a chunk of calls to the next process.

        Args:
            function: the user's.
            items: the arguments of each call.
            start: the number of the first of them among those that share the seed.
            seed: of all of them, 0 if they draw as they like.

        Returns:
            A ref to its `Outcome`.
        """
        number = next(self._turn)
        if self._most is not None and self._sent[number] >= self._most:
            # The old one ends when its last call has: its handle goes.
            self._processes[number] = self._process()
            self._sent[number] = 0
        self._sent[number] += 1
        run = self._processes[number].run.remote
        ref: ObjectRef[Any] = seeds.giving(seed, run, AsCode(function), items, start)
        if len(self._under_way) > 1000:  # looked through now and then
            _, self._under_way = wait(self._under_way, num_returns=len(self._under_way), timeout=0)
        self._under_way.append(ref)
        return ref

    def _check(self, function: Any) -> None:
        if self._closed:
            msg = "Pool not running"
            raise ValueError(msg)
        checks.function("func", function)

    # ---- one call ----------------------------------------------------------------------

    def apply(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function in a process and return its result."""
        return self.apply_async(func, args, kwargs).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Send a call; return at once. Refs among the arguments are waited for."""
        self._check(func)
        given = tuple(checks.items("args", args or ()))
        call = (given, dict(checks.mapping("kwargs", kwargs or {})))
        ref = self.send(func, [call], 0, seeds.for_next_call())
        return AsyncResult([ref], callback, error_callback, single=True, settler=self._settler)

    # ---- many --------------------------------------------------------------------------

    def map(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """Call the function with each item; return the results in order."""
        results: list[Any] = self.map_async(func, iterable, chunksize).get()
        return results

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """As `map`, but return at once."""
        items: list[Item] = [((item,), {}) for item in checks.items("iterable", iterable)]
        return self._many(func, items, chunksize, callback, error_callback)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """As `map`, each item being the arguments of one call."""
        results: list[Any] = self.starmap_async(func, iterable, chunksize).get()
        return results

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """As `starmap`, but return at once."""
        items: list[Item] = [
            (tuple(checks.items("an item", item)), {})
            for item in checks.items("iterable", iterable)
        ]
        return self._many(func, items, chunksize, callback, error_callback)

    def _many(
        self,
        func: Callable[..., Any],
        items: list[Item],
        chunksize: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult:
        self._check(func)
        size = _chunk(chunksize) or max(1, -(-len(items) // (CHUNKS_AHEAD * self.size)))
        starts = range(0, len(items), size)
        seed = seeds.for_next_call()
        refs = [self.send(func, items[start : start + size], start, seed) for start in starts]
        return AsyncResult(refs, callback, error_callback, single=False, settler=self._settler)

    def imap(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = 1
    ) -> _Results:
        """Iterate over results in order, made a little ahead of the reader.

        A call that raises gives the exception object in its place (Ray's way).
        """
        self._check(func)
        return _Results(
            self, func, checks.items("iterable", iterable), _chunk(chunksize) or 1, ordered=True
        )

    def imap_unordered(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = 1
    ) -> _Results:
        """As `imap`, but results as they come."""
        self._check(func)
        return _Results(
            self, func, checks.items("iterable", iterable), _chunk(chunksize) or 1, ordered=False
        )

    # ---- the end -----------------------------------------------------------------------

    def close(self) -> None:
        """Take no more work; the processes end when theirs is done."""
        self._closed = True

    def terminate(self) -> None:
        """End the processes, whatever they do."""
        self._closed = True
        for process in self._processes:
            kill(process)
        self._processes = []

    def join(self) -> None:
        """Wait until all work is done and the processes have ended.

        Raises:
            ValueError: neither `close` nor `terminate` was called.
        """
        if not self._closed:
            msg = "Pool is still running"
            raise ValueError(msg)
        if self._under_way:
            wait(self._under_way, num_returns=len(self._under_way))
        self._settler.wait_for_all(JOIN_WITHIN_S)
        processes, self._processes = self._processes, []
        ends = [seeds.giving(0, process.__ray_terminate__.remote) for process in processes]
        if ends:
            wait(ends, num_returns=len(ends), timeout=JOIN_WITHIN_S)

    def __enter__(self) -> Self:
        self._check(len)
        return self

    def __exit__(self, *error: object) -> None:
        self.terminate()


JOIN_WITHIN_S = 10.0
Pool.__module__ = AsyncResult.__module__ = "burrow.util.multiprocessing"


def _cpus() -> int:
    return max(1, int(context.backend().totals.get(resources.CPU, 1.0)))


def _chunk(chunksize: int | None) -> int | None:
    return None if chunksize is None else checks.whole("chunksize", chunksize, least=1)
