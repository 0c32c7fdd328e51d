"""A queue that tasks and actors share."""

from burrow_jupyter.api.util.queue import Empty, Full, Queue

__all__ = ("Empty", "Full", "Queue")
