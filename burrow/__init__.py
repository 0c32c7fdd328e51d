"""Burrow: tasks and actors on your own cores, native to the notebook.

import burrow

@burrow.remote
def square(x):
return x * x

burrow.get([square.remote(n) for n in range(4)])
"""

import sys as _sys

from burrow import actor, exceptions, runtime_context
from burrow_jupyter import __version__
from burrow_jupyter.api import lifecycle as _lifecycle
from burrow_jupyter.api.actors import (
    ActorClass,
    ActorHandle,
    exit_actor,
    get_actor,
    method,
)
from burrow_jupyter.api.calls import (
    cancel,
    free,
    get,
    kill,
    put,
    wait,
)
from burrow_jupyter.api.ids import (
    ActorID,
    JobID,
    NodeID,
    PlacementGroupID,
    TaskID,
    UniqueID,
    WorkerID,
)
from burrow_jupyter.api.lifecycle import (
    BurrowContext,
    init,
    is_initialized,
    restart,
    shutdown,
)
from burrow_jupyter.api.refs import (
    DynamicObjectRefGenerator,
    ObjectID,
    ObjectRef,
    ObjectRefGenerator,
)
from burrow_jupyter.api.remote import remote
from burrow_jupyter.api.seed import seed
from burrow_jupyter.api.state import (
    RuntimeContext,
    actors,
    available_resources,
    cluster_resources,
    get_gpu_ids,
    get_runtime_context,
    nodes,
    objects,
    tasks,
    timeline,
    workers,
)
from burrow_jupyter.api.tasks import RemoteFunction

__all__ = (
    "ActorClass",
    "ActorHandle",
    "ActorID",
    "BurrowContext",
    "DynamicObjectRefGenerator",
    "Executor",
    "JobID",
    "NodeID",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "PlacementGroupID",
    "RemoteFunction",
    "RuntimeContext",
    "TaskID",
    "UniqueID",
    "WorkerID",
    "__version__",
    "actor",
    "actors",
    "as_completed",
    "available_resources",
    "cancel",
    "cluster_resources",
    "exceptions",
    "exit_actor",
    "free",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "load_ipython_extension",
    "method",
    "nodes",
    "objects",
    "put",
    "remote",
    "restart",
    "runtime_context",
    "seed",
    "shutdown",
    "tasks",
    "timeline",
    "unload_ipython_extension",
    "util",
    "wait",
    "workers",
)


_LAZY = {
    "Executor": ("burrow_jupyter.api.util.executor", "Executor"),
    "as_completed": ("burrow_jupyter.api.util.completion", "as_completed"),
    "cloudpickle": ("burrow.cloudpickle", ""),
    "experimental": ("burrow.experimental", ""),
    "map": ("burrow_jupyter.api.util.completion", "map"),
    "remote_function": ("burrow.remote_function", ""),
    "runtime_env": ("burrow.runtime_env", ""),
    "types": ("burrow.types", ""),
    "util": ("burrow.util", ""),
}
"""Imported at first use: most programs use none of them, and everybody waits for an import."""


def __getattr__(name: str) -> object:
    """Import what is rarely used when it is."""
    from importlib import import_module  # noqa: PLC0415  # as rarely

    if name not in _LAZY:
        elsewhere = import_module("burrow_jupyter.api.elsewhere")
        raise elsewhere.no_attribute(__name__, name)
    path, attribute = _LAZY[name]
    module = import_module(path)
    return getattr(module, attribute) if attribute else module


def load_ipython_extension(shell: object) -> None:
    """Do `%load_ext burrow`."""
    from burrow_jupyter.notebook import extension  # noqa: PLC0415  # only notebooks load IPython

    extension.load(shell)  # type: ignore[arg-type]  # IPython gives its shell


def unload_ipython_extension(shell: object) -> None:
    """Do `%unload_ext burrow`."""
    from burrow_jupyter.notebook import extension  # noqa: PLC0415  # only notebooks load IPython

    extension.unload(shell)  # type: ignore[arg-type]  # IPython gives its shell


def _wire_notebook() -> None:
    """Make a notebook's displays and output work also without `%load_ext burrow`."""
    from IPython import get_ipython  # noqa: PLC0415  # is loaded, or we would not be asked

    shell = get_ipython()
    if shell is not None:
        from burrow_jupyter.notebook import extension  # noqa: PLC0415  # only notebooks load IPython

        extension.wire(shell)


if "IPython" in _sys.modules:
    _lifecycle.before_open.append(_wire_notebook)
