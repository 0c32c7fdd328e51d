"""Ids of the API as text that also answers what code written for Ray asks of id objects."""

from __future__ import annotations

import os
from typing import Any, Self


class UniqueID(str):
    """An id in hexadecimal digits: a `str`, with what Ray's id objects have.

    Source: Ray 2.60 `ray.UniqueID`.
    """

    __slots__ = ()
    _bytes = 16

    @classmethod
    def size(cls) -> int:
        """Return how many bytes an id has."""
        return cls._bytes

    @classmethod
    def from_hex(cls, hex_id: str) -> Self:
        """Return the id of these digits.

        Raises:
            ValueError: they are no such id.
        """
        return cls.from_binary(bytes.fromhex(hex_id))

    @classmethod
    def from_binary(cls, id_bytes: Any) -> Self:
        """Return the id of these bytes.

        Raises:
            TypeError: not bytes.
            ValueError: not as many as such an id has.
        """
        if not isinstance(id_bytes, bytes):
            msg = f"an id is made of bytes, got {id_bytes!r:.60}; from_hex() takes digits"
            raise TypeError(msg)
        if len(id_bytes) != cls._bytes:
            msg = f"a {cls.__name__} has {cls._bytes} bytes, got {len(id_bytes)}"
            raise ValueError(msg)
        return cls(id_bytes.hex())

    @classmethod
    def from_random(cls) -> Self:
        """Return an id that nothing has."""
        return cls(os.urandom(cls._bytes).hex())

    @classmethod
    def nil(cls) -> Self:
        """Return the id of nothing."""
        return cls("ff" * cls._bytes)

    def hex(self) -> str:
        """Return the digits as a plain `str`."""
        return str(self)

    def binary(self) -> bytes:
        """Return the id as bytes."""
        return bytes.fromhex(self)

    def is_nil(self) -> bool:
        """Say whether it is the id of nothing; where there is no id, the API has `None`."""
        return self == self.nil()

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (str(self),)


class JobID(UniqueID):
    """The id of a session."""

    __slots__ = ()
    _bytes = 8


class NodeID(UniqueID):
    """The id of the machine in a session."""

    __slots__ = ()
    _bytes = 8


class WorkerID(UniqueID):
    """The id of a process."""

    __slots__ = ()


class TaskID(UniqueID):
    """The id of a task or an actor's call."""

    __slots__ = ()


class ActorID(UniqueID):
    """The id of an actor."""

    __slots__ = ()


class PlacementGroupID(UniqueID):
    """The id of a placement group."""

    __slots__ = ()


for _public in (UniqueID, JobID, NodeID, WorkerID, TaskID, ActorID, PlacementGroupID):
    _public.__module__ = "burrow"
