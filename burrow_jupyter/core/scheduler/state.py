"""All records and indexes of one burrow, and the proof that they agree.

`State` is data: the functions of the neighbouring modules change it. Each index has a
line that says exactly which records are in it; `check` verifies all of them. It runs
after each step of tests and simulations, never in production.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import limits, resources
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.scheduler.records import (
    ENDED,
    PLAIN_ENV,
    ActorRecord,
    ActorState,
    ClientRecord,
    CodeRecord,
    EnvKey,
    FunctionCounts,
    ObjectRecord,
    ObjectState,
    RunRecord,
    SegmentRecord,
    ShapeQueue,
    TaskRecord,
    TaskState,
    WorkerRecord,
    WorkerState,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.messages import Message
    from burrow_jupyter.core.options import TaskOptions
    from burrow_jupyter.core.scheduler.commands import Command


class Settings:
    """What a burrow is started with."""

    __slots__ = ("cpus", "gpu_ids", "namespace", "prestart", "resources", "session", "store_bytes")

    def __init__(
        self,
        *,
        session: int,
        totals: dict[str, int],
        gpu_ids: tuple[str, ...] = (),
        namespace: str = "",
        prestart: int = 0,
        store_bytes: int = 0,
    ) -> None:
        """Args: totals: amounts in ten-thousandths by resource name, without zeros."""
        self.session = session
        self.resources = totals
        self.cpus = totals.get(resources.CPU, 0)
        self.gpu_ids = gpu_ids
        self.namespace = namespace
        self.prestart = prestart
        self.store_bytes = store_bytes


class State:
    """One burrow."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = 0.0
        self.stopping = False

        self.sends: list[tuple[int, Message]] = []
        """Messages that this step sends, in order."""
        self.commands: list[Command] = []
        """What else this step wants done, in order."""

        self.woken: deque[TaskRecord | ActorRecord] = deque()
        """Work list: an argument of theirs became ready or failed."""
        self.unreferenced: deque[ActorRecord] = deque()
        """Work list: actors that lost their last handle or call; to be looked at again."""

        self.clients: dict[int, ClientRecord] = {}
        """By client id: every client that said hello and is not gone."""
        self.peers: dict[int, ClientRecord] = {}
        """By connection: the same records."""
        self.next_client = 1

        self.codes: dict[int, CodeRecord] = {}
        self.options: dict[int, TaskOptions] = {}
        self.runs: dict[int, RunRecord] = {}

        self.tasks: dict[int, TaskRecord] = {}
        """By id: tasks that have not ended."""
        self.history: deque[TaskRecord] = deque(maxlen=limits.RECENT_TASKS)
        """Tasks that ended lately, oldest first; without their arguments."""
        self.functions: dict[str, FunctionCounts] = {}

        self.objects: dict[int, ObjectRecord] = {}
        """By id: objects that are pending, or that something refers to."""
        self.segments: dict[str, SegmentRecord] = {}
        """By name: segments in which an object lies or that somebody maps."""
        self.inline_bytes = 0
        self.shared_bytes = 0

        self.actors: dict[int, ActorRecord] = {}
        """By id: every actor that is not dead, and the dead ones that have holders."""
        self.names: dict[tuple[str, str], int] = {}
        """By namespace and name: actors that hold their name."""
        self.dead_actors: deque[ActorRecord] = deque(maxlen=limits.RECENT_ACTORS)
        self.unplaced: dict[int, ActorRecord] = {}
        """By id, oldest first: actors in PENDING or RESTARTING whose arguments are there."""

        self.queues: dict[tuple[resources.Shape, EnvKey], ShapeQueue] = {}
        """By shape and environment: every queue that was ever needed."""
        self.waiting_queues: dict[ShapeQueue, None] = {}
        """Queues that have tasks, in order of their first need."""

        self.workers: dict[int, WorkerRecord] = {}
        """By id: workers that are not GONE."""
        self.idle: dict[EnvKey, dict[int, WorkerRecord]] = {}
        """By environment: workers that are IDLE and may be leased."""
        self.starting: dict[EnvKey, dict[int, WorkerRecord]] = {}
        """By environment: STARTING workers without lease or actor."""
        self.held_ahead: dict[int, WorkerRecord] = {}
        """By id: workers without actor that have more than one task."""
        self.fetch_at = 0.0
        """When `tick` will look for work that is held ahead too long; 0: not asked for."""
        self.start_failures: dict[EnvKey, int] = {}
        """By environment: workers in a row that ended before they said hello; without zeros."""

        self.free: dict[str, int] = dict(settings.resources)
        """Amounts not leased; may be negative while unblocked tasks oversubscribe."""
        self.gpu_free: dict[str, int] = dict.fromkeys(settings.gpu_ids, resources.UNIT)

        self.observed = False
        self.dirty_tasks: dict[int, TaskRecord] = {}
        self.dirty_workers: dict[int, WorkerRecord] = {}
        self.dirty_actors: dict[int, ActorRecord] = {}
        self.dirty_functions: dict[str, FunctionCounts] = {}

    # ---- small things that everybody needs ------------------------------------------

    def send(self, client: ClientRecord | None, message: Message) -> None:
        """Send to a client if it is still there."""
        if client is not None and client.peer >= 0:
            self.sends.append((client.peer, message))

    def counts_of(self, task: TaskRecord) -> list[int]:
        """Return the counts of a task's function, and note that they change."""
        name = task.options.name
        record = self.functions.get(name)
        if record is None:
            if len(self.functions) >= limits.FUNCTIONS_MAX:
                name = "(others)"
                record = self.functions.get(name)
            if record is None:
                record = self.functions[name] = FunctionCounts(name)
        if self.observed:
            self.dirty_functions[name] = record
            self.dirty_tasks[task.id] = task
        return record.counts

    def worker_changed(self, worker: WorkerRecord) -> None:
        """Note that observers are to see this worker anew."""
        if self.observed:
            self.dirty_workers[worker.id] = worker

    def actor_changed(self, actor: ActorRecord) -> None:
        """Note that observers are to see this actor anew."""
        if self.observed:
            self.dirty_actors[actor.id] = actor


