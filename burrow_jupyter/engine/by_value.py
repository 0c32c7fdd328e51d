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
    from collections.abc import Callable, Iterable
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

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        dispatch_table = ChainMap({**first, **ours}, *others)  # noqa: RUF012  # as pickle looks for it

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, types.FunctionType):
                return self._function_reduce(obj)
            if isinstance(obj, BaseException):
                return exception_parts.reduce(obj)
            if not issubclass(type(obj), type):
                return NotImplemented
            reduced = super().reducer_override(obj)
            if not isinstance(reduced, tuple):
                return reduced
            reduced = _with_slots(obj, reduced)
            if reduced[-1] is cloudpickle.cloudpickle._class_setstate:  # noqa: SLF001  # has no public name
                return (*reduced[:-1], _set_class)
            return reduced

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


def _with_slots(cls: type, reduced: Any) -> Any:
    """Have a class made again with its `__slots__`, which cloudpickle only sets afterwards, in vain.

    Without, instances would have a `__dict__` elsewhere, and could not come back.
    """
    if "__slots__" in cls.__dict__:
        make, arguments, *_ = reduced
        # Enums are made otherwise, and have none; a NamedTuple makes its own.
        if make.__name__ == "_make_skeleton_class" and NamedTuple not in arguments[2]:
            arguments[3]["__slots__"] = cls.__dict__["__slots__"]
    return reduced


def loads(data: bytes, buffers: Iterable[Any], space: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Unpickle what `dumps` has made; functions of a notebook live on in `space`.

    Args:
        data: the pickle.
        buffers: those that were kept out of it.
        space: the globals of such functions from now on; it is not changed.

    Returns:
        The value, and the globals that the functions have brought along.

    Raises:
        Exception: whatever unpickling raises.
    """
    unpickler = _unpickler()(io.BytesIO(data), buffers=buffers)
    unpickler.space, unpickler.brought = space, {}
    outer = {name: space[name] for name in ("__builtins__",) if name in space}
    try:
        return unpickler.load(), unpickler.brought
    finally:
        space.update(outer)  # cloudpickle sets it in the globals of each function


@functools.cache
def _unpickler() -> Any:
    """Return the class of unpicklers that give functions other globals than those they came with.

    cloudpickle gives them a dict that nobody else has: what is assigned later they would not see.
    """
    from cloudpickle import cloudpickle  # noqa: PLC0415  # as above

    class Unpickler(pickle.Unpickler):
        space: dict[str, Any]
        brought: dict[str, Any]

        def find_class(self, module: str, name: str) -> Any:
            if module == cloudpickle.__name__ and name in _HOOKS:
                return getattr(self, name)
            return super().find_class(module, name)

        def _make_function(self, code: Any, globals_: dict[str, Any], *rest: Any) -> Any:
            ours = globals_.get("__name__") == "__main__"
            return cloudpickle._make_function(code, self.space if ours else globals_, *rest)  # noqa: SLF001  # as pickles name it

        def _function_setstate(self, function: Any, state: Any) -> None:
            if function.__globals__ is self.space:
                self.brought |= state[1]["__globals__"]
                state[1]["__globals__"] = {}
            cloudpickle._function_setstate(function, state)  # noqa: SLF001  # as above

    return Unpickler


_HOOKS = frozenset({"_make_function", "_function_setstate"})
"""What cloudpickle's pickles call, and `loads` does otherwise."""


def _reduce_cached(cached: Any) -> Any:
    """Reduce a function with `functools.cache`: as itself it is found by its name, or not at all."""
    if cached.__module__ != "__main__" and _is_of(cached.__module__, cached):
        return cached.__qualname__
    return _cache_again, (cached.__wrapped__, *cached.cache_parameters().values())


def _set_class(cls: type, state: Any) -> type:
    """Give a class that was pickled by value what it has, unless it is from here.

    cloudpickle finds a class of this process again, and would give it the attributes that it had
    when it left, and methods that do not see what has been assigned since.
    """
    from cloudpickle import cloudpickle  # noqa: PLC0415  # as above

    if not _is_of("__main__", cls):
        cloudpickle._class_setstate(cls, state)  # noqa: SLF001  # has no public name
    return cls


def _is_of(module: str, what: Any) -> bool:
    """Say whether a function or class is what a module has under its name."""
    found: Any = sys.modules.get(module)
    try:
        for name in what.__qualname__.split("."):
            found = getattr(found, name)
    except AttributeError:
        return False
    return found is what


def _cache_again(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:  # noqa: FBT001  # as reduced
    return functools.lru_cache(maxsize, typed)(function)
