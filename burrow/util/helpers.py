"""Results as they come, by the module name that code written for Ray uses."""

from burrow_jupyter.api.util.completion import as_completed, map_unordered

__all__ = ("as_completed", "map_unordered")
