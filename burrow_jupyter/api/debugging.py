"""The user's side of debuggers that run in workers: at breakpoints, and in failures.

A task that stops at a breakpoint is talked to by the main thread where that waits (in `get`, for a
future, or in an event loop), so that its prompt comes in the cell that is busy. Lines are read with
`input`, which notebooks and terminals have made their own.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context
from burrow_jupyter.api.exceptions import (
    ActorDiedError,
    GetTimeoutError,
    RayError,
    WorkerCrashedError,
)
from burrow_jupyter.core.failures import UserError, root_of
from burrow_jupyter.engine.errors import failed_tasks, failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.backends.protocol import Backend
    from burrow_jupyter.core.failures import FailedTask
    from burrow_jupyter.core.messages import Debugged

ALIVE_EVERY_S = 1.0
"""How often it is asked whether the process that one waits for lives."""
OPEN_WITHIN_S = 10.0
"""A process that is busy in C code may take so long to open its frames."""


def tasks_behind(error: BaseException | None) -> list[FailedTask]:
    """Return the tasks that an exception came through, the one that it was raised in first.

    Each of the others has waited for the one before.
    """
    failure = failure_of(error) if error is not None else None
    root = root_of(failure) if failure is not None else None
    return failed_tasks(root) if isinstance(root, UserError) else []


def without_frames(error: BaseException | None) -> str:
    """Say why an error of ours comes without frames of a task; "" for errors of others."""
    match error:
        case GetTimeoutError():
            return "none has failed"
        case ActorDiedError(actor_init_failed=True, class_name=name):
            return f"the process of {name} ended with its __init__"
        case ActorDiedError() | WorkerCrashedError():
            return "its process has died"
        case RayError():
            return f"a {type(error).__name__} comes from no line of its code"
    return ""


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

    def look_at(self, tasks: list[FailedTask]) -> bool:
        """Open the frames, in the workers, of tasks that have failed: of the first one first.

        From its oldest frame `up` goes on to those of the task that has waited for it.

        Args:
            tasks: as from `tasks_behind`.

        Returns:
            Whether the user has looked; else it was said why that is not possible.
        """
        left = list(tasks)
        at, went = 0, ""
        while left:
            beyond = {"up": "newest", "down": "oldest", "": ""}[went]
            beyond += " down" * (at > 0) + " up" * (at + 1 < len(left))
            caller = left[at + 1].function if at + 1 < len(left) else ""
            try:
                went = self._open(left[at], beyond, caller)
            except LookupError as refused:
                print(f"The frames of {left[at].function} cannot be looked at: {refused}.")  # noqa: T201  # the magic's answer
                del left[at]
                if went == "up":  # back to where the user was
                    at -= 1
                went = {"up": "down", "down": "up", "": ""}[went]
                continue
            if not went:
                return True
            at += 1 if went == "up" else -1
        return False

    def _open(self, task: FailedTask, beyond: str, caller: str) -> str:
        """Open the frames of one task; say whether the user has left "up" or "down" from there.

        Raises:
            LookupError: that is not possible.
        """
        task_id = task.task_id
        talk = self._talks[task_id] = _Talk(task.pid)
        try:
            self._send(task_id, talk, "open", beyond)
            if not self._client.wait_until(lambda: bool(talk.events), OPEN_WITHIN_S):
                msg = f"process {task.pid} is busy and does not answer"
                raise LookupError(msg)
            if talk.events[0].kind == "end":
                raise LookupError(talk.events[0].text)
            cell = context.label_of_run(task.run_id)
            where = f"{task.function}{f' of {cell}' if cell else ''}, process {task.pid}"
            called = f"; u from its oldest frame goes on to {caller}" if caller else ""
            print(f"In {where}{called}:")  # noqa: T201  # the session's head
            return self._converse(task_id, give_up="q")
        except KeyboardInterrupt:
            self._send(task_id, talk, "line", "q\n")
            raise
        finally:
            self._talks.pop(task_id, None)

    # ---- talking -------------------------------------------------------------------------

    def _send(self, task_id: int, talk: _Talk, kind: str, text: str = "") -> None:
        self._backend.ask("debug", talk.pid, task_id, kind, text)

    def _converse(self, task_id: int, give_up: str) -> str:
        """Carry text and lines both ways until the debugger wants no more.

        Returns:
            "up" or "down" if the user has left for frames of another task, else "".
        """
        talk = self._talks[task_id]
        went = ""
        while True:
            try:
                event = self._next(task_id, talk)
                if event.kind == "ask":
                    line = self._read_line(event.text, give_up)
                    self._send(task_id, talk, "line", f"{line}\n")
            except LookupError as lost:
                print(f"The debugger is gone: {lost}.")  # noqa: T201  # as the rest of the talk
                del self._talks[task_id]
                return went
            talk.events.popleft()  # not before: an interrupted question is asked again
            if event.kind == "text":
                sys.stdout.write(event.text)
                sys.stdout.flush()
            elif event.kind in ("up", "down"):
                went = event.kind
            elif event.kind == "end":
                del self._talks[task_id]
                return went
            elif event.kind == "goes on":
                return went

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
