"""Remote functions by the module name that code written for Ray uses."""

from burrow_jupyter.api.tasks import RemoteFunction

__all__ = ("RemoteFunction",)
