"""`%%burrow --all`: a cell that each worker process runs once, to prepare it for tasks.

The workers that have nothing to do run it now, and the cell waits for them; those that work run it
when their tasks end; those that start later run it first. Actors that live already do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from burrow_jupyter.api import context, state
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.engine import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.backends.protocol import Backend
    from burrow_jupyter.core.messages import Prepared
    from burrow_jupyter.notebook.output import Output
    from burrow_jupyter.notebook.runs import Runs

AT_WORK = ("idle", "busy", "blocked")
"""States of workers that have started and do not end."""
LOOK_EVERY_S = 0.5
"""How often it is looked whether a worker that is waited for still lives."""


class Everywhere:
    """The cells that every worker runs, of one shell."""

    def __init__(self, runs: Runs, output: Output) -> None:
        """Args:
        runs: knows whose cell it is.
        output: shows what goes wrong when no cell waits for it.
        """
        self._runs = runs
        self._output = output
        self._heard: list[Prepared] | None = None  # while a cell waits

    def attach(self, client: Any) -> None:
        """Hear how it went in the workers of this session."""
        client.on_prepared = self._prepared

    def run(self, function: Callable[[], object], name: str, text: str) -> str:
        """Have every worker call a function; return what has become of it.

        Args:
            function: takes no arguments.
            name: of it, for people.
            text: of the cell; the same cell, run again, takes the place of what it was.

        Raises:
            RayTaskError: it has failed in a worker; workers that start later do not run it.
            UsageError: workers have ended in it.
        """
        backend = context.backend()
        run = self._runs.current()
        run_id = self._runs.id_of_caller()
        self._heard = []
        try:
            key = (run.cell_id if run is not None else "") or text
            code_id = backend.set_up(function, name, run_id=run_id, key=key)
            rows = [w for w in state.workers() if not w["actor"] and w["state"] in AT_WORK]
            free = {row["pid"] for row in rows if not row["task"]}
            self._wait(backend, code_id, set(free))
        finally:
            heard, self._heard = self._heard, None
            for message in heard:
                if message.code_id != code_id:
                    self._tell(message)
        mine = [message for message in heard if message.code_id == code_id]
        failures = [message.failure for message in mine if message.failure is not None]
        if failures:
            backend.cancel_run(run_id)
            raise to_exception(failures[0]) from None
        lost = free - {message.pid for message in mine}
        if lost:
            msg = f"%%burrow --all: {len(lost)} of {len(free)} workers have ended in it"
            raise UsageError(msg)
        working = len(rows) - len(free)
        return " ".join(
            [
                f"Run by {len(free)} {'worker' if len(free) == 1 else 'workers'}.",
                *([f"By {working} more when their tasks end."] if working else []),
                "Workers that start later run it first.",
            ]
        )

    def _wait(self, backend: Backend, code_id: int, free: set[int]) -> None:
        """Wait until these processes have run it, or are gone."""

        def done() -> bool:
            heard = self._heard or ()
            return free <= {message.pid for message in heard if message.code_id == code_id}

        while not backend.wait_for(done, LOOK_EVERY_S):
            free &= {row["pid"] for row in state.workers()}

    def _prepared(self, message: Prepared) -> None:
        if self._heard is not None:
            self._heard.append(message)
        else:
            self._tell(message)

    def _tell(self, message: Prepared) -> None:
        """Say under its cell how it failed in a worker that ran it later."""
        if message.failure is not None:
            error = to_exception(message.failure)
            said = "\n".join([str(error), *errors.notes_of(error)])
            text = f"[worker {message.pid}] {said}\n"
            self._output.write(self._runs.find(message.run_id), "stderr", text)
