"""Files with the recorded outputs of cells, in the directory of their session.

Each file is of one execution of one cell: a line that says which, then a line a message, in
order. The kernel writes them, the Jupyter server reads them; so a page is answered while the
kernel is busy.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

import msgspec

from burrow_jupyter.core.outputs import CellOutputs, OutputMessage

if TYPE_CHECKING:
    from pathlib import Path

PATTERN = "cell-*.jsonl"
STALE_MAX_BYTES = 1_000_000
"""Of updates that later ones have replaced, before they are dropped from the file."""


def _private(path: str, flags: int) -> int:
    """Open a file that, where it is made, is the user's alone."""
    return os.open(path, flags, 0o600)


class Recording:
    """Writes one file. Any thread may call anything."""

    def __init__(self, head: CellOutputs, max_bytes: int) -> None:
        """Args:
        head: whose outputs these are, without messages.
        max_bytes: beyond which there will be no record, rather than half of one.
        """
        self.cell = head.cell
        self.size = 0
        self._max_bytes = max_bytes
        self._lines: list[bytes] | None = [_line(head)]  # until there is a file
        self._path: Path | None = None
        self._updates: dict[str, int] = {}  # bytes of the last update of each display
        self._stale = 0
        self._lock = threading.Lock()

    def open(self, path: Path) -> None:
        """Write to this file, from the first message on."""
        with self._lock:
            if self._lines is not None:
                self._path = path
                self._write(b"".join(self._lines))
                self._lines = None

    def add(self, message: OutputMessage, updated: str = "") -> None:
        """Record a message; `updated` names the display that it updates."""
        line = _line(message)
        with self._lock:
            if self._lines is None and self._path is None:
                return
            self.size += len(line)
            if updated:
                self._stale += self._updates.get(updated, 0)
                self._updates[updated] = len(line)
            if self._lines is not None:
                self._lines.append(line)
            else:
                self._write(line)
            if self._stale > STALE_MAX_BYTES and self._path is not None:
                with contextlib.suppress(OSError):  # as in _write
                    self._drop_stale(self._path)
        if self.size > self._max_bytes:
            self.remove()

    def remove(self) -> None:
        """Record no more, and forget what was recorded."""
        with self._lock:
            path, self._path, self._lines, self.size = self._path, None, None, 0
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _write(self, data: bytes) -> None:
        assert self._path is not None, "only while there is a file"
        # The disk may be full, or the burrow ends at this moment: the page at hand shows it.
        with contextlib.suppress(OSError), open(self._path, "ab", opener=_private) as file:
            file.write(data)

    def _drop_stale(self, path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        kept: list[bytes] = []
        seen: set[str] = set()
        for line in reversed(lines[1:]):
            updated = display_of(msgspec.json.decode(line, type=OutputMessage), updates=True)
            if not updated or updated not in seen:
                kept.append(line)
                seen.add(updated)
        whole = path.with_suffix(".partial")
        with open(whole, "wb", opener=_private) as file:
            file.write(b"".join([lines[0], *reversed(kept)]))
        whole.replace(path)
        self.size -= self._stale
        self._stale = 0


class _Transient(msgspec.Struct):
    display_id: str = ""


class _Display(msgspec.Struct):
    transient: _Transient = msgspec.field(default_factory=_Transient)


def display_of(message: OutputMessage, *, updates: bool) -> str:
    """Return the id of the display that a message updates, or else makes; "" if it has none."""
    if message.type != ("update_display_data" if updates else "display_data"):
        return ""
    return msgspec.json.decode(message.content, type=_Display).transient.display_id


def read_all(directory: Path, since: float) -> list[CellOutputs]:
    """Return what is recorded in a session's directory.

    Args:
        directory: of the session.
        since: in seconds since the epoch; executions without news since then are told
            without their messages.
    """
    found = []
    for path in sorted(directory.glob(PATTERN)):
        try:
            changed_at = path.stat().st_mtime
            head, *lines = path.read_bytes().split(b"\n")
            outputs = msgspec.json.decode(head, type=CellOutputs)
            if changed_at >= since:  # what follows the last line's end is not whole yet
                messages = [msgspec.json.decode(line, type=OutputMessage) for line in lines[:-1]]
                outputs = msgspec.structs.replace(outputs, messages=messages)
        except (OSError, msgspec.DecodeError):  # it goes, or begins, at this moment
            continue
        found.append(outputs)
    return found


def _line(row: CellOutputs | OutputMessage) -> bytes:
    return msgspec.json.encode(row) + b"\n"
