"""Where in a value the part is that cannot be pickled, and what to do about it.

Used when pickling has failed, in drivers and workers: pickle itself says at most the type
of the culprit (`cannot pickle '_thread.lock' object`), not who holds it. The search goes
down from the value: of the parts of something that cannot be pickled, one cannot be
pickled either, or it is the culprit itself. So a path of n steps costs n rounds of
pickling parts, and no part is pickled into memory. Bounded in steps and in time; when
time is up, the path ends where it was.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import re
import time
import types
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from burrow_jupyter.engine import by_value, sources
from burrow_jupyter.engine.errors import label_of, repr_of

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS_MAX = 12
"""Longest path: deeper ones are not read by anybody."""

SEARCH_MAX_S = 2.0
"""Longest search: the user waits for the error."""

FAILURES_MAX = 20
"""Culprits that `inspect` lists."""

LINE_MAX_CHARS = 200
"""Longest line of an explanation."""

_PLAIN = frozenset({str, bytes, int, float, bool, complex, type(None), type(...)})
_CLASS_NOISE = frozenset({"__dict__", "__weakref__", "__module__", "__doc__", "__qualname__"})

UserValue = Any
"""Something of the user's, of whatever type."""


class FailureTuple:
    """One culprit: the object, its name where it was found, and what holds it."""

    __slots__ = ("name", "obj", "parent")

    def __init__(self, obj: UserValue, name: str, parent: UserValue) -> None:
        self.obj = obj
        self.name = name
        self.parent = parent

    def __repr__(self) -> str:
        return f"FailureTuple({self.name} [obj={repr_of(self.obj)}, parent={repr_of(self.parent)}])"


class Inspection(NamedTuple):
    """What `inspect` has found."""

    ok: bool
    failures: list[FailureTuple]
    lines: list[str]
    """A readable tree: what was looked at and the culprits in it."""


class _Part(NamedTuple):
    text: str
    """How the path goes on: `["key"]`, `.attribute`, or ` -> variable`."""
    value: UserValue


class _Found(NamedTuple):
    parts: list[_Part]
    """From the value, which is the first one, to the culprit."""


# ---- trying --------------------------------------------------------------------------


class _OutOfTime(Exception):
    """The search has taken long enough."""


class _Nowhere:
    """A file that keeps nothing, and ends the pickling of something huge in time."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def write(self, data: bytes) -> int:
        if time.monotonic() > self._deadline:
            raise _OutOfTime
        return len(data)


def _drop(buffer: object) -> bool:
    """Large buffers can always be sent."""
    return False


def _error_of(value: UserValue, deadline: float) -> BaseException | None:
    """Return what pickling the value raises, `None` when it works."""
    try:
        by_value.pickler()(_Nowhere(deadline), protocol=5, buffer_callback=_drop).dump(value)
    except _OutOfTime:
        raise
    except Exception as error:  # noqa: BLE001  # pickle fails in many ways, the user's code in more
        return error
    return None


# ---- the parts of a value ------------------------------------------------------------


def _goes_by_value(value: UserValue) -> bool:
    """Say whether a function or class is sent with its insides, not by its name."""
    from cloudpickle import cloudpickle  # noqa: PLC0415  # as above

    return not cloudpickle._should_pickle_by_reference(value)  # noqa: SLF001  # has no public name


def _parts_of_function(function: types.FunctionType) -> Iterator[_Part]:
    if not _goes_by_value(function):
        return
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield _Part(f" -> {name}", cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    for name in dict.fromkeys(sources.names_in(code)):
        if name in function.__globals__:
            yield _Part(f" -> {name}", function.__globals__[name])
    names = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
        yield _Part(f" -> default of {name}", default)
    for name, default in (function.__kwdefaults__ or {}).items():
        yield _Part(f" -> default of {name}", default)
    for name, value in function.__dict__.items():
        yield _Part(f".{name}", value)
    for name, value in function.__annotations__.items():
        yield _Part(f" -> annotation of {name}", value)


def _parts_of_class(cls: type) -> Iterator[_Part]:
    if not _goes_by_value(cls):
        return
    for name, value in list(cls.__dict__.items()):
        if name in _CLASS_NOISE:
            continue
        inner = value
        if isinstance(value, (staticmethod, classmethod)):
            inner = value.__func__
        elif isinstance(value, property):
            inner = value.fget
        elif isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            continue  # slots are made anew
        yield _Part(f".{name}", inner)
    for base in cls.__bases__:
        yield _Part(f" -> base {base.__name__}", base)


def _parts_of_state(state: UserValue) -> Iterator[_Part]:
    if isinstance(state, dict):
        for name, value in state.items():
            yield _Part(f".{name}", value)
    elif isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        yield from _parts_of_state(state[0] or {})  # attributes, then slots
        yield from _parts_of_state(state[1])
    elif state is not None:
        yield _Part(".__getstate__()", state)


def _parts_of_object(value: UserValue) -> Iterator[_Part]:
    """Yield what the object itself would give to pickle."""
    reducer = copyreg.dispatch_table.get(type(value))
    try:
        reduced: Any = reducer(value) if reducer is not None else value.__reduce_ex__(5)
    except Exception:  # noqa: BLE001  # it refuses: then it is the culprit
        return
    if not isinstance(reduced, tuple):
        return
    args = reduced[1] if len(reduced) > 1 and isinstance(reduced[1], tuple) else ()
    if len(reduced) > 2:
        yield from _parts_of_state(reduced[2])
    for index, item in enumerate(args):
        # For most objects only the class, which they are to be made of again.
        text = " -> class" if isinstance(item, type) else f".__reduce__()[1][{index}]"
        yield _Part(f"{text} {item.__name__}" if isinstance(item, type) else text, item)
    if len(reduced) > 3 and reduced[3] is not None:
        for index, item in enumerate(reduced[3]):
            yield _Part(f"[{index}]", item)
    if len(reduced) > 4 and reduced[4] is not None:
        for key, item in reduced[4]:
            yield _Part(f"[{_key(key)}]", item)


def _key(key: UserValue) -> str:
    """Return a dictionary's key as one would type it."""
    if isinstance(key, str) and '"' not in key and key.isprintable() and len(key) <= LINE_MAX_CHARS:
        return f'"{key}"'
    return repr_of(key)


