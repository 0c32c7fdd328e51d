"""What runs, as plain data: tasks, actors, objects, workers, resources; the runtime context."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec

from burrow_jupyter.api import context
from burrow_jupyter.api.actors import ActorHandle, own_handle
from burrow_jupyter.api.refs import HexId
from burrow_jupyter.core import resources
from burrow_jupyter.engine import current


def cluster_resources() -> dict[str, float]:
    """Return all resources of the burrow by name: `CPU`, `GPU`, `memory` (bytes) and your own."""
    return dict(context.backend().totals)


def available_resources() -> dict[str, float]:
    """Return what is free now; what is used up may be missing."""
    free: dict[str, float] = context.backend().ask("available")
    return {name: amount for name, amount in free.items() if amount}


def get_node_ip_address() -> str:
    """Return the address under which this machine's processes reach each other."""
    return "127.0.0.1"


def nodes() -> list[dict[str, Any]]:
    """Return the machines of the burrow: this one, in the shape of Ray's list."""
    backend = context.backend()
    return [
        {
            "NodeID": f"{backend.session:016x}",
            "Alive": True,
            "NodeManagerHostname": os.uname().nodename,
            "NodeManagerAddress": get_node_ip_address(),
            "Resources": dict(backend.totals),
            "alive": True,
        }
    ]


