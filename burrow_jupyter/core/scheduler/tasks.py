"""Tasks from submission to their end: arguments, results, retries, cancelling.

Calls of actors are tasks too; what concerns their order and their actor is in
`actors`, which stands above this module and calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import (
    Cancelled,
    EngineError,
    Failure,
    Upstream,
    UserError,
    one_line,
)
from burrow_jupyter.core.options import FOREVER
from burrow_jupyter.core.scheduler import leases, objects, placement
from burrow_jupyter.core.scheduler.commands import StopWorker
from burrow_jupyter.core.scheduler.records import (
    ClientRecord,
    ObjectRecord,
    ObjectState,
    TaskRecord,
    TaskState,
    WorkerRecord,
)
from burrow_jupyter.core.scheduler.transitions import TaskEvent, move_task

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.records import ActorRecord, CodeRecord, RunRecord
    from burrow_jupyter.core.scheduler.state import State

_WAITING, _PENDING = TaskState.WAITING, ObjectState.PENDING
"""Named here since a member of an enum costs 60 ns to find, and every task looks at these."""

AVERAGE_WEIGHT = 0.25
"""Of the newest run in a function's average duration."""


# ---- submission ----------------------------------------------------------------------


def on_submit(state: State, client: ClientRecord, message: messages.Submit) -> None:
    """A client calls a function."""
    options = state.options[message.options_id]
    task = TaskRecord(
        message.task_id,
        client,
        state.codes.get(message.code_id),
        state.functions.get(options.name) or state.function_of(options),
        message.options_id,
        options,
        message.args,
        message.deps,
        message.slots,
        message.run_id,
        message.parent,
        state.now,
    )
    register(state, client, task)
    if task.parent and is_orphan(state, task):
        fail(state, task, Cancelled(task.id, task.options.name))
    elif task.code is None:
        fail(state, task, EngineError(f"the code of {task.options.name} was never sent"))
    elif not task.deps:
        move_task(state, task, TaskEvent.ARGUMENTS_READY)
        placement.enqueue(state, task)
    elif not task.missing:
        argument_ready(state, task)
    else:
        placement.ride(state, task)


def register(state: State, client: ClientRecord, task: TaskRecord) -> None:
    """Enter a new task into the records: its results, arguments, parent and run."""
    state.tasks[task.id] = task
    task.function.counts[_WAITING] += 1
    if state.observed:
        state.task_changed(task)
    client.tasks[task.id] = task
    count = task.options.num_returns
    if count == 1:
        record = ObjectRecord(task.id, task)
        record.refs = 1
        state.objects[task.id] = record
        client.held.add(task.id)
    else:
        for object_id in result_ids(task):
            record = ObjectRecord(object_id, task)
            record.refs = 1
            state.objects[object_id] = record
            client.held.add(object_id)
    if task.args is not None:
        objects.adopt_argument(state, client, task.args)
    if task.deps:
        objects.pin(state, task.deps)
        task.missing = wait_for(state, task, task.deps)
    if task.parent:
        parent = state.tasks.get(task.parent)
        if parent is not None:
            if parent.children is None:
                parent.children = []
            parent.children.append(task.id)
            task.run_id = task.run_id or parent.run_id
    if task.run_id:
        run = state.runs.get(task.run_id)
        if run is not None:
            run.tasks[task.id] = task


def wait_for(state: State, waiting: TaskRecord | ActorRecord, deps: list[int]) -> int:
    """Have a task or actor woken by each pending argument; return how many there are."""
    missing = 0
    for object_id in deps:
        record = state.objects[object_id]
        if record.state is ObjectState.PENDING:
            missing += 1
            if record.dependants is None:
                record.dependants = [waiting]
            else:
                record.dependants.append(waiting)
    return missing


def result_ids(task: TaskRecord) -> range:
    """Return the ids of what the task returns.

    A generator that streams has one: of the object that says how it ended.
    """
    count = task.options.num_returns
    return range(task.id, task.id + (count if count >= 0 else 1))


