"""Ray, without its dashboard and its usage report."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the warning it gives otherwise

import ray
from ray.util.multiprocessing import Pool

from benchmarks.calls import noop
from benchmarks.systems import WORKERS
from benchmarks.systems.base import System

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_inner = ray.remote(noop)


@ray.remote  # type: ignore[untyped-decorator]  # Ray is not typed here
def _outer(count: int) -> int:
    return len(ray.get([_inner.remote(number) for number in range(count)]))


class Adapter(System):
    """Ray on this machine."""

    def __init__(self) -> None:
        self.pool: Pool | None = None

    def start(self) -> None:
        """Start a local cluster."""
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    def stop(self) -> None:
        """End it."""
        ray.shutdown()

    def remote(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Hand out `.remote` itself."""
        submit: Callable[..., Any] = ray.remote(function).remote
        return submit

    def get(self, future: Any) -> Any:
        """Do `ray.get`."""
        return ray.get(future)

    def get_all(self, futures: Sequence[Any]) -> list[Any]:
        """Do `ray.get` of a list."""
        values: list[Any] = ray.get(list(futures))
        return values

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Use Ray's process pool, which makes batches; the pool is made once."""
        if self.pool is None:
            self.pool = Pool(WORKERS)
        values: list[Any] = self.pool.map(function, items)
        return values

    def completions(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Loop over `ray.wait`."""
        submit = ray.remote(function).remote
        pending = [submit(item) for item in items]
        while pending:
            (ready,), pending = ray.wait(pending)
            yield ray.get(ready)

    def can_depend(self) -> bool:
        """Refs are arguments."""
        return True

    def actor(self, cls: type) -> Any:
        """Create an actor, which has a process of its own."""
        return ray.remote(cls).remote()

    def method(self, actor: Any, name: str) -> Callable[..., Any]:
        """Hand out the method's `.remote`."""
        submit: Callable[..., Any] = getattr(actor, name).remote
        return submit

    def end_actor(self, actor: Any) -> None:
        """Do `ray.kill`."""
        ray.kill(actor)

    def put(self, value: Any) -> Any:
        """Do `ray.put`."""
        return ray.put(value)

    def nested(self, outer: int, inner: int) -> int:
        """Tasks submit tasks."""
        return sum(ray.get([_outer.remote(inner) for _ in range(outer)]))
