"""All records and indexes of one burrow.

`State` is data: the functions of the neighbouring modules change it. Each index has a
line that says exactly which records are in it; `proof.check` verifies all of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from burrow_jupyter.core import limits, messages, resources
from burrow_jupyter.core.scheduler.records import (
    PLAIN_ENV,
    ActorRecord,
    ClientRecord,
    CodeRecord,
    EnvKey,
    Fold,
    FunctionCounts,
    GetRecord,
    ObjectRecord,
    RunRecord,
    SegmentRecord,
    ShapeQueue,
    Stretch,
    TaskRecord,
    Waiter,
    WorkerRecord,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.messages import Message
    from burrow_jupyter.core.options import TaskOptions
    from burrow_jupyter.core.scheduler.commands import Command


class MemoryBounds(NamedTuple):
    """When the burrow pauses for memory, and when it goes on."""

    total_bytes: int
    pause_bytes: int  # it pauses while more than this is used
    resume_bytes: int  # and goes on when no more than this is
    place: str  # "this machine", "this container"


class Reading(NamedTuple):
    """What is used of the memory, by whomever, and the largest process that is ours."""

    used_bytes: int
    pid: int = 0
    pid_bytes: int = 0


class Settings:
    """What a burrow is started with."""

    __slots__ = (
        "cpus",
        "gpu_ids",
        "memory",
        "namespace",
        "prestart",
        "resources",
        "session",
        "store_bytes",
    )

    def __init__(
        self,
        *,
        session: int,
        totals: dict[str, int],
        gpu_ids: tuple[str, ...] = (),
        namespace: str = "",
        prestart: int = 0,
        store_bytes: int = 0,
        memory: MemoryBounds | None = None,
    ) -> None:
        """Args: totals: amounts in ten-thousandths by resource name, without zeros."""
        self.session = session
        self.resources = totals
        self.cpus = totals.get(resources.CPU, 0)
        self.gpu_ids = gpu_ids
        self.namespace = namespace
        self.prestart = prestart
        self.store_bytes = store_bytes
        self.memory = memory


class Inquiry(NamedTuple):
    """A question that a worker is to answer a part of."""

    client: ClientRecord
    request_id: int
    sentence: str  # the answer, should the worker not know more
    until: float


class Departed(NamedTuple):
    """A worker that is gone."""

    worker: WorkerRecord
    exit_code: int | None
    signal: int | None
    begun: int  # what it began last and has not ended, as its journal says


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
        """By id: functions and classes that are held, or that a call still needs."""
        self.leaving: dict[int, CodeRecord] = {}
        """By id: those of them that nobody holds; forgotten once no call needs them."""
        self.left_at = 0.0
        """When they were looked at last."""
        self.leave_at = 0.0
        """When `tick` will look at them; 0: not asked for."""
        self.options: dict[int, TaskOptions] = {}
        self.runs: dict[int, RunRecord] = {}
        self.surroundings: dict[int, messages.Surroundings] = {}
        self.makers: dict[str, tuple[str, int]] = {}
        """Who has made what lies in a segment: name of the function and run."""
        self.setups: list[messages.Setup | None] = []
        """What every worker is to call first; `None`: it was replaced or cancelled."""

        self.tasks: dict[int, TaskRecord] = {}
        """By id: tasks that have not ended."""
        self.history: deque[TaskRecord | Stretch] = deque(maxlen=limits.HISTORY_TASKS)
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
        self.queue_of: dict[int, ShapeQueue] = {}
        """By id of options: the same queues."""
        self.waiting_queues: dict[ShapeQueue, None] = {}
        """Queues that have tasks, in order of their first need."""

        self.folds: list[Fold] = []
        """Ordered by their first ids: those with results, or results to come, that are held."""
        self.folded = 0
        """Calls in these."""
        self.folds_to_send: deque[Fold] = deque()
        """Folds with calls that no worker has, oldest first; all of one queue."""
        self.fold_queue: ShapeQueue | None = None
        """Where calls of folds would queue; left over when all of those have ended."""
        self.fold_workers: dict[int, WorkerRecord] = {}
        """By id: workers that have pieces of folds."""

        self.workers: dict[int, WorkerRecord] = {}
        """By id: workers that are not GONE."""
        self.idle: dict[EnvKey, dict[int, WorkerRecord]] = {}
        """By environment: workers that are IDLE and may be leased."""
        self.starting: dict[EnvKey, dict[int, WorkerRecord]] = {}
        """By environment: STARTING workers without lease or actor."""
        self.held_ahead: dict[int, WorkerRecord] = {}
        """By id: workers without actor that have more than one task."""
        self.lent: dict[int, WorkerRecord] = {}
        """By id: workers that are lent to a driver."""
        self.wishes: dict[int, tuple[ClientRecord, messages.Reach]] = {}
        """By id of the task that is to end first: loans that are asked for, one a client."""
        self.departed: dict[int, Departed] = {}
        """By id: workers that are gone and could be called by others than us; the last ones."""
        self.over: dict[int, None] = {}
        """Direct calls that have ended, of which their workers may have yet to tell; the last ones."""
        self.inquiry = 0
        self.inquiries: dict[int, Inquiry] = {}
        """By number: who waits to hear where a call is."""
        self.gets: dict[Waiter, dict[GetRecord, None]] = {}
        """By call: its waits for objects, oldest first; calls without are not in here."""
        self.deadlocks_at = 0.0
        """When `tick` will look for deadlocks; 0: not asked for."""
        self.fetch_at = 0.0
        """When `tick` will look for work that is held ahead too long; 0: not asked for."""
        self.reserved_until = 0.0
        """When `tick` will let those go on that are held back for a demand that waits long."""
        self.reading: Reading | None = None
        """Of the memory, the last while it was short."""
        self.paused = False
        """Whether the memory is short."""
        self.weigh_at = 0.0
        """When `tick` will come back to what is held up for memory; 0: not asked for."""
        self.start_failures: dict[EnvKey, int] = {}
        """By environment: workers in a row that ended before they said hello; without zeros."""

        self.free: dict[str, int] = dict(settings.resources)
        """Amounts not leased; may be negative while unblocked tasks oversubscribe."""
        self.gpu_free: dict[str, int] = dict.fromkeys(settings.gpu_ids, resources.UNIT)

        self.observed = False
        self.unshown: deque[Stretch] = deque(maxlen=limits.FRAME_TASKS)
        """Calls that ended in folds and that observers have not seen; the last ones."""
        self.dirty_tasks: dict[int, TaskRecord] = {}
        self.dirty_workers: dict[int, WorkerRecord] = {}
        self.dirty_actors: dict[int, ActorRecord] = {}
        self.dirty_functions: dict[str, FunctionCounts] = {}

    # ---- small things that everybody needs ------------------------------------------

    def send(self, client: ClientRecord | None, message: Message) -> None:
        """Send to a client if it is still there."""
        if client is not None and client.peer >= 0:
            self.sends.append((client.peer, message))

    def function_of(self, options: TaskOptions) -> FunctionCounts:
        """Return where calls of a function are counted."""
        name = options.name
        record = self.functions.get(name)
        if record is None:
            if len(self.functions) >= limits.FUNCTIONS_MAX:
                name = "(others)"
                record = self.functions.get(name)
            if record is None:
                record = self.functions[name] = FunctionCounts(name)
        return record

    def task_changed(self, task: TaskRecord) -> None:
        """Note that observers are to see this task and the counts of its function anew."""
        if self.observed:
            self.dirty_functions[task.function.name] = task.function
            self.dirty_tasks[task.id] = task

    def worker_changed(self, worker: WorkerRecord) -> None:
        """Note that observers are to see this worker anew."""
        if self.observed:
            self.dirty_workers[worker.id] = worker

    def actor_changed(self, actor: ActorRecord) -> None:
        """Note that observers are to see this actor anew."""
        if self.observed:
            self.dirty_actors[actor.id] = actor


__all__ = ["PLAIN_ENV", "MemoryBounds", "Reading", "Settings", "State"]
