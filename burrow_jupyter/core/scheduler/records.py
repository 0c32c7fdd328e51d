"""What the scheduler remembers of tasks, actors, objects, workers and clients.

Records are plain slotted objects; `state` fields are written by `transitions.move`
alone. Who is in which index is said, and proved by `check`, in `state.py`.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burrow_jupyter.core import resources
    from burrow_jupyter.core.failures import Failure
    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.core.options import ActorOptions, TaskOptions


class TaskState(IntEnum):
    """Of one submitted call."""

    WAITING = 0  # for its arguments (or, of an actor call, for its turn)
    READY = 1  # queued under its shape
    LEASED = 2  # sent to a worker: runs there, or is held ahead
    BLOCKED = 3  # runs, and waits in `get`; its CPU is given back
    FINISHED = 4
    FAILED = 5
    CANCELLED = 6


class ActorState(IntEnum):
    """Of one actor."""

    PENDING = 0  # for arguments or resources
    STARTING = 1  # its process starts, or its constructor runs
    ALIVE = 2
    RESTARTING = 3  # its process died; it waits to be placed again
    DEAD = 4


class WorkerState(IntEnum):
    """Of one worker process."""

    STARTING = 0  # asked for; has not said hello
    IDLE = 1
    BUSY = 2  # has a lease: runs tasks, or is an actor
    STOPPING = 3  # was told to end
    GONE = 4


class ObjectState(IntEnum):
    """Of one object."""

    PENDING = 0
    READY = 1
    FAILED = 2


ENDED = TaskState.FINISHED
"""States from here on are final."""

_WAITING, _PENDING = TaskState.WAITING, ObjectState.PENDING
"""Named here since a member of an enum costs 60 ns to find, and every task has records."""


class CodeRecord:
    """One function or class that a client has defined."""

    __slots__ = ("average_s", "captured", "id", "is_light", "meta", "name", "refs", "value")

    def __init__(
        self, code_id: int, name: str, value: Value, meta: bytes, captured: list[int]
    ) -> None:
        self.id = code_id
        self.meta = meta
        self.name = name
        self.value = value
        self.captured = captured  # objects: its large buffers
        self.refs = 1  # whoever has defined it + actors and setups; tasks are not counted
        self.average_s = -1.0  # of measured runs, moving; negative: none yet
        self.is_light = False  # whether its latest result was small enough to ride on


class ObjectRecord:
    """One object: its value or failure, and who still needs it."""

    __slots__ = ("dependants", "failure", "getters", "id", "refs", "state", "task", "value")

    def __init__(self, object_id: int, task: TaskRecord | None) -> None:
        self.id = object_id
        self.state = _PENDING
        self.refs = 0  # clients that hold it + tasks, objects and code that contain it
        self.value: Value | None = None
        self.failure: Failure | None = None
        self.task = task  # that makes it, while it is pending
        self.dependants: list[TaskRecord | ActorRecord] | None = None
        self.getters: list[GetRecord] | None = None


class GetRecord:
    """One client's wish to be told of objects; blocks a task while `need` is above 0."""

    __slots__ = (
        "awaited",
        "bounded",
        "by",
        "client",
        "need",
        "number",
        "records",
        "since",
        "task",
        "values",
    )

    def __init__(
        self, client: ClientRecord, need: int, task: TaskRecord | None, *, values: bool
    ) -> None:
        self.client = client
        self.need = need
        self.task = task
        self.values = values
        self.number = 0  # among the waits of the call; those of one `get` have the same
        self.bounded = False  # the wait ends by itself
        self.awaited = False  # in a coroutine
        self.by: Waiter | None = None  # the call that waits, of an actor or not
        self.since = 0.0  # when it began to
        self.records: list[ObjectRecord] = []  # what was pending then


