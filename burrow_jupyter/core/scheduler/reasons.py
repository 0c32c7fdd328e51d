"""Why something is not done yet, in a sentence: what it waits for, and what that does.

Reads only, and only when somebody asks, so a search through all objects is fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import resources
from burrow_jupyter.core.failures import Cancelled, one_line
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.scheduler import pressure
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
        if isinstance(record.failure, Cancelled):
            return "It was cancelled.", None
        if record.failure is not None:
            return f"It has failed: {one_line(record.failure).rstrip('.')}.", None
        return "It is there.", None
    steps: list[str] = []
    seen: list[TaskRecord] = []
    current: TaskRecord | None = task
    while current is not None and len(steps) < STEPS_MAX:
        if current in seen:
            names = " -> ".join(_members([*seen[seen.index(current) :], current]))
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


def _members(circle: list[TaskRecord]) -> list[str]:
    """Return how the calls of a circle are called, with their actors where they are called alike."""
    names = [task.options.name for task in circle]
    if len(set(names)) == len({task.id for task in circle}):
        return names
    return [f"{task.options.name} ({short((task.actor or task).id)})" for task in circle]


def _in_its_place(state: State, task: TaskRecord) -> TaskRecord | None:
    """Return the first of the calls that have what a call waits for."""
    if pressure.holds(state) and (worker := _largest(state)) is not None and worker.assigned:
        return next(iter(worker.assigned.values()))
    lacking = {name for name, units in task.options.shape if state.free.get(name, 0) < units}
    for worker in state.workers.values():
        if worker.assigned and lacking & {name for name, _ in worker.lease or ()}:
            return next(iter(worker.assigned.values()))
    return None


def _step(state: State, task: TaskRecord) -> tuple[str, TaskRecord | None]:
    """Say what a task does or waits for, and follow it to the next task."""
    if task.state is TaskState.WAITING and task.missing:
        return _waits_for_arguments(state, task)
    if task.actor is not None and task.worker is None:
        return _waits_for_actor(state, task, task.actor)
    if task.state is TaskState.READY or task.worker is None:
        tried = f"; {task.attempt - 1} attempts have failed" if task.attempt > 1 else ""
        return f"{_waits_for_room(state, task.options.shape)}{tried}", None
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
    pause = task.options.backpressure
    untaken = task.items - task.taken
    if pause and untaken >= pause and task.taken >= 0:
        return f"waits until one of the {untaken} items is taken that it has yielded", None
    if task.state is TaskState.BLOCKED:
        return "is at a breakpoint, where somebody is to go on", None
    took = max(0.0, state.now - task.started_at) if task.started_at else 0.0
    return f"runs in process {worker.pid} for {took:.1f} s", None


def _waits_for_arguments(state: State, task: TaskRecord) -> tuple[str, TaskRecord | None]:
    missing = [
        record
        for dep in dict.fromkeys(task.deps)
        if (record := state.objects.get(dep)) is not None and record.state is ObjectState.PENDING
    ]
    follow = next((record.task for record in missing if record.task is not None), None)
    if len(missing) == 1:
        link = LINK if follow is not None else ""
        return f"waits for its argument made by {_made_by(missing[0])}{link}", follow
    named = ", ".join(_made_by(record) for record in missing[:NAMED_MAX])
    more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
    link = f"; {follow.options.name}" if follow is not None else ""
    return f"waits for {len(missing)} arguments made by {named}{more}{link}", follow


def _made_by(record: ObjectRecord) -> str:
    return record.task.options.name if record.task is not None else "put()"


def _busy_with(actor: ActorRecord, call: TaskRecord) -> str:
    return f"{actor.options.class_name}, busy with {call.options.name}"


def _waits_for_actor(
    state: State, task: TaskRecord, actor: ActorRecord
) -> tuple[str, TaskRecord | None]:
    name = actor.options.class_name
    if actor.state is ActorState.PENDING:
        shape = actor.options.shape or actor.options.placing
        return f"waits for its actor {name}, which {_waits_for_room(state, shape)}", None
    if actor.state is not ActorState.ALIVE:
        return f"waits for its actor {name}, which is {actor.state.name.lower()}", None
    running = next(iter(actor.sent.values()), None)
    if running is not None:
        ahead = max(0, actor.calls - 2)
        others = f" with {ahead} more calls in the queue" if ahead else ""
        return f"waits for its actor {_busy_with(actor, running)}{others}{LINK}", running
    return f"waits for earlier calls of its actor {name}", None


def _waits_for_room(state: State, shape: resources.Shape) -> str:
    """Say what a task or actor of this shape waits for."""
    for name, units in shape:
        total = state.settings.resources.get(name, 0)
        if units > total:
            return (
                f"asks for {resources.to_quantity(units):g} {name}, and this burrow has "
                f"{resources.to_quantity(total):g}"
            )
    if pressure.holds(state):
        return f"is {paused(state)}"
    lacking = [name for name, units in shape if state.free.get(name, 0) < units]
    if not lacking:
        return "is about to be given to a worker"
    users: dict[str, int] = {}
    for worker in state.workers.values():
        held = dict(worker.lease or ())
        if any(held.get(name) for name in lacking):
            first = next(iter(worker.assigned.values()), None)
            who = first.options.name if first is not None else _name_of(worker)
            users[who] = users.get(who, 0) + 1
    taken = ", ".join(
        f"{n} x {who}" if n > 1 else who for who, n in list(users.items())[:NAMED_MAX]
    )
    some = {name: resources.to_quantity(max(0, state.free.get(name, 0))) for name in lacking}
    if not any(some.values()):
        return f"waits for a free {' and '.join(lacking)}: all are taken by {taken or 'others'}"
    wanted = dict(shape)
    amounts = " and ".join(
        f"{resources.to_quantity(wanted[name]):g} {name}, of which {free:g} is free"
        for name, free in some.items()
    )
    return f"waits for {amounts}: the rest is taken by {taken or 'others'}"


def paused(state: State) -> str:
    """Say that something waits for memory, until when, and who has most; "" if nothing does."""
    bounds, reading = state.settings.memory, state.reading
    if not pressure.is_holding(state) or bounds is None or reading is None:
        return ""
    text = (
        f"paused for memory: {_size(reading.used_bytes)} of the {_size(bounds.total_bytes)} of "
        f"{bounds.place} are used; it goes on below {_size(bounds.resume_bytes)}, or when nothing "
        "else runs"
    )
    if state.shared_bytes > reading.pid_bytes:
        text += f"; largest: the objects of this burrow with {_size(state.shared_bytes)}"
    elif reading.pid:
        worker = _largest(state)
        first = next(iter(worker.assigned.values()), None) if worker is not None else None
        who = (
            "the notebook" if worker is None else first.options.name if first else _name_of(worker)
        )
        text += f"; largest: {who} (pid {reading.pid}) with {_size(reading.pid_bytes)}"
    return text


def _largest(state: State) -> WorkerRecord | None:
    """Return the worker that has most memory; `None` if it is no worker."""
    pid = state.reading.pid if state.reading is not None else 0
    return next((w for w in state.workers.values() if w.pid == pid), None)


def _size(count: int) -> str:
    gigabytes = count / 1024**3
    return f"{gigabytes:.3g} GB" if gigabytes >= 1 else f"{gigabytes * 1024:.0f} MB"


def _name_of(worker: WorkerRecord) -> str:
    return worker.actor.options.class_name if worker.actor is not None else "an idle worker"


def _awaited(state: State, worker: WorkerRecord) -> list[ObjectRecord]:
    """Return the pending objects that a worker's process waits for."""
    client = worker.client
    return [
        record
        for record in state.objects.values()
        if record.getters and any(getter.client is client for getter in record.getters)
    ]