def failed_argument(state: State, deps: list[int]) -> Failure | None:
    """Return the failure of the first argument that has failed."""
    for object_id in deps:
        record = state.objects[object_id]
        if record.state is ObjectState.FAILED:
            return record.failure
    return None


def argument_ready(state: State, task: TaskRecord) -> None:
    """An argument of a function's call is there, or has failed: queue it, or fail it."""
    if task.state > TaskState.READY:
        return
    if task.deps:
        failure = failed_argument(state, task.deps)
        if failure is not None:
            fail(state, task, upstream(task, failure))
            return
        if task.missing:
            return
    if task.state is TaskState.READY:
        return
    move_task(state, task, TaskEvent.ARGUMENTS_READY)
    placement.enqueue(state, task, front=task.urgent)


def upstream(task: TaskRecord, failure: Failure) -> Failure:
    """Return the failure of a task that cannot run for its argument's failure."""
    return Upstream(task.options.name, task.id, failure)


# ---- the end -------------------------------------------------------------------------


def on_done(state: State, worker: WorkerRecord, message: messages.Done) -> None:
    """A worker has ended a task."""
    client = worker.client
    assert client is not None, "it has just spoken"
    if message.unmapped:
        objects.unmapped(state, client, message.unmapped)
    task = worker.assigned.get(message.task_id)
    if task is None:  # it was taken from the worker meanwhile, or is told a second time
        for value in message.values:
            objects.discard(state, client, value)
        return
    worker.finished += 1
    code = task.code
    if code is not None and message.failure is None:
        note_duration(code, message.micros * 1e-6)
        if len(message.values) == 1:
            value = message.values[0]
            code.is_light = not value.segment and len(value.data) <= limits.RIDE_MAX_BYTES
    placement.unassign(state, worker, task)
    failure = message.failure
    if failure is not None:
        for value in message.values:
            objects.discard(state, client, value)
    if failure is None:
        finish(state, task, client, message.values)
    elif message.retryable and may_retry(task):
        retry(state, task)
    else:
        fail(state, task, failure)


def note_duration(code: CodeRecord, took_s: float, count: int = 1) -> None:
    """Take more runs into a function's average duration, of which each took about so long."""
    known = code.average_s
    weight = 1 - (1 - AVERAGE_WEIGHT) ** count
    code.average_s = took_s if known < 0 else known + weight * (took_s - known)


def finish(
    state: State, task: TaskRecord, maker: ClientRecord, values: list[messages.Value]
) -> None:
    """The task has returned; `values` are its results in order."""
    _end(state, task, TaskEvent.FINISH)
    if task.options.num_returns == 1 and len(values) == 1:  # nearly always
        record = state.objects.get(task.id)
        if record is not None and record.state is _PENDING:
            objects.settle(state, record, maker, values[0], None)
        else:
            objects.discard(state, maker, values[0])
        return
    ids = result_ids(task)
    for object_id, value in zip(ids, values, strict=False):
        record = state.objects.get(object_id)
        if record is not None and record.state is ObjectState.PENDING:
            objects.settle(state, record, maker, value, None)
        else:
            objects.discard(state, maker, value)
    if len(values) != len(ids):
        _settle_rest(state, task, maker, values[len(ids) :])
    _close_stream(state, task, None)


def _settle_rest(
    state: State, task: TaskRecord, maker: ClientRecord, surplus: list[messages.Value]
) -> None:
    """Nobody may wait for a result that did not come with the task's end."""
    for value in surplus:
        objects.discard(state, maker, value)
    for object_id in result_ids(task):
        record = state.objects.get(object_id)
        if record is not None and record.state is ObjectState.PENDING:
            failure = EngineError(f"{task.options.name} ended without this result")
            objects.settle(state, record, task.client, None, failure)


