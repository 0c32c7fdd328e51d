"""Area 12: awaiting from outside."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading

import pytest

import burrow
from conformance.calls import Counter, Mine, add, fail, gated
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


async def value_of(ref):
    return await ref


def test_12_1_refs_are_awaited_in_any_loop():
    assert asyncio.run(value_of(add.remote(1))) == 2
    found = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(value_of(add.remote(2)))))
    thread.start()
    thread.join(20)
    assert found == [3]


def test_12_1_in_tasks():
    @burrow.remote
    def task():
        async def inside():
            return await asyncio.gather(add.remote(1), add.remote(2))

        return asyncio.run(inside())

    @burrow.remote
    async def coroutine():
        return await add.remote(3)

    assert burrow.get(task.remote()) == [2, 3]
    assert burrow.get(coroutine.remote()) == 4


def test_12_1_a_future_of_the_standard_library():
    future = add.remote(1).future()

    assert isinstance(future, concurrent.futures.Future)
    assert future.result(20) == 2
    assert future.done()
    called = []
    other = Counter.remote(5).get.remote().future()
    other.add_done_callback(lambda done: called.append(done.result()))
    wait_until(lambda: called == [5], 10, "the callback")
    assert isinstance(fail.remote().future().exception(20), Mine)


def test_12_1_a_future_of_asyncio():
    async def ask():
        future = add.remote(1).as_future()
        assert isinstance(future, asyncio.Future)
        return await future

    assert asyncio.run(ask()) == 2


def test_12_2_a_cancelled_or_late_await_cancels_no_task(tmp_path):
    gate = tmp_path / "gate"
    ref = gated.remote(gate, "done")

    async def ask():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ref, 0.05)
        waiting = asyncio.ensure_future(ref.as_future())
        waiting.cancel()
        gate.touch()
        return await ref, await ref

    assert asyncio.run(ask()) == ("done", "done")


def test_12_2_a_task_that_gives_up_one_await_goes_on_with_the_others(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote
    def all_but_one(opened):
        async def inside():
            kept = [asyncio.ensure_future(add.remote(*opened).as_future()) for _ in range(2)]
            given_up = add.remote(1).as_future()
            given_up.cancel()
            await asyncio.sleep(0)
            burrow.available_resources()  # is answered after the head has heard of all that
            gate.touch()
            return await asyncio.gather(*kept)

        return asyncio.run(inside())

    # As many as there are CPUs, so that those that are awaited need what is lent to them.
    count = int(burrow.cluster_resources()["CPU"])
    opened = gated.options(num_cpus=0).remote(gate, 1)
    refs = [all_but_one.remote([opened]) for _ in range(count)]

    assert burrow.get(refs, timeout=30) == [[2, 2]] * count


def test_12_3_errors_come_out_of_await():
    ref = fail.remote("awaited")

    for _ in range(2):
        with pytest.raises(Mine, match="awaited"):
            asyncio.run(value_of(ref))


def test_12_3_an_un_awaited_future_is_silent(capfd):
    async def forget():
        ref = fail.remote("forgotten")
        future = ref.as_future()
        burrow.wait([ref])
        await asyncio.sleep(0.02)
        assert future.done()

    asyncio.run(forget())
    gc.collect()
    assert "never retrieved" not in capfd.readouterr().err
    wait_until(lambda: gc.collect() >= 0 and not burrow.objects(), 5, "nothing to be left")


def test_12_1_tasks_that_await_lend_their_cpus(shared):
    @burrow.remote
    def leaf(x):
        return x

    @burrow.remote
    async def branch(depth):
        if not depth:
            return await leaf.remote(1)
        return sum(await asyncio.gather(*[branch.remote(depth - 1) for _ in range(2)]))

    assert burrow.get(branch.remote(3), timeout=60) == 8
