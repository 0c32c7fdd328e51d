"""Failures to the exceptions that users see.

What a task raised arrives as an instance of two classes: `RayTaskError` and the class of
the original exception E. Such a class is made once for each E. Its instances never run
E's `__init__`: they get the original's attributes, so it does not matter which arguments
E wants. What cannot be both is as much of it as can be:

    E                                          arrives as RayTaskError and also
    ---------------------------------------    ---------------------------------------
    any class, also "final" ones               E
    one that refuses a second base             its nearest base that does not
    StopIteration, StopAsyncIteration          RuntimeError: as themselves they would end
                                               `map(get, refs)` in silence (as in PEP 479)
    Exception, BaseException, GeneratorExit    nothing else
    KeyboardInterrupt, CancelledError          (a plain TaskCancelledError instead)
    SystemExit                                 (a plain WorkerCrashedError instead)

Every call of `to_exception` gives a new exception, so that no two `get`s share a
traceback. Safe from any thread.
"""

from __future__ import annotations

import inspect
import signal
import sys
import threading
import weakref
from importlib import import_module
from typing import Any, Final, assert_never

from burrow_jupyter.api import context, exceptions
from burrow_jupyter.api.exceptions import RayTaskError
from burrow_jupyter.core.failures import (
    NATIVE_STACK,
    ActorDied,
    ActorUnavailable,
    Cancelled,
    Deadlock,
    EngineError,
    Failure,
    Infeasible,
    ObjectLost,
    StoreFull,
    TimedOut,
    Upstream,
    UserError,
    WorkerDied,
    root_of,
)
from burrow_jupyter.core.ids import short
from burrow_jupyter.engine import errors, exception_parts

__all__ = ["to_exception"]

LAST_LINES = 20
"""Of a task's output that the error of its crash quotes."""
STEPS_MAX = 10
"""Tasks named between a failure and the task that could not run for it."""

_FACTS: Final = ("function_name", "traceback_str", "task_id", "actor_id", "pid", "attempt")
"""Attributes of a RayTaskError that give way to attributes of E with the same name."""

_SESSION: Final = "_burrow_session"
_TEXT: Final = "_burrow_text"
_HEADLINE: Final = "_burrow_headline"


def to_exception(failure: Failure, session: int | None = None) -> BaseException:
    """Return a failure as the exception to raise; a new one at each call.

    Args:
        failure: why an object has no value.
        session: of the object, for the ids in hexadecimal; default: the running one.

    Source: Ray 2.60 `RayTaskError.as_instanceof_cause`; differs: see the module.
    """
    if session is None:
        running = context.current_or_none()
        session = running.session if running is not None else 0
    if isinstance(failure, (UserError, Upstream)):
        return _task_error(failure, session)
    return _plain(failure, session)


# ---- failures without an exception of the user's ---------------------------------------


def _hex(any_id: int, session: int) -> str | None:
    return f"{session:016x}{any_id:016x}" if any_id else None


def _plain(
    failure: WorkerDied
    | Cancelled
    | ActorDied
    | ActorUnavailable
    | ObjectLost
    | Infeasible
    | Deadlock
    | TimedOut
    | StoreFull
    | EngineError,
    session: int,
) -> exceptions.RayError:
    # Their pickle names this module; what is not imported would be pickled as another class.
    import_module(exceptions.RayError.__module__)
    match failure:
        case WorkerDied():
            return _crashed(failure, session)
        case Cancelled(task_id=task_id, function=function, begun=begun):
            return _cancelled(task_id, function, session, begun=begun)
        case ActorDied():
            return _actor_died(failure, session)
        case ActorUnavailable(actor_id=actor_id, class_name=name, reason=reason):
            unavailable = exceptions.ActorUnavailableError(_about_actor(name, actor_id, reason))
            unavailable.actor_id = _hex(actor_id, session)
            unavailable.class_name = name
            return unavailable
        case ObjectLost(object_id=object_id, reason=reason, kind=kind):
            cls = _LOSSES.get(kind, exceptions.ObjectLostError)
            lost = cls(f"The object {short(object_id)} is gone: {reason}.")
            lost.object_ref_hex = _hex(object_id, session)
            return lost
        case Deadlock(reason=reason):
            return exceptions.DeadlockError(reason)
        case Infeasible(function=function, reason=reason):
            return exceptions.InfeasibleError(f"{function}: {reason}")
        case TimedOut(task_id=task_id, function=function, timeout_s=limit):
            late = exceptions.TaskTimeoutError(
                f"The task {function} ({short(task_id)}) ran longer than its timeout of "
                f"{limit:g} s and was ended."
            )
            late.task_id = _hex(task_id, session)
            return late
        case StoreFull(what=what, reason=reason):
            return exceptions.ObjectStoreFullError(
                f"{what}: {reason}. Let go of refs that are not needed any more, or make room there"
            )
        case EngineError(message=message):
            return exceptions.RaySystemError(message)
        case _ as unreachable:
            assert_never(unreachable)


