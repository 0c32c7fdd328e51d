"""Answers about the state: rows for people, the state feed, look-ups of names.

Reads only (a look-up of an actor may give its caller a handle). Rows are made when
somebody asks, never while tasks run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import feed, limits, messages, resources
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.scheduler import deadlocks, reasons, turns
from burrow_jupyter.core.scheduler.commands import WakeAt
from burrow_jupyter.core.scheduler.folding import counts_of, ended_tasks
from burrow_jupyter.core.scheduler.records import (
    ActorRecord,
    ActorState,
    ClientRecord,
    ObjectRecord,
    ObjectState,
    SegmentRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
    WorkerState,
)
from burrow_jupyter.core.scheduler.state import Inquiry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from burrow_jupyter.core.scheduler.state import State


def welcome(state: State, client_id: int, info: dict[str, Any]) -> messages.Welcome:
    """Return the answer to a `Hello`; the loop fills in what it knows of the machine."""
    settings = state.settings
    return messages.Welcome(
        client_id,
        settings.session,
        settings.namespace,
        "",
        "",
        resources.to_quantity(settings.cpus),
        info,
    )


def totals(state: State) -> dict[str, float]:
    """Return all resources of the burrow."""
    return {name: resources.to_quantity(n) for name, n in state.settings.resources.items()}


def available(state: State) -> dict[str, float]:
    """Return what is not leased; never below zero."""
    return {name: resources.to_quantity(max(0, units)) for name, units in state.free.items()}


# ---- rows ------------------------------------------------------------------------------

_TASK_WORDS = {
    TaskState.WAITING: "waiting",
    TaskState.READY: "ready",
    TaskState.LEASED: "running",
    TaskState.BLOCKED: "blocked",
    TaskState.FINISHED: "finished",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}


def task_word(task: TaskRecord) -> str:
    """Return a task's state for people; one that is held ahead has not begun."""
    if task.state is TaskState.LEASED and not turns.has_begun(task):
        return "ready"
    return _TASK_WORDS[task.state]


def _short(any_id: int) -> str:
    return short(any_id) if any_id else ""


def task_row(task: TaskRecord) -> feed.TaskRow:
    """Return a task as observers see it."""
    return feed.TaskRow(
        id=short(task.id),
        name=task.options.name,
        state=task_word(task),
        worker=str(task.worker.id) if task.worker is not None else "",
        actor=short(task.actor.id) if task.actor is not None else "",
        run=_short(task.run_id),
        parent=_short(task.parent),
        attempt=task.attempt,
        submitted_at=task.submitted_at,
        started_at=task.started_at,
        ended_at=task.ended_at,
        error=task.error,
    )


def actor_row(actor: ActorRecord) -> feed.ActorRow:
    """Return an actor as observers see it."""
    running = next(iter(actor.sent.values()), None)
    return feed.ActorRow(
        id=short(actor.id),
        class_name=actor.options.class_name,
        name=actor.options.name,
        state=actor.state.name.lower(),
        pid=actor.worker.pid if actor.worker is not None else 0,
        worker=str(actor.worker.id) if actor.worker is not None else "",
        run=_short(actor.run_id),
        method=running.method if running is not None else "",
        queued=max(0, actor.calls - (running is not None)),
        finished=actor.finished,
        restarts=actor.restarts,
        reason=actor.reason,
        created_at=actor.created_at,
    )


def worker_row(worker: WorkerRecord, rss_bytes: int, cpu_percent: float) -> feed.WorkerRow:
    """Return a worker as observers see it; the loop has measured its process."""
    first = next(iter(worker.assigned.values()), None)
    word = worker.state.name.lower()
    if worker.blocked:
        word = "blocked"
    elif worker.state is WorkerState.BUSY and worker.actor is not None and first is None:
        word = "idle"
    return feed.WorkerRow(
        id=str(worker.id),
        pid=worker.pid,
        state=word,
        actor=short(worker.actor.id) if worker.actor is not None else "",
        task=first.options.name if first is not None else "",
        run=_short(first.run_id) if first is not None else "",
        rss_bytes=rss_bytes,
        cpu_percent=cpu_percent,
        finished=worker.finished,
        started_at=worker.started_at,
        gpus=[int(g) if g.isdigit() else -1 for g in worker.gpus],
    )


