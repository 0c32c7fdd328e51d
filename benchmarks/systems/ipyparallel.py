"""IPython Parallel: a controller and engines on this machine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import ipyparallel

from benchmarks.systems import WORKERS
from benchmarks.systems.base import System

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BATCHES = 8 * WORKERS
_NAME = "stored"


class Adapter(System):
    """A cluster, with the load-balanced view for tasks and the direct one for data."""

    cluster: ipyparallel.Cluster
    client: ipyparallel.Client

    def start(self) -> None:
        """Start controller and engines and wait for them."""
        self.cluster = ipyparallel.Cluster(n=WORKERS, log_level=logging.ERROR)
        self.client = self.cluster.start_and_connect_sync(activate=False)
        self.tasks = self.client.load_balanced_view()
        self.engines = self.client[:]

    def stop(self) -> None:
        """End them."""
        self.client.close()
        self.cluster.stop_cluster_sync()

    def remote(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Submit to the engine that has least to do."""
        apply = self.tasks.apply_async

        def call(*arguments: Any) -> Any:
            return apply(function, *arguments)

        return call

    def get(self, future: Any) -> Any:
        """Take the result."""
        return future.get()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Map in batches over the load-balanced view."""
        items = list(items)
        size = max(1, len(items) // _BATCHES)
        return list(self.tasks.map_sync(function, items, chunksize=size))

    def completions(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Iterate over an unordered map, one item a task."""
        yield from self.tasks.map_async(function, list(items), ordered=False)

    def put(self, value: Any) -> Any:
        """Push the value to every engine, by name."""
        self.engines.push({_NAME: value}, block=True)
        return ipyparallel.Reference(_NAME)

    def fetch(self, stored: Any) -> Any:
        """Pull it from the first engine."""
        return self.client[0].pull(_NAME, block=True)
