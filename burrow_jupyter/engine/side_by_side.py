"""Actors whose calls run side by side: on threads, or in asyncio loops.

The worker's main thread stays the one that hears the head; it hands each call to its
concurrency group. A group has threads of its own, or a loop in a thread of its own, so
a full or blocked group never holds up another. Calls of a group begin in the order in
which they come.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import EngineError
from burrow_jupyter.core.limits import ACTOR_MAX_CONCURRENCY_ASYNC
from burrow_jupyter.engine import current
from burrow_jupyter.engine.current import EXITED_WITH_0, TERMINATED, ExitActor
from burrow_jupyter.engine.errors import format_frames_of, stack_of
from burrow_jupyter.engine.execute import Call, unknown_group

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from burrow_jupyter.core.options import ActorOptions, TaskOptions
    from burrow_jupyter.engine.worker import Worker

DEFAULT_GROUP = ""
LEAVE_WITHIN_S = 5.0
"""How long the other calls of an actor that leaves may go on: often one of them is a loop
that never ends."""


class SideBySide:
    """The groups of one actor. `submit` is called by the main thread alone."""

    def __init__(self, worker: Worker, options: ActorOptions) -> None:
        """Start them."""
        self._worker = worker
        self._calls: dict[int, Call] = {}
        self.left = False
        """Whether a call has ended the actor: what has not begun never does."""
        self._closing = False
        self._all_ended = threading.Event()
        sizes = dict(options.concurrency_groups)
        kind: type[_Loop | _Threads]
        if options.is_async:
            kind = _Loop
            sizes[DEFAULT_GROUP] = options.max_concurrency or ACTOR_MAX_CONCURRENCY_ASYNC
        else:
            kind = _Threads
            sizes[DEFAULT_GROUP] = options.max_concurrency or 1
        self._groups = {
            name: kind(self, f"burrow-{name or 'default'}", size) for name, size in sizes.items()
        }

    def construct(self, cls: type, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Make the instance of an async actor in the loop that its calls will run in.

        What it makes there (a task, a session of a client library) belongs to that loop.

        Raises:
            BaseException: whatever the constructor raises.
        """
        default = self._groups[DEFAULT_GROUP]
        assert isinstance(default, _Loop), "only async actors are made in a loop"
        return default.run(construct(cls, args, kwargs))

    def submit(self, run: messages.Run, options: TaskOptions) -> None:
        """Begin a call when its group has room."""
        if self._closing:
            return  # the head fails it, as all that will not have begun
        if run.method == messages.TERMINATE:
            self._close(TERMINATED, None)
            return
        now = current.Current(run.task_id, run.run_id, current.facts.actor_id, run.attempt, options)
        call = Call(self._worker, run, options, now)
        group = self._groups.get(options.concurrency_group)
        if group is None:
            text = unknown_group(options.name, options.concurrency_group, self._groups)
            self.end(call, messages.Done(run.task_id, [], EngineError(text)))
            return
        self._calls[run.task_id] = call
        group.submit(call)

    def where(self, any_id: int) -> str:
        """Return where a call is that runs, or, by the actor's id, its constructor; "" elsewhere."""
        if any_id == current.facts.actor_id:
            default = self._groups[DEFAULT_GROUP]
            return default.where(default.constructs) if isinstance(default, _Loop) else ""
        call = self._calls.get(any_id)
        if call is None or not call.thread:
            return ""
        group = self._groups[call.options.concurrency_group]
        return group.where(call.place) if isinstance(group, _Loop) else stack_of(call.thread)

    def interrupt(self, task_id: int) -> None:
        """Cancel a call: one that has not begun never will, a coroutine is cancelled."""
        call = self._calls.get(task_id)
        if call is None:
            return
        call.now.cancelled = True
        self._groups[call.options.concurrency_group].cancel(call)

    def end(self, call: Call, done: messages.Done) -> None:
        """Tell the head how a call has ended."""
        self._worker.modules.note()
        self._worker.output.end_of_call(call.now)
        self._worker.debugging.end_of_call(call.now)
        client = self._worker.client
        client.post(done)
        client.flush()
        call.forget()
        self.drop(call)

    def drop(self, call: Call) -> None:
        """Nothing of a call is under way any more."""
        self._calls.pop(call.now.task_id, None)
        if self._closing and not self._calls:
            self._all_ended.set()

    def leave(self, call: Call, reason: str) -> None:
        """End the actor, from within a call; others that run have a while to end."""
        self.left = True
        self.drop(call)
        self._close(reason, LEAVE_WITHIN_S)

    def quit(self, call: Call, error: SystemExit) -> None:
        """End as `sys.exit` says, from within a call."""
        if error.code == 0:
            self.leave(call, EXITED_WITH_0)
        else:
            self._worker.quit(error)

    def _close(self, reason: str, within_s: float | None) -> None:
        """End the actor when its calls have ended; later ones do not begin."""
        self._closing = True
        if not self._calls:
            self._all_ended.set()

        def end() -> None:
            self._all_ended.wait(within_s)
            self._worker.leave_actor(reason)
            self._worker.wake()

        threading.Thread(target=end, name="burrow-leave", daemon=True).start()


