"""Area 9: cancelling."""

from __future__ import annotations

import asyncio
import pickle
import time

import pytest

import burrow
from burrow import exceptions
from conformance.calls import Counter, add, gated, get_inside, pid, traced
from helpers.gates import leave_trace, pass_gate, sleep_long
from helpers.wait import holds_for, wait_until

pytestmark = pytest.mark.usefixtures("shared")

CANCELLED = (exceptions.TaskCancelledError, exceptions.WorkerCrashedError)


@burrow.remote
def sleeps(trace):
    leave_trace(str(trace))
    sleep_long()


@burrow.remote
def spins(trace):
    leave_trace(str(trace))
    while True:
        pass


def cancelled(ref):
    with pytest.raises(exceptions.TaskCancelledError, match="was cancelled") as caught:
        burrow.get(ref, timeout=20)
    return caught.value


def test_9_1_what_may_be_cancelled():
    with pytest.raises(TypeError, match="ObjectRef"):
        burrow.cancel(1)
    done, put = add.remote(1), burrow.put(2)
    burrow.get(done)
    for _ in range(2):
        burrow.cancel(done)
        burrow.cancel(put)
    assert burrow.get([done, put]) == [2, 2]


def test_9_2_a_task_that_waits_for_its_input_never_runs(tmp_path):
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    source = gated.remote(gate)
    waits = traced.remote(trace, source)
    burrow.cancel(waits)
    burrow.cancel(waits)

    cancelled(waits)
    gate.touch()
    burrow.get(source)
    burrow.get(pid.remote())
    assert not trace.exists()


def test_9_2_a_task_in_a_queue_never_runs(tmp_path):
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    busy = [gated.remote(gate) for _ in range(2)]
    queued = traced.remote(trace)
    burrow.cancel(queued)

    cancelled(queued)
    gate.touch()
    burrow.get(busy)
    burrow.get(pid.remote())
    assert not trace.exists()


@pytest.mark.parametrize("task", [sleeps, spins])
def test_9_3_a_running_task_is_interrupted(tmp_path, task):
    trace = tmp_path / "trace"
    ref = task.remote(trace)
    wait_until(trace.exists, 10, "the task to run")
    burrow.cancel(ref)

    assert isinstance(cancelled(ref), exceptions.RayTaskError)


def test_9_3_a_blocked_get_is_interrupted(tmp_path):
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    source = gated.remote(gate, 1)

    @burrow.remote
    def waits(refs):
        leave_trace(str(trace))
        return burrow.get(refs)

    ref = waits.remote([source])
    wait_until(trace.exists, 10, "the task to wait")
    burrow.cancel(ref)

    cancelled(ref)
    gate.touch()
    assert burrow.get(source) == 1


def test_9_3_one_that_catches_it_may_return(tmp_path):
    trace = tmp_path / "trace"

    @burrow.remote
    def stubborn():
        try:
            leave_trace(str(trace))
            sleep_long()
        except KeyboardInterrupt:
            return burrow.get_runtime_context().is_canceled()

    ref = stubborn.remote()
    wait_until(trace.exists, 10, "the task to run")
    burrow.cancel(ref)

    assert burrow.get(ref) is True


def test_9_4_by_force(tmp_path):
    trace = tmp_path / "trace"

    @burrow.remote
    def deaf():
        leave_trace(str(trace))
        while True:
            try:
                sleep_long()
            except KeyboardInterrupt:
                continue

    ref = deaf.remote()
    wait_until(trace.exists, 10, "the task to run")
    burrow.cancel(ref)
    burrow.cancel(ref, force=True)

    with pytest.raises(CANCELLED):
        burrow.get(ref, timeout=20)
    assert isinstance(burrow.get(pid.remote()), int)


def test_9_5_dependents_fail(tmp_path):
    trace = tmp_path / "trace"
    ref = sleeps.remote(trace)
    dependent, inside = add.remote(ref), get_inside.remote([ref])
    wait_until(trace.exists, 10, "the task to run")
    burrow.cancel(ref)

    cancelled(dependent)
    with pytest.raises(exceptions.RayError):
        burrow.get(inside)


@pytest.mark.parametrize("recursive", [True, False])
def test_9_6_children_are_cancelled_too_if_asked(tmp_path, recursive):
    gate, started, ended = (tmp_path / name for name in ("gate", "started", "ended"))

    @burrow.remote
    def child():
        leave_trace(str(started))
        pass_gate(str(gate))
        leave_trace(str(ended))

    @burrow.remote
    def parent():
        burrow.get(child.remote())

    ref = parent.remote()
    wait_until(started.exists, 10, "the child to run")
    burrow.cancel(ref, recursive=recursive)
    cancelled(ref)

    if recursive:
        wait_until(
            lambda: burrow.available_resources().get("CPU") == 2, 10, "the child to be cancelled"
        )
        gate.touch()
        holds_for(lambda: not ended.exists(), 0.2, "the child does not go on")
    else:
        gate.touch()
        wait_until(ended.exists, 10, "the child to end")


