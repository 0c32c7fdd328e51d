"""`@remote`: makes a remote function of a function, an actor class of a class."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar, overload

from burrow_jupyter.api.actors import ActorClass, make_actor_class
from burrow_jupyter.api.tasks import RemoteFunction
from burrow_jupyter.core import options as table

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    P = ParamSpec("P")
    T = TypeVar("T")


@overload
def remote(target: type) -> ActorClass: ...  # type: ignore[overload-overlap]  # classes are callable, too
@overload
def remote(target: Callable[P, T]) -> RemoteFunction[P, T]: ...
@overload
def remote(**given: Any) -> Callable[[Any], Any]: ...
def remote(*args: Any, **given: Any) -> Any:
    """Make a function remote, or a class an actor class.

    Used bare (`@remote`) or with options (`@remote(num_cpus=2)`).

    Raises:
        TypeError: neither form, or not a function or class; an option of the wrong type.
        ValueError: an unknown option, one of the other kind, or a value out of range.

    Source: Ray 2.60 `ray.remote`.
    """
    if len(args) == 1 and not given:
        return _wrap(args[0], {})
    if args or not given:
        msg = "use @burrow.remote bare, or with options by name: @burrow.remote(num_cpus=2)"
        raise TypeError(msg)
    return lambda target: _wrap(target, given)


def _wrap(target: Any, given: dict[str, Any]) -> Any:
    if isinstance(target, RemoteFunction | ActorClass):
        msg = f"{target!r} is remote already"
        raise TypeError(msg)
    if inspect.isclass(target):
        return make_actor_class(target, table.check("actor", given))
    if not callable(target):
        msg = f"@burrow.remote takes a function or a class, not {type(target).__name__}"
        raise TypeError(msg)
    return RemoteFunction(target, table.check("task", given))
