"""What tasks print, sent on with the task that printed it.

`sys.stdout` and `sys.stderr` of a worker write whole lines, tagged with the task and
the run that they belong to, to the head, which passes them to the driver. What libraries
write to the descriptors themselves goes to the burrow's log.
"""

from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING

from burrow_jupyter.core import messages
from burrow_jupyter.engine import current

if TYPE_CHECKING:
    from burrow_jupyter.engine.client import Client

CHUNK_MAX_CHARS = 32_768
"""A line longer than this is sent in pieces."""


class TaggedStream(io.TextIOBase):
    """A text stream that sends what is written, line by line."""

    def __init__(self, client: Client, name: str, descriptor: int) -> None:
        super().__init__()
        self._client = client
        self._name = name
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._pending = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a constant of ours
        """Text is sent as UTF-8."""
        return "utf-8"

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that child processes inherit."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Send all whole lines; keep the rest until its line ends, or `flush`."""
        with self._lock:
            self._pending += text
            end = self._pending.rfind("\n") + 1
            if len(self._pending) > CHUNK_MAX_CHARS:
                end = len(self._pending)
            if end:
                self._send(self._pending[:end])
                self._pending = self._pending[end:]
        return len(text)

    def flush(self) -> None:
        """Send what there is, also an unfinished line."""
        with self._lock:
            if self._pending:
                self._send(self._pending)
                self._pending = ""

    def _send(self, text: str) -> None:
        now = current.call()
        for start in range(0, len(text), CHUNK_MAX_CHARS):
            data = text[start : start + CHUNK_MAX_CHARS].encode(errors="replace")
            chunk = messages.OutputChunk(now.task_id, now.run_id, self._name, data)
            self._client.post(chunk)


def capture(client: Client) -> None:
    """Replace this process's `sys.stdout` and `sys.stderr`."""
    sys.stdout = TaggedStream(client, "stdout", 1)
    sys.stderr = TaggedStream(client, "stderr", 2)
