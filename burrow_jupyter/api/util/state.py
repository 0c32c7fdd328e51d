"""What there is, as Ray's state API tells it: its columns, its words for states.

For code that was written for Ray; `burrow.tasks()` and its like tell more, in Burrow's own
words. The ids are those of the runtime context, of handles and of refs, so one can be
looked up from the other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import checks, context, state
from burrow_jupyter.api.util import placement
from burrow_jupyter.core.ids import parse_short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TASK_STATES = {
    "waiting": "PENDING_ARGS_AVAIL",
    "ready": "PENDING_NODE_ASSIGNMENT",
    "running": "RUNNING",
    "blocked": "RUNNING_IN_RAY_GET",
    "finished": "FINISHED",
    "failed": "FAILED",
    "cancelled": "FAILED",
}
ACTOR_STATES = {"pending": "PENDING_CREATION", "starting": "PENDING_CREATION"}
"""Of actors; the other words are the same, in capitals."""


class Record(dict[str, Any]):
    """One thing: its columns by key or as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self)
            msg = f"there is no column {name!r}; there are: {known}"
            raise AttributeError(msg) from None

    def asdict(self) -> dict[str, Any]:
        """Return a plain dict."""
        return dict(self)


def _long(short_id: str) -> str:
    """Return an id as the rest of the API writes it, made of what a row shows."""
    session = context.backend().session
    if not short_id:
        return ""
    number = int(short_id) if short_id.isdecimal() else parse_short(short_id)
    return f"{session:016x}{number:016x}"


def _here() -> str:
    return f"{context.backend().session:016x}"


def _milliseconds(seconds: float) -> int | None:
    return int(seconds * 1000) if seconds else None


def _task(row: dict[str, Any], pids: dict[str, int]) -> Record:
    failed = row["state"] in ("failed", "cancelled")
    kinds = {"cancelled": "TASK_CANCELLED", "failed": "TASK_EXECUTION_EXCEPTION"}
    return Record(
        task_id=_long(row["id"]),
        attempt_number=row["attempt"] - 1,
        name=row["name"],
        state=TASK_STATES[row["state"]],
        job_id=_here(),
        actor_id=_long(row["actor"]) or None,
        type="ACTOR_TASK" if row["actor"] else "NORMAL_TASK",
        func_or_class_name=row["name"],
        parent_task_id=_long(row["parent"]),
        node_id=_here() if row["started_at"] else None,
        worker_id=_long(row["worker"]) or None,
        worker_pid=pids.get(row["worker"]),
        error_type=kinds.get(row["state"]),
        error_message=row["error"] if failed else None,
        language="PYTHON",
        placement_group_id=None,
        creation_time_ms=_milliseconds(row["submitted_at"]),
        start_time_ms=_milliseconds(row["started_at"]),
        end_time_ms=_milliseconds(row["ended_at"]),
    )


def _actor(row: dict[str, Any]) -> Record:
    word = row["state"]
    return Record(
        actor_id=_long(row["id"]),
        class_name=row["class_name"],
        state=ACTOR_STATES.get(word, word.upper()),
        job_id=_here(),
        name=row["name"],
        node_id=_here(),
        pid=row.get("pid", os.getpid()),  # inline, actors live here
        ray_namespace=row.get("namespace", context.backend().namespace),
        death_cause={"error_message": row.get("reason", "")} if word == "dead" else None,
        is_detached=row.get("detached", False),
        placement_group_id=None,
        num_restarts=row.get("restarts", 0),
    )


def _object(row: dict[str, Any]) -> Record:
    return Record(
        object_id=_long(row["id"]),
        object_size=row.get("size_bytes", 0),
        task_status=row["state"].upper(),
        reference_type="LOCAL_REFERENCE" if row.get("held_here", True) else "USED_BY_PENDING_TASK",
        call_site=row.get("task", ""),
        type="DRIVER",
        pid=os.getpid(),
        ip=state.get_node_ip_address(),
    )


def _worker(row: dict[str, Any]) -> Record:
    return Record(
        worker_id=_long(row["id"]),
        is_alive=row["state"] != "gone",
        worker_type="WORKER",
        exit_type=None,
        node_id=_here(),
        ip=state.get_node_ip_address(),
        pid=row["pid"],
        start_time_ms=_milliseconds(row["started_at"]),
    )


