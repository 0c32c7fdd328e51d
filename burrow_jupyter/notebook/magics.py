"""`%burrow`: status, start, stop, restart, help. Parses, then calls the API."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from burrow_jupyter.api import context, lifecycle, state
from burrow_jupyter.core import resources

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

NAME = "burrow"
HELP = """\
%burrow            how the burrow stands
%burrow start      start one: --cpus 4, --gpus 2, --resources '{"license": 2}'
%burrow stop       end it, with every task and actor
%burrow restart    end it and start one anew, as before or with the options of start
%burrow help       this list"""


class _UsageError(Exception):
    """What was typed is no command; the text says what is."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        text = f"%burrow: {message}\n{self.format_usage().strip()}"
        raise _UsageError(text)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _UsageError(message or "")


def _parser() -> _Parser:
    parser = _Parser(prog="%burrow", add_help=False)
    parser.add_argument(
        "command",
        nargs="?",
        default="status",
        choices=["status", "start", "stop", "restart", "help"],
    )
    parser.add_argument("--cpus", type=float, help="CPUs that tasks may use")
    parser.add_argument("--gpus", type=int, help="GPUs, taken at their word")
    parser.add_argument("--resources", type=json.loads, help="as in '{\"license\": 2}'")
    return parser


def run(line: str) -> None:
    """Do what a `%burrow` line says."""
    try:
        given = _parser().parse_args(shlex.split(line))
    except _UsageError as error:
        print(error)  # noqa: T201  # the magic's output
        return
    asked = {
        key: value
        for key, value in (
            ("num_cpus", given.cpus),
            ("num_gpus", given.gpus),
            ("resources", given.resources),
        )
        if value is not None
    }
    if given.command == "stop":
        lifecycle.shutdown()
        print("Burrow has ended.")  # noqa: T201
    elif given.command == "restart":
        print(lifecycle.restart(**asked))  # noqa: T201
    elif given.command == "start":
        print(lifecycle.init(**asked))  # noqa: T201
    elif given.command == "help":
        print(HELP)  # noqa: T201
    else:
        print(status())  # noqa: T201


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


def register(shell: InteractiveShell) -> None:
    """Make `%burrow` known to a shell."""
    shell.magics_manager.register_function(run, "line", NAME)


def unregister(shell: InteractiveShell) -> None:
    """Take `%burrow` away again."""
    shell.magics_manager.magics["line"].pop(NAME, None)
