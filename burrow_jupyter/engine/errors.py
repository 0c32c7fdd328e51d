"""What a task raised, as a failure that can travel: the text and the exception itself.

Used by workers, and by `api.errors`, which makes of it the exception that users see. The
text has the user's frames only. The exception is pickled so that its class is met again
by identity where the class is known, its `__init__` is never run a second time (whatever
arguments it wants), its `__cause__`, `__context__`, notes and group members come along,
and what cannot be pickled in it is replaced by its `repr`.

`capture` never raises: a user's `__str__`, `__repr__` or `__reduce__` may do anything.
Safe from any thread. An exception that has arrived from another task carries that task's
failure under the name `FAILURE` and its original under `CAUSE`; that is how it is known
here, where the public exception classes are not.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
import pickle
import re
import reprlib
import sys
import traceback
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core.failures import FailedTask, Failure, Upstream, UserError, root_of
from burrow_jupyter.core.limits import ERROR_TEXT_MAX_CHARS
from burrow_jupyter.engine import (
    by_value,
    current,
    exception_parts,
    modules,
    serialization,
    sources,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType, TracebackType

FAILURE = "_burrow_failure"
"""In the `__dict__` of an exception that has arrived from a task: its `Failure`."""

CAUSE = "cause"
"""Beside `FAILURE`: the original exception, or what stands for it."""

_UNPICKLING = "_burrow_unpickling"
"""In the `__dict__` of what unpickling has raised: which value was unpickled."""

CHAIN_MAX = 20
"""Exceptions behind one that are looked at."""

EXCEPTION_MAX_BYTES = 1024 * 1024
"""Largest pickle of an exception: failures travel inline and are kept by the head."""

PART_MAX_BYTES = 64 * 1024
"""Largest argument or attribute that is kept when the whole exception is too large."""

FRAMES_MAX = 40
"""Frames shown of one traceback, half from each end: a recursion has a thousand alike."""

CHAIN_MAX = 20
"""Exceptions shown of one chain of causes, the latest ones."""

MEMBERS_MAX = 15
"""Members shown of one exception group (as Python's own tracebacks do)."""

DEPTH_MAX = 10
"""Levels shown of groups in groups (as Python's own tracebacks do)."""

REPR_MAX_CHARS = 200
"""Longest `repr` of one value in a text."""

_OURS = frozenset({"burrow", "burrow_jupyter", "cloudpickle"})
_MACHINERY = frozenset({
    "IPython", "asyncio", "concurrent", "contextlib", "contextvars", "ipykernel", "pickle",
    "runpy", "threading", "tornado", "traitlets",
})  # fmt: skip
_PLAIN = (str, bytes, int, float, bool, complex, type(None))
_BECAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"
_IPYTHON_INPUT = re.compile(r"<ipython-input-(\d+)-")
_IPYKERNEL_FILE = re.compile(r"[/\\]ipykernel_\d+[/\\]\d+\.py$")

UserValue = Any
"""Something of the user's, of whatever type."""


# ---- sources -------------------------------------------------------------------------


def label_of(filename: str) -> str:
    """Return how people call a file of a notebook's cell; "" for any other file."""
    label = sources.label_of(filename)
    if label:
        return label
    numbered = _IPYTHON_INPUT.match(filename)
    if numbered:
        return f"Cell In[{numbered[1]}]"
    return "Cell" if _IPYKERNEL_FILE.search(filename) else ""


# ---- text ----------------------------------------------------------------------------


def cut_middle(text: str, most: int) -> str:
    """Return a text with at most `most` characters: its beginning and more of its end."""
    if len(text) <= most:
        return text
    gap = f"\n… {len(text) - most:,} characters left out …\n"
    room = max(most - len(gap), 0)
    head = room // 3
    return text[:head] + gap + text[len(text) - (room - head) :]


def text_of(value: BaseException) -> str:
    """Return `str(value)`, bounded; says so when that raises."""
    try:
        text = str(value)
    except BaseException as error:  # noqa: BLE001  # a user's __str__ may do anything
        text = f"<its __str__ raised {type(error).__name__}>"
    return cut_middle(text, ERROR_TEXT_MAX_CHARS)


class _Repr(reprlib.Repr):
    """Short forms: of a long list, only the beginning is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = REPR_MAX_CHARS


_short_repr = _Repr()


def repr_of(value: UserValue) -> str:
    """Return a short `repr` of anything; says so when that raises."""
    try:
        text = _short_repr.repr(value)
    except BaseException as error:  # noqa: BLE001  # a user's __repr__ may do anything
        text = f"<{type(value).__name__}: its __repr__ raised {type(error).__name__}>"
    return text if len(text) <= REPR_MAX_CHARS else text[: REPR_MAX_CHARS - 1] + "…"


def name_of(cls: type) -> str:
    """Return the name of a class as tracebacks write it."""
    module = str(getattr(cls, "__module__", ""))
    if module in ("builtins", "__main__", "__mp_main__", ""):
        return cls.__qualname__
    return f"{module}.{cls.__qualname__}"


def _package_of(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__")
    return module.partition(".")[0] if isinstance(module, str) else ""


def is_own(frame: FrameType) -> bool:
    """Say whether a frame runs our code."""
    return _package_of(frame) in _OURS


def user_frames(tb: TracebackType | None) -> list[traceback.FrameSummary]:
    """Return the frames of a traceback that are the user's, outermost first.

    Ours and those of unpickling are left out wherever they are, those of what starts
    threads, loops and scripts only before the first one of the user's, those of futures
    at the end.
    """
    kept: list[tuple[FrameType, int]] = []
    for frame, line in traceback.walk_tb(tb):
        if is_own(frame) or _imports(frame):
            continue
        if not kept and (
            _package_of(frame) in _MACHINERY or frame.f_code.co_filename == "<frozen runpy>"
        ):
            continue
        kept.append((frame, line))
    while len(kept) > 1 and _package_of(kept[-1][0]) == "concurrent":
        kept.pop()  # how a future gives it to who asks
    return list(traceback.StackSummary.extract(iter(kept)))


def _imports(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith("<frozen importlib")


def _frame_key(frame: traceback.FrameSummary) -> tuple[str, int | None, str]:
    return frame.filename, frame.lineno, frame.name


def _merged(frames: list[traceback.FrameSummary]) -> Iterator[tuple[traceback.FrameSummary, int]]:
    """Say of each run of equal frames how many they are."""
    at = 0
    while at < len(frames):
        end = at + 1
        while end < len(frames) and _frame_key(frames[end]) == _frame_key(frames[at]):
            end += 1
        yield frames[at], end - at
        at = end


def place_of(frame: traceback.FrameSummary) -> str:
    """Return where a frame is: the cell, or the file, and the line."""
    return f"{label_of(frame.filename) or frame.filename}, line {frame.lineno}"


def place_of_generator(items: UserValue) -> str:
    """Return where a generator, also an asynchronous one, stands; "" for anything else."""
    for name in ("gi_frame", "ag_frame"):
        frame = getattr(items, name, None)
        if frame is not None and not is_own(frame):
            code = frame.f_code
            return place_of(traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_name))
    return ""


def format_frames(frames: list[traceback.FrameSummary]) -> str:
    """Return frames as a traceback shows them, two lines each; long ones shortened.

    Several in a row of what others have written are one line.
    """
    entries: list[str] = []
    for others, merged in itertools.groupby(_merged(frames), lambda pair: _is_of_others(pair[0])):
        together = list(merged)
        if others and len(together) > 1:
            entries.append(_frames_of_others([frame for frame, _ in together]))
        else:
            entries += [_frame_entry(frame, times) for frame, times in together]
    if len(entries) > FRAMES_MAX:
        half = FRAMES_MAX // 2
        gap = f"  [{len(entries) - 2 * half} frames left out]\n"
        entries = [*entries[:half], gap, *entries[-half:]]
    return "".join(entries)


def _is_of_others(frame: traceback.FrameSummary) -> bool:
    return not label_of(frame.filename) and bool(modules.package_of(frame.filename))


def _frames_of_others(frames: list[traceback.FrameSummary]) -> str:
    """Return one line on frames of installed packages, with the place where they end."""
    packages = " and ".join(dict.fromkeys(modules.package_of(frame.filename) for frame in frames))
    last = frames[-1]
    where = f"{os.path.basename(last.filename)}, line {last.lineno}, in {last.name}"
    return f"  [{len(frames)} frames in {packages}, the last: {where}]\n"


def _frame_entry(frame: traceback.FrameSummary, times: int) -> str:
    label = label_of(frame.filename) or f'File "{frame.filename}"'
    entry = f"  {label}, line {frame.lineno}, in {frame.name}\n"
    source = (frame.line or "").strip()
    if source:
        entry += f"    {source[:REPR_MAX_CHARS]}\n"
    if times > 1:
        entry += f"    [the same frame {times - 1} more times]\n"
    return entry


def stack_of(thread: int) -> str:
    """Return where a thread is in the user's code just now; "" if it is in none."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001  # no other way
    return format_stack(frame) if frame is not None else ""


def format_frames_of(suspended: Sequence[FrameType]) -> str:
    """Return where a coroutine of ours stands that waits, from its frames, the outermost first."""
    frames = [(frame, frame.f_lineno) for frame in suspended if not is_own(frame)]
    return format_frames(list(traceback.StackSummary.extract(iter(frames)))).rstrip()


def format_stack(frame: FrameType) -> str:
    """Return where a call of ours is just now: the user's frames, as tracebacks show them."""
    frames: list[tuple[FrameType, int]] = []
    at: FrameType | None = frame
    inside = False
    while at is not None:
        if is_own(at):
            inside = bool(frames)  # below the user's frames, not what they wait in
            if inside:
                break
        elif not _imports(at):
            frames.append((at, at.f_lineno))
        at = at.f_back
    if not inside:
        return ""  # all of it is ours, and what has started us
    return format_frames(list(traceback.StackSummary.extract(reversed(frames)))).rstrip()


def notes_of(error: BaseException) -> list[str]:
    """Return the notes that were added to an exception, as texts."""
    notes = exception_parts.own(error).get("__notes__")
    if not isinstance(notes, list):
        return []
    return [note if isinstance(note, str) else repr_of(note) for note in notes]


def _note_lines(error: BaseException) -> str:
    return "".join(f"{note}\n" for note in notes_of(error))


def _last_lines(error: BaseException) -> str:
    """Return type, message and notes of one exception."""
    if isinstance(error, (SyntaxError, NameError, AttributeError, ImportError)):
        # Python knows more about these: the line with the mistake, "did you mean".
        text = "".join(traceback.format_exception_only(type(error), error))
        return text if text.endswith("\n") else text + "\n"
    message = text_of(error)
    name = name_of(type(error))
    return (
        f"{name}: {message}\n{_note_lines(error)}" if message else f"{name}\n{_note_lines(error)}"
    )


def _one(error: BaseException, depth: int) -> str:
    """Return frames and last lines of one exception, without its causes."""
    frames = format_frames(user_frames(exception_parts.link(error, "__traceback__")))
    if FAILURE in exception_parts.own(error):
        # It came from another task: its text already has that task's frames and message.
        return f"{frames}{text_of(error)}\n{_note_lines(error)}"
    text = frames + _last_lines(error)
    if isinstance(error, BaseExceptionGroup):
        members = error.exceptions
        for number, member in enumerate(members[:MEMBERS_MAX], 1):
            if depth >= DEPTH_MAX:
                text += f"  | … {len(members)} exceptions deeper\n"
                break
            inner = _chain(member, depth + 1).rstrip("\n").replace("\n", "\n  | ")
            text += f"  + {number} of {len(members)} {'-' * 32}\n  | {inner}\n"
        if len(members) > MEMBERS_MAX:
            text += f"  + and {len(members) - MEMBERS_MAX} more exceptions\n"
    return text


def _chain(error: BaseException, depth: int = 0) -> str:
    """Return the text of an exception with what caused it, the latest last."""
    pieces: list[str] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if len(seen) >= CHAIN_MAX:
            pieces.append("… earlier causes left out …\n")
            break
        seen.add(id(at))
        pieces.append(_one(at, depth))
        joint = ""
        following: BaseException | None = None
        cause, context = exception_parts.behind(at)
        if cause is not None:
            following, joint = cause, _BECAUSE
        elif context is not None and not exception_parts.link(at, "__suppress_context__"):
            following, joint = context, _DURING
        if following is not None and id(following) not in seen:
            pieces.append(joint)
        at = following
    return "".join(reversed(pieces))


def format_error(error: BaseException) -> str:
    """Return the whole text of an exception, bounded, without a line break at its end."""
    try:
        text = _chain(error)
    except BaseException as other:  # noqa: BLE001  # whatever the user's classes do on being read
        text = f"{type(error).__name__}: {text_of(error)}\n(no traceback: {type(other).__name__})"
    return cut_middle(text.rstrip("\n"), ERROR_TEXT_MAX_CHARS)


# ---- the exception itself ------------------------------------------------------------


def _set_state(error: BaseException, state: tuple[Any, ...]) -> None:
    attributes, cause, context, suppress = state
    exception_parts.restore(error, attributes)
    # In this order: setting a cause also suppresses the context.
    object.__setattr__(error, "__cause__", cause)
    object.__setattr__(error, "__context__", context)
    object.__setattr__(error, "__suppress_context__", suppress)


def _find_class(tracker: str, pickled: bytes) -> type:
    """Return a class defined in a notebook or script: the very one, where it is known.

    cloudpickle alone would find it too, but then set all its attributes and methods to
    copies of the sender's.
    """
    from cloudpickle import cloudpickle  # noqa: PLC0415  # 25 ms, paid by those who use it

    known: type | None = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker)  # noqa: SLF001
    if known is None:
        known = pickle.loads(pickled)  # noqa: S301  # only drivers and workers come here
    return known


