"""Which backend and which run the calling code belongs to.

Upward needs come through here: the notebook layer *sets* what a run is, the starter of
backends and what is to happen around waiting; the rest of the API *asks*.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from burrow_jupyter.engine import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.backends.protocol import Backend


class _Context:
    """This process's session, if there is one."""

    backend: Backend | None = None
    in_worker: bool = False


_context = _Context()
opening = threading.RLock()
"""Held while a session is opened or closed, so that two threads never open two."""

auto_start: Callable[[], None] | None = None
"""Opens the default session; set by `lifecycle`."""


def _no_run() -> int:
    return 0


run_of_caller: Callable[[], int] = _no_run
"""Returns the id of the run (execution of a cell) that the caller belongs to, or 0."""


def _no_label(run_id: int) -> str:
    return ""


label_of_run: Callable[[int], str] = _no_label
"""Returns how people know a run of this session (`In[3]`), "" of one that is not known."""


def current_or_none() -> Backend | None:
    """Return the session that runs, or `None`; never starts one."""
    backend = _context.backend
    return None if backend is None or backend.closed else backend


def backend() -> Backend:
    """Return the session that runs, and start the default one if there is none."""
    running = _context.backend
    if running is not None and not running.closed:
        return running
    if auto_start is not None:
        auto_start()
    running = _context.backend
    if running is None:
        msg = "Burrow is not running; call burrow.init()"
        raise RuntimeError(msg)
    return running


def set_backend(new: Backend | None) -> None:
    """Make a session this process's own; `None` when it has ended."""
    _context.backend = new


def open_in_worker(new: Backend) -> None:
    """Make the head that forked this worker its session, for good."""
    _context.backend = new
    _context.in_worker = True
    # Also in a thread that outlives its task, which the head knows no more by then.
    set_run_provider(lambda: current.call().run_id)


def leave() -> None:
    """Be no driver and no worker any more: in a child that user code has forked."""
    _context.backend = None
    _context.in_worker = False
    set_run_provider(None)


def in_worker() -> bool:
    """Say whether this process is a worker."""
    return _context.in_worker


def set_run_provider(
    provider: Callable[[], int] | None, labels: Callable[[int], str] | None = None
) -> None:
    """Have `provider` say which run a call belongs to, and `labels` what people call it."""
    global run_of_caller, label_of_run  # noqa: PLW0603  # the slots that the notebook layer fills
    run_of_caller = provider or _no_run
    label_of_run = labels or _no_label