def _parts_of(value: UserValue) -> Iterator[_Part]:
    """Yield the parts that pickling a value pickles too."""
    match value:
        case dict():
            for key, item in list(value.items()):
                yield _Part(f"[{_key(key)}]", item)
                yield _Part(f" -> key {_key(key)}", key)
        case list() | tuple() | deque():
            for index, item in enumerate(list(value)):
                yield _Part(f"[{index}]", item)
        case set() | frozenset():
            for item in list(value):
                yield _Part(f" -> item {repr_of(item)}", item)
        case types.FunctionType():
            yield from _parts_of_function(value)
            return
        case types.MethodType():
            yield _Part(".__self__", value.__self__)
            yield _Part(".__func__", value.__func__)
            return
        case functools.partial():
            yield _Part(".func", value.func)
            for index, item in enumerate(value.args):
                yield _Part(f".args[{index}]", item)
            for name, item in value.keywords.items():
                yield _Part(f".keywords[{_key(name)}]", item)
            return
        case type():
            yield from _parts_of_class(value)
            return
        case types.ModuleType():
            return
    if type(value) not in (dict, list, tuple, set, frozenset, deque):
        yield from _parts_of_object(value)


# ---- searching -----------------------------------------------------------------------


def _is_known_culprit(value: UserValue) -> bool:
    """Say whether people know it by its own name: an Event, not the lock in the Event."""
    if type(value).__module__ == "__main__":
        return False
    name = type_name(value)
    return any(pattern.match(name) for pattern, _ in _FIXES)


def _search(parts: list[_Part], deadline: float, seen: set[int], most: int) -> list[_Found]:
    """Return the paths to culprits in the last part, which is known not to be picklable."""
    found: list[_Found] = []
    value = parts[-1].value
    seen.add(id(value))
    is_culprit = True
    if len(parts) <= STEPS_MAX and not _is_known_culprit(value):
        try:
            for part in _parts_of(value):
                if type(part.value) in _PLAIN:
                    continue
                if id(part.value) in seen:
                    continue
                if _error_of(part.value, deadline) is None:
                    continue
                is_culprit = False
                found += _search([*parts, part], deadline, seen, most - len(found))
                if len(found) >= most:
                    break
        except _OutOfTime:
            pass
        except Exception:  # noqa: BLE001, S110  # the user's objects do anything on being read
            pass
    return [_Found(parts)] if is_culprit else found