def function_rows(state: State, names: list[str]) -> list[feed.FunctionRow]:
    """Return the counts of these functions. Tasks held ahead count as ready."""
    ahead: dict[str, int] = {}
    for worker in state.workers.values():
        if len(worker.assigned) > 1:
            running = set(turns.running_on(worker))
            for task in worker.assigned.values():
                if task not in running:
                    ahead[task.options.name] = ahead.get(task.options.name, 0) + 1
    rows = []
    for name in names:
        counts = state.functions[name].counts
        held = ahead.get(name, 0)
        rows.append(
            feed.FunctionRow(
                id=name,
                waiting=counts[TaskState.WAITING],
                ready=counts[TaskState.READY] + held,
                running=counts[TaskState.LEASED] + counts[TaskState.BLOCKED] - held,
                finished=counts[TaskState.FINISHED],
                failed=counts[TaskState.FAILED],
                cancelled=counts[TaskState.CANCELLED],
            )
        )
    return rows


def run_rows(state: State, ids: Iterable[int]) -> dict[int, feed.RunRow]:
    """Return, by id, those of these runs that have unfinished tasks, as observers see them."""
    running: dict[int, int] = {}
    for worker in state.workers.values():
        for task in turns.running_on(worker):
            running[task.run_id] = running.get(task.run_id, 0) + 1
    return {
        run_id: feed.RunRow(
            id=short(run.id),
            label=run.label,
            cell=run.cell_id,
            began_at=run.begun_at,
            finished=run.ended[TaskState.FINISHED],
            failed=run.ended[TaskState.FAILED],
            cancelled=run.ended[TaskState.CANCELLED],
            running=running.get(run.id, 0),
            queued=len(run.tasks) - running.get(run.id, 0),
        )
        for run_id in ids
        if (run := state.runs.get(run_id)) is not None and run.tasks
    }


def object_totals(state: State, free_bytes: int, disk_bytes: int) -> feed.ObjectTotals:
    """Return the store in numbers; the loop knows what lies free and on disk."""
    return feed.ObjectTotals(
        count=sum(o.state is ObjectState.READY for o in state.objects.values())
        if len(state.objects) < 10_000
        else len(state.objects),
        inline_bytes=state.inline_bytes,
        shared_count=len(state.segments),
        shared_bytes=state.shared_bytes,
        free_bytes=free_bytes,
        disk_bytes=disk_bytes,
        capacity_bytes=state.settings.store_bytes,
    )


def resource_rows(state: State) -> list[feed.ResourceRow]:
    """Return every resource with what is used of it."""
    return [
        feed.ResourceRow(
            id=name,
            total=resources.to_quantity(total),
            used=resources.to_quantity(total - state.free.get(name, 0)),
        )
        for name, total in state.settings.resources.items()
    ]


# ---- questions -------------------------------------------------------------------------


