"""What futures, lists of futures and actors look like, from first sight to final state.

A view of futures holds them until it is final, so that it can show what became of them,
and no longer: showing a thing does not keep it alive. `look` asks the
head how things stand; `bundle` is what is shown, and saved.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import actors, refs
from burrow_jupyter.api.notices import FailureCounts
from burrow_jupyter.core.limits import IDS_MAX
from burrow_jupyter.notebook import html

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from burrow_jupyter.backends.protocol import Backend
    from burrow_jupyter.core.messages import Notice
    from burrow_jupyter.notebook.runs import Run

Bundle = dict[str, Any]
Writer = tuple[int, str]
"""A task and the name of its stream."""
UNFINISHED = ("waiting", "ready", "running", "blocked")
ENDED = ("finished", "failed", "cancelled", "unknown")
VALUE_MAX_BYTES = 8_000_000
"""A larger result is not fetched to be shown."""
TEXT_MAX = 2_000
HTML_MAX = 200_000
LIST_VALUES = 10
LIST_VALUE_CHARS = 60
ACTORS_SHOWN = 12
BARS_SHOWN = 100
"""Of one run; the whole place is sent again whenever one of them moves."""
BARS_KEPT = 1_000
"""Of which the task is still in the line, so that it may rewrite it."""
BAR_MAX_CHARS = 1_000
"""A line longer than that is text like any other, whatever it rewrites."""
STRIP_AFTER_S = 0.5
"""A cell whose tasks take longer gets a line of its own."""
SHORT_TASK_S = 30e-6
"""What runs shorter costs more to send than to run (about as much as this, two cores busy)."""
SHORT_TASKS_MIN = 5_000
"""Fewer are no loss worth a word."""
_PHRASES = {
    "waiting": "waits for its arguments",
    "ready": "waits for a free worker",
    "blocked": "waits in get()",
    "running": "running",
    "finished": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "unknown": "nobody holds it any more",
}


class View:
    """Something shown, followed until `final`."""

    final = False

    def look(self, backend: Backend) -> None:
        """Ask how it stands."""
        raise NotImplementedError

    def lost(self) -> None:
        """The burrow has ended."""
        raise NotImplementedError

    def bundle(self) -> Bundle:
        """Return what is to be shown now."""
        raise NotImplementedError


def _took(row: dict[str, Any], now: float) -> str:
    """Return how long a task has run, if it has begun."""
    started = row.get("started_at") or 0.0
    ended = row.get("ended_at") or 0.0
    if not started:
        return ""
    return html.duration(max(0.0, (ended or now) - started))


class FutureView(View):
    """One future: state, then value or error."""

    def __init__(self, ref: refs.ObjectRef[Any], show: Any) -> None:
        """Args: show: formats a value: `(text, html)`."""
        self._id = ref.id
        self._ref: refs.ObjectRef[Any] | None = ref
        self._show = show
        self._row: dict[str, Any] = {"state": "waiting"}
        self._value: tuple[str, str] | None = None
        self._note = ""

    def look(self, backend: Backend) -> None:
        """Ask; fetch the value once it is there and not too large."""
        row = backend.ask("describe tasks", [self._id])[0]
        if self._row.get("name"):  # the head forgets tasks that ended long ago
            row.setdefault("name", self._row["name"])
        self._row = row
        if row["state"] in ENDED:
            self.final = True
            if row["state"] == "finished":
                self._fetch(backend, row)
            backend.was_shown([self._id])
            self._ref = None

    def _fetch(self, backend: Backend, row: dict[str, Any]) -> None:
        if not row.get("exists"):
            return  # nobody holds the result any more
        if row.get("size_bytes", 0) > VALUE_MAX_BYTES:
            self._note = f"{html.size(row['size_bytes'])}, get() fetches it"
        else:
            try:
                value = backend.get([self._id], 5.0)[0]
            except Exception:  # noqa: BLE001  # freed, or its type cannot be rebuilt here
                self._note = "get() shows the result"
            else:
                self._value = self._show(value)

    def lost(self) -> None:
        """The burrow ended before the task did."""
        self._row = {**self._row, "state": "cancelled", "error": "the burrow has ended"}
        self.final = True
        self._ref = None

    def bundle(self) -> Bundle:
        """Return state and name, then what came of it."""
        row = self._row
        state = row["state"]
        who = row.get("name") or "ObjectRef"
        took = _took(row, time.time())
        phrase = _PHRASES[state] if row.get("name") or state != "finished" else "stored"
        if row.get("actor") and state == "ready":
            phrase = "waits for its actor"
        if row.get("paused"):
            phrase = "waits, paused for memory"
        if took:
            phrase += {"finished": " in ", "failed": " after ", "cancelled": " after "}.get(
                state, ", "
            )
            phrase += took
        again = f"attempt {row['attempt']}" if row.get("attempt", 1) > 1 else ""
        said = html.listed([phrase, again, self._note])
        text = f"{who}: {said}"
        lines = [html.line(html.marked(state, html.name(who)), html.words(said))]
        if row.get("error") and state in ("failed", "cancelled"):
            text += f"\n{row['error']}"
            lines.append(html.code(row["error"]))
        if self._value is not None:
            plain, rich = self._value
            text += f"\n{plain}"
            lines.append(rich or html.code(plain))
        return {"text/plain": text, "text/html": html.view(*lines)}


class FuturesView(View):
    """Many futures: how many are done, then the first failure or a few values."""

    def __init__(self, many: Sequence[refs.ObjectRef[Any]], show: Any) -> None:
        """Args: show: formats a value: `(text, html)`."""
        self._ids = [ref.id for ref in many]
        self._refs = list(many)
        self._show = show
        self._counts: dict[str, int] = {"waiting": len(self._ids)}
        self._names: dict[str, int] = {}
        self._began = time.monotonic()
        self._took = 0.0
        self._tail = ""
        self._error = ""

    def look(self, backend: Backend) -> None:
        """Count; when all have ended, fetch what the last line says."""
        counts: Counter[str] = Counter()
        names: Counter[str] = Counter()
        for start in range(0, len(self._ids), IDS_MAX):
            said = backend.ask("count tasks", self._ids[start : start + IDS_MAX])
            counts.update(said["counts"])
            names.update(said["names"])
        self._counts, self._names = counts, names or self._names
        self._took = time.monotonic() - self._began
        if not any(counts.get(state) for state in UNFINISHED):
            self.final = True
            self._finish(backend)
            backend.was_shown(self._ids)
            self._refs = []

    def _finish(self, backend: Backend) -> None:
        if self._counts.get("failed"):
            for start in range(0, len(self._ids), 1000):
                rows = backend.ask("describe tasks", self._ids[start : start + 1000])
                failed = next((row for row in rows if row["state"] == "failed"), None)
                if failed is not None:
                    self._error = failed.get("error", "")
                    return
        first = self._ids[:LIST_VALUES]
        rows = backend.ask("describe tasks", first)
        if not all(row.get("exists") for row in rows):
            return
        if sum(row.get("size_bytes", 0) for row in rows) > VALUE_MAX_BYTES:
            return
        try:
            values = backend.get(first, 5.0)
        except Exception:  # noqa: BLE001  # freed, or a type that cannot be rebuilt here
            return
        parts = []
        for value in values:
            plain = " ".join(self._show(value)[0].split())
            parts.append(
                plain if len(plain) <= LIST_VALUE_CHARS else f"{plain[: LIST_VALUE_CHARS - 1]}…"
            )
        if len(self._ids) > LIST_VALUES:
            parts.append("…")
        self._tail = f"[{', '.join(parts)}]"

    def lost(self) -> None:
        """The burrow ended before the tasks did."""
        done = {state: n for state, n in self._counts.items() if state in ENDED}
        open_ = len(self._ids) - sum(done.values())
        self._counts = {**done, "cancelled": done.get("cancelled", 0) + open_}
        self._error = self._error or "the burrow has ended"
        self.final = True
        self._refs = []

    def bundle(self) -> Bundle:
        """Return how many are done of how many, and a bar."""
        counts = self._counts
        total = len(self._ids)
        who = next(iter(self._names)) if len(self._names) == 1 else "ObjectRefs"
        done = counts.get("finished", 0) + counts.get("unknown", 0)
        running = counts.get("running", 0) + counts.get("blocked", 0)
        waiting = counts.get("waiting", 0) + counts.get("ready", 0)
        said = html.listed(
            [
                f"{done:,} of {total:,} done",
                f"{counts['failed']:,} failed" if counts.get("failed") else "",
                f"{counts['cancelled']:,} cancelled" if counts.get("cancelled") else "",
                f"{running:,} running" if running else "",
                f"{waiting:,} waiting" if waiting else "",
                html.duration(self._took) if self._took else "",
            ]
        )
        state = "running" if not self.final else "finished"
        if counts.get("failed") or counts.get("cancelled"):
            state = "failed" if counts.get("failed") else "cancelled"
        lines = [html.line(html.marked(state, html.name(who)), html.bar(counts), html.words(said))]
        text = f"{who}: {said}"
        if self._error:
            text += f"\n{self._error}"
            lines.append(html.code(self._error))
        if self._tail:
            text += f"\n{self._tail}"
            lines.append(html.code(self._tail))
        return {"text/plain": text, "text/html": html.view(*lines)}


class ActorsView(View):
    """One or more actors: class, state, queue, process."""

    def __init__(self, handles: Sequence[actors.ActorHandle]) -> None:
        """Remember whom to ask for."""
        self._ids = [handle._id for handle in handles]  # noqa: SLF001  # the API layer's own id
        self._class = [handle._info.name for handle in handles]  # noqa: SLF001  # shown at once
        self._rows: list[dict[str, Any]] = [{"state": "pending"} for _ in self._ids]

    def look(self, backend: Backend) -> None:
        """Ask."""
        rows = backend.ask("describe actors", self._ids)
        for row in rows[:ACTORS_SHOWN]:
            older = actors.is_older(row["meta"]) if row.get("meta") else False
            row["old"] = older or row.get("edited", False)
        self._rows = rows
        self.final = all(row["state"] in ("dead", "unknown") for row in rows)

    def lost(self) -> None:
        """The burrow ended, and every actor with it."""
        self._rows = [
            row if row["state"] == "dead" else {**row, "state": "ended", "pid": 0}
            for row in self._rows
        ]
        self.final = True

    def _line(self, row: dict[str, Any], class_name: str) -> tuple[str, str]:
        state = row["state"]
        word = {"alive": "idle", "ended": "ended with the burrow", "unknown": "dead"}.get(
            state, state
        )
        if state == "alive" and row.get("method"):
            word = f"runs {row['method']}()"
        parts = [
            word,
            f"{row['queued']:,} queued" if row.get("queued") else "",
            html.several(row.get("finished", 0), "call") + " done",
            f"restarted {row['restarts']}x" if row.get("restarts") else "",
            f"process {row['pid']}" if row.get("pid") else "",
            str(row.get("reason", "")) if state == "dead" else "",
            f"older definition ({row.get('made_in') or 'earlier'}), upgrade() moves it to the new one"
            if row.get("old") and state != "dead"
            else "",
        ]
        said = html.listed(parts)
        who = row.get("class_name") or class_name
        called = f'"{row["name"]}"' if row.get("name") else ""
        text = f"{who} {called}: {said}" if called else f"{who}: {said}"
        busy = "running" if state == "alive" and row.get("method") else state
        return text, html.line(
            html.marked(busy, html.name(who)), html.words(called), html.words(said)
        )

    def bundle(self) -> Bundle:
        """Return a line an actor."""
        pairs = zip(self._rows, self._class, strict=True)
        shown = [self._line(*pair) for pair in itertools.islice(pairs, ACTORS_SHOWN)]
        if len(self._rows) > ACTORS_SHOWN:
            more = f"and {len(self._rows) - ACTORS_SHOWN:,} more; burrow.actors() lists them all"
            shown.append((more, html.line(html.words(more))))
        return {
            "text/plain": "\n".join(text for text, _ in shown),
            "text/html": html.view(*(rich for _, rich in shown)),
        }


class StripView(View):
    """What a run has launched: how much is done, and a way to stop the rest."""

    def __init__(self, run: Run) -> None:
        """Follow a run that has launched its first task."""
        self._run = run
        self._session = f"{run.session:016x}"
        self._row: dict[str, Any] = {}

    @property
    def takes_long(self) -> bool:
        """Whether the run is worth a line."""
        return bool(self._row) and self._row["elapsed_s"] >= STRIP_AFTER_S

    @property
    def is_single(self) -> bool:
        """Whether the run has launched one task only."""
        states = ("finished", "failed", "cancelled", "running", "ready")
        return sum(int(self._row.get(state, 0)) for state in states) == 1

    def look(self, backend: Backend) -> None:
        """Ask."""
        active = self._run.active  # asked first: what it launches until then is counted
        if not active:
            backend.flush()
        rows = backend.ask("describe runs", [self._run.id])
        if rows:
            self._row = rows[0]
            self.final = not (active or self._row["running"] or self._row["ready"])

    def lost(self) -> None:
        """The burrow ended, and every task with it."""
        left = self._row.get("running", 0) + self._row.get("ready", 0)
        cancelled = self._row.get("cancelled", 0) + left
        self._row = {**self._row, "running": 0, "ready": 0, "cancelled": cancelled}
        self.final = True

    def bundle(self) -> Bundle:
        """Return one line."""
        row = self._row
        counts = {s: row.get(s, 0) for s in ("finished", "failed", "cancelled", "running", "ready")}
        total = sum(counts.values())
        said = html.listed(
            [
                f"{counts['finished']:,} of {html.several(total, 'task')} done",
                f"{counts['failed']:,} failed" if counts["failed"] else "",
                f"{counts['cancelled']:,} cancelled" if counts["cancelled"] else "",
                f"{counts['running']:,} running" if counts["running"] else "",
                f"{counts['ready']:,} waiting" if counts["ready"] else "",
                "paused for memory" if counts["ready"] and row.get("paused") else "",
                html.duration(row.get("elapsed_s", 0.0)),
                _overhead(row),
            ]
        )
        button = "" if self.final else html.stop_button(self._session, row.get("run", ""))
        return {
            "text/plain": said,
            "text/html": html.view(html.line(html.bar(counts), html.words(said), button)),
        }


def _overhead(row: dict[str, Any]) -> str:
    """Return what helps where sending tasks takes longer than running them, "" elsewhere."""
    count, worked_s = row.get("finished", 0), row.get("worked_s", 0.0)
    if count < SHORT_TASKS_MIN or worked_s > SHORT_TASK_S * count:
        return ""
    return f"{worked_s / count * 1e6:.0f} µs each: burrow.map sends them in batches"


_UP = "\x1b[A"
"""Moves to the line above, where a bar is that has others below it."""
_MOVES = re.compile(r"(.*?)(\n|\x1b\[A|\Z)", re.DOTALL)


def _overwritten(line: str) -> str:
    """Return what a line shows; a carriage return at its end stays, for what comes."""
    shown, *others = line.split("\r")
    for other in others:
        shown = other + shown[len(other) :]
    return shown + "\r" * line.endswith("\r")


class FedView(View):
    """What is told of a run as it comes.

    Once nobody is left who could tell more, it is final; should there be more all the same, it
    is followed again.
    """

    def __init__(self, run: Run) -> None:
        """Args: run: whose tasks tell."""
        self._run = run
        self.follow: Callable[[], None] = lambda: None
        """Has it looked at until it is final; set by whoever shows it."""

    def look(self, backend: Backend) -> None:
        """See whether anybody is left."""
        active = self._run.active
        rows = backend.ask("describe runs", [self._run.id])
        self.final = bool(rows) and not (active or rows[0]["running"] or rows[0]["ready"])

    def lost(self) -> None:
        """Nobody is left."""
        self.final = True

    def _fed(self) -> None:
        """There is news. Called after it was taken: what was final before shows it by then."""
        if self.final:
            self.final = False
            self.follow()


class BarsView(FedView):
    """Progress bars that tasks print: a line each, rewritten as the task rewrites it.

    Some are shown, a bounded number is kept, and each goes to the run's log as it was when its
    task went on to the line below, or when it is kept no longer.
    """

    def __init__(self, run: Run, log: Callable[[str], None]) -> None:
        """Args:
        run: whose bars they are.
        log: takes lines for the run's log.
        """
        super().__init__(run)
        self._log = log
        self._bars: dict[tuple[Writer, int], str] = {}  # by writer and number of its bar
        self._numbers: dict[Writer, int] = {}
        self._unlogged: dict[tuple[Writer, int], None] = {}  # rewritten since they were logged
        self._gone = 0
        self._lock = threading.Lock()
        """One thread feeds, and another one looks."""

    def feed(self, writer: Writer, text: str) -> str:
        """Take text of a stream that rewrites its line; return what is no bar, to be printed."""
        with self._lock:
            printed = self._rewrite(writer, text)
            at = self._numbers.get(writer, 0)
            self._log_bars([key for key in self._unlogged if key[0] == writer and key[1] < at])
            self._trim()
        self._fed()
        return printed

    def _rewrite(self, writer: Writer, text: str) -> str:
        printed = []
        for line, move in _MOVES.findall(text.replace("\r\n", "\n")):
            number = self._numbers.get(writer, 0)
            key = (writer, number)
            bar = self._bars.get(key)
            if "\r" in line or (bar is not None and line and (bar.strip() or move == _UP)):
                shown = _overwritten((bar or "") + line)
                if len(shown) > BAR_MAX_CHARS:
                    self._bars.pop(key, None)
                    self._unlogged.pop(key, None)
                    printed.append(shown + move.replace(_UP, ""))
                    continue
                self._bars[key] = shown
                self._unlogged[key] = None
            elif bar is None or line:  # also where a bar was that has wiped itself out
                printed.append(line + move.replace(_UP, ""))
                continue
            if move:
                self._numbers[writer] = max(0, number + (-1 if move == _UP else 1))
        return "".join(printed)

    def _trim(self) -> None:
        """Let go of the oldest that have ended, and of others only if there are very many."""
        if len(self._bars) <= BARS_SHOWN:
            return
        numbers = self._numbers
        ended = [key for key in self._bars if key[1] < numbers.get(key[0], 0)]
        drop = ended[: max(0, self._visible() - BARS_SHOWN)]
        more = len(self._bars) - len(drop) - BARS_KEPT
        if more > 0:
            dropped = set(drop)
            drop += [key for key in self._bars if key not in dropped][:more]
        if not drop:
            return
        self._log_bars([key for key in drop if key in self._unlogged])
        for key in drop:
            self._gone += bool(self._bars.pop(key).strip())
        writers = {writer for writer, _ in self._bars}
        for writer in {writer for writer, _ in drop} - writers:
            numbers.pop(writer, None)

    def _visible(self) -> int:
        return sum(bool(bar.strip()) for bar in self._bars.values())

    def _log_bars(self, keys: list[tuple[Writer, int]]) -> None:
        for key in keys:
            del self._unlogged[key]
        lines = [bar.rstrip() for key in keys if (bar := self._bars[key]).strip()]
        if lines:
            self._log("\n".join([*lines, ""]))

    def rewrites(self, writer: Writer) -> bool:
        """Say whether a stream's line is a bar that is not ended."""
        return (writer, self._numbers.get(writer, 0)) in self._bars

    def look(self, backend: Backend) -> None:
        """See whether anybody is left who could rewrite a bar."""
        super().look(backend)
        if self.final:
            with self._lock:
                self._log_bars(list(self._unlogged))

    def bundle(self) -> Bundle:
        """Return a line a bar; one that its task has wiped out is gone."""
        with self._lock:
            lines = [bar.rstrip() for bar in self._bars.values() if bar.strip()]
            gone = self._gone
        hidden = len(lines) - BARS_SHOWN
        lines = lines[-BARS_SHOWN:]
        if hidden > 0:
            lines.append(f"… and {hidden:,} more")
        if gone:
            lines.append(f"… and {gone:,} more that have ended: %burrow logs {self._run.number}")
        text = "\n".join(lines)
        return {"text/plain": text, "text/html": html.view(html.code(text, below=False))}


