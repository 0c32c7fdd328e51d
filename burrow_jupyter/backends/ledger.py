"""What has run inline: the rows, counts and order that the scheduler tells of a local session."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict, replace

from burrow_jupyter.core import feed, limits
from burrow_jupyter.core.failures import Cancelled, one_line
from burrow_jupyter.core.ids import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from burrow_jupyter.core.failures import Failure

WORKER = "0"
"""This process, as a worker: the number that the runtime context knows it by."""

_WORDS = ("waiting", "ready", "running", "finished", "failed", "cancelled")


def short_or_empty(any_id: int) -> str:
    """Return an id as rows show it, "" if there is none."""
    return short(any_id) if any_id else ""


class _Run:
    """One execution of one cell."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.begun_at = self.changed_at = time.time()
        self.ended: Counter[str] = Counter()
        self.worked_s = 0.0


class Ledger:
    """Which calls run and which have run; as many of these as a local session remembers."""

    def __init__(self) -> None:
        self.started_at = time.time()
        self.finished = 0
        self._live: dict[int, feed.TaskRow] = {}
        self._ended: dict[int, feed.TaskRow] = {}
        self._functions: dict[str, Counter[str]] = {}
        """How many calls have ended, by name and state."""
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()
        """Calls may end in several threads at once."""

    def open_run(self, run_id: int, label: str) -> None:
        """A cell begins, or what else launches calls."""
        self._runs[short(run_id)] = _Run(label)

    def enter(self, task_id: int, name: str, run_id: int, parent: int, actor_id: int) -> None:
        """A call was submitted."""
        self._functions.setdefault(name, Counter())
        self._live[task_id] = feed.TaskRow(
            id=short(task_id),
            name=name,
            state="ready",
            worker="",
            actor=short_or_empty(actor_id),
            run=short_or_empty(run_id),
            parent=short_or_empty(parent),
            attempt=1,
            submitted_at=time.time(),
            started_at=0.0,
            ended_at=0.0,
            error="",
        )

    def begin(self, task_id: int, attempt: int) -> None:
        """A call runs, for the first time or again."""
        self._live[task_id] = replace(
            self._live[task_id],
            state="running",
            worker=WORKER,
            attempt=attempt,
            started_at=time.time(),
        )

    def end(self, task_id: int, failure: Failure | None) -> None:
        """A call has ended, or cannot run."""
        state, error = "finished", ""
        if failure is not None:
            state = "cancelled" if isinstance(failure, Cancelled) else "failed"
            error = one_line(failure)
        now = time.time()
        with self._lock:
            row = replace(self._live.pop(task_id), state=state, error=error, ended_at=now)
            self._ended[task_id] = row
            while len(self._ended) > limits.HISTORY_TASKS:
                del self._ended[next(iter(self._ended))]
            self._functions[row.name][state] += 1
            self.finished += 1
            run = self._runs.get(row.run)
            if run is not None:
                run.changed_at = now
                run.ended[state] += 1
                run.worked_s += now - (row.started_at or now)

    def runs_called(self, label: str) -> list[str]:
        """Return the ids of runs of this name, as rows show them."""
        return [run_id for run_id, run in self._runs.items() if run.label == label]

    def tasks(self, runs: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Return the calls that have ended, then those that run; of all runs, or of some."""
        wanted = {short(run_id) for run_id in runs}
        with self._lock:
            rows = [*self._ended.values(), *self._live.values()]
        return [asdict(row) for row in rows if not wanted or row.run in wanted]

    def task(self, task_id: int) -> dict[str, Any] | None:
        """Return the row of one call, `None` of one that is forgotten."""
        row = self._live.get(task_id) or self._ended.get(task_id)
        return asdict(row) if row is not None else None

    def latest(self) -> feed.TaskRow | None:
        """Return the call that began last and runs."""
        return next(reversed(list(self._live.values())), None)

    def functions(self) -> list[dict[str, Any]]:
        """Return how many calls of each function are in which state, also of those forgotten."""
        with self._lock:
            counts = {name: Counter(ended) for name, ended in self._functions.items()}
            for row in self._live.values():
                counts[row.name][row.state] += 1
        return [
            {"id": name, **{word: known[word] for word in _WORDS}} for name, known in counts.items()
        ]

    def runs(self, ids: list[int]) -> list[dict[str, Any]]:
        """Say how these runs stand."""
        found = []
        for run_id in ids:
            run = self._runs.get(short(run_id))
            if run is None:
                continue
            with self._lock:
                live = [row for row in self._live.values() if row.run == short(run_id)]
            counts = run.ended + Counter(row.state for row in live)
            elapsed_s = (time.time() if live else run.changed_at) - run.begun_at
            found.append(
                {
                    "run": short(run_id),
                    "label": run.label,
                    "elapsed_s": elapsed_s,
                    **{word: counts[word] for word in _WORDS[1:]},
                    "worked_s": run.worked_s,
                }
            )
        return found

    def label(self, run: str) -> str:
        """Return how people know the run that a row names."""
        return self._runs[run].label if run in self._runs else ""
