"""What tasks print goes under the cell that launched them, also when that cell is over.

While the cell runs, text goes through its own `sys.stdout`, so that order is kept and
what captures the cell's output captures this too. Later it goes to the kernel's stream
with that cell as the parent, which is how front ends know where output belongs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burrow_jupyter.notebook.runs import Run, Runs


class Output:
    """Takes output and notices of the head, and shows them."""

    def __init__(self, runs: Runs, kernel: Any) -> None:
        """Args: kernel: whose output channel is used; `None` in a terminal."""
        self._runs = runs
        self._kernel = kernel
        self._streams = {"stdout": sys.stdout, "stderr": sys.stderr}

    def attach(self, client: Any) -> None:
        """Show what this session prints."""
        client.on_printed = self._printed
        client.on_notice = self._noticed

    def _printed(self, message: Any) -> None:
        self.write(self._runs.find(message.run_id), message.stream, message.data.decode())

    def _noticed(self, message: Any) -> None:
        self.write(self._runs.find(message.run_id), "stderr", f"{message.text}\n")

    def write(self, run: Run | None, name: str, text: str) -> None:
        """Write text under the cell of a run; without one, where the notebook prints now."""
        current = run is None or run.active or self._kernel is None
        stream: Any = getattr(sys, name) if current else self._streams[name]
        if run is not None and hasattr(stream, "set_thread_parent"):  # from ipykernel 7.4 on
            token = stream.set_thread_parent(run.parent)
            try:
                stream.write(text)
            finally:
                stream.reset_thread_parent(token)
        elif current:
            stream.write(text)
            if self._kernel is None:
                stream.flush()
        else:
            assert run is not None, "it has ended"
            self._kernel.session.send(
                self._kernel.iopub_thread,
                "stream",
                {"name": name, "text": text},
                parent=run.parent,
                ident=f"stream.{name}".encode(),
            )