class _Threads:
    """A group whose calls run on threads."""

    def __init__(self, owner: SideBySide, name: str, size: int) -> None:
        self._owner = owner
        self._pool = ThreadPoolExecutor(size, name)

    def submit(self, call: Call) -> None:
        call.place = self._pool.submit(self._run, call)

    def cancel(self, call: Call) -> None:
        """Take a call from the queue; one that runs goes on, and sees its flag."""
        if call.place is not None and call.place.cancel():
            self._owner.end(call, call.cancelled())

    def _run(self, call: Call) -> None:
        token = current.concurrent.set(call.now)
        call.thread = threading.get_ident()
        try:
            if self._owner.left:
                self._owner.drop(call)
                return
            done = call.cancelled() if call.now.cancelled else call.prepare()
            if done is None:
                try:
                    call.run()
                except ExitActor as leaving:
                    self._owner.leave(call, leaving.reason)
                    return
                except SystemExit as error:
                    self._owner.quit(call, error)
                    return
                except KeyboardInterrupt:
                    done = call.cancelled()
                except BaseException as error:  # noqa: BLE001  # the border of the user's code
                    done = call.failed(error)
                else:
                    done = call.finished()
            self._owner.end(call, done)
        finally:
            current.concurrent.reset(token)


class _Loop:
    """A group whose calls run in an asyncio loop, which has a thread of its own."""

    def __init__(self, owner: SideBySide, name: str, size: int) -> None:
        self._owner = owner
        self._limit = asyncio.Semaphore(size)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name=f"{name}-asyncio", daemon=True)
        self._thread.start()
        self.constructs: asyncio.Task[Any] | None = None
        """What makes the actor's instance."""

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine to its end; another thread waits for it.

        Raises:
            BaseException: whatever it raises.
        """
        outcome: Future[tuple[Any, BaseException | None]] = Future()
        # As the calling code: what the coroutine leaves behind in the loop is of this actor.
        now = current.call()

        async def settled() -> None:
            self.constructs = asyncio.current_task()
            # A SystemExit that a task raises would end the loop, so it is a result here.
            current.concurrent.set(now)
            try:
                outcome.set_result((await coroutine, None))
            except BaseException as error:  # noqa: BLE001  # raised again by who waits
                outcome.set_result((None, error))
            finally:
                self.constructs = None

        asyncio.run_coroutine_threadsafe(settled(), self._loop)
        value, error = outcome.result()
        if error is not None:
            raise error
        return value

    def where(self, task: asyncio.Task[Any] | None) -> str:
        """Return where a task of the loop is in the user's code, also while it awaits."""
        frames: list[FrameType] = []
        at: Any = task.get_coro() if task is not None else None
        while at is not None:
            if getattr(at, "cr_running", False) or getattr(at, "ag_running", False):
                return stack_of(self._thread.ident or 0)
            frame = getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None)
            if frame is not None:
                frames.append(frame)
            at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None)
        return format_frames_of(frames)

    def submit(self, call: Call) -> None:
        self._loop.call_soon_threadsafe(self._spawn, call)

    def cancel(self, call: Call) -> None:
        """Cancel a call's coroutine, also one that waits for its turn.

        One that has not made its first step sees its flag there: asyncio would throw it away
        without a step, and nobody would hear of its end.
        """

        def cancel() -> None:
            if call.place is not None:
                call.place.cancel()

        self._loop.call_soon_threadsafe(cancel)

    def _spawn(self, call: Call) -> None:
        _task = self._loop.create_task(self._run(call), name=call.options.name)  # holds itself

    async def _run(self, call: Call) -> None:
        call.place = asyncio.current_task()
        current.concurrent.set(call.now)
        begun, early = False, call.now.cancelled
        done: messages.Done | None
        try:
            if early:
                raise asyncio.CancelledError  # noqa: TRY301  # as if it waited for its turn
            async with self._limit:
                if self._owner.left:
                    self._owner.drop(call)
                    return
                done = call.cancelled() if call.now.cancelled else call.prepare()
                if done is None:
                    begun = True
                    call.thread = threading.get_ident()
                    await call.run_async()
                    # One that has caught the cancellation ends cancelled all the same.
                    cancelled = call.now.cancelled
                    done = call.cancelled(begun=True) if cancelled else call.finished()
        except asyncio.CancelledError:
            done = call.cancelled(begun=begun)
        except ExitActor as leaving:
            self._owner.leave(call, leaving.reason)
            return
        except SystemExit as error:
            self._owner.quit(call, error)
            return
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            done = call.failed(error)
        self._owner.end(call, done)


async def construct(cls: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Make an instance in the running loop, also of a class whose `__init__` is async."""
    if not inspect.iscoroutinefunction(cls.__init__):
        return cls(*args, **kwargs)
    instance = cls.__new__(cls, *args, **kwargs)
    await cls.__init__(instance, *args, **kwargs)
    return instance
