"""What tasks print goes under the cell that launched them, also when that cell is over.

While the cell runs, text goes through its own `sys.stdout`, so that order is kept and
what captures the cell's output captures this too. Later it goes to the kernel's stream
with that cell as the parent, which is how front ends know where output belongs. Programs that
run notebooks know no such thing: they get it in the cell that they wait for then.

A cell shows a bounded amount; all of it is in the run's log, for as long as the burrow
lives.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.api import notices
from burrow_jupyter.core.messages import DISPLAY, Displayed

if TYPE_CHECKING:
    from burrow_jupyter.core.messages import Notice
    from burrow_jupyter.notebook.live import Live
    from burrow_jupyter.notebook.runs import Run, Runs
    from burrow_jupyter.notebook.views import BarsView, FailuresView, Writer


SHOWN_MAX_CHARS = 300_000
"""Of the output of one run that is shown under its cell."""
DISPLAYED_MAX_BYTES = 50_000_000
"""Of rich displays of one run that are shown under its cell; updates count as well."""
LOG_MAX_BYTES = 200_000_000
"""Of the output of one run that is kept at all."""


class Output:
    """Takes output and notices of the head, and shows them."""

    def __init__(self, runs: Runs, kernel: Any, live: Live) -> None:
        """Args:
        runs: what is under way.
        kernel: whose output channel is used; `None` in a terminal.
        live: shows progress bars.
        """
        self._runs = runs
        self._live = live
        self._bars: dict[int, BarsView] = {}  # by run
        self._failures: dict[int, FailuresView | None] = {}  # by run; `None`: one was told
        self._notices = notices.Notices()
        self._kernel = kernel
        self._streams = {"stdout": sys.stdout, "stderr": sys.stderr}
        self.folder: Path | None = None
        """Where the logs of the running session lie."""

    def attach(self, client: Any) -> None:
        """Show what this session prints."""
        folder = client.info.get("directory")
        self.folder = Path(folder) if folder and self._kernel is not None else None
        client.on_printed = self._printed
        client.on_notice = self._noticed
        client.on_lost.append(self.tell_rest)

    def _printed(self, message: Any) -> None:
        run = self._runs.find(message.run_id)
        if message.stream == DISPLAY:
            self._displayed(
                run, msgspec.json.decode(message.data, type=Displayed), len(message.data)
            )
            return
        text = message.data.decode(errors="replace")
        if run is not None and self._kernel is not None:
            text = self._take_bars(run, (message.task_id, message.stream), text)
        if text:
            self.write(run, message.stream, text)

    def _displayed(self, run: Run | None, display: Displayed, size: int) -> None:
        """Show a display of a task under its cell, or its text where there are no cells."""
        plain = f"{display.data.get('text/plain', '')}\n"
        if self._kernel is None:
            self.write(run, "stdout", plain)
            return
        run = run or self._runs.latest
        self._log(run, plain)
        run.displayed += size
        if run.displayed <= DISPLAYED_MAX_BYTES:
            self._live.show(run, display)
        elif run.displayed - size <= DISPLAYED_MAX_BYTES:
            limit = f"{DISPLAYED_MAX_BYTES / 1e6:g} MB"
            self.write(run, "stderr", f"… what else its tasks display is not shown: over {limit}\n")

    def _take_bars(self, run: Run, writer: Writer, text: str) -> str:
        """Show lines that a task rewrites (a carriage return) in a place of their own.

        Several tasks that rewrite one and the same line would leave nothing readable.
        """
        bars = self._bars.get(run.id)
        if bars is None:
            if "\r" not in text.replace("\r\n", ""):
                return text
            log = functools.partial(self._log, run)
            bars = self._bars[run.id] = self._live.show_bars(run, log)
            for old in [i for i, view in self._bars.items() if view.final]:
                del self._bars[old]
        elif "\r" not in text and not bars.rewrites(writer):
            return text
        return bars.feed(writer, text)

    def _noticed(self, message: Notice) -> None:
        run = self._runs.find(message.run_id)
        if run is None or self._kernel is None or not notices.is_failure(message):
            said = self._notices.say(message)
            if said:
                self.write(run, "stderr", said)
            return
        # The first is told in full; hundreds of the same kind are one line.
        told = self._failures.get(run.id)
        if run.id not in self._failures:
            self._failures[run.id] = None
            self.write(run, "stderr", notices.in_full(message))
        elif told is None:
            self._failures[run.id] = self._live.show_failures(run, message)
        else:
            told.add(message)
        while len(self._failures) > notices.RUNS_REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def tell_rest(self, run: Run | None = None) -> None:
        """Say how many have failed of which nothing was said: a cell, or the session, ends."""
        said = self._notices.rest()
        if said:
            self.write(None, "stderr", said)

    def write(self, run: Run | None, name: str, text: str) -> None:
        """Write text under the cell of a run; without one, where the notebook prints now."""
        if run is not None and self.folder is not None:
            self._log(run, text)
            shown = SHOWN_MAX_CHARS - run.shown
            run.shown += len(text)
            if shown <= 0:
                return
            if len(text) > shown:
                text = f"{text[:shown]}\n… the rest is in the log: %burrow logs {run.number}\n"
        self._show(run, name, text)

    def log_of(self, number: int) -> Path | None:
        """Return where the log of the run `In[number]` lies, if it has printed anything."""
        path = None if self.folder is None else self.folder / f"output-{number}.log"
        return path if path is not None and path.exists() else None

    def _log(self, run: Run, text: str) -> None:
        if self.folder is None:
            return
        data = text.encode(errors="replace")
        run.logged += len(data)
        if run.logged > LOG_MAX_BYTES:
            return
        # The disk may be full, or the burrow may end at this moment: the cell still shows it.
        with (
            contextlib.suppress(OSError),
            (self.folder / f"output-{run.number}.log").open("ab") as log,
        ):
            log.write(data)

    def _show(self, run: Run | None, name: str, text: str) -> None:
        if run is None or self._kernel is None:
            self._print(run, name, text)
        else:
            self._runs.deliver(run, lambda place: self._print(place, name, text))

    def _print(self, run: Run | None, name: str, text: str) -> None:
        current = run is None or run.active or self._kernel is None
        own = self._streams[name]
        stream: Any = getattr(sys, name) if current else own
        try:
            self._write(stream, run, name, text, current=current)
        except Exception:  # noqa: BLE001  # whatever a cell has put in its place, or closed
            # Nobody could tell the user better, and who reads what the head sends must go on.
            with contextlib.suppress(Exception):
                self._write(own, run, name, text, current=current)

    def _write(self, stream: Any, run: Run | None, name: str, text: str, *, current: bool) -> None:
        if run is not None and hasattr(stream, "set_thread_parent"):  # from ipykernel 7.4 on
            token = stream.set_thread_parent(run.parent)
            try:
                stream.write(text)
            finally:
                stream.reset_thread_parent(token)
        elif self._kernel is None:
            begun, self._live.label_stands = self._live.label_stands, False
            stream.write(f"\n{text}" if begun else text)
            stream.flush()
        elif current:
            stream.write(text)
        else:
            assert run is not None, "it has ended"
            self._kernel.session.send(
                self._kernel.iopub_thread,
                "stream",
                {"name": name, "text": text},
                parent=run.parent,
                ident=f"stream.{name}".encode(),
            )