def fail(state: State, task: TaskRecord, failure: Failure) -> None:
    """The task has failed, was cancelled or cannot run: so do those results it still owes."""
    task.error = one_line(failure)
    ids = result_ids(task)
    _end(state, task, TaskEvent.CANCEL if isinstance(failure, Cancelled) else TaskEvent.FAIL)
    client = task.client
    wanted = not isinstance(failure, UserError) or any(_is_wanted(state, any_id) for any_id in ids)
    for object_id in ids:
        record = state.objects.get(object_id)
        if record is not None and record.state is ObjectState.PENDING:
            objects.settle(state, record, client, None, failure)
    _close_stream(state, task, failure)
    if not wanted and isinstance(failure, UserError):
        text = f"{task.options.name} failed: {task.error}"
        state.send(client, messages.Notice(text, task.run_id, failure.traceback))


def _is_wanted(state: State, object_id: int) -> bool:
    record = state.objects.get(object_id)
    return record is not None and record.refs > 0


def _close_stream(state: State, task: TaskRecord, failure: Failure | None) -> None:
    if task.options.num_returns == -1:
        state.send(task.client, messages.Streamed(task.id, task.items, 0, failure))


def note_over(state: State, task_id: int) -> None:
    """Remember for a while that a direct call has ended."""
    over = state.over
    over[task_id] = None
    if len(over) > limits.OVER_MAX:
        del over[next(iter(over))]


def _end(state: State, task: TaskRecord, event: TaskEvent) -> None:
    move_task(state, task, event)
    task.ended_at = state.now
    del state.tasks[task.id]
    task.client.tasks.pop(task.id, None)
    if task.run_id:
        run = state.runs.get(task.run_id)
        if run is not None:
            run.tasks.pop(task.id, None)
            run.ended[task.state] += 1
            run.changed_at = state.now
            code = task.code
            if code is not None and code.average_s > 0:
                run.worked_s += code.average_s
    if task.direct or task.unclear:
        note_over(state, task.id)
    args, deps, actor = task.args, task.deps, task.actor
    task.args = None
    task.deps = []
    task.slots = []
    task.children = None
    state.history.append(task)
    if actor is not None:
        actor.sent.pop(task.id, None)
        actor.calls -= 1
        actor.finished += 1
        if state.observed:
            state.actor_changed(actor)
        actor.refs -= 1  # it stays in the records for as long as a call refers to it
        if actor.refs == 0:
            state.unreferenced.append(actor)
    if args is not None:
        objects.release_argument(state, args)
    if deps:
        objects.unpin(state, deps)


# ---- generators ----------------------------------------------------------------------


def on_yielded(state: State, worker: WorkerRecord, message: messages.Yielded) -> None:
    """A generator has made an item: an object of its own, or one of a fixed number."""
    client = worker.client
    assert client is not None, "it has just spoken"
    task = worker.assigned.get(message.task_id)
    if task is None:
        objects.discard(state, client, message.value)
        return
    if task.options.num_returns >= 0:
        record = state.objects.get(message.object_id)
        if record is not None and record.state is ObjectState.PENDING:
            objects.settle(state, record, client, message.value, None)
        else:
            objects.discard(state, client, message.value)
        return
    owner = task.client
    if message.index < task.items or owner.peer < 0 or task.id not in owner.held:
        objects.discard(state, client, message.value)  # had before a retry, or nobody listens
        return
    task.items = message.index + 1
    objects.put(state, owner, message.object_id, message.value, maker=client)
    state.send(owner, messages.Streamed(task.id, message.index, message.object_id))
    record = state.objects[message.object_id]
    if objects.is_small(message.value):
        objects.deliver(state, owner, record)


def on_credit(state: State, message: messages.StreamCredit) -> None:
    """The consumer of a stream has taken items, or wants no more."""
    task = state.tasks.get(message.task_id)
    if task is not None and task.taken >= 0:
        task.taken = message.taken  # said again to each worker that runs it
        if task.worker is not None:
            state.send(task.worker.client, message)


# ---- retry and cancel ----------------------------------------------------------------


