"""Why something is not done yet, in a sentence: what it waits for, and what that does.

Reads only, and only when somebody asks, so a search through all objects is fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import resources
from burrow_jupyter.core.failures import one_line
from burrow_jupyter.core.scheduler.records import (
    ActorState,
    ObjectRecord,
    ObjectState,
    TaskRecord,
    TaskState,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.records import ActorRecord, WorkerRecord
    from burrow_jupyter.core.scheduler.state import State

LINK = ", which"
STEPS_MAX = 6
"""Links of a chain of waiting that are told."""
NAMED_MAX = 3
"""Things of one kind that are named."""


def why(state: State, object_id: int) -> str:
    """Return why an object is not there, or that it is."""
    return explain(state, object_id)[0]


def explain(state: State, object_id: int) -> tuple[str, TaskRecord | None]:
    """Return why an object is not there, and the call that runs meanwhile, if there is one."""
    record = state.objects.get(object_id)
    task = state.tasks.get(object_id) or (record.task if record is not None else None)
    if task is None:
        if record is None:
            return "Nobody holds it any more.", None
        if record.failure is not None:
            return f"It has failed: {one_line(record.failure)}.", None
        return "It is there.", None
    steps: list[str] = []
    seen: list[TaskRecord] = []
    current: TaskRecord | None = task
    while current is not None and len(steps) < STEPS_MAX:
        if current in seen:
            names = " -> ".join(t.options.name for t in [*seen[seen.index(current) :], current])
            steps[-1] = steps[-1].removesuffix(LINK)
            steps.append(f": a circle ({names}), and none of them can go on")
            break
        seen.append(current)
        said, current = _step(state, current)
        steps.append(said)
    text = " ".join(steps).removesuffix(LINK).replace(" :", ":")
    last = seen[-1]
    runs = last if last.worker is not None else _in_its_place(state, last)
    return f"{task.options.name} {text}.", runs


def _in_its_place(state: State, task: TaskRecord) -> TaskRecord | None:
    """Return the first of the calls that have what a call waits for."""
    short = {name for name, units in task.options.shape if state.free.get(name, 0) < units}
    for worker in state.workers.values():
        if worker.assigned and short & {name for name, _ in worker.lease or ()}:
            return next(iter(worker.assigned.values()))
    return None


def _step(state: State, task: TaskRecord) -> tuple[str, TaskRecord | None]:
    """Say what a task does or waits for, and follow it to the next task."""
    if task.state is TaskState.WAITING and task.missing:
        return _waits_for_arguments(state, task)
    if task.actor is not None and task.worker is None:
        return _waits_for_actor(task, task.actor)
    if task.state is TaskState.READY or task.worker is None:
        return _waits_for_room(state, task), None
    worker = task.worker
    first = next(iter(worker.assigned.values()), task)
    if first is not task and worker.actor is None:
        return f"is next on its worker, after {first.options.name}, which runs", None
    if first is not task and worker.actor is not None and task.id in worker.actor.sent:
        ahead = next(iter(worker.actor.sent.values()))
        if ahead is not task:
            return f"waits for its actor {_busy_with(worker.actor, ahead)}{LINK}", ahead
    awaited = _awaited(state, worker)
    if awaited:
        named = ", ".join(_made_by(record) for record in awaited[:NAMED_MAX])
        follow = next((record.task for record in awaited if record.task is not None), None)
        return f"runs and waits in get() for {named}{LINK if follow is not None else ''}", follow
    took = max(0.0, state.now - task.started_at) if task.started_at else 0.0
    return f"runs in process {worker.pid} for {took:.1f} s", None


def _waits_for_arguments(state: State, task: TaskRecord) -> tuple[str, TaskRecord | None]:
    missing = [
        record
        for dep in dict.fromkeys(task.deps)
        if (record := state.objects.get(dep)) is not None and record.state is ObjectState.PENDING
    ]
    named = ", ".join(_made_by(record) for record in missing[:NAMED_MAX])
    more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
    follow = next((record.task for record in missing if record.task is not None), None)
    link = LINK if follow is not None else ""
    return f"waits for its argument made by {named}{more}{link}", follow


def _made_by(record: ObjectRecord) -> str:
    return record.task.options.name if record.task is not None else "put()"


def _busy_with(actor: ActorRecord, call: TaskRecord) -> str:
    return f"{actor.options.class_name}, busy with {call.options.name}"


def _waits_for_actor(task: TaskRecord, actor: ActorRecord) -> tuple[str, TaskRecord | None]:
    name = actor.options.class_name
    if actor.state is ActorState.PENDING:
        wanted = _amounts(actor.options.shape)
        return f"waits for its actor {name}, which has not been placed: it needs {wanted}", None
    if actor.state is not ActorState.ALIVE:
        return f"waits for its actor {name}, which is {actor.state.name.lower()}", None
    running = next(iter(actor.sent.values()), None)
    if running is not None:
        ahead = max(0, actor.calls - 2)
        others = f" with {ahead} more calls in the queue" if ahead else ""
        return f"waits for its actor {_busy_with(actor, running)}{others}{LINK}", running
    return f"waits for earlier calls of its actor {name}", None


def _waits_for_room(state: State, task: TaskRecord) -> str:
    for name, units in task.options.shape:
        total = state.settings.resources.get(name, 0)
        if units > total:
            return (
                f"asks for {resources.to_quantity(units):g} {name}, and this burrow has "
                f"{resources.to_quantity(total):g}"
            )
    short = [name for name, units in task.options.shape if state.free.get(name, 0) < units]
    if not short:
        return "is about to be given to a worker"
    users: dict[str, int] = {}
    for worker in state.workers.values():
        held = dict(worker.lease or ())
        if any(held.get(name) for name in short):
            first = next(iter(worker.assigned.values()), None)
            who = first.options.name if first is not None else _name_of(worker)
            users[who] = users.get(who, 0) + 1
    taken = ", ".join(
        f"{n} x {who}" if n > 1 else who for who, n in list(users.items())[:NAMED_MAX]
    )
    kinds = " and ".join(short)
    return f"waits for a free {kinds}: all are taken by {taken or 'others'}"


def _name_of(worker: WorkerRecord) -> str:
    return worker.actor.options.class_name if worker.actor is not None else "an idle worker"


def _amounts(shape: resources.Shape) -> str:
    return " and ".join(f"{resources.to_quantity(units):g} {name}" for name, units in shape) or (
        "nothing but a process"
    )


def _awaited(state: State, worker: WorkerRecord) -> list[ObjectRecord]:
    """Return the pending objects that a worker's process waits for."""
    client = worker.client
    return [
        record
        for record in state.objects.values()
        if record.getters and any(getter.client is client for getter in record.getters)
    ]
