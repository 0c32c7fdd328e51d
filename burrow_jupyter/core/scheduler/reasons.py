"""Why something is not done yet, in a sentence: what it waits for, and what that does.

Reads only, and only when somebody asks, so a search through all objects is fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import resources
from burrow_jupyter.core.failures import Cancelled, one_line
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.scheduler import leases, pressure, turns
from burrow_jupyter.core.scheduler.records import (
    ActorRecord,
    ActorState,
    ObjectState,
    TaskState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from burrow_jupyter.core.scheduler.records import (
        ObjectRecord,
        TaskRecord,
        Waiter,
        WorkerRecord,
    )
    from burrow_jupyter.core.scheduler.state import State

LINK = ", which"
STEPS_MAX = 6
"""Links of a chain of waiting that are told."""
NAMED_MAX = 3
"""Things of one kind that are named."""


def explain(
    state: State, object_id: int, goes_on: Callable[[Waiter], bool]
) -> tuple[str, Waiter | None]:
    """Return why an object is not there, and the call that runs meanwhile, if there is one.

    Args:
        state: the burrow.
        object_id: its id; or that of an actor, of which it says what its constructor waits for.
        goes_on: whether a call may end, as far as deadlocks go: those that may not are followed.
    """
    record = state.objects.get(object_id)
    begin: Waiter | None = state.tasks.get(object_id) or state.actors.get(object_id)
    if begin is None and record is not None:
        begin = record.task
    if begin is None:
        if record is None:
            return "Nobody holds it any more.", None
        if isinstance(record.failure, Cancelled):
            return "It was cancelled.", None
        if record.failure is not None:
            return f"It has failed: {one_line(record.failure).rstrip('.')}.", None
        return "It is there.", None
    chain = _Chain(state, goes_on)
    text = chain.follow(begin)
    last = chain.seen[-1]
    runs = last if last.worker is not None else _in_its_place(state, last)
    return f"{name_of(begin)} {text}.", runs


def name_of(waiter: Waiter) -> str:
    """Return how a call is called, or a constructor."""
    if isinstance(waiter, ActorRecord):
        return f"{waiter.options.class_name}.__init__"
    return waiter.options.name


def _members(circle: list[Waiter]) -> list[str]:
    """Return how the calls of a circle are called, with their actors where they are called alike."""
    names = [name_of(waiter) for waiter in circle]
    if len(set(names)) == len({waiter.id for waiter in circle}):
        return names
    return [f"{name_of(waiter)} ({short((_actor_of(waiter) or waiter).id)})" for waiter in circle]


def _actor_of(waiter: Waiter) -> ActorRecord | None:
    return waiter if isinstance(waiter, ActorRecord) else waiter.actor


def _in_its_place(state: State, waiter: Waiter) -> TaskRecord | None:
    """Return the first of the calls that have what a call waits for."""
    if pressure.holds(state) and (worker := _largest(state)) is not None and worker.assigned:
        return next(iter(worker.assigned.values()))
    lacking = _lacking(state, _shape_of(waiter))
    for worker in state.workers.values():
        if worker.assigned and lacking.keys() & leases.held(worker).keys():
            return next(iter(worker.assigned.values()))
    return None


def _shape_of(waiter: Waiter) -> resources.Shape:
    shape = waiter.options.shape
    return shape or waiter.options.placing if isinstance(waiter, ActorRecord) else shape


class _Chain:
    """One chain of waiting, from what is asked about to what runs."""

    def __init__(self, state: State, goes_on: Callable[[Waiter], bool]) -> None:
        self._state = state
        self._goes_on = goes_on
        self._timeout = ""  # of which call of the chain a wait ends by itself
        self.seen: list[Waiter] = []

    def follow(self, begin: Waiter) -> str:
        """Return what is said of each link, in one sentence."""
        steps: list[str] = []
        seen = self.seen
        current: Waiter | None = begin
        while current is not None and len(steps) < STEPS_MAX:
            if current in seen:
                names = " -> ".join(_members([*seen[seen.index(current) :], current]))
                steps[-1] = steps[-1].removesuffix(LINK)
                steps.append(f": a circle ({names}){self._end_of_circle(current)}")
                break
            seen.append(current)
            said, current = self._step(current)
            steps.append(said)
        return " ".join(steps).removesuffix(LINK).replace(" :", ":")

    def _end_of_circle(self, member: Waiter) -> str:
        if self._timeout:
            return f", until the timeout of {self._timeout}"
        return "" if self._goes_on(member) else ", and none of them can go on"

    def _first(self, of: Iterable[Waiter]) -> Waiter | None:
        """Return the first that cannot go on, or else the first."""
        all_of = list(of)
        return next((w for w in all_of if not self._goes_on(w)), all_of[0] if all_of else None)

    def _step(self, waiter: Waiter) -> tuple[str, Waiter | None]:
        """Say what a call does or waits for, and follow it to the next."""
        state = self._state
        worker = waiter.worker
        if waiter.missing and worker is None:
            return self._waits_for_arguments(waiter)
        if isinstance(waiter, ActorRecord):
            return self._makes(waiter)
        if waiter.actor is not None and worker is None:
            return self._waits_for_actor(waiter, waiter.actor)
        if waiter.state is TaskState.READY or worker is None:
            tried = f"; {waiter.attempt - 1} attempts have failed" if waiter.attempt > 1 else ""
            return f"{_waits_for_room(state, waiter.options.shape)}{tried}", None
        # Whoever waits has begun, whatever the head sent before it heard of a direct call.
        awaited = self._awaits(waiter)
        if awaited is not None:
            return f"runs and {awaited[0]}", awaited[1]
        if not turns.has_begun(waiter):
            if waiter.actor is not None:
                return self._waits_for_turn(waiter, waiter.actor)
            first = next(iter(worker.assigned.values()))
            return f"is next on its worker, after {first.options.name}{LINK}", first
        pause = waiter.options.backpressure
        untaken = waiter.items - waiter.taken
        if pause and untaken >= pause and waiter.taken >= 0:
            return f"waits until one of the {untaken} items is taken that it has yielded", None
        if waiter.state is TaskState.BLOCKED:
            return "is at a breakpoint, where somebody is to go on", None
        if not waiter.started_at:  # it came to its turn beside others, unseen
            return f"runs in process {worker.pid}", None
        took = max(0.0, state.now - waiter.started_at)
        return f"runs in process {worker.pid} for {took:.1f} s", None

    def _awaits(self, waiter: Waiter) -> tuple[str, Waiter | None] | None:
        """Say what a call or constructor that runs waits for; `None` if for nothing."""
        gets = self._state.gets.get(waiter, {})
        pending = [r for getter in gets for r in getter.records if r.state is ObjectState.PENDING]
        awaited = list(dict.fromkeys(pending))
        if not awaited:
            return None
        named = ", ".join(_made_by(record) for record in awaited[:NAMED_MAX])
        follow = self._first(record.task for record in awaited if record.task is not None)
        how = "awaits" if all(getter.awaited for getter in gets) else "waits in get() for"
        if any(getter.bounded and not getter.awaited for getter in gets):
            self._timeout = self._timeout or name_of(waiter)
            how = "waits in get(), until its timeout, for"
        return f"{how} {named}{LINK if follow is not None else ''}", follow

    def _waits_for_arguments(self, waiter: Waiter) -> tuple[str, Waiter | None]:
        objects = self._state.objects
        missing = [
            record
            for dep in dict.fromkeys(waiter.deps)
            if (record := objects.get(dep)) is not None and record.state is ObjectState.PENDING
        ]
        follow = self._first(record.task for record in missing if record.task is not None)
        if len(missing) == 1:
            link = LINK if follow is not None else ""
            return f"waits for its argument made by {_made_by(missing[0])}{link}", follow
        named = ", ".join(_made_by(record) for record in missing[:NAMED_MAX])
        more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
        link = f"; {name_of(follow)}" if follow is not None else ""
        return f"waits for {len(missing)} arguments made by {named}{more}{link}", follow

    def _waits_for_actor(self, task: TaskRecord, actor: ActorRecord) -> tuple[str, Waiter | None]:
        """Say what a call waits for that its actor was not sent yet."""
        name = actor.options.class_name
        if actor.state is not ActorState.ALIVE:
            return f"waits for its actor {name}{LINK}", actor
        lane = actor.lanes.get((task.client.id, task.options.concurrency_group))
        if lane and lane[0] is not task:
            return f"waits for an earlier call of its actor {name}{LINK}", lane[0]
        return self._waits_for_turn(task, actor)

    def _waits_for_turn(self, task: TaskRecord, actor: ActorRecord) -> tuple[str, Waiter | None]:
        """Say what a call waits for that others of its actor go before."""
        name = actor.options.class_name
        running = list(turns.running_on(actor.worker)) if actor.worker is not None else []
        running += [call for call in actor.sent.values() if call in self._state.gets]
        group = task.options.concurrency_group
        first = self._first(r for r in running if r.options.concurrency_group == group)
        if first is None:
            return f"waits for earlier calls of its actor {name}", None
        ahead = max(0, actor.calls - 2) if task.worker is None else 0
        others = f" with {ahead} more calls in the queue" if ahead else ""
        return f"waits for its actor {name}, busy with {name_of(first)}{others}{LINK}", first

    def _makes(self, actor: ActorRecord) -> tuple[str, Waiter | None]:
        """Say how far the making of an actor has come."""
        if actor.state is ActorState.DEAD:
            return "is dead", None
        worker = actor.worker
        if worker is None:
            return _waits_for_room(self._state, _shape_of(actor)), None
        if worker.client is None:
            return "is starting: its process is not there yet", None
        if actor.state is not ActorState.STARTING:
            return f"is in process {worker.pid}", None
        awaited = self._awaits(actor)
        if awaited is not None:
            return f"is starting: its constructor {awaited[0]}", awaited[1]
        return f"is starting: its constructor runs in process {worker.pid}", None


def _made_by(record: ObjectRecord) -> str:
    return record.task.options.name if record.task is not None else "put()"


def _free_of(state: State, name: str, units: int) -> int:
    """Return how much of a resource a demand for so much of it finds free."""
    free = state.free.get(name, 0)
    if name != resources.GPU or not state.gpu_free:
        return free
    shares = state.gpu_free.values()
    if units < resources.UNIT:  # a share is one of one device
        return min(free, max(shares))
    return min(free, sum(share for share in shares if share == resources.UNIT))


def _lacking(state: State, shape: resources.Shape) -> dict[str, int]:
    """Return, by resource of which there is too little for a demand, how much is free."""
    free = {name: (_free_of(state, name, units), units) for name, units in shape}
    return {name: max(0, has) for name, (has, units) in free.items() if has < units}


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
    lacking = _lacking(state, shape)
    if not lacking:
        return "is about to be given to a worker"
    users: dict[str, int] = {}
    for worker in state.workers.values():
        if lacking.keys() & leases.held(worker).keys():
            first = next(iter(worker.assigned.values()), None)
            who = first.options.name if first is not None else _name_of(worker)
            users[who] = users.get(who, 0) + 1
    taken = ", ".join(
        f"{n} x {who}" if n > 1 else who for who, n in list(users.items())[:NAMED_MAX]
    )
    if not any(lacking.values()):
        return f"waits for a free {' and '.join(lacking)}: all are taken by {taken or 'others'}"
    wanted = dict(shape)
    amounts = " and ".join(
        f"{resources.to_quantity(wanted[name]):g} {name}, of which "
        f"{resources.to_quantity(free):g} is free{_on_one(name, wanted[name])}"
        for name, free in lacking.items()
    )
    return f"waits for {amounts}: the rest is taken by {taken or 'others'}"


def _on_one(name: str, units: int) -> str:
    return " on one device" if name == resources.GPU and units < resources.UNIT else ""


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