def may_retry(task: TaskRecord) -> bool:
    """Say whether a function's call has attempts left; calls of actors count theirs there."""
    limit = task.options.max_retries
    return task.actor is None and not task.cancelled and (limit == FOREVER or task.attempt <= limit)


def on_returned(state: State, worker: WorkerRecord, task_ids: list[int]) -> None:
    """A worker gives tasks back unstarted: they queue again, in front and in order."""
    worker.taking_back = False
    if worker.queue is not None:
        worker.queue.roomy[worker.id] = worker
    for task_id in reversed(task_ids):
        task = worker.assigned.get(task_id)
        if task is None:
            continue
        placement.unassign(state, worker, task)
        task.rode = True  # what was sent to ride behind it meanwhile is given back at its turn
        if task.cancelled:
            fail(state, task, Cancelled(task.id, task.options.name))
        else:
            placement.requeue(state, task)


def leave_unclear(state: State, task: TaskRecord) -> None:
    """A worker that may have answered a direct call is gone: its caller will say."""
    task.direct = False
    task.unclear = True
    task.started_at = 0.0
    if task.actor is not None:
        task.actor.sent.pop(task.id, None)
    move_task(state, task, TaskEvent.AWAIT_ARGUMENT)


def retry(state: State, task: TaskRecord) -> None:
    """Run a function's call again. The caller has taken it off its worker."""
    task.attempt += 1
    task.started_at = 0.0
    task.direct = False
    task.rode = True  # as in `on_returned`
    if task.missing:  # it rode, and its worker died with what it waits for
        move_task(state, task, TaskEvent.AWAIT_ARGUMENT)
        return
    move_task(state, task, TaskEvent.RETRY)
    placement.enqueue(state, task, front=True)


def on_cancel(
    state: State, task: TaskRecord, *, kill_after_s: float | None = None, recursive: bool = True
) -> None:
    """Cancel a task, and with `recursive` what it has submitted.

    A function that runs is interrupted; with `kill_after_s` its process is ended if it
    still runs by then. A method goes on, told that nobody wants its result.
    """
    pending = [task]
    while pending:
        current = pending.pop()
        if recursive and current.children:
            pending.extend(state.tasks[child] for child in current.children if child in state.tasks)
        _cancel_one(state, current, kill_after_s)


def on_cancel_run(state: State, run: RunRecord, *, kill_after_s: float) -> None:
    """Cancel everything of a run, also what its tasks have yet to submit."""
    run.cancelled = True
    for task in list(run.tasks.values()):
        if task.id not in state.tasks:
            continue
        if task.children:
            on_cancel(state, task, kill_after_s=kill_after_s)
        else:
            _cancel_one(state, task, kill_after_s)


def is_orphan(state: State, task: TaskRecord) -> bool:
    """Say whether a cancelled task of a cancelled run has submitted this one."""
    run = state.runs.get(task.run_id)
    if run is None or not run.cancelled:
        return False
    parent = state.tasks.get(task.parent)
    return parent is None or parent.cancelled


def _cancel_one(state: State, task: TaskRecord, kill_after_s: float | None) -> None:
    if task.state in (TaskState.WAITING, TaskState.READY):
        fail(state, task, Cancelled(task.id, task.options.name))
        if task.actor is not None:
            state.woken.append(task)  # those behind it in its lane may be ready
        return
    worker = task.worker
    if worker is None or task.state >= TaskState.FINISHED:
        return
    task.cancelled = True
    state.send(worker.client, messages.Interrupt(task.id))
    if kill_after_s is not None and task.actor is None:
        # Its end, and the start of the next, may be on their way: the process is ended
        # only if it is this task that it runs.
        task.forced = kill_after_s <= 0
        runs = next(iter(worker.assigned)) == task.id
        if runs:
            leases.leave(state, worker, task)
        if kill_after_s or runs:
            state.commands.append(StopWorker(worker.id, kill_after_s, task.id))