class TaskRecord:
    """One submitted call of a function, or of an actor's method."""

    __slots__ = (
        "actor",
        "args",
        "attempt",
        "cancelled",
        "children",
        "client",
        "code",
        "deps",
        "direct",
        "ended_at",
        "error",
        "estimate_s",
        "forced",
        "function",
        "id",
        "items",
        "method",
        "missing",
        "options",
        "options_id",
        "parent",
        "ran_on",
        "retries",
        "rode",
        "run_id",
        "slots",
        "started_at",
        "state",
        "submitted_at",
        "taken",
        "unclear",
        "urgent",
        "waits",
        "worker",
    )

    def __init__(
        self,
        task_id: int,
        client: ClientRecord,
        code: CodeRecord | None,
        function: FunctionCounts,
        options_id: int,
        options: TaskOptions,
        args: Value | None,
        deps: list[int],
        slots: list[int | str],
        run_id: int,
        parent: int,
        now: float,
    ) -> None:
        self.id = task_id
        self.client = client
        self.code = code
        self.options_id = options_id
        self.options = options
        self.args = args
        self.deps = deps
        self.slots = slots
        self.run_id = run_id
        self.parent = parent
        self.submitted_at = now
        self.started_at = 0.0
        self.ended_at = 0.0
        self.state = _WAITING
        self.missing = 0  # arguments that are not ready
        self.attempt = 1
        self.cancelled = False
        self.urgent = False  # a task that is blocked waits for it
        self.forced = False  # cancelled by force: its process ends if it runs
        self.worker: WorkerRecord | None = None
        self.ran_on = 0  # the worker that had it last
        self.waits: list[GetRecord] | None = None  # that block it, while it is BLOCKED
        self.actor: ActorRecord | None = None
        self.method = ""
        self.rode = False  # it was sent behind the maker of its argument, or given back: not again
        self.direct = False  # its caller sent it to its worker, which may have answered itself
        self.unclear = False  # it was sent so, and who has it now its caller will say
        self.retries = 0  # of an actor's call, when the actor crashes or the call raises
        self.children: list[int] | None = None
        self.function = function  # where its states are counted
        self.estimate_s = 0.0  # of its run, as counted in its worker's load
        self.items = 0  # that its generator has yielded
        self.taken = 0  # of them, by the consumer; -1: it wants no more
        self.error = ""


class ActorRecord:
    """One actor, from its creation to some time after its death."""

    __slots__ = (
        "args",
        "calls",
        "client",
        "code",
        "created_at",
        "deps",
        "edited",
        "error",
        "finished",
        "id",
        "lanes",
        "missing",
        "options",
        "parent",
        "reason",
        "refs",
        "repr",
        "restarts",
        "run_id",
        "said",
        "sent",
        "slots",
        "state",
        "worker",
    )

    def __init__(
        self,
        actor_id: int,
        client: ClientRecord,
        code: CodeRecord,
        options: ActorOptions,
        args: Value | None,
        deps: list[int],
        slots: list[int | str],
        run_id: int,
        parent: int,
        now: float,
    ) -> None:
        self.id = actor_id
        self.client = client
        self.code = code
        self.options = options
        self.args = args
        self.deps = deps
        self.slots = slots
        self.run_id = run_id
        self.parent = parent  # the task that made it, 0 for a driver
        self.created_at = now
        self.state = ActorState.PENDING
        self.missing = 0
        self.refs = 0
        self.worker: WorkerRecord | None = None
        self.lanes: dict[tuple[int, str], deque[TaskRecord]] = {}
        self.sent: dict[int, TaskRecord] = {}
        self.calls = 0  # unfinished, sent or not
        self.finished = 0
        self.restarts = 0
        self.reason = ""
        self.said = ""  # last, by its process, if that has crashed
        self.error: Failure | None = None
        self.repr = ""
        self.edited = False  # it has modules that were edited since it loaded them


Waiter = TaskRecord | ActorRecord
"""Who waits: a call, or the constructor of an actor."""


class WorkerRecord:
    """One worker process."""

    __slots__ = (
        "actor",
        "assigned",
        "blocked",
        "client",
        "codes",
        "env",
        "finished",
        "gpu_share",
        "gpus",
        "id",
        "idle_since",
        "lease",
        "leaving",
        "lent",
        "load_s",
        "options",
        "pid",
        "pieces",
        "progress_at",
        "queue",
        "reclaiming",
        "said",
        "said_by",
        "setups",
        "started_at",
        "state",
        "stop_reason",
        "surroundings",
        "taking_back",
        "told",
        "ways",
    )

    def __init__(self, worker_id: int, env: EnvKey, now: float) -> None:
        self.id = worker_id
        self.env = env
        self.state = WorkerState.STARTING
        self.client: ClientRecord | None = None  # None until it said hello
        self.pid = 0
        self.lease: resources.Shape | None = None  # what it holds; () is a lease too
        self.queue: ShapeQueue | None = None  # from which it is fed
        self.assigned: dict[int, TaskRecord] = {}  # in the order of their start
        self.pieces: deque[Piece] = deque()  # of folds, in the order of their start
        self.actor: ActorRecord | None = None
        self.codes: set[int] = set()  # that it has been sent
        self.options: set[int] = set()
        self.gpus: tuple[str, ...] = ()
        self.gpu_share = 0
        self.blocked = 0  # of its tasks wait in `get`
        self.leaving: TaskRecord | None = None  # what it runs, whose end is only a matter of time
        self.load_s = 0.0  # estimated time of what is assigned
        self.finished = 0
        self.started_at = now
        self.idle_since = now
        self.progress_at = now
        self.taking_back = False
        self.lent: ClientRecord | None = None  # who gives it work itself, unseen by us
        self.reclaiming = False  # it was told to take no more from whoever borrowed it
        self.ways: set[ClientRecord] = set()  # who may call it itself
        self.stop_reason = ""
        self.surroundings = 0  # the last that it was told of
        self.setups = 0  # of those there are, how many it was told of
        self.said = b""  # the end of what its task has printed
        self.said_by = 0
        self.told: dict[str, int] = {}  # up to where we have had its streams


