"""What tasks print, sent on with the task that printed it.

Descriptors 1 and 2 of a worker are files, to which Python, C code and child processes
write alike, in order; what was written is read back and sent to the head, tagged with the
task and the run that it belongs to. A file never fills and blocks, and outlives the
worker: the head finds in it what a crash has said last.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import NATIVE_STACK
from burrow_jupyter.engine import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

    from burrow_jupyter.engine.client import Client
    from burrow_jupyter.engine.current import Current

CHUNK_BYTES = 32_768
LINE_MAX_BYTES = 1 << 20
"""A longer line is sent in pieces, between which lines of other tasks may come."""
LAST_WORDS_MAX_BYTES = 16 << 20
"""Of what a dead worker has not sent itself: it sends at least every 0.05 s."""
LOOK_EVERY_S = 0.05
"""How often the files are looked at while a task runs."""
HALF_LINE_AFTER_S = 0.5
"""A line that has had no end for so long is shown as far as it is: a task may print dots."""
PUNCH_BYTES = 1 << 20
"""Memory of a file that has been read is given back in pieces of this size."""

_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_IOLBF = 1
_PUNCH_HOLE, _KEEP_SIZE = 2, 1


def path_of(store_dir: str, worker_id: int, descriptor: int) -> str:
    """Return where a worker's file for one of its descriptors lies."""
    return f"{store_dir}/output-{worker_id}-{descriptor}"


class OutputFile:
    """What is written to descriptor 1 or 2, and how far it was sent."""

    def __init__(self, client: Client, name: str, descriptor: int, path: str) -> None:
        """Put a file in the descriptor's place."""
        self.descriptor = descriptor
        self._client = client
        self._name = name
        self._lock = threading.RLock()
        self._sent = 0
        self._punched = 0
        self._half_since = 0.0
        self._owner: Current = current.NOTHING
        self.by_python = False  # whether the owner has written what is unsent
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
        os.dup2(self._file, descriptor)

    def write(self, data: bytes) -> None:
        """Write as the call that runs here."""
        now = current.call()
        with self._lock:
            if now is not self._owner:
                # C code may have written before, as whatever runs, not as who wrote last.
                runs = current.process_wide
                self.collect(runs if runs is not current.NOTHING else None)
                self._owner = now
            self.by_python = True
            os.write(self._file, data)
        self._client.need_attendant()

    def collect(self, owner: Current | None = None, leave: Callable[[bytes], int] = len) -> bool:
        """Send what was written since the last time; say whether some of it waits.

        Args:
            owner: the call that has written it, unless Python knows better.
            leave: says up to where the end of it is sent now: `whole_lines`, `whole_characters`.
        """
        if os.fstat(self._file).st_size == self._sent:
            return False
        with self._lock:
            if self.by_python or owner is None:
                owner = self._owner
            while data := self._unsent(leave):
                self._sent += len(data)
                sent = data
                if owner.prefix:
                    sent = b"".join(owner.prefix + line for line in io.BytesIO(data))
                self._client.post(
                    messages.OutputChunk(owner.task_id, owner.run_id, self._name, sent, self._sent)
                )
            if leave is not len and os.fstat(self._file).st_size != self._sent:
                return True
            self.by_python = False
            if self._sent - self._punched >= PUNCH_BYTES:
                self._client.flush()
                _punch(self._file, self._sent)
                self._punched = self._sent
        return False

    def collect_in_time(self, owner: Current | None) -> bool:
        """Send whole lines, and half a line that has waited; say whether some of it waits."""
        waits = self.collect(owner, whole_lines)
        if not waits:
            self._half_since = 0.0
        elif not self._half_since:
            self._half_since = time.monotonic()
        elif time.monotonic() - self._half_since > HALF_LINE_AFTER_S:
            self._half_since = 0.0
            waits = self.collect(owner, whole_characters)
        return waits

    def _unsent(self, leave: Callable[[bytes], int]) -> bytes:
        """Return what is sent next; what is not the end of it all ends with a line."""
        for most in (CHUNK_BYTES, LINE_MAX_BYTES):
            data = os.pread(self._file, most, self._sent)
            if len(data) < most:
                return data[: leave(data)]
            if whole := whole_lines(data):
                return data[:whole]
        return data[: whole_characters(data)]


def whole_lines(text: bytes) -> int:
    """Return where the last whole line ends."""
    return text.rfind(b"\n") + 1