class Inconsistent(AssertionError):
    """The records disagree: an error of the scheduler's own."""


def check(state: State) -> None:
    """Prove every index against the records.

    Raises:
        Inconsistent: says which record is wrong.
    """
    _require(not state.woken and not state.unreferenced, "work lists are not empty")
    _check_resources(state)
    _check_workers(state)
    _check_tasks(state)
    _check_objects(state)
    _check_actors(state)


def _require(condition: object, *what: Any) -> None:
    if not condition:
        raise Inconsistent(" ".join(short(w) if type(w) is int else str(w) for w in what))


def _check_resources(state: State) -> None:
    free = dict(state.settings.resources)
    shares = dict.fromkeys(state.settings.gpu_ids, resources.UNIT)
    for worker in state.workers.values():
        if worker.lease is not None:
            held = dict(worker.lease)
            if worker.blocked and worker.actor is None:
                held.pop(resources.CPU, None)
            resources.take(resources.shape_of(held), free)
        for gpu in worker.gpus:
            shares[gpu] -= worker.gpu_share
    for name in {*free, *state.free}:
        _require(
            free.get(name, 0) == state.free.get(name, 0),
            f"free {name} is {state.free.get(name, 0)}, leases say {free.get(name, 0)}",
        )
        if name != resources.CPU:
            _require(free.get(name, 0) >= 0, f"{name} is given out twice: {free.get(name, 0)}")
    for gpu, share in shares.items():
        _require(
            share == state.gpu_free[gpu], f"GPU {gpu}: {state.gpu_free[gpu]} free, not {share}"
        )
        _require(share >= 0, f"GPU {gpu} is given out twice")


def _check_workers(state: State) -> None:
    for worker in state.workers.values():
        _require(worker.state is not WorkerState.GONE, "gone worker is kept:", worker.id)
        idle = worker.id in state.idle.get(worker.env, {})
        _require(
            idle == (worker.state is WorkerState.IDLE and not worker.gpus),
            f"worker is {worker.state.name}, idle index says {idle}:",
            worker.id,
        )
        starting = worker.id in state.starting.get(worker.env, {})
        unreserved = worker.lease is None and worker.actor is None
        _require(
            starting == (worker.state is WorkerState.STARTING and unreserved),
            f"worker is {worker.state.name}, starting index says {starting}:",
            worker.id,
        )
        if worker.state is WorkerState.IDLE:
            _require(
                worker.lease is None and not worker.assigned, "idle worker has work:", worker.id
            )
        if worker.queue is not None:
            _require(worker.id in worker.queue.leased, "leased worker not in its queue:", worker.id)
        blocked = sum(t.state is TaskState.BLOCKED for t in worker.assigned.values())
        _require(worker.blocked == blocked, f"worker counts {worker.blocked} blocked:", worker.id)
        for task in worker.assigned.values():
            _require(task.worker is worker, "assigned task names another worker:", task.id)
            _require(
                task.state in (TaskState.LEASED, TaskState.BLOCKED),
                f"assigned task is {task.state.name}:",
                task.id,
            )


