"""Options of tasks, actors and methods: one table, checked the same way everywhere.

The table says for each option its type, its allowed values, its default and where it
may stand. `@remote(...)`, `.options(...)` and `@method(...)` all check against it; an
error names the option, what was received and, for an unknown name, the nearest one.
Names and defaults are Ray 2.60's; differences are said at the option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from burrow_jupyter.core import resources

Place = Literal["task", "task options", "actor", "actor options", "method", "call"]

STREAMING = -1
"""`num_returns` of a generator whose items are taken one by one."""
DYNAMIC = -2
"""`num_returns` of the older kind of generator: one ref to a list of refs."""
FOREVER = -1
"""Of retries and restarts: without limit."""


class TaskOptions(msgspec.Struct, array_like=True, frozen=True):
    """How calls of one function or method are to be run. Interned: sent once, then by id."""

    name: str
    function: str  # what the code calls itself: module.qualname or Class.method
    shape: resources.Shape = ()
    num_returns: int = 1
    max_retries: int = 3
    retry_exceptions: bool = False  # any; a list of types is decided in the worker
    retry_types: bytes = b""  # pickled tuple of types, opaque here
    max_calls: int = 0
    timeout_s: float = 0.0
    backpressure: int = 0
    env_vars: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    concurrency_group: str = ""
    generator: bool = False


class ActorOptions(msgspec.Struct, array_like=True, frozen=True):
    """How one actor is to be placed, named, restarted."""

    class_name: str
    name: str = ""
    namespace: str = ""
    get_if_exists: bool = False
    detached: bool = False
    shape: resources.Shape = ()  # held for life
    placing: resources.Shape = ()  # needed only to be placed
    max_restarts: int = 0
    max_task_retries: int = 0
    max_concurrency: int = 0  # 0: one, or 1000 for a class with async methods
    max_pending_calls: int = -1
    concurrency_groups: tuple[tuple[str, int], ...] = ()
    env_vars: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    is_async: bool = False
    out_of_order: bool = False


class _Option(msgspec.Struct, frozen=True):
    check: Callable[[str, Any], None]
    where: frozenset[str]


def _type_error(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {expected}, got {value!r} ({type(value).__name__})")


def _quantity(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(name, "a number", value)
    resources.to_units(name, value)


def _gpus(name: str, value: Any) -> None:
    _quantity(name, value)
    if value > 1 and value != int(value):
        msg = f"{name} above 1 must be a whole number, got {value!r}"
        raise ValueError(msg)


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _type_error(name, "an int", value)


def _at_least(lowest: int, meaning: str = "") -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        _whole(name, value)
        if value < lowest:
            msg = f"{name} must be {lowest} or more{meaning}, got {value!r}"
            raise ValueError(msg)

    return check


_retries = _at_least(-1, " (-1 means for ever)")


def _returns(name: str, value: Any) -> None:
    if isinstance(value, str):
        if value not in ("dynamic", "streaming"):
            msg = f'{name} must be a number, "dynamic" or "streaming", got {value!r}'
            raise ValueError(msg)
        return
    _at_least(0)(name, value)


def _backpressure(name: str, value: Any) -> None:
    if value != -1:  # as in Ray: none
        _at_least(1)(name, value)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _type_error(name, "a str", value)


def check_name(name: str, value: Any) -> None:
    """Raise unless `value` can name an actor or a namespace."""
    _text(name, value)
    if not value:
        msg = f"{name} must not be empty"
        raise ValueError(msg)


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise _type_error(name, "a bool", value)


def _lifetime(name: str, value: Any) -> None:
    if value not in ("detached", "non_detached"):
        msg = f'{name} must be "detached", "non_detached" or None, got {value!r}'
        raise ValueError(msg)


def _resources(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _type_error(name, "a dict", value)
    for key, quantity in value.items():
        _text(f"{name} key", key)
        if key in (resources.CPU, resources.GPU):
            msg = f'say num_{key.lower()}s={quantity!r} instead of {name}={{"{key}": ...}}'
            raise ValueError(msg)
        _quantity(f"{name}[{key!r}]", quantity)


def _retry_exceptions(name: str, value: Any) -> None:
    if isinstance(value, bool):
        return
    if not isinstance(value, list | tuple):
        raise _type_error(name, "a bool or a list of exception types", value)
    for item in value:
        if not (isinstance(item, type) and issubclass(item, Exception)):
            raise _type_error(f"{name} entry", "a subclass of Exception", item)


def _groups(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _type_error(name, "a dict of group name to size", value)
    for key, size in value.items():
        check_name(f"{name} key", key)
        _at_least(1)(f"{name}[{key!r}]", size)


def _environment(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _type_error(name, "a dict", value)
    for key in value:
        if key not in ("env_vars", "working_dir"):
            msg = (
                f"{name} has no field {key!r} here: Burrow's workers share the kernel's Python "
                "environment; env_vars and working_dir can be set"
            )
            raise ValueError(msg)
    for key, text in value.get("env_vars", {}).items():
        _text(f"{name}['env_vars'] key", key)
        _text(f"{name}['env_vars'][{key!r}]", text)
    if "working_dir" in value:
        _text(f"{name}['working_dir']", value["working_dir"])


def _seconds(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(name, "a number of seconds", value)
    if not value > 0:
        msg = f"{name} must be more than 0 seconds, got {value!r}"
        raise ValueError(msg)


def _strategy(name: str, value: Any) -> None:
    if isinstance(value, str) and value not in ("DEFAULT", "SPREAD"):
        msg = f'{name} must be "DEFAULT", "SPREAD" or one of burrow.util.scheduling_strategies, got {value!r}'
        raise ValueError(msg)
    if not isinstance(value, str) and type(value).__module__ == "builtins":
        raise _type_error(name, "a str or one of burrow.util.scheduling_strategies", value)


def _anything(name: str, value: Any) -> None:
    """Accept: an option that says where on a cluster to run means nothing on one machine."""


_TASK = frozenset({"task", "task options"})
_ACTOR = frozenset({"actor", "actor options"})
_BOTH = _TASK | _ACTOR
_CALL = frozenset({"method", "call"})

TABLE: dict[str, _Option] = {
    "num_cpus": _Option(_quantity, _BOTH),
    "num_gpus": _Option(_gpus, _BOTH),
    "resources": _Option(_resources, _BOTH),
    "memory": _Option(_quantity, _BOTH),
    "object_store_memory": _Option(_quantity, _BOTH),
    "accelerator_type": _Option(_text, _BOTH),
    "runtime_env": _Option(_environment, _BOTH),
    "scheduling_strategy": _Option(_strategy, _BOTH),
    "placement_group": _Option(_anything, _BOTH),
    "placement_group_bundle_index": _Option(_anything, _BOTH),
    "placement_group_capture_child_tasks": _Option(_anything, _BOTH),
    "label_selector": _Option(_anything, _BOTH),
    "fallback_strategy": _Option(_anything, _BOTH),
    "enable_task_events": _Option(_flag, _BOTH | _CALL),
    "_metadata": _Option(_anything, _BOTH),
    "_labels": _Option(_anything, _BOTH),
    "name": _Option(_text, _TASK | _ACTOR | _CALL),
    "num_returns": _Option(_returns, _TASK | _CALL),
    "max_retries": _Option(_retries, _TASK),
    "retry_exceptions": _Option(_retry_exceptions, _TASK | _CALL),
    "max_calls": _Option(_at_least(0), frozenset({"task"})),
    "timeout": _Option(_seconds, _TASK | _CALL),
    "_generator_backpressure_num_objects": _Option(_backpressure, _TASK | _CALL),
    "namespace": _Option(check_name, _ACTOR),
    "lifetime": _Option(_lifetime, _ACTOR),
    "get_if_exists": _Option(_flag, _ACTOR),
    "max_restarts": _Option(_retries, _ACTOR),
    "max_task_retries": _Option(_retries, _ACTOR | _CALL),
    "max_concurrency": _Option(_at_least(1), _ACTOR),
    "max_pending_calls": _Option(_at_least(-1), _ACTOR),
    "concurrency_groups": _Option(_groups, frozenset({"actor"})),
    "allow_out_of_order_execution": _Option(_flag, _ACTOR),
    "concurrency_group": _Option(check_name, _CALL),
    "tensor_transport": _Option(_anything, _CALL),
}

_PLACES = {
    "task": "a task",
    "task options": "a task's .options()",
    "actor": "an actor",
    "actor options": "an actor's .options()",
    "method": "a method",
    "call": "a method's .options()",
}


def check(place: Place, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given a value, checked. `None` means the default.

    Raises:
        ValueError: an unknown option, one that may not stand here, or a value out of range.
        TypeError: a value of the wrong type.
    """
    checked = {}
    for name, value in given.items():
        option = TABLE.get(name)
        if option is None or place not in option.where:
            raise ValueError(_refusal(name, place))
        if value is not None:
            if name == "name" and place in ("actor", "actor options"):
                check_name(name, value)
            option.check(name, value)
            checked[name] = value
    return checked


