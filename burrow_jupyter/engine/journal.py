"""A worker's journal: what it has begun and ended, in memory that outlives it.

Results of short tasks are sent several at a time. A worker that dies between tasks and
sending would take finished work with it, and nobody could say which task it died in.
So it notes both here, in a shared mapping: the id of the task that it begins, and the
messages that were not sent yet. The head reads it when the worker is gone, so a crash
costs exactly the task that ran.

Layout: 8 bytes id, 8 bytes length, then entries. An entry is the id, the time and the length of a plain
result, and the result; or, with 0 for an id, a frame as on the wire. Written by the worker's main
thread only. Read by the head only after the worker's death.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct

from burrow_jupyter.core.limits import BATCH_MAX_MESSAGES

_ID = struct.Struct("<Q")
_HEAD = struct.Struct("<QQ")
_ENTRY = struct.Struct("<QII")
JOURNAL_BYTES = 256 * 1024
ENTRY_MAX_BYTES = (JOURNAL_BYTES - _HEAD.size) // BATCH_MAX_MESSAGES - _ENTRY.size
"""What is up to this size may wait in the journal; larger ones are sent at once."""


def path_of(store_dir: str, worker_id: int) -> str:
    """Return where a worker's journal lies."""
    return f"{store_dir}/journal-{worker_id}"


class Journal:
    """The worker's side."""

    __slots__ = ("_end", "_map")

    def __init__(self, store_dir: str, worker_id: int) -> None:
        descriptor = os.open(
            path_of(store_dir, worker_id), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600
        )
        try:
            # Should shared memory be full, this says so, and not a SIGBUS later.
            os.posix_fallocate(descriptor, 0, JOURNAL_BYTES)
            self._map = mmap.mmap(descriptor, JOURNAL_BYTES)
        finally:
            os.close(descriptor)
        self._end = 0

    def begin(self, task_id: int) -> None:
        """A task begins."""
        _ID.pack_into(self._map, 0, task_id)

    def note(self, frame: bytes | bytearray) -> None:
        """Keep a message that is not sent yet; there is room for a batch of small ones."""
        self.note_end(0, 0, frame)

    def note_end(self, task_id: int, micros: int, result: bytes | bytearray) -> None:
        """Keep a plain result that is not sent yet, with how long it took."""
        at = _HEAD.size + self._end
        size = len(result)
        _ENTRY.pack_into(self._map, at, task_id, micros, size)
        at += _ENTRY.size
        self._map[at : at + size] = result
        self._end += _ENTRY.size + size
        _ID.pack_into(self._map, 8, self._end)  # last: an entry counts when it is whole

    def clear(self) -> None:
        """What was noted has been sent."""
        if self._end:
            self._end = 0
            _ID.pack_into(self._map, 8, 0)


def read(store_dir: str, worker_id: int) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Return what a dead worker has left.

    Returns:
        The task that it began last, and the ends that it had not sent: each the id, microseconds and
        result, or 0, 0 and a frame.
    """
    try:
        with open(path_of(store_dir, worker_id), "rb") as stream:  # 3 us less
            data = stream.read()
    except FileNotFoundError:
        return 0, []
    if len(data) < _HEAD.size:
        return 0, []
    task_id, length = _HEAD.unpack_from(data)
    entries = []
    at, stop = _HEAD.size, min(_HEAD.size + length, len(data))
    while at + _ENTRY.size <= stop:
        ended, micros, size = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        entries.append((ended, micros, data[at : at + size]))
        at += size
    return task_id, entries


def running(store_dir: str, worker_id: int) -> int:
    """Return the task that a living worker has begun last, 0 if none."""
    try:
        with open(path_of(store_dir, worker_id), "rb") as stream:  # as above
            data = stream.read(_ID.size)
    except FileNotFoundError:
        return 0
    return int(_ID.unpack(data)[0]) if len(data) == _ID.size else 0


def remove(store_dir: str, worker_id: int) -> None:
    """Remove a journal, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(store_dir, worker_id))  # as above