class _Refused(Exception):
    """A question that has no answer; `kind` tells the client which error to raise."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


def answer(state: State, client: ClientRecord, message: messages.Query) -> messages.Answer | None:
    """Answer a question, or return `None` if a worker is asked first."""
    question = _QUESTIONS.get(message.what)
    elsewhere = _ASKED_ELSEWHERE.get(message.what)
    try:
        if elsewhere is not None:
            return elsewhere(state, client, message)
        if question is not None:
            return messages.Answer(message.request_id, question(state, client, *message.args))
    except _Refused as refused:
        return messages.Answer(message.request_id, None, str(refused), refused.kind)
    except (LookupError, TypeError, ValueError) as error:  # asked by another version, perhaps
        text = f"no question {message.what!r} with {message.args!r:.100}: {error!r}"
        return messages.Answer(message.request_id, None, text, "value")
    return messages.Answer(message.request_id, None, f"no question {message.what!r}", "value")


def _named(state: State, client: ClientRecord, name: str, namespace: str) -> dict[str, Any]:
    actor_id = state.names.get((namespace, name))
    actor = state.actors.get(actor_id) if actor_id is not None else None
    if actor is None or actor.state is ActorState.DEAD:
        text = f"Failed to look up actor with name {name!r}"
        living = sorted(n for space, n in state.names if space == namespace)[:5]
        if living:
            text += f" in this namespace; there are: {', '.join(living)}"
        raise _Refused(text, "lookup")
    return {
        "actor": actor.id,
        "meta": actor.code.meta,
        "options": actor.options,
    }


def _describe_tasks(state: State, client: ClientRecord, ids: list[int]) -> list[dict[str, Any]]:
    """Say how the tasks that make these objects stand, in the order asked."""
    rows = []
    paused = bool(reasons.paused(state))
    known: dict[int, TaskRecord | None] = {}
    for object_id in ids:
        record = state.objects.get(object_id)
        task = record.task if record is not None else None
        known[object_id] = task or state.tasks.get(object_id)
    if not all(known.values()):
        known.update((task.id, task) for task in ended_tasks(state) if task.id in known)
    for object_id in ids:
        record = state.objects.get(object_id)
        task = known[object_id]
        row: dict[str, Any] = {"id": short(object_id), "state": _object_word(record)}
        if task is not None:
            row = _plain(task_row(task))
        row["exists"] = record is not None
        value = record.value if record is not None else None
        row["size_bytes"] = 0 if value is None else len(value.data) + value.size
        row["paused"] = task is not None and task.state is TaskState.READY and paused
        rows.append(row)
    return rows


def _object_word(record: ObjectRecord | None) -> str:
    """Return how the task stood that made an object and is forgotten."""
    if record is None:
        return "unknown"
    return "failed" if record.failure is not None else "finished"


def _count_tasks(state: State, client: ClientRecord, ids: list[int]) -> dict[str, Any]:
    """Count the tasks that make these objects, by state; cheap for many."""
    counts: dict[str, int] = {}
    names: dict[str, int] = {}
    for object_id in ids:
        record = state.objects.get(object_id)
        task = state.tasks.get(object_id) or (record.task if record is not None else None)
        if task is None:
            word = _object_word(record)
        else:
            word = task_word(task) if task.state < TaskState.FINISHED else _TASK_WORDS[task.state]
            names[task.options.name] = names.get(task.options.name, 0) + 1
        counts[word] = counts.get(word, 0) + 1
    return {"counts": counts, "names": names}


def _describe_runs(state: State, client: ClientRecord, ids: list[int]) -> list[dict[str, Any]]:
    """Say how the runs stand of which there are tasks, in the order asked."""
    rows = []
    paused = bool(reasons.paused(state))
    for run_id in ids:
        run = state.runs.get(run_id)
        if run is None:
            continue
        running, ready = counts_of(state, run_id)
        begun = _running_in(state, run_id)
        running, ready = running + begun, ready + len(run.tasks) - begun
        rows.append(
            {
                "run": short(run_id),
                "label": run.label,
                "elapsed_s": (state.now if running + ready else run.changed_at) - run.begun_at,
                "finished": run.ended[TaskState.FINISHED],
                "failed": run.ended[TaskState.FAILED],
                "cancelled": run.ended[TaskState.CANCELLED],
                "running": running,
                "ready": ready,
                "worked_s": run.worked_s,
                "paused": paused and any(t.state is TaskState.READY for t in run.tasks.values()),
            }
        )
    return rows


def _running_in(state: State, run_id: int) -> int:
    """Count a run's tasks that run now, without a look at those that wait."""
    count = 0
    for worker in state.workers.values():
        for task in turns.running_on(worker):
            count += task.run_id == run_id
    return count