def _reduce_class(cls: type) -> Any:
    from cloudpickle import cloudpickle  # noqa: PLC0415  # 25 ms, paid by those who use it

    if exception_parts.is_static(cls) or cloudpickle._should_pickle_by_reference(cls):  # noqa: SLF001
        return NotImplemented
    pickled = by_value.dumps(cls)
    # cloudpickle makes the same id known wherever it sends the class.
    return _find_class, (cloudpickle._get_or_create_tracker_id(cls), pickled)  # noqa: SLF001


def _portable_class(cls: type[BaseException]) -> type[BaseException]:
    """Return the class, or its nearest base that can be sent."""
    for candidate in cls.__mro__:
        if issubclass(candidate, BaseException):
            try:
                _dumps(candidate, "whole")
            except Exception:  # noqa: BLE001, S112  # pickle fails in many ways; the next base then
                continue
            return candidate
    return Exception  # not reached: built-in classes are sent by name


def _stand_in(value: UserValue) -> str:
    if isinstance(value, str):
        return cut_middle(value, ERROR_TEXT_MAX_CHARS)
    return repr_of(value)


class _Careful:
    """Replaces what cannot be pickled, item by item."""

    def __init__(self) -> None:
        self.busy: set[int] = set()

    def value(self, value: UserValue) -> Any:
        if type(value) in _PLAIN:
            size = len(value) if isinstance(value, (str, bytes)) else 0
            return value if size <= PART_MAX_BYTES else _stand_in(value)
        if isinstance(value, BaseException):
            return value  # is made portable where it is pickled
        if isinstance(value, list) and any(isinstance(v, BaseException) for v in value):
            return [self.value(item) for item in value]  # the members of a group
        try:
            data = _dumps(value, "careful", self)
            if len(data) <= PART_MAX_BYTES:
                pickle.loads(data)  # noqa: S301  # made here, just now
                return value
        except Exception:  # noqa: BLE001, S110  # in many ways; what matters is that it fails
            pass
        return _stand_in(value)


