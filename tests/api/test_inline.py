"""`init(mode="inline")`: one process, the same semantics, copies included."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import burrow
from helpers.wait import holds_for


@pytest.fixture(autouse=True)
def inline():
    """A session in this process."""
    burrow.init(mode="inline", num_cpus=2, num_gpus=1)
    yield
    burrow.shutdown()


@burrow.remote
def add(a, b=1):
    return a + b


@burrow.remote
def fail(text):
    raise ValueError(text)


def test_tasks_run_in_this_process_and_chain():
    assert burrow.get(burrow.remote(os.getpid).remote()) == os.getpid()
    ref = add.remote(0)
    for _ in range(50):
        ref = add.remote(ref)
    assert burrow.get(ref) == 51


def test_arguments_and_results_are_copies():
    @burrow.remote
    def scribble(array, listed):
        array[0] = 1
        listed.append(1)
        return listed

    array, listed = np.zeros(100_000), []
    ref = burrow.put(array)
    first = scribble.remote(ref, listed)
    assert burrow.get(first) is not burrow.get(first)
    assert (array[0], burrow.get(ref)[0], listed) == (0, 0, [])


def test_errors_travel_in_refs():
    ref = add.remote(fail.remote("burnt"))
    with pytest.raises(ValueError, match="burnt"):
        burrow.get(ref)


def test_generators_stream_and_objects_are_freed():
    @burrow.remote
    def count(n):
        yield from range(n)

    assert [burrow.get(ref) for ref in count.remote(3)] == [0, 1, 2]
    outer = burrow.put([burrow.put([burrow.put(1)])])
    del outer
    gc.collect()
    assert burrow.objects() == []


def test_a_constructor_that_exits_or_lacks_an_argument_kills_its_actor_alone():
    @burrow.remote
    class Made:
        def __init__(self, value=None):
            if value is None:
                sys.exit(3)

        def ask(self):
            return "alive"

    @burrow.remote
    def fails():
        raise KeyError("no pan")

    with pytest.raises(burrow.exceptions.ActorDiedError, match=r"sys\.exit\(3\)"):
        burrow.get(Made.remote().ask.remote())
    with pytest.raises(burrow.exceptions.ActorDiedError, match="no pan"):
        burrow.get(Made.remote(fails.remote()).ask.remote())


def in_threads(work):
    """What `work(n)` returns in eight threads, which all begin at once."""
    begin = threading.Barrier(8)

    def begun(n):
        begin.wait(20)
        return work(n)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(begun, range(8)))


def test_threads_do_not_take_each_others_items():
    @burrow.remote
    def squares(n):
        for i in range(3):
            holds_for(lambda: True, 0.001, "nothing: others have their turn")
            yield n, i

    def read(n):
        return [burrow.get(ref) for ref in squares.remote(n)]

    assert in_threads(read) == [[(n, i) for i in range(3)] for n in range(8)]


def test_coroutines_of_several_threads_run_side_by_side():
    @burrow.remote
    async def waits(n):
        await asyncio.sleep(0.001)
        return n

    assert in_threads(lambda n: burrow.get(waits.remote(n))) == list(range(8))


def test_a_serial_actor_takes_one_call_after_the_other_from_threads():
    @burrow.remote
    class Counter:
        def __init__(self):
            self.value = 0

        def add(self):
            before = self.value
            holds_for(lambda: True, 0.001, "nothing: others have their turn")
            self.value = before + 1
            return self.value

    counter = Counter.remote()

    assert sorted(in_threads(lambda n: burrow.get(counter.add.remote()))) == list(range(1, 9))


def test_calls_in_several_threads_know_which_they_are():
    def know():
        task_id = burrow.get_runtime_context().get_task_id
        first = task_id()
        holds_for(lambda: True, 0.001, "nothing: others have their turn")
        return first == task_id()

    assert in_threads(lambda n: burrow.get(burrow.remote(know).remote())) == [True] * 8
    assert burrow.get_runtime_context().get_task_id() is None
