"""Tasks: arguments, results, retries, cancelling."""

import pytest

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import (
    Cancelled,
    EngineError,
    ObjectLost,
    Upstream,
    UserError,
    WorkerDied,
)
from burrow_jupyter.core.messages import Value
from burrow_jupyter.core.options import FOREVER, STREAMING, TaskOptions
from burrow_jupyter.core.scheduler.commands import StopWorker
from helpers.scenario import Burrow, raised, shape

# ---- arguments and results -------------------------------------------------------------


def test_a_task_runs_and_its_small_result_comes_unasked(one):
    driver = one.driver()
    task = driver.submit("f")
    assert one.running() == [task]
    assert driver.state_of(task) == "running"

    one.end(task, b"42")

    assert driver.value(task) == b"42"
    assert driver.state_of(task) == "finished"


def test_a_large_result_is_announced_and_comes_when_it_is_asked_for(one):
    driver = one.driver()
    task = driver.submit("f")
    one.end(task, Value(bytes(limits.PUSH_MAX_BYTES + 1)))
    assert [m.object_ids for m in driver.heard(messages.Ready)] == [[task]]
    assert driver.value(task) is None

    driver.get(task)

    assert driver.value(task) is not None


def test_a_task_waits_for_its_arguments_and_gets_their_values(two):
    driver = two.driver()
    first, second = driver.submit("first"), driver.submit("second")
    last = driver.submit("last", first, second)
    assert driver.state_of(last) == "waiting"

    two.end(second, b"2")
    assert last not in two.running()
    two.end(first, b"1")

    assert two.running() == [last]
    run = two.worker_of(last).heard(messages.Run)[-1]
    assert [value.data for value in run.values] == [b"1", b"2"]


def test_an_argument_given_twice_is_one_argument(one):
    driver = one.driver()
    first = driver.submit("first")
    driver.submit("last", first, first)

    one.end(first, b"1")

    run = next(iter(one.workers.values())).heard(messages.Run)[-1]
    assert [value.data for value in run.values] == [b"1", b"1"]


def test_what_depends_on_a_failure_fails_with_it_and_runs_nothing(one):
    driver = one.driver()
    first = driver.submit("first", max_retries=0)
    second = driver.submit("second", first)
    third = driver.submit("third", second)

    one.end(first, failure=raised("broken"))

    failure = driver.failure(third)
    assert isinstance(failure, Upstream)
    assert failure.function == "third"
    assert failure.cause.function == "second"
    assert failure.cause.cause.message == "broken"
    assert one.running() == []


def test_an_argument_that_nobody_holds_fails_the_task(one):
    driver = one.driver()
    task = driver.submit("f", driver.new_id())

    assert isinstance(driver.failure(task).cause, ObjectLost)


def test_a_task_whose_code_never_came_fails_and_says_so(one):
    driver = one.driver()
    task, options = driver.new_id(), driver.new_id()
    driver.say(messages.DefineOptions(options, TaskOptions("f", "f", shape())))

    driver.say(messages.Submit(task, driver.new_id(), options))

    assert "never sent" in driver.failure(task).message


def test_several_results_have_the_ids_after_the_first(one):
    driver = one.driver()
    task = driver.submit("f", num_returns=3)

    one.end(task, b"0", b"1", b"2")

    assert [driver.value(task + n) for n in range(3)] == [b"0", b"1", b"2"]


def test_a_result_that_did_not_come_is_an_error_and_not_a_wait_for_ever(one):
    driver = one.driver()
    task = driver.submit("f", num_returns=2)

    one.end(task, b"0")

    assert driver.value(task) == b"0"
    assert isinstance(driver.failure(task + 1), EngineError)


def test_an_end_that_is_told_twice_counts_once(one):
    driver = one.driver()
    task = driver.submit("f")
    worker = one.worker_of(task)
    worker.end(task, b"1")

    worker.say(messages.Done(task, [Value(b"2")]))

    assert driver.value(task) == b"1"


def test_a_failure_that_nobody_can_ask_for_is_told_in_a_line(one):
    driver = one.driver()
    task = driver.submit("f", max_retries=0)
    driver.drop(task)

    one.end(task, failure=raised("lost words"))

    assert [m.text for m in driver.heard(messages.Notice)] == ["f failed: ValueError: lost words"]


# ---- retries ---------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_crash_is_tried_again_as_often_as_was_said_and_no_more(retries):
    burrow = Burrow()
    driver = burrow.driver()
    task = driver.submit("f", max_retries=retries)

    starts = 0
    while burrow.running() == [task]:
        starts += 1
        burrow.worker_of(task).die(signal=11)

    assert starts == 1 + retries
    failure = driver.failure(task)
    assert isinstance(failure, WorkerDied)
    assert (failure.attempts, failure.signal) == (1 + retries, 11)


