"""Lists and counts of what there is, with the columns and words of Ray's state API."""

from burrow_jupyter.api import elsewhere as _elsewhere
from burrow_jupyter.api.util.state import (
    get_actor,
    get_node,
    get_objects,
    get_placement_group,
    get_task,
    get_worker,
    list_actors,
    list_jobs,
    list_nodes,
    list_objects,
    list_placement_groups,
    list_tasks,
    list_workers,
    summarize_actors,
    summarize_objects,
    summarize_tasks,
)

__all__ = (
    "get_actor",
    "get_node",
    "get_objects",
    "get_placement_group",
    "get_task",
    "get_worker",
    "list_actors",
    "list_jobs",
    "list_nodes",
    "list_objects",
    "list_placement_groups",
    "list_tasks",
    "list_workers",
    "summarize_actors",
    "summarize_objects",
    "summarize_tasks",
)


def __getattr__(name: str) -> object:
    """Say of what is only in Ray what to do instead."""
    raise _elsewhere.no_attribute(__name__, name)
