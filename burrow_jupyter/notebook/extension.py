"""`%load_ext burrow`: wires the notebook layer to a kernel, once, however often it is loaded."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import lifecycle
from burrow_jupyter.engine import sources
from burrow_jupyter.notebook import magics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register magics and start the burrow in the background."""
    magics.register(shell)
    sources.label_of_file = lambda filename: _cell_label(shell, filename)
    lifecycle.kernel_id = _kernel_id()
    threading.Thread(target=_start, name="burrow-start", daemon=True).start()


def unload(shell: InteractiveShell) -> None:
    """Take the magics back; the burrow goes on until it is stopped."""
    magics.unregister(shell)


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
    prefix: Any = "kernel-"
    return name.removeprefix(prefix) if name.startswith(prefix) else ""
