"""Riding: a task is sent to run right behind the one that makes its argument."""

import pytest

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import Upstream, WorkerDied
from burrow_jupyter.core.messages import Value
from helpers.scenario import raised

SHORT = {"micros": 50}
"""How long a task took that may be held ahead the next time."""


@pytest.fixture
def worker(one):
    """The worker of a burrow that knows its functions to be short."""
    driver = one.driver()
    first = driver.submit("f")
    worker = one.born() if one.asked_for else next(iter(one.workers.values()))
    worker.end(first, **SHORT)
    return worker


@pytest.fixture
def driver(one, worker):
    """Its driver."""
    return one.driver()


def known(worker, driver):
    """Have the driver's function known to be short; its code is another's than before."""
    task = driver.submit("f")
    worker.end(task, **SHORT)


def test_a_chain_is_sent_ahead_as_a_whole(one, worker, driver):
    known(worker, driver)
    first = driver.submit("f")
    second = driver.submit("f", first)
    third = driver.submit("f", second)

    assert worker.runs == [first, second, third]
    assert [m.values for m in worker.heard(messages.Run)[-2:]] == [[None], [None]]
    assert driver.state_of(third) == "ready"


def test_a_chain_that_came_before_its_first_link_could_run_is_sent_with_it(one, worker, driver):
    known(worker, driver)
    worker.die()
    one.by_hand = True
    first = driver.submit("f")
    second = driver.submit("f", first)

    assert one.born().runs == [first, second]


def test_what_is_not_known_to_be_short_waits(one, worker, driver):
    first = driver.submit("new")
    second = driver.submit("new", first)

    assert worker.runs == [first]
    assert driver.state_of(second) == "waiting"


def test_large_results_are_not_ridden_on(one, worker, driver):
    task = driver.submit("f")
    worker.end(task, Value(b"x" * (limits.RIDE_MAX_BYTES + 1)), **SHORT)
    first = driver.submit("f")
    driver.submit("f", first)

    assert worker.runs == [first]


def test_what_waits_already_is_not_passed(one, worker, driver):
    known(worker, driver)
    driver.submit("long")
    other = driver.submit("other")
    first = driver.submit("f")
    driver.submit("f", first)

    worker.end(worker.runs[0])

    assert worker.runs[0] == other


def test_one_that_is_given_back_waits_for_its_argument(one, worker, driver):
    known(worker, driver)
    first = driver.submit("f")
    second = driver.submit("f", first)

    worker.give_back()
    assert driver.state_of(second) == "waiting"
    worker.end(first)

    assert worker.runs == [second]
    assert worker.heard(messages.Run)[-1].values[0].data == b"value"


def test_when_the_maker_fails_the_rider_fails_as_any_dependant(one, worker, driver):
    known(worker, driver)
    first = driver.submit("f")
    second = driver.submit("f", first)

    worker.end(first, failure=raised("burnt"))
    worker.say(messages.Returned([second]))

    assert isinstance(driver.failure(second), Upstream)


def test_when_the_worker_dies_the_rider_runs_after_the_second_try(one, worker, driver):
    known(worker, driver)
    first = driver.submit("f")
    second = driver.submit("f", first)

    worker.die(running=first)
    again = next(iter(one.workers.values()))

    assert again.runs[0] == first
    again.end(first)
    assert again.runs == [second]


def test_when_the_maker_has_no_retry_left_the_rider_fails(one, worker, driver):
    known(worker, driver)
    first = driver.submit("f", max_retries=0)
    second = driver.submit("f", first)

    worker.die(running=first)

    assert isinstance(driver.failure(first), WorkerDied)
    assert isinstance(driver.failure(second), Upstream)
