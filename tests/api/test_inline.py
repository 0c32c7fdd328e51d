"""`init(mode="inline")`: one process, the same semantics, copies included."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest

import burrow
from burrow import exceptions


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


@burrow.remote(num_gpus=1)
class Counter:
    def __init__(self, start=0):
        self.value = start

    def add(self, amount=1):
        self.value += amount
        return self.value

    async def later(self):
        return self.value

    def leave(self):
        burrow.exit_actor()


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


def test_nested_tasks_refs_in_lists_and_several_results():
    @burrow.remote
    def depth(n):
        return 0 if n == 0 else 1 + burrow.get(depth.remote(n - 1))

    @burrow.remote(num_returns=2)
    def two(refs):
        return burrow.get(refs[0]), refs[0]

    ref = burrow.put(5)
    value, inner = burrow.get(two.remote([ref]))
    assert burrow.get(depth.remote(5)) == 5
    assert (value, inner) == (5, ref)


def test_actors_keep_their_state_names_and_errors():
    counter = Counter.options(name="c").remote(10)
    assert burrow.get([counter.add.remote() for _ in range(3)]) == [11, 12, 13]
    assert burrow.get(burrow.get_actor("c").later.remote()) == 13
    with pytest.raises(exceptions.ActorAlreadyExistsError):
        Counter.options(name="c").remote()
    with pytest.raises(exceptions.RayActorError, match="exit_actor"):
        burrow.get(counter.leave.remote())
    with pytest.raises(exceptions.RayActorError, match="exit_actor"):
        burrow.get(counter.add.remote())


def test_generators_stream_and_objects_are_freed():
    @burrow.remote
    def count(n):
        yield from range(n)

    assert [burrow.get(ref) for ref in count.remote(3)] == [0, 1, 2]
    outer = burrow.put([burrow.put([burrow.put(1)])])
    del outer
    gc.collect()
    assert burrow.objects() == []


def test_the_same_errors_for_bad_input():
    with pytest.raises(TypeError):
        add.remote()
    with pytest.raises(ValueError, match="num_gpus"):
        Counter.options(num_gpus=2).remote()
    with pytest.raises(TypeError, match="lock"):
        add.remote(__import__("threading").Lock())
