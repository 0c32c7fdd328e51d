"""The workloads: what each does with a system, what it measures, and the goals.

A workload is a function of a started system that returns its measurements by name. The goals
are ratios to Ray and to the best peer in the same run; absolute figures drift with the machine
and are given as a second opinion.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks import calls
from benchmarks.calls import LARGE_BYTES, Counter, noop
from benchmarks.systems.base import Lacking
from benchmarks.timing import duration, quantile, rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.systems.base import System

BATCH = 1000
IDLE_S = 3.0
LONG_S = 150.0

Measured = dict[str, float]


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        key: its name in what the workload returns.
        title: its name in the table.
        unit: of the value.
        is_higher_better: whether more is better; the ratios are turned accordingly.
        goal: the figure to reach.
        times_ray: how many times as good as Ray it should be.
        times_best: how many times as good as the best peer.
        limit: the limit of the machine's (`machine.limits`) that it is compared with.
    """

    key: str
    title: str
    unit: str
    is_higher_better: bool = True
    goal: float | None = None
    times_ray: float | None = None
    times_best: float | None = None
    limit: str = ""


@dataclass(frozen=True)
class Workload:
    """What is run in one fresh process of each system.

    Attributes:
        name: for the command line.
        run: what it does.
        metrics: the rows that it fills.
        bound_s: how long its process may take.
        is_warm: whether the workers have run something before it begins.
        peer_rounds: for the longest: how many rounds the peers get; `None`: all.
    """

    name: str
    run: Callable[[System], Measured]
    metrics: tuple[Metric, ...]
    bound_s: float = 60.0
    is_warm: bool = True
    peer_rounds: int | None = None


def _warm(system: System) -> None:
    submit = system.remote(noop)
    system.get_all([submit(number) for number in range(20)])


def run(workload: Workload, system: System) -> Measured:
    """Warm the system up and measure."""
    if workload.is_warm:
        _warm(system)
    return workload.run(system)


def _start(_: System) -> Measured:
    return {}  # measured by the process itself, from its birth


def _idle(system: System) -> Measured:
    _warm(system)
    me = psutil.Process()
    processes = me.children(recursive=True)
    for process in processes:
        process.cpu_percent()
    _pause(IDLE_S)
    cpu = sum(process.cpu_percent() for process in processes)
    pss = sum(process.memory_full_info().pss for process in processes)
    return {"pss": pss / 1e6, "processes": len(processes), "cpu": cpu}


def _pause(seconds: float) -> None:
    # Idleness is what is measured: there is no condition to wait for.
    time.sleep(seconds)  # noqa: TID251


def _task_single(system: System) -> Measured:
    submit, get = system.remote(noop), system.get
    taken: list[float] = []
    end = time.perf_counter() + 2.0
    now = 0.0
    while len(taken) < 10_000 and now < end:
        began = time.perf_counter()
        get(submit(1))
        now = time.perf_counter()
        taken.append(now - began)
    per_second = len(taken) / sum(taken)
    taken.sort()
    return {
        "rate": per_second,
        "p50": 1000 * quantile(taken, 0.5),
        "p99": 1000 * quantile(taken, 0.99),
    }


def _batch(system: System) -> Measured:
    submit = system.remote(noop)
    taken = duration(lambda: system.get_all([submit(number) for number in range(BATCH)]))
    return {"rate": BATCH / taken}


def _batch_dict(system: System) -> Measured:
    submit = system.remote(calls.renew)

    def once() -> None:
        system.get_all([submit({"id": n, "name": "row", "share": 0.5}) for n in range(BATCH)])

    return {"rate": BATCH / duration(once)}


def _map(system: System) -> Measured:
    system.map(noop, range(100))
    return {
        f"rate_{count}": count / duration(lambda count=count: system.map(noop, range(count)))  # type: ignore[misc]  # as it is now
        for count in (1000, 10_000)
    }


def _actor_single(system: System) -> Measured:
    actor = system.actor(Counter)
    call, get = system.method(actor, "add"), system.get
    get(call(1))
    return {"rate": rate(lambda: get(call(1)), at_most=10_000)}