class FailuresView(FedView):
    """Failures of a run that nobody asked for, beyond the first: how many of which kind."""

    def __init__(self, run: Run) -> None:
        """Count for one run."""
        super().__init__(run)
        self._counts = FailureCounts()

    def add(self, notice: Notice) -> None:
        """One more has failed."""
        self._counts.add(notice)
        self._fed()

    def bundle(self) -> Bundle:
        """Return one line for all, the kinds below it where there are several."""
        head, *kinds = self._counts.lines()
        shown = [html.line(html.marked("failed", html.words(head))), *map(html.code, kinds)]
        return {"text/plain": "\n".join([head, *kinds]), "text/html": html.view(*shown)}


def view_of(shown: Any, show: Any) -> View | None:
    """Return the view of a future, an actor or a collection of either; `None` of all else."""
    if isinstance(shown, refs.ObjectRef):
        return FutureView(shown, show)
    if isinstance(shown, actors.ActorHandle):
        return ActorsView([shown])
    items = list(shown.values()) if isinstance(shown, dict) else shown
    if isinstance(items, list | tuple) and items:
        if all(isinstance(item, refs.ObjectRef) for item in items):
            return FuturesView(items, show)
        if all(isinstance(item, actors.ActorHandle) for item in items):
            return ActorsView(items)
    return None