def _check_tasks(state: State) -> None:
    queued = {task.id for queue in state.queues.values() for task in queue.tasks if not task.worker}
    counts: dict[str, list[int]] = {}
    for task in state.tasks.values():
        _require(task.state < ENDED, f"ended task ({task.state.name}) is kept:", task.id)
        row = counts.setdefault(task.options.name, [0] * len(TaskState))
        row[task.state] += 1
        if task.state is TaskState.READY:
            _require(task.id in queued, "ready task is in no queue:", task.id)
        if task.state in (TaskState.LEASED, TaskState.BLOCKED):
            _require(task.worker is not None, "leased task has no worker:", task.id)
            _require(task.worker and task.id in task.worker.assigned, "not assigned:", task.id)
        if task.state is TaskState.WAITING and task.actor is None:
            missing = sum(state.objects[d].state is ObjectState.PENDING for d in task.deps)
            _require(
                task.missing == missing > 0, f"waits for {task.missing}, not {missing}:", task.id
            )
        if task.actor is not None and task.state is TaskState.WAITING:
            _require(
                any(task in lane for lane in task.actor.lanes.values()),
                "waiting call is in no lane:",
                task.id,
            )
            _require(
                task.actor.state is not ActorState.DEAD, "call waits for a dead actor:", task.id
            )
    for queue in state.queues.values():
        alive = any(t.state is TaskState.READY for t in queue.tasks)
        _require(not alive or queue in state.waiting_queues, "queue with tasks is not listed")
    for name, row in counts.items():
        if name in state.functions:
            _require(
                state.functions[name].counts[:ENDED] == row[:ENDED], f"counts of {name} differ"
            )


def _expected_refs(state: State) -> dict[int, int]:
    refs: dict[int, int] = {}

    def add(ids: list[int] | set[int]) -> None:
        for any_id in ids:
            refs[any_id] = refs.get(any_id, 0) + 1

    for client in state.clients.values():
        add(client.held)
    for task in state.tasks.values():
        add(task.deps)
        if task.args is not None:
            add(task.args.contained)
        if task.actor is not None:
            add([task.actor.id])
    for actor in state.actors.values():
        if actor.state is not ActorState.DEAD:
            add(actor.deps)
            if actor.args is not None:
                add(actor.args.contained)
    for record in state.objects.values():
        if record.value is not None:
            add(record.value.contained)
    for code in state.codes.values():
        add(code.value.contained)
    return refs


def _check_objects(state: State) -> None:
    refs = _expected_refs(state)
    inline = shared = 0
    for record in state.objects.values():
        expected = refs.get(record.id, 0)
        _require(
            record.refs == expected, f"{record.refs} refs counted, {expected} exist:", record.id
        )
        if record.state is ObjectState.PENDING:
            _require(record.task is not None, "pending object has no task:", record.id)
            task = record.task
            _require(task and task.id in state.tasks, "pending object of an ended task:", record.id)
        else:
            _require(record.refs > 0, "object without refs is kept:", record.id)
            _require(
                not record.getters and not record.dependants, "waiters were not woken:", record.id
            )
        if record.value is not None:
            inline += len(record.value.data)
            if record.value.segment:
                shared += record.value.size
                segment = state.segments.get(record.value.segment)
                _require(
                    segment is not None and segment.live, "object's segment is gone:", record.id
                )
    _require(inline == state.inline_bytes, f"{state.inline_bytes} inline bytes, not {inline}")
    _require(shared == state.shared_bytes, f"{state.shared_bytes} shared bytes, not {shared}")
    mapped: dict[str, int] = {}
    for client in state.clients.values():
        for name, count in client.mapped.items():
            mapped[name] = mapped.get(name, 0) + count
    for segment in state.segments.values():
        _require(
            segment.mapped == mapped.get(segment.name, 0), f"mappings of {segment.name} differ"
        )
        _require(segment.live or segment.mapped, f"segment {segment.name} is kept for nobody")


def _check_actors(state: State) -> None:
    refs = _expected_refs(state)
    for actor in state.actors.values():
        expected = refs.get(actor.id, 0)
        _require(
            actor.refs == expected, f"{actor.refs} handles counted, {expected} exist:", actor.id
        )
        calls = sum(t.actor is actor for t in state.tasks.values())
        _require(actor.calls == calls, f"{actor.calls} calls counted, {calls} exist:", actor.id)
        placed = actor.state in (ActorState.STARTING, ActorState.ALIVE)
        _require(placed == (actor.worker is not None), f"{actor.state.name} and worker:", actor.id)
        if actor.state is ActorState.ALIVE:
            for lane in actor.lanes.values():
                first = next((t for t in lane if t.state is TaskState.WAITING), None)
                _require(
                    first is None or first.missing,
                    "alive actor leaves a call lying:",
                    first.id if first else 0,
                )
        if actor.state is ActorState.DEAD:
            _require(not actor.calls and not actor.sent, "dead actor has calls:", actor.id)
            _require(actor.refs > 0, "dead actor without handles is kept:", actor.id)
        else:
            _require(
                actor.refs or actor.options.detached or actor.state is ActorState.STARTING,
                "actor without handles lives on:",
                actor.id,
            )
    for key, actor_id in state.names.items():
        _require(actor_id in state.actors, f"name {key} belongs to nobody:", actor_id)


__all__ = ["PLAIN_ENV", "Inconsistent", "Settings", "State", "check"]
