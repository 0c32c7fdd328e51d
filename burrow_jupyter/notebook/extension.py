"""`%load_ext burrow`: wires the notebook layer to a shell, once, however often it is loaded.

The same happens, without magics and without a start in the background, when a cell
imports burrow and uses it.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context, lifecycle
from burrow_jupyter.engine import modules, sources
from burrow_jupyter.notebook import magics
from burrow_jupyter.notebook.background import Background
from burrow_jupyter.notebook.debugger import Debug
from burrow_jupyter.notebook.everywhere import Everywhere
from burrow_jupyter.notebook.live import Live
from burrow_jupyter.notebook.memory import Memory
from burrow_jupyter.notebook.output import Output
from burrow_jupyter.notebook.recorder import Recorder
from burrow_jupyter.notebook.runs import Runs
from burrow_jupyter.notebook.tracebacks import Tracebacks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.notebook.runs import Run


class _Wiring:
    """What was hooked into one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.runs = Runs(shell)
        self.live = Live(shell, self.runs)
        self.output = Output(self.runs, getattr(shell, "kernel", None), self.live)
        self.runs.on_end.append(self.output.tell_rest)
        self.recorder = Recorder(self.runs, getattr(shell, "kernel", None))
        self.debug = Debug(shell, self.runs, self.output)
        self.runs.hook()
        self.tracebacks = Tracebacks(shell)
        self.tracebacks.hook()
        self.recorder.hook()
        self.debug.hook()
        self.everywhere = Everywhere(self.runs, self.output)
        self.background = Background(shell, self.everywhere)
        self.memory = Memory(shell, self.background.pending)
        self.memory.hook()
        self.live.hook()
        self.background.hook()
        self.runs.on_begin.append(self._look_at_modules)
        self.runs.on_end.append(lambda _: _tidy())
        sources.label_of_file = lambda filename: _cell_label(shell, filename)
        lifecycle.kernel_id = _kernel_id()
        lifecycle.on_open.append(self.opened)
        backend = context.current_or_none()
        if backend is not None:
            self.opened(backend)

    def opened(self, backend: Any) -> None:
        """A session was opened."""
        client = getattr(backend, "client", None)
        if client is not None:
            self.output.attach(client)
            self.recorder.attach(self.output.folder)
            self.debug.attach(backend, client)
            self.everywhere.attach(client)

    def _look_at_modules(self, run: Run) -> None:
        """Autoreload brings modules up to date before each cell, and leaves no trace on them."""
        modules.local_modules().looked = False
        magics_of_autoreload: Any = self.shell.magics_manager.registry.get("AutoreloadMagics")
        if magics_of_autoreload is not None and magics_of_autoreload._reloader.enabled:  # noqa: SLF001  # it has no public state
            modules.local_modules().renew()

    def undo(self) -> None:
        """Leave the shell as it was."""
        self.live.unhook()
        self.debug.unhook()
        self.memory.unhook()
        self.background.unhook()
        self.recorder.unhook()
        self.tracebacks.unhook()
        self.runs.unhook()
        lifecycle.on_open.remove(self.opened)
        sources.label_of_file = lambda filename: ""
        backend = context.current_or_none()
        if backend is not None:
            lifecycle.show_output(backend)


_wiring: _Wiring | None = None


def wire(shell: InteractiveShell) -> _Wiring:
    """Hook into a shell, unless that was done."""
    global _wiring  # noqa: PLW0603  # a process has one shell
    if _wiring is None or _wiring.shell is not shell:
        _wiring = _Wiring(shell)
    return _wiring


def load(shell: InteractiveShell) -> None:
    """Register magics, hook in, and start the burrow in the background."""
    wiring = wire(shell)
    magics.register(shell, wiring.live, wiring.output, wiring.memory, wiring.background)
    threading.Thread(target=_start, name="burrow-start", daemon=True).start()


def unload(shell: InteractiveShell) -> None:
    """Take it all back; the burrow goes on until it is stopped."""
    global _wiring  # noqa: PLW0603  # see wire
    magics.unregister(shell)
    if _wiring is not None:
        _wiring.undo()
        _wiring = None


def _tidy() -> None:
    """What a cell has defined anew, and nobody can call any more, is forgotten."""
    backend = context.current_or_none()
    if backend is not None:
        backend.tidy()


def _cell_label(shell: InteractiveShell, filename: str) -> str:
    """Return how people know a cell: by the number of its execution."""
    number = getattr(shell.compile, "_filename_map", {}).get(filename)
    return f"Cell In[{number}]" if number else ""


def _start() -> None:
    with contextlib.suppress(Exception):  # the first use tries again, and says why
        lifecycle.start_in_background()


def _kernel_id() -> str:
    """Return the id under which Jupyter knows this kernel, "" outside Jupyter."""
    try:
        from ipykernel.connect import get_connection_file  # noqa: PLC0415  # only in a kernel

        name = Path(get_connection_file()).stem
    except Exception:  # noqa: BLE001  # a shell that is no kernel
        return ""
    return name.removeprefix("kernel-") if name.startswith("kernel-") else ""
