"""Direct calls: what a driver sends to a worker itself, and tells the head afterwards.

A driver that calls, waits and calls again pays for four wake-ups a call when everything goes
through the head, and for none when worker and driver look out for each other. So it may
*reach* an actor, or is *lent* a worker, and sends it one call at a time. Of calls that end well
at once the head hears when they are over, many in one message (`Ran`). Of any other it hears
(`Direct`) before anything else is said that may concern it: by the caller when it has waited
for a moment, asks, cancels, or passes the result on; by the worker before that sends anything
on behalf of the call. From then on it is a task like any other, which its worker has already.

A worker that is lent holds its lease. As soon as anything waits for room it is reclaimed;
the worker itself answers, so that a driver that is busy holds nothing up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import messages, resources
from burrow_jupyter.core.options import TaskOptions
from burrow_jupyter.core.scheduler import (
    actors,
    codes,
    leases,
    losses,
    objects,
    placement,
    tasks,
)
from burrow_jupyter.core.scheduler.records import (
    ActorState,
    ClientRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
)
from burrow_jupyter.core.scheduler.transitions import TaskEvent, move_task

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.state import State


# ---- ways ----------------------------------------------------------------------------


def on_reach(state: State, client: ClientRecord, message: messages.Reach) -> None:
    """A driver asks for a way to an actor, or to a worker for its tasks."""
    if message.after in state.tasks:
        forget_wishes(state, client)
        state.wishes[message.after] = client, message
    else:
        _answer(state, client, message)


def forget_wishes(state: State, client: ClientRecord) -> None:
    """A client asks for something else, or is gone."""
    for task_id, (asks, _) in list(state.wishes.items()):
        if asks is client:
            del state.wishes[task_id]


def after_task(state: State, task_id: int) -> None:
    """A task has ended, which perhaps was waited for."""
    wish = state.wishes.pop(task_id, None)
    if wish is not None:
        _answer(state, *wish)


def _answer(state: State, client: ClientRecord, message: messages.Reach) -> None:
    lasting = False
    worker: WorkerRecord | None = None
    if client.role == "driver" and not state.stopping:
        if message.actor_id:
            worker, lasting = _actor_for(state, message)
        else:
            worker = _lend(state, client, message)
    if worker is not None and worker.client is not None:
        worker.ways.add(client)
        lent = worker.lent is client
        state.send(worker.client, messages.Admit(client.id, message.key, lent))
    number = worker.id if worker is not None else 0
    state.send(client, messages.Reached(number, message.actor_id, lasting))


def _actor_for(state: State, message: messages.Reach) -> tuple[WorkerRecord | None, bool]:
    """Return the process of an actor that runs one call at a time, in the order they come."""
    actor = state.actors.get(message.actor_id)
    if actor is None or actor.state is ActorState.DEAD:
        return None, True
    options = actor.options
    if options.out_of_order or options.concurrency_groups or options.max_pending_calls >= 0:
        return None, True
    return (actor.worker if actor.state is ActorState.ALIVE else None), False


def _lend(state: State, client: ClientRecord, message: messages.Reach) -> WorkerRecord | None:
    """Lend an idle worker, if nothing else waits for what it takes."""
    known = [i for i in message.options if i in state.options]
    if not known or state.waiting_queues or state.unplaced or state.paused:
        return None
    queue = placement.queue_of(state, known[0])
    idle = state.idle.get(queue.env)
    if (
        not idle
        or not leases.fits(state, queue.shape)
        or any(name == resources.GPU for name, _ in queue.shape)
    ):
        return None
    worker = next(reversed(idle.values()))
    if worker.reclaiming:
        return None  # it has yet to answer to the end of the last loan
    leases.lease_tasks(state, worker, queue)
    worker.lent = client
    state.lent[worker.id] = worker
    placement.prepare(state, worker, message.run_id)
    for code_id in message.codes:
        if code_id in state.codes:
            codes.send(state, worker, code_id)
    for options_id in known:
        placement.send_options(state, worker, options_id)
    return worker


def on_give_back(state: State, client: ClientRecord, message: messages.GiveBack) -> None:
    """A driver needs a worker no more."""
    worker = state.workers.get(message.worker)
    if worker is not None and worker.lent is client:
        placement.end_loan(state, worker)
        placement.after_task(state, worker)


def on_reclaimed(state: State, worker: WorkerRecord) -> None:
    """The worker takes nothing more from its borrower; what it has of it was told before."""
    worker.reclaiming = False
    if worker.lent is not None:
        placement.end_loan(state, worker)
        placement.after_task(state, worker)


# ---- calls ---------------------------------------------------------------------------


def on_direct(state: State, teller: ClientRecord, message: messages.Direct) -> None:
    """A direct call has become the head's business too. Its caller tells, its worker, or both."""
    client = state.clients.get(message.client)
    worker = state.workers.get(message.worker)
    known = state.tasks.get(message.task_id)
    if known is not None:
        run = state.runs.get(message.run_id)
        if run is not None:  # which its worker's word may have outrun
            run.tasks[known.id] = known
        if not message.refused:
            known.direct = known.direct and teller is known.client
        elif known.unclear:
            _begin_anew(state, known, message.worker)
        elif known.direct and known.worker is worker and worker is not None:
            _take_back(state, known, worker)
        return
    over = message.task_id in state.objects or message.task_id in state.over
    if message.again or over:
        return
    if client is None or client.role != "driver":
        # Its caller is gone: what a worker still runs for it nobody wants.
        if worker is not None and worker.actor is None and worker is teller.worker:
            placement.stop(state, worker, "who had borrowed it is gone", now=True)
        return
    task = _record(state, client, message)
    if message.actor_id:
        task.method = message.method
        task.retries = message.max_task_retries
        if actors.enter(state, client, task, message.actor_id) is not None:
            _enter_call(state, worker, task, message)
    else:
        tasks.register(state, client, task)
        _enter_task(state, worker, task, message)
    if task.id not in state.tasks:
        tasks.note_over(state, task.id)


