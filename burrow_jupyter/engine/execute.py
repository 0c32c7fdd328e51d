"""One call of the user's: its arguments, its run, its results or its failure as messages.

The same steps for tasks and methods, whoever drives them: the worker's main thread, a
thread of an actor, or a coroutine of its loop.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import messages, resources
from burrow_jupyter.core.failures import Cancelled, ObjectLost, StoreFull, TimedOut, Upstream
from burrow_jupyter.core.options import DYNAMIC, STREAMING, TaskOptions
from burrow_jupyter.engine import current, errors, seeds
from burrow_jupyter.engine.serialization import PLAIN_TYPES, dump_plain
from burrow_jupyter.engine.store.segments import SegmentLostError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from burrow_jupyter.core.failures import UserError
    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.engine.client import Client
    from burrow_jupyter.engine.current import Current
    from burrow_jupyter.engine.worker import Worker

perf_counter_ns = time.perf_counter_ns

CREATION = "__init__"
UPGRADED = "__upgraded__"

_SAID = object()
"""The result of a generator whose items were sent as they were yielded."""


after_call: list[Callable[[Any], None]] = []
"""Called with the result after each call that runs alone, still as that call: before its
end is told, but when the result is pickled already."""

_PLAIN = 2
"""Parts of packed arguments without a seed."""


def arguments(
    client: Client, packed: Value | None, slots: list[int | str], values: list[Value | None]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Unpickle arguments; those that were refs are filled in.

    Raises:
        SegmentLostError: one of them is not there any more.
        Exception: whatever the user's pickles raise.
    """
    if not slots and (packed is None or not (packed.segment or packed.sizes)):
        return _unpacked(packed, None)
    read = [value for value in (packed, *values) if value is not None and value.segment]
    for held in read:
        client.receive_value(held)
    try:
        positional, kwargs = _unpacked(packed, client)
        args = list(positional)
        for slot, value in zip(slots, values, strict=True):
            assert value is not None, "the head sends a task when its arguments are there"
            try:
                loaded = client.load(value)
            except Exception as error:  # whatever the user's pickles raise
                which = f"argument {slot + 1}" if type(slot) is int else f"argument {slot}="
                errors.mark_unpickling(error, which)
                raise
            if type(slot) is int:
                args[slot] = loaded
            else:
                kwargs[str(slot)] = loaded
    finally:
        for held in read:  # also after an error: the head counts who reads
            client.release_segment(held.segment)
    return args, kwargs


def _unpacked(packed: Value | None, client: Client | None) -> tuple[Sequence[Any], dict[str, Any]]:
    if packed is None:
        if seeds.begun:
            seeds.end()
        return (), {}
    try:
        if client is not None and (packed.segment or packed.sizes):
            loaded = client.load(packed)
        else:
            loaded = pickle.loads(packed.data)  # noqa: S301  # the driver's own
    except Exception as error:  # as above
        errors.mark_unpickling(error, "an argument")
        raise
    if len(loaded) > _PLAIN:
        seeds.begin(loaded[_PLAIN])
    elif seeds.begun:
        seeds.end()
    return loaded[0], loaded[1]


def unknown_group(name: str, group: str, known: Iterable[str]) -> str:
    """Return what is wrong with a call that names a concurrency group that there is not."""
    names = ", ".join(sorted(filter(None, known))) or "none"
    return f"{name}: the actor has no concurrency group {group!r}; it has: {names}"