class TaggedStream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a worker."""

    def __init__(self, file: OutputFile) -> None:
        super().__init__()
        self._file = file

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a constant of ours
        """Text is sent as UTF-8."""
        return "utf-8"

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor under it."""
        return self._file.descriptor

    @property
    def buffer(self) -> TaggedBytes:
        """Takes bytes, in order with the text."""
        return TaggedBytes(self._file)

    def write(self, text: str) -> int:
        """Write text; it is sent soon."""
        self._file.write(text.encode(errors="replace"))
        return len(text)

    def flush(self) -> None:
        """Send what there is, also an unfinished line."""
        self._file.collect()


class TaggedBytes(io.RawIOBase):
    """`sys.stdout.buffer` or `sys.stderr.buffer` of a worker."""

    def __init__(self, file: OutputFile) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor under it."""
        return self._file.descriptor

    def write(self, data: ReadableBuffer) -> int:
        """Write bytes; they are sent soon."""
        given = bytes(data)
        self._file.write(given)
        return len(given)


def whole_characters(text: bytes) -> int:
    """Return where the last whole character of UTF-8 text ends."""
    for back in range(1, min(4, len(text)) + 1):
        byte = text[-back]
        if byte >= 0b1100_0000:  # the first of several
            needed = 2 + (byte >= 0b1110_0000) + (byte >= 0b1111_0000)
            return len(text) if back >= needed else len(text) - back
        if byte < 0b1000_0000:
            break
    return len(text)


def _punch(file: int, until: int) -> None:
    """Give the memory of the beginning of a file back; its size stays."""
    with contextlib.suppress(AttributeError):  # not Linux: it goes with the worker
        ctypes.CDLL(None).fallocate(
            file, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(until)
        )


class Output:
    """All output of one worker."""

    def __init__(self, client: Client, worker_id: int) -> None:
        """Replace `sys.stdout`, `sys.stderr` and the descriptors under them."""
        folder = client.files.memory_dir
        self._client = client
        self._files = [
            OutputFile(client, name, number, path_of(folder, worker_id, number))
            for name, number in (("stdout", 1), ("stderr", 2))
        ]
        sys.stdout, sys.stderr = map(TaggedStream, self._files)
        # What Python has made of the descriptors would keep text until it is full, which may be never.
        sys.__stdout__ = sys.stdout  # type: ignore[misc, assignment]  # final for typeshed
        sys.__stderr__ = sys.stderr  # type: ignore[misc, assignment]  # as above
        faulthandler.enable(file=2, all_threads=False)
        with contextlib.suppress(AttributeError, ValueError, OSError):
            # C's own stdout would keep text until it is full, which may be never.
            libc = ctypes.CDLL(None)
            libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _IOLBF, ctypes.c_size_t(0))

    @property
    def written(self) -> bool:
        """Whether Python code has written what is not sent yet."""
        return self._files[0].by_python or self._files[1].by_python

    def end_of_call(self, call: Current) -> None:
        """A call has ended: what it has written goes before the news."""
        for file in self._files:
            file.collect(call)

    def send(self, name: str, data: bytes) -> None:
        """Send bytes of a kind of their own, in order with what this call has printed."""
        call = current.call()
        self.end_of_call(call)
        self._client.post(messages.OutputChunk(call.task_id, call.run_id, name, data))
        self._client.need_attendant()

    def attend(self) -> float | None:
        """Send whole lines; return when to look again, `None` if not before something happens."""
        call = current.process_wide
        running = call is not current.NOTHING
        waiting = [file.collect_in_time(call if running else None) for file in self._files]
        return LOOK_EVERY_S if running or any(waiting) else None


def last_words(store_dir: str, worker_id: int, read: dict[str, int]) -> list[tuple[str, bytes]]:
    """Return what a dead worker's descriptors said that has not come; remove its files.

    `read` tells up to where the file of each stream has.
    """
    said = []
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        path = path_of(store_dir, worker_id, descriptor)
        try:
            with open(path, "rb") as stream:  # a bare name
                stream.seek(read.get(name, 0))
                data = stream.read(LAST_WORDS_MAX_BYTES)
            os.unlink(path)  # as above
        except FileNotFoundError:
            continue
        if name == "stderr":
            data = _without_our_frames(data)
        said += [
            (name, data[at : at + LINE_MAX_BYTES]) for at in range(0, len(data), LINE_MAX_BYTES)
        ]
    return said


def _without_our_frames(said: bytes) -> bytes:
    """Return what was said, a native stack at its end without what only we can read in it."""
    text, mark, stack = said.rpartition(NATIVE_STACK.encode())
    if not mark:
        return said
    ours = (f'  File "{_PACKAGE}{os.sep}'.encode(), b'  File "<string>", line 1 in <module>')
    lines = stack.partition(b"\nExtension modules: ")[0].rstrip().split(b"\n")
    kept = [line for line in lines if not line.startswith(ours)]
    return text + mark + b"\n".join(kept) + b"\n"
