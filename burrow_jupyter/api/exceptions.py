"""The exceptions that users catch, under the names that Ray gave them.

    RayError (BurrowError)
    ├── RayTaskError (TaskError)               a task raised: also an instance of what it raised
    ├── RayActorError (ActorError)             an actor cannot be called
    │   ├── ActorDiedError                     it is dead, or never lived
    │   └── ActorUnavailableError              it is being restarted; calling again may work
    ├── WorkerCrashedError                     the process died while it ran the task
    ├── TaskCancelledError                     the task was cancelled
    ├── TaskTimeoutError, TimeoutError         the task ran longer than its `timeout=`
    ├── GetTimeoutError, TimeoutError          get() did not want to wait longer
    │                                          (PlasmaObjectNotAvailable)
    ├── ObjectLostError                        the value is gone
    │   ├── ObjectFreedError                   free() was called
    │   ├── OwnerDiedError                     who had put it there has died
    │   ├── ObjectReconstructionFailedError    making it again did not work
    │   ├── ObjectFetchTimedOutError           (for Ray's code; not raised)
    │   └── ReferenceCountingAssertionError    (for Ray's code; not raised)
    ├── ObjectStoreFullError                   neither memory nor disk has room
    ├── OutOfMemoryError                       the task was ended to keep the machine usable
    ├── OutOfDiskError                         the disk is full
    ├── DeadlockError, RuntimeError            calls wait for each other, or for themselves
    ├── InfeasibleError, ValueError            more is asked for than this burrow will ever have
    │                                          (TaskUnschedulableError, ActorUnschedulableError)
    ├── ActorAlreadyExistsError, ValueError    the name is taken
    ├── ActorHandleNotFoundError, ValueError   the handle is of another session
    ├── PendingCallsLimitExceeded              `max_pending_calls` calls are unfinished
    ├── AsyncioActorExit                       an async actor ends itself
    ├── RuntimeEnvSetupError                   the environment asked for cannot be made
    ├── RaySystemError (BurrowSystemError)     Burrow itself could not do it
    ├── UserCodeException                      (for code that raises it itself)
    └── AuthenticationError, CrossLanguageError, LocalRayletDiedError, NodeDiedError,
        ObjectRefStreamEndOfStreamError, OufOfBandObjectRefSerializationException,
        RayCgraphCapacityExceeded, RayChannelError, RayChannelTimeoutError,
        RayDirectTransportError, RpcError, StreamingGeneratorReplayInconsistentError,
        TaskPlacementGroupRemoved, ActorPlacementGroupRemoved, UnserializableException
                                               (for Ray's code; not raised on one machine)

Names in brackets are aliases. All can be pickled by plain `pickle`. Ids are hexadecimal
strings as `ref.hex()` writes them, `None` where unknown.

Source: Ray 2.60 `ray.exceptions`; differs: one root under Burrow's name too, ValueError
and TimeoutError as second parents where Python's own functions raise these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.engine.errors import place_of, text_of, user_frames

if TYPE_CHECKING:
    import traceback
    from types import TracebackType

__all__ = [
    "ActorAlreadyExistsError",
    "ActorDiedError",
    "ActorError",
    "ActorHandleNotFoundError",
    "ActorPlacementGroupRemoved",
    "ActorUnavailableError",
    "ActorUnschedulableError",
    "AsyncioActorExit",
    "AuthenticationError",
    "BurrowError",
    "BurrowSystemError",
    "CrossLanguageError",
    "DeadlockError",
    "GetTimeoutError",
    "InfeasibleError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectFetchTimedOutError",
    "ObjectFreedError",
    "ObjectLostError",
    "ObjectReconstructionFailedError",
    "ObjectRefStreamEndOfStreamError",
    "ObjectStoreFullError",
    "OufOfBandObjectRefSerializationException",
    "OutOfDiskError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PendingCallsLimitExceeded",
    "PlasmaObjectNotAvailable",
    "RayActorError",
    "RayCgraphCapacityExceeded",
    "RayChannelError",
    "RayChannelTimeoutError",
    "RayDirectTransportError",
    "RayError",
    "RaySystemError",
    "RayTaskError",
    "ReferenceCountingAssertionError",
    "RpcError",
    "RuntimeEnvSetupError",
    "StreamingGeneratorReplayInconsistentError",
    "TaskCancelledError",
    "TaskError",
    "TaskPlacementGroupRemoved",
    "TaskTimeoutError",
    "TaskUnschedulableError",
    "UnserializableException",
    "UserCodeException",
    "WorkerCrashedError",
]

HEADLINE_MAX_CHARS = 300
"""Longest first line of what a notebook shows of an error."""


def _where(tb: TracebackType | None) -> str:
    """Return in one line how the user's code came to where it failed."""
    frames: list[traceback.FrameSummary] = user_frames(tb)
    if not frames:
        return ""
    shown = frames if len(frames) <= 3 else [frames[0], *frames[-2:]]
    places = [
        place_of(frame) + ("" if frame.name == "<module>" else f" in {frame.name}")
        for frame in shown
    ]
    if len(frames) > 3:
        places.insert(1, "…")
    source = (frames[-1].line or "").strip()
    return "  " + " -> ".join(places) + (f": {source[:HEADLINE_MAX_CHARS]}" if source else "")