def _reduce(error: BaseException, mode: str, careful: _Careful) -> Any:
    """Return how an exception is pickled: class, what it was built from, attributes."""
    cls = type(error)
    if mode == "whole":
        if not exception_parts.is_plain(cls):
            return NotImplemented
        args, state = exception_parts.parts_of(error)
    elif id(error) in careful.busy:
        return Exception, (f"{name_of(cls)}: {text_of(error)[:REPR_MAX_CHARS]}",)
    else:
        careful.busy.add(id(error))
        try:
            cls = _portable_class(cls)
            args, state = exception_parts.parts_of(error)
            if mode == "message":
                state = {}
                args = args if isinstance(error, BaseExceptionGroup) else (text_of(error),)
            args = tuple(map(careful.value, args))
            state = {name: careful.value(value) for name, value in state.items()}
        finally:
            careful.busy.discard(id(error))
    cause, context = exception_parts.behind(error)
    if mode == "message":
        cause = context = None
    chain = (state, cause, context, exception_parts.link(error, "__suppress_context__"))
    return exception_parts.make, (cls, args), chain, None, None, _set_state


@functools.cache
def _pickler() -> Callable[[io.BytesIO, str, _Careful], Any]:
    base = by_value.pickler()  # 25 ms, paid by the first failure

    class Pickler(base):  # type: ignore[misc, valid-type]  # cloudpickle has no types
        """Pickles exceptions, wherever they are in a value, in our way."""

        def __init__(self, file: io.BytesIO, mode: str, careful: _Careful) -> None:
            super().__init__(file, protocol=5)
            self._mode = mode
            self._careful = careful

        def reducer_override(self, obj: UserValue) -> Any:
            reduced: Any = NotImplemented
            if isinstance(obj, BaseException):
                reduced = _reduce(obj, self._mode, self._careful)
            elif isinstance(obj, type) and issubclass(obj, BaseException):
                reduced = _reduce_class(obj)
            return super().reducer_override(obj) if reduced is NotImplemented else reduced

    return Pickler


