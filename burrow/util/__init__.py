"""Patterns made of tasks and actors, under the names that users of Ray know."""

from burrow.util import accelerators, queue, scheduling_strategies, state
from burrow.util import placement_group as _groups
from burrow_jupyter.api import elsewhere as _elsewhere
from burrow_jupyter.api.state import get_node_ip_address, list_named_actors
from burrow_jupyter.api.util.actor_pool import ActorPool
from burrow_jupyter.api.util.completion import as_completed, map_unordered
from burrow_jupyter.api.util.serializers import (
    deregister_serializer,
    inspect_serializability,
    register_serializer,
)

get_current_placement_group = _groups.get_current_placement_group
get_placement_group = _groups.get_placement_group
placement_group = _groups.placement_group
placement_group_table = _groups.placement_group_table
remove_placement_group = _groups.remove_placement_group

__all__ = (
    "ActorPool",
    "accelerators",
    "as_completed",
    "deregister_serializer",
    "get_current_placement_group",
    "get_node_ip_address",
    "get_placement_group",
    "inspect_serializability",
    "list_named_actors",
    "map_unordered",
    "placement_group",
    "placement_group_table",
    "queue",
    "register_serializer",
    "remove_placement_group",
    "scheduling_strategies",
    "state",
)


_MODULES = (
    "actor_pool",
    "check_serialize",
    "helpers",
    "joblib",
    "metrics",
    "multiprocessing",
    "serialization",
)


def __getattr__(name: str) -> object:
    """Import the modules that few use, and say of what is only in Ray what to do instead."""
    if name not in _MODULES:
        raise _elsewhere.no_attribute(__name__, name)
    from importlib import import_module  # noqa: PLC0415  # as rarely

    return import_module(f"{__name__}.{name}")
