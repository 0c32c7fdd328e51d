"""Identity of tasks, actors, objects, workers and runs.

Every id is a positive integer below 2**63: the number of the client that made it
(23 bits, given by the head) followed by that client's own counter (40 bits). So
ids are made where the thing is born, without asking anybody, are cheap as
dictionary keys and travel as at most nine bytes. Tasks, objects and actors share
one space: the first object that a task returns has the task's own id, its further
ones the ids after it.

A worker is a client of the head, and its number as a client is its id. No id is 0.

An id means something only in its session (one life of one head). `Ref` is the
base of everything that names an object outside this layer, and carries both.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTER_BITS = 40

STRIDE = 64
"""From an id to the next that its client makes: room for the further results of a task."""


class IdMint:
    """Makes the ids of one client. Safe from any thread.

    `itertools.count` is advanced by one C call, which the interpreter lock makes
    atomic; a block of several ids is reserved under a stride so that two threads
    can never be given overlapping blocks.
    """

    __slots__ = ("next",)

    next: Callable[[], int]
    """Returns an id with 63 free ids after it."""

    def __init__(self, client: int) -> None:
        """Args: client: the client's number, from the head's welcome."""
        first = (client << COUNTER_BITS) + STRIDE
        self.next = itertools.count(first, STRIDE).__next__

    def block(self, count: int) -> int:
        """Return the first of `count` consecutive fresh ids."""
        first = self.next()
        if count > STRIDE:
            last = first
            while last - first < count - STRIDE:
                following = self.next()
                if following != last + STRIDE:  # another thread took one: start over
                    first = following
                last = following
        return first


def client_of(any_id: int) -> int:
    """Return the number of the client that made this id."""
    return any_id >> COUNTER_BITS


def short(any_id: int) -> str:
    """Return an id as people see it: `12.5` is the fifth thing that client 12 made."""
    counter = any_id & ((1 << COUNTER_BITS) - 1)
    major, minor = divmod(counter, STRIDE)
    text = f"{any_id >> COUNTER_BITS}.{major}"
    return f"{text}.{minor}" if minor else text


def parse_short(text: str) -> int:
    """Return the id that `short` wrote as `text`.

    Raises:
        ValueError: `text` has not the form of an id.
    """
    parts = text.split(".")
    if not 2 <= len(parts) <= 3 or not all(
        p.isascii() and p.isdigit() and len(p) < 14 for p in parts
    ):
        msg = f"not an id: {text[:40]!r}; an id looks like 12.5"
        raise ValueError(msg)
    client, major, *rest = (int(p) for p in parts)
    minor = rest[0] if rest else 0
    if minor > 63 or client >> 23 or major >> 34:
        msg = f"not an id: {text[:40]!r}; its numbers are too large"
        raise ValueError(msg)
    return (client << COUNTER_BITS) + major * STRIDE + minor


class Ref:
    """What names one object of one session; the API's `ObjectRef` derives from it."""

    __slots__ = ("__weakref__", "id", "session")

    id: int
    session: int
