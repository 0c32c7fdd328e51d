"""ActorPool when things go wrong: dead actors, none at all, functions that raise."""

from __future__ import annotations

import os

import pytest

import burrow
from burrow.util import ActorPool


@pytest.fixture(scope="module", autouse=True)
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


@burrow.remote(num_cpus=0)
class Cook:
    def double(self, x):
        return 2 * x

    def die(self, x):
        os._exit(3)


def double(cook, x):
    return cook.double.remote(x)


def die(cook, x):
    return cook.die.remote(x)


def double_or_die(cook, x):
    return die(cook, x) if x == 1 else double(cook, x)


def test_an_actor_that_died_leaves_the_pool_and_the_others_go_on():
    pool = ActorPool([Cook.remote(), Cook.remote()])
    for x in range(6):
        pool.submit(double_or_die, x)

    results = []
    for _ in range(6):
        try:
            results.append(pool.get_next())
        except burrow.exceptions.ActorDiedError:
            results.append("died")

    assert results == [0, "died", 4, 6, 8, 10]
    assert pool.pop_idle() is not None
    assert pool.pop_idle() is None


@pytest.mark.parametrize("take", ["get_next", "get_next_unordered"])
def test_values_that_nobody_can_take_are_told_and_a_new_actor_takes_them(take):
    pool = ActorPool([Cook.remote()])
    pool.submit(die, 0)
    pool.submit(double, 4)
    with pytest.raises(burrow.exceptions.ActorDiedError):
        getattr(pool, take)()

    with pytest.raises(RuntimeError, match=r"1 values wait.*push\(\)"):
        getattr(pool, take)()
    pool.push(Cook.remote())
    assert getattr(pool, take)() == 8


def test_a_new_map_begins_afresh_although_all_actors_died():
    pool = ActorPool([Cook.remote()])
    pool.submit(die, 0)
    pool.submit(double, 4)

    results = pool.map(double, [7])
    pool.push(Cook.remote())

    assert list(results) == [14]


def test_another_actors_death_takes_no_actor_out_of_the_pool():
    lost = Cook.remote().die.remote(0)
    pool = ActorPool([Cook.remote()])
    pool.submit(lambda cook, ref: cook.double.remote(ref), lost)

    with pytest.raises(burrow.exceptions.RayError):
        pool.get_next()

    assert pool.has_free()


def test_a_function_that_raises_leaves_its_actor_in_the_pool():
    pool = ActorPool([Cook.remote()])

    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda cook, x: x / 0, 1)

    assert pool.has_free()


def test_what_times_out_can_be_skipped(tmp_path):
    from helpers.gates import leave_trace, pass_gate

    @burrow.remote(num_cpus=0)
    class Waiter:
        def wait(self, gate):
            pass_gate(gate)
            return "late"

    gate = str(tmp_path / "gate")
    pool = ActorPool([Waiter.remote()])
    pool.submit(lambda waiter, path: waiter.wait.remote(path), gate)

    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.02)
    assert pool.has_next()
    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.02, ignore_if_timedout=True)
    assert not pool.has_next()
    leave_trace(gate)
