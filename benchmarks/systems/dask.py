"""Dask distributed with process workers of one thread each, without its dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import distributed

from benchmarks.calls import noop
from benchmarks.systems import WORKERS
from benchmarks.systems.base import System

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


def _outer(count: int) -> int:
    with distributed.worker_client() as client:
        return len(client.gather(client.map(noop, range(count), pure=False)))


class Adapter(System):
    """A local cluster and its client."""

    cluster: distributed.LocalCluster
    client: distributed.Client

    def start(self) -> None:
        """Start scheduler, nannies and workers."""
        self.cluster = distributed.LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=50,
        )
        self.client = distributed.Client(self.cluster)

    def stop(self) -> None:
        """End them."""
        self.client.close()
        self.cluster.close()

    def remote(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Submit impure calls, so that equal ones are not run once only."""
        submit = self.client.submit

        def call(*arguments: Any) -> Any:
            return submit(function, *arguments, pure=False)

        return call

    def get(self, future: Any) -> Any:
        """Take the result."""
        return future.result()

    def get_all(self, futures: Sequence[Any]) -> list[Any]:
        """Gather the results."""
        values: list[Any] = self.client.gather(list(futures))
        return values

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Use a bag, which makes batches."""
        import dask.bag  # noqa: PLC0415  # costs a second of import that only this workload needs

        bag = dask.bag.from_sequence(items, npartitions=4 * WORKERS)
        values: list[Any] = self.client.compute(bag.map(function)).result()
        return values

    def completions(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Loop over `as_completed`."""
        futures = self.client.map(function, list(items), pure=False)
        for _, value in distributed.as_completed(futures, with_results=True):
            yield value

    def can_depend(self) -> bool:
        """Futures are arguments."""
        return True

    def actor(self, cls: type) -> Any:
        """Create an actor, which lives in one of the workers."""
        return self.client.submit(cls, actor=True, pure=False).result()

    def method(self, actor: Any, name: str) -> Callable[..., Any]:
        """Hand out the method itself."""
        submit: Callable[..., Any] = getattr(actor, name)
        return submit

    def get_calls(self, futures: Sequence[Any]) -> list[Any]:
        """Take the results one by one; they are no futures of the client's."""
        return [future.result() for future in futures]

    def end_actor(self, actor: Any) -> None:
        """It ends with its last reference."""

    def put(self, value: Any) -> Any:
        """Scatter the value; in a list, for a dict would be scattered by keys."""
        (future,) = self.client.scatter([value], hash=False)
        return future

    def nested(self, outer: int, inner: int) -> int:
        """Tasks submit tasks with a client of their worker's."""
        return sum(self.client.gather(self.client.map(_outer, [inner] * outer, pure=False)))