def _dumps(value: UserValue, mode: str, careful: _Careful | None = None) -> bytes:
    file = io.BytesIO()
    _pickler()(file, mode, careful or _Careful()).dump(value)
    return file.getvalue()


def dump_error(error: BaseException) -> bytes:
    """Pickle an exception so that `pickle.loads` is known to give it back.

    Returns:
        The pickle, at most `EXCEPTION_MAX_BYTES`. What could not be pickled, or was too
        large, is in it as its `repr`; a class that cannot be pickled is replaced by its
        nearest base. b"" when nothing of that works.
    """
    for mode in ("whole", "careful", "message"):
        try:
            data = _dumps(error, mode)
            if len(data) > EXCEPTION_MAX_BYTES:
                continue
            loaded = pickle.loads(data)  # noqa: S301  # made here, just now
        except Exception:  # noqa: BLE001, S112  # the user's pickling may do anything
            continue
        if type(loaded) is type(error) or (mode != "whole" and isinstance(loaded, BaseException)):
            return data
    return b""


def load_error(pickled: bytes) -> BaseException | None:
    """Return a fresh copy of a pickled exception, or `None` when it cannot be loaded here."""
    if not pickled:
        return None
    try:
        loaded = pickle.loads(pickled)  # noqa: S301  # only drivers and workers come here
    except Exception:  # noqa: BLE001  # the user's classes may do anything; the text remains
        return None
    return loaded if isinstance(loaded, BaseException) else None


