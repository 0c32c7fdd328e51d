"""A worker's life: take a call, run it, say how it ended. One task at a time, or one actor.

The main thread runs the user's code; while it does, the client's attendant hears what
cannot wait: what is held ahead is wanted back, a task is to be interrupted. An interrupt
is a KeyboardInterrupt in the main thread, raised only while the very task runs that it
was meant for, never in our own machinery.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import messages, resources
from burrow_jupyter.core.failures import Cancelled, Failure
from burrow_jupyter.core.limits import BATCH_MAX_DELAY_S, BATCH_MAX_MESSAGES
from burrow_jupyter.core.options import DYNAMIC, STREAMING, ActorOptions, TaskOptions
from burrow_jupyter.engine import current, errors, processes, serialization, transport
from burrow_jupyter.engine.client import Client, ConnectionLost
from burrow_jupyter.engine.journal import ENTRY_MAX_BYTES, Journal
from burrow_jupyter.engine.unpicklable import explain

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from burrow_jupyter.core.messages import Value

perf_counter_ns = time.perf_counter_ns
monotonic = time.monotonic

CREATION = "__init__"
TERMINATE = "__ray_terminate__"
READY = "__ray_ready__"
APPLY = "__ray_call__"
SHUTDOWN = "__ray_shutdown__"
SHUTDOWN_WITHIN_S = 5.0


class ExitActor(BaseException):
    """Raised by `exit_actor()` to unwind the method; not an Exception, so rarely caught."""


class Worker:
    """One worker process."""

    def __init__(self, sock: socket.socket, worker_id: int, gpus: tuple[str, ...]) -> None:
        current.facts.in_worker = True
        current.facts.worker_id = worker_id
        current.facts.gpus = gpus
        current.facts.pid = os.getpid()
        self._code_values: dict[int, Value] = {}
        self._codes: dict[int, Any] = {}
        self._options: dict[int, TaskOptions] = {}
        self._runs_of: dict[int, int] = {}
        self._unsent = 0
        self._in_user = False
        self._stop_after = ""
        self._exiting = False
        self.actor: Any = None
        self.wrap_ref: Callable[[int], Any] = lambda object_id: object_id
        """Makes what user code sees as a ref; set by the main."""
        self._title = 0
        hello = messages.Hello("worker", os.getpid(), worker_id)
        self.client = Client(sock, hello, self._urgent)
        self._journal = Journal(self.client.files.memory_dir, worker_id)
        signal.signal(signal.SIGINT, self._on_sigint)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.client.start()

    # ---- the loop --------------------------------------------------------------------

    def run(self) -> None:
        """Work until the head says to end, or is gone."""
        inbox = self.client.inbox
        with contextlib.suppress(ConnectionLost):
            while not self._exiting:
                try:
                    message = inbox.popleft()
                except IndexError:
                    self._send()
                    self.client.wait_until(lambda: bool(inbox))
                    continue
                kind = type(message)
                if kind is messages.Run:
                    self._run(message)
                elif kind is messages.BecomeActor:
                    self._become(message)
                elif kind is messages.Exit:
                    break
            self._finish()

    def _finish(self) -> None:
        """End in order: the user's own clean-up has its turn, with a bound."""
        shutdown = getattr(self.actor, SHUTDOWN, None)

        def clean_up() -> None:
            if shutdown is not None:
                try:
                    shutdown()
                except BaseException as error:  # noqa: BLE001  # the actor ends all the same
                    print(f"{SHUTDOWN} raised {error!r}", file=sys.stderr)  # noqa: T201
            if self.actor is not None:
                atexit._run_exitfuncs()  # noqa: SLF001  # os._exit below would skip them

        thread = threading.Thread(target=clean_up, name="burrow-shutdown", daemon=True)
        thread.start()
        thread.join(SHUTDOWN_WITHIN_S)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._send()

    def _send(self) -> None:
        """Send what has been noted."""
        self.client.flush()
        self._journal.clear()
        self._unsent = 0

    # ---- what cannot wait ------------------------------------------------------------

    def _urgent(self, message: Any) -> None:
        kind = type(message)
        if kind is messages.Code:
            self.client.receive_value(message.value)
            self._code_values[message.code_id] = message.value
        elif kind is messages.Options:
            self._options[message.options_id] = message.options
        elif kind is messages.TakeBack:
            self._give_back()
        elif kind is messages.Interrupt:
            self._interrupt(message.task_id)
        elif kind is messages.StreamCredit:
            pass

    def _give_back(self) -> None:
        """Give back what has not begun; the main thread takes from the other end."""
        inbox = self.client.inbox
        returned: list[int] = []
        kept: list[Any] = []
        while True:
            try:
                message = inbox.pop()
            except IndexError:
                break
            if type(message) is messages.Run:
                returned.append(message.task_id)
                self._discard(message)
            else:
                kept.append(message)
        inbox.extendleft(kept)
        returned.reverse()
        self.client.post(messages.Returned(returned))
        self.client.flush()

    def _discard(self, run: messages.Run) -> None:
        """Let go of the segments of a call that will not run here."""
        names = [v.segment for v in (*run.values, run.args) if v is not None and v.segment]
        if names:
            self.client.post(messages.Unmapped(names))

    def _interrupt(self, task_id: int) -> None:
        inbox = self.client.inbox
        for message in list(inbox):
            if type(message) is messages.Run and message.task_id == task_id:
                try:
                    inbox.remove(message)
                except ValueError:
                    break  # it has just begun
                self._discard(message)
                name = self._options[message.options_id].name
                self.client.post(messages.Done(task_id, [], Cancelled(task_id, name)))
                self.client.flush()
                return
        running = current.process_wide
        if running.task_id == task_id and self._in_user:
            running.cancelled = True
            if self.actor is None:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _on_sigint(self, number: int, frame: Any) -> None:
        """Raise in the task that is to be cancelled, and nowhere else."""
        if self._in_user and current.process_wide.cancelled:
            raise KeyboardInterrupt

    # ---- running ---------------------------------------------------------------------

    def _code(self, code_id: int) -> Any:
        code = self._codes.get(code_id)
        if code is None:
            value = self._code_values[code_id]
            code = self._codes[code_id] = self.client.load(value)
        return code

    def _arguments(
        self, packed: Value | None, slots: list[int | str], values: list[Value | None]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Unpickle arguments; those that were refs are filled in."""
        client = self.client
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        if packed is not None:
            client.receive_value(packed)
            given, kwargs = client.load(packed)
            args = list(given)
            if packed.segment:
                client.release_segment(packed.segment)
        for slot, value in zip(slots, values, strict=True):
            assert value is not None, "the head sends a task when its arguments are there"
            client.receive_value(value)
            loaded = client.load(value)
            if value.segment:
                client.release_segment(value.segment)
            if type(slot) is int:
                args[slot] = loaded
            else:
                kwargs[str(slot)] = loaded
        return args, kwargs

    def _run(self, run: messages.Run) -> None:
        options = self._options[run.options_id]
        if self.actor is not None and run.method == TERMINATE:
            self._end_task(messages.Done(run.task_id, [serialization.dump(None, None)]), flush=True)
            self._leave_actor("it was ended by __ray_terminate__()")
            return
        now = current.Current(run.task_id, run.run_id, current.facts.actor_id, run.attempt, options)
        current.set_process_wide(now)
        self._journal.begin(run.task_id)
        if run.options_id != self._title:
            self._title = run.options_id
            processes.set_title(f"burrow::{options.name}")
        done: messages.Done
        result: Any = None
        try:
            done, result = self._attempt(run, options, now)
        except KeyboardInterrupt:
            # The interrupt came between the user's last step and ours.
            self._in_user = False
            done = messages.Done(run.task_id, [], Cancelled(run.task_id, options.name))
        except ExitActor:
            current.set_process_wide(current.NOTHING)
            self._leave_actor("exit_actor() was called")
            return
        if options.max_calls:
            count = self._runs_of[run.code_id] = self._runs_of.get(run.code_id, 0) + 1
            if count >= options.max_calls:
                # Said before the end of the task, so that the head sends nothing more.
                self.client.post(messages.Retiring())
                self._give_back()
                self._exiting = True
        self._end_task(done, flush=self._exiting)
        del result  # it kept the refs in it alive until the head has heard of them
        current.set_process_wide(current.NOTHING)

    def _attempt(
        self, run: messages.Run, options: TaskOptions, now: current.Current
    ) -> tuple[messages.Done, Any]:
        task_id = run.task_id
        try:
            function = (
                self._method(run.method) if self.actor is not None else self._code(run.code_id)
            )
            args, kwargs = self._arguments(run.args, run.slots, run.values)
        except Exception as error:  # noqa: BLE001  # whatever the user's pickles raise
            return messages.Done(task_id, [], self._failure(error, now)), None
        began = perf_counter_ns()
        result: Any = None
        try:
            with _OpenMpThreads(options.shape):
                self._in_user = True
                result = function(*args, **kwargs)
                if options.generator or _is_coroutine(result):
                    result = self._unroll(result, run, options)
                self._in_user = False
        except KeyboardInterrupt:
            self._in_user = False
            return messages.Done(task_id, [], Cancelled(task_id, options.name)), None
        except SystemExit as error:
            self._in_user = False
            if self.actor is not None:
                raise ExitActor from None
            self._quit(error)
        except ExitActor:
            self._in_user = False
            raise
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            self._in_user = False
            micros = (perf_counter_ns() - began) // 1000
            failure = self._failure(error, now)
            return messages.Done(
                task_id, [], failure, micros, self._retryable(error, options)
            ), None
        micros = (perf_counter_ns() - began) // 1000
        del args, kwargs
        try:
            values = self._results(result, options)
        except BaseException as error:  # noqa: BLE001  # whatever pickling the result raises
            return messages.Done(task_id, [], self._failure(error, now), micros), result
        return messages.Done(task_id, values, None, micros), result

    def _method(self, name: str) -> Callable[..., Any]:
        if name == READY:
            return lambda: True
        if name == APPLY:
            return lambda function, *args, **kwargs: function(self.actor, *args, **kwargs)
        method: Callable[..., Any] = getattr(self.actor, name)
        return method

    def _results(self, result: Any, options: TaskOptions) -> list[Value]:
        count = options.num_returns
        dump = self.client.dump
        name = options.name
        if count == 1 and result is not _SAID:
            return [_dump_result(dump, result, name)]
        if count == 0 or result is _SAID:
            return []
        if count in (STREAMING, DYNAMIC):
            return [_dump_result(dump, result, name)]
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
        return [_dump_result(dump, item, name) for item in items]

    def _unroll(self, result: Any, run: messages.Run, options: TaskOptions) -> Any:
        """Run a coroutine to its end, or a generator item by item."""
        if _is_coroutine(result):
            import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

            return asyncio.run(_await(result))
        items = _sync_items(result)
        client = self.client
        if options.num_returns == DYNAMIC:
            return [self.wrap_ref(client.put(item)) for item in items]
        index = 0
        for item in items:
            if options.num_returns == STREAMING:
                object_id = client.mint.next()
            elif index < options.num_returns:
                object_id = run.task_id + index
            else:
                print(  # noqa: T201  # the surplus is dropped with a logged message
                    f"{options.name} yielded more than num_returns={options.num_returns} values",
                    file=sys.stderr,
                )
                break
            if index >= run.skip or options.num_returns != STREAMING:
                value = client.dump(item)
                client.post(messages.Yielded(run.task_id, index, object_id, value))
                client.flush()
            del item
            index += 1
        if options.num_returns > index:
            msg = f"{options.name} has num_returns={options.num_returns} but yielded {index} values"
            raise ValueError(msg)
        return None if options.num_returns == STREAMING else _SAID

    def _failure(self, error: BaseException, now: current.Current) -> Failure:
        options = now.options
        return errors.capture(
            error,
            function=options.name if options is not None else CREATION,
            task_id=now.task_id,
            actor_id=now.actor_id,
            actor_repr=_repr(self.actor) if self.actor is not None else "",
            attempt=now.attempt,
        )

    def _retryable(self, error: BaseException, options: TaskOptions) -> bool:
        if options.retry_types:
            import pickle  # noqa: PLC0415  # already loaded; named where it is used

            types = pickle.loads(options.retry_types)  # noqa: S301  # the driver's own
            return isinstance(error, types) or isinstance(getattr(error, "cause", None), types)
        return options.retry_exceptions and isinstance(error, Exception)

    def _quit(self, error: SystemExit) -> None:
        """The task called `sys.exit`: the worker ends, which the head takes for a crash."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self.client.flush()
        code = error.code
        os._exit(code if isinstance(code, int) else int(code is not None))

    def _end_task(self, done: messages.Done, *, flush: bool = False) -> None:
        """Report the end of a task: at once, or with others while more wait to be run."""
        client = self.client
        alone = len(client._out) == self._unsent  # noqa: SLF001  # nothing but ends is unsent
        client._out.append(done)  # noqa: SLF001  # post() would flush by time alone
        if (
            flush
            or not client.inbox
            or not alone
            or client.dropped
            or self._unsent >= BATCH_MAX_MESSAGES - 1
            or monotonic() - client._last_flush > BATCH_MAX_DELAY_S  # noqa: SLF001
            or any(v.contained or v.segment for v in done.values)
        ):
            self._send()
            return
        frame = transport.encode_frame([done])
        if len(frame) > ENTRY_MAX_BYTES:
            self._send()
            return
        self._journal.note(frame)
        self._unsent += 1

    # ---- actors ----------------------------------------------------------------------

    def _become(self, message: messages.BecomeActor) -> None:
        options: ActorOptions = message.options
        facts = current.facts
        facts.actor_id = message.actor_id
        facts.actor_options = options
        facts.restarts = message.restarts
        now = current.Current(0, message.run_id, message.actor_id, message.restarts + 1)
        current.set_process_wide(now)
        processes.set_title(f"burrow::{options.class_name}")
        failure: Failure | None = None
        try:
            with _OpenMpThreads(options.shape):
                cls = self._code(message.code_id)
                args, kwargs = self._arguments(message.args, message.slots, message.values)
                self._in_user = True
                self.actor = cls(*args, **kwargs)
                facts.actor_instance = self.actor
        except ExitActor:
            self._leave_actor("exit_actor() was called")
            return
        except SystemExit as error:
            self._quit(error)
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            failure = errors.capture(
                error,
                function=f"{options.class_name}.__init__",
                task_id=0,
                actor_id=message.actor_id,
                attempt=message.restarts + 1,
            )
        finally:
            self._in_user = False
            current.set_process_wide(current.NOTHING)
        text = _repr(self.actor) if failure is None else ""
        self.client.post(messages.ActorReady(message.actor_id, failure, text))
        self._send()

    def _leave_actor(self, reason: str) -> None:
        self._exiting = True
        self.client.post(messages.ActorExit(current.facts.actor_id, reason))
        self.client.flush()


class _OpenMpThreads:
    """Sets OMP_NUM_THREADS to the CPUs of a task that has more than one, for its time."""

    __slots__ = ("_before", "_count")

    def __init__(self, shape: resources.Shape) -> None:
        self._count = 0
        if shape != _ONE_CPU:
            cpus = dict(shape).get(resources.CPU, 0) // resources.UNIT
            if cpus > 1 and "BURROW_USER_OMP" not in os.environ:
                self._count = cpus

    def __enter__(self) -> None:
        if self._count:
            self._before = os.environ.get("OMP_NUM_THREADS")
            os.environ["OMP_NUM_THREADS"] = str(self._count)

    def __exit__(self, *exc: object) -> None:
        if self._count:
            if self._before is None:
                os.environ.pop("OMP_NUM_THREADS", None)
            else:
                os.environ["OMP_NUM_THREADS"] = self._before


_SAID = object()
"""The result of a generator whose items were sent as they were yielded."""

_ONE_CPU: resources.Shape = ((resources.CPU, resources.UNIT),)


def _repr(instance: Any) -> str:
    try:
        return repr(instance)[:200]
    except Exception as error:  # noqa: BLE001  # the user's repr may do anything
        return f"<{type(instance).__name__}: its repr raised {type(error).__name__}>"


def _dump_result(dump: Callable[[Any], Value], result: Any, name: str) -> Value:
    try:
        return dump(result)
    except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
        text = explain(error, result, f"the result of {name}")
        raise TypeError(text) from None


def _is_coroutine(value: Any) -> bool:
    return type(value).__name__ == "coroutine" and hasattr(value, "cr_frame")


async def _await(value: Any) -> Any:
    return await value


def _sync_items(result: Any) -> Any:
    """Return an iterator over a generator's items, also an asynchronous one's."""
    if hasattr(result, "__anext__"):
        import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

        def items() -> Any:
            with asyncio.Runner() as runner:
                while True:
                    try:
                        yield runner.run(_next(result))
                    except StopAsyncIteration:
                        return

        return items()
    return iter(result)


async def _next(items: Any) -> Any:
    return await items.__anext__()