class Call:
    """One call on its way through a worker."""

    __slots__ = (
        "_args",
        "_began",
        "_function",
        "_kwargs",
        "_micros",
        "_result",
        "_worker",
        "now",
        "options",
        "place",
        "run_message",
        "thread",
    )

    def __init__(
        self,
        worker: Worker,
        run: messages.Run,
        options: TaskOptions,
        now: Current,
        began: int = 0,
    ) -> None:
        self._worker = worker
        self.run_message = run
        self.options = options
        self.now = now
        self.place: Any = None
        """The future or task of a call that runs beside others."""
        self.thread = 0
        """In which it runs beside others; 0 before it has begun."""
        self._began = began
        self._micros = 0
        self._result: Any = None

    def prepare(self) -> messages.Done | None:
        """Load function and arguments; return the end of the call if that fails."""
        run, worker = self.run_message, self._worker
        try:
            if worker.actor is not None:
                self._function = self._method(run.method)
            else:
                self._function = worker.code(run.code_id)
            self._args, self._kwargs = arguments(worker.client, run.args, run.slots, run.values)
        except SegmentLostError as lost:
            name, task_id = self.options.name, run.task_id
            return messages.Done(task_id, [], Upstream(name, task_id, self._lost(lost)))
        except Exception as error:  # noqa: BLE001  # whatever the user's pickles raise
            return self.failed(error)
        self._began = perf_counter_ns()
        return None

    def _lost(self, error: SegmentLostError) -> ObjectLost:
        """Say which of the arguments is lost: one that was a ref, or what was packed for the call."""
        run = self.run_message
        for object_id, value in zip(run.deps, run.values, strict=True):
            if value is not None and value.segment and error.path.endswith(f"/{value.segment}"):
                return ObjectLost(object_id, str(error))
        return ObjectLost(run.task_id, str(error))

    def _method(self, name: str) -> Callable[..., Any]:
        actor = self._worker.actor
        if name == messages.READY:
            return lambda: True
        if name == messages.APPLY:
            return lambda function, *args, **kwargs: function(actor, *args, **kwargs)
        if name == messages.UPGRADE:
            self._worker.renew_modules()
            cls = self._worker.code(self.run_message.code_id)
            return lambda: upgrade(actor, cls)
        method: Callable[..., Any] = getattr(actor, name)
        return method

    # ---- running ---------------------------------------------------------------------

    def run(self) -> None:
        """Run the user's code in this thread. Raises what it raises."""
        now = self.now
        try:
            self.returned(self._function(*self._args, **self._kwargs))
        finally:
            if now.leaving:
                now.check_leaving()

    def returned(self, result: Any) -> None:
        """Take what the function returned, and run what that may be. Raises what it raises."""
        if self.options.generator:
            items = _items_of_async(result) if hasattr(result, "__anext__") else result
            result = self._unroll(items)
        elif type(result) not in PLAIN_TYPES and _is_coroutine(result):
            result = self._worker.run_coroutine(_await(result))
        self._take(result)

    async def run_async(self) -> None:
        """Run the user's code in this loop. Raises what it raises."""
        try:
            await self._run_async()
        finally:
            self.now.check_leaving()

    async def _run_async(self) -> None:
        result = self._function(*self._args, **self._kwargs)
        if self.options.generator and hasattr(result, "__anext__"):
            result = await self._unroll_async(result)
        elif self.options.generator:
            result = self._unroll(result)
        elif hasattr(result, "__await__"):
            result = await result
        self._take(result)

    def _take(self, result: Any) -> None:
        self._result = result
        self._micros = (perf_counter_ns() - self._began) // 1000
        self._args, self._kwargs = (), _NO_KWARGS

    # ---- generators ------------------------------------------------------------------

    def _unroll(self, items: Iterator[Any]) -> Any:
        """Send each item as it is yielded."""
        if self.options.num_returns == DYNAMIC:
            refs: list[Any] = []
            try:
                for item in items:
                    refs.append(self._put(len(refs), item, items))  # those before an error count
            except Exception as error:  # noqa: BLE001  # the border of the user's code
                refs.append(self._put_failure(error))
            return self._worker.wrap_refs(refs)
        index = 0
        for item in items:
            if not self._yielded(index, item, items):
                close = getattr(items, "close", None)
                if close is not None:
                    close()
                index = max(index, self.options.num_returns)
                break
            index += 1
            del item
        return self._unrolled(index)

    async def _unroll_async(self, items: AsyncIterator[Any]) -> Any:
        if self.options.num_returns == DYNAMIC:
            refs: list[Any] = []
            try:
                async for item in items:
                    refs.append(self._put(len(refs), item, items))  # those before an error count
            except Exception as error:  # noqa: BLE001  # the border of the user's code
                refs.append(self._put_failure(error))
            return self._worker.wrap_refs(refs)
        index = 0
        async for item in items:
            if not self._yielded(index, item, items):
                index = max(index, self.options.num_returns)
                break
            index += 1
        return self._unrolled(index)

    def _put(self, index: int, item: Any, items: Any) -> Any:
        worker = self._worker
        try:
            return worker.wrap_ref(worker.client.put(item))
        except StoreFullError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
            raise self._unpicklable(error, item, f"item {index}", items) from None

    def _put_failure(self, error: Exception) -> Any:
        """Return a ref that raises, in place of the next item; raise if that is to be retried."""
        if self._retryable(error) and (self.now.actor_id or self._has_attempts_left()):
            raise error
        worker = self._worker
        return worker.wrap_ref(worker.client.put_failure(self._failure(error)))

    def _yielded(self, index: int, item: Any, items: Any) -> bool:
        """Send one item that a generator has yielded; say whether more are wanted."""
        run, options, worker = self.run_message, self.options, self._worker
        count = options.num_returns
        if count == STREAMING:
            object_id = worker.client.mint.next()
        elif index < count:
            object_id = run.task_id + index
        else:
            print(  # noqa: T201  # the surplus is dropped with a logged message
                f"{options.name} yielded more than num_returns={count} values", file=sys.stderr
            )
            return False
        if index >= run.skip or count != STREAMING:
            value = self._dump(item, f"item {index}", items)
            worker.client.post(messages.Yielded(run.task_id, index, object_id, value))
            worker.client.flush()
        if count != STREAMING:
            return True
        return worker.may_yield(self.now, index + 1, options.backpressure)

    def _unrolled(self, index: int) -> Any:
        count = self.options.num_returns
        if count > index:
            msg = f"{self.options.name} has num_returns={count} but yielded {index} values"
            raise ValueError(msg)
        return None if count == STREAMING else _SAID

    # ---- the end ---------------------------------------------------------------------

    def finished(self) -> messages.Done:
        """Return the end of a call that has returned."""
        task_id = self.run_message.task_id
        if self.now.cancelled and self.now.actor_id:
            return self.cancelled()  # a method is not interrupted, but its result is not wanted
        try:
            values = self._values()
        except BaseException as error:  # noqa: BLE001  # whatever pickling the result raises
            return self.failed(error)
        return messages.Done(task_id, values, None, self._micros)

    def cancelled(self, *, begun: bool = False) -> messages.Done:
        """Return the end of a call that was cancelled."""
        task_id = self.run_message.task_id
        return messages.Done(task_id, [], Cancelled(task_id, self.options.name, begun))

    def out_of_time(self) -> messages.Done:
        """Return the end of a call whose time was up."""
        task_id, options = self.run_message.task_id, self.options
        return messages.Done(task_id, [], TimedOut(task_id, options.name, options.timeout_s))

    def failed(self, error: BaseException) -> messages.Done:
        """Return the end of a call that has raised."""
        if type(error).__name__ == "BdbQuit":  # its user has left the debugger that it was in
            return self.cancelled()
        if issubclass(type(error), StoreFullError):  # E may refuse to be asked for its class
            text = f"a result of {self.options.name} could not be stored"
            return messages.Done(self.run_message.task_id, [], StoreFull(text, str(error)))
        # As a result would be: the refs in it live until the head has heard of the failure.
        self._result = error
        retryable = self._retryable(error)
        # How many attempts a method has left only the head knows.
        again = retryable and not self.now.actor_id and self._has_attempts_left()
        failure = self._failure(error, keep=not again)
        micros = (perf_counter_ns() - self._began) // 1000 if self._began else 0
        return messages.Done(self.run_message.task_id, [], failure, micros, retryable)

    def _failure(self, error: BaseException, *, keep: bool = True) -> UserError:
        """Return as data what was raised, and let go of its frames unless they are kept."""
        actor = self._worker.actor
        failure: UserError = errors.capture(
            error,
            function=self.options.name,
            task_id=self.run_message.task_id,
            actor_id=self.now.actor_id,
            actor_repr=repr_of(actor) if actor is not None else "",
            attempt=self.now.attempt,
            run_id=self.now.run_id,
        )
        # An error and the frames that it came through hold each other: what these frames
        # hold would stay until a garbage collection, which an idle worker never makes.
        if not (keep and self._worker.keep(self.now, error)):
            errors.clear_frames(error)
        return failure

    def look_after(self) -> None:
        """See to what the user's code has left behind."""
        for hook in after_call:
            hook(self._result)

    def forget(self) -> None:
        """Let go of the result or the error: the head has heard of the refs in it by now."""
        self._result = None

    def _retryable(self, error: BaseException) -> bool:
        options = self.options
        if options.retry_types:
            types = pickle.loads(options.retry_types)  # noqa: S301  # the driver's own
            return issubclass(type(error), types) or isinstance(
                getattr(error, "cause", None), types
            )
        return options.retry_exceptions and isinstance(error, Exception)

    def _has_attempts_left(self) -> bool:
        limit = self.options.max_retries
        return limit < 0 or self.now.attempt <= limit

    def _values(self) -> list[Value]:
        """Pickle the results."""
        count, result, name = self.options.num_returns, self._result, self.options.name
        if count == 1 and type(result) in PLAIN_TYPES:
            return [dump_plain(result, self._worker.client.writer)]
        if count == 0 or result is _SAID:
            return []
        if count in (1, STREAMING, DYNAMIC):
            return [self._dump(result)]
        if hasattr(result, "gi_frame"):  # of a function that yields nothing itself
            result = list(result)
        if not hasattr(result, "__len__"):
            msg = (
                f"{name} has num_returns={count}, so it must return {count} values; "
                f"it returned one {type(result).__name__}"
            )
            raise TypeError(msg)
        items = list(result)
        if len(items) != count:
            msg = f"{name} has num_returns={count} but returned {len(items)} values"
            raise ValueError(msg)
        return [self._dump(item) for item in items]

    def _dump(self, result: Any, what: str = "the result", items: Any = None) -> Value:
        """Pickle a result, or what the generator `items` has yielded last."""
        try:
            return self._worker.client.dump(result)
        except StoreFullError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
            raise self._unpicklable(error, result, what, items) from None

    def _unpicklable(self, error: Exception, value: Any, what: str, items: Any) -> TypeError:
        from burrow_jupyter.engine.unpicklable import explain  # noqa: PLC0415  # for errors only

        place = errors.place_of_generator(items)
        name = f"{what} of {self.options.name}{place and f', yielded in {place}'}"
        return TypeError(explain(error, value, name))