def test_for_ever_means_for_ever(one):
    driver = one.driver()
    task = driver.submit("f", max_retries=FOREVER)

    for _ in range(50):
        one.worker_of(task).die()

    assert one.running() == [task]
    assert one.worker_of(task).heard(messages.Run)[-1].attempt == 51


def test_what_raised_is_tried_again_only_if_it_may_be(one):
    driver = one.driver()
    task = driver.submit("f", max_retries=1, retry_exceptions=True)

    one.end(task, failure=raised(), retryable=True)
    assert one.running() == [task]
    one.end(task, failure=raised("again"), retryable=True)

    assert driver.failure(task).message == "again"


def test_what_raised_fails_at_once_by_default(one):
    driver = one.driver()
    task = driver.submit("f", max_retries=3)

    one.end(task, failure=raised())

    assert isinstance(driver.failure(task), UserError)


def test_a_task_that_is_tried_again_keeps_its_arguments(one):
    driver = one.driver()
    argument = driver.put(b"argument")
    task = driver.submit("f", argument, max_retries=1)
    driver.drop(argument)

    one.worker_of(task).die()

    run = one.worker_of(task).heard(messages.Run)[-1]
    assert [value.data for value in run.values] == [b"argument"]


# ---- cancelling ------------------------------------------------------------------------


def test_a_task_that_waits_is_cancelled_at_once(one):
    driver = one.driver()
    running, queued = driver.submit("running"), driver.submit("queued")
    waiting = driver.submit("waiting", running)

    driver.cancel(queued)
    driver.cancel(waiting)

    assert isinstance(driver.failure(queued), Cancelled)
    assert isinstance(driver.failure(waiting), Cancelled)
    one.end(running)
    assert one.running() == []


def test_a_task_that_runs_is_interrupted_and_ends_when_it_says_so(one):
    driver = one.driver()
    task = driver.submit("f", max_retries=3)
    worker = one.worker_of(task)

    driver.cancel(task)
    assert [m.task_id for m in worker.heard(messages.Interrupt)] == [task]
    assert driver.failure(task) is None
    worker.stop_task(task)

    assert isinstance(driver.failure(task), Cancelled)
    assert driver.state_of(task) == "cancelled"


def test_a_cancelled_task_that_crashes_is_not_tried_again(one):
    driver = one.driver()
    task = driver.submit("f", max_retries=3)
    driver.cancel(task)

    one.worker_of(task).die()

    assert isinstance(driver.failure(task), Cancelled)
    assert one.running() == []


def test_force_ends_the_process_if_it_is_this_task_that_it_runs(one):
    driver = one.driver()
    task = driver.submit("f")
    worker = one.worker_of(task)

    driver.cancel(task, force=True)

    assert one.ordered(StopWorker) == [StopWorker(worker.number, 0.0, task)]


def test_force_ends_what_is_held_ahead_only_should_it_begin_all_the_same(one):
    driver = one.driver()
    one.end(driver.submit("f"), micros=50)
    first, second = driver.submit("f"), driver.submit("f")
    worker = one.worker_of(first)
    assert worker.runs == [first, second]

    driver.cancel(second, force=True)
    assert one.ordered(StopWorker) == []
    worker.end(first)

    assert one.ordered(StopWorker) == [StopWorker(worker.number, 0.0, second)]


def test_an_actor_outlives_the_task_that_made_it_unless_that_crashes(two):
    driver = two.driver()
    task = driver.submit("f", max_retries=0)
    other = driver.submit("f", max_retries=0)
    workers = [two.worker_of(t) for t in (task, other)]
    actors = [w.create("Pan", parent=t) for w, t in zip(workers, (task, other), strict=True)]
    for actor in actors:
        two.worker_for(actor).ready()
    driver.say(messages.Hold(actors))

    workers[0].end(task)
    workers[1].die()

    assert [r["state"] for r in driver.ask("describe actors", actors)] == ["alive", "dead"]


@pytest.mark.parametrize("recursive", [True, False])
def test_cancelling_reaches_the_children_if_it_is_to(two, recursive):
    driver = two.driver()
    parent = driver.submit("parent")
    worker = two.worker_of(parent)
    child = worker.submit("child", parent=parent)
    grandchild = two.worker_of(child).submit("grandchild", child, parent=child)

    driver.cancel(parent, recursive=recursive)

    assert bool(two.worker_of(child).heard(messages.Interrupt)) == recursive
    assert driver.state_of(grandchild) == ("cancelled" if recursive else "waiting")


