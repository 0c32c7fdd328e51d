"""A fixed set of actors that share work."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import checks
from burrow_jupyter.api.calls import get, wait
from burrow_jupyter.api.exceptions import ActorDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from burrow_jupyter.api.actors import ActorHandle


class ActorPool:
    """Gives each value to an actor that is free.

    Source: Ray 2.60 `ray.util.ActorPool`.
    """

    def __init__(self, actors: Iterable[ActorHandle]) -> None:
        """Args: actors: handles, each free for the pool's work."""
        self._idle: list[ActorHandle] = list(checks.items("actors", actors))
        self._pending: deque[tuple[Callable[[ActorHandle, Any], Any], Any]] = deque()
        self._running: dict[int, tuple[Any, ActorHandle]] = {}  # by number of the item
        self._next_number = 0
        self._next_return = 0
        self._taken: set[int] = set()  # out of order

    # ---- giving ------------------------------------------------------------------------

    def submit(self, fn: Callable[[ActorHandle, Any], Any], value: Any) -> None:
        """Call `fn(actor, value)`, which returns a ref, as soon as an actor is free."""
        checks.function("fn", fn)
        if not self._idle:
            self._pending.append((fn, value))
            return
        actor = self._idle.pop()
        try:
            result = fn(actor, value)
        except BaseException:
            self._idle.append(actor)
            raise
        self._running[self._next_number] = (result, actor)
        self._next_number += 1

    def map(self, fn: Callable[[ActorHandle, Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        """Submit all values at once; iterate over their results in order."""
        self._forget()
        for value in checks.items("values", values):
            self.submit(fn, value)
        return self._results(self.get_next)

    def map_unordered(
        self, fn: Callable[[ActorHandle, Any], Any], values: Iterable[Any]
    ) -> Iterator[Any]:
        """Submit all values at once; iterate over their results as they come."""
        self._forget()
        for value in checks.items("values", values):
            self.submit(fn, value)
        return self._results(self.get_next_unordered)

    def _results(self, take: Callable[[], Any]) -> Iterator[Any]:
        while self.has_next():
            yield take()

    def _forget(self) -> None:
        """Take what an earlier round has left, so that results do not mix."""
        while self._running:
            try:
                self.get_next_unordered()
            except Exception:  # noqa: BLE001, S112  # an earlier round's, that nobody asks for
                continue
        self._pending.clear()  # no actor is left that could run it

    # ---- taking ------------------------------------------------------------------------

    def has_next(self) -> bool:
        """Say whether a result is there or will come."""
        return bool(self._running or self._pending)

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:  # noqa: FBT001, FBT002  # as in Ray
        """Return the next result in the order of submission.

        Raises:
            StopIteration: nothing is pending.
            TimeoutError: it is not ready in `timeout` seconds; with `ignore_if_timedout`
                it is skipped then.
            ValueError: `get_next_unordered` has taken some of this order.
            RuntimeError: values wait, and no actor is left.
            Exception: of the call.
        """
        timeout = checks.patience("timeout", timeout)
        self._check_next()
        if self._taken:
            msg = "get_next() cannot follow get_next_unordered() before all results were taken"
            raise ValueError(msg)
        number = self._next_return
        result, _ = self._running[number]
        if timeout is not None and not self._is_ready(result, timeout):
            if ignore_if_timedout:
                self._next_return += 1
                self._end(number)
            msg = f"the next result is not ready after {timeout:g} s"
            raise TimeoutError(msg)
        self._next_return += 1
        return self._take(number)

    def get_next_unordered(
        self,
        timeout: float | None = None,
        ignore_if_timedout: bool = False,  # noqa: FBT001, FBT002  # as in Ray
    ) -> Any:
        """Return any next result.

        Raises:
            StopIteration: nothing is pending.
            TimeoutError: none is ready in `timeout` seconds.
            RuntimeError: values wait, and no actor is left.
            Exception: of the call.
        """
        timeout = checks.patience("timeout", timeout)
        self._check_next()
        firsts = {_first(result): number for number, (result, _) in self._running.items()}
        ready, _ = wait(list(firsts), num_returns=1, timeout=timeout)
        if not ready:
            if ignore_if_timedout:
                self._end(next(iter(self._running)))
            msg = f"no result is ready after {timeout:g} s"
            raise TimeoutError(msg)
        number = firsts[ready[0]]
        self._taken.add(number)
        while self._next_return in self._taken:
            self._taken.remove(self._next_return)
            self._next_return += 1
        return self._take(number)

    def _check_next(self) -> None:
        if not self.has_next():
            msg = "no more results to get"
            raise StopIteration(msg)
        if not self._running:
            msg = (
                f"{len(self._pending)} values wait in the pool, and it has no actor that lives; "
                "push() one"
            )
            raise RuntimeError(msg)

    def _is_ready(self, result: Any, timeout: float) -> bool:
        refs = result if isinstance(result, list) else [result]
        ready, _ = wait(refs, num_returns=len(refs), timeout=timeout)
        return len(ready) == len(refs)

    def _take(self, number: int) -> Any:
        result, actor = self._running[number]
        died = False
        try:
            return get(result)
        except ActorDiedError as error:
            died = error.actor_id == actor._actor_id  # noqa: SLF001  # the API's own
            raise
        finally:
            self._end(number, died=died)

    def _end(self, number: int, *, died: bool = False) -> None:
        """A call has ended: its actor, unless it died, gets what waits."""
        _, actor = self._running.pop(number)
        if died:
            return
        self._idle.append(actor)
        if self._pending:
            self.submit(*self._pending.popleft())

    # ---- the actors --------------------------------------------------------------------

    def has_free(self) -> bool:
        """Say whether an actor is free and nothing waits for one."""
        return bool(self._idle) and not self._pending

    def pop_idle(self) -> ActorHandle | None:
        """Take a free actor out of the pool; `None` if there is none."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor: ActorHandle) -> None:
        """Add an actor to the pool.

        Raises:
            ValueError: it is in the pool.
        """
        busy = [handle for _, handle in self._running.values()]
        if actor in self._idle or actor in busy:
            msg = "the actor already belongs to this pool"
            raise ValueError(msg)
        self._idle.append(actor)
        if self._pending:
            self.submit(*self._pending.popleft())


def _first(result: Any) -> Any:
    """Return a ref that stands for a call's results."""
    return result[0] if isinstance(result, list) else result


ActorPool.__module__ = "burrow.util"
