"""Actors whose calls run side by side: on threads, or in one asyncio loop.

The worker's main thread stays the one that hears the head; it hands each call to its
concurrency group. A group has its own threads (or its own limit in the loop), so a full
or blocked group never holds up another. Calls of a group begin in the order in which
they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import EngineError
from burrow_jupyter.core.limits import ACTOR_MAX_CONCURRENCY_ASYNC
from burrow_jupyter.engine import current, serialization
from burrow_jupyter.engine.current import ExitActor
from burrow_jupyter.engine.execute import Call, unknown_group

if TYPE_CHECKING:
    from burrow_jupyter.core.options import ActorOptions, TaskOptions
    from burrow_jupyter.engine.worker import Worker

DEFAULT_GROUP = ""


class SideBySide:
    """The threads, or the loop, of one actor. `submit` is called by the main thread alone."""

    def __init__(self, worker: Worker, options: ActorOptions) -> None:
        """Start them."""
        self._worker = worker
        self._calls: dict[int, Call] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._limits: dict[str, asyncio.Semaphore] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        sizes = dict(options.concurrency_groups)
        if options.is_async:
            sizes[DEFAULT_GROUP] = options.max_concurrency or ACTOR_MAX_CONCURRENCY_ASYNC
            self._loop = asyncio.new_event_loop()
            self._limits = {name: asyncio.Semaphore(size) for name, size in sizes.items()}
            threading.Thread(
                target=self._run_loop, args=(self._loop,), name="burrow-asyncio", daemon=True
            ).start()
        else:
            sizes[DEFAULT_GROUP] = options.max_concurrency or 1
            for name, size in sizes.items():
                self._pools[name] = ThreadPoolExecutor(size, f"burrow-{name or 'default'}")

    @staticmethod
    def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def submit(self, run: messages.Run, options: TaskOptions) -> None:
        """Begin a call when its group has room."""
        now = current.Current(run.task_id, run.run_id, current.facts.actor_id, run.attempt, options)
        call = Call(self._worker, run, options, now)
        group = options.concurrency_group
        known = self._limits if self._loop is not None else self._pools
        if group not in known:
            text = unknown_group(options.name, group, known)
            self._end(call, messages.Done(run.task_id, [], EngineError(text)))
            return
        self._calls[run.task_id] = call
        if run.method == messages.TERMINATE:
            threading.Thread(target=self._terminate, args=(call,), daemon=True).start()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._spawn, call, self._limits[group])
        else:
            self._pools[group].submit(self._run_in_thread, call)

    def interrupt(self, task_id: int) -> None:
        """Cancel a call: one that has not begun never will, a coroutine is cancelled."""
        call = self._calls.get(task_id)
        if call is None:
            return
        call.now.cancelled = True
        if self._loop is not None:

            def cancel() -> None:
                task = self._tasks.get(task_id)
                if task is not None:
                    task.cancel()

            self._loop.call_soon_threadsafe(cancel)

    def _end(self, call: Call, done: messages.Done) -> None:
        self._calls.pop(call.now.task_id, None)
        self._worker.output.end_of_call(call.now)
        self._worker.debugging.end_of_call(call.now)
        client = self._worker.client
        client.post(done)
        client.flush()
        call.forget()

    # ---- threads ---------------------------------------------------------------------

    def _run_in_thread(self, call: Call) -> None:
        token = current.concurrent.set(call.now)
        try:
            if call.now.cancelled:
                done: messages.Done | None = call.cancelled()
            else:
                done = call.prepare()
            if done is None:
                try:
                    call.run()
                except (ExitActor, SystemExit):
                    self._exit(call)
                    return
                except KeyboardInterrupt:
                    done = call.cancelled()
                except BaseException as error:  # noqa: BLE001  # the border of the user's code
                    done = call.failed(error)
                else:
                    done = call.finished()
            self._end(call, done)
        finally:
            current.concurrent.reset(token)

    # ---- the loop --------------------------------------------------------------------

    def _spawn(self, call: Call, limit: asyncio.Semaphore) -> None:
        assert self._loop is not None, "it runs this"
        task = self._loop.create_task(self._run_in_loop(call, limit), name=call.options.name)
        self._tasks[call.now.task_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(call.now.task_id, None))

    async def _run_in_loop(self, call: Call, limit: asyncio.Semaphore) -> None:
        current.concurrent.set(call.now)
        done: messages.Done | None
        try:
            async with limit:
                done = call.cancelled() if call.now.cancelled else call.prepare()
                if done is None:
                    await call.run_async()
                    done = call.finished()
        except asyncio.CancelledError:
            done = call.cancelled()
        except (ExitActor, SystemExit):
            self._exit(call)
            return
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            done = call.failed(error)
        self._end(call, done)

    # ---- the end ---------------------------------------------------------------------

    def _exit(self, call: Call) -> None:
        self._calls.pop(call.now.task_id, None)
        self._worker.leave_actor("exit_actor() was called")
        self._worker.wake()

    def _terminate(self, call: Call) -> None:
        """End in order: after what was submitted before."""
        for pool in self._pools.values():
            pool.shutdown(wait=True)
        while self._loop is not None and len(self._calls) > 1:
            waiting = [t for t in list(self._tasks.values()) if not t.done()]
            if not waiting:
                break
            future = asyncio.run_coroutine_threadsafe(_gather(waiting), self._loop)
            with contextlib.suppress(Exception):
                future.result()
        self._end(call, messages.Done(call.now.task_id, [serialization.dump(None, None)]))
        self._worker.leave_actor("it was ended by __ray_terminate__()")
        self._worker.wake()


async def _gather(tasks: list[Any]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
