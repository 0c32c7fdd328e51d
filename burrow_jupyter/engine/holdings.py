"""Where in a program's values refs lie: `model.cache["x"]` instead of "somewhere".

Looks into containers, functions, the user's classes, modules and objects, iterators, errors, and
arrays and tables of objects, and last into objects of libraries; only when somebody asks, and with
bounds, since what it looks at may be of any size.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import itertools
import sys
import traceback
import types
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from burrow_jupyter.engine.modules import package_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import FrameType

VALUES_MAX = 50_000
"""That are told, and that are looked into; who holds what lies behind more is not named."""
PARTS_MAX = 200_000
"""That are looked at of one value, which takes 50 ms."""
ALL_PARTS_MAX = 1_000_000
COLUMNS_MAX = 1_000
DEPTH_MAX = 6

_LEAVES: frozenset[type] = frozenset({str, bytes, bytearray, int, float, bool, complex, type(None)})
_PLAIN: frozenset[type] = frozenset({dict, list, tuple, set, frozenset, deque})
_BASIC = frozenset({
    "__main__", "_asyncio", "_collections", "builtins", "burrow", "collections", "functools",
    "itertools", "numpy", "pandas", "types",
})  # fmt: skip
_OF_THE_API = "burrow_jupyter.api"
_CLOSED = frozenset({
    "burrow_jupyter", "comm", "IPython", "ipykernel", "jupyter_client", "tornado", "zmq",
})  # fmt: skip
"""Packages whose objects lead to everything, also to what is not the user's."""
_SUSPENDED = {
    types.GeneratorType: "gi_frame",
    types.CoroutineType: "cr_frame",
    types.AsyncGeneratorType: "ag_frame",
}
_OF_THE_FRAME = 3
"""References to a frame's `f_locals`: the frame's, ours, and that of who counts."""
_OPAQUE: tuple[type, ...] = (
    staticmethod, classmethod, property, types.MappingProxyType, types.CellType,
    type({}.keys()), type({}.values()), type({}.items()),
    functools._lru_cache_wrapper,  # noqa: SLF001  # it is nowhere else
)  # fmt: skip
"""What tells only the garbage collector what it holds; iterators and futures do so as well."""

UserValue = Any
"""Something of the user's, of whatever type."""
Step = tuple[str, Any, UserValue]
"""How to write the way to a part, a format and what goes into it, and the part."""
Wanted = TypeVar("Wanted")


def find(roots: Mapping[str, UserValue], kind: type[Wanted]) -> Iterator[tuple[str, Wanted]]:
    """Yield what is of this kind with the way to it from these names, short ways first."""
    first: deque[tuple[str, UserValue, int]] = deque()
    of_libraries: deque[tuple[str, UserValue, int]] = deque()
    queues: dict[type, deque[tuple[str, UserValue, int]] | None] = dict.fromkeys(_LEAVES)
    seen: dict[int, UserValue] = {}  # with the values: those made by looking would share ids
    told, left = 0, ALL_PARTS_MAX
    steps: Iterator[Step] = (("{}", name, value) for name, value in roots.items())
    at, depth = "", 0
    while True:
        for form, key, part in steps:
            left -= 1
            cls = type(part)
            if issubclass(cls, kind):
                told += 1
                yield at + _written(form, key), part
            elif cls not in _LEAVES and depth < DEPTH_MAX and id(part) not in seen:
                if cls not in queues:
                    is_closed, is_basic = _is_closed(cls), _is_basic(cls)
                    queues[cls] = None if is_closed else first if is_basic else of_libraries
                queue = queues[cls]
                if queue is not None and len(seen) < VALUES_MAX:
                    seen[id(part)] = part
                    queue.append((at + _written(form, key), part, depth + 1))
            if told >= VALUES_MAX or not left:
                return
        if not first and not of_libraries:
            return
        at, value, depth = (first or of_libraries).popleft()
        steps = _parts_without_errors(value)


def local_names(frames: Iterable[FrameType]) -> Iterator[tuple[str, UserValue]]:
    """Yield what the functions that run or ran in these frames have in their variables."""
    for frame in frames:
        if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            continue  # what a cell or a module has, it has by its names
        names = frame.f_locals
        found = dict(names)
        # Before Python 3.13 the frame keeps it, which would keep what the function lets go. But a
        # function that has called `locals()` has the very same one.
        if type(names) is dict and sys.getrefcount(names) <= _OF_THE_FRAME:
            names.clear()
        for name, value in found.items():
            yield f"{name} of {frame.f_code.co_name}()", value


def _written(form: str, key: Any) -> str:
    try:
        return form.format(key)
    except Exception:  # noqa: BLE001  # a user's repr may do anything
        return "[…]"


def _parts_without_errors(value: UserValue) -> Iterator[Step]:
    try:
        yield from itertools.islice(_parts(value), PARTS_MAX)
    except Exception:  # noqa: BLE001  # the user's objects do anything on being read
        return


