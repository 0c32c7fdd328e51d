"""Why an object has no value, as data. The API turns a failure into an exception.

Failures travel in messages and are stored in place of values, so they hold no user
object: the original exception is opaque pickle bytes that only a driver or worker
loads.
"""

from __future__ import annotations

import msgspec

NATIVE_STACK = "Fatal Python error: "
"""How the stack begins that faulthandler writes for a process that crashes."""


class FailedTask(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where the frames of a failure may be."""

    function: str
    task_id: int
    pid: int
    run_id: int


class UserError(msgspec.Struct, tag="user", array_like=True, frozen=True, gc=False):
    """A task raised. The exception itself, and its text should it not be loadable."""

    type_name: str
    message: str
    traceback: str  # the user's frames as text, without our own
    pickled: bytes  # the exception, b"" when it cannot be pickled
    function: str
    pid: int
    task_id: int
    actor_id: int = 0
    actor_repr: str = ""
    attempt: int = 1
    contained: list[int] = []  # refs and actor handles that the exception holds
    run_id: int = 0  # that has launched the task
    inner: list[FailedTask] = []  # whose exception the task did not catch, the first one first
    notes: list[str] = []  # that were added to the exception; also at the end of the traceback


class Upstream(msgspec.Struct, tag="upstream", array_like=True, frozen=True, gc=False):
    """A task did not run because one of its arguments has failed."""

    function: str  # the task that did not run
    task_id: int
    cause: Failure


class WorkerDied(msgspec.Struct, tag="crash", array_like=True, frozen=True, gc=False):
    """The worker process ended while it ran the task."""

    function: str
    task_id: int
    pid: int
    exit_code: int | None  # of a process that ended by itself
    signal: int | None  # that killed it
    attempts: int
    detail: str = ""
    said: str = ""  # the end of what the task has printed
    run_id: int = 0


class Cancelled(msgspec.Struct, tag="cancelled", array_like=True, frozen=True, gc=False):
    """The task was cancelled."""

    task_id: int
    function: str = ""
    begun: bool = False  # its code was interrupted


class ActorDied(msgspec.Struct, tag="actor", array_like=True, frozen=True, gc=False):
    """The actor is dead, or never lived."""

    actor_id: int
    class_name: str
    reason: str
    error: UserError | None = None  # of the constructor
    said: str = ""  # last, by a process that crashed


class ActorUnavailable(msgspec.Struct, tag="restarting", array_like=True, frozen=True, gc=False):
    """The actor's process died during the call and the actor is being restarted."""

    actor_id: int
    class_name: str
    reason: str


class ObjectLost(msgspec.Struct, tag="lost", array_like=True, frozen=True, gc=False):
    """The object's value is gone."""

    object_id: int
    reason: str
    kind: str = "lost"  # "lost" | "freed" | "owner"


class Infeasible(msgspec.Struct, tag="infeasible", array_like=True, frozen=True, gc=False):
    """The task asks for more than this burrow will ever have."""

    function: str
    reason: str


class Deadlock(msgspec.Struct, tag="deadlock", array_like=True, frozen=True, gc=False):
    """The call waited for what could not come before it ends itself."""

    function: str
    task_id: int
    reason: str


class TimedOut(msgspec.Struct, tag="timeout", array_like=True, frozen=True, gc=False):
    """The task ran longer than its `timeout=`."""

    task_id: int
    function: str
    timeout_s: float


class StoreFull(msgspec.Struct, tag="full", array_like=True, frozen=True, gc=False):
    """Neither shared memory nor disk has room for a value."""

    what: str  # could not be stored
    reason: str


class EngineError(msgspec.Struct, tag="engine", array_like=True, frozen=True, gc=False):
    """Burrow itself could not do it; the text says what and what to do."""

    message: str


Failure = (
    UserError
    | Upstream
    | WorkerDied
    | Cancelled
    | ActorDied
    | ActorUnavailable
    | ObjectLost
    | Infeasible
    | Deadlock
    | TimedOut
    | StoreFull
    | EngineError
)


def root_of(failure: Failure) -> Failure:
    """Return what first went wrong, behind any number of tasks that did not run for it."""
    while isinstance(failure, Upstream):
        failure = failure.cause
    return failure


def contained_in(failure: Failure | None) -> list[int]:
    """Return the refs and actor handles that a failure's exception holds."""
    root = root_of(failure) if failure is not None else None
    return root.contained if isinstance(root, UserError) else []


def one_line(failure: Failure) -> str:
    """Return a failure as one line for tables and logs."""
    match root_of(failure):
        case UserError(type_name=name, message=message):
            text = f"{name}: {message}"
        case WorkerDied(exit_code=code, signal=number):
            text = (
                f"worker died ({'signal ' + str(number) if number else 'exit code ' + str(code)})"
            )
        case Cancelled():
            text = "cancelled"
        case ActorDied(reason=reason) | ActorUnavailable(reason=reason) | ObjectLost(reason=reason):
            text = reason
        case Infeasible(reason=reason) | Deadlock(reason=reason) | EngineError(message=reason):
            text = reason
        case StoreFull(what=what, reason=reason):
            text = f"{what}: {reason}"
        case TimedOut(timeout_s=limit):
            text = f"ran longer than {limit:g} s"
        case other:
            text = str(other)
    first = text.splitlines()[0] if text else ""
    return first if len(first) <= 200 else first[:199] + "…"