def _plain(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _describe_actors(state: State, client: ClientRecord, ids: list[int]) -> list[dict[str, Any]]:
    dead = {actor.id: actor for actor in state.dead_actors}
    rows = []
    for actor_id in ids:
        actor = state.actors.get(actor_id) or dead.get(actor_id)
        rows.append(
            {
                **_plain(actor_row(actor)),
                "meta": actor.code.meta,
                "made_in": _label(state, actor),
                "edited": actor.edited,
            }
            if actor is not None
            else {"id": short(actor_id), "state": "unknown"}
        )
    return rows


def _label(state: State, actor: ActorRecord) -> str:
    run = state.runs.get(actor.run_id)
    return run.label if run is not None else ""


def _runs_called(state: State, client: ClientRecord, label: str) -> list[str]:
    return [short(run.id) for run in state.runs.values() if run.label == label]


def _tasks(state: State, client: ClientRecord, runs: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Return the tasks, or those of some runs."""
    everything = [*ended_tasks(state), *state.tasks.values()]
    return [
        # Unlike observers, who draw what is under way, people ask where a task has run, too.
        {
            **_plain(task_row(t)),
            "worker": str(t.worker.id if t.worker is not None else t.ran_on or ""),
        }
        for t in everything
        if not runs or t.run_id in runs
    ]


def _actors(state: State, client: ClientRecord) -> list[dict[str, Any]]:
    everything = {a.id: a for a in [*state.dead_actors, *state.actors.values()]}
    return [
        {
            **_plain(actor_row(a)),
            "namespace": a.options.namespace,
            "detached": a.options.detached,
        }
        for a in everything.values()
    ]


def _objects(state: State, client: ClientRecord) -> list[dict[str, Any]]:
    rows = []
    actors: dict[int, list[int]] = {}
    for actor in state.actors.values():
        if actor.worker is not None and actor.worker.client is not None:
            for any_id in actor.worker.client.held:
                actors.setdefault(any_id, []).append(actor.id)
    captured: dict[int, list[str]] = {}
    for code in state.codes.values():
        for any_id in code.captured:
            captured.setdefault(any_id, []).append(code.name)
    for record in state.objects.values():
        value = record.value
        made_by, run_id = state.makers.get(value.segment if value is not None else "", ("", 0))
        if record.task is not None:
            made_by, run_id = record.task.options.name, record.task.run_id
        run = state.runs.get(run_id)
        rows.append(
            {
                "id": short(record.id),
                "state": record.state.name.lower(),
                "size_bytes": 0 if value is None else len(value.data) + value.size,
                "where": "" if value is None else ("shared memory" if value.segment else "inline"),
                "refs": record.refs,
                "held_here": record.id in client.held,
                "held_by_actors": actors.get(record.id, []),
                "captured_by": list(dict.fromkeys(captured.get(record.id, []))),
                "task": made_by,
                "run": run.label if run is not None else "",
            }
        )
    return rows


def _only_mapped(
    state: State, client: ClientRecord, mapped: dict[str, int]
) -> list[dict[str, Any]]:
    """Return the segments whose memory is in use though no object lies in them any more.

    `mapped` has the sizes of those that the client maps: of those of its own making it alone knows.
    """
    users: dict[str, list[str]] = {}
    for other in state.clients.values():
        actor = other.worker.actor if other.worker is not None else None
        who = f"actor {actor.options.class_name}" if actor is not None else "tasks"
        for name in other.mapped if other is not client else ():
            users.setdefault(name, []).append(who)
    found = [segment for segment in state.segments.values() if not segment.live]
    for name, size in mapped.items():
        if name not in state.segments:
            found.append(SegmentRecord(name, size, client))
    return [
        {
            "segment": segment.name,
            "size_bytes": segment.size,
            "held_here": segment.name in mapped or segment.name in client.mapped,
            "held_by": users.get(segment.name, []),
            "task": segment.maker[0],
            "run": run.label if (run := state.runs.get(segment.maker[1])) is not None else "",
        }
        for segment in found
    ]


def _workers(state: State, client: ClientRecord) -> list[dict[str, Any]]:
    return [_plain(worker_row(w, 0, 0.0)) for w in state.workers.values()]


def _functions(state: State, client: ClientRecord) -> list[dict[str, Any]]:
    return [_plain(row) for row in function_rows(state, list(state.functions))]


def _run_counts(state: State, client: ClientRecord, run_id: int) -> int:
    run = state.runs.get(run_id)
    return len(run.tasks) if run is not None else 0


def _named_actors(
    state: State,
    client: ClientRecord,
    all_namespaces: bool,  # noqa: FBT001  # the answer's handler has no keywords
    namespace: str,
) -> list[dict[str, str]]:
    return [
        {"name": name, "namespace": space}
        for (space, name), actor_id in state.names.items()
        if (all_namespaces or space == namespace)
        and state.actors[actor_id].state is not ActorState.DEAD
    ]


def _unfinished_calls(state: State, client: ClientRecord, actor_id: int) -> int:
    """Return how many calls of this client the actor has not ended."""
    actor = state.actors.get(actor_id)
    if actor is None:
        return 0
    waiting = (task for lane in actor.lanes.values() for task in lane)
    return sum(task.client is client for task in (*actor.sent.values(), *waiting))


def _why(state: State, client: ClientRecord, message: messages.Query) -> messages.Answer | None:
    """Say why an object is not there, with the place in the code of the call that runs."""
    goes_on = deadlocks.Search(state, state.gets).may_end
    sentence, runs = reasons.explain(state, message.args[0], goes_on)
    worker = runs.worker if runs is not None else None
    if runs is None or worker is None or worker.client is None or worker.client is client:
        return messages.Answer(message.request_id, sentence)
    _inquire(state, client, message, worker.client, runs.id, sentence)
    return None


def _holdings(
    state: State, client: ClientRecord, message: messages.Query
) -> messages.Answer | None:
    """Say where in an actor refs lie: a line each, the object's id, a tab, the way to it."""
    actor = state.actors.get(message.args[0])
    holder = actor.worker.client if actor is not None and actor.worker is not None else None
    if holder is None or holder is client:
        return messages.Answer(message.request_id, "")
    _inquire(state, client, message, holder, 0, "")
    return None


def _inquire(
    state: State,
    client: ClientRecord,
    message: messages.Query,
    worker: ClientRecord,
    task_id: int,
    sentence: str,
) -> None:
    """Ask a worker on behalf of a client, which is answered in any case."""
    until = state.now + limits.WHERE_WITHIN_S
    state.inquiry += 1
    number = state.inquiry
    state.inquiries[number] = Inquiry(client, message.request_id, sentence, until)
    state.send(worker, messages.Where(number, task_id))
    state.commands.append(WakeAt(until))


def on_here(state: State, message: messages.Here) -> None:
    """A worker has said where a call is, or where refs lie."""
    asked = state.inquiries.pop(message.number, None)
    if asked is not None:
        text = "\n".join(part for part in (asked.sentence, message.text) if part)
        state.send(asked.client, messages.Answer(asked.request_id, text))


def answer_late(state: State) -> None:
    """Answer without those workers that say nothing."""
    for number, asked in list(state.inquiries.items()):
        if state.now >= asked.until - 1e-6:
            on_here(state, messages.Here(number, ""))


def _debug(
    state: State, client: ClientRecord, pid: int, task_id: int, kind: str, text: str
) -> bool:
    """Pass on what a driver says to the debugger in a process."""
    for worker in state.workers.values():
        if worker.pid == pid and worker.client is not None:
            state.send(worker.client, messages.Debug(task_id, kind, text))
            return True
    raise _Refused(f"process {pid} has ended", "lookup")


_QUESTIONS: dict[str, Callable[..., Any]] = {
    "totals": lambda state, client: totals(state),
    "available": lambda state, client: available(state),
    "named actor": _named,
    "named actors": _named_actors,
    "describe tasks": _describe_tasks,
    "count tasks": _count_tasks,
    "describe actors": _describe_actors,
    "describe runs": _describe_runs,
    "runs called": _runs_called,
    "debug": _debug,
    "tasks": _tasks,
    "actors": _actors,
    "objects": _objects,
    "only mapped": _only_mapped,
    "workers": _workers,
    "functions": _functions,
    "unfinished in run": _run_counts,
    "unfinished calls": _unfinished_calls,
    "paused": lambda state, client: reasons.paused(state),
    "ping": lambda state, client: True,
}

_ASKED_ELSEWHERE: dict[str, Callable[..., messages.Answer | None]] = {
    "why": _why,
    "holdings": _holdings,
}
"""Questions that a worker may be asked first."""
