"""Writes the documents that are made from the code: `python docs/generate.py`.

`reference.md` from the docstrings of the public names, `states.md` from the tables of
state transitions. A test compares them with what this would write.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import burrow
from burrow_jupyter.core.scheduler import transitions

HERE = Path(__file__).resolve().parent
MADE = "<!-- Made by `python docs/generate.py`; change the code, not this file. -->"

SECTIONS = {
    "Start and end": ("init", "is_initialized", "shutdown", "restart", "BurrowContext"),
    "Tasks": ("remote", "RemoteFunction", "cancel", "map", "seed"),
    "Objects": (
        "put",
        "get",
        "wait",
        "free",
        "as_completed",
        "ObjectRef",
        "ObjectRefGenerator",
        "DynamicObjectRefGenerator",
    ),
    "Actors": ("ActorClass", "ActorHandle", "method", "get_actor", "kill", "exit_actor"),
    "State": (
        "get_runtime_context",
        "RuntimeContext",
        "get_gpu_ids",
        "cluster_resources",
        "available_resources",
        "nodes",
        "tasks",
        "actors",
        "objects",
        "workers",
        "timeline",
    ),
    "Ids": (
        "UniqueID",
        "JobID",
        "NodeID",
        "WorkerID",
        "TaskID",
        "ActorID",
        "PlacementGroupID",
    ),
    "Executor": ("Executor",),
}
MODULES = {
    "burrow.util": "from burrow.util import ...",
    "burrow.util.queue": "from burrow.util.queue import ...",
    "burrow.util.multiprocessing": "from burrow.util.multiprocessing import ...",
    "burrow.util.joblib": "from burrow.util.joblib import ...",
    "burrow.util.state": "from burrow.util.state import ...",
    "burrow.util.placement_group": "from burrow.util.placement_group import ...",
    "burrow.util.scheduling_strategies": "from burrow.util.scheduling_strategies import ...",
    "burrow.util.metrics": "from burrow.util.metrics import ...",
    "burrow.experimental.tqdm_ray": "from burrow.experimental.tqdm_ray import ...",
}


def signature_of(thing: Any) -> str:
    """Return `(a, b=1)` without annotations: the docstring says more, in words."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    plain = [p for p in plain if p.name != "self" and not p.name.startswith("_")]
    text = str(inspect.Signature(plain))
    return re.sub(r"<[^>]* at 0x[0-9a-f]+>", "...", text)


