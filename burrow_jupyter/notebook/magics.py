"""`%burrow`: status, start, stop, restart and more. Parses, then calls the API."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from burrow_jupyter.api import context, lifecycle, state
from burrow_jupyter.core import resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.notebook.live import Live

NAME = "burrow"
HELP = """\
%burrow            how the burrow stands
%burrow start      start one: --cpus 4, --gpus 2, --resources '{"license": 2}'
%burrow stop       end it, with every task and actor
%burrow restart    end it and start one anew, as before or with the options of start
%burrow quiet      no line under cells whose tasks take long; %burrow loud: again with
%burrow help       this list"""


class _UsageError(Exception):
    """What was typed is no command; the text says what is."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        text = f"%burrow: {message}\n{self.format_usage().strip()}"
        raise _UsageError(text)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _UsageError(message or "")


class Magic:
    """`%burrow`, for one shell."""

    def __init__(self, live: Live) -> None:
        """Args: live: shows what cells launch."""
        self._live = live
        self._asked: dict[str, Any] = {}
        self._commands: dict[str, Callable[[], object]] = {
            "status": status,
            "start": lambda: lifecycle.init(**self._asked),
            "stop": self._stop,
            "restart": lambda: lifecycle.restart(**self._asked),
            "quiet": self._quiet,
            "loud": self._loud,
            "help": lambda: HELP,
        }
        parser = self._parser = _Parser(prog="%burrow", add_help=False)
        parser.add_argument("command", nargs="?", default="status", choices=list(self._commands))
        parser.add_argument("--cpus", dest="num_cpus", type=float)
        parser.add_argument("--gpus", dest="num_gpus", type=int)
        parser.add_argument("--resources", type=json.loads)

    def __call__(self, line: str) -> None:
        """Do what a `%burrow` line says."""
        try:
            given = vars(self._parser.parse_args(shlex.split(line)))
        except _UsageError as error:
            print(error)  # noqa: T201  # the magic's output
            return
        command = given.pop("command")
        self._asked = {key: value for key, value in given.items() if value is not None}
        print(self._commands[command]())  # noqa: T201  # as above

    def _stop(self) -> str:
        lifecycle.shutdown()
        return "Burrow has ended."

    def _quiet(self) -> str:
        self._live.quiet = True
        return "Cells get no line about their tasks. %burrow loud: again with."

    def _loud(self) -> str:
        self._live.quiet = False
        return "Cells whose tasks take long get a line about them."


def status() -> str:
    """Return how the burrow stands, as text."""
    backend = context.current_or_none()
    if backend is None:
        return "No burrow runs. %burrow start begins one; so does the first .remote()."
    info: dict[str, Any] = getattr(getattr(backend, "client", None), "info", {})
    rows = state.tasks()
    running = sum(row["state"] == "running" for row in rows)
    waiting = sum(row["state"] in ("waiting", "ready") for row in rows)
    cpus = backend.totals.get(resources.CPU, 0.0)
    free = state.available_resources().get(resources.CPU, 0.0)
    alive = [row for row in state.actors() if row["state"] != "dead"]
    return "\n".join(
        [
            f"Burrow runs: {cpus - free:g} of {cpus:g} CPUs busy ({info.get('cpus_reason', '')})",
            (
                f"{running} tasks run, {waiting} wait; {len(alive)} actors; "
                f"{len(state.workers())} worker processes"
            ),
        ]
    )


def register(shell: InteractiveShell, live: Live) -> None:
    """Make `%burrow` known to a shell."""
    shell.magics_manager.register_function(Magic(live), "line", NAME)


def unregister(shell: InteractiveShell) -> None:
    """Take `%burrow` away again."""
    shell.magics_manager.magics["line"].pop(NAME, None)
