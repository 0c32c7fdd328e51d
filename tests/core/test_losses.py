"""Losses: what the death of a process means, and for whom."""

import pytest

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import WorkerDied
from burrow_jupyter.core.scheduler.commands import Stop, StopWorker
from burrow_jupyter.core.scheduler.step import ProtocolError
from helpers.scenario import Burrow


def test_a_crash_says_how_it_was_and_what_the_task_said_last(one):
    driver = one.driver()
    task = driver.submit("f", max_retries=0)
    worker = one.worker_of(task)
    worker.say(messages.OutputChunk(task, 0, "stderr", b"out of "))
    worker.say(messages.OutputChunk(task, 0, "stderr", b"cheese\n"))

    worker.die(signal=9)

    failure = driver.failure(task)
    assert isinstance(failure, WorkerDied)
    assert (failure.signal, failure.function, failure.said) == (9, "f", "out of cheese\n")


def test_what_another_task_said_is_not_quoted(one):
    driver = one.driver()
    first, second = driver.submit("f"), driver.submit("f", max_retries=0)
    worker = one.worker_of(first)
    worker.say(messages.OutputChunk(first, 0, "stderr", b"words"))
    worker.end(first)

    one.worker_of(second).die()

    assert driver.failure(second).said == ""


def test_a_crash_takes_the_children_of_the_task_and_not_those_of_earlier_ones(two):
    driver = two.driver()
    earlier = driver.submit("earlier")
    worker = two.worker_of(earlier)
    kept = worker.submit("kept", parent=earlier)
    driver.say(messages.Hold([kept]))
    worker.end(earlier)
    two.end(kept)
    task = driver.submit("f", max_retries=0)
    parent = two.worker_of(task)
    left, waiting = parent.submit("left", parent=0), parent.submit("waiting", parent=task)
    driver.say(messages.Hold([left, waiting]))

    parent.die()

    assert driver.state_of(left) == "running"
    assert driver.state_of(waiting) == "cancelled"


def test_a_waiting_parent_that_dies_is_tried_again(one):
    driver = one.driver()
    parent = driver.submit("parent", max_retries=1)
    worker = one.worker_of(parent)
    child = worker.submit("child", parent=parent)
    worker.get(child, task=parent)

    worker.die()
    one.worker_of(child).stop_task(child)

    assert one.worker_of(parent).heard(messages.Run)[-1].attempt == 2
    assert one.free() == 0


def test_a_driver_that_is_gone_takes_its_tasks_and_nobody_elses(two):
    driver, other = two.driver(), two.driver()
    theirs = [other.submit("f") for _ in range(2)]
    worker = two.worker_of(theirs[0])
    queued = other.submit("f")
    ours = driver.submit("f")
    driver.say(messages.Hold([queued]))

    other.leave()

    assert driver.state_of(queued) == "cancelled"
    assert [m.task_id for m in worker.heard(messages.Interrupt)] == [theirs[0]]
    forced = StopWorker(worker.number, 0.0, theirs[0])
    assert forced in two.ordered(StopWorker)
    worker.die()
    assert ours in two.running()


def test_the_burrow_ends_with_its_last_driver(two):
    first, second = two.driver(), two.driver()
    two.driver("observer")

    first.leave()
    assert two.ordered(Stop) == []
    second.leave()

    assert len(two.ordered(Stop)) == 1


def test_what_was_asked_of_a_client_that_is_gone_is_told_to_nobody(two):
    driver, other = two.driver(), two.driver()
    task = driver.submit("f")
    other.say(messages.Hold([task]))
    other.get(task)
    other.leave()

    two.end(task)

    assert other.value(task) is None
    assert driver.value(task) is not None


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("driver", messages.Done(1)),
        ("driver", messages.Returned([])),
        ("driver", messages.Hello("driver", 1)),
        ("driver", messages.Welcome(1, 1, "", "", "", 1.0)),
        ("observer", messages.Retiring()),
    ],
)
def test_who_says_what_it_may_not_say_is_refused(two, role, message):
    client = two.driver(role)

    with pytest.raises(ProtocolError, match=role):
        client.say(message)


@pytest.mark.parametrize(
    "message",
    [messages.Shutdown(), messages.Hello("worker", 1, 99), messages.Hello("king", 1)],
)
def test_who_does_not_introduce_itself_is_refused(two, message):
    with pytest.raises(ProtocolError):
        two.receive(two.new_peer(), message)


def test_a_worker_is_taken_at_its_word_once():
    burrow = Burrow(by_hand=True)
    burrow.driver().submit("f")
    number = burrow.asked_for[0].worker_id
    burrow.born()

    with pytest.raises(ProtocolError, match="asked for"):
        burrow.receive(burrow.new_peer(), messages.Hello("worker", 1, number))
