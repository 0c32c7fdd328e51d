"""What this process runs now: the task, its run, its actor.

In a worker of plain tasks one task runs at a time, so it is one value for the whole
process. Actors that run calls side by side set a context variable, which coroutines carry
with them, and so has each thread that belongs to one call (`threads`).
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.core.options import TaskOptions


EXITED = "exit_actor() was called"
EXITED_WITH_0 = "it called sys.exit(0)"
TERMINATED = "it was ended by __ray_terminate__()"


class ExitActor(BaseException):  # no error, but a way out
    """Raised by `exit_actor()` to unwind the method; not an Exception, so rarely caught."""

    def __init__(self, reason: str = EXITED) -> None:
        super().__init__(reason)
        self.reason = reason


class Current:
    """One call that runs."""

    __slots__ = (
        "actor_id",
        "attempt",
        "cancelled",
        "leaving",
        "options",
        "prefix",
        "run_id",
        "seed",
        "seeded",
        "task_id",
    )

    def __init__(
        self,
        task_id: int = 0,
        run_id: int = 0,
        actor_id: int = 0,
        attempt: int = 1,
        options: TaskOptions | None = None,
    ) -> None:
        self.task_id = task_id
        self.run_id = run_id
        self.actor_id = actor_id
        self.attempt = attempt
        self.options = options
        self.cancelled = False
        self.prefix = b""  # of each line that it prints
        self.leaving = False  # `exit_actor()` was called
        self.seed = 0  # of its random numbers, 0 if it draws as it likes
        self.seeded = 0  # calls that it has given seeds to

    def check_leaving(self) -> None:
        """Raise what the user's code has caught, if it has called `exit_actor()`."""
        if self.leaving:
            raise ExitActor


NOTHING = Current()
process_wide: Current = NOTHING
concurrent: ContextVar[Current | None] = ContextVar("burrow-call", default=None)


class WorkerFacts:
    """What a worker knows of itself; `None` fields in a driver."""

    worker_id: int = 0
    gpus: tuple[str, ...] = ()
    actor_options: Any = None
    actor_class: Any = None
    actor_id: int = 0
    restarts: int = 0
    in_worker: bool = False
    pid: int = os.getpid()
    keep: Callable[[Current, BaseException], bool] | None = None
    """Keeps the frames of what a call has raised for a debugger; says whether it does."""


facts = WorkerFacts()


def call() -> Current:
    """Return what the calling code belongs to."""
    return concurrent.get() or process_wide


def set_process_wide(current: Current) -> None:
    """Say what a worker of plain tasks, or a serial actor, runs now."""
    global process_wide  # noqa: PLW0603  # the one value for the whole process
    process_wide = current


def swap_facts(other: WorkerFacts) -> WorkerFacts:
    """Be another worker from here on; return what was before. For calls that run inline."""
    global facts  # the one value for the whole process
    before, facts = facts, other
    return before
