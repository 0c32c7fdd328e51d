"""What carries out the API: one protocol, several backends.

A backend knows pickles, processes and waiting; it knows nothing of notebooks, of
decorators or of the exceptions that users see. Ids are integers (`core.ids`), counted
per process: whoever makes a ref calls `adopt` (or got the id counted once from the
verb that made it) and `drop` when the ref dies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from burrow_jupyter.core.failures import Failure
    from burrow_jupyter.core.options import ActorOptions, TaskOptions
    from burrow_jupyter.engine.current import Current


OLD_SESSION = (
    "this ref belongs to a burrow that has ended; run the cell that made it again "
    "in the running one"
)


class Failed(Exception):
    """An object has no value; `failure` says why. The API makes the user's exception of it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class Ended(Exception):
    """The session of a ref, or the backend itself, has ended; the text says which."""


class Backend(Protocol):
    """One session of one backend, as seen by one process."""

    name: str
    session: int
    namespace: str
    totals: dict[str, float]
    waits_for_infeasible: bool
    """Whether what asks for more than there will ever be waits, instead of raising."""

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever submitted or stored in the session by this process."""

    def define(self, target: Any, name: str, meta: bytes = b"", *, run_id: int = 0) -> int:
        """Make a function or class known; return its code id, the same for the same code.

        The id is counted once more by each call, and once less by `let_go`: code that nobody
        holds and no call needs is forgotten, with what it captures.

        Args:
            target: the function or class.
            name: of it, for people.
            meta: what `named_actor` gives to those who look an actor of the class up.
            run_id: in which it is made known.

        Raises:
            TypeError: it cannot be pickled; the text names the path to the culprit.
            ValueError: it is unreasonably large.
        """

    def let_go(self, code_id: int) -> None:
        """Count one holder of a function or class less; callable from `__del__`."""

    def tidy(self) -> None:
        """A cell is over: forget the functions and classes that nobody holds any more."""

    def set_up(
        self, function: Callable[[], object], name: str, *, run_id: int = 0, key: str = ""
    ) -> int:
        """Have every worker call this function once, before anything that is submitted later.

        Args:
            function: takes no arguments.
            name: of it, for people.
            run_id: for this run: at once where nothing runs, until the run is cancelled.
            key: takes the place of what was set up with the same key before.

        Returns:
            Its code id, by which workers report that they have called it for a run.
        """

    def intern(self, options: TaskOptions) -> int:
        """Return the id of these options, the same for equal ones."""

    def submit(
        self,
        code_id: int,
        options_id: int,
        options: TaskOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
    ) -> int:
        """Submit a task; return its id, which is that of its first result.

        Its results (`num_returns` of them, consecutive) are counted once each. Returns at
        once, whatever the task does.

        Raises:
            TypeError: an argument cannot be pickled.
            Ended: an argument is a ref of an ended session.
        """

    def create_actor(
        self,
        code_id: int,
        options: ActorOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
    ) -> int:
        """Make an actor; return its id, counted once.

        Raises:
            ValueError: the name is taken (the text says by whom).
        """

    def call_actor(
        self,
        actor_id: int,
        method: str,
        options_id: int,
        options: TaskOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
        retries: int,
        code_id: int = 0,
    ) -> int:
        """Call a method; like `submit`.

        `code_id` is the class that the actor has from then on, for `messages.UPGRADE`.
        """

    def named_actor(self, name: str, namespace: str) -> tuple[int, bytes, ActorOptions]:
        """Return a living actor's id, the `meta` of its class, and its options.

        Raises:
            LookupError: there is none of that name.
        """

    def put(self, value: Any) -> int:
        """Store a value; return its id, counted once."""

    def get(self, ids: Sequence[int], timeout_s: float | None) -> list[Any]:
        """Return values in order.

        Raises:
            Failed: one of the objects has no value.
            TimeoutError: not all were there in time; nothing was cancelled.
        """

    def ready_among(self, ids: Sequence[int], need: int) -> list[int] | None:
        """Return the positions of the first `need` objects that are known to be ready.

        `None` if so many are not known to be: `wait` finds out.
        """

    def wait(
        self, ids: Sequence[int], need: int, timeout_s: float | None, *, fetch: bool
    ) -> list[bool]:
        """Wait for `need` of the objects; say of each whether it is ready."""

    def when_done(
        self,
        object_id: int,
        callback: Callable[[], None],
        awaited: asyncio.Future[Any] | None = None,
        give_up: Callable[[Failure], None] | None = None,
    ) -> int:
        """Call back from some thread when `get` of this object would not wait.

        Args:
            object_id: of what is waited for.
            callback: called once.
            awaited: the future of it that the running task awaits, and lends its CPU meanwhile.
            give_up: told, from some thread, should the object never come, as it waits for
                the task.

        Returns:
            The number of that wait, for `awaits_no_more`; 0 if nobody waits.
        """

    def was_shown(self, ids: Sequence[int]) -> None:
        """The user has seen how these ended: a failure among them needs no notice."""

    def awaits_no_more(self, number: int, *, came: bool) -> None:
        """One wait of the running task, which `when_done` has numbered, is over or given up."""

    def stream(self, task_id: int, callback: Callable[[Any], None] | None) -> None:
        """Have each item of a generator's task told to `callback`; `None` ends that."""

    def took(self, task_id: int, count: int) -> None:
        """Tell a generator with back-pressure how many of its items were taken."""

    def wait_for(
        self,
        done: Callable[[], bool],
        timeout_s: float | None = None,
        object_ids: Sequence[int] = (),
    ) -> bool:
        """Wait until `done()`, which something that arrives makes true; say whether it is.

        Args:
            done: looked at again whenever something arrives.
            timeout_s: seconds; `None` waits for ever.
            object_ids: what arrives comes of the tasks that make these: they come first, and the
                CPU of the running task is free meanwhile.

        Raises:
            Failed: they never will make it, as they wait for the running task.
        """

    def wait_on(
        self, condition: threading.Condition, done: Callable[[], bool], timeout_s: float | None
    ) -> bool:
        """Wait until `done()`, of which other threads notify this condition; say whether it is.

        The condition is not held by the caller. As in all waits of the main thread, the user may
        be asked something meanwhile.
        """

    def awaits_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody begins to await in the running loop: the user may be asked something there."""

    def paused(
        self, object_ids: Sequence[int], give_up: Callable[[Failure], None] | None = None
    ) -> AbstractContextManager[None]:
        """Lend the CPU of the running task while it waits for more than objects.

        Args:
            object_ids: results of the tasks that it waits for; they come first.
            give_up: told, from some thread, should none of them ever come, as they wait for the
                running task; `None`: it may go on without them.
        """

    def end_stream(self, task_id: int) -> None:
        """Nobody wants more of a generator's items; callable from `__del__`."""

    def adopt(self, any_id: int) -> None:
        """Count one more ref or handle of this process."""

    def drop(self, any_id: int) -> None:
        """Count one less; callable from `__del__`."""

    def cancel(self, object_id: int, *, force: bool, recursive: bool) -> None:
        """Cancel the task that makes an object."""

    def cancel_run(self, run_id: int) -> None:
        """Cancel everything that one run has launched."""

    def kill(self, actor_id: int, *, no_restart: bool) -> None:
        """End an actor's process."""

    def free(self, ids: Sequence[int]) -> None:
        """Give up values although there are refs."""

    def ask(self, what: str, *args: Any) -> Any:
        """Ask for something of the state (`core.scheduler.queries` lists the questions)."""

    def open_run(self, label: str, cell_id: str, message_id: str) -> int:
        """Make a run known; return its id."""

    def flush(self) -> None:
        """Send what is queued now."""

    def current(self) -> Current:
        """Return what the calling code belongs to: a task, an actor's call, or nothing."""

    def abandon(self) -> None:
        """Leave the session to the parent, in a child that user code has forked."""

    def close(self) -> None:
        """End the session; returns when everything of it is gone."""
