"""Values of names on their way between a notebook and its background cells.

What cannot be sent takes no other name along. Functions of the notebook get the globals of the
place where they arrive, so that they see what is assigned there later, and the other way round.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from burrow_jupyter.engine import by_value, unpicklable


class Unsent(NamedTuple):
    """In place of a value that cannot be sent."""

    why: str


class Deleted(NamedTuple):
    """In place of the value of a name that a cell has deleted."""


class Bundle(dict[str, Any]):
    """Values by name, to be sent; a `Parcel` where they arrive."""

    needed: frozenset[str] = frozenset()
    """The names without which it is of no use: pickling raises for them."""

    def __repr__(self) -> str:
        return ", ".join(self)

    def __reduce__(self) -> Any:
        try:
            return Parcel, (tuple(self), *_packed(self))
        except Exception:  # noqa: BLE001  # whatever the user's objects raise: each by itself then
            parts: list[Any] = []
            for name, value in self.items():
                try:
                    parts += _packed({name: value})
                except Exception as error:  # as above
                    if name in self.needed:
                        raise
                    parts += _packed({name: Unsent(unpicklable.explain(error, value, name))})
            return Parcel, (tuple(self), *parts)


def _packed(values: dict[str, Any]) -> tuple[Any, ...]:
    """Return a pickle and its buffers."""
    buffers: list[Any] = []
    return by_value.dumps(dict(values), buffers.append), buffers


class Parcel:
    """What was sent as a `Bundle`."""

    def __init__(self, names: tuple[str, ...], *parts: Any) -> None:
        """Take the names, and pickles, each with its buffers behind it."""
        self.names = names
        self._parts = parts

    def __repr__(self) -> str:
        return ", ".join(self.names)

    def open(self, space: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the values, and the globals that came with functions among them.

        Args:
            space: the globals that these functions have from now on; it is not changed.

        Raises:
            Exception: whatever unpickling raises.
        """
        values: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for data, buffers in zip(self._parts[::2], self._parts[1::2], strict=True):
            part, found = by_value.loads(data, buffers, space)
            values |= part
            others |= found
        return values, others