def test_9_7_calls_of_actors_are_not_cancelled_by_force():
    counter = Counter.remote()
    ref = counter.get.remote()

    with pytest.raises(ValueError, match="kill"):
        burrow.cancel(ref, force=True)
    travelled = burrow.get(burrow.remote(lambda refs: refs).remote([ref]))[0]
    with pytest.raises(ValueError, match="kill"):
        burrow.cancel(travelled, force=True)


def test_9_7_a_queued_call_is_removed_and_order_kept(tmp_path):
    gate = tmp_path / "gate"
    counter = Counter.remote()
    first = counter.gated.remote(gate)
    second, third = counter.add.remote(10), counter.add.remote(100)
    burrow.cancel(second)
    gate.touch()

    cancelled(second)
    assert burrow.get([first, third]) == [1, 101]


def test_9_7_a_queued_call_ends_while_all_threads_are_busy(tmp_path):
    gate = tmp_path / "gate"
    counter = Counter.options(max_concurrency=2).remote()
    busy = [counter.gated.remote(gate, 0) for _ in range(2)]
    queued = counter.add.remote(10)
    burrow.cancel(queued)

    cancelled(queued)
    gate.touch()
    assert burrow.get([*busy, counter.get.remote()]) == [0, 0, 0]


def test_9_7_a_coroutine_is_cancelled_and_its_neighbours_are_not(tmp_path):
    @burrow.remote
    class Waits:
        def __init__(self):
            self.seen = []

        async def wait(self, name):
            try:
                leave_trace(str(tmp_path / name))
                await asyncio.sleep(60 if name == "victim" else 0.2)
            except asyncio.CancelledError:
                self.seen.append(name)
                raise
            return name

        async def is_canceled(self):
            return burrow.get_runtime_context().is_canceled()

        async def get(self):
            return self.seen

    actor = Waits.remote()
    victim, neighbour = actor.wait.remote("victim"), actor.wait.remote("neighbour")
    wait_until((tmp_path / "victim").exists, 10, "the call to run")
    burrow.cancel(victim)

    error = cancelled(victim)
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert isinstance(one, exceptions.RayTaskError)
        assert (one.task_id, str(one)) == (error.task_id, str(error))
    assert burrow.get(neighbour) == "neighbour"
    assert burrow.get(actor.get.remote()) == ["victim"]
    with pytest.raises(RuntimeError, match="async"):
        burrow.get(actor.is_canceled.remote())


@pytest.mark.parametrize("threads", [1, 2])
def test_9_7_a_running_call_sees_its_flag(tmp_path, threads):
    trace = tmp_path / "trace"

    @burrow.remote
    class Looks:
        def look(self):
            leave_trace(str(trace))
            wait_until(burrow.get_runtime_context().is_canceled, 20, "the flag")
            return "went on"

        def get(self):
            return "alive"

    actor = Looks.options(max_concurrency=threads).remote()
    ref = actor.look.remote()
    wait_until(trace.exists, 10, "the call to run")
    burrow.cancel(ref)

    cancelled(ref)
    assert burrow.get(actor.get.remote()) == "alive"


@pytest.mark.parametrize("most", [None, 1])
@pytest.mark.parametrize("threads", [1, 2])
def test_9_7_a_generator_of_an_actor_ends_at_its_next_item(threads, most):
    @burrow.remote
    class Endless:
        def __init__(self):
            self.closed = 0

        def items(self):
            try:
                while True:
                    yield 1
            finally:
                self.closed += 1

        def get(self):
            return self.closed

    actor = Endless.options(max_concurrency=threads).remote()
    items = actor.items.options(_generator_backpressure_num_objects=most).remote()
    assert burrow.get(next(items)) == 1
    burrow.cancel(items)

    *_, last = items
    cancelled(last)
    assert burrow.get(actor.get.remote(), timeout=20) == 1


def test_9_8_the_error_names_the_task(tmp_path):
    trace = tmp_path / "trace"
    ref = sleeps.remote(trace)
    burrow.cancel(ref)

    error = cancelled(ref)
    assert ref.task_id() in str(error)


def test_9_9_each_of_many_ends_and_no_worker_is_lost():
    @burrow.remote
    def short(n):
        time.sleep(0.001)  # noqa: TID251 how long a task runs, not a wait of the test
        return n

    refs = [short.remote(n) for n in range(3000)]
    for ref in refs[::2]:
        burrow.cancel(ref)
    ended = 0
    for n, ref in enumerate(refs):
        try:
            assert burrow.get(ref, timeout=60) == n
        except exceptions.TaskCancelledError:
            ended += 1
            assert n % 2 == 0
    assert ended > 100
    assert burrow.get([add.remote(n) for n in range(100)]) == list(range(1, 101))
