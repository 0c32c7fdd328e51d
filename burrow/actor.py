"""Actors by the module name that code written for Ray uses; the same as in `burrow`."""

from burrow_jupyter.api.actors import (
    ActorClass,
    ActorClassInheritanceException,
    ActorHandle,
    ActorMethod,
    exit_actor,
)

__all__ = (
    "ActorClass",
    "ActorClassInheritanceException",
    "ActorHandle",
    "ActorMethod",
    "exit_actor",
)
