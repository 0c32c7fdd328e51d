"""Actors: state, order, handles, names, resources, death."""

from __future__ import annotations

import gc
import os

import pytest

import burrow
from burrow import exceptions
from helpers.wait import wait_until


@burrow.remote
class Counter:
    def __init__(self, start=0):
        self.value = start

    def add(self, amount=1):
        self.value += amount
        return self.value

    def crash(self):
        os._exit(7)

    @burrow.method(num_returns=2)
    def pair(self):
        return self.value, -self.value

    @staticmethod
    def fixed():
        return "fixed"

    @classmethod
    def named(cls):
        return cls.__name__


def test_the_program_of_the_introduction_runs_on_logical_gpus(ends):
    burrow.init(num_gpus=10)

    @burrow.remote(num_gpus=1)
    class Pan:
        def __init__(self):
            self.temperature = 0

        def fervere(self):
            self.temperature += 10
            return self.temperature

    pans = [Pan.remote() for _ in range(10)]
    assert burrow.get([pan.fervere.remote() for pan in pans], timeout=60) == [10] * 10
    fresh = pans[0]
    assert burrow.get([fresh.fervere.remote() for _ in range(5)]) == [20, 30, 40, 50, 60]


def test_ten_pans_without_gpus_fail_with_one_line_that_says_how(two_cpus):
    @burrow.remote(num_gpus=1)
    class Pan:
        pass

    with pytest.raises(ValueError, match=r"burrow\.init\(num_gpus=1\)") as caught:
        Pan.remote()
    assert len(str(caught.value).splitlines()) == 1


def test_methods_of_every_kind(two_cpus):
    counter = Counter.remote(3)
    assert burrow.get(counter.pair.remote()) == [3, -3]
    assert burrow.get(counter.fixed.remote()) == "fixed"
    assert burrow.get(counter.named.remote()) == "Counter"
    assert burrow.get(counter.__ray_call__.remote(lambda self, k: self.value * k, 2)) == 6
    assert burrow.get(counter.__ray_ready__.remote())
    with pytest.raises(AttributeError, match="subtract"):
        _ = counter.subtract
    with pytest.raises(TypeError, match=r"\.remote"):
        counter.add()
    with pytest.raises(TypeError, match=r"amount|argument"):
        counter.add.remote(1, 2, 3)


def test_a_constructor_that_raises_fails_every_call_with_its_traceback(two_cpus):
    @burrow.remote
    class Broken:
        def __init__(self):
            raise KeyError("no pan")

        def use(self):
            return 1

    broken = Broken.remote()
    with pytest.raises(exceptions.ActorDiedError, match="no pan"):
        burrow.get(broken.use.remote(), timeout=20)
    with pytest.raises(exceptions.RayActorError):
        burrow.get(broken.use.remote(), timeout=20)


def test_a_crashed_actor_is_dead_and_says_how(two_cpus):
    counter = Counter.remote()
    with pytest.raises(exceptions.ActorDiedError, match="exit code 7"):
        burrow.get(counter.crash.remote(), timeout=20)
    with pytest.raises(exceptions.ActorDiedError, match="exit code 7"):
        burrow.get(counter.add.remote(), timeout=20)


def test_a_taken_name_is_refused_and_get_if_exists_shares_it(two_cpus):
    first = Counter.options(name="shared").remote()
    with pytest.raises(exceptions.ActorAlreadyExistsError, match="shared"):
        Counter.options(name="shared").remote()
    second = Counter.options(name="shared", get_if_exists=True).remote()
    burrow.get(first.add.remote())
    assert second == first
    assert burrow.get(second.add.remote()) == 2


def test_an_actor_ends_with_its_last_handle_but_after_its_calls(two_cpus):
    assert burrow.get(Counter.remote(1).add.remote(), timeout=20) == 2
    gc.collect()
    wait_until(
        lambda: not [a for a in burrow.actors() if a["state"] != "dead"], 10, "the actor's end"
    )


def test_an_actor_that_is_dropped_and_asked_for_again_by_its_name_is_there(two_cpus):
    for _ in range(5):
        counter = Counter.options(name="again", get_if_exists=True).remote()
        assert burrow.get(counter.add.remote(), timeout=20) == 1
        del counter