def _parts(value: UserValue) -> Iterator[Step]:
    cls = type(value)
    match value:
        case dict():
            for key, part in _some(dict.items(value)):
                yield "[{!r:.40}]", key, part
                if type(key) not in _LEAVES:
                    yield "{{…}}", "", key
        case list() | tuple() | deque():
            yield from (("[{}]", index, part) for index, part in enumerate(_some(value)))
        case set() | frozenset():
            yield from (("{{…}}", "", part) for part in _some(value))
        case types.FunctionType():
            yield from _parts_of_function(value)
        case types.MethodType() | types.BuiltinMethodType():
            yield ".__self__", "", value.__self__
            yield "", "", getattr(value, "__func__", None)
        case functools.partial():
            yield "", "", value.func
            yield from ((".args[{}]", index, part) for index, part in enumerate(value.args))
            yield from ((".keywords[{!r}]", name, part) for name, part in value.keywords.items())
        case type() | types.ModuleType():
            if _is_of_the_user(value):
                yield from ((".{}", name, part) for name, part in _some(vars(value).items()))
            return
        case BaseException():
            yield from ((".args[{}]", index, part) for index, part in enumerate(value.args))
            yield from _parts_of_frames(value.__traceback__)
            yield from (("", "", error) for error in (value.__cause__, value.__context__))
        case types.TracebackType():
            yield from _parts_of_frames(value)
        case memoryview():
            yield "", "", value.obj
        case _ if cls in _SUSPENDED:
            frame = getattr(value, _SUSPENDED[cls])
            yield from ((" -> {}", n, part) for n, part in local_names([frame] if frame else []))
        case _ if cls in _OPAQUE or _is_iterator(cls) or cls.__module__ == "_asyncio":
            yield from (("", "", part) for part in gc.get_referents(value))
            return
        case _ if _is_closed(cls):
            return
        case _ if cls.__module__.partition(".")[0] in ("numpy", "pandas"):
            yield from _parts_of_table(value)
            return
    if cls not in _PLAIN:
        yield from _attributes(value)


def _parts_of_function(function: types.FunctionType) -> Iterator[Step]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield from ((" -> {}", name, part) for part in gc.get_referents(cell))  # none: it is empty
    defaults = function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    for name, part in [
        *zip(names, defaults, strict=True),
        *(function.__kwdefaults__ or {}).items(),
    ]:
        yield "({}=…)", name, part


def _parts_of_frames(tb: types.TracebackType | None) -> Iterator[Step]:
    frames = (frame for frame, _ in traceback.walk_tb(tb))
    return ((" -> {}", name, part) for name, part in local_names(frames))


def _parts_of_table(value: UserValue) -> Iterator[Step]:
    """Yield what an array or table holds, or lies in; its library is imported, as there is one."""
    numpy, pandas = (sys.modules.get(name) for name in ("numpy", "pandas"))
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.dtype.kind == "O":
            for index, part in zip(numpy.ndindex(value.shape), value.flat, strict=True):
                yield "[{}]", ", ".join(map(str, index)), part
        else:
            whole = value
            while isinstance(whole, numpy.ndarray) and whole.base is not None:
                whole = whole.base  # at once: several views may have one base, which is seen once
            yield "", "", whole.obj if isinstance(whole, memoryview) else whole
    elif pandas is not None and isinstance(value, pandas.DataFrame):
        for at, name in enumerate(value.columns[:COLUMNS_MAX]):
            yield "[{!r:.40}]", name, value.iloc[:, at]
        yield ".index", "", value.index
    elif pandas is not None and isinstance(value, pandas.Series | pandas.Index):
        yield "", "", value._values  # noqa: SLF001  # what is public copies
        if isinstance(value, pandas.Series):
            yield ".index", "", value.index


def _attributes(value: UserValue) -> Iterator[Step]:
    yield from ((".{}", name, part) for name, part in _some(getattr(value, "__dict__", {}).items()))
    for cls in type(value).__mro__:
        if "__slots__" in vars(cls):
            for name, slot in vars(cls).items():
                if isinstance(slot, types.MemberDescriptorType):
                    with contextlib.suppress(AttributeError):  # nothing was assigned to it
                        yield ".{}", name, slot.__get__(value)


def _some(parts: Iterable[Any]) -> list[Any]:
    """Return a copy of the parts, which may become others at any moment, as far as looked at."""
    return list(itertools.islice(parts, PARTS_MAX))


def _is_closed(cls: type) -> bool:
    module = str(cls.__module__)
    return module.partition(".")[0] in _CLOSED and not module.startswith(_OF_THE_API)


def _is_basic(cls: type) -> bool:
    """Say whether what it holds is more likely the user's than what objects of libraries hold."""
    package = str(cls.__module__).partition(".")[0]
    return package in _BASIC or issubclass(cls, BaseException) or _is_of_the_user(cls)


def _is_iterator(cls: type) -> bool:
    return cls.__module__ in ("builtins", "itertools") and "__next__" in vars(cls)


def _is_of_the_user(thing: type | types.ModuleType) -> bool:
    name = thing.__name__ if isinstance(thing, types.ModuleType) else str(thing.__module__)
    if name == "__main__":
        return isinstance(thing, type)  # the module's names are those one began with
    if name.partition(".")[0] in {*_CLOSED, "burrow"}:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and not package_of(file)
