"""Refs: handles on objects that may not exist yet. Identity, waiting, pickling, counting.

A ref counts while it lives, in every process that has one; the object goes when the
last is gone. `__del__` only appends to a queue, so that garbage collection may run
anywhere.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from burrow_jupyter.api import context
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.ids import JobID, TaskID
from burrow_jupyter.backends.protocol import OLD_SESSION, Ended, Failed
from burrow_jupyter.core.ids import Ref, short
from burrow_jupyter.engine import serialization

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures
    from collections.abc import Generator

    from burrow_jupyter.backends.protocol import Backend
    from burrow_jupyter.core.failures import Failure

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Reason(str):
    """Text of several lines that is read as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ObjectRef(Ref, Generic[T_co]):
    """The promise of an object: of a task's result, or of a value given to `put`.

    Hashable, equal by identity of the object, picklable; can be awaited. `burrow.get(ref)`
    waits for the value.

    Code makes refs by `.remote()` and `put`. `ObjectRef(ref.binary())` is a ref to the same
    object in any process of the session, for as long as the object lives; of what lives no
    more, `get` raises `ObjectLostError`.

    Raises:
        TypeError: not bytes.
        ValueError: no id, or that of another session.
    """

    __slots__ = ("_backend", "_of_actor")
    _backend: Backend
    _of_actor: bool

    def __init__(self, object_id: int | bytes, backend: Backend | None = None) -> None:
        """Wrap an id that the backend has already counted for us, or count that of bytes."""
        if backend is None:
            object_id, backend = _found(object_id)
        self.id: int = object_id  # type: ignore[assignment]  # bytes come without a backend
        self.session = backend.session
        self._backend = backend

    @classmethod
    def of_actor(cls, object_id: int, backend: Backend) -> ObjectRef[Any]:
        """Wrap the id of a result of an actor's call, which `cancel` does not force."""
        ref: ObjectRef[Any] = cls(object_id, backend)
        ref._of_actor = True
        return ref

    def __del__(self) -> None:
        try:  # noqa: SIM105  # `suppress` costs 0.4 us
            self._backend.drop(self.id)
        except Exception:  # noqa: BLE001, S110  # half-made, or the interpreter is going down
            pass

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ObjectRef):
            return self.id == other.id and self.session == other.session
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.id, self.session))

    def __repr__(self) -> str:
        return f"ObjectRef({short(self.id)})"

    def hex(self) -> str:
        """Return the id as 32 hexadecimal digits: the session's 16, then its own."""
        return f"{self.session:016x}{self.id:016x}"

    def binary(self) -> bytes:
        """Return the id as 16 bytes."""
        return bytes.fromhex(self.hex())

    def why(self) -> str:
        """Say why the object is not there yet: what it waits for, and what that does.

        Returns:
            A sentence; below it the user's frames of the call that runs meanwhile, if its
            process says so within half a second. Shows itself as text, not as a literal.

        Raises:
            ValueError: the ref is of a session that has ended.
        """
        check_session(self)
        self._backend.flush()
        return Reason(self._backend.ask("why", self.id))

    def task_id(self) -> TaskID:
        """Return the id of the task that makes the object, as 32 hexadecimal digits."""
        return TaskID(self.hex())

    def job_id(self) -> JobID:
        """Return the id of the session."""
        return JobID(f"{self.session:016x}")

    @classmethod
    def size(cls) -> int:
        """Return how many bytes the id has."""
        return TaskID.size()

    @classmethod
    def from_binary(cls, id_bytes: bytes) -> ObjectRef[Any]:
        """Return a ref to the object of an id, as `binary` gave it; see `ObjectRef`."""
        return cls(id_bytes)

    @classmethod
    def from_hex(cls, hex_id: str) -> ObjectRef[Any]:
        """Return a ref to the object of an id, as `hex` gave it; see `ObjectRef`."""
        return cls(bytes.fromhex(hex_id))

    def is_nil(self) -> bool:
        """Say that there is an object: there is no ref of nothing."""
        return False

    @classmethod
    def nil(cls) -> None:
        """Return `None`: there is no ref of nothing."""
        return

    def __reduce__(self) -> tuple[Any, ...]:
        if serialization.note(self.id):
            running = context.current_or_none()
            if running is None or running.session != self.session:
                raise Ended(OLD_SESSION)
        if hasattr(self, "_of_actor"):
            return _rebuild_of_actor, (self.id, self.session)
        return _rebuild, (self.id, self.session)

    def __iter__(self) -> Any:
        msg = (
            "an ObjectRef is one object and cannot be iterated over; "
            "set num_returns=n for n refs, or get() it first"
        )
        raise TypeError(msg)

    # ---- waiting ---------------------------------------------------------------------

    def future(self) -> concurrent.futures.Future[T_co]:
        """Return a `concurrent.futures.Future` of the value.

        Cancelling it does not cancel the task.
        """
        from burrow_jupyter.api.futures import RefFuture  # noqa: PLC0415  # 10 ms, for its users

        check_session(self)
        future: RefFuture[T_co] = RefFuture(self.id, self._backend)

        def arrived() -> None:
            if future.done() or not future.set_running_or_notify_cancel():
                return
            try:
                value = fetch(self)
            except BaseException as error:  # noqa: BLE001  # it belongs to whoever asks
                # Without our frames: these have the future, which would hold itself.
                future.set_exception(error.with_traceback(None))
            else:
                future.set_result(value)

        self._backend.when_done(self.id, arrived)
        return future

    def as_future(self, _internal: Any = None) -> asyncio.Future[T_co]:
        """Return an asyncio future of the running loop."""
        import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

        return _bridge(self, asyncio.get_running_loop())

    def __await__(self) -> Generator[Any, None, T_co]:
        return self.as_future().__await__()