def _find(value: UserValue, name: str, most: int) -> list[_Found]:
    deadline = time.monotonic() + SEARCH_MAX_S
    return _search([_Part(name, value)], deadline, set(), most)


def type_name(value: UserValue) -> str:
    """Return the type of a value as people write it: `_thread.lock`, `generator`."""
    cls = type(value)
    module = cls.__module__
    return (
        cls.__qualname__ if module in ("builtins", "__main__") else f"{module}.{cls.__qualname__}"
    )


def _cell_of(parts: list[_Part]) -> str:
    """Return the notebook cell of the innermost function on a path, as ` (Cell In[3])`."""
    for part in reversed(parts):
        if isinstance(part.value, types.FunctionType):
            label = label_of(part.value.__code__.co_filename)
            return f" ({label})" if label else ""
    return ""


def _path_text(found: _Found) -> str:
    path = "".join(part.text for part in found.parts)
    if len(path) > LINE_MAX_CHARS:
        path = f"{path[: LINE_MAX_CHARS // 2]} … {path[-LINE_MAX_CHARS // 2 :]}"
    return f"{path}: {type_name(found.parts[-1].value)}{_cell_of(found.parts)}"


def unpicklable_path(obj: UserValue, name: str) -> str:
    """Return the way to what cannot be pickled: `bad -> use -> state["lk"]: _thread.lock`.

    Args:
        obj: something that cannot be pickled.
        name: how to call it.
    """
    found = _find(obj, name, 1)
    return _path_text(found[0])


def inspect(obj: UserValue, name: str) -> Inspection:
    """Say whether something can be pickled, and if not, list all culprits.

    Args:
        obj: anything.
        name: how to call it.

    Source: Ray 2.60 `ray.util.inspect_serializability`.
    """
    head = f"Can {name} be pickled?"
    try:
        error = _error_of(obj, time.monotonic() + SEARCH_MAX_S)
    except _OutOfTime:
        # Nothing has failed in all that time; a real call would have to wait, too.
        return Inspection(ok=True, failures=[], lines=[head, "  yes, as far as it was tried"])
    if error is None:
        return Inspection(ok=True, failures=[], lines=[head, "  yes"])
    lines = [head, f"  no: {_one_line(error)}"]
    failures = []
    shown: list[str] = []
    for found in _find(obj, name, FAILURES_MAX):
        parts = found.parts
        holder = parts[-2].value if len(parts) > 1 else None
        failures.append(FailureTuple(parts[-1].value, _name_of(parts[-1]), holder))
        texts = [_name_of(part) for part in parts]
        common = 0
        while common < len(shown) and common < len(texts) and shown[common] == texts[common]:
            common += 1
        for depth in range(common, len(texts)):
            is_last = depth == len(texts) - 1
            mark = f": {type_name(parts[-1].value)}  <- cannot be pickled" if is_last else ""
            lines.append(f"  {'  ' * depth}{texts[depth]}{mark}"[:LINE_MAX_CHARS])
        shown = texts
    return Inspection(ok=False, failures=failures, lines=lines)


def _name_of(part: _Part) -> str:
    return part.text.removeprefix(" -> ").removeprefix(".")


# ---- explaining ----------------------------------------------------------------------

_FIXES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"_?thread(ing)?\.|multiprocessing\.synchronize\."),
        "make {what} inside the function that uses it, or keep it in an actor",
    ),
    (re.compile(r"_?io\.|tempfile\."), "pass the path and open the file inside the task"),
    (re.compile(r"(_?socket|_?ssl)\."), "make the connection inside the task, or in an actor"),
    (
        re.compile(r"sqlite3\.|.*\b(Connection|Cursor|Engine|Session)$"),
        "pass what is needed to connect, and connect inside the task, or in an actor",
    ),
    (re.compile(r"generator$|async_generator$|.*iterator$"), "pass a list of its items"),
    (re.compile(r"map$|filter$|zip$|enumerate$"), "pass a list of its items"),
    (re.compile(r"coroutine$|_?asyncio\."), "await it first and pass the result"),
    (re.compile(r"_?queue\."), "use burrow.util.queue.Queue, which tasks can share"),
    (re.compile(r"concurrent\.futures\."), "submit tasks instead, or make {what} inside the task"),
    (re.compile(r"frame$|traceback$"), "pass its text, from traceback.format_exc()"),
    (re.compile(r"_contextvars\."), "pass the value, from .get()"),
    (re.compile(r"weakref\.|weakproxy$"), "pass the object itself"),
    (re.compile(r"module$"), "import the module inside the function"),
    (re.compile(r".*\.ObjectRefGenerator$"), "pass its refs, one by one or list(generator)"),
)


