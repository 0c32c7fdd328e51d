"""Pickles of functions and classes, and the errors for what cannot be sent, or would be a mix."""

from __future__ import annotations

import sys
import threading
import warnings
from collections import deque
from hashlib import blake2b
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from burrow_jupyter.backends.protocol import Ended
from burrow_jupyter.core import limits
from burrow_jupyter.engine import by_value, errors, serialization, sources
from burrow_jupyter.engine.modules import local_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.engine.serialization import PickledCode
    from burrow_jupyter.engine.store.segments import SegmentWriter


class _Sent:
    """A function or class that the session knows."""

    __slots__ = ("captured", "holders", "id", "key")

    def __init__(self, code_id: int, key: bytes, captured: list[bytes]) -> None:
        self.id = code_id
        self.key = key
        self.captured = captured  # digests of its large buffers
        self.holders = 0


class _Captured:
    """A large buffer that code captures: an object of the session."""

    __slots__ = ("id", "users")

    def __init__(self, object_id: int) -> None:
        self.id = object_id
        self.users = 0


class CodeBook:
    """The functions and classes that were sent and can still be called, by what their pickles say.

    Code is known by its pickle: the same function again, unchanged, is the same code, so
    that asking anew whether it has changed costs a pickle and sends nothing. Large buffers are
    known by their contents, and stored once for all code that captures them.

    What nobody holds stays for a while: a cell that is run again defines its functions anew,
    which are the same ones as a rule.
    """

    def __init__(
        self,
        writer: SegmentWriter | None,
        put: Callable[[PickleBuffer], int] | None,
        drop: Callable[[int], None],
    ) -> None:
        """Know nothing yet.

        Args:
            writer: makes segments for large pickles; `None` keeps them in the message.
            put: stores a captured buffer as an object and returns its id; `None` leaves
                buffers in the pickle.
            drop: lets go of code or of a buffer, by its id.
        """
        self._writer = writer
        self._put = put
        self._drop = drop
        self._ids: dict[bytes, _Sent] = {}
        self._sent: dict[int, _Sent] = {}
        self._captured: dict[bytes, _Captured] = {}
        self._told: set[str] = set()
        self._gone: deque[int] = deque()
        """Code ids that somebody holds no more; appended to by `__del__`, wherever that runs."""
        self._unheld: dict[int, None] = {}
        # Cells and their threads define side by side: what is counted must be counted once.
        self._lock = threading.RLock()

    def find(
        self,
        target: Any,
        name: str,
        meta: bytes,
        send: Callable[[Value, list[int]], int],
        *,
        in_cell: bool = False,
    ) -> int:
        """Return the id of a function or class, counted once more; `let_go` counts one less.

        Args:
            target: the function or class.
            name: of it, for people.
            meta: sent with it.
            send: sends what is new, with the ids of its buffers, and returns its id.
            in_cell: somebody calls `sweep` at the end of the cell; and what uses a module that
                this process has in an older version than workers would load is refused.

        Raises:
            TypeError: it cannot be pickled; the text names the path to the culprit.
            ValueError: it is unreasonably large.
            RuntimeError: see `in_cell`.
        """
        try:
            code = serialization.pickle_code(target, apart=self._put is not None)
        except Ended:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
            from burrow_jupyter.engine.unpicklable import explain  # noqa: PLC0415  # for errors only

            raise TypeError(explain(error, target, f"{name} (its code and what it uses)")) from None
        if in_cell:
            _check_edits(name, code.data)
        digests = [_digest_of(buffer) for buffer in code.captured]
        parts = (blake2b(code.data, digest_size=16).digest(), *digests, name.encode(), b"\0", meta)
        key = blake2b(b"".join(parts), digest_size=16).digest()
        with self._lock:
            sent = self._ids.get(key)
            if sent is None:
                self._check_size(name, code, digests, target)
                sent = self._send(code, key, digests, send)
                sent.holders += 1
                self._trim(limits.LET_GO_CAPTURING_MAX if in_cell else 0)
            else:
                sent.holders += 1
                self._unheld.pop(sent.id, None)
            return sent.id

    def let_go(self, code_id: int) -> None:
        """Count one holder less; callable from `__del__`."""
        self._gone.append(code_id)

    def sweep(self) -> None:
        """Let go of all that nobody holds."""
        with self._lock:
            self._collect()
            for code_id in list(self._unheld):
                self._forget(code_id)

    # ---- inside, under the lock ----------------------------------------------------------

    def _send(
        self,
        code: PickledCode,
        key: bytes,
        digests: list[bytes],
        send: Callable[[Value, list[int]], int],
    ) -> _Sent:
        using: list[bytes] = []
        try:
            for digest, buffer in zip(digests, code.captured, strict=True):
                captured = self._captured.get(digest)
                if captured is None:
                    assert self._put is not None, "else nothing is kept apart"
                    captured = self._captured[digest] = _Captured(self._put(PickleBuffer(buffer)))
                captured.users += 1
                using.append(digest)
            ids = [self._captured[digest].id for digest in digests]
            code_id = send(serialization.store_code(code, self._writer), ids)
        except BaseException:  # no room, or an interrupt
            self._use_no_more(using)
            raise
        sent = self._ids[key] = self._sent[code_id] = _Sent(code_id, key, digests)
        return sent

    def _collect(self) -> None:
        while self._gone:
            sent = self._sent.get(self._gone.popleft())
            if sent is not None:
                sent.holders -= 1
                if not sent.holders:
                    self._unheld[sent.id] = None

    def _trim(self, capturing_max: int) -> None:
        """Let go of what has not been held for long, the sooner where it captures large buffers."""
        self._collect()
        capturing = [i for i in self._unheld if self._sent[i].captured]
        for code_id in capturing[: max(0, len(capturing) - capturing_max)]:
            self._forget(code_id)
        for code_id in list(self._unheld)[: -limits.LET_GO_CODE_MAX]:
            self._forget(code_id)

    def _forget(self, code_id: int) -> None:
        del self._unheld[code_id]
        sent = self._sent.pop(code_id)
        del self._ids[sent.key]
        self._drop(code_id)
        self._use_no_more(sent.captured)

    def _use_no_more(self, digests: list[bytes]) -> None:
        for digest in digests:
            captured = self._captured[digest]
            captured.users -= 1
            if not captured.users:
                del self._captured[digest]
                self._drop(captured.id)

    def _check_size(self, name: str, code: PickledCode, digests: list[bytes], target: Any) -> None:
        """Warn of large values that were not there before; refuse what is too large."""
        fresh = len(code.data) + sum(
            buffer.nbytes
            for digest, buffer in zip(digests, code.captured, strict=True)
            if digest not in self._captured
        )
        if code.nbytes <= limits.CODE_MAX_BYTES and fresh <= limits.CODE_WARN_BYTES:
            return
        from burrow_jupyter.engine.unpicklable import largest_part  # noqa: PLC0415  # for errors only

        part = largest_part(target)
        text = (
            f"{name} is {code.nbytes / 1e6:.3g} MB when pickled: it captures "
            f"{part or 'large data'}. Store that once with put() and pass the "
            "ref as an argument"
        )
        if code.nbytes > limits.CODE_MAX_BYTES:
            raise ValueError(text)
        if (
            len(code.data) > limits.CODE_WARN_BYTES
        ):  # not of buffers, which are known when seen again
            value = part.partition(", used in")[0]
            if value in self._told:
                return
            if len(self._told) >= TOLD_MAX:
                self._told.clear()
            self._told.add(value)
        _warn(text)


