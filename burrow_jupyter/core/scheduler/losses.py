"""What a death means: for the tasks that were there, for what depended on them.

A worker that dies takes only the task that it ran. Which one that was is known exactly:
the worker keeps a journal in shared memory, from which the loop first replays what had
ended and then says what had begun.
"""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import Cancelled, EngineError, Failure, WorkerDied
from burrow_jupyter.core.options import STREAMING
from burrow_jupyter.core.scheduler import actors, folding, leases, objects, placement, tasks
from burrow_jupyter.core.scheduler.commands import Stop, Sweep
from burrow_jupyter.core.scheduler.records import (
    ActorState,
    ClientRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
    WorkerState,
)
from burrow_jupyter.core.scheduler.state import Departed
from burrow_jupyter.core.scheduler.transitions import WorkerEvent, move_worker

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.state import State


def worker_exited(
    state: State,
    worker: WorkerRecord,
    exit_code: int | None,
    signal: int | None,
    running: int,
    begun: int,
    unborn: str,
) -> None:
    """A worker's process is gone, and everything that it had said has been heard.

    Args:
        state: the burrow.
        worker: whose process it was.
        exit_code: of a process that ended by itself.
        signal: that killed it.
        running: the task that it had begun and not ended, 0 if none.
        begun: what its journal names as begun, also if that is no task of ours.
        unborn: why there never was a process.
    """
    how = unborn or _how(exit_code, signal)
    started = worker.client is not None
    asked = worker.state is WorkerState.STOPPING
    state.idle.get(worker.env, {}).pop(worker.id, None)
    state.starting.get(worker.env, {}).pop(worker.id, None)
    move_worker(worker, WorkerEvent.END)
    del state.workers[worker.id]
    state.worker_changed(worker)
    queue = worker.queue
    failed_starts = 0
    if not started and not asked:
        failed_starts = state.start_failures.pop(worker.env, 0) + 1
        if failed_starts < limits.CRASH_LOOP_MAX:
            state.start_failures[worker.env] = failed_starts
        if queue is not None:
            queue.starting -= 1
    hopeless = failed_starts >= limits.CRASH_LOOP_MAX
    placement.end_loan(state, worker)
    if worker.ways:
        _lose_ways(state, Departed(worker, exit_code, signal, begun))
    if worker.actor is not None:
        if hopeless:
            worker.stop_reason = f"its process could not start ({how})"
        actors.worker_lost(state, worker, how, running, failed_starts=failed_starts)
    else:
        _lose_tasks(state, worker, exit_code, signal, running)
        _lose_setup(state, worker, how, running)
    leases.give_back(state, worker)
    if queue is not None and hopeless:
        _fail_queue(state, queue.tasks, how)
    if worker.client is None:
        return
    if worker.actor is None:
        # What earlier tasks of this process began is others' business, as are their results.
        client_lost(state, worker.client, of_task=running)
    else:
        # An actor that ended in order leaves what it has begun to whoever holds it.
        in_order = asked and not running and worker.stop_reason != actors.KILLED
        client_lost(state, worker.client, of_task=0 if in_order else None)


def _lose_ways(state: State, departed: Departed) -> None:
    """Who could call a worker itself tells what of that has not ended."""
    worker = departed.worker
    state.departed[worker.id] = departed
    if len(state.departed) > limits.DEPARTED_MAX:
        del state.departed[next(iter(state.departed))]
    for client in worker.ways:
        state.send(client, messages.WayLost(worker.id))
    worker.ways.clear()


def _how(exit_code: int | None, signal: int | None) -> str:
    if signal is not None:
        try:
            name = signals.Signals(signal).name
        except ValueError:
            name = f"signal {signal}"
        return f"killed by {name}"
    return f"exit code {exit_code}" if exit_code is not None else "its connection broke"


def _lose_tasks(
    state: State, worker: WorkerRecord, exit_code: int | None, signal: int | None, running: int
) -> None:
    for task in reversed(list(worker.assigned.values())):
        placement.unassign(state, worker, task)
        if task.cancelled:
            tasks.fail(state, task, Cancelled(task.id, task.options.name))
        elif task.id != running and task.direct:
            tasks.leave_unclear(state, task)
        elif task.id != running and task.state is TaskState.LEASED:
            placement.requeue(state, task)
        elif tasks.may_retry(task):
            tasks.retry(state, task)
        else:
            tasks.fail(state, task, died(task, worker, exit_code, signal))


def _lose_setup(state: State, worker: WorkerRecord, how: str, running: int) -> None:
    """What has ended one worker does not get to end every other."""
    for at, setup in enumerate(state.setups):
        if setup is not None and setup.code_id == running:
            name = state.codes[running].name
            placement.drop_setup(state, at)
            text = f"{name} has ended worker {worker.pid} ({how}): no other begins it any more"
            for client in state.clients.values():
                if client.role == "driver":
                    state.send(client, messages.Notice(text, setup.run_id))


def died(
    task: TaskRecord, worker: WorkerRecord, exit_code: int | None, signal: int | None
) -> Failure:
    """Return the failure of a task whose worker has died in it."""
    return WorkerDied(
        task.options.name,
        task.id,
        worker.pid,
        exit_code,
        signal,
        task.attempt,
        worker.stop_reason,
        worker.said.decode(errors="replace") if worker.said_by == task.id else "",
        task.run_id,
    )


def _fail_queue(state: State, queued: object, how: str) -> None:
    """Workers cannot start: what waits for one gets the reason instead of waiting on."""
    text = (
        f"worker processes cannot start: the last {limits.CRASH_LOOP_MAX} died before they "
        f"were ready ({how}); see the head's log, `%burrow logs`"
    )
    for task in list(queued):  # type: ignore[call-overload]  # a deque of tasks
        if task.id in state.tasks and task.worker is None:
            tasks.fail(state, task, EngineError(text))


def client_lost(state: State, client: ClientRecord, *, of_task: int | None) -> None:
    """A driver, worker or observer is gone: what it held goes, and what it had begun.

    Args:
        state: the burrow.
        client: that is gone.
        of_task: end only what this task of the client had begun; `None`: everything.
    """
    if client.peer >= 0:
        state.peers.pop(client.peer, None)
    client.peer = -1
    state.clients.pop(client.id, None)
    if client.role == "driver" and not any(c.role == "driver" for c in state.clients.values()):
        state.stopping = True  # everything ends, so nothing needs to be ended by itself
        state.commands.append(Stop("its last driver is gone"))
        return
    if state.folds:
        folding.unfold(state)
    for task in list(client.tasks.values()):
        if task.id in state.tasks and (of_task is None or 0 < of_task == task.parent):
            tasks.on_cancel(state, task, kill_after_s=0.0 if client.role == "driver" else None)
        elif task.options.num_returns == STREAMING:
            tasks.on_credit(state, messages.StreamCredit(task.id, -1))  # nobody takes more
    if of_task != 0:
        for actor in list(state.actors.values()):
            if (
                actor.client is client
                and (of_task is None or of_task == actor.parent)
                and not actor.options.detached
                and actor.state is not ActorState.DEAD
            ):
                actors.owner_lost(state, actor)
    for worker in list(state.workers.values()):
        worker.ways.discard(client)
        if worker.lent is client:  # it may run something of which nobody has told us
            placement.stop(state, worker, "who had borrowed it is gone", now=True)
    objects.drop(state, client, list(client.held))
    objects.unmapped(state, client, [n for n, count in client.mapped.items() for _ in range(count)])
    keep = [name for name, segment in state.segments.items() if segment.client is client]
    state.commands.append(Sweep(client.id, keep))
