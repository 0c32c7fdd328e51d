"""Functions and classes: who keeps them, and what they capture, and when they are forgotten."""

import pytest

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.scheduler.commands import Unlink, WakeAt


@pytest.fixture
def driver(two):
    return two.driver()


def forgotten(two):
    """Return the code that workers were told to forget."""
    return [m.code_id for w in two.workers.values() for m in w.heard(messages.ForgetCode)]


def exists(driver, any_id):
    return driver.ask("describe tasks", [any_id])[0]["exists"]


def test_a_function_that_its_client_let_go_stays_for_the_calls_that_need_it(two, driver):
    code = driver.define("f")
    calls = [driver.submit("f") for _ in range(3)]
    driver.drop(code)

    for call in calls:
        assert code in two.state.codes
        assert not forgotten(two)
        two.end(call)
        two.after(limits.LEAVE_INTERVAL_S)

    assert code not in two.state.codes
    assert set(forgotten(two)) == {code}


def test_what_is_let_go_and_not_needed_is_forgotten_at_once(two, driver):
    two.end(driver.submit("f"))

    driver.drop(driver.define("f"))

    assert not two.state.codes
    assert len(forgotten(two)) == 1


def test_no_call_is_looked_through_again_before_something_has_happened(two, driver):
    driver.submit("f")
    driver.drop(driver.define("f"))
    two.orders.clear()

    two.after(10 * limits.LEAVE_INTERVAL_S)

    assert not two.ordered(WakeAt)
    assert two.state.codes


def test_an_actor_keeps_its_class_to_be_made_anew_of_it(two, driver):
    actor = driver.create("Counter", max_restarts=1)
    worker = two.worker_for(actor)
    worker.ready()
    code = driver.define("Counter")
    driver.drop(code)

    worker.die()
    two.after(1)

    assert two.worker_for(actor).heard(messages.BecomeActor)[-1].code_id == code
    driver.kill(actor)
    assert code not in two.state.codes


def test_what_is_captured_lives_as_long_as_some_code_that_captures_it(two, driver):
    table = driver.put(segment="table")
    first, second = driver.define("f", captured=[table]), driver.define("g", captured=[table])
    driver.drop(table)
    row = next(row for row in driver.ask("objects") if row["captured_by"])
    assert row["captured_by"] == ["f", "g"]

    driver.drop(first)
    assert exists(driver, table)
    driver.drop(second)

    assert not exists(driver, table)
    assert driver.heard(messages.Reuse)[-1].segments == ["table"]


def test_what_workers_map_of_forgotten_code_is_no_longer_named(two, driver):
    table = driver.put(segment="table")
    code = driver.define("f", captured=[table])
    task = driver.submit("f")
    worker = two.worker_of(task)
    sent = worker.heard(messages.Code)[-1]
    two.end(task)

    driver.drop(table, code)
    assert Unlink(["table"]) in two.orders
    worker.say(messages.Unmapped(["table"]))

    assert [value.segment for value in sent.captured] == ["table"]
    assert not two.state.segments


def test_what_is_captured_cannot_be_freed(two, driver):
    table = driver.put(segment="table")
    driver.define("f", captured=[table])

    driver.say(messages.Free([table]))

    assert two.worker_of(driver.submit("f")).heard(messages.Code)[-1].captured[0].segment == "table"


def test_what_every_worker_is_to_call_stays_until_it_is_replaced(two, driver):
    first, second = driver.define("first"), driver.define("second")
    driver.say(messages.Setup(first, 0, "key"))
    driver.drop(first, second)
    assert list(two.state.codes) == [first]

    third = driver.define("third")
    driver.say(messages.Setup(third, 0, "key"))
    driver.drop(third)

    assert list(two.state.codes) == [third]


def test_a_client_that_is_gone_keeps_no_code(two, driver):
    other = two.driver()
    other.define("f")
    driver.define("g")

    other.leave()

    assert [code.name for code in two.state.codes.values()] == ["g"]