def _actor_batch(system: System) -> Measured:
    first, second = (system.method(system.actor(Counter), "add") for _ in range(2))
    system.get_calls([first(1), second(1)])

    def one() -> None:
        system.get_calls([first(1) for _ in range(BATCH)])

    def two() -> None:
        futures: list[Any] = []
        for _ in range(BATCH // 2):
            futures += first(1), second(1)
        system.get_calls(futures)

    return {"one": BATCH / duration(one), "two": BATCH / duration(two)}


def _actor_create(system: System) -> Measured:
    def once() -> None:
        actor = system.actor(Counter)
        system.get(system.method(actor, "add")(1))
        system.end_actor(actor)

    once()
    return {"rate": 1 / duration(once, at_most=20)}


def _put_small(system: System) -> Measured:
    stored: list[Any] = []
    put = system.put
    put_rate = rate(lambda: stored.append(put({"a": 1})), at_most=5000)
    fetch = system.fetch
    left = iter(stored)
    get_rate = rate(lambda: fetch(next(left)), at_most=len(stored))
    return {"put": put_rate, "get": get_rate}


def _put_large(system: System) -> Measured:
    value = calls.fresh_array(0)
    system.put(value)  # what comes after finds the pages touched
    system.put(value)
    taken = duration(lambda: system.put(value))
    return {"rate": LARGE_BYTES / 1e9 / taken}


def _get_large(system: System) -> Measured:
    value = calls.fresh_array(0)
    taken = []
    for _ in range(5):  # each the first look at an object: later ones find it mapped
        stored = system.put(value)
        began = time.perf_counter()
        found = system.fetch(stored)
        taken.append(time.perf_counter() - began)
        assert found[-1] == 1
        del stored, found
    return {"ms": 1000 * median(taken)}


def _read_large(system: System) -> Measured:
    value = calls.fresh_array(0)
    system.share(calls.ends, value, 4)
    taken = duration(lambda: system.share(calls.ends, value, 20))
    return {"ms": 1000 * taken / 20}


def _return_large(system: System) -> Measured:
    submit = system.remote(calls.fresh_array)

    def once() -> None:
        assert system.get(submit(0))[-1] == 1

    once()
    once()
    return {"ms": 1000 * duration(once)}


def _one_by_one(system: System) -> Measured:
    def once() -> None:
        assert sum(1 for _ in system.completions(noop, range(BATCH))) == BATCH

    return {"ms": 1000 * duration(once)}


def _depending(system: System) -> None:
    if not system.can_depend():
        raise Lacking


def _chain(system: System) -> Measured:
    _depending(system)
    submit = system.remote(calls.successor)

    def once() -> None:
        future: Any = 0
        for _ in range(BATCH):
            future = submit(future)
        assert system.get(future) == BATCH

    return {"ms": 1000 * duration(once)}


def _tree(system: System) -> Measured:
    _depending(system)
    leaf, node = system.remote(calls.successor), system.remote(calls.add)

    def once() -> None:
        level = [leaf(0) for _ in range(256)]
        while len(level) > 1:
            level = [node(*pair) for pair in zip(level[::2], level[1::2], strict=True)]
        assert system.get(level[0]) == 256

    return {"ms": 1000 * duration(once)}


def _nested(system: System) -> Measured:
    def once() -> None:
        assert system.nested(10, 100) == BATCH

    once()
    return {"rate": BATCH / duration(once)}


def _cpu_bound(system: System) -> Measured:
    submit = system.remote(calls.busy)
    taken = duration(lambda: system.get_all([submit(1.0) for _ in range(4)]), at_most=1)
    return {"percent": 100 * 4.0 / (2 * taken)}


def _many(system: System) -> Measured:
    count = 100_000
    submit = system.remote(noop)
    me = psutil.Process()
    before = me.memory_info().rss
    began = time.perf_counter()
    futures = [submit(number) for number in range(count)]
    values = system.get_all(futures)
    taken = time.perf_counter() - began
    assert len(values) == count
    return {"seconds": taken, "growth": (me.memory_info().rss - before) / 1e6}


_LIST = (
    Workload(
        "start",
        _start,
        (Metric("seconds", "import + start + first result", "s", False, 0.35, 9, 1, "python_s"),),
        is_warm=False,
    ),
    Workload(
        "idle",
        _idle,
        (
            Metric("pss", "idle: memory without driver", "MB PSS", False, 60),
            Metric("processes", "idle: processes", "", False, 4),
            Metric("cpu", "idle: CPU", "%", False, 0.5),
        ),
    ),
    Workload(
        "task_single",
        _task_single,
        (
            Metric("rate", "task, one at a time", "/s", True, 10_000, 24, 6, "round_trip_per_s"),
            Metric("p50", "the same: median latency", "ms", False),
            Metric("p99", "the same: 99th percentile", "ms", False, 0.5),
        ),
    ),
    Workload(
        "task_batch",
        _batch,
        (Metric("rate", "1,000 tasks, get all", "/s", True, 40_000, 29, 10, "pickle_call_per_s"),),
    ),
    Workload(
        "task_dict",
        _batch_dict,
        (Metric("rate", "the same, dict to dict", "/s", True, 30_000),),
    ),
    Workload(
        "map",
        _map,
        (
            Metric("rate_1000", "map over 1,000 no-ops", "/s", True, 60_000, None, 2),
            Metric("rate_10000", "map over 10,000 no-ops", "/s", True, 250_000, None, 2),
        ),
        bound_s=120,
    ),
    Workload(
        "actor_single",
        _actor_single,
        (
            Metric(
                "rate",
                "actor call, one at a time",
                "/s",
                True,
                10_000,
                13,
                None,
                "round_trip_per_s",
            ),
        ),
    ),
    Workload(
        "actor_batch",
        _actor_batch,
        (
            Metric("one", "1,000 actor calls", "/s", True, 50_000, 13),
            Metric("two", "1,000 calls to two actors", "/s", True, 50_000, 13),
        ),
    ),
    Workload(
        "actor_create",
        _actor_create,
        (Metric("rate", "create an actor and call it", "/s", True, 80, 30, None, "fork_per_s"),),
    ),
    Workload(
        "put_small",
        _put_small,
        (
            Metric("put", "put small", "/s", True, 60_000, None, None, "pickle_value_per_s"),
            Metric("get", "get small", "/s", True, 250_000, None, None, "pickle_value_per_s"),
        ),
    ),
    Workload(
        "put_100mb",
        _put_large,
        (Metric("rate", "put 100 MB, warm", "GB/s", True, 8, 3.4, None, "copy_gb_per_s"),),
    ),
    Workload("get_100mb", _get_large, (Metric("ms", "get 100 MB", "ms", False, 0.2),)),
    Workload(
        "read_100mb",
        _read_large,
        (Metric("ms", "put 100 MB, read by 20 tasks, a task", "ms", False, 1),),
        bound_s=120,
    ),
    Workload(
        "return_100mb",
        _return_large,
        (Metric("ms", "task returns 100 MB", "ms", False, 30, None, None, "fresh_array_ms"),),
    ),
    Workload(
        "one_by_one",
        _one_by_one,
        (Metric("ms", "submit 1,000, wait one by one", "ms", False, 60),),
        bound_s=120,
    ),
    Workload(
        "chain", _chain, (Metric("ms", "chain of 1,000 tasks", "ms", False, 60, 36),), bound_s=120
    ),
    Workload("tree", _tree, (Metric("ms", "tree reduce over 256 leaves", "ms", False, 25, 17),)),
    Workload("nested", _nested, (Metric("rate", "10 tasks of 100 each", "/s", True, 12_000, 23),)),
    Workload(
        "cpu_bound",
        _cpu_bound,
        (
            Metric(
                "percent", "4 x 1 s of CPU: efficiency", "%", True, 98, None, None, "cpu_percent"
            ),
        ),
    ),
    Workload(
        "many",
        _many,
        (
            Metric("seconds", "100,000 tasks", "s", False, 3),
            Metric("growth", "the same: growth of the driver", "MB", False, 60),
        ),
        bound_s=LONG_S,
        peer_rounds=1,
    ),
)

WORKLOADS = {workload.name: workload for workload in _LIST}
