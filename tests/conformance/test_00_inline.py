"""What inline mode does where it cannot do what processes do: one test for each reason."""

from __future__ import annotations

import os
import sys

import pytest

import burrow
from burrow import exceptions
from burrow.util.queue import Empty, Full, Queue
from conformance.calls import Counter, add, fail


@pytest.fixture(autouse=True)
def inline():
    """A session in this process."""
    burrow.init(mode="inline", num_cpus=1)
    yield
    burrow.shutdown()


def test_nothing_waits():
    ref = add.remote(1)

    assert burrow.wait([ref], timeout=0) == ([ref], [])
    assert burrow.get(ref, timeout=0) == 2
    burrow.cancel(ref)
    assert burrow.get(ref) == 2


def test_a_queue_does_not_wait_for_what_cannot_come():
    shelf = Queue(maxsize=1)

    with pytest.raises(Empty):
        shelf.get()
    shelf.put("jam")
    with pytest.raises(Full):
        shelf.put("more jam")
    assert shelf.get() == "jam"


def test_there_is_no_process_of_its_own():
    counter = Counter.remote()

    assert burrow.get(counter.pid.remote()) == os.getpid()
    burrow.kill(counter)
    with pytest.raises(exceptions.ActorDiedError, match="kill"):
        burrow.get(counter.get.remote())
    with pytest.raises(exceptions.RayError, match="exit"):
        burrow.get(burrow.remote(sys.exit).remote())


def test_an_interrupt_is_the_users_own():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        burrow.remote(interrupted).remote()


def test_amounts_never_run_out():
    holders = [Counter.options(num_cpus=1).remote() for _ in range(3)]

    assert burrow.get([holder.add.remote() for holder in holders]) == [1, 1, 1]
    assert burrow.available_resources() == burrow.cluster_resources()
    with pytest.raises(ValueError, match="num_cpus=2"):
        add.options(num_cpus=2).remote(1)


def test_calls_of_async_actors_run_one_after_the_other():
    @burrow.remote
    class Loop:
        async def enter(self, n):
            return n

    loop = Loop.remote()
    assert burrow.get([loop.enter.remote(n) for n in range(3)]) == [0, 1, 2]


def test_a_session_does_not_start_by_itself_inline():
    burrow.shutdown()
    with pytest.raises(ValueError, match="mode"):
        burrow.init(mode="serial")
    assert not burrow.is_initialized()


def test_output_goes_straight_to_the_callers_streams(capsys):
    burrow.remote(lambda: print("direct")).remote()  # noqa: T201 what is tested

    assert capsys.readouterr().out == "direct\n"


def test_a_failure_is_kept_until_it_is_asked_for():
    ref = fail.remote("kept")

    with pytest.raises(ValueError, match="nobody"):
        burrow.get_actor("nobody")
    with pytest.raises(exceptions.RayTaskError, match="kept"):
        burrow.get(ref)
