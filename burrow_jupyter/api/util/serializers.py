"""Serializers of the user's own, and help for what cannot be serialized."""

from __future__ import annotations

import copyreg
import functools
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import checks, context, lifecycle
from burrow_jupyter.engine import unpicklable

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.backends.protocol import Backend


_registered: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}
"""By this process; a session that is opened later hears of them."""


def register_serializer(
    cls: type,
    *,
    serializer: Callable[[Any], Any],
    deserializer: Callable[[Any], Any],
) -> None:
    """Have objects of a class travel in a form of your own, in both directions.

    Args:
        cls: exactly this class, not its subclasses.
        serializer: returns something that can be pickled.
        deserializer: makes the object of it, in the process that gets it.

    Raises:
        TypeError: `cls` is no class, or one of the others cannot be called.

    Source: Ray 2.60 `ray.util.register_serializer`.
    """
    checks.instance("cls", cls, type)
    checks.function("serializer", serializer)
    checks.function("deserializer", deserializer)
    _registered[cls] = (serializer, deserializer)
    _register(cls, serializer, deserializer)
    if _tell not in lifecycle.on_open:
        lifecycle.on_open.append(_tell)
    running = context.current_or_none()
    if running is not None and not context.in_worker():
        running.set_up(functools.partial(_register, cls, serializer, deserializer), "serializer")


def deregister_serializer(cls: type) -> None:
    """Have objects of a class travel as others do again."""
    _registered.pop(cls, None)
    _deregister(cls)
    running = context.current_or_none()
    if running is not None and not context.in_worker():
        running.set_up(functools.partial(_deregister, cls), "serializer")


def _register(
    cls: type, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]
) -> None:
    copyreg.pickle(cls, lambda thing: (deserializer, (serializer(thing),)))


def _deregister(cls: type) -> None:
    copyreg.dispatch_table.pop(cls, None)


def _tell(backend: Backend) -> None:
    """A session was opened: its workers must know what was registered before."""
    for cls, (serializer, deserializer) in _registered.items():
        backend.set_up(functools.partial(_register, cls, serializer, deserializer), "serializer")


def inspect_serializability(
    base_obj: Any, name: str | None = None, depth: int = 3, print_file: Any = None
) -> tuple[bool, set[Any]]:
    """Say whether something can be sent to a worker, and print why if it cannot.

    Args:
        base_obj: what to look at.
        name: what to call it.
        depth: accepted; the path is followed to its end.
        print_file: where to print; default: standard output.

    Returns:
        Whether it can be pickled, and what cannot: a set of objects with `obj`, `name` and
        `parent`, empty if all can.

    Source: Ray 2.60 `ray.util.inspect_serializability`.
    """
    label = str(name or getattr(base_obj, "__name__", type(base_obj).__name__))
    found = unpicklable.inspect(base_obj, label)
    print("\n".join(found.lines), file=print_file)  # that is what it is for
    return found.ok, set(found.failures)