def docstring_of(thing: Any) -> str:
    """Return a docstring as a block, sections in bold."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r"^(Args|Returns|Raises|Yields):$", r"**\1**\n", text, flags=re.MULTILINE)
    lines = []
    for line in text.splitlines():
        entry = re.match(r"    (\S[^:]*): (.*)", line)
        lines.append(f"- `{entry[1]}`: {entry[2]}" if entry else re.sub(r"^ {4,}", "  ", line))
    return "\n".join(lines)


def entry(name: str, thing: Any, level: str = "###") -> list[str]:
    """Return the text about one public name, and about the methods of a class."""
    if not (inspect.isclass(thing) or callable(thing)):
        return []
    kind = "class " if inspect.isclass(thing) else ""
    lines = [
        f"{level} {kind}{name}",
        "",
        f"`{name}{signature_of(thing)}`",
        "",
        docstring_of(thing),
        "",
    ]
    if inspect.isclass(thing) and not issubclass(thing, tuple | Exception):
        for method, value in vars(thing).items():
            function = inspect.unwrap(getattr(value, "__func__", value))
            public = not method.startswith("_") and inspect.isfunction(function)
            if public and inspect.getdoc(function):
                lines += [f"`.{method}{signature_of(function)}`", "", docstring_of(function), ""]
    return lines


def reference() -> str:
    """Return the API reference."""
    lines = [MADE, "", "# API reference", ""]
    lines += ["What you type is `burrow`; each entry says what it takes, returns and raises.", ""]
    for title, names in SECTIONS.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += entry(f"burrow.{name}", getattr(burrow, name))
    for path, how in MODULES.items():
        module = importlib.import_module(path)
        lines += [f"## {path}", "", f"`{how}`", ""]
        for name in module.__all__:
            thing = getattr(module, name)
            if not inspect.ismodule(thing) and f"burrow.{name}" not in "\n".join(lines):
                lines += entry(name, thing)
    lines += ["## burrow.exceptions", ""]
    lines += ["| Exception | is also | when |", "|---|---|---|"]
    for name, thing in sorted(vars(burrow.exceptions).items()):
        if inspect.isclass(thing) and issubclass(thing, BaseException) and not name.startswith("_"):
            bases = ", ".join(f"`{base.__name__}`" for base in thing.__bases__)
            first = (inspect.getdoc(thing) or "").split("\n", maxsplit=1)[0]
            lines.append(f"| `{name}` | {bases} | {first} |")
    return "\n".join(lines).rstrip() + "\n"


MACHINES = (
    ("Task", transitions.TASK_TABLE),
    ("Actor", transitions.ACTOR_TABLE),
    ("Object", transitions.OBJECT_TABLE),
    ("Worker", transitions.WORKER_TABLE),
)
BIRTHS = {
    "Task": {"WAITING": "submitted"},
    "Actor": {"PENDING": "created"},
    "Object": {"PENDING": "its task is submitted", "READY": "put", "FAILED": "asked for, unknown"},
    "Worker": {"STARTING": "asked for"},
}
_T, _A, _O, _W = (
    transitions.TaskEvent,
    transitions.ActorEvent,
    transitions.ObjectEvent,
    transitions.WorkerEvent,
)
CAUSES = {
    "Task": {
        _T.ARGUMENTS_READY: "its last argument is there; it queues under its resource shape",
        _T.LEASE: "it is sent to a worker, to run there or to be held ahead, or to ride behind the "
        "task that makes its argument; a method to its actor",
        _T.RETURN: "its worker gives it back unstarted, or died before it began it",
        _T.BLOCK: "it waits in `get` or `wait`: its CPU goes to others",
        _T.UNBLOCK: "what it waited for is there, its wait timed out or was interrupted",
        _T.RETRY: "its process died, or it raised what is to be retried; attempts are left",
        _T.FINISH: "it returned",
        _T.FAIL: "it raised, its process died without attempts left, an argument or its actor failed",
        _T.CANCEL: "it was cancelled, alone or with its parent, its run or its driver",
        _T.AWAIT_ARGUMENT: "its worker gives it back or died, before what it rode behind had ended",
        _T.AWAIT_ACTOR: "its actor restarts, or it raised, and it is to be tried again",
    },
    "Actor": {
        _A.PLACE: "its arguments and its resources are there; a process is asked for",
        _A.READY: "its constructor returned",
        _A.CRASH: "its process died, or `kill(no_restart=False)`; restarts are left",
        _A.DIE: "killed, exited, no restarts left, constructor or argument failed, no handle left",
    },
    "Object": {
        _O.ARRIVE: "its task returned it, or its generator yielded it",
        _O.FAIL: "its task failed or was cancelled",
        _O.FREE: "`free()` gave up its value; what it contained is let go",
    },
    "Worker": {
        _W.HELLO: "its process has connected",
        _W.LEASE: "it holds resources for tasks of one shape, or for its actor",
        _W.RELEASE: "no task of its shape is left for it, or something older needs its resources",
        _W.STOP: "idle for too long, `max_calls`, it saw GPUs, or its actor is dead",
        _W.END: "its process is gone; its lease comes back",
    },
}
"""What makes an event happen; one that is missing stops the generator."""


def states() -> str:
    """Return the state machines, drawn and as tables."""
    lines = [MADE, "", "# States", ""]
    lines += [
        "The scheduler's records change their state only along these lines; anything else is an",
        "error of its own. Drawn from `burrow_jupyter/core/scheduler/transitions.py`. How a step",
        "is decided is told in [the architecture](architecture.md).",
        "",
    ]
    for title, table in MACHINES:
        lines += [f"## {title}", "", "```mermaid", "stateDiagram-v2"]
        lines += [f"    [*] --> {state}: {why}" for state, why in BIRTHS[title].items()]
        for state, row in table.items():
            for event, after in row.items():
                lines.append(f"    {state.name} --> {after.name}: {_words(event.name)}")
            if not row:
                lines.append(f"    {state.name} --> [*]")
        lines += ["```", "", "| happens | from | to | when |", "|---|---|---|---|"]
        for event in dict.fromkeys(e for row in table.values() for e in row):
            for after in dict.fromkeys(row[event] for row in table.values() if event in row):
                before = ", ".join(s.name for s, row in table.items() if row.get(event) is after)
                why = CAUSES[title][event]
                lines.append(f"| {_words(event.name)} | {before} | {after.name} | {why} |")
        lines.append("")
    lines += [
        "An object is forgotten in whatever state when nothing refers to it any more; one that is",
        "still being made, when its task has ended.",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


DOCUMENTS = {"reference.md": reference, "states.md": states}

if __name__ == "__main__":
    for name, make in DOCUMENTS.items():
        (HERE / name).write_text(make(), encoding="utf-8")
