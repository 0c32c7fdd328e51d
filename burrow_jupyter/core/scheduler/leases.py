"""Leases: which worker holds which resources.

A worker takes the resources of a shape once and then runs task after task of that
shape; the amounts come back when it runs dry, waits in `get` (CPU only) or ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import messages, resources
from burrow_jupyter.core.scheduler.records import (
    ShapeQueue,
    TaskRecord,
    TaskState,
    WorkerRecord,
    WorkerState,
)
from burrow_jupyter.core.scheduler.transitions import (
    TaskEvent,
    WorkerEvent,
    move_task,
    move_worker,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.records import GetRecord, ObjectRecord
    from burrow_jupyter.core.scheduler.state import State


def gpus_for(state: State, units: int) -> tuple[tuple[str, ...], int] | None:
    """Choose GPUs for a demand: their ids and the share of each; `None` if none fit now.

    A fraction goes to the fullest device that still has room, so that whole devices
    stay free for those who need one.
    """
    if units >= resources.UNIT:
        whole = units // resources.UNIT
        free = [gpu for gpu, left in state.gpu_free.items() if left == resources.UNIT]
        return (tuple(free[:whole]), resources.UNIT) if len(free) >= whole else None
    room = [(left, index) for index, left in enumerate(state.gpu_free.values()) if left >= units]
    if not room:
        return None
    gpu = list(state.gpu_free)[min(room)[1]]
    return (gpu,), units


def fits(state: State, shape: resources.Shape) -> bool:
    """Say whether a lease of this shape can be given now."""
    for name, units in shape:
        if state.free.get(name, 0) < units:
            return False
        if name == resources.GPU and gpus_for(state, units) is None:
            return False
    return True


def take(state: State, worker: WorkerRecord, shape: resources.Shape) -> None:
    """Give a worker the lease of a shape that fits."""
    worker.lease = shape
    resources.take(shape, state.free)
    for name, units in shape:
        if name == resources.GPU:
            chosen = gpus_for(state, units)
            assert chosen is not None, "the caller has checked that it fits"
            worker.gpus, worker.gpu_share = chosen
            for gpu in worker.gpus:
                state.gpu_free[gpu] -= worker.gpu_share
    state.worker_changed(worker)


def give_back(state: State, worker: WorkerRecord) -> None:
    """End a worker's lease. A worker that saw GPUs keeps its mark: it is never reused."""
    if worker.lease is None:
        return
    assert worker.actor is not None or not worker.blocked, "its tasks were taken off it"
    resources.give(worker.lease, state.free)
    for gpu in worker.gpus:
        state.gpu_free[gpu] += worker.gpu_share
    worker.gpu_share = 0
    worker.lease = None
    queue = worker.queue
    if queue is not None:
        queue.leased.pop(worker.id, None)
        queue.roomy.pop(worker.id, None)
        worker.queue = None
    state.worker_changed(worker)


def lease_tasks(state: State, worker: WorkerRecord, queue: ShapeQueue) -> None:
    """Let a worker run the tasks of a queue. It is idle, or still starting."""
    take(state, worker, queue.shape)
    worker.queue = queue
    queue.leased[worker.id] = worker
    if worker.state is WorkerState.IDLE:
        state.idle[worker.env].pop(worker.id, None)
        move_worker(worker, WorkerEvent.LEASE)
    else:
        queue.starting += 1
        state.starting.get(worker.env, {}).pop(worker.id, None)


def block(state: State, task: TaskRecord, getter: GetRecord) -> None:
    """A task waits in `get`: its CPU goes to others, what is held ahead comes back.

    Several of its threads may wait at once; it is blocked while one of them does.
    """
    worker = task.worker
    assert worker is not None, "only a task that runs can wait"
    if task.waits is not None:
        task.waits.append(getter)
        return
    task.waits = [getter]
    move_task(state, task, TaskEvent.BLOCK)
    worker.blocked += 1
    if worker.blocked == 1 and worker.leaving is None:
        _lend_cpus(state, worker)
    take_back(state, worker)
    state.worker_changed(worker)