def rendered(error: BaseException, arrived: BaseException | None = None) -> list[str]:
    """Return an error as a notebook shows it: the text, and where the cell asked, without our frames.

    `arrived`: what is shown below that in place of further lines, as the text of the task.
    """
    lines = text_of(error).splitlines() or [""]
    headline = f"{type(error).__name__}: {lines[0]}".removesuffix(": ")
    where = _where(error.__traceback__)
    below = lines[1:] if arrived is None else str(arrived).splitlines()
    return [headline, *([where] if where else []), *below]


class RayError(Exception):
    """Everything that goes wrong in Burrow, and what tasks raise. `BurrowError` is the same."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: the text, and where the cell asked, without our frames."""
        return rendered(self)


class RayTaskError(RayError):
    """A task raised an exception; also an instance of that exception's own class.

    So `except ValueError` catches what a task raised with `raise ValueError`, and
    `except RayTaskError` catches whatever tasks raise. `str()` is the remote traceback
    with the message at its end. Attributes and methods of the original can be used on it.
    """

    cause: BaseException | None = None
    """The original exception, or what stands for it where it could not be sent."""
    function_name: str = ""
    """Of the task."""
    traceback_str: str = ""
    """The user's frames in the task, and the message; the same as `str()`."""
    task_id: str | None = None
    actor_id: str | None = None
    pid: int | None = None
    """Of the worker process."""
    attempt: int = 1

    def as_instanceof_cause(self) -> RayTaskError:
        """Return the error itself, which is an instance of what was raised already."""
        return self

    make_dual_exception_instance = as_instanceof_cause


class RayActorError(RayError):
    """An actor cannot be called."""

    actor_id: str | None = None
    class_name: str = ""
    actor_init_failed: bool = False
    """Whether its constructor has raised."""
    preempted: bool = False
    """Whether its machine was taken away, which does not happen to one's own."""

    @property
    def error_msg(self) -> str:
        """The text."""
        return str(self)


class ActorDiedError(RayActorError):
    """The actor is dead, or never lived; the text says why."""


class ActorUnavailableError(RayActorError):
    """The actor's process died during the call; the actor is being restarted."""


class WorkerCrashedError(RayError):
    """The worker process ended while it ran the task."""

    task_id: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None


class TaskCancelledError(RayError):
    """The task was cancelled."""

    task_id: str | None = None


class TaskTimeoutError(RayError, TimeoutError):
    """The task ran longer than its `timeout=`."""

    task_id: str | None = None


class GetTimeoutError(RayError, TimeoutError):
    """`get` waited as long as it should; nothing was cancelled."""


