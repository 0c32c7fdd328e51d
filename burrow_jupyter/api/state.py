"""What runs, as plain data: tasks, actors, objects, workers, resources; the runtime context."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.api import checks, context
from burrow_jupyter.api.actors import ActorHandle, own_handle
from burrow_jupyter.api.ids import ActorID, JobID, NodeID, TaskID, WorkerID
from burrow_jupyter.core import resources
from burrow_jupyter.core.ids import parse_short
from burrow_jupyter.engine import current

if TYPE_CHECKING:
    from burrow_jupyter.backends.protocol import Backend


def cluster_resources() -> dict[str, float]:
    """Return all resources of the burrow by name: `CPU`, `GPU`, `memory` (bytes) and your own."""
    return dict(context.backend().totals)


def available_resources() -> dict[str, float]:
    """Return what is free now; what is used up may be missing."""
    free: dict[str, float] = context.backend().ask("available")
    return {name: amount for name, amount in free.items() if amount}


def get_node_ip_address(address: Any = None) -> str:
    """Return the address under which this machine's processes reach each other."""
    return "127.0.0.1"


def nodes() -> list[dict[str, Any]]:
    """Return the machines of the burrow: this one, in the shape of Ray's list."""
    backend = context.backend()
    return [
        {
            "NodeID": f"{backend.session:016x}",
            "Alive": True,
            "NodeName": os.uname().nodename,
            "NodeManagerHostname": os.uname().nodename,
            "NodeManagerAddress": get_node_ip_address(),
            "Resources": dict(backend.totals),
            "Labels": {},
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


def tasks(*, run: int | str = 0) -> Rows:
    """Return the tasks that have not ended and the last that have.

    Args:
        run: only those that this cell has launched, by its number or as in `"In[3]"`; or those of
            the run with this id, as the column `run` has it.

    Raises:
        ValueError: no run is called so; one is that has launched a task.
    """
    backend = context.backend()
    named = run or isinstance(run, float)
    rows = backend.ask("tasks", *([_runs_called(backend, run)] if named else []))
    return Rows(rows, ("id", "name", "state", "worker", "attempt", "error"))


def _runs_called(backend: Backend, run: int | str) -> list[int]:
    name = run if isinstance(run, str) else f"In[{checks.whole('run', run)}]"
    with contextlib.suppress(ValueError):
        return [parse_short(name)]
    found = backend.ask("runs called", name)
    if not found:
        msg = f"no run is called {name}: a cell that has launched a task is called as in In[3]"
        raise ValueError(msg)
    return [parse_short(one) for one in found]


def actors() -> Rows:
    """Return the actors that live and the last that died."""
    rows = context.backend().ask("actors")
    return Rows(rows, ("id", "class_name", "name", "state", "pid", "queued", "finished", "reason"))


def objects() -> Rows:
    """Return the objects that something refers to.

    An array above 100 KB that functions or classes capture is one, too: `captured_by` says of which.
    """
    return Rows(context.backend().ask("objects"), ("id", "state", "size_bytes", "where", "refs"))


def workers() -> Rows:
    """Return the worker processes."""
    rows = context.backend().ask("workers")
    return Rows(rows, ("id", "pid", "state", "task", "actor", "finished"))


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
    if filename is not None:
        checks.instance("filename", filename, (str, os.PathLike))
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

    def get(self) -> dict[str, Any]:
        """Return what applies of the ids and names, as older code asks for them."""
        known = {
            "job_id": self.job_id,
            "node_id": self.node_id,
            "namespace": self.namespace,
            "task_id": self.task_id,
            "actor_id": self.actor_id,
        }
        return {name: value for name, value in known.items() if value is not None}

    @property
    def job_id(self) -> JobID:
        """The same as `get_job_id()`, as older code asks for it: it answers `.hex()`."""
        return JobID(self.get_job_id())

    @property
    def node_id(self) -> NodeID:
        """The same as `get_node_id()`, as `job_id`."""
        return NodeID(self.get_node_id())

    @property
    def worker_id(self) -> WorkerID:
        """The same as `get_worker_id()`, as `job_id`."""
        return WorkerID(self.get_worker_id())

    @property
    def task_id(self) -> TaskID | None:
        """The same as `get_task_id()`, as `job_id`."""
        found = self.get_task_id()
        return TaskID(found) if found is not None else None

    @property
    def actor_id(self) -> ActorID | None:
        """The same as `get_actor_id()`, as `job_id`."""
        found = self.get_actor_id()
        return ActorID(found) if found is not None else None

    def get_placement_group_id(self) -> str | None:
        """Return `None`: a placement group sets nothing aside, so no task runs in one."""
        return None

    def get_node_labels(self) -> dict[str, str]:
        """Return the labels of the one node: none."""
        return {}

    def get_dashboard_url(self) -> str:
        """Return an empty text: the notebook and its side panel show what runs."""
        return ""

    @property
    def gcs_address(self) -> str:
        """An empty text: there is no cluster to connect to."""
        return ""

    @property
    def current_placement_group_id(self) -> str | None:
        """The same as `get_placement_group_id()`."""
        return self.get_placement_group_id()

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        """`False`, as no task runs in a placement group."""
        return False

    @property
    def runtime_env(self) -> dict[str, Any]:
        """The `runtime_env=` that the options of the running task or actor name."""
        options = current.facts.actor_options or current.call().options
        if options is None:
            return {}
        given = {"env_vars": dict(options.env_vars), "working_dir": options.working_dir}
        return {name: value for name, value in given.items() if value}

    def get_session_name(self) -> str:
        """Return the name of the session: its id, the same in all of its processes."""
        return self.get_job_id()

    def get_temp_dir(self) -> str:
        """Return the folder in which sessions keep their logs and sockets."""
        info = getattr(getattr(context.backend(), "client", None), "info", {})
        own = info.get("directory", "")
        if own:
            return own.rpartition("/")[0] or "/"
        import tempfile  # noqa: PLC0415  # 16 ms, here only

        return tempfile.gettempdir()

    def get_resource_ids(self) -> dict[str, list[str]]:
        """The same as `get_accelerator_ids()`, as older code asks for it."""
        return self.get_accelerator_ids()

    def get_runtime_env_string(self) -> str:
        """Return `runtime_env` as JSON."""
        return msgspec.json.encode(self.runtime_env).decode()

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
    context.backend()  # starts the default one, as whatever needs one does
    return RuntimeContext()
