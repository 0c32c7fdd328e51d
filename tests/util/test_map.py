"""`burrow.map`: the built-in map, on the workers, in batches of a good size."""

from __future__ import annotations

import itertools
import time

import pytest

import burrow
from burrow_jupyter.api.util.completion import _better_size


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


def test_batches_grow_to_a_good_size_and_shrink_back():
    assert _better_size(1, 1, 1e-6) == 4
    assert _better_size(1000, 1000, 0.001) == 4000
    assert _better_size(64, 64, 6.4) == 1
    assert _better_size(1, 1, 10) == 1
    assert _better_size(10_000, 10_000, 0.0) == 10_000


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
