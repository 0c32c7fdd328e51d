"""`concurrent.futures.Executor` over the burrow's workers."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import itertools
import threading
import time
import weakref
from collections import deque
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from burrow_jupyter.api import checks, context, lifecycle
from burrow_jupyter.api.calls import cancel
from burrow_jupyter.api.exceptions import WorkerCrashedError
from burrow_jupyter.api.futures import Future, wait_on
from burrow_jupyter.api.refs import fetch
from burrow_jupyter.api.remote import remote
from burrow_jupyter.api.util import callbacks
from burrow_jupyter.api.util.batches import Raised, as_raised, name_of, run_batch
from burrow_jupyter.core import resources
from burrow_jupyter.engine import seeds
from burrow_jupyter.engine.by_value import AsCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from burrow_jupyter.api.refs import ObjectRef
    from burrow_jupyter.api.tasks import RemoteFunction

P = ParamSpec("P")
T = TypeVar("T")


class _Work:
    """A call that was submitted, until it ends."""

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], seed: int
    ) -> None:
        self.future: Future[Any] = Future()
        self.call = (function, args, kwargs)
        self.seed = seed
        self.context = contextvars.copy_context()  # it is of the cell that submits it
        self.ref: ObjectRef[Any] | None = None


class Executor(concurrent.futures.Executor):
    """Runs calls on workers, with the standard library's interface and rules.

    A call that waits here can be cancelled; one that runs, or is about to, cannot, and says
    `running()`: few more calls are handed to the burrow than it can run.

    What a call raises is the exception itself, as it was raised there; its `__cause__` is the
    `RayTaskError` with the traceback of the worker. A call whose process dies raises
    `WorkerCrashedError`, which is also a `BrokenProcessPool`; the other calls go on.

    At the end of a script what was submitted is waited for; at the end of a notebook's kernel
    it is not.

    Args:
        max_workers: most calls at once; default: the CPUs of the burrow.
        mp_context: accepted, and means nothing here.
        initializer: called once in each worker process, before its first call. If it raises,
            no call is run: all raise `BrokenExecutor`.
        initargs: its arguments.
        max_tasks_per_child: calls after which a worker process is replaced.
        options: of the tasks, as in `@remote(...)`, such as `num_gpus=1`.

    Raises:
        ValueError: `max_workers` or `max_tasks_per_child` below 1, or a wrong option.
        TypeError: `initializer` cannot be called.

    Source: Python 3.14 `concurrent.futures.ProcessPoolExecutor`; differs: see above.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        **options: Any,
    ) -> None:
        """Start the burrow if none runs."""
        for name, number in (
            ("max_workers", max_workers),
            ("max_tasks_per_child", max_tasks_per_child),
        ):
            if number is not None and checks.whole(name, number) <= 0:
                msg = f"{name} must be greater than 0, got {number!r}"  # the words of the standard library
                raise ValueError(msg)
        if initializer is not None:
            checks.function("initializer", initializer)
        cpus = context.backend().totals.get(resources.CPU, 1.0)
        # What the burrow itself keeps from running at once may be handed over ahead.
        self._most = max_workers if max_workers and max_workers < cpus else 2 * max(1, int(cpus))
        self._start = (initializer, initargs) if initializer is not None else None
        self._id = f"{id(self):x}-{time.monotonic_ns():x}"
        # Who waits for a future keeps its CPU: what a task waits for so must not need one, or
        # all would wait for each other.
        nested = {"num_cpus": 0} if context.in_worker() else {}
        self._options = {
            "max_retries": 0,
            "max_calls": max_tasks_per_child,
            **nested,
            **options,
        }
        self._tasks: dict[str, RemoteFunction[Any, Any]] = {}
        self._lock = threading.Condition()
        self._waiting: deque[_Work] = deque()
        self._running: set[_Work] = set()
        self._done: deque[_Work] = deque()
        self._unsettled = 0  # handed over, and the future does not know yet
        self._settling = False
        self._closed = False
        self._broken = ""
        _living.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Schedule `fn(*args, **kwargs)`; return its `concurrent.futures.Future`.

        Raises:
            RuntimeError: after `shutdown`, or at the end of the program.
            BrokenExecutor: the initializer has raised.
        """
        return self._submit(checks.function("fn", fn), args, kwargs, seeds.for_next_call())

    def _submit(
        self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], seed: int
    ) -> concurrent.futures.Future[Any]:
        """Schedule a call; its seed is taken now, for it is launched when there is room."""
        work = _Work(fn, args, kwargs, seed)
        with self._lock:
            if self._broken:
                raise BrokenExecutor(self._broken)
            if self._closed or _ending.is_set():
                after = "shutdown" if self._closed else "interpreter shutdown"
                msg = f"cannot schedule new futures after {after}"
                raise RuntimeError(msg)
            self._waiting.append(work)
        self._feed()
        return work.future

    def _feed(self) -> None:
        """Hand over what waits, as far as there is room."""
        while True:
            with self._lock:
                if not self._waiting or len(self._running) >= self._most:
                    self._lock.notify_all()
                    return
                work = self._waiting.popleft()
                if not work.future.set_running_or_notify_cancel():
                    continue
                self._running.add(work)
                self._unsettled += 1
            try:
                run = work.context.run
                work.ref = seeds.giving(work.seed, run, self._launch, *work.call)
                done = functools.partial(self._ended, work)
                work.ref._backend.when_done(work.ref.id, done)  # noqa: SLF001  # the API's own
            except BaseException as error:  # noqa: BLE001  # cannot be pickled, or the burrow has ended
                work.future.set_exception(error)
                with self._lock:
                    self._running.discard(work)
                    self._unsettled -= 1
                    self._lock.notify_all()

    def _launch(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        batched = function is run_batch
        if batched:
            function, *args = args
        name = name_of(function)
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = remote(**{"name": name, **self._options})(_call)
        return task.remote(AsCode(function), args, kwargs, self._start, self._id, batched)

    def _ended(self, work: _Work) -> None:
        """A call has ended; said by a thread that reads, which must not run the user's callbacks."""
        with self._lock:
            self._running.discard(work)
            self._done.append(work)
            if not self._settling:
                self._settling = True
                threading.Thread(target=self._settle, name="burrow-executor").start()
            self._lock.notify_all()

    def _settle(self) -> None:
        """Give futures their results until none has come for a while."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._done, 0.2)
                if not self._done:
                    self._settling = False
                    return
                work = self._done.popleft()
            self._feed()
            assert work.ref is not None, "it was launched"
            try:
                value = fetch(work.ref)
            except BaseException as error:  # noqa: BLE001  # it belongs to whoever asks
                if isinstance(error, _InitializerError):
                    self._break(str(error.args[0]))
                settle = functools.partial(work.future.set_exception, _as_raised(error))
            else:
                settle = functools.partial(work.future.set_result, value)
                del value
            _call_back(settle)
            del work, settle
            with self._lock:
                self._unsettled -= 1
                self._lock.notify_all()

    def _break(self, reason: str) -> None:
        """No call can be run any more."""
        with self._lock:
            self._broken = reason
            waiting = list(self._waiting)
            self._waiting.clear()
        for work in waiting:
            if work.future.set_running_or_notify_cancel():
                work.future.set_exception(BrokenExecutor(reason))

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: Any = None,
    ) -> Iterator[T]:
        """Do `map(fn, *iterables)` on the workers, in order.

        Args:
            fn: called with one item of each iterable.
            iterables: read at once, with `buffersize` only so far ahead.
            timeout: seconds from now until the last result.
            chunksize: items in one task.
            buffersize: most results that are made but not yet taken.

        Raises:
            TimeoutError: a result was not there in time.
            ValueError: `chunksize` or `buffersize` below 1.
            TypeError: `buffersize` is no whole number.
            Exception: of the call whose turn it is.
        """
        checks.function("fn", fn)
        checks.whole("chunksize", chunksize, least=1)
        if buffersize is not None:
            checks.whole("buffersize", buffersize, least=1)
        timeout = checks.seconds("timeout", timeout)
        end = None if timeout is None else time.monotonic() + timeout
        items = zip(*(checks.items("an iterable", one) for one in iterables), strict=False)
        seed = seeds.for_next_call()

        def submitted() -> Iterator[concurrent.futures.Future[Any]]:
            for start in itertools.count(0, chunksize):
                chunk = list(itertools.islice(items, chunksize))
                if not chunk:
                    return
                yield self._submit(run_batch, (fn, chunk, start), {}, seed)

        source = submitted()
        ahead = None if buffersize is None else -(-buffersize // chunksize)
        return self._mapped(source, deque(itertools.islice(source, ahead)), end)

    def _mapped(
        self,
        source: Iterator[concurrent.futures.Future[Any]],
        futures: deque[concurrent.futures.Future[Any]],
        end: float | None,
    ) -> Iterator[T]:
        try:
            while futures:
                left = None if end is None else end - time.monotonic()
                results = futures.popleft().result(left).results
                futures.extend(itertools.islice(source, 1))
                results.reverse()
                while results:  # which keeps nothing that was handed out
                    if type(results[-1]) is Raised:
                        raise _as_raised(results[-1].exception())
                    yield results.pop()
        finally:
            for future in futures:
                future.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # as in the standard library
        """Take no more calls; free what the executor holds when the last has ended.

        Args:
            wait: return when every call has ended.
            cancel_futures: cancel those that wait for a worker.
        """
        with self._lock:
            self._closed = True
            cancelled = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
        for work in cancelled:
            work.future.cancel()
            work.future.set_running_or_notify_cancel()
        if wait:
            wait_on(self._lock, lambda: not self._unsettled and not self._waiting)

    def terminate(self) -> None:
        """Cancel what waits, and end the workers of what runs."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = list(self._running)
        for work in running:
            if work.ref is not None:
                cancel(work.ref, force=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The stop button is not to wait for all that was submitted.
        stopped = isinstance(error, KeyboardInterrupt)
        self.shutdown(wait=not stopped, cancel_futures=stopped)


Executor.__module__ = "burrow"


def _call_back(settle: Callable[[], object]) -> None:
    """Let a future know; what is no Exception comes out of its callbacks, and ends nothing."""
    try:
        settle()
    except BaseException as error:  # noqa: BLE001  # of the user's callback, as in any thread
        callbacks.report(error)


class _Crashed(WorkerCrashedError, BrokenProcessPool):
    """What it is here, and what the standard library calls it."""

    __module__ = "burrow.exceptions"
    __qualname__ = "WorkerCrashedError"


_Crashed.__name__ = "WorkerCrashedError"


def _as_raised(error: BaseException) -> BaseException:
    """Return the exception as the standard library's executors give it."""
    if type(error) is WorkerCrashedError:
        crashed = _Crashed(*error.args)
        crashed.__dict__.update(error.__dict__)
        return crashed
    return as_raised(error)


_living: weakref.WeakSet[Executor] = weakref.WeakSet()
_ending = threading.Event()


def _end() -> None:
    """The program is over: a script waits for what it has submitted."""
    _ending.set()
    if not lifecycle.kernel_id and not context.in_worker():
        for executor in list(_living):
            executor.shutdown()


# As the standard library's own executors: before Python stops to start threads.
threading._register_atexit(_end)  # type: ignore[attr-defined]  # noqa: SLF001


class _InitializerError(BrokenExecutor):
    """The initializer has raised, in a worker."""


_started: set[str] = set()
"""Executors whose initializer has run in this worker process."""


def _call(
    given: AsCode,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    start: tuple[Callable[..., object], tuple[Any, ...]] | None,
    executor: str,
    batched: bool,  # noqa: FBT001  # as we call it
) -> Any:
    """Make one call, or those of a batch, on a worker."""
    if start is not None and executor not in _started:
        try:
            start[0](*start[1])
        except Exception as error:
            msg = f"the initializer raised {type(error).__name__}: {error}"
            raise _InitializerError(msg) from error
        _started.add(executor)
    function = given.function
    return run_batch(function, *args) if batched else function(*args, **kwargs)
