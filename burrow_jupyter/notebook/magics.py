"""`%burrow`: status, start, stop, restart and more. Parses, then calls the API."""

from __future__ import annotations

import argparse
import json
import shlex
import textwrap
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError

from burrow_jupyter.api import context, lifecycle, state
from burrow_jupyter.core import resources
from burrow_jupyter.engine.session import HEAD_LOG
from burrow_jupyter.notebook import html

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.notebook.background import Background
    from burrow_jupyter.notebook.live import Live
    from burrow_jupyter.notebook.memory import Memory
    from burrow_jupyter.notebook.output import Output

NAME = "burrow"
_TAKE_MORE = ("logs", "free")
LOG_TAIL_LINES = 100
LOG_TAIL_BYTES = 50_000
HELP = """\
%burrow            how the burrow stands
%burrow start      start one: --cpus 4, --gpus 2, --resources '{"license": 2}'
%burrow stop       end it, with every task and actor
%burrow restart    end it and start one anew, as before or with the options of start
%burrow logs       what there is; %burrow logs 5: the end of what the tasks of In[5] printed
%burrow mem        objects by size, with what holds them: %burrow free NAME lets go of it, %burrow free ID
                   of a value wherever it is held
%burrow quiet      no line under cells whose tasks take long; %burrow loud: again with
%burrow help       this list

%%burrow           runs the cell as a task; later cells wait only for the names they use.
                   Options: --name NAME, --cpus N, --gpus N, --resources disk=1
%%burrow --all     runs the cell once in every worker process, for imports, environment variables
                   and settings: now in those that are free, first in those that start later.
                   Its names stay in it; actors that live already do not run it."""


class _UsageError(Exception):
    """What was typed is no command; the text says what is."""


def _amounts(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"""amounts are written as in '{{"license": 2}}', not as {text}"""
        ) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        text = f"%burrow: {message}\n{self.format_usage().strip()}"
        raise _UsageError(text)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _UsageError(message or "")


class Magic:
    """`%burrow`, for one shell."""

    def __init__(self, live: Live, output: Output, memory: Memory) -> None:
        """Args:
        memory: knows what holds objects.
        live: shows what cells launch.
        output: shows what their tasks print.
        """
        self._live = live
        self._output = output
        self._memory = memory
        self._what: list[str] = []
        self._asked: dict[str, Any] = {}
        self._commands: dict[str, Callable[[], object]] = {
            "status": status,
            "start": lambda: lifecycle.init(**self._asked),
            "stop": self._stop,
            "restart": lambda: lifecycle.restart(**self._asked),
            "logs": self._logs,
            "mem": self._memory.table,
            "free": lambda: self._memory.free(self._what),
            "quiet": self._quiet,
            "loud": self._loud,
            "help": lambda: HELP,
        }
        parser = self._parser = _Parser(prog="%burrow", add_help=False)
        parser.add_argument("command", nargs="?", default="status", choices=list(self._commands))
        parser.add_argument("what", nargs="*")
        parser.add_argument("--cpus", dest="num_cpus", type=float)
        parser.add_argument("--gpus", dest="num_gpus", type=int)
        parser.add_argument("--resources", type=_amounts)

    def __call__(self, line: str) -> None:
        """Do what a `%burrow` line says.

        Raises:
            UsageError: it can't be done; the text says why.
        """
        try:
            given = self._parse(line)
        except _UsageError as error:
            print(error)  # noqa: T201  # the magic's output
            return
        command, self._what = given.pop("command"), given.pop("what")
        self._asked = {key: value for key, value in given.items() if value is not None}
        try:
            said = self._commands[command]()
        except (RuntimeError, ValueError, OSError) as error:
            raise UsageError(f"%burrow {command}: {error}") from None
        print(said)  # noqa: T201  # as above

    def _parse(self, line: str) -> dict[str, Any]:
        """Return what a line says: the command, what it is about, and the options."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise _UsageError(f"%burrow: {error}: {line}") from None
        if "-h" in words or "--help" in words:
            words = ["help"]
        given = vars(self._parser.parse_args(words))
        if given["what"] and given["command"] not in _TAKE_MORE:
            self._parser.error(f"{given['command']} takes nothing more: {' '.join(given['what'])}")
        return given

    def _stop(self) -> str:
        lifecycle.shutdown()
        return "Burrow has ended."

    def _logs(self) -> str:
        if not self._what:
            return self._list_logs()
        text = self._what[0].removeprefix("In[").removesuffix("]")
        path = self._output.log_of(int(text)) if text.isdigit() else None
        if path is None:
            return f"The tasks of In[{text}] have printed nothing. %burrow logs lists who has."
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([*lines, f"(all of it: {path})"])

    def _list_logs(self) -> str:
        folder = self._output.folder
        if folder is None or context.current_or_none() is None:
            return "No burrow runs, so there are no logs."
        rows = [
            f"In[{path.stem.removeprefix('output-')}]  {html.size(path.stat().st_size):>8}  {path}"
            for path in sorted(folder.glob("output-*.log"), key=lambda p: p.stat().st_mtime)
        ]
        return "\n".join([*rows, f"the burrow itself  {folder / HEAD_LOG}"])

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
    count = len(state.workers())
    workers = f"{count} worker process{'' if count == 1 else 'es'}"
    paused = str(backend.ask("paused")) if backend.name == "local" else ""
    return "\n".join(
        [
            f"Burrow runs: {cpus - free:g} of {cpus:g} CPUs busy ({info.get('cpus_reason', '')})",
            (
                f"{html.several(running, 'task')} running, {waiting} waiting; "
                f"{html.several(len(alive), 'actor')}; {workers}"
            ),
            *textwrap.wrap(f"P{paused[1:]}" if paused else "", 90, subsequent_indent="  "),
        ]
    )


def register(
    shell: InteractiveShell,
    live: Live,
    output: Output,
    memory: Memory,
    background: Background,
) -> None:
    """Make `%burrow` and `%%burrow` known to a shell."""
    shell.magics_manager.register_function(Magic(live, output, memory), "line", NAME)
    shell.magics_manager.register_function(background.run, "cell", NAME)


def unregister(shell: InteractiveShell) -> None:
    """Take them away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(NAME, None)
