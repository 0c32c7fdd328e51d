"""Generator tasks: streams, errors in the middle, back-pressure, fixed numbers."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import numpy as np
import pytest

import burrow
from burrow import exceptions
from helpers.gates import leave_trace, pass_gate
from helpers.wait import holds_for, wait_until

pytestmark = pytest.mark.usefixtures("two_cpus")


@burrow.remote
def count(n):
    yield from range(n)


def test_items_come_as_refs_and_the_stream_ends():
    stream = count.remote(3)
    assert isinstance(stream, burrow.ObjectRefGenerator)
    assert [burrow.get(ref) for ref in stream] == [0, 1, 2]
    assert next(stream, "end") == "end"
    burrow.get(stream.completed())
    assert stream.is_finished()


def test_items_are_there_before_the_end(tmp_path):
    @burrow.remote
    def slowly(path):
        yield 1
        pass_gate(path)
        yield 2

    stream = slowly.remote(str(tmp_path / "gate"))
    assert burrow.get(next(stream)) == 1
    assert not stream.next_ready()
    (tmp_path / "gate").touch()
    assert burrow.get(next(stream)) == 2


def test_an_error_in_the_middle_is_raised_by_get_and_ends_the_stream():
    @burrow.remote
    def breaks():
        yield 1
        raise ValueError("broken")

    stream = breaks.remote()
    assert burrow.get(next(stream)) == 1
    last = next(stream)
    with pytest.raises(ValueError, match="broken"):
        burrow.get(last)
    with pytest.raises(StopIteration):
        next(stream)


def test_a_yielded_exception_is_a_value():
    @burrow.remote
    def gives():
        yield ValueError("value")

    assert isinstance(burrow.get(next(gives.remote())), ValueError)


def test_async_for_and_async_generators():
    @burrow.remote
    async def counting(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    async def main():
        return [await ref async for ref in counting.remote(4)]

    assert asyncio.run(main()) == [0, 1, 2, 3]


def test_an_async_task_is_awaited():
    @burrow.remote
    async def later(x):
        await asyncio.sleep(0)
        return x + 1

    assert burrow.get(later.remote(1)) == 2


def test_a_fixed_number_of_items_are_refs_of_their_own():
    @burrow.remote(num_returns=3)
    def three():
        yield from "abc"

    @burrow.remote(num_returns=3)
    def few():
        yield 1

    assert burrow.get(three.remote()) == ["a", "b", "c"]
    refs = few.remote()
    assert burrow.get(refs[0]) == 1
    with pytest.raises(ValueError, match="3"):
        burrow.get(refs[2])


def test_dynamic_gives_one_ref_to_refs():
    @burrow.remote(num_returns="dynamic")
    def several(n):
        yield from range(n)

    refs = burrow.get(several.remote(3))
    assert [burrow.get(ref) for ref in refs] == [0, 1, 2]


def test_a_producer_waits_for_its_consumer(tmp_path):
    @burrow.remote(_generator_backpressure_num_objects=2)
    def producer(folder):
        for i in range(6):
            leave_trace(f"{folder}/{i}")
            yield i

    def made():
        return len(list(Path(tmp_path).iterdir()))

    stream = producer.remote(str(tmp_path))
    wait_until(lambda: made() == 2, 20, "two items to be made")
    holds_for(lambda: made() == 2, 0.2, "no third item while none is taken")
    assert burrow.get(next(stream)) == 0
    wait_until(lambda: made() == 3, 20, "the third item")
    assert [burrow.get(ref) for ref in stream] == [1, 2, 3, 4, 5]


def test_a_dropped_stream_frees_its_items_and_stops_its_producer(tmp_path):
    @burrow.remote
    def endless(path):
        i = 0
        try:
            while True:
                yield np.full(50_000, i)
                i += 1
        finally:
            leave_trace(path)

    ended = tmp_path / "ended"
    stream = endless.remote(str(ended))
    burrow.get(next(stream))
    del stream
    gc.collect()
    wait_until(ended.exists, 20, "the producer to end")
    wait_until(lambda: not burrow.objects(), 20, "the items to be freed")


def test_cancel_ends_a_stream(tmp_path):
    @burrow.remote
    def waits(path):
        yield 1
        pass_gate(path)

    stream = waits.remote(str(tmp_path / "never"))
    assert burrow.get(next(stream)) == 1
    burrow.cancel(stream)
    with pytest.raises(exceptions.TaskCancelledError):
        burrow.get(next(stream), timeout=20)
    with pytest.raises(StopIteration):
        next(stream)


def test_a_generator_cannot_be_passed_on_and_cannot_be_sent_to():
    stream = count.remote(1)
    with pytest.raises(TypeError, match="refs"):
        count.remote(stream)
    for use in (lambda: stream.send(1), stream.throw, stream.close):
        with pytest.raises(NotImplementedError):
            use()
    assert burrow.get(stream) is stream


def test_a_task_that_runs_too_long_is_stopped(tmp_path):
    slow = burrow.remote(timeout=0.1)(pass_gate)
    with pytest.raises(TimeoutError, match=r"0\.1"):
        burrow.get(slow.remote(str(tmp_path / "never")), timeout=20)
