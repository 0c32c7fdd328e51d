"""The user's side of debuggers that run in workers: at breakpoints, and in failures.

A task that stops at a breakpoint is talked to by the main thread where that waits (in `get`, for a
future, or in an event loop), so that its prompt comes in the cell that is busy. Lines are read with
`input`, which notebooks and terminals have made their own.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core.failures import UserError, root_of
from burrow_jupyter.engine.errors import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.backends.protocol import Backend
    from burrow_jupyter.core.messages import Debugged

ALIVE_EVERY_S = 1.0
"""How often it is asked whether the process that one waits for lives."""
OPEN_WITHIN_S = 10.0
"""A process that is busy in C code may take so long to open its frames."""


def task_failure(error: BaseException | None) -> UserError | None:
    """Return the failure of a task that an exception has come from, if it has."""
    failure = failure_of(error) if error is not None else None
    root = root_of(failure) if failure is not None else None
    return root if isinstance(root, UserError) else None


class _Talk:
    """What the debugger of one task has said that was not heard yet."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.events: deque[Debugged] = deque()

    @property
    def waits(self) -> bool:
        """Whether a line is wanted, by somebody who is still there."""
        return any(event.kind == "ask" for event in self.events) and not self.ended

    @property
    def ended(self) -> bool:
        """Whether the debugger has gone, with its task or without."""
        return any(event.kind == "end" for event in self.events)


class Debugger:
    """All debuggers of one session."""

    def __init__(self, backend: Backend, client: Any, say: Callable[[int, str], None]) -> None:
        """Listen to the workers.

        Args:
            backend: of the session.
            client: its connection.
            say: prints a line for the user, under the cell of a run.
        """
        self._backend = backend
        self._client = client
        self._say = say
        self._talks: dict[int, _Talk] = {}
        client.on_debugged = self._hear

    def _hear(self, event: Debugged) -> None:
        """Take what a debugger says; in the reading thread."""
        talk = self._talks.get(event.task_id)
        if event.kind == "stopped":
            talk = talk or self._talks.setdefault(event.task_id, _Talk(event.pid))
            where = f"A task is at a breakpoint: {event.text}."
            self._say(event.run_id, f"{where} A cell that waits for it opens it, as does %debug.")
        if talk is None:
            return  # of another driver
        talk.events.append(event)
        if event.kind == "ask":
            self._client.want_user(self.talk_to_stopped)

    # ---- breakpoints ---------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """Whether a task waits at a breakpoint."""
        return any(talk.waits for talk in self._talks.values())

    def talk_to_stopped(self) -> None:
        """Let the user talk to tasks at breakpoints until none waits."""
        for task_id in [i for i, talk in self._talks.items() if talk.ended]:
            del self._talks[task_id]
        while True:
            waiting = [task_id for task_id, talk in self._talks.items() if talk.waits]
            if not waiting:
                return
            self._converse(waiting[0], give_up="c")

    # ---- failures ------------------------------------------------------------------------

    def look_at(self, root: UserError) -> str:
        """Open the frames, in the worker, of a task that has failed.

        Returns:
            Why that is not possible; "" if the user has looked.
        """
        talk = self._talks[root.task_id] = _Talk(root.pid)
        try:
            self._send(root.task_id, talk, "open")
            if not self._client.wait_until(lambda: bool(talk.events), OPEN_WITHIN_S):
                return f"process {root.pid} is busy and does not answer"
            if talk.events[0].kind == "end":
                return talk.events[0].text
            print(f"In {root.function}, process {root.pid}:")  # noqa: T201  # the session's head
            self._converse(root.task_id, give_up="q")
        except LookupError as lost:
            return str(lost)
        except KeyboardInterrupt:
            self._send(root.task_id, talk, "line", "q\n")
            raise
        finally:
            self._talks.pop(root.task_id, None)
        return ""

    # ---- talking -------------------------------------------------------------------------

    def _send(self, task_id: int, talk: _Talk, kind: str, text: str = "") -> None:
        self._backend.ask("debug", talk.pid, task_id, kind, text)

    def _converse(self, task_id: int, give_up: str) -> None:
        """Carry text and lines both ways until the debugger wants no more."""
        talk = self._talks[task_id]
        while True:
            try:
                event = self._next(task_id, talk)
                if event.kind == "ask":
                    line = self._read_line(event.text, give_up)
                    self._send(task_id, talk, "line", f"{line}\n")
            except LookupError as lost:
                print(f"The debugger is gone: {lost}.")  # noqa: T201  # as the rest of the talk
                del self._talks[task_id]
                return
            talk.events.popleft()  # not before: an interrupted question is asked again
            if event.kind == "text":
                sys.stdout.write(event.text)
                sys.stdout.flush()
            elif event.kind == "end":
                del self._talks[task_id]
                return
            elif event.kind == "goes on":
                return

    def _next(self, task_id: int, talk: _Talk) -> Debugged:
        """Wait for what the debugger says next; an interrupt is the debugger's.

        Raises:
            LookupError: its process has ended.
        """
        while not talk.events:
            try:
                if self._client.wait_until(lambda: bool(talk.events), ALIVE_EVERY_S):
                    break
                self._send(task_id, talk, "alive")
            except KeyboardInterrupt:
                self._send(task_id, talk, "interrupt")
                raise
        return talk.events[0]

    def _read_line(self, prompt: str, give_up: str) -> str:
        try:
            return input(prompt)
        except (EOFError, RuntimeError, NotImplementedError):
            # A program runs the notebook, or a script has no terminal: nobody is there.
            print(f"(nobody can answer here: {give_up})")  # noqa: T201  # as the rest of the talk
            return give_up
