"""Area 6: generators."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import numpy as np
import pytest

import burrow
from burrow import exceptions
from conformance.calls import Mine, gated, lines, note, same
from helpers.gates import count_runs, pass_gate
from helpers.wait import holds_for, wait_until

pytestmark = pytest.mark.usefixtures("shared")


@burrow.remote
def count(n):
    yield from range(n)


@burrow.remote
def fails_after(n):
    yield from range(n)
    raise Mine("in the middle")


@burrow.remote
class Streams:
    def sync(self, n):
        yield from range(n)


@burrow.remote
class AsyncStreams:
    async def stream(self, n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i


def test_6_1_a_generator_function_streams_refs():
    stream = count.remote(3)

    assert isinstance(stream, burrow.ObjectRefGenerator)
    first = next(stream)
    assert isinstance(first, burrow.ObjectRef)
    assert [burrow.get(ref) for ref in (first, *stream)] == [0, 1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Streams.remote().sync,
        lambda: Streams.options(max_concurrency=2).remote().sync,
        lambda: AsyncStreams.remote().stream,
    ],
    ids=["sync", "threaded", "async"],
)
def test_6_1_methods_of_every_kind_of_actor_stream(make):
    assert [burrow.get(ref) for ref in make().remote(3)] == [0, 1, 2]


def test_6_1_in_a_loop_of_asyncio():
    async def collect():
        found = [await ref async for ref in count.remote(3)]
        found.append(await (await anext(count.remote(1))))
        return found

    assert asyncio.run(collect()) == [0, 1, 2, 0]


def test_6_1_an_async_generator_task():
    @burrow.remote
    async def stream(n):
        for i in range(n):
            yield i

    assert [burrow.get(ref) for ref in stream.remote(3)] == [0, 1, 2]


def test_6_1_no_item_is_lost_while_another_thread_reads(tmp_path):
    gate = tmp_path / "gate"
    ref = gated.remote(gate)
    reader = threading.Thread(target=burrow.get, args=(ref,))
    reader.start()
    try:
        for _ in range(300):
            assert [burrow.get(item) for item in count.remote(2)] == [0, 1]
    finally:
        gate.touch()
        reader.join(20)


def test_6_2_items_are_there_before_the_end(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote
    def two():
        yield "first"
        pass_gate(str(gate))
        yield "second"

    stream = two.remote()
    assert burrow.get(next(stream)) == "first"
    gate.touch()
    assert burrow.get(next(stream)) == "second"


def test_6_2_a_dropped_stream_leaves_nothing():
    stream = count.remote(50)
    burrow.get(next(stream))
    del stream

    def none_left():
        gc.collect()
        return not burrow.objects()

    wait_until(none_left, 5, "unconsumed items to be freed")


def test_6_3_an_error_in_the_middle_is_raised_by_get():
    stream = fails_after.remote(2)

    assert [burrow.get(next(stream)) for _ in range(2)] == [0, 1]
    failed = next(stream)
    with pytest.raises(Mine, match="in the middle"):
        burrow.get(failed)
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(stream)


def test_6_3_a_crash_in_the_middle():
    @burrow.remote(max_retries=0)
    def crashes():
        yield 1
        os._exit(3)

    first, failed = crashes.remote()

    assert burrow.get(first) == 1
    with pytest.raises(exceptions.WorkerCrashedError):
        burrow.get(failed)


def test_6_3_the_death_of_an_actor_in_the_middle():
    @burrow.remote
    class Crashes:
        def stream(self):
            yield 1
            os._exit(3)

    first, failed = Crashes.remote().stream.remote()

    assert burrow.get(first) == 1
    with pytest.raises(exceptions.RayActorError):
        burrow.get(failed)


def test_6_4_a_yielded_exception_is_a_value():
    @burrow.remote
    def gives():
        yield ValueError("a value")

    assert repr(burrow.get(next(gives.remote()))) == "ValueError('a value')"


def test_6_5_what_a_generator_returns_is_dropped():
    @burrow.remote
    def returns(early):
        if early:
            return [1, 2]
        yield 1

    assert list(returns.remote(early=True)) == []
    assert [burrow.get(ref) for ref in returns.remote(early=False)] == [1]


def test_6_6_the_state_of_a_stream():
    stream = count.remote(1)
    burrow.get(stream.completed())
    wait_until(stream.next_ready, 5, "the item")

    assert not stream.is_finished()
    next(stream)
    wait_until(stream.is_finished, 5, "the end to be known")
    assert not stream.next_ready()


def test_6_6_completed_raises_the_error():
    stream = fails_after.remote(1)

    with pytest.raises(Mine):
        burrow.get(stream.completed())
    assert not stream.is_finished()
    assert len(list(stream)) == 2
    assert stream.is_finished()


def test_6_6_wait_takes_generators_beside_refs(tmp_path):
    stream, ref = count.remote(1), burrow.put(1)

    ready, rest = burrow.wait([stream, ref], num_returns=2)
    assert (ready, rest) == ([stream, ref], [])
    assert ready[0] is stream


def test_6_6_wait_for_a_generator_that_has_nothing_yet(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote
    def late():
        pass_gate(str(gate))
        yield 1

    stream, ref = late.remote(), burrow.put(1)
    assert burrow.wait([stream, ref], num_returns=2, timeout=0.05) == ([ref], [stream])
    gate.touch()
    assert burrow.wait([stream]) == ([stream], [])
    next(stream)
    assert burrow.wait([stream]) == ([stream], [])  # its end is known, too


def test_6_6_nothing_can_be_sent_to_it():
    stream = count.remote(1)

    for refused in (lambda: stream.send(1), lambda: stream.throw(ValueError()), stream.close):
        with pytest.raises(NotImplementedError):
            refused()
    for refused in (stream.asend(1), stream.athrow(ValueError()), stream.aclose()):
        with pytest.raises(NotImplementedError):
            asyncio.run(refused)


def test_6_7_it_cannot_be_passed_on_and_get_gives_it_back():
    stream = count.remote(1)

    with pytest.raises(TypeError, match="refs"):
        same.remote(stream)
    with pytest.raises(TypeError):
        same.remote([stream])
    assert burrow.get(stream) is stream


def test_6_8_the_dynamic_form():
    outer = count.options(num_returns="dynamic").remote(3)

    inner = burrow.get(outer)
    assert [burrow.get(ref) for ref in inner] == [0, 1, 2]

    @burrow.remote
    def total(refs):
        return sum(burrow.get(list(refs)))

    assert burrow.get(total.remote(outer)) == 3
    assert burrow.get(total.remote(inner)) == 3


def test_6_8_an_error_is_the_last_item_of_the_dynamic_form():
    refs = burrow.get(fails_after.options(num_returns="dynamic").remote(2))

    assert isinstance(refs, burrow.DynamicObjectRefGenerator)
    assert burrow.get(refs[:2]) == [0, 1]
    assert len(refs) == 3
    for ref in (refs[2], same.remote(refs[2])):
        with pytest.raises(Mine, match="in the middle"):
            burrow.get(ref)


def test_6_8_an_error_that_is_retried_is_no_item(tmp_path):
    @burrow.remote(num_returns="dynamic", max_retries=1, retry_exceptions=[Mine])
    def unlucky(always):
        attempt = count_runs(str(tmp_path))
        yield attempt
        if always or attempt == 0:
            raise Mine("once more")

    assert burrow.get(list(burrow.get(unlucky.remote(always=False)))) == [1]
    *_, failed = burrow.get(unlucky.remote(always=True))
    with pytest.raises(Mine, match="once more"):
        burrow.get(failed)
    assert len(list(tmp_path.iterdir())) == 4


def test_6_8_only_generator_functions_may_be_asked_for_streams():
    for form in ("dynamic", "streaming"):
        with pytest.raises(ValueError, match="generator function"):
            burrow.remote(num_returns=form)(len)
        with pytest.raises(ValueError, match="generator function"):
            same.options(num_returns=form).remote(1)


def test_6_9_a_fixed_number_of_items(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote(num_returns=2)
    def two():
        yield "first"
        pass_gate(str(gate))
        yield "second"

    first, second = two.remote()
    assert burrow.get(first) == "first"
    assert burrow.wait([second], timeout=0) == ([], [second])
    gate.touch()
    assert burrow.get(second) == "second"


@pytest.mark.parametrize("how", ["crash", "raise"])
def test_6_10_a_retry_delivers_nothing_twice(tmp_path, how):
    @burrow.remote(max_retries=1, retry_exceptions=[Mine])
    def unlucky():
        attempt = count_runs(str(tmp_path))
        yield 0
        yield 1
        if attempt == 0:
            if how == "raise":
                raise Mine("once")
            os._exit(1)
        yield 2

    assert [burrow.get(ref) for ref in unlucky.remote()] == [0, 1, 2]


def test_6_10_exhausted_retries_are_the_next_item(tmp_path):
    @burrow.remote(max_retries=1, retry_exceptions=True)
    def unlucky():
        count_runs(str(tmp_path))
        yield 0
        raise Mine("always")

    first, failed = unlucky.remote()
    assert burrow.get(first) == 0
    with pytest.raises(Mine, match="always"):
        burrow.get(failed)
    assert len(list(tmp_path.iterdir())) == 2


def test_6_11_the_producer_waits_for_its_consumer(tmp_path):
    made = tmp_path / "made"

    @burrow.remote(_generator_backpressure_num_objects=2)
    def produce():
        for n in range(6):
            note(made, n)
            yield n

    stream = produce.remote()
    wait_until(lambda: len(lines(made)) == 2, 5, "two items to be made")
    holds_for(lambda: len(lines(made)) <= 3, 0.2, "no more than two unconsumed items")
    next(stream)
    wait_until(lambda: len(lines(made)) >= 3, 5, "one more item")
    assert [burrow.get(ref) for ref in stream] == [1, 2, 3, 4, 5]


def test_6_11_a_producer_that_waits_lends_its_cpu():
    @burrow.remote(num_cpus=2, _generator_backpressure_num_objects=1)
    def produce():
        yield from range(3)

    assert [burrow.get(same.options(num_cpus=2).remote(ref)) for ref in produce.remote()] == [
        0,
        1,
        2,
    ]


def test_6_11_dropping_the_stream_releases_the_producer(tmp_path):
    ended = tmp_path / "ended"

    @burrow.remote(_generator_backpressure_num_objects=1)
    def produce():
        try:
            yield from range(100)
        finally:
            ended.touch()

    stream = produce.remote()
    burrow.get(next(stream))
    del stream
    wait_until(ended.exists, 5, "the producer to end")


def test_6_11_minus_one_is_no_back_pressure():
    stream = count.options(_generator_backpressure_num_objects=-1).remote(5)

    assert burrow.get(stream.completed(), timeout=20) is None
    assert len(list(stream)) == 5


def test_6_11_wrong_values_are_refused():
    with pytest.raises(ValueError, match="_generator_backpressure_num_objects"):
        count.options(_generator_backpressure_num_objects=0)
    actor = AsyncStreams.remote()
    with pytest.raises(ValueError, match="async"):
        actor.stream.options(_generator_backpressure_num_objects=1).remote(2)


@pytest.mark.parametrize("force", [False, True])
def test_6_12_cancel_ends_it(tmp_path, force):
    @burrow.remote
    def stuck():
        yield 1
        pass_gate(str(tmp_path / "never"))
        yield 2

    stream = stuck.remote()
    first = next(stream)
    burrow.cancel(stream, force=force)

    with pytest.raises((exceptions.TaskCancelledError, exceptions.WorkerCrashedError)):
        burrow.get(next(stream))
    assert burrow.get(first) == 1
    with pytest.raises((exceptions.TaskCancelledError, exceptions.WorkerCrashedError)):
        burrow.get(stream.completed())
    with pytest.raises(StopIteration):
        next(stream)


def test_6_13_large_items_are_not_all_kept():
    @burrow.remote
    def large():
        for n in range(20):
            yield np.full(500_000, n)

    total = 0
    for ref in large.remote():
        total += int(burrow.get(ref)[-1])
        del ref
    assert total == sum(range(20))
