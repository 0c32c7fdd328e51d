"""Where in a program's values refs lie: `model.cache["x"]` instead of "somewhere".

Looks into containers, closures, and objects of classes that the user has written; only when
somebody asks, and with a bound, since what it looks at may be of any size.
"""

from __future__ import annotations

import sys
import types
from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core.ids import Ref
from burrow_jupyter.engine.modules import package_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VALUES_MAX = 50_000
"""Values that are looked at; what lies behind more is held by somebody who is not named."""
DEPTH_MAX = 6
_LEAVES = (str, bytes, int, float, bool, complex, type(None), type, types.ModuleType)

UserValue = Any
"""Something of the user's, of whatever type."""


def find(roots: Mapping[str, UserValue]) -> Iterator[tuple[str, Ref]]:
    """Yield each ref with the way to it from the names of these roots, the shortest ways first."""
    pending = deque((name, value, 0) for name, value in roots.items())
    seen: set[int] = set()
    left = VALUES_MAX
    while pending and left:
        left -= 1
        path, value, depth = pending.popleft()
        if isinstance(value, Ref):
            yield path, value
        elif not isinstance(value, _LEAVES) and id(value) not in seen and depth < DEPTH_MAX:
            seen.add(id(value))
            try:
                pending.extend((f"{path}{step}", part, depth + 1) for step, part in _parts(value))
            except Exception:  # noqa: BLE001, S112  # the user's objects do anything on being read
                continue


def _parts(value: UserValue) -> Iterator[tuple[str, UserValue]]:
    match value:
        case dict():
            yield from ((f"[{key!r:.40}]", part) for key, part in list(value.items()))
        case list() | tuple() | deque():
            yield from ((f"[{index}]", part) for index, part in enumerate(list(value)))
        case set() | frozenset():
            yield from (("{…}", part) for part in list(value))
        case types.FunctionType():
            names = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
            yield from ((f" -> {name}", cell.cell_contents) for name, cell in names)
        case types.MethodType():
            yield ".__self__", value.__self__
        case _ if _is_of_the_user(type(value)):
            yield from ((f".{name}", part) for name, part in list(vars(value).items()))


def _is_of_the_user(cls: type) -> bool:
    if cls.__module__ == "__main__":
        return True
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return isinstance(file, str) and not package_of(file)
