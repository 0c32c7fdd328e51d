"""Follows what is shown until it is final, and rewrites the outputs in place.

One thread serves all views. It looks at most ten times a second, spends at most a
twentieth of its time on looking, slows down when nothing changes, and rests, until the
next cell runs, when nothing has changed for a minute.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.utils.dir2 import get_real_method

from burrow_jupyter.api import context
from burrow_jupyter.api.actors import ActorHandle
from burrow_jupyter.api.refs import ObjectRef
from burrow_jupyter.notebook import html, views

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.backends.protocol import Backend
    from burrow_jupyter.core.messages import Displayed, Notice
    from burrow_jupyter.notebook.runs import Run, Runs

GRACE_S = 0.15
"""What is done so soon is shown done at once, without a flicker."""
FASTEST_S, SLOWEST_S = 0.1, 2.0
DUTY = 20
"""Looking may take one part in so many of the time."""
REST_AFTER_S = 60.0
AT_CELL_END = 20
"""Views that are looked at when a cell ends, which must not take long."""
SHOWN_KINDS = (ObjectRef, ActorHandle, list, tuple, dict)
"""What may be futures or actors, or hold some."""
FOLLOWED_MAX = 200
"""Views followed at once; the oldest beyond keep what they last said."""


class _Shown:
    """A view, and where it is shown. A strip is shown only when it turns out worth it."""

    def __init__(self, view: views.View, session: int, run: Run | None) -> None:
        self.view = view
        self.session = session
        self.run = run
        self.display_id = f"burrow-{uuid.uuid4().hex}"
        self.metadata = {"burrow": {"id": self.display_id}}
        """Saved with the output, so that a page loaded anew finds what is to be rewritten."""
        self.last: views.Bundle = {}


class Live:
    """The live outputs of one kernel."""

    def __init__(self, shell: InteractiveShell, runs: Runs) -> None:
        """Follow nothing yet."""
        self._shell = shell
        self._runs = runs
        self._kernel: Any = getattr(shell, "kernel", None)
        self._streams = (sys.stdout, sys.stderr)
        self._shown: list[_Shown] = []
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self.quiet = False
        """Whether cells go without a strip."""
        self._printers: dict[type, Any] = {}
        """In a terminal: how IPython prints what may be a list of futures."""
        self.label_stands = False
        """Whether a prompt or `Out[3]:` stands alone in the terminal's last line."""
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def hook(self) -> None:
        """Have futures and actors shown live from now on."""
        formatters = self._shell.display_formatter
        assert formatters is not None, "every shell has one"
        if self._kernel is None:
            plain = formatters.formatters["text/plain"]
            self._printers = {kind: plain.for_type(kind, self._pretty) for kind in SHOWN_KINDS}
            self._runs.on_begin.append(self._prompt_is_answered)
            self._runs.on_end.append(self._prompt_follows)
            return
        displayed = formatters.ipython_display_formatter
        for kind in SHOWN_KINDS:
            displayed.for_type(kind, self._display)
        self._runs.on_begin.append(self._cell_begins)
        self._runs.on_end.append(self._cell_ends)
        self._runs.on_open.append(self._run_opens)

    def unhook(self) -> None:
        """Show them as any object."""
        formatters = self._shell.display_formatter
        assert formatters is not None, "every shell has one"
        if self._kernel is None:
            plain = formatters.formatters["text/plain"]
            for kind, printer in self._printers.items():
                plain.pop(kind) if printer is None else plain.for_type(kind, printer)
            self._runs.on_begin.remove(self._prompt_is_answered)
            self._runs.on_end.remove(self._prompt_follows)
            return
        for kind in SHOWN_KINDS:
            formatters.ipython_display_formatter.pop(kind, None)
        self._runs.on_begin.remove(self._cell_begins)
        self._runs.on_end.remove(self._cell_ends)
        self._runs.on_open.remove(self._run_opens)

    # ---- showing -----------------------------------------------------------------------

    def _view(self, thing: Any) -> tuple[views.View, Any] | None:
        view = views.view_of(thing, self._format)
        backend = context.current_or_none()
        if view is None or backend is None:
            return None
        try:
            self._look_first(view, backend)
        except Exception:  # noqa: BLE001  # of an ended session, or one that ends now
            view.lost()
        return view, backend

    def _look_first(self, view: views.View, backend: Backend) -> None:
        until = time.monotonic() + GRACE_S
        pause_s = 0.001
        view.look(backend)
        while not view.final and not isinstance(view, views.ActorsView):
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            backend.wait_for(lambda: False, min(pause_s, left_s))
            pause_s *= 2
            view.look(backend)

    def _display(self, thing: Any) -> None:
        """Show a thing; called by IPython, which shows it as it always does if we refuse."""
        found = self._view(thing)
        if found is None:
            own = get_real_method(thing, "_ipython_display_")
            if own is None:
                raise NotImplementedError
            own()
            return
        view, backend = found
        shown = _Shown(view, backend.session, self._runs.current())
        shown.last = view.bundle()
        self._shell.display_pub.publish(
            shown.last, shown.metadata, transient={"display_id": shown.display_id}
        )
        if not view.final:
            self._follow(shown)

    def _pretty(self, thing: Any, printer: Any, cycle: bool) -> None:  # noqa: FBT001  # IPython's call
        found = None
        if len(printer.stack) == 1:  # what is within something else has no lines of its own
            self.label_stands = True
            try:
                found = self._view(thing)
            finally:
                self.label_stands = False
        if found is not None:
            printer.text(found[0].bundle()["text/plain"])
            return
        own = next(own for kind, own in self._printers.items() if isinstance(thing, kind))
        if own is None:
            printer.text(repr(thing))
        else:
            own(thing, printer, cycle)

    def _prompt_is_answered(self, run: Run) -> None:
        self.label_stands = False

    def _prompt_follows(self, run: Run) -> None:
        # IPython's other prompt stays the last line whatever is printed.
        self.label_stands = getattr(self._shell, "simple_prompt", False) and sys.stdin.isatty()

    def _format(self, value: Any) -> tuple[str, str]:
        """Return a value's text and HTML as a cell would show them; never raises."""
        formatters = self._shell.display_formatter
        assert formatters is not None, "every shell has one"
        try:
            plain = str(_formatted(formatters.formatters["text/plain"], value))
        except Exception as error:  # noqa: BLE001  # the user's own repr
            plain = f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
        if len(plain) > views.TEXT_MAX:
            plain = f"{plain[: views.TEXT_MAX]}…"
        rich = ""
        try:
            found = _formatted(formatters.formatters["text/html"], value)
            if found and len(found) <= views.HTML_MAX:
                rich = html.block(found)
            elif not found:
                picture = _formatted(formatters.formatters["image/png"], value)
                rich = html.image(picture) if isinstance(picture, str) else ""
        except Exception:  # noqa: BLE001  # the user's own; the text is there
            rich = ""
        return plain, rich

    # ---- strips ------------------------------------------------------------------------

    def _run_opens(self, run: Run) -> None:
        """A cell launches tasks: should they take long, it gets a line about them.

        Only where somebody looks: a program that runs a notebook and compares its outputs
        must not find one more because the machine was slow. Front ends name the cell.
        """
        if self.quiet or not run.cell_id:
            return
        self._follow(_Shown(views.StripView(run), run.session, run))

    def show_bars(self, run: Run, log: Callable[[str], None]) -> views.BarsView:
        """Show a place for progress bars under the cell of a run; `log` takes those that ended."""
        view = views.BarsView(run, log)
        self._show_fed(view, run, {"text/plain": "", "text/html": ""})
        return view

    def show(self, run: Run, display: Displayed) -> None:
        """Show what a task displays under the cell of its run; or in what captures that."""
        publisher = self._shell.display_pub
        transient = {"display_id": display.display_id}
        if run.active and isinstance(publisher, CapturingDisplayPublisher):
            publisher.publish(
                display.data, display.metadata, transient=transient, update=display.update
            )
            return

        def send(place: Run) -> None:
            self._let_text_go()
            # As with our own: an update is found by its id, and heard from the latest cell.
            kind, parent = "display_data", place.parent
            if display.update:
                kind, parent = "update_display_data", self._runs.latest.parent
            self._send(kind, display.data, display.metadata, transient, parent)

        self._runs.deliver(run, send)

    def show_failures(self, run: Run, notice: Notice) -> views.FailuresView:
        """Show a place for failures of a run beyond the first."""
        view = views.FailuresView(run)
        view.add(notice)
        self._show_fed(view, run, view.bundle())
        return view

    def _show_fed(self, view: views.FedView, run: Run, first: views.Bundle) -> None:
        shown = _Shown(view, run.session, run)
        shown.last = first
        view.follow = functools.partial(self._follow, shown)
        self._begin(shown, run)
        view.follow()

    def _begin(self, shown: _Shown, run: Run) -> None:
        """Show a view under the cell of a run, as it is when it is heard."""

        def send(place: Run) -> None:
            self._let_text_go()
            self._publish(shown, shown.last, "display_data", place.parent)

        self._runs.deliver(run, send)

    def _let_text_go(self) -> None:
        """Publish what was printed so far: the kernel collects text for a while.

        Done as late as that which follows it is published, for text may be held until then, too.
        """
        for stream in self._streams:
            with contextlib.suppress(OSError, ValueError):  # not the kernel's own, and closed
                stream.flush()

    def _strip_is_due(self, shown: _Shown) -> bool:
        view = shown.view
        assert isinstance(view, views.StripView), "asked of strips only"
        if view.final or not view.takes_long:
            return False
        # A list of futures shows the same, and more; so does the one future of a single task.
        same = views.FutureView if view.is_single else views.FuturesView
        return not any(
            isinstance(other.view, same) and other.run is shown.run for other in self._shown
        )

    # ---- following ---------------------------------------------------------------------

    def _follow(self, shown: _Shown) -> None:
        with self._lock:
            if shown not in self._shown:  # one that was final may be there still
                self._shown.append(shown)
            del self._shown[:-FOLLOWED_MAX]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="burrow-live", daemon=True)
                self._thread.start()
        self._wake.set()

    def _cell_begins(self, run: Run) -> None:
        """A cell that runs again has a new output: its old one is followed no more."""
        if run.cell_id:
            with self._lock:
                self._shown = [
                    s for s in self._shown if s.run is None or s.run.cell_id != run.cell_id
                ]
        self._wake.set()

    def _cell_ends(self, run: Run) -> None:
        """Show what is true now: programs that run notebooks hear updates only until here."""
        if self._shown:
            self.look(AT_CELL_END)

    def look(self, newest: int = FOLLOWED_MAX) -> bool:
        """Look at the newest views once; say whether there was news."""
        with self._looking:
            with self._lock:
                everything = self._shown[-newest:]
            news = False
            for shown in everything:
                news |= self._look_at(shown)
            with self._lock:
                self._shown = [s for s in self._shown if not s.view.final]
            return news

    def _look_at(self, shown: _Shown) -> bool:
        backend = context.current_or_none()
        try:
            if backend is None or backend.session != shown.session:
                shown.view.lost()
            else:
                shown.view.look(backend)
        except Exception:  # noqa: BLE001  # the burrow ends while we ask
            if backend is not None and not backend.closed:
                return False
            shown.view.lost()
        if isinstance(shown.view, views.StripView) and not shown.last:
            if not self._strip_is_due(shown):
                return not shown.view.final
            assert shown.run is not None, "a strip is of a run"
            shown.last = shown.view.bundle()
            self._begin(shown, shown.run)
            return True
        bundle = shown.view.bundle()
        if bundle == shown.last:
            return False
        shown.last = bundle
        # The display is found by its id; programs that run notebooks take an update only
        # from the cell that they wait for.
        self._publish(shown, bundle, "update_display_data", self._runs.latest.parent)
        return True

    def _publish(
        self, shown: _Shown, bundle: views.Bundle, kind: str, parent: dict[str, Any]
    ) -> None:
        self._send(kind, bundle, shown.metadata, {"display_id": shown.display_id}, parent)

    def _send(
        self,
        kind: str,
        bundle: views.Bundle,
        metadata: dict[str, Any],
        transient: dict[str, Any],
        parent: dict[str, Any],
    ) -> None:
        kernel = self._kernel
        content = {"data": bundle, "metadata": metadata, "transient": transient}
        kernel.session.send(kernel.iopub_thread, kind, content, parent=parent, ident=kind.encode())

    def _work(self) -> None:
        pause_s = FASTEST_S
        changed_at = time.monotonic()
        while True:
            began = time.monotonic()
            latest = self._runs.latest
            if (latest.active or latest.is_watched) and self.look():
                pause_s = FASTEST_S
                changed_at = time.monotonic()
            else:
                pause_s = min(1.0, pause_s * 1.2)
            now = time.monotonic()
            with self._lock:
                if not self._shown:
                    self._thread = None
                    return
            self._wake.clear()
            if now - changed_at > REST_AFTER_S:
                self._wake.wait()
                changed_at = time.monotonic()
            elif self._wake.wait(max(pause_s, min(SLOWEST_S, DUTY * (now - began)))):
                pause_s = FASTEST_S


def _formatted(formatter: Any, value: Any) -> Any:
    """Format without IPython's wrapper, which would print a traceback into some cell."""
    wrapped: Any = type(formatter).__call__
    return wrapped.__wrapped__(formatter, value)
