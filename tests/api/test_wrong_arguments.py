"""A wrong argument is told by its name, with what it was, where it was given."""

from __future__ import annotations

import pytest

import burrow
from burrow.util import ActorPool, placement_group, remove_placement_group
from burrow.util.multiprocessing import Pool
from burrow.util.queue import Queue
from burrow.util.state import list_tasks
from conformance.calls import Counter, add


@pytest.fixture(scope="module", autouse=True)
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


@pytest.fixture(scope="module")
def ref():
    return burrow.put(1)


def stream():
    yield 1


WRONG = {
    "timeout": [
        lambda ref: burrow.get(ref, timeout="1"),
        lambda ref: burrow.get([ref], timeout=[1]),
        lambda ref: burrow.wait([ref], timeout="x"),
        lambda ref: burrow.wait([ref, burrow.remote(stream).remote()], timeout="x"),
        lambda ref: ActorPool([Counter.remote()]).get_next(timeout="x"),
        lambda ref: ActorPool([Counter.remote()]).get_next_unordered(timeout="x"),
        lambda ref: Queue().get(timeout="x"),
        lambda ref: Queue().put(1, timeout="x"),
        lambda ref: list(burrow.util.as_completed([ref], timeout="x")),
        lambda ref: burrow.Executor().map(abs, [1], timeout="x"),
    ],
    "num_returns": [
        lambda ref: burrow.wait([ref], num_returns="2"),
        lambda ref: burrow.wait([ref], num_returns=1.0),
        lambda ref: burrow.wait([ref, burrow.remote(stream).remote()], num_returns="2"),
    ],
    "object_store_memory": [lambda ref: burrow.init(object_store_memory="1")],
    "args": [lambda ref: add._remote(args=1), lambda ref: Counter._remote(args=1)],
    "kwargs": [lambda ref: add._remote(args=[1], kwargs=[1])],
    "run": [lambda ref: burrow.tasks(run=1.5)],
    "filename": [lambda ref: burrow.timeline(1)],
    "actors": [lambda ref: ActorPool(Counter.remote())],
    "fn": [
        lambda ref: ActorPool([Counter.remote()]).submit(1, 1),
        lambda ref: burrow.Executor().submit(1),
        lambda ref: burrow.Executor().map(1, [1]),
    ],
    "values": [lambda ref: ActorPool([Counter.remote()]).map(lambda actor, n: n, 1)],
    "maxsize": [lambda ref: Queue("1"), lambda ref: Queue(None)],
    "actor_options": [lambda ref: Queue(actor_options=1)],
    "grace_period_s": [lambda ref: Queue().shutdown(grace_period_s="x")],
    "items": [
        lambda ref: Queue().put_nowait_batch(1),
        lambda ref: burrow.util.map_unordered(add, 1),
    ],
    "num_items": [lambda ref: Queue().get_nowait_batch("1")],
    "processes": [lambda ref: Pool("2"), lambda ref: Pool(1.5)],
    "initargs": [lambda ref: Pool(1, initargs=1)],
    "maxtasksperchild": [lambda ref: Pool(1, maxtasksperchild="1")],
    "max_workers": [lambda ref: burrow.Executor("2"), lambda ref: burrow.Executor(1.5)],
    "chunksize": [lambda ref: burrow.Executor().map(abs, [1], chunksize="1")],
    "iterable": [lambda ref: burrow.Executor().map(abs, 1), lambda ref: burrow.map(abs, None)],
    "function": [
        lambda ref: burrow.map(1, [1]),
        lambda ref: burrow.util.map_unordered(abs, [1]),
    ],
    "chunk_size": [
        lambda ref: burrow.util.as_completed([ref], chunk_size="1"),
        lambda ref: burrow.util.map_unordered(add, [1], chunk_size="1"),
    ],
    "refs": [burrow.util.as_completed],
    "bundles": [lambda ref: placement_group(1)],
    "bundle": [lambda ref: placement_group([1]), lambda ref: placement_group([{"CPU": "1"}])],
    "placement_group": [lambda ref: remove_placement_group(1)],
    "cls": [lambda ref: burrow.util.register_serializer(1, serializer=abs, deserializer=abs)],
    "serializer": [lambda ref: burrow.util.register_serializer(set, serializer=1, deserializer=1)],
    "limit": [lambda ref: list_tasks(limit="1")],
    "filters": [lambda ref: list_tasks(filters=1)],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_is_told_by_the_name_of_its_argument(name, ref):
    for attempt in WRONG[name]:
        with pytest.raises(TypeError, match=rf"\b{name}\b"):
            attempt(ref)


def test_a_pool_says_which_argument_is_wrong():
    with Pool(1) as pool:
        for name, attempt in (
            ("func", lambda: pool.apply(1)),
            ("args", lambda: pool.apply(abs, 1)),
            ("kwargs", lambda: pool.apply(abs, (1,), 1)),
            ("iterable", lambda: pool.map(abs, 1)),
            ("iterable", lambda: pool.imap(abs, None)),
            ("chunksize", lambda: pool.map(abs, [1], chunksize="1")),
            ("timeout", lambda: pool.map_async(abs, [1]).get(timeout="1")),
            ("timeout", lambda: pool.map_async(abs, [1]).wait(timeout="1")),
        ):
            with pytest.raises(TypeError, match=rf"\b{name}\b"):
                attempt()


def test_a_time_that_is_not_a_number_is_refused(ref):
    for wait in (burrow.get, burrow.wait):
        with pytest.raises(ValueError, match="timeout"):
            wait([ref], timeout=float("nan"))


def test_what_counts_as_true_or_false_may_be_anything(ref):
    counter = Counter.remote()
    burrow.get(counter.add.remote())

    burrow.cancel(ref, force="", recursive=1)
    burrow.kill(counter, no_restart="yes")

    assert burrow.wait([ref], fetch_local=None) == ([ref], [])
    assert burrow.get(add.remote(1)) == 2


def test_calls_of_one_run_are_listed_by_the_name_that_their_rows_have():
    burrow.get(add.remote(1))

    assert burrow.tasks(run="12.5") == []
    assert burrow.tasks(run="") == burrow.tasks()
    with pytest.raises(ValueError, match="no run is called x"):
        burrow.tasks(run="x")