def hurry(state: State, records: list[ObjectRecord]) -> None:
    """Have what a blocked task waits for run before what was there first.

    The blocked one keeps its process until then. In the order of submission a thousand
    parents would all begin, and all be blocked, before the first child of one of them runs.
    """
    pending = records.copy()
    while pending:
        task = pending.pop().task
        if task is None or task.urgent:
            continue
        task.urgent = True
        if task.state is TaskState.WAITING:
            pending += [state.objects[object_id] for object_id in task.deps]
        elif task.state is TaskState.READY:
            # It stays where it was in the queue, too, and is skipped there.
            state.queue_of[task.options_id].tasks.appendleft(task)


def resume(state: State, task: TaskRecord) -> None:
    """The task waits no more for one thing that was no object."""
    for getter in task.waits or ():
        if not getter.records:
            satisfied(state, task, getter)
            return


def give_up(state: State, task: TaskRecord, number: int) -> None:
    """The task waits no more for what one `get` or `await` of it asked for."""
    for getter in [g for g in task.waits or () if g.records and g.number == number]:
        satisfied(state, task, getter)


def satisfied(state: State, task: TaskRecord, getter: GetRecord) -> None:
    """What one `get` of a task waited for is there."""
    getter.task = None
    if task.waits is not None:
        task.waits.remove(getter)
        if not task.waits:
            _unblock(state, task)


def _unblock(state: State, task: TaskRecord) -> None:
    """The task goes on, and has its CPU again even if that is more than there are."""
    assert task.worker is not None, "only a task that runs can wait"
    move_task(state, task, TaskEvent.UNBLOCK)
    unblocked(state, task.worker, task)


def unblocked(state: State, worker: WorkerRecord, task: TaskRecord) -> None:
    """One of a worker's tasks no longer waits, whether it goes on or is over.

    What it waited for may still come: that must not wake a later wait of the task.
    """
    for getter in task.waits or ():
        getter.task = None
    task.waits = None
    worker.blocked -= 1
    if worker.queue is not None:
        worker.queue.roomy[worker.id] = worker
    if worker.blocked == 0 and worker.leaving is None:
        _want_cpus(state, worker)
    state.worker_changed(worker)


def leave(state: State, worker: WorkerRecord, task: TaskRecord) -> None:
    """What a worker runs was interrupted, and is killed if it goes on: its CPUs go to others.

    Code in C sees an interrupt when it returns, so this may be a while. Who has pressed stop
    is about to run the next cell.
    """
    if worker.leaving is not None:
        return
    worker.leaving = task
    if not worker.blocked:
        _lend_cpus(state, worker)
    take_back(state, worker)
    state.worker_changed(worker)


def left(state: State, worker: WorkerRecord) -> None:
    """It has ended."""
    worker.leaving = None
    if not worker.blocked:
        _want_cpus(state, worker)


def held(worker: WorkerRecord) -> dict[str, int]:
    """Return what a worker takes from others, by resource: its lease without CPUs that it lends."""
    lends = worker.blocked or worker.leaving is not None
    return {n: u for n, u in worker.lease or () if not (lends and n == resources.CPU)}


def _lend_cpus(state: State, worker: WorkerRecord) -> None:
    for name, units in worker.lease or ():
        if name == resources.CPU:
            state.free[name] += units


def _want_cpus(state: State, worker: WorkerRecord) -> None:
    for name, units in worker.lease or ():
        if name == resources.CPU:
            state.free[name] -= units


def take_back(state: State, worker: WorkerRecord) -> None:
    """Ask a worker for what it holds ahead."""
    if not worker.taking_back and len(worker.assigned) > 1:
        worker.taking_back = True
        state.send(worker.client, messages.TakeBack())