# ---- both ----------------------------------------------------------------------------


def failure_of(error: BaseException) -> Failure | None:
    """Return the failure that an exception has come from, if it has come from a task.

    Also of an original that was raised itself, from what had arrived.
    """
    found = exception_parts.own(error).get(FAILURE)
    if found is None and is_original(error):
        found = exception_parts.own(exception_parts.link(error, "__cause__")).get(FAILURE)
    return found if isinstance(found, (UserError, Upstream)) else None


def is_original(error: BaseException) -> bool:
    """Say whether it is what a task has raised, itself, with what has arrived as its cause."""
    arrived = exception_parts.link(error, "__cause__")
    return arrived is not None and exception_parts.own(arrived).get(CAUSE) is error


def chain_of(
    error: BaseException, most: int = CHAIN_MAX, *, members: bool = False
) -> list[BaseException]:
    """Return an exception and those that it was raised from or during, a few at most.

    `members`: and those of groups.
    """
    chain: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending and len(chain) < most:
        one = pending.pop()
        if one is not None and not any(one is known for known in chain):
            chain.append(one)
            pending += reversed(exception_parts.behind(one))
            if members and isinstance(one, BaseExceptionGroup):
                pending += one.exceptions
    return chain


def clear_frames(error: BaseException) -> None:
    """Let go of what the frames hold that an exception, and those behind it, came through."""
    for one in chain_of(error):
        traceback.clear_frames(exception_parts.link(one, "__traceback__"))