class ObjectLostError(RayError):
    """The object's value is gone."""

    object_ref_hex: str | None = None


class ObjectFreedError(ObjectLostError):
    """The value was given up by `free()`."""


class OwnerDiedError(ObjectLostError):
    """The process that had made the value known has died."""


class ObjectReconstructionFailedError(ObjectLostError):
    """The value was lost and could not be made again."""


class ObjectFetchTimedOutError(ObjectLostError):
    """Never raised: objects of one machine are not fetched. For code written for Ray."""


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """Never raised. For code written for Ray."""


class ObjectStoreFullError(RayError):
    """Neither memory nor disk has room for the object."""


class OutOfMemoryError(RayError):
    """The task was ended because the machine ran out of memory."""


class OutOfDiskError(RayError):
    """The disk that objects are moved to is full."""


class DeadlockError(RayError, RuntimeError):
    """The call waited for what could only come when it had ended itself.

    The text names who waits for whom. Raised by `get` and `wait`, in the call that began to
    wait last; the others of the circle go on.
    """


class InfeasibleError(RayError, ValueError):
    """More is asked for than this burrow will ever have.

    A `ValueError`, because it is the options of the call that do not fit.
    """


class ActorAlreadyExistsError(RayError, ValueError):
    """An actor of this name lives in this namespace."""


class ActorHandleNotFoundError(RayError, ValueError):
    """The handle is not one of this session's."""


class PendingCallsLimitExceeded(RayError):
    """The handle has `max_pending_calls` calls that have not ended."""


class AsyncioActorExit(RayError):
    """Raised inside an async actor that ends itself."""


class RuntimeEnvSetupError(RayError):
    """The environment that was asked for cannot be made."""


class RaySystemError(RayError):
    """Burrow itself could not do it; the text says what to do."""


class CrossLanguageError(RayError):
    """Never raised: there is one language. For code written for Ray."""


class LocalRayletDiedError(RayError):
    """Never raised. For code written for Ray."""


class NodeDiedError(RayError):
    """Never raised: there is one machine. For code written for Ray."""


class RayChannelError(RaySystemError):
    """Never raised. For code written for Ray."""


class RayChannelTimeoutError(RayChannelError, TimeoutError):
    """Never raised. For code written for Ray."""


class RayDirectTransportError(RaySystemError):
    """Never raised. For code written for Ray."""


class RayCgraphCapacityExceeded(RaySystemError):
    """Never raised: there are no compiled graphs. For code written for Ray."""


class ObjectRefStreamEndOfStreamError(RayError):
    """Never raised: a stream ends with StopIteration. For code written for Ray."""


class OufOfBandObjectRefSerializationException(RayError):
    """Never raised: refs may be pickled anywhere. For code written for Ray, with its spelling."""


class StreamingGeneratorReplayInconsistentError(RaySystemError):
    """Never raised: what was taken from a generator is not made again. For code written for Ray."""


class AuthenticationError(RayError):
    """Never raised: there is no cluster to log in to. For code written for Ray."""


class RpcError(RayError):
    """Never raised. For code written for Ray."""


class TaskPlacementGroupRemoved(RayError):
    """Never raised: placement groups set nothing aside. For code written for Ray."""


class ActorPlacementGroupRemoved(RayError):
    """Never raised: placement groups set nothing aside. For code written for Ray."""


class UnserializableException(RayError):
    """Never raised: exceptions that cannot be rebuilt arrive as `RayTaskError`."""


class UserCodeException(RayError):
    """For code that raises it itself, around an exception of the user's."""


BurrowError = RayError
BurrowSystemError = RaySystemError
TaskError = RayTaskError
ActorError = RayActorError
PlasmaObjectNotAvailable = GetTimeoutError
TaskUnschedulableError = InfeasibleError
ActorUnschedulableError = InfeasibleError

for _name in __all__:
    # Users meet them as burrow.exceptions; where they live is nobody's business but ours.
    globals()[_name].__module__ = "burrow.exceptions"
del _name