class Rows(list[dict[str, Any]]):
    """A list of records that prints as a table; `.to_pandas()` makes a DataFrame."""

    columns: tuple[str, ...] = ()

    def __init__(self, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
        super().__init__(rows)
        self.columns = columns

    def to_pandas(self) -> Any:
        """Return the records as a `pandas.DataFrame`.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas as pd  # noqa: PLC0415  # optional

        return pd.DataFrame(list(self))

    def summary(self) -> dict[str, dict[str, int]]:
        """Return how many records there are of each name (or class) in each state."""
        counts: dict[str, dict[str, int]] = {}
        for row in self:
            name = str(row.get("name") or row.get("class_name") or row.get("task") or "")
            of_name = counts.setdefault(name, {})
            of_name[row["state"]] = of_name.get(row["state"], 0) + 1
        return counts

    def __repr__(self) -> str:
        if not self:
            return "(none)"
        shown = [[str(row.get(c, "")) for c in self.columns] for row in self[-50:]]
        widths = [
            min(40, max(len(c), *(len(r[i]) for r in shown))) for i, c in enumerate(self.columns)
        ]
        lines = [self.columns, *shown]
        text = [
            "  ".join(f"{cell[:40]:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        if len(self) > 50:
            text.append(f"... and {len(self) - 50} before these")
        return "\n".join(text)


def tasks(*, run: int = 0) -> Rows:
    """Return the tasks that have not ended and the last that have; of one run if it is given."""
    rows = context.backend().ask("tasks", run)
    return Rows(rows, ("id", "name", "state", "worker", "attempt", "error"))


def actors() -> Rows:
    """Return the actors that live and the last that died."""
    rows = context.backend().ask("actors")
    return Rows(rows, ("id", "class_name", "name", "state", "pid", "queued", "finished", "reason"))


def objects() -> Rows:
    """Return the objects that something refers to."""
    return Rows(context.backend().ask("objects"), ("id", "state", "size_bytes", "where", "refs"))


def workers() -> Rows:
    """Return the worker processes."""
    rows = context.backend().ask("workers")
    return Rows(rows, ("id", "pid", "state", "task", "actor", "finished"))


def _filtered(rows: Rows, filters: Any, limit: int) -> Rows:
    """Return the rows that fit; a filter is `(column, "=" or "!=", value)`."""
    kept = []
    for row in rows:
        for column, predicate, value in filters or ():
            if predicate not in ("=", "!="):
                msg = f"a filter is (column, '=' or '!=', value), got {predicate!r}"
                raise ValueError(msg)
            same = str(row.get(column, "")).lower() == str(value).lower()
            if same != (predicate == "="):
                break
        else:
            kept.append(row)
    return Rows(kept[:limit], rows.columns)


def list_tasks(*, filters: Any = None, limit: int = 10_000, **other: Any) -> Rows:
    """Return `tasks()` by Ray's name; `filters` such as `[("state", "=", "running")]`.

    Raises:
        ValueError: a filter that is none.
    """
    return _filtered(tasks(), filters, limit)


def list_actors(*, filters: Any = None, limit: int = 10_000, **other: Any) -> Rows:
    """Return `actors()` by Ray's name; see `list_tasks`."""
    return _filtered(actors(), filters, limit)


def list_objects(*, filters: Any = None, limit: int = 10_000, **other: Any) -> Rows:
    """Return `objects()` by Ray's name; see `list_tasks`."""
    return _filtered(objects(), filters, limit)


def list_workers(*, filters: Any = None, limit: int = 10_000, **other: Any) -> Rows:
    """Return `workers()` by Ray's name; see `list_tasks`."""
    return _filtered(workers(), filters, limit)


def list_nodes(**other: Any) -> list[dict[str, Any]]:
    """Return `nodes()` by Ray's name."""
    return nodes()


def summarize_tasks(**other: Any) -> dict[str, dict[str, int]]:
    """Return how many calls of each function are in which state."""
    rows = context.backend().ask("functions")
    states = ("waiting", "ready", "running", "finished", "failed", "cancelled")
    return {row["id"]: {state: row[state] for state in states if row[state]} for row in rows}


def summarize_actors(**other: Any) -> dict[str, dict[str, int]]:
    """Return how many actors of each class are in which state."""
    return _counted(actors(), "class_name")


def summarize_objects(**other: Any) -> dict[str, dict[str, int]]:
    """Return how many objects each function has made, by state."""
    return _counted(objects(), "task")


def _counted(rows: Rows, column: str) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        states = counts.setdefault(str(row.get(column, "")), {})
        states[row["state"]] = states.get(row["state"], 0) + 1
    return counts


def list_named_actors(all_namespaces: bool = False) -> list[Any]:  # noqa: FBT001, FBT002  # as in Ray
    """Return the names of living named actors of this namespace.

    Args:
        all_namespaces: of all; then each is `{"name": ..., "namespace": ...}`.

    Source: Ray 2.60 `ray.util.list_named_actors`.
    """
    backend = context.backend()
    found: list[Any] = backend.ask("named actors", all_namespaces, backend.namespace)
    return found if all_namespaces else [one["name"] for one in found]


def timeline(filename: str | os.PathLike[str] | None = None) -> list[dict[str, Any]] | None:
    """Return the runs of the recent tasks as a Chrome trace, for `chrome://tracing` or Perfetto.

    Args:
        filename: of a JSON file to write the trace to.

    Returns:
        The events, times in microseconds; `None` if they were written to a file.

    Source: Ray 2.60 `ray.timeline`.
    """
    now = time.time()
    events: list[dict[str, Any]] = [
        {
            "cat": "task",
            "name": row["name"],
            "ph": "X",
            "ts": row["started_at"] * 1e6,
            "dur": ((row["ended_at"] or now) - row["started_at"]) * 1e6,
            "pid": "burrow",
            "tid": f"worker {row['worker']}" if row["worker"] else "ended",
            "args": {name: row[name] for name in ("id", "state", "attempt", "error")},
        }
        for row in tasks()
        if row["started_at"]
    ]
    if filename is None:
        return events
    from pathlib import Path  # noqa: PLC0415  # 5 ms, here only

    Path(filename).write_bytes(msgspec.json.encode(events))
    return None


def get_gpu_ids() -> list[Any]:
    """Return the ids of this task's or actor's GPUs; `[]` if it has none, and in drivers.

    Integers, or strings where the preset `CUDA_VISIBLE_DEVICES` named them otherwise.
    """
    return [int(gpu) if gpu.isdigit() else gpu for gpu in current.facts.gpus]


class RuntimeContext:
    """Where the calling code runs: driver, task or actor. Source: Ray 2.60 `RuntimeContext`."""

    def get_job_id(self) -> str:
        """Return the id of the session, in hexadecimal digits."""
        return f"{context.backend().session:016x}"

    def get_node_id(self) -> str:
        """Return the id of this machine in the session."""
        return f"{context.backend().session:016x}"

    def get_worker_id(self) -> str:
        """Return the id of this process."""
        session = context.backend().session
        return f"{session:016x}{current.facts.worker_id:016x}"

    def get_task_id(self) -> str | None:
        """Return the id of the task, `None` in the driver; a constructor's is the actor's."""
        now = current.call()
        task_id = now.task_id or (now.actor_id if now.options is not None else 0)
        return f"{context.backend().session:016x}{task_id:016x}" if task_id else None

    def get_actor_id(self) -> str | None:
        """Return the id of the actor, `None` outside actors."""
        actor_id = current.call().actor_id or current.facts.actor_id
        return f"{context.backend().session:016x}{actor_id:016x}" if actor_id else None

    def get_actor_name(self) -> str | None:
        """Return the actor's name: `""` if it has none, `None` outside actors."""
        return current.facts.actor_options.name if current.facts.actor_id else None

    def get_task_name(self) -> str | None:
        """Return the name of the task: its function's, or that given by `options(name=)`."""
        options = current.call().options
        return options.name if options is not None else None

    def get_task_function_name(self) -> str | None:
        """Return the function's own name with its module, whatever the options say."""
        options = current.call().options
        if options is None:
            return None
        if current.facts.actor_id:
            cls = current.facts.actor_class
            return f"{cls.__module__}.{cls.__qualname__}.{options.function.rpartition('.')[2]}"
        return options.function

    def get_assigned_resources(self) -> dict[str, float]:
        """Return the resources that the task or actor holds."""
        if current.facts.actor_id:
            shape = current.facts.actor_options.shape
        else:
            options = current.call().options
            shape = options.shape if options is not None else ()
        return {name: resources.to_quantity(units) for name, units in shape}

    def get_placement_group_id(self) -> None:
        """Return `None`: placement groups set nothing aside, so nothing runs in one."""
        return

    def get_node_labels(self) -> dict[str, str]:
        """Return `{}`: there is one machine, which needs no labels."""
        return {}

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """Return the ids of this task's or actor's GPUs, as strings, below `"GPU"`."""
        return {"GPU": list(current.facts.gpus)}

    def is_canceled(self) -> bool:
        """Say whether the running call was cancelled.

        Raises:
            RuntimeError: in an async actor, whose calls get `asyncio.CancelledError`.
        """
        if current.facts.actor_id and current.facts.actor_options.is_async:
            msg = "is_canceled() is not for async actors: their calls get asyncio.CancelledError"
            raise RuntimeError(msg)
        return current.call().cancelled

    @property
    def current_actor(self) -> ActorHandle:
        """A handle on the actor that asks; it does not keep the actor alive.

        Raises:
            RuntimeError: asked outside an actor.
        """
        return own_handle()

    @property
    def job_id(self) -> HexId:
        """As `get_job_id()`, by its older name."""
        return HexId(self.get_job_id())

    @property
    def node_id(self) -> HexId:
        """As `get_node_id()`, by its older name."""
        return HexId(self.get_node_id())

    @property
    def task_id(self) -> HexId | None:
        """As `get_task_id()`, by its older name."""
        known = self.get_task_id()
        return None if known is None else HexId(known)

    @property
    def actor_id(self) -> HexId | None:
        """As `get_actor_id()`, by its older name."""
        known = self.get_actor_id()
        return None if known is None else HexId(known)

    def get(self) -> dict[str, Any]:
        """Return what applies of the ids and names, as older code asks for them."""
        known = {
            "job_id": self.get_job_id(),
            "node_id": self.get_node_id(),
            "namespace": self.namespace,
            "task_id": self.get_task_id(),
            "actor_id": self.get_actor_id(),
        }
        return {name: value for name, value in known.items() if value is not None}

    @property
    def namespace(self) -> str:
        """The session's namespace for named actors."""
        return context.backend().namespace

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether this actor is not in its first life."""
        return current.facts.restarts > 0


RuntimeContext.__module__ = "burrow"


def get_runtime_context() -> RuntimeContext:
    """Return where the calling code runs."""
    return RuntimeContext()