TOLD_MAX = 1000
"""Values without buffers of which a process remembers that it has warned."""


def _digest_of(buffer: memoryview) -> bytes:
    kind = b"read-only" if buffer.readonly else b""  # which it is to be elsewhere, too
    return blake2b(buffer, digest_size=16, person=kind).digest()


def _check_edits(name: str, data: bytes) -> None:
    def is_used(module: str) -> bool:
        named = module.encode()
        return b"\x8c" + bytes([len(named)]) + named in data  # a short string, as pickle writes it

    _refuse_edited(name, is_used)


def check_edits_of(values: Mapping[str, Any]) -> None:
    """Refuse values with classes or functions of modules that were edited since.

    Args:
        values: the values, by what they are called: "argument 1 of f".

    Raises:
        RuntimeError: workers would run other code for one of them than this process.
    """
    for name, value in values.items():
        _refuse_edited(name, by_value.modules_of(value).__contains__)


def _refuse_edited(name: str, is_used: Callable[[str], bool]) -> None:
    modules = local_modules()
    for edited in modules.edited():
        for module in (edited, *modules.users_of(edited)):
            if is_used(module):
                link = "" if module == edited else f"which uses {edited}, "
                msg = (
                    f"{name} uses {module}, {link}and {edited} was edited after this notebook "
                    "imported it: workers would run other code than the notebook. Reload it: "
                    f"import importlib, {edited}; importlib.reload({edited}). Or have that done: "
                    "%load_ext autoreload, %autoreload 2"
                )
                raise RuntimeError(msg)


def _warn(text: str) -> None:
    """Warn of what the user's code has done, in one line where that is a cell."""
    frame = sys._getframe(1)  # noqa: SLF001  # how warnings finds it, too
    while frame.f_back is not None and errors.is_own(frame):
        frame = frame.f_back
    file = frame.f_code.co_filename
    # Of a cell's name no source line is known, which would be shown below the warning.
    where = sources.label_of(file) or file
    warnings.warn_explicit(text, UserWarning, where, frame.f_lineno)