def mark_unpickling(error: Exception, what: str) -> None:
    """Have `capture` say that this came of unpickling: "an argument", of the function that runs."""
    exception_parts.own(error)[_UNPICKLING] = what


def capture(
    exc: BaseException,
    *,
    function: str,
    task_id: int,
    actor_id: int = 0,
    actor_repr: str = "",
    attempt: int = 1,
    run_id: int = 0,
) -> UserError:
    """Return what a task raised as a failure. Never raises.

    An exception that the task got from another task and did not catch keeps its original
    type, and the text has both tasks, the inner one last.

    Args:
        exc: what was raised.
        function: the name of the task's function.
        task_id: of the task.
        actor_id: of the actor, 0 outside of one.
        actor_repr: the actor's `repr`.
        attempt: which try of the task this was, from 1.
        run_id: the run that has launched it.

    Source: Ray 2.60 `RayTaskError`; differs: exceptions with any `__init__`, and with
    unpicklable attributes, keep their type.
    """
    type_name, message, original = type(exc).__name__, "", exc
    unpickled = exception_parts.own(exc).pop(_UNPICKLING, "")
    pickled = b""
    contained: list[int] = []
    inner: list[FailedTask] = []
    arrived = failure_of(exc)
    if arrived is not None:
        cause = exception_parts.own(exc).get(CAUSE)
        original = cause if isinstance(cause, BaseException) else exc
        root = root_of(arrived)
        if isinstance(root, UserError):
            type_name, message, pickled = root.type_name, root.message, root.pickled
            contained = root.contained
            inner = failed_tasks(root)[:CHAIN_MAX]
        else:
            type_name = type(original).__name__
    if not pickled:
        with serialization.collecting() as ids:
            pickled = dump_error(original)
        contained = list(dict.fromkeys(ids)) if pickled else []
    message = message or text_of(original)
    text = format_error(exc)
    if unpickled:
        where = "in the worker" if current.facts.in_worker else "here"
        what = f"{unpickled} of {function}" if function else unpickled
        first = f"{what} cannot be unpickled {where}: "
        message = first + message
        text = f"{first.rstrip()}\n{text}"
    return UserError(
        type_name=type_name,
        message=message,
        traceback=text,
        pickled=pickled,
        contained=contained,
        function=function,
        pid=os.getpid(),
        task_id=task_id,
        actor_id=actor_id,
        actor_repr=actor_repr[:REPR_MAX_CHARS],
        attempt=attempt,
        run_id=run_id,
        inner=inner,
        notes=notes_of(exc),
    )


def failed_tasks(root: UserError) -> list[FailedTask]:
    """Return the tasks that an exception came through, the one that it was raised in first."""
    return [*root.inner, FailedTask(root.function, root.task_id, root.pid, root.run_id)]


def capture_unpickling(error: Exception, function: str) -> UserError:
    """Return as a failure that a value cannot be unpickled in this process. Never raises.

    Args:
        error: what unpickling has raised.
        function: the name of the task whose result it is; "" where that is not known.
    """
    mark_unpickling(error, "the result" if function else "the value")
    return capture(error, function=function, task_id=0)
