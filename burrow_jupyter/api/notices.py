"""Failures that nobody asked for, as text: the first of a kind in full, the others counted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burrow_jupyter.core.messages import Notice

KINDS_NAMED = 5
RUNS_REMEMBERED = 1_000
"""Of which it is known what was told."""
_FAILED = " failed: "


def is_failure(notice: Notice) -> bool:
    """Say whether a notice is of a task that failed: "name failed: type: what it says"."""
    return _FAILED in notice.text


def in_full(notice: Notice) -> str:
    """Return what a notice says, with the frames of the failure, each line ended."""
    where = notice.traceback.rstrip().removesuffix(notice.text.partition(": ")[2])
    return f"{notice.text}\n{where.rstrip()}\n".replace("\n\n", "\n")


def _short(notice: Notice) -> tuple[str, str]:
    """Return a failure's kind, which is its function and type, and its line."""
    text = notice.text.replace(_FAILED, ": ", 1)
    return ": ".join(text.split(": ")[:2]), text


class FailureCounts:
    """How many have failed beyond the first, of which kind."""

    def __init__(self) -> None:
        """None yet."""
        self._counts: dict[str, int] = {}
        self._texts: dict[str, str] = {}  # of those of which all say the same

    def add(self, notice: Notice) -> None:
        """One more has failed."""
        kind, text = _short(notice)
        if kind not in self._counts and len(self._counts) >= KINDS_NAMED:
            kind = text = "others"
        if kind not in self._counts:
            self._texts[kind] = text
        elif self._texts[kind] != text:
            self._texts[kind] = f"{kind}: …"
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def lines(self) -> list[str]:
        """Return one line for all, then the kinds where there are several."""
        counts = [(self._texts[kind], count) for kind, count in list(self._counts.items())]
        total = sum(count for _, count in counts)
        head = f"{total:,} more {'task' if total == 1 else 'tasks'} failed"
        if len(counts) == 1:
            return [f"{head} like this: {counts[0][0]}"]
        return [head, *(f"{count:,} x {text}" for text, count in counts)]


class Notices:
    """Says what is to be written of each notice, where nothing that is written can be changed."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: dict[int, set[str]] = {}  # kinds, by run
        self._counts: dict[int, FailureCounts] = {}  # by run
        self._lock = threading.Lock()
        """Notices come in one thread, and another one may ask for the rest."""

    def say(self, notice: Notice) -> str:
        """Return what is to be said of a notice now; "" if it is only counted."""
        if not is_failure(notice):
            return f"{notice.text}\n"
        kind = _short(notice)[0]
        with self._lock:
            told = self._told.setdefault(notice.run_id, set())
            while len(self._told) > RUNS_REMEMBERED:
                del self._told[next(iter(self._told))]
            if kind not in told and len(told) < KINDS_NAMED:
                told.add(kind)
                return in_full(notice)
            self._counts.setdefault(notice.run_id, FailureCounts()).add(notice)
        return ""

    def rest(self) -> str:
        """Return what is to be said of those that were only counted since this was asked; or ""."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return "".join(f"{line}\n" for count in counts.values() for line in count.lines())
