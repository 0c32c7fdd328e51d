"""What an exception is made of, and how to make it of that again, whatever its class does.

Pickle would make it by calling its class with its `args`, which fails where `__init__` wants
anything else, such as a keyword. Here nothing of the class runs: what a built-in exception
keeps is set by the built-in base, the rest are attributes.
"""

from __future__ import annotations

import copyreg
from typing import Any

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not in C


def own(error: BaseException) -> dict[str, Any]:
    """Return the instance dictionary, past whatever the class does on attribute access."""
    found: dict[str, Any] = object.__getattribute__(error, "__dict__")
    return found


def link(error: BaseException, name: str) -> Any:
    """Return `__cause__`, `__context__`, `__traceback__`, as `own` does."""
    return object.__getattribute__(error, name)


def behind(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Return its cause and its context."""
    return link(error, "__cause__"), link(error, "__context__")


def is_static(cls: type) -> bool:
    """Say whether a class is a built-in one, made in C."""
    return not cls.__flags__ & _HEAP_TYPE


def static_base(cls: type) -> type[BaseException]:
    """Return the built-in class whose memory layout `cls` has: only its `__new__` is safe."""
    base: type = cls
    while not is_static(base):
        base = base.__base__ or BaseException
    return base


_REDUCERS = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__", "__getnewargs_ex__")


def is_plain(cls: type) -> bool:
    """Say whether a class leaves its pickling to the built-in exceptions."""
    if cls in copyreg.dispatch_table:
        return False
    for name in _REDUCERS:
        owner = next((c for c in cls.__mro__ if name in c.__dict__), None)
        # ExceptionGroup is made at run time, so not static, but of nobody's own making.
        if owner is not None and not is_static(owner) and owner.__module__ != "builtins":
            return False
    return True


def parts_of(error: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what an exception was built from and its attributes, slots included."""
    base = static_base(type(error))
    if isinstance(error, BaseExceptionGroup):
        return (error.message, list(error.exceptions)), dict(own(error))
    reduced: Any = base.__reduce__(error)
    args: tuple[Any, ...] = reduced[1]
    state = dict(reduced[2] or {}) if len(reduced) > 2 else {}
    for name in copyreg._slotnames(type(error)):  # type: ignore[attr-defined]  # noqa: SLF001  # as pickle does
        try:
            state[name] = object.__getattribute__(error, name)
        except AttributeError:  # a slot that was never filled
            continue
    return args, state


def make(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Return an exception of a class without running what the class does on making one."""
    base = static_base(cls)
    error: BaseException = base.__new__(cls, *args)
    try:
        # Fills the fields of built-in ones: errno, start and end, value, code.
        base.__init__(error, *args)
    except TypeError:
        BaseException.__init__(error, *args)
    return error


def restore(error: BaseException, state: dict[str, Any]) -> None:
    """Set attributes past whatever the class does on setting them."""
    for name, value in state.items():
        try:
            object.__setattr__(error, name, value)
        except (AttributeError, TypeError):  # hidden behind a property, or read-only
            own(error)[name] = value


def reduce(error: BaseException) -> Any:
    """Return how an exception is pickled as a value, `NotImplemented` where its class says how."""
    if not is_plain(type(error)):
        return NotImplemented
    args, state = parts_of(error)
    return make, (type(error), args), state, None, None, restore