def _refusal(name: str, place: Place) -> str:
    allowed = sorted(n for n, option in TABLE.items() if place in option.where and n[0] != "_")
    known = TABLE.get(name)
    if known is not None:
        if place == "task options" and name == "max_calls":
            return "max_calls cannot be set in .options(): set it in @remote(max_calls=...)"
        if place == "actor options" and name == "concurrency_groups":
            return (
                "concurrency_groups cannot be set in .options(): "
                "set it in @remote(concurrency_groups=...)"
            )
        elsewhere = " and ".join(sorted({_PLACES[p] for p in known.where}))
        return f"{name} is an option of {elsewhere}, not of {_PLACES[place]}"
    return f"{_PLACES[place]} has no option {name!r}.{hint(name, allowed)} Options: {', '.join(allowed)}"


def hint(name: str, known: Iterable[str]) -> str:
    """Return a question for whoever has written `name`, if one of the known ones is near it."""
    import difflib  # noqa: PLC0415  # for errors only

    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""


def demand_of(given: Mapping[str, Any], cpus: float) -> resources.Shape:
    """Return what is asked for, with `cpus` where the options do not say."""
    demand = {
        resources.CPU: resources.to_units("num_cpus", given.get("num_cpus", cpus)),
        resources.GPU: resources.to_units("num_gpus", given.get("num_gpus", 0)),
        resources.MEMORY: resources.to_units("memory", given.get("memory", 0)),
    }
    for name, quantity in given.get("resources", {}).items():
        demand[name] = resources.to_units(name, quantity)
    return resources.shape_of({name: units for name, units in demand.items() if units})
