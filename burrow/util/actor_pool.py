"""A fixed set of actors that share work."""

from burrow_jupyter.api.util.actor_pool import ActorPool

__all__ = ("ActorPool",)
