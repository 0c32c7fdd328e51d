"""`%debug` after a task's failure: its frames, in the worker, with what they hold.

Frames are let go when the next cell runs, unless that is to look at them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context
from burrow_jupyter.api.debugging import Debugger, tasks_behind, without_frames
from burrow_jupyter.api.util import batches
from burrow_jupyter.core import messages
from burrow_jupyter.notebook.tracebacks import of_the_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.notebook.output import Output
    from burrow_jupyter.notebook.runs import Runs

MAGIC = "%debug"


class Debug:
    """The debugger of one shell."""

    def __init__(self, shell: InteractiveShell, runs: Runs, output: Output) -> None:
        """Leave the shell as it is; see `hook`."""
        self._shell = shell
        self._runs = runs
        self._output = output
        self._debugger: Debugger | None = None
        self._client: Any = None
        self._failures = 0
        self._original: Callable[..., Any] | None = None

    def hook(self) -> None:
        """Take failures of tasks over from IPython's own debugger."""
        self._original = self._shell.debugger
        self._shell.debugger = self._open  # type: ignore[method-assign, assignment]  # until unhook
        self._shell.events.register("pre_run_cell", self._begin)

    def unhook(self) -> None:
        """Leave failures to IPython."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        del self._shell.debugger  # ours hides that of the class

    def attach(self, backend: Any, client: Any) -> None:
        """Listen to the workers of a session."""
        self._client = client
        self._failures = self._seen()
        self._debugger = Debugger(backend, client, self._say)
        # The kernel's loop runs between cells, too: then nobody can be asked.
        client.user_waits = lambda: self._runs.latest.active

    def _say(self, run_id: int, text: str) -> None:
        self._output.write(self._runs.find(run_id), "stderr", f"{text}\n")

    def _seen(self) -> int:
        """How many failures have come: of tasks, and of calls in batches."""
        seen: int = self._client.failures_seen + batches.seen.count
        return seen

    def _begin(self, info: Any) -> None:
        client = self._client
        if client is not None:
            with contextlib.suppress(RuntimeError):  # a terminal's cell, which awaits nothing
                client.awaits_in(asyncio.get_running_loop())
        if client is None or self._seen() == self._failures:
            return
        if MAGIC in (getattr(info, "raw_cell", None) or ""):
            return
        self._failures = self._seen()
        client.post(messages.ForgetFailures())

    def _open(self, *, force: bool = False) -> None:
        """Open what `%debug` is about: a task at a breakpoint, a failed task, or a cell."""
        debugger, error = self._debugger, getattr(sys, "last_value", None)
        if debugger is not None and context.current_or_none() is not None:
            if debugger.stopped:
                debugger.talk_to_stopped()
                return
            tasks = tasks_behind(error)
            if debugger.look_at(tasks):
                return
            why = "" if tasks else without_frames(error)
            if why:
                print(f"There are no frames of a task to look at: {why}.")  # noqa: T201  # the magic's answer
        self._open_usual(error, force=force)

    def _open_usual(self, error: BaseException | None, *, force: bool) -> None:
        """Open IPython's debugger, in the user's frames: what we do in `get` is nobody's concern."""
        assert self._original is not None, "hooked"
        users = of_the_user(error.__traceback__) if error is not None else None
        if error is not None and users is not None:
            BaseException.with_traceback(error, users)
            sys.last_traceback = self._shell.InteractiveTB.tb = users
        self._original(force=force)
