"""Runs: which execution of which cell the calling code belongs to.

A run begins when a cell does and is known by the message that asked for it. Code keeps
its run across `await` (a context variable) and in threads that it starts; the head hears
of a run with the first task that it launches. When a cell is interrupted, what it has launched is
cancelled, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.backends.protocol import Backend

KEEP = 1_000
"""Runs of which output still finds its cell; older ones print where the notebook prints."""


def _cells_on_stack() -> int:
    """Return how many cells are being run right here: code of one may run others."""
    count, frame = 0, sys._getframe()  # noqa: SLF001  # there is no public way
    while frame.f_back is not None:
        frame = frame.f_back
        count += frame.f_code.co_name == "run_cell_async"
    return count


class Run:
    """One execution of one cell."""

    __slots__ = (
        "active",
        "cell_id",
        "displayed",
        "id",
        "logged",
        "message_id",
        "number",
        "parent",
        "session",
        "shown",
    )

    def __init__(self, parent: dict[str, Any], number: int) -> None:
        """Args:
        parent: the message that asked for the execution, {} outside Jupyter.
        number: of the execution, as in `In[number]`.
        """
        self.parent = parent
        self.number = number
        self.message_id: str = parent.get("header", {}).get("msg_id", "")
        self.cell_id: str = parent.get("metadata", {}).get("cellId", "")
        self.active = True
        self.id = 0  # in the session of that number; 0 while the head has not heard of it
        self.session = 0
        self.shown = 0  # characters of output that came for its cell
        self.logged = 0  # bytes of it
        self.displayed = 0  # bytes of rich displays

    @property
    def label(self) -> str:
        """How people know the run."""
        return f"In[{self.number}]"

    @property
    def is_watched(self) -> bool:
        """Whether a front end asked for it, which shows what comes for a cell that is over.

        Programs that run notebooks drop that. They name no cell and can be asked nothing.
        """
        return bool(self.cell_id or self.parent.get("content", {}).get("allow_stdin", True))


def cells_so_far(shell: InteractiveShell) -> int:
    """Return the number of the cell that runs, or was the last to."""
    history: Any = shell.history_manager
    # The list of inputs, since the counter is ahead of it in some versions of IPython. Not by the
    # name `In`, which may be a user's by now.
    return len(history.input_hist_parsed) - 1


class Runs:
    """The runs of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Follow nothing yet; see `hook`."""
        self._shell = shell
        self._var: ContextVar[Run | None] = ContextVar("burrow_run", default=None)
        self._known: OrderedDict[int, Run] = OrderedDict()
        self._active: dict[str, Run] = {}
        self._lock = threading.Lock()
        self.latest = Run({}, 0)
        self._held: list[Callable[[Run], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unraisable: Callable[[sys.UnraisableHookArgs], Any] | None = None
        self._start_thread: Callable[[threading.Thread], None] | None = None
        self.on_begin: list[Callable[[Run], None]] = []
        self.on_end: list[Callable[[Run], None]] = []
        self.on_open: list[Callable[[Run], None]] = []
        """Called when a run has launched its first task, in the thread that did."""

    # ---- following the shell -----------------------------------------------------------

    def hook(self) -> None:
        """Follow the shell from now on; the cell that runs now counts too."""
        self._shell.events.register("pre_run_cell", self._begin)
        self._shell.events.register("post_run_cell", self._end)
        self._begin(None)
        context.set_run_provider(self.id_of_caller, self._label_of)
        self._hand_on_to_threads()
        self._wake_loop_by_signals()
        self._keep_interrupts()

    def unhook(self) -> None:
        """Follow the shell no more."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)
        context.set_run_provider(None)
        if self._start_thread is not None:
            threading.Thread.start = self._start_thread  # type: ignore[method-assign, assignment]  # as it was
            self._start_thread = None
        if self._unraisable is not None:
            sys.unraisablehook = self._unraisable
            self._unraisable = None
        if self._loop is not None:
            self._loop.remove_signal_handler(signal.SIGURG)
            self._loop = None

    def _begin(self, info: Any) -> None:
        if _cells_on_stack() > 1 and self._active:
            return  # another one runs it, and what it launches is of that one's run
        number = cells_so_far(self._shell) + (info is not None)
        run = Run(self._parent(), number)
        self._var.set(run)
        self._active[run.message_id] = run
        self.latest = run
        for callback in self.on_begin:
            callback(run)
        with self._lock:
            held, self._held = self._held, []
        for show in held:
            show(run)

    def _let_the_reply_go(self) -> None:
        """Let no interrupt hit the kernel between the end of a cell and its reply.

        ipykernel would send none: the front end would show the cell as running for ever. It
        takes interrupts again itself, when the next message comes.
        """
        if not hasattr(getattr(self._shell, "kernel", None), "saved_sigint_handler"):
            return
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _end(self, result: Any) -> None:
        if _cells_on_stack():
            return  # of another one, which has run this one and goes on
        self._let_the_reply_go()
        # A cell that awaits has a context of its own, which is over by now.
        run = self._active.pop(self._parent().get("header", {}).get("msg_id", ""), None)
        if run is None:
            return
        run.active = False
        # Each statement is compiled when its turn comes: an interrupt that comes then is an
        # error before the execution, although what stands above it has run.
        error = result and (result.error_in_exec or result.error_before_exec)
        if result is None or isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            backend = context.current_or_none()
            if backend is not None and run.session == backend.session:
                backend.cancel_run(run.id)
        for callback in self.on_end:
            callback(run)

    def _parent(self) -> dict[str, Any]:
        if hasattr(self._shell, "get_parent"):
            return self._shell.get_parent() or {}
        return {}

    def _hand_on_to_threads(self) -> None:
        # A thread belongs to the run that started it, for as long as it lives; what the
        # kernel runs meanwhile is somebody else's. Python gives a thread an empty context.
        original = self._start_thread = threading.Thread.start
        var = self._var

        def start(thread: threading.Thread) -> None:
            run = var.get() or getattr(threading.current_thread(), "_burrow_run", None)
            if run is not None:
                thread._burrow_run = run  # type: ignore[attr-defined]  # noqa: SLF001  # a slot of ours
            original(thread)

        threading.Thread.start = start  # type: ignore[method-assign, assignment]  # given back by unhook

    def _wake_loop_by_signals(self) -> None:
        # ipykernel's handler of SIGINT schedules the end of an awaiting cell on its loop
        # without waking it (tornado takes the handler for code that the loop runs), so that
        # the stop button had no effect before something else happened. A loop with a handler
        # for any one signal is woken by all.
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            self._loop = asyncio.get_running_loop()
            self._loop.add_signal_handler(signal.SIGURG, lambda: None)

    def _keep_interrupts(self) -> None:
        # Python drops an interrupt that comes while an object is finalized, and a cell that
        # lets go of many refs spends its time there: press again, on behalf of the user.
        original = self._unraisable = sys.unraisablehook

        def hook(unraisable: sys.UnraisableHookArgs) -> None:
            if isinstance(unraisable.exc_value, KeyboardInterrupt):
                # Not here: it would be raised in this hook, and dropped again. As a signal to
                # that thread: a mere note of one does not end its wait for the engine.
                main = threading.main_thread().ident or 0
                threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT)).start()
            else:
                original(unraisable)

        sys.unraisablehook = hook

    # ---- asking ------------------------------------------------------------------------

    def current(self) -> Run | None:
        """Return the run that the caller belongs to."""
        run = self._var.get()
        if run is None:
            run = getattr(threading.current_thread(), "_burrow_run", None)
        return run

    def id_of_caller(self) -> int:
        """Return the id of the caller's run in the session that runs; 0 if it has none."""
        run = self._var.get() or self.current()
        if run is None:
            return 0
        backend = context._context.backend  # noqa: SLF001  # every call asks
        if backend is None:
            return 0
        if run.session != backend.session:
            self._open(run, backend)
        return run.id

    def _label_of(self, run_id: int) -> str:
        run = self.find(run_id)
        return run.label if run is not None else ""

    def _open(self, run: Run, backend: Backend) -> None:
        with self._lock:
            if run.session == backend.session:
                return
            run.id = backend.open_run(run.label, run.cell_id, run.message_id)
            run.session = backend.session
            self._known[run.id] = run
            while len(self._known) > KEEP:
                self._known.popitem(last=False)
        for callback in self.on_open:
            callback(run)

    def deliver(self, run: Run, show: Callable[[Run], None]) -> None:
        """Call `show` with the run in whose cell that which comes for `run` is shown.

        It is `run` itself; for a program that no longer hears of it, the cell that it waits for
        now, or the next one.
        """
        place = run
        if not (run.active or run.is_watched):
            with self._lock:
                place = self.latest
                if not place.active:
                    self._held.append(show)
                    return
        show(place)

    def find(self, run_id: int) -> Run | None:
        """Return a run by its id in the session that runs."""
        backend = context.current_or_none()
        run = self._known.get(run_id)
        if run is None or backend is None or run.session != backend.session:
            return None
        return run
