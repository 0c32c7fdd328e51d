"""Help for what cannot be sent, by the module name that code written for Ray uses."""

from burrow_jupyter.api.util.serializers import inspect_serializability

__all__ = ("inspect_serializability",)