def _node(row: dict[str, Any]) -> Record:
    return Record(
        node_id=row["NodeID"],
        node_ip=row["NodeManagerAddress"],
        is_head_node=True,
        state="ALIVE",
        state_message=None,
        node_name=row["NodeName"],
        resources_total=row["Resources"],
        labels={},
    )


def _group(table: dict[str, Any]) -> Record:
    return Record(
        placement_group_id=table["placement_group_id"],
        name=table["name"],
        creator_job_id=_here(),
        state=table["state"],
        bundles=[
            {"bundle_id": str(index), "unit_resources": bundle}
            for index, bundle in table["bundles"].items()
        ],
        is_detached=False,
        stats=None,
    )


def _rows(
    records: Iterable[Record], shown: tuple[str, ...], filters: Any, limit: int
) -> state.Rows:
    """Return the records that fit; a filter is `(column, "=" or "!=", value)`."""
    kept: list[dict[str, Any]] = []
    limit = checks.whole("limit", limit, least=1)
    filters = list(checks.items("filters", filters or ()))
    for one in filters:
        if not (isinstance(one, tuple | list) and len(one) == 3 and one[1] in ("=", "!=")):
            msg = f"a filter is (column, '=' or '!=', value), got {one!r:.60}"
            raise ValueError(msg)
    for record in records:
        for column, predicate, value in filters:
            if column not in record:
                msg = f"there is no column {column!r} to filter by; there are: {', '.join(record)}"
                raise ValueError(msg)
            same = str(record[column]).lower() == str(value).lower()
            if same != (predicate == "="):
                break
        else:
            kept.append(record)
    return state.Rows(kept[:limit], shown)


# ---- lists -----------------------------------------------------------------------------


def list_tasks(*, filters: Any = None, limit: int = 10_000, **other: Any) -> state.Rows:
    """Return the tasks that have not ended and the last that have, the oldest first.

    Args:
        filters: such as `[("state", "=", "RUNNING"), ("name", "!=", "f")]`.
        limit: most rows.
        other: accepted: every row has all its columns.

    Raises:
        ValueError: a filter that is none, or by a column that is not there.

    Source: Ray 2.60 `ray.util.state.list_tasks`, as all of this module.
    """
    pids = {row["id"]: row["pid"] for row in state.workers()}
    records = (_task(row, pids) for row in state.tasks())
    return _rows(records, ("task_id", "name", "state", "attempt_number"), filters, limit)


def list_actors(*, filters: Any = None, limit: int = 10_000, **other: Any) -> state.Rows:
    """Return the actors that live and the last that died; see `list_tasks`."""
    records = map(_actor, state.actors())
    return _rows(records, ("actor_id", "class_name", "name", "state", "pid"), filters, limit)


def list_objects(*, filters: Any = None, limit: int = 10_000, **other: Any) -> state.Rows:
    """Return the objects that something refers to; see `list_tasks`."""
    records = map(_object, state.objects())
    shown = ("object_id", "object_size", "task_status", "call_site")
    return _rows(records, shown, filters, limit)


def list_workers(*, filters: Any = None, limit: int = 10_000, **other: Any) -> state.Rows:
    """Return the worker processes; see `list_tasks`."""
    return _rows(map(_worker, state.workers()), ("worker_id", "pid", "is_alive"), filters, limit)


def list_nodes(*, filters: Any = None, limit: int = 10_000, **other: Any) -> state.Rows:
    """Return the machines: this one; see `list_tasks`."""
    shown = ("node_id", "node_ip", "state", "resources_total")
    return _rows(map(_node, state.nodes()), shown, filters, limit)


def list_placement_groups(*, filters: Any = None, limit: int = 10_000, **other: Any) -> state.Rows:
    """Return the placement groups that this process has made; see `list_tasks`."""
    tables = placement.placement_group_table().values()
    shown = ("placement_group_id", "name", "state", "bundles")
    return _rows(map(_group, tables), shown, filters, limit)


def list_jobs(*, filters: Any = None, limit: int = 10_000, **other: Any) -> state.Rows:
    """Return the programs: the one that this session serves; see `list_tasks`."""
    job = Record(job_id=_here(), type="DRIVER", status="RUNNING", entrypoint="")
    return _rows([job], ("job_id", "status"), filters, limit)


