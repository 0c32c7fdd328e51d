"""get, put, wait, cancel, kill, free: the verbs on refs and handles."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar, overload

from burrow_jupyter.api import checks, context
from burrow_jupyter.api.actors import OLD_HANDLE, ActorHandle
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.exceptions import ActorHandleNotFoundError, GetTimeoutError
from burrow_jupyter.api.refs import ObjectRef, ObjectRefGenerator, check_session
from burrow_jupyter.backends.protocol import Ended, Failed
from burrow_jupyter.core.ids import Ref

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


@overload
def get(object_refs: ObjectRef[T], *, timeout: float | None = None) -> T: ...
@overload
def get(object_refs: Sequence[ObjectRef[T]], *, timeout: float | None = None) -> list[T]: ...
def get(object_refs: Any, *, timeout: float | None = None, _use_object_store: bool = False) -> Any:
    """Wait for objects and return their values.

    Large arrays are views of shared memory, not copies; writing to them stays local.

    Args:
        object_refs: one ref, or a list of refs (duplicates allowed; `[]` gives `[]`).
        timeout: seconds; 0 looks and does not wait, `None` (or -1) waits for ever. A
            timeout cancels nothing.

    Returns:
        The value, or the list of values in the order asked.

    Raises:
        Exception: the task's own exception, as soon as one of the refs has failed.
        GetTimeoutError: not all were there in time; also a `TimeoutError`.
        ValueError: not a ref or list, or a ref of an ended session.
        TypeError: a list with something else in it.

    Source: Ray 2.60 `ray.get`.
    """
    if type(object_refs) is ObjectRef or isinstance(object_refs, ObjectRef):
        ids = [object_refs.id]
        backend = object_refs._backend  # noqa: SLF001  # the API's own
        if context._context.backend is not backend or backend.closed:  # noqa: SLF001  # hot path
            check_session(object_refs)
        single = True
    elif isinstance(object_refs, list):
        if not object_refs:
            return []
        ids = _ids_of(object_refs, "get")
        backend = context.backend()
        single = False
    elif isinstance(object_refs, ObjectRefGenerator):
        return object_refs
    else:
        msg = (
            f"get() takes an ObjectRef or a list of them, got {type(object_refs).__name__}; "
            "a value needs no get()"
        )
        raise ValueError(msg)
    if timeout is not None:
        timeout = None if timeout == -1 else checks.patience("timeout", timeout)  # as in Ray
    error: BaseException
    try:
        values = backend.get(ids, timeout)
    except Failed as failed:
        error = to_exception(failed.failure)
    except TimeoutError:
        what = "the object was" if single else f"{len(set(ids))} objects were"
        error = GetTimeoutError(
            f"{what} not ready within {timeout:g} s; nothing was cancelled, get() it again"
        )
    except Ended as ended:
        error = ValueError(str(ended))
    except KeyboardInterrupt as interrupt:
        error = interrupt.with_traceback(None)  # how we wait is nobody's concern
    else:
        return values[0] if single else values
    try:
        raise error from None
    finally:
        # An error and the frame that it came through would hold each other, and with it
        # whatever the caller has, refs and actors too, until a garbage collection. And what
        # keeps the error would keep the list of refs.
        del error, object_refs


def _ids_of(refs: Sequence[Any], verb: str) -> list[int]:
    running = context.current_or_none()
    session = running.session if running is not None else -1
    with contextlib.suppress(AttributeError, TypeError):
        if {ref.session for ref in refs} == {session}:  # a loop over 1,000 comes by 1,000 times
            return [ref.id for ref in refs]
    ids = []
    for ref in refs:
        if not isinstance(ref, Ref):
            msg = f"{verb}() takes ObjectRefs; the list has a {type(ref).__name__}: {ref!r:.60}"
            raise TypeError(msg)
        if ref.session != session:
            check_session(ref)
        ids.append(ref.id)
    return ids


def put(value: T, *, _owner: Any = None) -> ObjectRef[T]:
    """Store a value once, to be shared by many tasks; return a ref to it.

    Args:
        value: anything picklable; a snapshot is taken now.
        _owner: accepted; the head owns every object, whoever made it.

    Raises:
        TypeError: the value is a ref already, or cannot be pickled.
        ObjectStoreFullError: neither memory nor disk has room for it.

    Source: Ray 2.60 `ray.put`.
    """
    if isinstance(value, Ref):
        msg = "put() of an ObjectRef: it refers to an object already; pass the ref itself"
        raise TypeError(msg)
    backend = context.backend()
    try:
        return ObjectRef(backend.put(value), backend)
    except Failed as failed:
        raise to_exception(failed.failure) from None


def wait(
    ray_waitables: Any,
    *,
    num_returns: int = 1,
    timeout: float | None = None,
    fetch_local: bool = True,
) -> tuple[list[Any], list[Any]]:
    """Wait until some of the objects are ready; failed ones count as ready.

    Args:
        ray_waitables: refs (and generators), without duplicates.
        num_returns: how many to wait for.
        timeout: seconds; what is ready by then is returned, without exception.
        fetch_local: accepted; on one machine objects are local.

    Returns:
        `(ready, not_ready)`, both in the order given; `ready` has at most `num_returns`
        entries even if more are done.

    Raises:
        TypeError: not a list of refs.
        ValueError: duplicates, or `num_returns` or `timeout` out of range.

    Source: Ray 2.60 `ray.wait`.
    """
    refs = ray_waitables
    if not isinstance(refs, list):
        msg = f"wait() takes a list of ObjectRefs, got {type(refs).__name__}"
        raise TypeError(msg)
    timeout = checks.patience("timeout", timeout)
    if not refs:
        return [], []
    try:
        ids = _ids_of(refs, "wait")
    except TypeError:
        if not any(isinstance(ref, ObjectRefGenerator) for ref in refs):
            raise
        return _wait_mixed(refs, num_returns, timeout)
    if len(set(ids)) != len(ids):
        msg = "wait() takes each ref once; the list has duplicates"
        raise ValueError(msg)
    num_returns = _checked_count(num_returns, len(ids))
    backend = context.backend()
    at = backend.ready_among(ids, num_returns)
    if at is not None:
        rest = refs.copy()
        for position in reversed(at):
            del rest[position]
        return [refs[position] for position in at], rest
    try:
        ready = backend.wait(ids, num_returns, timeout, fetch=bool(fetch_local))
    except Failed as failed:
        raise to_exception(failed.failure) from None
    return _split(refs, ready, num_returns)


def _checked_count(num_returns: Any, count: int) -> int:
    wanted = checks.whole("num_returns", num_returns)
    if not 1 <= wanted <= count:
        msg = f"num_returns must be between 1 and the number of refs ({count}), got {wanted}"
        raise ValueError(msg)
    return wanted


def _split(refs: list[Any], ready: list[bool], most: int) -> tuple[list[Any], list[Any]]:
    done: list[Any] = []
    rest: list[Any] = []
    for ref, is_ready in zip(refs, ready, strict=True):
        (done if is_ready and len(done) < most else rest).append(ref)
    return done, rest


def _wait_mixed(
    refs: list[Any], num_returns: int, timeout: float | None
) -> tuple[list[Any], list[Any]]:
    """Wait for generators beside refs: a generator is ready when `next` would not block."""
    import time  # noqa: PLC0415  # only here

    if len({id(ref) for ref in refs}) != len(refs):
        msg = "wait() takes each ref once; the list has duplicates"
        raise ValueError(msg)
    num_returns = _checked_count(num_returns, len(refs))
    plain = [ref for ref in refs if not isinstance(ref, ObjectRefGenerator)]
    ids = _ids_of(plain, "wait")
    backend = context.backend()
    deadline = None if timeout is None else time.monotonic() + timeout

    def look() -> list[bool]:
        known = iter(backend.wait(ids, len(ids), 0, fetch=False) if ids else [])
        return [
            ref.next_ready() or ref.is_finished()
            if isinstance(ref, ObjectRefGenerator)
            else next(known)
            for ref in refs
        ]

    ready = look()
    if sum(ready) < num_returns and timeout != 0:
        made = [r.completed() if isinstance(r, ObjectRefGenerator) else r for r in refs]
        with backend.paused([ref.id for ref in made]):
            while sum(ready) < num_returns:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                # Bounded looks: refs and streams have no common wake-up.
                pause = 0.005 if left is None else min(left, 0.005)
                backend.wait_for(lambda: False, pause)
                ready = look()
    return _split(refs, ready, num_returns)


def cancel(ray_waitable: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancel the task that makes an object; returns at once.

    A task that waits never runs; one that runs gets a KeyboardInterrupt. Finished tasks
    and objects from `put` are left as they are.

    Args:
        ray_waitable: a ref of the task, or its generator.
        force: kill the worker process instead of interrupting the task.
        recursive: also cancel what the task has submitted.

    Raises:
        TypeError: not a ref.
        ValueError: `force` on an actor's call (use `kill`).

    Source: Ray 2.60 `ray.cancel`; differs: `time.sleep` is interrupted, too.
    """
    ref = ray_waitable
    if isinstance(ref, ObjectRefGenerator):
        ref = ref.completed()
    if not isinstance(ref, ObjectRef):
        msg = f"cancel() takes an ObjectRef, got {type(ref).__name__}"
        raise TypeError(msg)
    check_session(ref)
    backend = context.backend()
    if force and getattr(ref, "_of_actor", False):
        msg = "force=True cannot cancel an actor's call; use kill() to end the actor"
        raise ValueError(msg)
    backend.cancel(ref.id, force=bool(force), recursive=bool(recursive))


def kill(actor: Any, *, no_restart: bool = True) -> None:
    """End an actor's process at once, also while a call runs.

    Args:
        actor: a handle on it.
        no_restart: whether it is dead for good; else this counts as a crash.

    Raises:
        ValueError: not an actor handle, or a handle of an ended session.

    Source: Ray 2.60 `ray.kill`.
    """
    if not isinstance(actor, ActorHandle):
        msg = f"kill() takes an actor handle, got {type(actor).__name__}; cancel() is for tasks"
        raise ValueError(msg)  # noqa: TRY004  # the error that Ray raises
    backend = context.current_or_none()
    if backend is None or actor._backend is not backend:  # noqa: SLF001  # the API's own
        raise ActorHandleNotFoundError(OLD_HANDLE)
    backend.kill(actor._id, no_restart=bool(no_restart))  # noqa: SLF001  # the API's own


def free(refs: Any) -> None:
    """Give up values although there are refs; `get` then raises `ObjectFreedError`."""
    listed = refs if isinstance(refs, list) else [refs]
    context.backend().free(_ids_of(listed, "free"))
