"""A worker's journal: what it has begun and ended, in memory that outlives it.

Results of short tasks are sent several at a time. A worker that dies between tasks and
sending would take finished work with it, and nobody could say which task it died in.
So it notes both here, in a shared mapping: the id of the task that it begins, and the
messages that were not sent yet. The head reads it when the worker is gone, so a crash
costs exactly the task that ran.

Layout: 8 bytes id, 8 bytes length, twice 8 bytes that say up to where the files of
descriptors 1 and 2 were sent, then frames as on the wire. The first two are written by the
worker's main thread only. Read by the head only after the worker's death.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct

from burrow_jupyter.core.limits import BATCH_MAX_MESSAGES

_ID = struct.Struct("<Q")
_HEAD = struct.Struct("<QQQQ")
JOURNAL_BYTES = 256 * 1024
ENTRY_MAX_BYTES = (JOURNAL_BYTES - _HEAD.size) // BATCH_MAX_MESSAGES
"""Messages up to this size may wait in the journal; larger ones are sent at once."""


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

    def note_output(self, descriptor: int, read: int) -> None:
        """The file of descriptor 1 or 2 was sent up to here."""
        _ID.pack_into(self._map, 8 + 8 * descriptor, read)

    def note(self, frame: bytes | bytearray) -> None:
        """Keep a message that is not sent yet; there is room for a batch of small ones."""
        start = _HEAD.size + self._end
        self._map[start : start + len(frame)] = frame
        self._end += len(frame)
        _ID.pack_into(self._map, 8, self._end)

    def clear(self) -> None:
        """What was noted has been sent."""
        if self._end:
            self._end = 0
            _ID.pack_into(self._map, 8, 0)


def read(store_dir: str, worker_id: int) -> tuple[int, bytes, dict[int, int]]:
    """Return what a dead worker has left.

    Returns:
        The task that it began last, the frames that it had not sent, and up to where the
        files of its descriptors were sent.
    """
    try:
        with open(path_of(store_dir, worker_id), "rb") as stream:  # 3 us less
            data = stream.read()
    except FileNotFoundError:
        return 0, b"", {}
    if len(data) < _HEAD.size:
        return 0, b"", {}
    task_id, length, stdout, stderr = _HEAD.unpack_from(data)
    return task_id, data[_HEAD.size : _HEAD.size + length], {1: stdout, 2: stderr}


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
