"""Records what the kernel publishes under cells that launch tasks.

A page that is loaded anew shows the notebook as it was saved, and JupyterLab drops what comes
for requests that another page has sent. What was recorded is put back by the front end.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core.outputs import CellOutputs, OutputMessage
from burrow_jupyter.engine.recording import Recording, display_of

if TYPE_CHECKING:
    from pathlib import Path

    from burrow_jupyter.notebook.runs import Run, Runs

RECORD_MAX_BYTES = 5_000_000
"""Of one execution of a cell; what is longer comes back as it was saved."""
RECORDS_MAX_BYTES = 40_000_000
"""Of all; the oldest go. The directory may lie in memory."""
RECORDS_MAX = 200
KINDS = frozenset(
    {"stream", "display_data", "update_display_data", "execute_result", "error", "clear_output"}
)
DELIMITER = b"<IDS|MSG>"
"""Before the parts of a message, by Jupyter's wire protocol."""


class _Header(msgspec.Struct):
    msg_id: str = ""
    msg_type: str = ""


class Recorder:
    """Listens to what one kernel publishes."""

    def __init__(self, runs: Runs, kernel: Any) -> None:
        """Args:
        runs: say when a cell begins, and when it launches a task.
        kernel: whose messages are recorded; `None` in a terminal.
        """
        self._runs = runs
        self._publisher: Any = getattr(kernel, "iopub_thread", None)
        self._folder: Path | None = None
        self._names = itertools.count(1)
        self._records: OrderedDict[str, Recording] = OrderedDict()  # by the request's message id
        self._displays: dict[str, str] = {}  # message id of the request that made a display
        self._lock = threading.Lock()

    def hook(self) -> None:
        """Record from the next cell on."""
        if self._publisher is None:
            return
        publish = self._publisher.send_multipart
        pid = os.getpid()

        def publish_and_note(parts: list[bytes], *args: Any, **kwargs: Any) -> None:
            if os.getpid() == pid:  # a fork must not wait for a lock that nobody will open
                self._note(parts)  # first, so that nobody sees what is not recorded
            publish(parts, *args, **kwargs)

        self._publisher.send_multipart = publish_and_note
        self._runs.on_begin.append(self._begin)
        self._runs.on_end.append(self._end)
        self._runs.on_open.append(self._open)
        self._begin(self._runs.latest)

    def unhook(self) -> None:
        """Record no more."""
        if self._publisher is None:
            return
        del self._publisher.send_multipart  # the class's own is there again
        self._runs.on_begin.remove(self._begin)
        self._runs.on_end.remove(self._end)
        self._runs.on_open.remove(self._open)

    def attach(self, folder: Path | None) -> None:
        """Write into the directory of the session that runs now."""
        self._folder = folder

    # ---- cells -------------------------------------------------------------------------

    def _begin(self, run: Run) -> None:
        if not run.cell_id:  # no notebook's, or nobody looks
            return
        head = CellOutputs(
            run.cell_id,
            run.number,
            run.message_id,
            run.parent.get("header", {}).get("session", ""),
        )
        with self._lock:
            for request, record in list(self._records.items()):
                if record.cell == run.cell_id:  # its outputs make place for new ones
                    self._forget(request)
            self._records[run.message_id] = Recording(head, RECORD_MAX_BYTES)
            while len(self._records) > RECORDS_MAX or self._size() > RECORDS_MAX_BYTES:
                self._forget(next(iter(self._records)))

    def _open(self, run: Run) -> None:
        record = self._records.get(run.message_id)
        if record is not None and self._folder is not None:
            record.open(self._folder / f"cell-{next(self._names):06}.jsonl")

    def _end(self, run: Run) -> None:
        if not run.id:
            with self._lock:
                self._forget(run.message_id)

    def _size(self) -> int:
        return sum(record.size for record in self._records.values())

    def _forget(self, request: str) -> None:
        record = self._records.pop(request, None)
        if record is not None:
            record.remove()
            for display in [d for d, maker in self._displays.items() if maker == request]:
                del self._displays[display]

    # ---- messages ----------------------------------------------------------------------

    def _note(self, parts: list[bytes]) -> None:
        """Record a message, if it is for a cell of ours; never raises."""
        try:
            start = parts.index(DELIMITER) + 2  # behind the signature
            header, parent, _, content = parts[start : start + 4]
            kind = msgspec.json.decode(header, type=_Header)
            request = msgspec.json.decode(parent, type=_Header).msg_id
            if not (kind.msg_type in KINDS or (kind.msg_type == "status" and b"idle" in content)):
                return
            message = OutputMessage(kind.msg_id, kind.msg_type, msgspec.Raw(content))
            updated = display_of(message, updates=True)
            made = display_of(message, updates=False)
        except (ValueError, msgspec.DecodeError):  # not as we know messages: shown all the same
            return
        with self._lock:
            # An update is found by its display, and comes with the latest cell.
            request = self._displays.get(updated, "") if updated else request
            record = self._records.get(request)
            if record is not None:
                if made:
                    self._displays[made] = request
                record.add(message, updated)
