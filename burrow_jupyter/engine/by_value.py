"""cloudpickle, with what a notebook needs of it: code that still says which cell it is of.

The one place where our code makes cloudpickle's pickler, so that what is sent, what is tried
for an explanation, and what is compared to find changes are pickled alike.
"""

from __future__ import annotations

import functools
import io
import sys
import types
from collections import ChainMap
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleBuffer

_NAMELESS = "<dynamic-code>"
"""What cloudpickle from 3.1.2 on writes for each file name: tracebacks and debuggers in a
worker would find no line of any cell."""

_Cached = type(functools.lru_cache(len))


@functools.cache
def pickler() -> Any:
    """Return the class of picklers, which takes what `cloudpickle.Pickler` takes."""
    import cloudpickle  # noqa: PLC0415  # 25 ms, paid by the first one who needs it

    table = cloudpickle.Pickler.dispatch_table
    reduce_code = table[types.CodeType]

    def reduce_named_code(code: types.CodeType) -> Any:
        make, parts, *rest = reduce_code(code)
        if _NAMELESS in parts:
            at = parts.index(_NAMELESS)
            parts = (*parts[:at], code.co_filename, *parts[at + 1 :])
        return (make, parts, *rest)

    ours = {types.CodeType: reduce_named_code, _Cached: _reduce_cached}
    reduce = cloudpickle.Pickler.reducer_override
    first, *others = table.maps  # a map more would cost each look-up a microsecond

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        dispatch_table = ChainMap({**first, **ours}, *others)  # noqa: RUF012  # as pickle looks for it

        def reducer_override(self, value: Any) -> Any:
            reduced = reduce(self, value)
            return reduced if reduced is NotImplemented else _with_slots(value, reduced)

    return Pickler


def dumps(value: Any, buffer_callback: Callable[[PickleBuffer], Any] | None = None) -> bytes:
    """Pickle a value, by value what cannot be imported.

    Raises:
        Exception: whatever pickling raises.
    """
    with io.BytesIO() as file:
        pickler()(file, protocol=5, buffer_callback=buffer_callback).dump(value)
        return file.getvalue()


def _with_slots(value: Any, reduced: Any) -> Any:
    """Have a class made again with its `__slots__`, which cloudpickle only sets afterwards, in vain.

    Without, instances would have a `__dict__` elsewhere, and could not come back.
    """
    if isinstance(value, type) and "__slots__" in value.__dict__:
        make, arguments, *_ = reduced
        # Enums are made otherwise, and have none; a NamedTuple makes its own.
        if make.__name__ == "_make_skeleton_class" and NamedTuple not in arguments[2]:
            arguments[3]["__slots__"] = value.__dict__["__slots__"]
    return reduced


def _reduce_cached(cached: Any) -> Any:
    """Reduce a function with `functools.cache`: as itself it is found by its name, or not at all."""
    found: Any = sys.modules.get(cached.__module__)
    try:
        for name in cached.__qualname__.split("."):
            found = getattr(found, name)
    except AttributeError:
        found = None
    if found is cached and cached.__module__ != "__main__":
        return cached.__qualname__
    return _cache_again, (cached.__wrapped__, *cached.cache_parameters().values())


def _cache_again(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:  # noqa: FBT001  # as reduced
    return functools.lru_cache(maxsize, typed)(function)
