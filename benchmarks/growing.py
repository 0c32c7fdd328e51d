"""One point of a growth curve, in this fresh process; the result goes to a file, as JSON.

    python -m benchmarks.growing KIND SIZE RESULT

Every kind gives the cost of one item in microseconds ("us"); flat is what it should be.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it ships no types

import burrow
from benchmarks import calls, core_decisions
from benchmarks.systems import WORKERS
from benchmarks.timing import duration

if TYPE_CHECKING:
    from collections.abc import Callable

MB = 1e6
BATCH = 1000
ROUND_BYTES = 10_000_000
WARM_ROUNDS = 20

Measured = dict[str, Any]


class Watched:
    """The resident memory of the driver and of the head, from now on."""

    def __init__(self) -> None:
        self.driver = psutil.Process()
        self.head = self.driver.children()[0]
        gc.collect()
        self.before = self._now()

    def _now(self) -> tuple[int, int]:
        return self.driver.memory_info().rss, self.head.memory_info().rss

    def growth(self) -> dict[str, float]:
        """Return by how many MB both have grown."""
        driver, head = self._now()
        return {
            "driver_mb": (driver - self.before[0]) / MB,
            "head_mb": (head - self.before[1]) / MB,
        }


def _tasks(size: int) -> Measured:
    submit = burrow.remote(calls.noop).remote
    watched = Watched()
    began = time.perf_counter()
    values = burrow.get([submit(number) for number in range(size)])
    taken = time.perf_counter() - began
    assert len(values) == size
    return {"us": 1e6 * taken / size, "seconds": taken, **watched.growth()}


def _actors(size: int) -> Measured:
    began = time.perf_counter()
    actors = [burrow.remote(calls.Counter).remote() for _ in range(size)]
    burrow.get([actor.add.remote(1) for actor in actors])
    created = time.perf_counter() - began
    adds = [actor.add.remote for actor in actors]

    def few() -> None:  # with many actors mostly the wake-ups of their processes
        burrow.get([adds[number % size](1) for number in range(BATCH)])

    def many() -> None:
        burrow.get([adds[number % size](1) for number in range(BATCH * size)])

    return {
        "us": 1e6 * duration(many) / (BATCH * size),
        "few_us": 1e6 * duration(few) / BATCH,
        "create_ms": 1000 * created / size,
    }


def _refs(size: int) -> Measured:
    watched = Watched()
    live = [burrow.put(number) for number in range(size)]
    grown = watched.growth()
    submit = burrow.remote(calls.noop).remote
    taken = duration(lambda: burrow.get([submit(number) for number in range(BATCH)]))
    assert len(live) == size
    return {"us": 1e6 * taken / BATCH, **grown}


def _wide(size: int) -> Measured:
    submit: Callable[..., Any] = burrow.remote(calls.add).remote
    began = time.perf_counter()
    root = submit(0, 0)
    values = burrow.get([submit(root, number) for number in range(size)])
    taken = time.perf_counter() - began
    assert values[-1] == size - 1
    return {"us": 1e6 * taken / size}


def _deep(size: int) -> Measured:
    submit: Callable[..., Any] = burrow.remote(calls.successor).remote
    began = time.perf_counter()
    ref: Any = 0
    for _ in range(size):
        ref = submit(ref)
    assert burrow.get(ref) == size
    return {"us": 1e6 * (time.perf_counter() - began) / size}


def _rounds(size: int) -> Measured:
    import numpy as np  # noqa: PLC0415  # only here

    submit = burrow.remote(calls.ends).remote
    value = np.ones(ROUND_BYTES // 8)
    me = psutil.Process()

    def memory() -> float:
        everyone = [me, *me.children(recursive=True)]
        return float(sum(process.memory_full_info().pss for process in everyone)) / MB

    def once() -> None:
        ref = burrow.put(value)
        assert burrow.get(submit(ref)) == 2
        assert burrow.get(ref)[0] == 1

    for _ in range(WARM_ROUNDS):
        once()
    curve = [(0, memory())]
    began = time.perf_counter()
    spent = 0.0
    for number in range(1, size + 1):
        once()
        if number % max(1, size // 10) == 0:
            looked = time.perf_counter()
            curve.append((number, memory()))
            spent += time.perf_counter() - looked
    taken = time.perf_counter() - began - spent
    return {"us": 1e6 * taken / size, "growth_mb": curve[-1][1] - curve[0][1], "curve": curve}


def _workers(size: int) -> Measured:
    mean, slow = core_decisions.measure(size, 20_000, BATCH)
    return {"us": mean, "slow_us": slow}


KINDS: dict[str, Callable[[int], Measured]] = {
    "tasks": _tasks,
    "actors": _actors,
    "refs": _refs,
    "wide": _wide,
    "deep": _deep,
    "workers": _workers,
    "rounds": _rounds,
}


def main() -> None:
    """Measure the point that the command line names."""
    kind, size, result = sys.argv[1:]
    if kind == "workers":
        measured = KINDS[kind](int(size))
    else:
        with burrow.init(num_cpus=WORKERS):
            submit = burrow.remote(calls.noop).remote
            burrow.get([submit(number) for number in range(BATCH)])
            measured = KINDS[kind](int(size))
    Path(result).write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
