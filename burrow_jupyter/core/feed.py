"""What observers see of a burrow: one snapshot, then numbered deltas.

The head keeps the rows; an observer that connects gets a `Snapshot` and from then
on `Delta`s, coalesced: at most ten a second, and none while the observer has not
yet taken the one before. A row appears whole, keyed by `id`, and replaces the row
of that id; ids in `gone` are removed. These structs are the only truth about the
shape: `labextension/src/state.ts` is generated from them.

Times are seconds since the epoch, sizes are bytes. Names, labels and error texts
are the user's and must be shown as text, never as markup.
"""

from __future__ import annotations

import msgspec


class BurrowRow(msgspec.Struct, frozen=True):
    """The burrow as a whole."""

    session: str
    kernel_id: str
    head_pid: int
    driver_pid: int
    started_at: float
    python: str
    version: str
    state: str  # "running" | "stopping"


class ResourceRow(msgspec.Struct, frozen=True):
    """One kind of resource: CPU, GPU, memory or the user's own."""

    id: str
    total: float
    used: float


class WorkerRow(msgspec.Struct, frozen=True):
    """One worker process."""

    id: str
    pid: int
    state: str  # "starting" | "idle" | "busy" | "blocked" | "stopping"
    actor: str  # id of the actor that it is, else ""
    task: str  # name of what it runs now, else ""
    run: str  # id of the run (execution of a cell) that keeps it busy, else ""
    rss_bytes: int
    cpu_percent: float  # of one core, so 400 is four busy cores
    finished: int  # calls that ended here
    started_at: float
    gpus: list[int]


class FunctionRow(msgspec.Struct, frozen=True):
    """How many calls of one function (or actor method) are in which state."""

    id: str  # the function's name
    waiting: int  # for their arguments
    ready: int  # for a worker
    running: int
    finished: int
    failed: int
    cancelled: int


class RunRow(msgspec.Struct, frozen=True):
    """One execution of a cell that has unfinished tasks; its row goes with the last of them."""

    id: str
    label: str  # as "In[7]"
    cell: str  # id of the notebook's cell, "" where there are no cells
    began_at: float
    finished: int
    failed: int
    cancelled: int
    running: int
    queued: int


class TaskRow(msgspec.Struct, frozen=True):
    """One task that is alive, or ended lately (the last 200 are kept)."""

    id: str
    name: str
    state: str  # "waiting" | "ready" | "running" | "blocked" | "finished" | "failed" | "cancelled"
    worker: str
    actor: str
    run: str
    parent: str
    attempt: int  # 1 is the first
    submitted_at: float
    started_at: float  # 0 while it has not begun
    ended_at: float  # 0 while it has not ended
    error: str  # one line, "" if none


class ActorRow(msgspec.Struct, frozen=True):
    """One actor, alive or lately dead."""

    id: str
    class_name: str
    name: str
    state: str  # "pending" | "starting" | "alive" | "restarting" | "dead"
    pid: int
    worker: str
    run: str
    method: str  # what it runs now, else ""
    queued: int  # calls that wait
    finished: int
    restarts: int
    reason: str  # why it is dead, one line
    created_at: float


class ObjectTotals(msgspec.Struct, frozen=True):
    """The object store in numbers."""

    count: int
    inline_bytes: int  # in the head's memory
    shared_count: int
    shared_bytes: int  # in shared memory, alive
    free_bytes: int  # in shared memory, kept warm for reuse
    disk_bytes: int  # of the above, on disk because shared memory was full
    capacity_bytes: int


class MachineRow(msgspec.Struct, frozen=True):
    """The machine as this burrow sees it."""

    cpu_percent: float  # of the whole machine, 0-100
    cpus: float
    cpus_reason: str
    memory_used_bytes: int
    memory_total_bytes: int
    burrow_rss_bytes: int  # head, zygote and workers together
    gpus: list[str]
    paused: str = ""  # what is said of the pause for memory, "" while nothing waits for it


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """Everything, as of now."""

    seq: int
    at: float
    burrow: BurrowRow
    machine: MachineRow
    objects: ObjectTotals
    resources: list[ResourceRow]
    workers: list[WorkerRow]
    functions: list[FunctionRow]
    tasks: list[TaskRow]
    actors: list[ActorRow]
    runs: list[RunRow]


class Gone(msgspec.Struct, frozen=True):
    """Ids of rows that are no more, by table."""

    workers: list[str] = []
    tasks: list[str] = []
    actors: list[str] = []
    functions: list[str] = []
    runs: list[str] = []


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """What changed since `seq - 1`. `None` means unchanged."""

    seq: int
    at: float
    burrow: BurrowRow | None = None
    machine: MachineRow | None = None
    objects: ObjectTotals | None = None
    resources: list[ResourceRow] = []
    workers: list[WorkerRow] = []
    functions: list[FunctionRow] = []
    tasks: list[TaskRow] = []
    actors: list[ActorRow] = []
    runs: list[RunRow] = []
    gone: Gone = Gone()


Feed = Snapshot | Delta


def apply(snapshot: Snapshot, delta: Delta) -> Snapshot:
    """Return the snapshot after `delta`.

    Raises:
        ValueError: `delta` does not follow `snapshot` (a gap): ask for a new snapshot.
    """
    if delta.seq != snapshot.seq + 1:
        msg = f"delta {delta.seq} does not follow snapshot {snapshot.seq}"
        raise ValueError(msg)

    def merged(rows: list, changed: list, gone: list[str]) -> list:  # type: ignore[type-arg]  # rows of any one table
        table = {row.id: row for row in rows}
        table.update((row.id, row) for row in changed)
        for key in gone:
            table.pop(key, None)
        return list(table.values())

    return Snapshot(
        seq=delta.seq,
        at=delta.at,
        burrow=delta.burrow or snapshot.burrow,
        machine=delta.machine or snapshot.machine,
        objects=delta.objects or snapshot.objects,
        resources=merged(snapshot.resources, delta.resources, []),
        workers=merged(snapshot.workers, delta.workers, delta.gone.workers),
        functions=merged(snapshot.functions, delta.functions, delta.gone.functions),
        tasks=merged(snapshot.tasks, delta.tasks, delta.gone.tasks),
        actors=merged(snapshot.actors, delta.actors, delta.gone.actors),
        runs=merged(snapshot.runs, delta.runs, delta.gone.runs),
    )