ObjectRef.__module__ = "burrow"
ObjectID = ObjectRef


def _bridge(ref: ObjectRef[T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
    future: asyncio.Future[T] = loop.create_future()

    def settle() -> None:
        if future.done():
            return
        try:
            value = fetch(ref)
        except StopIteration as stop:
            # A future refuses StopIteration: it would end the coroutine that awaits.
            future.set_exception(RuntimeError(f"the task raised StopIteration: {stop}"))
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever awaits
            future.set_exception(error.with_traceback(None))  # as in `future`
            future.exception()  # an un-awaited one is dropped in silence
        else:
            future.set_result(value)

    def arrived() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle)

    check_session(ref)
    backend = ref._backend  # noqa: SLF001  # this module's own

    def give_up(failure: Failure) -> None:
        def fail() -> None:
            if not future.done():
                future.set_exception(to_exception(failure))
                future.exception()  # as above

        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(fail)

    wait = backend.when_done(ref.id, arrived, future, give_up)
    backend.awaits_in(loop)

    def over(settled: asyncio.Future[T]) -> None:
        backend.awaits_no_more(wait, came=not settled.cancelled())

    if wait:
        future.add_done_callback(over)
    return future


def fetch(ref: ObjectRef[T]) -> T:
    """Return the value of a ref that is ready, or raise its error."""
    try:
        value: T = ref._backend.get([ref.id], None)[0]  # noqa: SLF001  # this module's own
    except Failed as failed:
        error = to_exception(failed.failure)
    else:
        return value
    try:
        raise error  # not above: its context would keep our frames, which keep the future
    finally:
        del error


def check_session(ref: Ref) -> None:
    """Raise unless the ref belongs to the session that runs.

    Raises:
        ValueError: it belongs to one that has ended.
    """
    running = context.current_or_none()
    if running is None or ref.session != running.session:
        raise ValueError(OLD_SESSION)


def _found(id_bytes: Any) -> tuple[int, Backend]:
    """Return the id that `ObjectRef.binary` gave, counted once more."""
    if not isinstance(id_bytes, bytes):
        msg = (
            f"ObjectRef() takes the bytes that ref.binary() gave, got {id_bytes!r:.60}; "
            "refs are made by .remote() and put()"
        )
        raise TypeError(msg)
    if len(id_bytes) != ObjectRef.size():
        msg = f"ObjectRef() takes the {ObjectRef.size()} bytes of ref.binary(), got {len(id_bytes)}"
        raise ValueError(msg)
    session, object_id = (int.from_bytes(id_bytes[at : at + 8]) for at in (0, 8))
    running = context.current_or_none()
    if running is None or running.session != session:
        raise ValueError(OLD_SESSION)
    running.adopt(object_id)
    return object_id, running


def _rebuild(object_id: int, session: int) -> ObjectRef[Any]:
    """Make a ref from its pickle; counted like any other."""
    running = context.current_or_none()
    if running is None or running.session != session:
        return _Orphan(object_id, session)
    running.adopt(object_id)
    return ObjectRef(object_id, running)


def _rebuild_of_actor(object_id: int, session: int) -> ObjectRef[Any]:
    """As `_rebuild`, for the result of an actor's call."""
    ref = _rebuild(object_id, session)
    ref._of_actor = True  # noqa: SLF001  # this module's own
    return ref


class _Gone:
    """Stands for the backend of a ref whose session is not this process's."""

    def __init__(self, session: int) -> None:
        self.session = session

    def drop(self, any_id: int) -> None:
        """Nothing was counted."""

    def get(self, ids: Any, timeout_s: float | None) -> Any:
        raise Ended(_ORPHAN)


_ORPHAN = "this ref belongs to another session than the one that runs here"


def _Orphan(object_id: int, session: int) -> ObjectRef[Any]:  # noqa: N802  # it makes one
    gone: Any = _Gone(session)
    return ObjectRef(object_id, gone)


SOON_S = 0.002
"""A task that waits for an item no longer than this keeps its CPU."""


class ObjectRefGenerator:
    """The items of a generator task, one ref after the other, as they are yielded.

    `next()` and `for` block until the next item exists and give a ref to it; an error of
    the generator is the error of the last ref. `async for` does the same in a loop.
    Source: Ray 2.60 `ObjectRefGenerator`.
    """

    def __init__(self, done: ObjectRef[Any], backend: Backend, *, backpressure: int = 0) -> None:
        """Follow a task that streams; `done` is the object that says how it ended."""
        self._backpressure = backpressure
        self._taken = 0
        self._done_ref = done
        self._backend = backend
        self._items: deque[ObjectRef[Any]] = deque()
        self._news = threading.Condition()
        self._ended = False
        self._wakers: list[Any] = []
        weak = weakref.ref(self)

        def arrived(item: Any) -> None:
            generator = weak()
            if generator is not None:
                generator._arrived(item)  # noqa: SLF001  # its own
            elif item.object_id:
                backend.drop(item.object_id)

        backend.stream(done.id, arrived)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # half-made, or the interpreter is going down
            self._backend.end_stream(self._done_ref.id)

    def why(self) -> str:
        """Return why the task has not ended; see `ObjectRef.why`."""
        return self._done_ref.why()

    def _arrived(self, item: Any) -> None:
        with self._news:
            if item.object_id:
                self._items.append(ObjectRef(item.object_id, self._backend))
            else:
                if item.failure is not None:
                    # The error takes the place of the next item.
                    self._items.append(self._done_ref)
                self._ended = True
            self._news.notify_all()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def __iter__(self) -> ObjectRefGenerator:
        return self

    def __next__(self) -> ObjectRef[Any]:
        self._backend.flush()
        while True:
            with self._news:
                if self._items:
                    return self._take()
                if self._ended:
                    raise StopIteration
            self._wait()

    def _take(self) -> ObjectRef[Any]:
        self._taken += 1
        if self._backpressure:
            self._backend.took(self._done_ref.id, self._taken)
        return self._items.popleft()

    def _wait(self) -> None:
        arrived = threading.Event()
        with self._news:
            if self._items or self._ended:
                return
            self._wakers.append(arrived.set)
        if self._backend.wait_for(arrived.is_set, SOON_S):
            return
        try:
            self._backend.wait_for(arrived.is_set, object_ids=[self._done_ref.id])
        except Failed as failed:
            raise to_exception(failed.failure) from None

    def __aiter__(self) -> ObjectRefGenerator:
        return self

    async def __anext__(self) -> ObjectRef[Any]:
        import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

        self._backend.flush()
        loop = asyncio.get_running_loop()
        self._backend.awaits_in(loop)
        while True:
            with self._news:
                if self._items:
                    return self._take()
                if self._ended:
                    raise StopAsyncIteration
                future = loop.create_future()

                def wake(future: Any = future) -> None:
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(
                            lambda: None if future.done() else future.set_result(None)
                        )

                self._wakers.append(wake)
            with self._backend.paused([self._done_ref.id]):
                await future

    def completed(self) -> ObjectRef[Any]:
        """Return a ref that is ready when the task is done, and raises its error."""
        return self._done_ref

    def next_ready(self) -> bool:
        """Say whether `next` would give a ref at once; false at the end."""
        with self._news:
            return bool(self._items)

    def is_finished(self) -> bool:
        """Say whether the task is done and every item was taken, also a final error."""
        with self._news:
            return self._ended and not self._items

    def send(self, value: Any) -> None:
        """Refused: the generator runs elsewhere and cannot be sent to."""
        raise NotImplementedError("send() does not reach a remote generator")

    def throw(self, value: Any, *more: Any) -> None:
        """Refused: use `burrow.cancel`."""
        raise NotImplementedError("throw() does not reach a remote generator; use cancel()")

    def close(self) -> None:
        """Refused: drop the generator, or use `burrow.cancel`."""
        raise NotImplementedError("close() does not reach a remote generator; use cancel()")

    async def asend(self, value: Any) -> None:
        """Refused, as `send`."""
        self.send(value)

    async def athrow(self, value: Any, *more: Any) -> None:
        """Refused, as `throw`."""
        self.throw(value)

    async def aclose(self) -> None:
        """Refused, as `close`."""
        self.close()

    def __reduce__(self) -> Any:
        msg = "an ObjectRefGenerator cannot be passed on; pass the refs that it yields"
        raise TypeError(msg)

    def __repr__(self) -> str:
        return f"ObjectRefGenerator({short(self._done_ref.id)})"


class DynamicObjectRefGenerator(list[ObjectRef[Any]]):
    """The refs to what a generator with `num_returns="dynamic"` has yielded.

    An exception is the last one. It can be read again and passed on, unlike Ray's.
    Source: Ray 2.60 `DynamicObjectRefGenerator`.
    """


ObjectRefGenerator.__module__ = DynamicObjectRefGenerator.__module__ = "burrow"
