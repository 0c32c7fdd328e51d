"""`ref.why()`: what a result waits for, in a sentence."""

from __future__ import annotations

import asyncio

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


# ---- actors whose calls run side by side -----------------------------------------------


@burrow.remote(concurrency_groups={"io": 1, "cpu": 2})
class Grill:
    @burrow.method(concurrency_group="io")
    def turn(self, gate):
        pass_gate(gate)

    @burrow.method(concurrency_group="cpu")
    def sear(self, gate):
        pass_gate(gate)


@burrow.remote
class Kitchen:
    async def rest(self):
        await asyncio.sleep(3600)

    async def awaits(self, refs):
        return await refs[0]


def test_each_of_the_calls_that_run_on_threads_says_where_it_is(gate):
    pan = Pan.options(max_concurrency=2).remote()
    refs = [pan.hold.remote(gate) for _ in range(3)]

    for ref in refs[:2]:
        says(ref, "Pan.hold runs in process", "in hold\n    pass_gate(gate)")
    says(refs[2], "waits for its actor Pan, busy with Pan.hold, which runs")


def test_a_call_that_computes_does_not_wait_for_what_the_call_beside_it_waits_for(gate):
    @burrow.remote(max_concurrency=2)
    class Both:
        def compute(self, gate):
            pass_gate(gate)

        def ask(self, refs):
            return burrow.get(refs[0])

    both = Both.remote()
    computes, asks = both.compute.remote(gate), both.ask.remote([slow.remote(gate)])

    says(asks, "Both.ask runs and waits in get() for slow, which runs")
    says(computes, "Both.compute runs in process")


def test_calls_of_an_async_actor_say_where_they_are_and_what_they_await(gate):
    kitchen = Kitchen.remote()
    refs = [kitchen.rest.remote() for _ in range(2)]

    for ref in refs:
        says(ref, "Kitchen.rest runs in process", "in rest\n    await asyncio.sleep(3600)")
    awaits = kitchen.awaits.remote([slow.remote(gate)])
    says(awaits, "Kitchen.awaits runs and awaits slow, which runs in process")
    burrow.kill(kitchen)


def test_concurrency_groups_have_their_turns_each(gate):
    grill = Grill.remote()
    turns, sears = [[m.remote(gate) for _ in range(2)] for m in (grill.turn, grill.sear)]

    for ref in (turns[0], *sears):
        says(ref, "runs in process", "pass_gate(gate)")
    says(turns[1], "waits for its actor Grill, busy with Grill.turn, which runs")
    rows = sorted((row["name"], row["state"]) for row in burrow.tasks())
    assert rows == [
        ("Grill.sear", "running"),
        ("Grill.sear", "running"),
        ("Grill.turn", "ready"),
        ("Grill.turn", "running"),
    ]


# ---- actors that are not there yet -----------------------------------------------------


@burrow.remote(num_cpus=0)
class Late:
    def __init__(self, argument=None, gate=""):
        if gate:
            pass_gate(gate)

    def taste(self, argument=None):
        return 1


def test_an_actor_that_waits_for_an_argument(gate):
    ref = Late.remote(slow.remote(gate)).taste.remote()

    says(ref, "waits for its actor Late, which waits for its argument made by slow, which runs")


def test_an_actor_whose_constructor_runs(gate):
    ref = Late.remote(gate=gate).taste.remote()

    says(ref, "Late, which is starting: its constructor runs", "in __init__\n    pass_gate(gate)")


def test_a_call_behind_one_that_waits_for_its_argument(gate):
    late = Late.remote()
    refs = [late.taste.remote(slow.remote(gate)), late.taste.remote()]

    says(
        refs[1],
        "waits for an earlier call of its actor Late, which waits for its argument made by slow",
    )


# ---- who is in the way -----------------------------------------------------------------


def test_a_parent_that_has_lent_its_cpu_takes_none(gate):
    @burrow.remote
    def parent_of_two(gate):
        return burrow.get([slow.remote(gate) for _ in range(2)])

    says(parent_of_two.remote(gate), "waits in get() for slow, slow, which runs")
    wait_until(lambda: "CPU" not in burrow.available_resources(), 20, "two children")

    both = use.options(num_cpus=2).remote(1)

    says(both, "waits for a free CPU: all are taken by 2 x slow.", "in slow\n")
    assert "in parent_of_two" not in both.why()


def test_a_wait_with_a_timeout_is_no_circle_for_ever():
    @burrow.remote
    class Patient:
        def meet(self, friend):
            self.friend = friend

        def answer(self):
            return 1

        def ask(self):
            return burrow.get(self.friend.answer.remote(), timeout=60)

    patient = Patient.remote()
    burrow.get(patient.meet.remote(patient))
    ref = patient.ask.remote()

    says(
        ref,
        "waits in get(), until its timeout, for Patient.answer",
        "a circle (Patient.ask -> Patient.answer -> Patient.ask), until the timeout of Patient.ask",
    )
    burrow.kill(patient)


def test_an_item_of_a_stream(gate):
    @burrow.remote
    def dishes(gate):
        pass_gate(gate)
        yield 1

    @burrow.remote
    def eats(gate):
        return [burrow.get(ref) for ref in dishes.remote(gate)]

    says(eats.remote(gate), "eats runs and waits in get() for dishes, which runs")
