"""The runtime context by the module name that code written for Ray uses."""

from burrow_jupyter.api.state import RuntimeContext, get_runtime_context

__all__ = ("RuntimeContext", "get_runtime_context")
