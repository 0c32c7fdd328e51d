"""Bursts: plain messages that come many in one frame, gone through in one loop.

A loop over short calls makes frames full of `Submit` or `Call`, and their workers frames full of
`Done`. Each of these means what `tasks.on_submit`, `actors.on_call` and the `on_done` of both do
with it, and whatever is special about one (arguments that are refs, several results, a failure,
somebody who waits for it) is left to those. What is saved is the way there: a dozen calls of
functions, and look-ups that find the same for each message of a frame.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.scheduler import actors, placement, tasks
from burrow_jupyter.core.scheduler.records import ActorState, TaskRecord, TaskState
from burrow_jupyter.core.scheduler.transitions import (
    ObjectEvent,
    TaskEvent,
    move_object,
    move_task,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from burrow_jupyter.core.scheduler.records import ClientRecord
    from burrow_jupyter.core.scheduler.state import State

_LEASED, _ALIVE = TaskState.LEASED, ActorState.ALIVE
_ARGUMENTS_READY, _FINISH = TaskEvent.ARGUMENTS_READY, TaskEvent.FINISH
_ARRIVE = ObjectEvent.ARRIVE
"""Named here since a member of an enum costs 60 ns to find, and every task looks at these."""


def on_submits(state: State, client: ClientRecord, batch: Sequence[Any], at: int) -> int:
    """Enter the plain calls of one function that begin at `at`; return where they end."""
    first: messages.Submit = batch[at]
    options_id, code_id, run_id = first.options_id, first.code_id, first.run_id
    options, code = state.options[options_id], state.codes.get(code_id)
    if code is None or options.num_returns != 1:
        return at
    function = state.functions.get(options.name) or state.function_of(options)
    now = state.now
    queue = placement.queue_of(state, options_id)
    count = 0
    for message in islice(batch, at, None):
        if (
            type(message) is not messages.Submit
            or message.options_id != options_id
            or message.code_id != code_id
            or message.run_id != run_id
            or message.deps
            or message.parent
        ):
            break
        args = message.args
        if args is not None and (args.segment or args.contained):
            break
        task = TaskRecord(
            message.task_id,
            client,
            code,
            function,
            options_id,
            options,
            args,
            message.deps,
            message.slots,
            run_id,
            0,
            now,
        )
        tasks.register(state, client, task)
        move_task(state, task, _ARGUMENTS_READY)
        queue.tasks.append(task)
        count += 1
    if count:
        state.waiting_queues[queue] = None
    return at + count


def on_calls(state: State, client: ClientRecord, batch: Sequence[Any], at: int) -> int:
    """Send on the plain calls of actors that begin at `at`; return where they end."""
    all_actors, now = state.actors, state.now
    options_id = -1
    count = 0
    for message in islice(batch, at, None):
        if type(message) is not messages.Call or message.deps or message.parent or message.code_id:
            break
        if message.options_id != options_id:
            options_id = message.options_id
            options = state.options[options_id]
            function = state.functions.get(options.name) or state.function_of(options)
            lane = (client.id, options.concurrency_group)
        actor, args = all_actors.get(message.actor_id), message.args
        if (
            actor is None
            or actor.state is not _ALIVE
            or actor.lanes.get(lane)
            or options.num_returns != 1
            or (args is not None and (args.segment or args.contained))
        ):
            break
        task = TaskRecord(
            message.task_id,
            client,
            None,
            function,
            options_id,
            options,
            args,
            message.deps,
            message.slots,
            message.run_id,
            0,
            now,
        )
        task.method = message.method
        task.retries = message.max_task_retries
        task.actor = actor
        tasks.register(state, client, task)
        actor.refs += 1
        actor.calls += 1
        state.actor_changed(actor)
        actors.send(state, actor, task)
        count += 1
    return at + count


def on_ends(state: State, client: ClientRecord, batch: Sequence[Any], at: int) -> int:
    """End the plain calls of one worker that begin at `at`; return where they end."""
    worker = client.worker
    if worker is None or state.wishes or worker.leaving is not None:
        return at
    actor = worker.actor
    assigned, all_tasks, all_objects = worker.assigned, state.tasks, state.objects
    runs, history, sends, now = state.runs, state.history, state.sends, state.now
    gets = state.gets
    count = 0
    for message in islice(batch, at, None):
        if type(message) is not messages.Done or message.failure is not None or message.unmapped:
            break
        task_id, values = message.task_id, message.values
        task = assigned.get(task_id)
        record = all_objects.get(task_id)
        if (
            task is None
            or record is None
            or len(values) != 1
            or task.state is not _LEASED
            or (task.code is None) is (actor is None)
            or task.deps
            or task.direct
            or task.unclear
            or task.options.num_returns != 1
            or record.refs == 0
            or record.dependants is not None
            or record.getters is not None
            or (gets and task in gets)
        ):
            break
        value, args, owner = values[0], task.args, task.client
        if (
            value.segment
            or value.contained
            or len(value.data) > limits.PUSH_MAX_BYTES
            or (args is not None and (args.segment or args.contained))
            or owner.peer < 0
            or task_id not in owner.held
        ):
            break
        # Nothing about it is special. It leaves the worker ...
        code = task.code
        if code is not None:
            tasks.note_duration(code, message.micros * 1e-6)
            code.is_light = len(value.data) <= limits.RIDE_MAX_BYTES
        del assigned[task_id]
        worker.load_s -= task.estimate_s
        task.worker = None
        task.ran_on = worker.id
        # ... and the records ...
        move_task(state, task, _FINISH)
        if not task.started_at:
            task.started_at = now
        task.ended_at = now
        del all_tasks[task_id]
        del owner.tasks[task_id]
        if task.run_id:
            run = runs.get(task.run_id)
            if run is not None:
                run.tasks.pop(task_id, None)
                run.ended[task.state] += 1
                run.changed_at = now
                if code is not None:
                    run.worked_s += code.average_s
        if actor is not None:
            del actor.sent[task_id]
            actor.calls -= 1
            actor.finished += 1
            actor.refs -= 1
        task.args = task.children = None
        history.append(task)
        # ... and its result goes to who has called.
        record.task = None
        record.value = value
        state.inline_bytes += len(value.data)
        move_object(record, _ARRIVE)
        sends.append((owner.peer, messages.Deliver(task_id, value)))
        count += 1
    if count:
        worker.finished += count
        if actor is None and len(assigned) <= 1:
            state.held_ahead.pop(worker.id, None)
        elif actor is not None:
            state.actor_changed(actor)
            if actor.refs == 0:
                state.unreferenced.append(actor)
        state.worker_changed(worker)
        placement.after_task(state, worker)
    return at + count
