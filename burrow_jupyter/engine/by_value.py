"""cloudpickle, with what a notebook needs of it: code that still says which cell it is of, and
brings its lines along.

The one place where our code makes cloudpickle's pickler, so that what is sent, what is tried
for an explanation, and what is compared to find changes are pickled alike.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import sys
import types
from collections import ChainMap
from typing import TYPE_CHECKING, Any, NamedTuple

from burrow_jupyter.engine import exception_parts, generators, seeds, sources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleBuffer

_NAMELESS = "<dynamic-code>"
"""What cloudpickle from 3.1.2 on writes for each file name: tracebacks and debuggers in a
worker would find no line of any cell."""

_Cached = type(functools.lru_cache(len))


@functools.cache
def pickler(kinds: tuple[type, ...] = ()) -> Any:
    """Return the class of picklers, which takes what `cloudpickle.Pickler` takes.

    Args:
        kinds: of random generators that are to draw by themselves where they arrive.
    """
    import cloudpickle  # noqa: PLC0415  # 25 ms, paid by the first one who needs it

    table = cloudpickle.Pickler.dispatch_table
    reduce_code = table[types.CodeType]

    def reduce_named_code(code: types.CodeType) -> Any:
        make, parts, *rest = reduce_code(code)
        if _NAMELESS in parts:
            at = parts.index(_NAMELESS)
            parts = (*parts[:at], code.co_filename, *parts[at + 1 :])
        source = sources.source_of(code.co_filename)
        return (make, parts, *rest) if source is None else (_of_cell, (source, make, parts))

    ours: dict[type, Any] = {
        types.CodeType: reduce_named_code,
        _Cached: _reduce_cached,
        AsCode: _reduce_as_code,
    }
    ours |= dict.fromkeys(kinds, generators.reduce)
    first, *others = table.maps  # a map more would cost each look-up a microsecond
    usual = cloudpickle.Pickler.reducer_override

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        dispatch_table = ChainMap({**first, **ours}, *others)  # noqa: RUF012  # as pickle looks for it

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, BaseException):
                return exception_parts.reduce(obj)
            reduced = usual(self, obj)
            return reduced if reduced is NotImplemented else _with_slots(obj, reduced)

    return Pickler


def dumps(
    value: Any,
    buffer_callback: Callable[[PickleBuffer], Any] | None = None,
    *,
    of_code: bool = False,
) -> bytes:
    """Pickle a value, by value what cannot be imported; `of_code`: a function or class to be run.

    Raises:
        Exception: whatever pickling raises.
    """
    with io.BytesIO() as file:
        kinds = generators.kinds() if of_code else ()
        pickler(kinds)(file, protocol=5, buffer_callback=buffer_callback).dump(value)
        return file.getvalue()


class AsCode:
    """A function that is an argument of a task of ours, and code to its user: it is sent as that."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


def _reduce_as_code(given: AsCode) -> Any:
    together: list[PickleBuffer] = []
    return _code_again, (dumps(given.function, together.append, of_code=True), together)


def _code_again(data: bytes, buffers: list[Any]) -> AsCode:
    with generators.arriving() as own:
        function = pickle.loads(data, buffers=buffers)  # noqa: S301  # only workers come here
    if own:
        seeds.adopt(function, own)
    return AsCode(function)


def _of_cell(source: sources.Source, make: Callable[..., Any], parts: tuple[Any, ...]) -> Any:
    """Make code again, and its cell's text known."""
    sources.arrived(source)
    return make(*parts)


def modules_of(value: Any) -> set[str]:
    """Return the modules of the classes and functions that a pickle of the value names.

    As far as it can be pickled: what fails is told when it is sent.
    """
    found: set[str] = set()

    class Looker(pickler()):  # type: ignore[misc]  # as above
        """Sees each object on its way."""

        def persistent_id(self, obj: Any) -> None:
            if isinstance(obj, types.ModuleType):
                found.add(obj.__name__)
            elif isinstance(obj, type | types.FunctionType):
                found.add(obj.__module__)

    with contextlib.suppress(Exception):
        Looker(io.BytesIO(), protocol=5, buffer_callback=lambda buffer: False).dump(value)
    return found


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
