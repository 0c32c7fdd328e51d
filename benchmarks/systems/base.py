"""What the workloads ask of a system; each adapter answers with that system's own best idiom.

Workloads take the functions that they time out of the adapter once, so that between a timed
loop and the system there is nothing where the system's own function can be handed out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class Lacking(Exception):
    """The system has no such thing; the cell of the table stays empty."""


class System:
    """One system, started with two worker processes."""

    def start(self) -> None:
        """Start it so that it can be used; workers may still be on their way."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it and its processes."""
        raise NotImplementedError

    def remote(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what submits a call of `function` and returns its future."""
        raise NotImplementedError

    def get(self, future: Any) -> Any:
        """Wait for one future's value."""
        raise NotImplementedError

    def get_all(self, futures: Sequence[Any]) -> list[Any]:
        """Wait for the values of all."""
        return [self.get(future) for future in futures]

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Map in the system's own way, in batches where it has them."""
        raise Lacking

    def completions(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Submit one task an item; yield the values one by one as they become ready."""
        raise Lacking

    def can_depend(self) -> bool:
        """Say whether a future may be the argument of a task."""
        return False

    def actor(self, cls: type) -> Any:
        """Create an actor; its calls may begin before it is there."""
        raise Lacking

    def method(self, actor: Any, name: str) -> Callable[..., Any]:
        """Return what submits a call of an actor's method."""
        raise Lacking

    def get_calls(self, futures: Sequence[Any]) -> list[Any]:
        """Wait for the values of actor calls."""
        return self.get_all(futures)

    def end_actor(self, actor: Any) -> None:
        """End an actor and the process that it has."""
        raise Lacking

    def put(self, value: Any) -> Any:
        """Store a value for the workers; return what names it."""
        raise Lacking

    def fetch(self, stored: Any) -> Any:
        """Return the value of what `put` has stored."""
        return self.get(stored)

    def share(self, function: Callable[[Any], Any], value: Any, calls: int) -> list[Any]:
        """Give one large value to many tasks; return their results."""
        stored = self.put(value)
        submit = self.remote(function)
        return self.get_all([submit(stored) for _ in range(calls)])

    def nested(self, outer: int, inner: int) -> int:
        """Run `outer` tasks that each run `inner` tasks; return how many ran inside."""
        raise Lacking
