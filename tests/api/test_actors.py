"""Actors: state, order, handles, names, resources, death."""

from __future__ import annotations

import gc
import os

import pytest

import burrow
from burrow import exceptions
from helpers.gates import pass_gate
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


@burrow.remote
def add_through(counter, amount):
    return burrow.get(counter.add.remote(amount))


def test_calls_change_the_state_in_the_order_of_submission(two_cpus):
    counter = Counter.remote()
    assert burrow.get([counter.add.remote() for _ in range(100)]) == list(range(1, 101))


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


def test_handles_travel_and_reach_the_same_state(two_cpus):
    counter = Counter.remote(10)
    burrow.get([add_through.remote(counter, 1) for _ in range(10)])

    assert burrow.get(counter.add.remote(0)) == 20
    copy = burrow.get(burrow.put([counter]))[0]
    assert copy == counter
    assert hash(copy) == hash(counter)


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


def test_a_call_waits_for_its_argument_and_keeps_later_ones_behind_it(two_cpus, tmp_path):
    @burrow.remote
    def slow(path):
        pass_gate(path)
        return 100

    counter = Counter.remote()
    late = counter.add.remote(slow.remote(str(tmp_path / "gate")))
    after = counter.add.remote(1)
    assert burrow.wait([after], timeout=0.1) == ([], [after])
    (tmp_path / "gate").touch()
    assert burrow.get([late, after], timeout=20) == [100, 101]


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


def test_a_restarted_actor_begins_anew_under_the_same_handle(two_cpus):
    counter = Counter.options(max_restarts=1).remote(5)
    assert burrow.get(counter.add.remote()) == 6
    with pytest.raises(exceptions.RayActorError):
        burrow.get(counter.crash.remote(), timeout=20)

    def alive():
        try:
            return burrow.get(counter.add.remote(), timeout=20)
        except exceptions.ActorUnavailableError:
            return None

    assert wait_until(alive, 20, "the restart") == 6


def test_kill_ends_it_at_once_and_frees_its_name(two_cpus):
    counter = Counter.options(name="c").remote()
    assert burrow.get(burrow.get_actor("c").add.remote()) == 1
    burrow.kill(counter)
    with pytest.raises(exceptions.RayActorError, match="kill"):
        burrow.get(counter.add.remote(), timeout=20)
    with pytest.raises(ValueError, match="Failed to look up actor with name 'c'"):
        burrow.get_actor("c")
    Counter.options(name="c").remote()
    with pytest.raises(ValueError, match="handle"):
        burrow.kill("c")


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


def test_default_actors_hold_no_cpu_and_explicit_ones_do(two_cpus):
    counters = [Counter.remote() for _ in range(5)]
    burrow.get([c.add.remote() for c in counters])
    wait_until(lambda: burrow.available_resources().get("CPU") == 2, 5, "free CPUs")
    holder = Counter.options(num_cpus=2).remote()
    burrow.get(holder.add.remote())
    assert burrow.available_resources().get("CPU", 0) == 0
    burrow.kill(holder)
    wait_until(lambda: burrow.available_resources().get("CPU") == 2, 5, "the CPUs back")


def test_gpus_are_assigned_and_visible_before_imports(ends):
    burrow.init(num_cpus=4, num_gpus=2)

    @burrow.remote(num_gpus=1)
    def whole():
        return os.environ["CUDA_VISIBLE_DEVICES"], burrow.get_gpu_ids()

    @burrow.remote(num_gpus=0.5)
    class Half:
        def ids(self):
            return burrow.get_gpu_ids()

    seen = burrow.get([whole.remote() for _ in range(4)], timeout=60)
    assert {v for v, _ in seen} <= {"0", "1"}
    assert all([int(v)] == ids for v, ids in seen)
    halves = [Half.remote() for _ in range(4)]
    ids = [i[0] for i in burrow.get([h.ids.remote() for h in halves], timeout=60)]
    assert sorted(ids) == [0, 0, 1, 1]
    assert burrow.get_gpu_ids() == []


def test_one_cannot_inherit_from_an_actor_class(two_cpus):
    with pytest.raises(TypeError, match="inherit"):

        class More(Counter):  # type: ignore[misc]
            pass