@pytest.mark.parametrize("recursive", [True, False])
def test_what_waits_for_its_retry_has_children_from_before_and_is_over_when_it_is_cancelled(
    one, recursive
):
    driver = one.driver()
    parent = driver.submit("parent", max_retries=1)
    worker = one.worker_of(parent)
    child = worker.submit("child", parent=parent)
    worker.get(child, task=parent)  # its CPU is the child's now
    worker.say(messages.Unblock(parent))
    worker.end(parent, failure=raised(), retryable=True)
    assert driver.state_of(parent) == "ready"

    driver.say(
        messages.Cancel(parent, recursive=recursive), messages.Cancel(parent, recursive=True)
    )

    assert driver.state_of(parent) == "cancelled"
    assert bool(one.worker_of(child).heard(messages.Interrupt)) == recursive


def test_cancelling_what_has_ended_changes_nothing(one):
    driver = one.driver()
    task = driver.submit("f")
    one.end(task, b"1")

    driver.cancel(task)

    assert driver.value(task) == b"1"
    assert driver.failure(task) is None


def test_a_cancelled_run_takes_all_its_tasks_and_what_they_submit_later(two):
    driver = two.driver()
    cell, other = driver.new_id(), driver.new_id()
    driver.say(messages.DefineRun(cell, "[1]"), messages.DefineRun(other, "[2]"))
    running = driver.submit("running", run=cell)
    waiting = driver.submit("waiting", running, run=cell)
    beside = driver.submit("beside", run=other)
    worker = two.worker_of(running)

    driver.say(messages.CancelRun(cell))
    late = worker.submit("late", parent=running)

    assert driver.state_of(waiting) == "cancelled"
    assert driver.state_of(late) == "cancelled"
    assert driver.state_of(beside) == "running"
    grace = limits.CANCEL_GRACE_S
    assert two.ordered(StopWorker) == [StopWorker(worker.number, grace, running)]


# ---- generators ------------------------------------------------------------------------


def stream(driver):
    """Return the items of all streams, in the order told; 0 is the end."""
    return [m.object_id for m in driver.heard(messages.Streamed)]


def test_items_of_a_generator_come_one_by_one_and_then_its_end(one):
    driver = one.driver()
    task = driver.submit("count", num_returns=STREAMING, generator=True)
    worker = one.worker_of(task)
    items = [worker.new_id() for _ in range(2)]

    for index, item in enumerate(items):
        worker.say(messages.Yielded(task, index, item, Value(b"%d" % index)))
    assert stream(driver) == items
    assert [driver.value(item) for item in items] == [b"0", b"1"]
    worker.end(task)

    assert stream(driver) == [*items, 0]


def test_items_that_were_had_before_a_crash_do_not_come_again(one):
    driver = one.driver()
    task = driver.submit("count", num_returns=STREAMING, generator=True)
    first = one.worker_of(task)
    first.say(messages.Yielded(task, 0, had := first.new_id(), Value(b"0")))
    first.die()

    again = one.worker_of(task)
    assert again.heard(messages.Run)[-1].skip == 1
    again.say(messages.Yielded(task, 0, again.new_id(), Value(b"0")))
    again.say(messages.Yielded(task, 1, fresh := again.new_id(), Value(b"1")))

    assert stream(driver) == [had, fresh]


def test_a_stream_whose_task_fails_ends_with_the_failure(one):
    driver = one.driver()
    task = driver.submit("count", num_returns=STREAMING, generator=True)

    one.end(task, failure=raised("broken"))

    assert driver.heard(messages.Streamed)[-1].failure.message == "broken"


def test_items_for_a_consumer_that_let_go_are_not_kept(one):
    driver = one.driver()
    task = driver.submit("count", num_returns=STREAMING, generator=True)
    worker = one.worker_of(task)
    driver.drop(task)

    worker.say(messages.Yielded(task, 0, worker.new_id(), Value(b"0")))

    assert stream(driver) == []
    assert {row["state"] for row in driver.ask("objects")} <= {"pending"}


def test_what_the_consumer_took_is_said_again_to_the_worker_that_runs_it_anew(one):
    driver = one.driver()
    task = driver.submit("count", num_returns=STREAMING, generator=True)
    driver.say(messages.StreamCredit(task, 3))

    one.worker_of(task).die()

    assert [m.taken for m in one.worker_of(task).heard(messages.StreamCredit)] == [3]