def _enter_task(
    state: State,
    worker: WorkerRecord | None,
    task: TaskRecord,
    message: messages.Direct,
) -> None:
    lent = worker is not None and worker.lent is task.client
    if worker is not None and lent:
        placement.end_loan(state, worker)
    if message.refused:
        _begin_anew(state, task, message.worker)
    elif worker is not None and lent:
        move_task(state, task, TaskEvent.LEASE)
        placement.note_assigned(state, worker, task)
        task.direct = True
        state.send(worker.client, messages.Adopt(task.id))
        return
    else:
        task.unclear = True  # it was answered just before the worker was taken back, or refused
    if worker is not None and lent:
        placement.after_task(state, worker)


def _enter_call(
    state: State, worker: WorkerRecord | None, task: TaskRecord, message: messages.Direct
) -> None:
    actor = task.actor
    assert actor is not None, "it was entered as a call"
    if message.refused:
        _begin_anew(state, task, message.worker)
    elif worker is not None and worker is actor.worker:
        task.direct = True
        actors.note_sent(state, actor, task)
        state.send(worker.client, messages.Adopt(task.id))
    else:
        task.unclear = True


def _take_back(state: State, task: TaskRecord, worker: WorkerRecord) -> None:
    """The worker refuses a call that the head thought was there."""
    if task.actor is not None:
        actors.taken_back(state, worker, task.actor, task)
    else:
        tasks.on_returned(state, worker, [task.id])
    placement.after_task(state, worker)


def _begin_anew(state: State, task: TaskRecord, worker_id: int) -> None:
    """Run a call that nobody has answered, and nobody will; it counts if it was begun."""
    task.unclear = False
    worker = state.workers.get(worker_id)
    if task.actor is not None:
        if worker is not None and worker is task.actor.worker:
            actors.queue(state, task.actor, task)
        else:
            actors.lost_on_its_way(state, task.actor, task)
        return
    gone = state.departed.get(worker_id)
    if gone is None or gone.begun != task.id:
        move_task(state, task, TaskEvent.ARGUMENTS_READY)
        placement.enqueue(state, task)
        return
    move_task(state, task, TaskEvent.LEASE)  # as it was, for the attempt to be counted
    if tasks.may_retry(task):
        tasks.retry(state, task)
    else:
        tasks.fail(state, task, losses.died(task, gone.worker, gone.exit_code, gone.signal))


def _record(state: State, client: ClientRecord, message: messages.Direct) -> TaskRecord:
    options = state.options[message.options_id]
    return TaskRecord(
        message.task_id,
        client,
        state.codes.get(message.code_id),
        state.functions.get(options.name) or state.function_of(options),
        message.options_id,
        options,
        message.args,
        [],
        [],
        message.run_id,
        0,
        state.now,
    )


def on_ran(state: State, client: ClientRecord, message: messages.Ran) -> None:
    """A direct call has returned, says its caller, who has the result."""
    known = state.tasks.get(message.task_id)
    if known is not None:
        worker = known.worker
        if message.value is None:
            return
        if known.unclear:
            known.unclear = False
            move_task(state, known, TaskEvent.LEASE)
            tasks.finish(state, known, client, [message.value])
            return
        if worker is None or not known.direct:
            return
        done = messages.Done(known.id, [message.value], None, message.micros)
        if worker.actor is not None:
            actors.on_done(state, worker, worker.actor, done)
        else:
            tasks.on_done(state, worker, done)
        placement.after_task(state, worker)
        return
    if message.task_id in state.objects or not message.options_id:
        return  # it has ended otherwise, was cancelled perhaps
    options = state.options[message.options_id]
    function = state.functions.get(options.name) or state.function_of(options)
    function.counts[TaskState.FINISHED] += 1
    _remember(state, client, message, options)
    if message.value is not None:
        objects.put(state, client, message.task_id, message.value)


def _remember(
    state: State, client: ClientRecord, message: messages.Ran, options: TaskOptions
) -> None:
    """Enter a call that is over where ended calls are counted and shown."""
    code = state.codes.get(message.code_id)
    if code is not None:
        tasks.note_duration(code, message.micros * 1e-6)
    run = state.runs.get(message.run_id)
    if run is not None:
        run.ended[TaskState.FINISHED] += 1
        run.worked_s += message.micros * 1e-6
        run.changed_at = state.now
    worker = state.workers.get(message.worker)
    if worker is not None:
        worker.finished += 1
        worker.progress_at = state.now
        state.worker_changed(worker)
    actor = state.actors.get(message.actor_id)
    if actor is not None:
        actor.finished += 1
        state.actor_changed(actor)
    task = TaskRecord(
        message.task_id,
        client,
        code,
        state.functions.get(options.name) or state.function_of(options),
        message.options_id,
        options,
        None,
        [],
        [],
        message.run_id,
        0,
        state.now - message.micros * 1e-6,
    )
    task.actor = actor
    task.ran_on = message.worker
    task.started_at = task.submitted_at
    task.ended_at = state.now
    task.state = TaskState.FINISHED
    state.history.append(task)
    state.task_changed(task)


__all__ = [
    "after_task",
    "forget_wishes",
    "on_direct",
    "on_give_back",
    "on_ran",
    "on_reach",
    "on_reclaimed",
]
