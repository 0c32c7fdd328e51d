"""`burrow.map`: the built-in map, on the workers, in batches of a good size."""

from __future__ import annotations

import itertools
import os
import time

import pytest

import burrow
from burrow_jupyter.api.util.completion import _size


@pytest.fixture(scope="module", autouse=True)
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


def test_it_maps_in_order_over_several_iterables():
    assert list(burrow.map(pow, range(1000), itertools.repeat(2))) == [x * x for x in range(1000)]
    assert list(burrow.map(abs, [])) == []
    assert sorted(burrow.map(abs, range(100), ordered=False)) == list(range(100))


def test_remote_functions_keep_their_options():
    @burrow.remote(num_cpus=2, name="special")
    def name_of(x):
        return burrow.get_runtime_context().get_assigned_resources()["CPU"]

    assert set(burrow.map(name_of, range(3))) == {2.0}
    assert set(burrow.map(name_of, range(3), num_cpus=1)) == {1.0}


def test_an_endless_iterable_is_read_a_little_ahead():
    read = []

    def endless():
        for x in itertools.count():
            read.append(x)
            yield x

    results = burrow.map(abs, endless(), batch_size=5)

    assert list(itertools.islice(results, 20)) == list(range(20))
    assert len(read) <= 20 + 6 * 5


def test_an_error_comes_at_its_turn_and_what_was_before_it_comes_first():
    calls = burrow.map(lambda x: 10 // x, [5, 2, 0, 1], batch_size=4)

    assert [next(calls), next(calls)] == [2, 5]
    with pytest.raises(ZeroDivisionError):
        next(calls)


def test_batches_are_as_large_as_the_work_is_short():
    assert _size(None, 1000, 2) == 1
    assert _size(1e-7, None, 2) == 10_000
    assert _size(1e-7, 1000, 2) == 1000
    assert _size(1e-6, 1000, 2) == 500
    assert _size(0.001, 100, 2) == 17
    assert _size(0.001, None, 2) == 20
    assert _size(0.0, None, 2) == 10_000
    assert _size(10.0, 8, 2) == 1


def test_calls_that_turn_out_slow_are_spread_and_each_is_made_once(tmp_path):
    made = tmp_path / "made"

    def call(x):
        if x >= 1000:
            time.sleep(0.03)  # noqa: TID251 the work itself
        with made.open("ab") as file:
            file.write(b".")
        return x, os.getpid()

    list(burrow.map(call, range(1000)))
    results = list(burrow.map(call, range(1000, 1030)))

    assert [x for x, _ in results] == list(range(1000, 1030))
    assert len({pid for _, pid in results}) == 2
    assert made.stat().st_size == 1030


def test_the_second_map_of_a_function_begins_with_large_batches():
    def twice(x):
        return 2 * x

    list(burrow.map(twice, range(1000)))
    before = sum(row["name"] == "twice" for row in burrow.tasks())
    assert list(burrow.map(twice, range(1000))) == [2 * x for x in range(1000)]

    assert sum(row["name"] == "twice" for row in burrow.tasks()) - before <= 2


def test_an_error_in_a_later_batch_comes_after_the_results_before_it():
    calls = burrow.map(lambda x: 1 // (x - 500), range(1000))
    results = []

    with pytest.raises(ZeroDivisionError):
        results.extend(calls)

    assert len(results) == 500


def test_slow_calls_are_spread_although_short_ones_are_batched():
    def slow(x):
        time.sleep(0.05)  # noqa: TID251 the work itself
        return x

    assert list(burrow.map(slow, range(8))) == list(range(8))
    batches = [row for row in burrow.tasks() if row["name"] == "slow"]
    assert len(batches) == 8


@pytest.mark.parametrize(
    ("arguments", "given", "error", "text"),
    [
        ((5, [1]), {}, TypeError, "function"),
        ((abs,), {}, TypeError, "iterable"),
        ((abs, 5), {}, TypeError, "iter"),
        ((abs, [1]), {"batch_size": 0}, ValueError, "batch_size"),
        ((abs, [1]), {"nums_cpus": 1}, ValueError, "num_cpus"),
    ],
)
def test_bad_input(arguments, given, error, text):
    with pytest.raises(error, match=text):
        burrow.map(*arguments, **given)
