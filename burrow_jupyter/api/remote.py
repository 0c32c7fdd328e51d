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

    Used bare (`@remote`) or with options (`@remote(num_cpus=2)`), which `.options(...)`
    changes for one call or one actor.

    Args:
        *args: the function or class, used bare.
        **given: the options that follow.
        num_cpus: logical CPUs that it takes while it runs; default 1 for a task, for an
            actor none. Fractions are fine.
        num_gpus: GPUs; which ones stands in `CUDA_VISIBLE_DEVICES`. Default 0.
        resources: amounts of resources of your own, such as `{"license": 1}`.
        memory: bytes, as bookkeeping.
        name: of a task: what lists show; of an actor: what `get_actor` finds.
        num_returns: results of a task: a number, "streaming" or "dynamic".
        max_retries: further attempts after a crash; default 3, -1: for ever.
        retry_exceptions: whether exceptions are retried too, or a list of their types.
        max_calls: calls after which a worker is replaced.
        timeout: seconds after which a call is ended.
        runtime_env: `{"env_vars": {...}, "working_dir": ...}` of its processes.
        max_restarts: of an actor after crashes; default 0, -1: for ever.
        max_task_retries: of an actor's calls that a crash has ended; default 0.
        max_concurrency: calls of an actor at once; default 1, of an async actor 1000.
        concurrency_groups: limits by name for groups of methods.
        max_pending_calls: calls that may wait; more raise `PendingCallsLimitExceeded`.
        namespace: of an actor's name.
        lifetime: "detached": an actor that lives on without handles.
        get_if_exists: take the actor of that name if there is one.

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
