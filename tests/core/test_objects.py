"""Objects: who needs them, when they are freed, what becomes of their memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import ObjectLost
from burrow_jupyter.core.messages import Value
from burrow_jupyter.core.scheduler.commands import Sweep, Unlink
from helpers.scenario import Burrow, raised


@pytest.fixture
def driver(two):
    return two.driver()


def exist(driver, *ids):
    """Say which of these objects there are."""
    return [row["exists"] for row in driver.ask("describe tasks", list(ids))]


# ---- references ------------------------------------------------------------------------


def test_an_object_lives_as_long_as_somebody_holds_it(two, driver):
    other = two.driver()
    thing = driver.put()
    other.say(messages.Hold([thing]))

    driver.drop(thing)
    assert exist(driver, thing) == [True]
    other.drop(thing)

    assert exist(driver, thing) == [False]


def test_holding_twice_counts_once(driver):
    thing = driver.put()
    driver.say(messages.Hold([thing]), messages.Hold([thing]))

    driver.drop(thing)

    assert exist(driver, thing) == [False]


def test_a_task_holds_its_arguments_until_it_has_ended(two, driver):
    argument, inner = driver.put(), driver.put()
    task = driver.submit("f", argument, contained=[inner])
    driver.drop(argument, inner)
    assert exist(driver, argument, inner) == [True, True]

    two.end(task)

    assert exist(driver, argument, inner) == [False, False]


def test_a_task_that_is_cancelled_lets_its_arguments_go(two, driver):
    before = driver.submit("before")
    argument = driver.put()
    task = driver.submit("f", before, argument)
    driver.drop(argument)

    driver.cancel(task)

    assert exist(driver, argument) == [False]


def test_a_result_that_nobody_wants_is_freed_when_it_comes(two, driver):
    task = driver.submit("f")
    driver.drop(task)

    two.end(task)

    assert exist(driver, task) == [False]


def test_what_a_container_holds_goes_with_it(driver):
    inner = driver.put()
    middle = driver.put(contained=[inner])
    outer = driver.put(contained=[middle])
    driver.drop(inner, middle)
    assert exist(driver, inner, middle, outer) == [True, True, True]

    driver.drop(outer)

    assert exist(driver, inner, middle, outer) == [False, False, False]


def test_a_chain_of_any_length_is_freed(driver):
    chain = [driver.new_id() for _ in range(5000)]
    inside = [[], *([inner] for inner in chain)]
    puts = [
        messages.Put(link, Value(contained=held)) for link, held in zip(chain, inside, strict=False)
    ]
    driver.say(*puts, messages.Drop(chain[:-1]))
    assert all(exist(driver, *chain))

    driver.drop(chain[-1])

    assert not any(exist(driver, *chain))


def test_what_an_exception_refers_to_lives_as_long_as_the_failure(two, driver):
    thing = driver.put()
    task = driver.submit("f", max_retries=0)
    two.end(task, failure=raised(contained=[thing]))
    driver.drop(thing)
    assert exist(driver, thing) == [True]

    driver.drop(task)

    assert exist(driver, thing) == [False]


def test_what_a_client_held_is_freed_when_it_is_gone(two, driver):
    other = two.driver()
    thing = other.put()

    other.leave()

    assert exist(driver, thing) == [False]


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30), st.randoms())
def test_boxes_in_boxes_are_freed_in_whatever_order_they_are_let_go(links, order):
    driver = Burrow().driver()
    things = []
    for number in range(20):
        inside = [things[inner] for outer, inner in links if outer == number and inner < number]
        things.append(driver.put(contained=inside))
    order.shuffle(things)

    for thing in things:  # the core's own proof counts all references after each
        driver.drop(thing)

    assert not any(exist(driver, *things))


# ---- get and wait ----------------------------------------------------------------------


def test_get_is_answered_when_the_value_is_there(two, driver):
    other = two.driver()
    task = driver.submit("f")
    other.say(messages.Hold([task]))
    other.get(task)
    assert other.value(task) is None

    two.end(task, b"1")

    assert other.value(task) == b"1"


def test_who_waits_is_told_of_a_failure_too(two, driver):
    other = two.driver()
    task = driver.submit("f", max_retries=0)
    other.say(messages.Hold([task]))
    other.get(task)

    two.end(task, failure=raised("broken"))

    assert other.failure(task).message == "broken"


def test_get_of_what_is_gone_says_so(driver):
    driver.get(thing := driver.new_id())

    assert isinstance(driver.failure(thing), ObjectLost)


def test_wait_is_told_that_it_is_there_and_not_what_it_is(two, driver):
    other = two.driver()
    task = driver.submit("f")
    other.say(messages.Hold([task]))
    other.get(task, values=False)

    two.end(task, b"1")

    assert [m.object_ids for m in other.heard(messages.Ready)] == [[task]]
    assert other.value(task) is None


# ---- free ------------------------------------------------------------------------------


def test_a_freed_object_is_lost_though_it_is_held(driver):
    thing = driver.put()

    driver.say(messages.Free([thing]))
    driver.get(thing)

    assert driver.failure(thing).kind == "freed"


def test_a_task_whose_argument_was_freed_while_it_queued_fails(two, driver):
    running = [driver.submit("running"), driver.submit("running")]
    argument = driver.put()
    task = driver.submit("f", argument)

    driver.say(messages.Free([argument]))
    two.end(running[0])

    assert driver.failure(task).cause.kind == "freed"


# ---- shared memory ---------------------------------------------------------------------


def test_a_segment_goes_back_to_who_made_it_when_nobody_needs_it(driver):
    thing = driver.put(segment="s1")

    driver.drop(thing)

    assert [m.segments for m in driver.heard(messages.Reuse)] == [["s1"]]


def test_a_segment_that_somebody_looks_into_is_never_used_again(two, driver):
    thing = driver.put(segment="s1")
    task = driver.submit("f", thing)

    two.end(task)
    driver.drop(thing)

    assert driver.heard(messages.Reuse) == []
    assert two.ordered(Unlink) == [Unlink(["s1"])]


def test_a_segment_whose_readers_are_done_is_used_again(two, driver):
    thing = driver.put(segment="s1")
    task = driver.submit("f", thing)
    two.end(task, unmapped=["s1"])

    driver.drop(thing)

    assert [m.segments for m in driver.heard(messages.Reuse)] == [["s1"]]


def test_a_segment_outlives_who_made_it_while_it_is_needed(two, driver):
    other = two.driver()
    thing = other.put(segment="s1")
    driver.say(messages.Hold([thing]))

    other.leave()
    assert two.ordered(Sweep) == [Sweep(other.id, ["s1"])]
    driver.drop(thing)

    assert two.ordered(Unlink) == [Unlink(["s1"])]


def test_a_result_that_came_for_nobody_leaves_no_memory(two, driver):
    task = driver.submit("f")
    worker = two.worker_of(task)
    worker.end(task)

    worker.say(messages.Done(task, [Value(b"", [], "late", 1_000_000)]))

    assert [m.segments for m in worker.heard(messages.Reuse)] == [["late"]]
