"""Debugging in a worker: the frames of failures, kept for a while, and breakpoints.

A debugger runs here, where the objects are, and reads and writes through the head: what it
says goes to the drivers, the lines that it reads come from one of them. A failure is looked
at in a thread of its own, so that the worker goes on working; a task at a breakpoint waits,
and lends its CPU meanwhile.

Frames are kept for tasks of notebook cells only, until the next run or until the driver says so:
in each worker of the first failure and the last ones of each run, since those in between are often
such as the cell expects, and of no attempt that is made again.
"""

from __future__ import annotations

import ctypes
import io
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import messages
from burrow_jupyter.engine import current, errors, on_import

if TYPE_CHECKING:
    from types import FrameType

    from burrow_jupyter.engine.client import Client
    from burrow_jupyter.engine.current import Current

KEPT_MAX = 4
"""Failures of one run that are kept in one worker: the first, and the last ones."""


DEBUGGERS = ("pdb", "IPython.core.debugger", "ipdb")
"""Modules whose `set_trace` talks to a terminal, which a worker has not."""
MANY = f"only the first and the last {KEPT_MAX - 1} failures of a run are kept in each process"


class Conversation(io.TextIOBase):
    """What a debugger reads from and writes to, on behalf of one call."""

    def __init__(self, client: Client, call: Current) -> None:
        self.call = call
        self._client = client
        self._said = ""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def say(self, kind: str, text: str = "") -> None:
        """Send one event to the drivers."""
        call, client = self.call, self._client
        client.post(messages.Debugged(call.task_id, call.run_id, os.getpid(), kind, text))
        client.flush()

    def write(self, text: str) -> int:
        """Note text; it is sent before the next line is read."""
        self._said += text
        return len(text)

    def send(self) -> str:
        """Send what was written; return the unfinished line, which is a prompt."""
        text, line_end, prompt = self._said.rpartition("\n")
        self._said = ""
        if line_end:
            self.say("text", text + line_end)
        return prompt

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]  # the base is wider
        """Ask for a line and wait for it, for as long as the user thinks."""
        self.say("ask", self.send())
        try:
            return self._lines.get()
        except KeyboardInterrupt:
            if not self.call.cancelled:
                raise
            import bdb  # noqa: PLC0415  # loaded by whoever talks here

            # The debugger takes an interrupt for the end of a command, and this one is
            # the end of the task.
            raise bdb.BdbQuit from None

    def answer(self, line: str) -> None:
        """Give the debugger a line; from any thread."""
        self._lines.put(line)


class _AtBreakpoint(Conversation):
    """Lends the CPU of its task while it waits for a line."""

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]  # as its base
        with self._client.paused(self.call.task_id):
            return super().readline(size)


class Debugging:
    """The kept failures and the conversations of one worker."""

    def __init__(self, client: Client) -> None:
        """Be ready; nothing is loaded before it is needed."""
        self._client = client
        self._kept: dict[int, tuple[Current, BaseException]] = {}
        self._keeping = threading.Lock()
        self._made_room = False
        """Whether failures of this run were let go for later ones."""
        self._talks: dict[int, Conversation] = {}
        self._threads: dict[int, threading.Thread] = {}
        sys.breakpointhook = self._on_breakpoint
        for name in DEBUGGERS:
            on_import.patch(name, self._patch)

    # ---- failures ----------------------------------------------------------------------

    def keep(self, call: Current, error: BaseException) -> bool:
        """Keep what was raised, with its frames; say whether that is so."""
        if not call.run_id:
            return False
        with self._keeping:
            before = self._kept.pop(call.task_id, None)  # of a method that was tried again
            old = [t for t in list(self._kept)[1:] if t not in self._threads]
            if before is None and len(self._kept) >= KEPT_MAX and old:
                before = self._kept.pop(old[0])
                self._made_room = True
            self._kept[call.task_id] = (call, error)
        if before is not None and call.task_id not in self._threads:
            errors.clear_frames(before[1])
        return True

    def forget(self) -> None:
        """Let go of all kept failures that nobody looks at."""
        with self._keeping:
            self._made_room = False
            gone = [self._kept.pop(t) for t in list(self._kept) if t not in self._threads]
        for _, error in gone:
            errors.clear_frames(error)

    # ---- what drivers want ---------------------------------------------------------------

    def on_message(self, message: messages.Debug) -> None:
        """Take a line, open a failure, or interrupt what was evaluated; in the reading thread."""
        talk = self._talks.get(message.task_id)
        if message.kind == "open" and talk is None:
            self._open(message.task_id, message.text)
        elif talk is not None and message.kind == "line":
            talk.answer(message.text)
        elif message.kind == "interrupt":
            thread = self._threads.get(message.task_id)
            if thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
                )

    def _open(self, task_id: int, beyond: str) -> None:
        with self._keeping:  # nobody lets it go before it is known that it is looked at
            kept = self._kept.get(task_id)
            if kept is None:
                nobody = current.Current(task_id)
                why = MANY if self._made_room else "its frames were let go"
                Conversation(self._client, nobody).say("end", why)
                return
            talk = self._talks[task_id] = Conversation(self._client, kept[0])
            thread = self._threads[task_id] = threading.Thread(
                target=self._look_at,
                args=(talk, kept[1], beyond),
                name="burrow-debugger",
                daemon=True,
            )
        thread.start()

    def _look_at(self, talk: Conversation, error: BaseException, beyond: str) -> None:
        from burrow_jupyter.engine import remote_pdb  # noqa: PLC0415  # pdb, for those who debug

        task_id = talk.call.task_id
        # What is evaluated is nobody's call: it blocks no task and ends none.
        current.concurrent.set(current.Current(0, talk.call.run_id))
        try:
            remote_pdb.post_mortem(talk, error, beyond)
        finally:
            del self._talks[task_id], self._threads[task_id]
            talk.send()
            talk.say("end")

    # ---- breakpoints ---------------------------------------------------------------------

    def _on_breakpoint(self, *args: Any, **kwargs: Any) -> Any:
        if os.environ.get("PYTHONBREAKPOINT"):
            return sys.__breakpointhook__(*args, **kwargs)  # noqa: T100  # as its user wants
        return self._stop(sys._getframe().f_back)  # noqa: SLF001  # as the built-in one

    def _patch(self, module: Any) -> None:
        def set_trace(
            frame: Any = None, *_: Any, header: str | None = None, cond: Any = True, **__: Any
        ) -> None:
            if header is not None:
                print(header)  # noqa: T201  # the user's own
            if cond:
                # The original's first argument may be a frame, or a number of lines.
                given = frame if hasattr(frame, "f_code") else None
                self._stop(given or sys._getframe().f_back)  # noqa: SLF001  # as the original

        module.set_trace = set_trace

    def _stop(self, frame: FrameType | None) -> None:
        """Open a debugger in the caller's frame, unless one steps through the call already."""
        from burrow_jupyter.engine import remote_pdb  # noqa: PLC0415  # pdb, for those who debug

        call = current.call()
        talk = self._talks.get(call.task_id)
        if talk is None:
            talk = self._talks[call.task_id] = _AtBreakpoint(self._client, call)
        remote_pdb.stop(talk, frame)

    def end_of_call(self, call: Current) -> None:
        """A call has ended; a debugger that stepped through it has as well."""
        if not self._talks:
            return
        talk = self._talks.get(call.task_id)
        if isinstance(talk, _AtBreakpoint):
            del self._talks[call.task_id]
            talk.send()
            talk.say("end")