class Fold:
    """Plain calls of one function whose ids follow each other: one record for all of them."""

    __slots__ = (
        "args",
        "client",
        "code",
        "count",
        "ended",
        "first",
        "function",
        "kept",
        "options",
        "options_id",
        "run_id",
        "sent",
        "submitted_at",
        "values",
    )

    def __init__(
        self,
        first: int,
        args: list[bytes],
        client: ClientRecord,
        code: CodeRecord,
        function: FunctionCounts,
        options_id: int,
        options: TaskOptions,
        run_id: int,
        now: float,
    ) -> None:
        self.first = first
        self.count = len(args)
        self.args = args  # of those that have not ended; b"": none
        self.client = client
        self.code = code
        self.function = function
        self.options_id = options_id
        self.options = options
        self.run_id = run_id
        self.submitted_at = now
        self.values: list[bytes | None] = [None] * len(args)  # until they come, and from the drop
        self.sent = 0  # to workers, of the calls in order
        self.ended = 0
        self.kept = self.count  # calls whose result its client still holds


class Piece:
    """A part of a fold that a worker has and has not ended."""

    __slots__ = ("fold", "start", "stop")

    def __init__(self, fold: Fold, start: int, stop: int) -> None:
        self.fold = fold
        self.start = start  # the first that has not ended
        self.stop = stop


class Stretch:
    """Calls of a fold that have ended: what is to be remembered of them."""

    __slots__ = ("at", "fold", "ran_on", "start", "stop", "took_s")

    def __init__(
        self, fold: Fold, start: int, stop: int, ran_on: int, at: float, took_s: float
    ) -> None:
        self.fold = fold
        self.start = start
        self.stop = stop
        self.ran_on = ran_on
        self.at = at
        self.took_s = took_s  # each of them


EnvKey = tuple[tuple[tuple[str, str], ...], str]
"""Environment variables and working directory that a worker was started with."""

PLAIN_ENV: EnvKey = ((), "")


class ShapeQueue:
    """Ready tasks of one resource shape and environment: what blocked tasks need, the oldest."""

    __slots__ = ("env", "leased", "roomy", "shape", "starting", "tasks")

    def __init__(self, shape: resources.Shape, env: EnvKey) -> None:
        self.shape = shape
        self.env = env
        self.tasks: deque[TaskRecord] = deque()  # those not READY are skipped when popped
        self.leased: dict[int, WorkerRecord] = {}
        self.starting = 0  # of those leased: STARTING, each will come for one task
        self.roomy: dict[int, WorkerRecord] = {}  # those that perhaps may hold more ahead


class ClientRecord:
    """One driver or worker as a client: what it holds and has made."""

    __slots__ = ("held", "id", "info", "mapped", "peer", "pid", "role", "tasks", "worker")

    def __init__(self, client_id: int, peer: int, role: str, pid: int) -> None:
        self.id = client_id
        self.peer = peer  # -1 when it is gone
        self.role = role
        self.pid = pid
        self.worker: WorkerRecord | None = None
        self.held: set[int] = set()  # objects and actors
        self.mapped: dict[str, int] = {}  # segments it was told of and may look into
        self.tasks: dict[int, TaskRecord] = {}  # unfinished, that it submitted
        self.info: dict[str, object] = {}


class SegmentRecord:
    """One file of shared memory that holds an object."""

    __slots__ = ("client", "live", "maker", "mapped", "name", "size")

    def __init__(self, name: str, size: int, client: ClientRecord) -> None:
        self.name = name
        self.size = size
        self.client = client  # that made it, and can use it again
        self.live = True  # an object lies in it
        self.maker: tuple[str, int] = ("", 0)  # as `State.makers`, once none does
        self.mapped = 0


class RunRecord:
    """One execution of one cell."""

    __slots__ = (
        "begun_at",
        "cancelled",
        "cell_id",
        "changed_at",
        "ended",
        "id",
        "label",
        "message_id",
        "surroundings",
        "tasks",
        "worked_s",
    )

    def __init__(self, run_id: int, label: str, cell_id: str, message_id: str, now: float) -> None:
        self.id = run_id
        self.label = label
        self.cell_id = cell_id
        self.message_id = message_id
        self.tasks: dict[int, TaskRecord] = {}  # unfinished
        self.ended = [0] * len(TaskState)  # tasks that have ended, by state
        self.begun_at = now
        self.changed_at = now  # when a task ended last
        self.surroundings = 0
        self.worked_s = 0.0  # by functions that have ended, about
        self.cancelled = False  # what its tasks submit from now on is cancelled too


class FunctionCounts:
    """Calls of one function by state; `counts` is indexed by `TaskState`."""

    __slots__ = ("counts", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = [0] * len(TaskState)