def _fix_for(found: _Found) -> str:
    parts = found.parts
    culprit = type_name(parts[-1].value)
    for pattern, fix in _FIXES:
        if pattern.match(culprit):
            return fix.format(what="it")
    if len(parts) > 1 and isinstance(parts[-2].value, types.FunctionType):
        return f"make {_name_of(parts[-1])} inside the function, or keep it in an actor"
    if len(parts) > 1 and parts[-1].text.startswith("."):
        holder = type(parts[-2].value).__name__
        return f"leave {_name_of(parts[-1])} out in {holder}.__getstate__()"
    short = culprit.rpartition(".")[2]
    return f"burrow.util.register_serializer({short}, serializer=..., deserializer=...)"


def _one_line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  # a user's __str__ may do anything
        text = ""
    text = text or type(error).__name__
    return text if len(text) <= LINE_MAX_CHARS else text[: LINE_MAX_CHARS - 1] + "…"


def _root_name(obj: UserValue, what: str) -> str:
    """Return the first word of the path."""
    if isinstance(obj, (types.FunctionType, type)):
        return obj.__name__
    named = re.match(r"argument (\w+)=|the (arguments|result)\b", what)
    return (named[1] or named[2]) if named else "value"


def explain(error: BaseException, obj: UserValue, what: str) -> str:
    """Return at most 8 lines on what cannot be pickled, where it is and what to do.

    Args:
        error: what pickling raised.
        obj: what was pickled.
        what: what it is for people, such as `argument 2 of f` or `the result of f`.
    """
    what = what if len(what) <= LINE_MAX_CHARS else what[: LINE_MAX_CHARS - 1] + "…"
    if isinstance(error, RecursionError) or "excessively deep recursion" in _one_line(error):
        return (
            f"Cannot pickle {what}: it is nested too deeply.\n"
            "  Fix: pass it in a flat form, such as a list of its nodes."
        )
    if isinstance(obj, functools.partial) and obj.func.__module__.startswith("burrow_jupyter."):
        obj = obj.args[0]  # the user's function, of many calls of which we make one task
    if isinstance(obj, by_value.AsCode):
        obj = obj.function
    found = _find(obj, _root_name(obj, what), 1)[0]
    culprit = found.parts[-1].value
    if len(found.parts) > 1:
        return (
            f"Cannot pickle {what}: it holds something that cannot be sent to another process.\n"
            f"  Where: {_path_text(found)}\n"
            f"  Why: {_one_line(error)}\n"
            f"  Fix: {_fix_for(found)}"
        )
    return (
        f"Cannot pickle {what}: {type_name(culprit)} objects cannot be sent to another process.\n"
        f"  Why: {_one_line(error)}\n"
        f"  Fix: {_fix_for(found)}"
    )


def largest_part(obj: UserValue) -> str:
    """Return the largest thing that a function or class takes along, as "table (240 MB, cell 3)"."""
    best, best_size, where = "", 0, ""
    pending: list[tuple[UserValue, int]] = [(obj, 0)]
    seen: set[int] = set()
    while pending:
        holder, depth = pending.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        code = getattr(holder, "__code__", None)
        cell = label_of(code.co_filename) if code is not None else ""
        for part in _parts_of(holder):
            if isinstance(part.value, (types.FunctionType, type)) and depth < PARTS_DEPTH:
                pending.append((part.value, depth + 1))
                continue
            size = _size_of(part.value)
            if size > best_size:
                best, best_size, where = _name_of(part), size, cell
    if not best:
        return ""
    return f"{best} ({best_size / 1e6:.3g} MB{f', used in {where}' if where else ''})"


PARTS_DEPTH = 4
"""Functions within functions that are looked into for what is large."""


def _size_of(value: UserValue) -> int:
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    try:
        return len(pickle.dumps(value, 5))
    except Exception:  # noqa: BLE001  # of no size that matters, or cloudpickle's own
        return 0