_LOSSES: dict[str, type[exceptions.ObjectLostError]] = {
    "lost": exceptions.ObjectLostError,
    "freed": exceptions.ObjectFreedError,
    "owner": exceptions.OwnerDiedError,
    "reconstruction": exceptions.ObjectReconstructionFailedError,
}


class _Interrupted(exceptions.TaskCancelledError, RayTaskError):
    """The task was cancelled while it ran: what it raised is that, so it is a task error, too."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.cause = exceptions.TaskCancelledError(text)
        self.traceback_str = text

    def __reduce__(self) -> tuple[Any, ...]:
        return _interrupted, self.args, self.__dict__


_Interrupted.__name__ = _Interrupted.__qualname__ = exceptions.TaskCancelledError.__name__
_Interrupted.__module__ = exceptions.TaskCancelledError.__module__


def _interrupted(text: str) -> exceptions.TaskCancelledError:
    return _Interrupted(text)


def _cancelled(
    task_id: int, function: str, session: int, *, begun: bool = False
) -> exceptions.TaskCancelledError:
    hexadecimal = _hex(task_id, session)
    kind = _Interrupted if begun else exceptions.TaskCancelledError
    error = kind(
        f"The task {function}".rstrip()
        + f" ({short(task_id)}) was cancelled (task_id={hexadecimal})."
    )
    error.task_id = hexadecimal
    return error


def _how_it_ended(failure: WorkerDied) -> str:
    number = failure.signal
    if number is not None:
        try:
            name = signal.Signals(number).name
        except ValueError:  # a real-time signal has no name of its own
            name = f"signal {number}"
        described = signal.strsignal(number)
        return f"killed by {name}" + (f" ({described.lower()})" if described else "")
    if failure.exit_code is not None:
        return f"it ended by itself with exit code {failure.exit_code}"
    return "how it ended is not known"


def _crashed(failure: WorkerDied, session: int) -> exceptions.WorkerCrashedError:
    attempts = "1 attempt" if failure.attempts == 1 else f"{failure.attempts} attempts"
    text = (
        f"The worker process (pid {failure.pid}) died while it ran the task {failure.function} "
        f"({short(failure.task_id)}): {_how_it_ended(failure)}; {attempts} made."
    )
    if failure.detail:
        text += f"\n{failure.detail}"
    elif failure.signal == signal.SIGKILL:
        text += "\nNothing in Burrow did that; often it is the system, which ran out of memory."
    error = exceptions.WorkerCrashedError(text + _last_output(failure.said))
    error.task_id = _hex(failure.task_id, session)
    error.pid = failure.pid
    error.exit_code = failure.exit_code
    error.signal = failure.signal
    return error


def _last_output(said: str) -> str:
    """Return the end of what a process has printed, and its native stack, as an error quotes them."""
    printed, mark, stack = said.rpartition(NATIVE_STACK)
    if not mark:
        printed, stack = stack, ""
    text = ""
    for title, lines in (
        ("Its last output:", printed.strip().splitlines()[-LAST_LINES:]),
        ("Its native stack:", f"{mark}{stack}".strip().splitlines()),
    ):
        if lines:
            text += f"\n{title}\n" + "\n".join(f"  {line}".rstrip() for line in lines)
    return text


def _about_actor(class_name: str, actor_id: int, reason: str) -> str:
    if short(actor_id) in reason:
        return reason
    return f"The actor {class_name}".rstrip() + f" ({short(actor_id)}): {reason}"


def _actor_died(failure: ActorDied, session: int) -> exceptions.ActorDiedError:
    text = _about_actor(failure.class_name, failure.actor_id, failure.reason)
    if failure.error is not None:
        text += f"\n{_remote_text(failure.error, session)}"
    error = exceptions.ActorDiedError(text + _last_output(failure.said))
    error.actor_id = _hex(failure.actor_id, session)
    error.class_name = failure.class_name
    error.actor_init_failed = failure.error is not None
    return error


# ---- what tasks raised -----------------------------------------------------------------


def _remote_text(error: UserError, session: int) -> str:
    """Return one line on the task, then the user's frames in it and the message."""
    if not error.task_id and not error.actor_id:  # it was no task that raised
        return error.traceback
    about = [f"pid={error.pid}"]
    if error.task_id:
        cell = context.label_of_run(error.run_id)
        about.append(f"task {short(error.task_id)}{f' of {cell}' if cell else ''}")
    about.append(f"attempt {error.attempt}")
    if error.actor_id:
        about.append(f"actor_id={_hex(error.actor_id, session)}")
    if error.actor_repr:
        about.append(f"repr={error.actor_repr}")
    return f"burrow::{error.function}() ({', '.join(about)})\n{error.traceback}"


