"""`ref.why()`: what a result waits for, in a sentence."""

from __future__ import annotations

import pytest

import burrow
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("two_cpus")


@burrow.remote
def slow(gate):
    pass_gate(gate)


@burrow.remote
def use(x):
    return x


@burrow.remote(num_cpus=0)
def add(*parts):
    return sum(parts)


@burrow.remote
def parent(gate):
    return burrow.get(slow.remote(gate))


@burrow.remote
class Pan:
    def hold(self, gate):
        pass_gate(gate)

    def heat(self):
        return 10


def says(ref, *parts):
    """Waits until the reason has all parts."""
    wait_until(lambda: all(part in ref.why() for part in parts), 20, f"{parts}, not {ref.why()!r}")


@pytest.fixture
def gate(tmp_path):
    path = str(tmp_path / "gate")
    yield path
    leave_trace(path)


def test_what_is_there_and_what_has_failed():
    assert burrow.put(1).why() == "It is there."
    failed = use.remote(1 / 3)
    burrow.get(failed)
    assert failed.why() == "It is there."

    @burrow.remote
    def burn():
        raise ValueError("too hot")

    ref = burn.remote()
    burrow.wait([ref])
    assert ref.why() == "It has failed: ValueError: too hot."


def test_a_running_task_and_what_waits_for_its_result(gate):
    ref = slow.remote(gate)
    says(ref, "slow runs in process")

    says(use.remote(ref), "use waits for its argument made by slow, which", "runs in process")


def test_no_free_cpu(gate):
    running = [slow.remote(gate) for _ in range(2)]
    says(running[1], "runs")

    says(use.remote(1), "use waits for a free CPU: all are taken by 2 x slow")


def test_more_than_one_cpu(gate):
    says(slow.remote(gate), "runs")

    both = use.options(num_cpus=2).remote(1)

    says(both, "use waits for 2 CPU, of which 1 is free: the rest is taken by slow")


def test_several_arguments_and_what_was_cancelled(gate):
    parts = [slow.options(num_cpus=0).remote(gate) for _ in range(2)]
    both = use.options(num_cpus=0).remote(*parts[:1])
    many = add.remote(*parts, both)
    says(parts[0], "runs")

    says(many, "add waits for 3 arguments made by slow, slow, use; slow runs in process")
    burrow.cancel(parts[0])
    says(parts[0], "It was cancelled.")


def test_an_actor_that_finds_no_room(gate):
    held = [slow.remote(gate) for _ in range(2)]
    says(held[1], "runs")

    says(
        Pan.remote().heat.remote(),
        "Pan.heat waits for its actor Pan, which waits for a free CPU: all are taken by 2 x slow",
    )


def test_a_generator_whose_items_nobody_takes():
    @burrow.remote(_generator_backpressure_num_objects=2)
    def dishes():
        yield from range(10)

    generator = dishes.remote()

    says(generator, "dishes waits until one of the 2 items is taken that it has yielded.")
    assert "\n" not in generator.why()
    del generator


def test_calls_of_one_name_that_wait_for_each_other_are_told_apart():
    @burrow.remote
    class Ring:
        def set(self, following):
            self.following = following

        def go(self, left):
            return burrow.get(self.following.go.remote(left - 1))

    ring = [Ring.remote() for _ in range(2)]
    burrow.get([ring[0].set.remote(ring[1]), ring[1].set.remote(ring[0])])

    with pytest.raises(burrow.exceptions.DeadlockError) as caught:
        burrow.get(ring[0].go.remote(5))

    named = [f"Ring.go ({row['id']})" for row in burrow.actors() if row["class_name"] == "Ring"]
    assert all(name in str(caught.value) for name in named)


def test_a_parent_that_waits_for_its_child(gate):
    says(parent.remote(gate), "parent runs and waits in get() for slow, which", "runs in process")


def test_a_busy_actor(gate):
    pan = Pan.remote()
    held = pan.hold.remote(gate)
    says(held, "Pan.hold runs")

    says(pan.heat.remote(), "waits for its actor Pan, busy with Pan.hold, which runs")


def test_actors_that_wait_for_each_other():
    @burrow.remote
    class Waiter:
        def meet(self, other, back):
            return burrow.get(
                other.meet.remote(back, None) if back is not None else other.ping.remote()
            )

        def ping(self):
            return "here"

    one, two = Waiter.remote(), Waiter.remote()
    stuck = one.meet.remote(two, one)

    says(stuck, "a circle", "none of them can go on")
    burrow.kill(one)
    burrow.kill(two)


def test_it_shows_where_the_call_is_that_runs():
    @burrow.remote(num_cpus=2)
    def stands_here(gate):
        pass_gate(gate)

    ref = stands_here.remote("/nonexistent-gate")
    says(ref, "runs in process", "test_why.py", "in stands_here\n    pass_gate(gate)")

    assert "burrow_jupyter" not in ref.why()
    waiting = stands_here.remote("/another")
    says(waiting, "in stands_here\n    pass_gate(gate)")
    assert repr(waiting.why()).startswith("stands_here waits")
    burrow.cancel(waiting)
    burrow.cancel(ref)
