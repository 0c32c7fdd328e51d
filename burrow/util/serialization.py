"""Serializers of your own, by the module name that code written for Ray uses."""

from burrow_jupyter.api.util.serializers import deregister_serializer, register_serializer

__all__ = ("deregister_serializer", "register_serializer")