def _steps(failure: Failure) -> list[tuple[str, int]]:
    """Return the tasks that did not run, the last one first."""
    steps = []
    while isinstance(failure, Upstream):
        steps.append((failure.function, failure.task_id))
        failure = failure.cause
    return steps


def _few(steps: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the first and the last of many steps."""
    half = STEPS_MAX // 2
    return steps if len(steps) <= STEPS_MAX else steps[:half] + steps[-half:]


def _steps_text(steps: list[tuple[str, int]]) -> str:
    lines = [
        f"The task {function} ({short(task_id)}) did not run: "
        "one of its inputs could not be computed:\n"
        for function, task_id in steps
    ]
    return "".join(lines)


def _task_error(failure: UserError | Upstream, session: int) -> BaseException:
    root = root_of(failure)
    steps = _few(_steps(failure))
    notes: list[str] = []
    if isinstance(root, UserError):
        loaded = errors.load_error(root.pickled)
        ended = _ended(root, loaded, session)
        if ended is None:
            cause = loaded if loaded is not None else Exception(f"{root.type_name}: {root.message}")
            name, message = root.type_name, root.message
            text, notes = _without_notes(_remote_text(root, session), root.notes)
            facts = {
                "function_name": root.function,
                "task_id": _hex(root.task_id, session),
                "actor_id": _hex(root.actor_id, session),
                "pid": root.pid,
                "attempt": root.attempt,
            }
        else:
            cause = ended
    else:
        assert not isinstance(root, Upstream), "root_of goes to the end"
        ended = cause = _plain(root, session)
    if ended is not None:
        if not steps:
            return ended
        name, message = type(ended).__name__, str(ended)
        text = f"{name}: {message}"
        facts = {}
    if steps:
        facts |= {"function_name": steps[0][0], "task_id": _hex(steps[0][1], session)}
    text = _steps_text(steps) + text
    facts["traceback_str"] = text
    first = message.splitlines()[0] if message else ""
    extra: dict[str, Any] = {
        errors.FAILURE: failure,
        _SESSION: session,
        _TEXT: text,
        _HEADLINE: first[: exceptions.HEADLINE_MAX_CHARS],
    }
    if notes:
        extra["__notes__"] = notes
    return _both(cause, name, facts, extra)


def _without_notes(text: str, notes: list[str]) -> tuple[str, list[str]]:
    """Take the notes off the end of a text: whoever shows an exception shows them after it."""
    end = "\n" + "\n".join(notes)
    if notes and text.endswith(end):
        return text.removesuffix(end), list(notes)
    return text, []


def _ended(
    root: UserError, loaded: BaseException | None, session: int
) -> exceptions.RayError | None:
    """Return what stands for exceptions that mean the end of the task or its process."""
    asyncio = sys.modules.get("asyncio")  # loaded, if the exception is one of asyncio's
    if isinstance(loaded, KeyboardInterrupt) or (
        asyncio is not None and isinstance(loaded, asyncio.CancelledError)
    ):
        return _cancelled(root.task_id, root.function, session)
    if isinstance(loaded, SystemExit):
        code = loaded.code if isinstance(loaded.code, int) else int(loaded.code is not None)
        return _crashed(
            WorkerDied(root.function, root.task_id, root.pid, code, None, root.attempt), session
        )
    return None


class _Arrived(RayTaskError):
    """First base of what arrives from tasks; its methods win over those of E."""

    args = BaseException.args  # E may have hidden it behind a property
    __setattr__ = object.__setattr__  # E may be a frozen dataclass
    __getattribute__ = object.__getattribute__  # E may refuse to be looked at

    def __init_subclass__(cls) -> None:
        """Keep E's own hook from running: it may forbid or count subclasses."""

    def __getattr__(self, name: str) -> Any:
        cause = self.__dict__.get(errors.CAUSE)
        if cause is None or (name.startswith("__") and name.endswith("__")):
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(cause, name)

    def __str__(self) -> str:
        text: str = self.__dict__[_TEXT]
        return text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({errors.repr_of(self.cause)})"

    def __reduce__(self) -> tuple[Any, ...]:
        own = self.__dict__
        failure: UserError | Upstream = own[errors.FAILURE]
        notes = [note for note in own.get("__notes__", ()) if type(note) is str]
        # Flat: a chain of a thousand tasks would be pickled a thousand levels deep.
        return _again, (root_of(failure), _few(_steps(failure)), own[_SESSION], notes)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def _render_traceback_(self) -> list[str]:
        where = exceptions._where(self.__traceback__)  # noqa: SLF001  # this layer's own
        headline = f"{type(self).__name__}: {self.__dict__[_HEADLINE]}".removesuffix(": ")
        notes = [str(note) for note in self.__dict__.get("__notes__", ())]
        return [headline, *([where] if where else []), *str(self).splitlines(), *notes]


def _again(
    root: Failure, steps: list[tuple[str, int]], session: int, notes: list[str]
) -> BaseException:
    """Make an exception from its pickle."""
    for function, task_id in reversed(steps):
        root = Upstream(function, task_id, root)
    error = to_exception(root, session)
    if notes:
        error.__notes__ = notes  # those of the original among them
    return error


# ---- classes that are both -------------------------------------------------------------

_made: weakref.WeakKeyDictionary[type, dict[str, weakref.ref[type[_Arrived]]]] = (
    weakref.WeakKeyDictionary()
)
_made_lock = threading.Lock()


def _make_class(base: type[BaseException] | None, name: str) -> type[_Arrived]:
    """Return a new class of both kinds.

    Raises:
        Exception: whatever the metaclass of `base` raises; TypeError when both can't be.
    """
    names: dict[str, Any] = {
        "__module__": "burrow.exceptions",
        "__qualname__": name,
        "__doc__": RayTaskError.__doc__,
    }
    if base is None:
        return type(name, (_Arrived,), names)
    missing = object()
    for fact in _FACTS:
        of_base = inspect.getattr_static(base, fact, missing)
        if of_base is not missing:
            names[fact] = of_base
    meta: Any = type(base)
    bases: tuple[type, ...] = (_Arrived, base)
    try:
        made: type[_Arrived] = meta(name, bases, names)
    except Exception:  # noqa: BLE001  # a metaclass may refuse in any way
        # Past a metaclass that forbids subclasses.
        made = type.__new__(meta, name, bases, names)
    return made


def _class_for(base: type[BaseException] | None, name: str) -> type[_Arrived]:
    """Return the class of both kinds, always the same one while anybody has it.

    Raises:
        Exception: it can't be made.
    """
    key = base or BaseException
    with _made_lock:
        found = _made.get(key, {}).get(name)
    known = found() if found is not None else None
    if known is not None:
        return known
    made = _make_class(base, name)  # runs code of the user's: not under the lock
    with _made_lock:
        kept = _made.setdefault(key, {}).get(name)
        other = kept() if kept is not None else None
        if other is not None:
            return other
        _made[key][name] = weakref.ref(made)
    return made


def _candidates(cause: BaseException) -> list[type[BaseException]]:
    """Return the classes that the exception should also be one of, the best first."""
    cls = type(cause)
    if isinstance(cause, (StopIteration, StopAsyncIteration)):
        return [RuntimeError]
    if isinstance(cause, GeneratorExit):
        return []
    return [
        base
        for base in cls.__mro__
        if issubclass(base, BaseException) and not issubclass(RayTaskError, base)
    ]


def _both(
    cause: BaseException, name: str, facts: dict[str, Any], extra: dict[str, Any]
) -> _Arrived:
    """Return an exception of both kinds, or of as much as can be."""
    full_name = f"RayTaskError({name})"
    for base in _candidates(cause):
        try:
            made = _build(_class_for(base, full_name), cause, base, facts, extra)
        except Exception:  # noqa: BLE001, S112  # the user's class may refuse in any way
            continue
        return made
    return _build(_class_for(None, full_name), cause, None, facts, extra)


def _build(
    cls: type[_Arrived],
    cause: BaseException,
    base: type[BaseException] | None,
    facts: dict[str, Any],
    extra: dict[str, Any],
) -> _Arrived:
    alike = base is not None and isinstance(cause, base)
    args, state = exception_parts.parts_of(cause) if alike else ((), {})
    made = exception_parts.make(cls, args)
    assert isinstance(made, _Arrived)
    exception_parts.restore(made, {k: v for k, v in state.items() if k != "__notes__"})
    own = made.__dict__
    for fact, value in facts.items():
        if fact not in state and fact not in cls.__dict__:
            own[fact] = value
    own.update(extra)
    own[errors.CAUSE] = cause
    made.args = (cause,)
    # To be looked at, not to be shown: the text has it already, with its frames.
    before, during = exception_parts.behind(cause)
    object.__setattr__(made, "__context__", before or during)
    object.__setattr__(made, "__suppress_context__", True)
    return made