# ---- one -------------------------------------------------------------------------------


def _one(listed: Callable[..., state.Rows], column: str, wanted: str) -> Any:
    found = listed(filters=[(column, "=", wanted)])
    return found[0] if found else None


def get_task(id: Any, **other: Any) -> Any:  # noqa: A002  # as in Ray
    """Return the task of an id, or of the ref to its result; `None` if it is not known."""
    return _one(list_tasks, "task_id", id.hex() if hasattr(id, "hex") else id)


def get_actor(id: str, **other: Any) -> Any:  # noqa: A002  # as in Ray
    """Return the actor of an id, `None` if it is not known."""
    return _one(list_actors, "actor_id", id)


def get_objects(id: str, **other: Any) -> state.Rows:  # noqa: A002  # as in Ray
    """Return the object of an id, as a list of one, or an empty list."""
    return list_objects(filters=[("object_id", "=", id)])


def get_node(id: str, **other: Any) -> Any:  # noqa: A002  # as in Ray
    """Return the node of an id, `None` if it is another one."""
    return _one(list_nodes, "node_id", id)


def get_worker(id: str, **other: Any) -> Any:  # noqa: A002  # as in Ray
    """Return the worker process of an id, `None` if it is not known."""
    return _one(list_workers, "worker_id", id)


def get_placement_group(id: str, **other: Any) -> Any:  # noqa: A002  # as in Ray
    """Return the placement group of an id, `None` if it is not known."""
    return _one(list_placement_groups, "placement_group_id", id)


# ---- counts ----------------------------------------------------------------------------


def summarize_tasks(**other: Any) -> dict[str, Any]:
    """Return how many calls of each function are in which state, also of those long ended.

    Returns:
        `{"cluster": {"summary": {name: {"state_counts": {...}, ...}}, ...}}`.
    """
    summary: dict[str, Any] = {}
    for row in context.backend().ask("functions"):
        counts: dict[str, int] = {}
        for word, name in TASK_STATES.items():
            if row.get(word):
                counts[name] = counts.get(name, 0) + row[word]
        kind = "ACTOR_TASK" if "." in row["id"] else "NORMAL_TASK"
        summary[row["id"]] = {
            "func_or_class_name": row["id"],
            "type": kind,
            "state_counts": counts,
        }
    totals = {
        kind: sum(
            sum(entry["state_counts"].values())
            for entry in summary.values()
            if entry["type"] == kind
        )
        for kind in ("NORMAL_TASK", "ACTOR_TASK")
    }
    return {
        "cluster": {
            "summary": summary,
            "total_tasks": totals["NORMAL_TASK"],
            "total_actor_tasks": totals["ACTOR_TASK"],
            "total_actor_scheduled": len(state.actors()),
            "summary_by": "func_name",
        }
    }


def summarize_actors(**other: Any) -> dict[str, Any]:
    """Return how many actors of each class are in which state, in the shape of `summarize_tasks`."""
    actors = list_actors()
    summary: dict[str, Any] = {}
    for actor in actors:
        entry = summary.setdefault(
            actor["class_name"], {"class_name": actor["class_name"], "state_counts": {}}
        )
        counts = entry["state_counts"]
        counts[actor["state"]] = counts.get(actor["state"], 0) + 1
    return {
        "cluster": {"summary": summary, "total_actors": len(actors), "summary_by": "class"},
    }


def summarize_objects(**other: Any) -> dict[str, Any]:
    """Return how many objects each function has made and their bytes, as `summarize_tasks`."""
    objects = list_objects()
    summary: dict[str, Any] = {}
    for found in objects:
        entry = summary.setdefault(
            found["call_site"], {"total_objects": 0, "total_size_mb": 0.0, "task_state_counts": {}}
        )
        entry["total_objects"] += 1
        entry["total_size_mb"] += found["object_size"] / 2**20
        counts = entry["task_state_counts"]
        counts[found["task_status"]] = counts.get(found["task_status"], 0) + 1
    return {
        "cluster": {
            "summary": summary,
            "total_objects": len(objects),
            "total_size_mb": sum(found["object_size"] for found in objects) / 2**20,
            "summary_by": "callsite",
        }
    }