def upgrade(instance: Any, cls: type) -> None:
    """Make an actor one of another class; its state stays as it is.

    Raises:
        TypeError: instances of the classes are laid out differently.
        Exception: whatever the new class raises when it is told.
    """
    before = type(instance)
    try:
        instance.__class__ = cls
    except TypeError as error:
        msg = (
            f"the actor cannot be moved to the new definition of {cls.__name__} ({error}); "
            "make a new actor instead"
        )
        raise TypeError(msg) from None
    told = getattr(instance, UPGRADED, None)
    if told is not None:
        try:
            told()
        except BaseException:
            instance.__class__ = before
            raise
    current.facts.actor_class = cls


def creation_options(class_name: str) -> TaskOptions:
    """Return what a constructor's call knows of itself."""
    name = f"{class_name}.{CREATION}"
    return TaskOptions(name=name, function=name)


class OpenMpThreads:
    """Sets OMP_NUM_THREADS to the CPUs of a task that has more than one, for its time."""

    __slots__ = ("_before", "_count")

    def __init__(self, cpus: int) -> None:
        self._count = cpus

    def __enter__(self) -> None:
        self._before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(self._count)

    def __exit__(self, *exc: object) -> None:
        if self._before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = self._before


def threads_for(shape: resources.Shape) -> AbstractContextManager[None]:
    """Return what is to be entered while a call with these resources runs."""
    if shape and shape != _ONE_CPU:
        cpus = dict(shape).get(resources.CPU, 0) // resources.UNIT
        if cpus > 1 and "BURROW_USER_OMP" not in os.environ:
            return OpenMpThreads(cpus)
    return AS_THEY_ARE


_ONE_CPU: resources.Shape = ((resources.CPU, resources.UNIT),)
AS_THEY_ARE = contextlib.nullcontext()
_NO_KWARGS: dict[str, Any] = {}


def repr_of(instance: Any) -> str:
    """Return the user's repr, whatever it does."""
    try:
        return repr(instance)[:200]
    except Exception as error:  # noqa: BLE001  # the user's repr may do anything
        return f"<{type(instance).__name__}: its repr raised {type(error).__name__}>"


def _is_coroutine(value: Any) -> bool:
    return hasattr(value, "cr_frame") and hasattr(value, "__await__")


async def _await(value: Any) -> Any:
    return await value


def _items_of_async(result: Any) -> Iterator[Any]:
    """Return a plain iterator over the items of an asynchronous generator."""
    import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

    with asyncio.Runner() as runner:
        while True:
            try:
                yield runner.run(_next(result))
            except StopAsyncIteration:
                return


async def _next(items: Any) -> Any:
    return await items.__anext__()
