"""Burrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import burrow
from benchmarks.calls import noop
from benchmarks.systems import WORKERS
from benchmarks.systems.base import System
from burrow_jupyter.api.util.completion import map as map_in_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_inner = burrow.remote(noop)


@burrow.remote
def _outer(count: int) -> int:
    return len(burrow.get([_inner.remote(number) for number in range(count)]))


class Adapter(System):
    """Burrow as a script uses it."""

    def start(self) -> None:
        """Start a burrow."""
        burrow.init(num_cpus=WORKERS)

    def stop(self) -> None:
        """End it."""
        burrow.shutdown()

    def remote(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Hand out `.remote` itself."""
        submit: Callable[..., Any] = burrow.remote(function).remote
        return submit

    def get(self, future: Any) -> Any:
        """Do `burrow.get`."""
        return burrow.get(future)

    def get_all(self, futures: Sequence[Any]) -> list[Any]:
        """Do `burrow.get` of a list."""
        values: list[Any] = burrow.get(list(futures))
        return values

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Do `burrow.map`."""
        return list(map_in_batches(function, items))

    def completions(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Loop over `burrow.wait`."""
        submit = burrow.remote(function).remote
        pending = [submit(item) for item in items]
        while pending:
            (ready,), pending = burrow.wait(pending)
            yield burrow.get(ready)

    def can_depend(self) -> bool:
        """Refs are arguments."""
        return True

    def actor(self, cls: type) -> Any:
        """Create an actor with a process of its own."""
        return burrow.remote(cls).remote()

    def method(self, actor: Any, name: str) -> Callable[..., Any]:
        """Hand out the method's `.remote`."""
        submit: Callable[..., Any] = getattr(actor, name).remote
        return submit

    def end_actor(self, actor: Any) -> None:
        """Do `burrow.kill`."""
        burrow.kill(actor)

    def put(self, value: Any) -> Any:
        """Do `burrow.put`."""
        return burrow.put(value)

    def nested(self, outer: int, inner: int) -> int:
        """Tasks submit tasks."""
        return sum(burrow.get([_outer.remote(inner) for _ in range(outer)]))
