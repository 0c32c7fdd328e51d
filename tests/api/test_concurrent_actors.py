"""Async and threaded actors, concurrency groups, exits and cancelled calls."""

from __future__ import annotations

import asyncio
import threading

import pytest

import burrow
from burrow import exceptions
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("two_cpus")


@burrow.remote
class Gate:
    """Calls wait here for each other, which serial calls never could."""

    def __init__(self):
        self.event = asyncio.Event()
        self.waiting = 0

    async def wait(self):
        self.waiting += 1
        await self.event.wait()
        return "through"

    async def open(self):
        self.event.set()

    async def count(self):
        return self.waiting

    async def identity(self):
        before = burrow.get_runtime_context().get_task_id()
        await asyncio.sleep(0)
        return before == burrow.get_runtime_context().get_task_id(), before

    async def fail(self):
        raise KeyError("async")

    async def items(self, n):
        for i in range(n):
            yield i

    async def leave(self):
        burrow.exit_actor()


@burrow.remote(max_concurrency=4)
class Threads:
    def __init__(self):
        self.barrier = threading.Barrier(4)

    def meet(self):
        self.barrier.wait(20)
        return threading.current_thread().name


def test_async_calls_wait_for_each_other():
    gate = Gate.remote()
    waiting = [gate.wait.remote() for _ in range(50)]
    wait_until(lambda: burrow.get(gate.count.remote()) == 50, 20, "all calls to have begun")
    gate.open.remote()

    assert burrow.get(waiting, timeout=20) == ["through"] * 50


def test_each_async_call_keeps_its_own_identity():
    gate = Gate.remote()
    same, ids = zip(*burrow.get([gate.identity.remote() for _ in range(100)]), strict=True)

    assert all(same)
    assert len(set(ids)) == 100


def test_errors_and_streams_of_async_actors():
    gate = Gate.remote()
    with pytest.raises(KeyError, match="async"):
        burrow.get(gate.fail.remote(), timeout=20)
    assert [burrow.get(ref) for ref in gate.items.remote(5)] == list(range(5))


def test_a_coroutine_is_cancelled_and_its_neighbours_are_not():
    gate = Gate.remote()
    first, second = gate.wait.remote(), gate.wait.remote()
    wait_until(lambda: burrow.get(gate.count.remote()) == 2, 20, "both calls to have begun")
    burrow.cancel(first)
    with pytest.raises(exceptions.TaskCancelledError):
        burrow.get(first, timeout=20)
    gate.open.remote()
    assert burrow.get(second, timeout=20) == "through"


def test_threads_of_an_actor_meet():
    threads = Threads.remote()
    names = burrow.get([threads.meet.remote() for _ in range(4)], timeout=30)
    assert len(set(names)) == 4


def test_a_full_group_does_not_hold_up_another():
    @burrow.remote(concurrency_groups={"io": 1, "compute": 1})
    class Grouped:
        def __init__(self):
            self.event = threading.Event()

        @burrow.method(concurrency_group="io")
        def block(self):
            return self.event.wait(20)

        @burrow.method(concurrency_group="compute")
        def release(self):
            self.event.set()

        def default(self):
            return 1

    grouped = Grouped.remote()
    blocked = [grouped.block.remote() for _ in range(3)]
    assert burrow.get(grouped.default.remote(), timeout=20) == 1
    burrow.get(grouped.release.remote(), timeout=20)
    assert burrow.get(blocked, timeout=20) == [True] * 3
    with pytest.raises(Exception, match="nowhere"):
        burrow.get(grouped.default.options(concurrency_group="nowhere").remote(), timeout=20)


@pytest.mark.parametrize("kind", ["serial", "async"])
def test_exit_actor_ends_it_and_says_so(kind):
    @burrow.remote(max_restarts=5)
    class Serial:
        def leave(self):
            burrow.exit_actor()

    actor = Serial.remote() if kind == "serial" else Gate.remote()
    for _ in range(2):
        with pytest.raises(exceptions.RayActorError, match="exit_actor"):
            burrow.get(actor.leave.remote(), timeout=20)
    with pytest.raises(TypeError):
        burrow.exit_actor()


def test_terminate_ends_it_after_the_calls_before_it():
    @burrow.remote
    class Counter:
        def __init__(self):
            self.n = 0

        def add(self):
            self.n += 1
            return self.n

    counter = Counter.remote()
    refs = [counter.add.remote() for _ in range(10)]
    counter.__ray_terminate__.remote()
    assert burrow.get(refs, timeout=20) == list(range(1, 11))
    with pytest.raises(exceptions.RayActorError, match="terminate"):
        burrow.get(counter.add.remote(), timeout=20)


def test_a_method_that_runs_sees_its_flag_and_its_ref_is_cancelled():
    @burrow.remote(max_concurrency=2)
    class Slow:
        def __init__(self):
            self.seen = False

        def work(self):
            wait_until(burrow.get_runtime_context().is_canceled, 20, "the flag")
            self.seen = True

        def has_seen(self):
            return self.seen

    slow = Slow.remote()
    ref = slow.work.remote()
    burrow.get(slow.has_seen.remote(), timeout=20)
    burrow.cancel(ref)
    with pytest.raises(exceptions.TaskCancelledError):
        burrow.get(ref, timeout=20)
    assert burrow.get(slow.has_seen.remote(), timeout=20)
    with pytest.raises(ValueError, match="kill"):
        burrow.cancel(slow.has_seen.remote(), force=True)
