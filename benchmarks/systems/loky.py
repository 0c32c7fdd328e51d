"""loky's reusable executor; large arrays through joblib, which is its usual face."""

from __future__ import annotations

from concurrent.futures import as_completed
from typing import TYPE_CHECKING, Any

import loky

from benchmarks.systems import WORKERS
from benchmarks.systems.base import System

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BATCHES = 8 * WORKERS


class Adapter(System):
    """The executor that a program shares."""

    executor: Any

    def start(self) -> None:
        """Make the executor; its workers start with the first call."""
        self.executor = loky.get_reusable_executor(max_workers=WORKERS, timeout=600)

    def stop(self) -> None:
        """End the workers."""
        self.executor.shutdown(wait=True, kill_workers=True)

    def remote(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Submit to the executor."""
        submit = self.executor.submit

        def call(*arguments: Any) -> Any:
            return submit(function, *arguments)

        return call

    def get(self, future: Any) -> Any:
        """Take the result."""
        return future.result()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Map in batches."""
        items = list(items)
        size = max(1, len(items) // _BATCHES)
        return list(self.executor.map(function, items, chunksize=size))

    def completions(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Loop over `as_completed`."""
        futures = [self.executor.submit(function, item) for item in items]
        for future in as_completed(futures):
            yield future.result()

    def share(self, function: Callable[[Any], Any], value: Any, calls: int) -> list[Any]:
        """Use joblib, which writes a large array once and has the workers map it."""
        import joblib  # noqa: PLC0415  # only this workload needs it

        parallel = joblib.Parallel(n_jobs=WORKERS, backend="loky")
        return list(parallel(joblib.delayed(function)(value) for _ in range(calls)))
