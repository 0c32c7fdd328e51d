"""Ids of the API as text that also answers what code written for Ray asks of id objects."""

from __future__ import annotations


class HexId(str):
    """An id in hexadecimal digits: a `str`, with `.hex()` and `.binary()`."""

    __slots__ = ()

    def hex(self) -> str:
        """Return the digits as a plain `str`."""
        return str(self)

    def binary(self) -> bytes:
        """Return the id as bytes."""
        return bytes.fromhex(self)

    def is_nil(self) -> bool:
        """Say that there is an id: where there is none, there is `None`."""
        return False

    def __reduce__(self) -> tuple[type[HexId], tuple[str]]:
        return HexId, (str(self),)
