"""Actors: creation, the order of calls, restarts, names, the end."""

import msgspec
import pytest

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import ActorDied, ActorUnavailable, Cancelled
from burrow_jupyter.core.options import FOREVER, TaskOptions
from burrow_jupyter.core.scheduler.commands import StopWorker
from helpers.scenario import Burrow, raised, shape


@pytest.fixture
def driver(two):
    return two.driver()


def alive(driver, *deps, **options):
    """Make an actor whose constructor has ended; return its id and its worker."""
    actor = driver.create("Pan", *deps, **options)
    worker = driver.burrow.worker_for(actor)
    worker.ready()
    return actor, worker


def state_of(driver, actor):
    return driver.ask("describe actors", [actor])[0]["state"]


# ---- creation --------------------------------------------------------------------------


def test_an_actor_lives_when_its_constructor_has_ended(two, driver):
    actor = driver.create("Pan")
    assert state_of(driver, actor) == "starting"

    two.worker_for(actor).ready()

    assert state_of(driver, actor) == "alive"


def test_its_constructor_waits_for_its_arguments(two, driver):
    argument = driver.submit("argument")
    actor = driver.create("Pan", argument)
    assert state_of(driver, actor) == "pending"

    two.end(argument, b"fat")

    become = two.worker_for(actor).heard(messages.BecomeActor)[0]
    assert [value.data for value in become.values] == [b"fat"]


def test_an_argument_that_fails_is_told_by_every_call(two, driver):
    argument = driver.submit("argument")
    actor = driver.create("Pan", argument)
    call = driver.call(actor, "cook")

    two.end(argument, failure=raised("burnt"))

    failure = driver.failure(call)
    assert isinstance(failure, ActorDied)
    assert failure.error.message == "burnt"
    assert "argument of its constructor" in failure.reason


def test_a_constructor_that_raises_is_told_by_every_call(two, driver):
    actor = driver.create("Pan")
    before = driver.call(actor, "cook")

    two.worker_for(actor).ready(raised("no fire"))
    after = driver.call(actor, "cook")

    assert [driver.failure(c).error.message for c in (before, after)] == ["no fire", "no fire"]


def test_an_actor_holds_for_life_what_it_asked_for(two, driver):
    actor, worker = alive(driver, need=shape(2))
    task = driver.submit("f")
    assert driver.state_of(task) == "ready"

    driver.kill(actor)
    worker.die()

    assert two.running() == [task]


def test_an_actor_may_need_more_to_be_placed_than_it_holds(two, driver):
    tasks = [driver.submit("f"), driver.submit("f")]
    actor = driver.create("Pan", placing=shape(1))
    assert state_of(driver, actor) == "pending"

    two.end(tasks[0])

    assert state_of(driver, actor) == "starting"
    assert two.free() == 1


# ---- calls -----------------------------------------------------------------------------


def test_calls_before_it_lives_are_sent_in_order_when_it_does(two, driver):
    actor = driver.create("Pan")
    calls = [driver.call(actor, "cook") for _ in range(5)]
    worker = two.worker_for(actor)
    assert worker.runs == []

    worker.ready()

    assert worker.runs == calls


def test_a_call_that_waits_for_its_argument_holds_up_those_after_it(two, driver):
    actor, worker = alive(driver)
    argument = driver.submit("argument")
    calls = [driver.call(actor, "cook", argument), driver.call(actor, "cook")]
    assert worker.runs == []

    two.end(argument)

    assert worker.runs == calls


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_a_call_that_will_not_run_holds_up_nobody(two, driver, how):
    actor, worker = alive(driver)
    argument = driver.submit("argument")
    first, second = driver.call(actor, "cook", argument), driver.call(actor, "cook")

    if how == "fails":
        two.end(argument, failure=raised())
    else:
        driver.cancel(first)

    assert worker.runs == [second]


def test_callers_do_not_hold_up_each_other(two, driver):
    actor, worker = alive(driver)
    argument = driver.submit("argument")
    driver.call(actor, "cook", argument)
    other = two.driver()
    other.say(messages.Hold([actor]))

    call = other.call(actor, "cook")

    assert worker.runs == [call]


def test_out_of_order_a_call_that_waits_holds_up_nobody(two, driver):
    actor, worker = alive(driver, out_of_order=True, max_concurrency=2)
    argument = driver.submit("argument")
    driver.call(actor, "cook", argument)

    second = driver.call(actor, "cook")

    assert worker.runs == [second]


def test_a_call_is_told_as_running_only_when_its_turn_has_come(two, driver):
    actor, worker = alive(driver)
    first, second = driver.call(actor, "cook"), driver.call(actor, "cook")
    assert [driver.state_of(c) for c in (first, second)] == ["running", "ready"]

    worker.end(first)

    assert driver.state_of(second) == "running"


def test_a_call_of_what_never_was_fails(driver):
    call = driver.call(driver.new_id(), "cook")

    assert isinstance(driver.failure(call), ActorDied)


def test_a_direct_call_that_was_cancelled_before_its_worker_refused_it_never_runs(two, driver):
    actor, worker = alive(driver)
    options = driver._options(TaskOptions(name="cook", function="cook"))
    told = messages.Direct(
        driver.new_id(), 0, options, driver.id, worker.id, actor_id=actor, method="cook"
    )

    driver.say(told)
    driver.cancel(told.task_id)
    worker.say(msgspec.structs.replace(told, refused=True))

    assert worker.runs == []
    assert isinstance(driver.failure(told.task_id), Cancelled)


def test_a_cancelled_call_goes_on_told_that_nobody_wants_it(two, driver):
    actor, worker = alive(driver)
    running = driver.call(actor, "cook")

    driver.cancel(running)

    assert [m.task_id for m in worker.heard(messages.Interrupt)] == [running]
    assert two.ordered(StopWorker) == []
    worker.stop_task(running)
    assert isinstance(driver.failure(running), Cancelled)


def test_a_call_that_raised_is_tried_again_before_later_ones_that_are_not_sent(two, driver):
    actor, worker = alive(driver)
    first = driver.call(actor, "cook", retries=1)

    worker.end(first, failure=raised(), retryable=True)
    assert worker.runs == [first]
    worker.end(first, failure=raised("again"), retryable=True)

    assert driver.failure(first).message == "again"


# ---- restarts --------------------------------------------------------------------------


def test_without_restarts_a_crash_is_the_end(two, driver):
    actor, worker = alive(driver)
    calls = [driver.call(actor, "cook"), driver.call(actor, "cook")]

    worker.die(signal=11)

    assert state_of(driver, actor) == "dead"
    for call in calls:
        assert isinstance(driver.failure(call), ActorDied)
        assert "SIGSEGV" in driver.failure(call).reason


def test_it_restarts_as_often_as_was_said(two, driver):
    actor, worker = alive(driver, max_restarts=2)

    restarts = 0
    while state_of(driver, actor) != "dead":
        two.worker_for(actor).die()
        restarts += 1
        if state_of(driver, actor) != "dead":
            worker = two.worker_for(actor)
            assert worker.heard(messages.BecomeActor)[0].restarts == restarts
            worker.ready()

    assert restarts == 3


def test_a_constructor_gets_its_arguments_again_though_nobody_else_holds_them(two, driver):
    argument = driver.put(b"fat")
    actor, worker = alive(driver, argument, max_restarts=1)
    driver.drop(argument)

    worker.die()

    become = two.worker_for(actor).heard(messages.BecomeActor)[0]
    assert [value.data for value in become.values] == [b"fat"]


def test_calls_with_retries_left_run_again_in_order_after_a_restart(two, driver):
    actor, worker = alive(driver, max_restarts=1)
    calls = [driver.call(actor, "cook", retries=1) for _ in range(3)]

    worker.die()
    two.worker_for(actor).ready()

    assert two.worker_for(actor).runs == calls


def test_calls_without_retries_fail_with_what_has_happened(two, driver):
    actor, worker = alive(driver, max_restarts=1)
    lost = driver.call(actor, "cook")

    worker.die()

    assert isinstance(driver.failure(lost), ActorUnavailable)
    later = driver.call(actor, "cook", retries=1)
    two.worker_for(actor).ready()
    assert two.worker_for(actor).runs == [later]


def test_a_call_is_tried_no_more_often_than_was_said_over_restarts(two, driver):
    actor, _ = alive(driver, max_restarts=FOREVER)
    call = driver.call(actor, "cook", retries=2)

    starts = 1
    while True:
        two.worker_for(actor).die()
        two.worker_for(actor).ready()
        if not two.worker_for(actor).runs:
            break
        starts += 1

    assert starts == 3
    assert isinstance(driver.failure(call), ActorUnavailable)


def test_an_actor_whose_process_cannot_start_dies_and_says_so():
    burrow = Burrow(cpus=1, by_hand=True)
    driver = burrow.driver()
    actor = driver.create("Pan", max_restarts=FOREVER)
    call = driver.call(actor, "cook")

    for _ in range(limits.CRASH_LOOP_MAX):
        assert driver.failure(call) is None
        burrow.dies_unborn()

    assert "could not start" in driver.failure(call).reason
    assert burrow.asked_for == []


# ---- the end ---------------------------------------------------------------------------


def test_kill_ends_the_process_at_once_and_fails_what_runs(two, driver):
    actor, worker = alive(driver)
    call = driver.call(actor, "cook")

    driver.kill(actor)

    assert isinstance(driver.failure(call), ActorDied)
    assert "kill()" in driver.failure(call).reason
    assert two.ordered(StopWorker) == [StopWorker(worker.number, 0.0)]
    assert isinstance(driver.failure(driver.call(actor, "cook")), ActorDied)


def test_kill_with_restarts_left_restarts_it_and_no_call_slips_into_the_old_process(two, driver):
    actor, old = alive(driver, max_restarts=1)
    driver.kill(actor, no_restart=False)
    call = driver.call(actor, "cook", retries=1)

    old.die()
    two.worker_for(actor).ready()

    assert two.worker_for(actor).runs == [call]


def test_without_handles_it_ends_in_order_after_its_last_call(two, driver):
    actor, worker = alive(driver)
    call = driver.call(actor, "cook")
    driver.drop(actor)
    assert worker.heard(messages.Exit) == []

    worker.end(call, b"meal")

    assert driver.value(call) == b"meal"
    assert len(worker.heard(messages.Exit)) == 1


def test_a_handle_in_an_object_keeps_it_alive(two, driver):
    actor, worker = alive(driver)
    box = driver.put(contained=[actor])
    driver.drop(actor)
    assert worker.heard(messages.Exit) == []

    driver.drop(box)

    assert len(worker.heard(messages.Exit)) == 1


def test_a_detached_one_lives_without_handles(two, driver):
    actor, worker = alive(driver, called="pan", detached=True)

    driver.drop(actor)

    assert worker.heard(messages.Exit) == []
    assert driver.ask("named actor", "pan", "")["actor"] == actor


def test_it_ends_with_the_driver_that_made_it_unless_it_is_detached(two, driver):
    other = two.driver()
    actor, _ = alive(other, called="mortal")
    detached, _ = alive(other, called="immortal", detached=True)
    driver.say(messages.Hold([actor, detached]))

    other.leave()

    assert state_of(driver, actor) == "dead"
    assert state_of(driver, detached) == "alive"


def test_an_actor_that_exits_is_not_restarted(two, driver):
    actor, worker = alive(driver, max_restarts=FOREVER)
    call = driver.call(actor, "cook")

    worker.say(messages.ActorExit(actor, "it had enough"))

    assert "it had enough" in driver.failure(call).reason
    worker.die(signal=None, running=0)
    assert state_of(driver, actor) == "dead"


# ---- names -----------------------------------------------------------------------------


def made(driver, actor):
    return next(m for m in driver.heard(messages.Answer) if m.request_id == actor)


def test_a_name_is_taken_once(two, driver):
    first = driver.create("Pan", called="pan")
    second = driver.create("Pot", called="pan")

    assert made(driver, first).payload == first
    assert made(driver, second).kind == "exists"
    assert "Pan" in made(driver, second).error


def test_get_if_exists_gives_the_one_there_is(two, driver):
    first = driver.create("Pan", called="pan")

    second = driver.create("Pan", called="pan", get_if_exists=True)

    assert made(driver, second).payload == first


@pytest.mark.parametrize("crashes", [False, True])
def test_a_killed_actor_gives_its_name_back_also_when_it_had_crashed_before(two, driver, crashes):
    actor, worker = alive(driver, called="pan")
    if crashes:
        worker.die()
        assert made(driver, driver.create("Pan", called="pan")).kind == "exists"

    driver.kill(actor)

    again = driver.create("Pan", called="pan")
    assert made(driver, again).payload == again


def test_an_unknown_name_is_refused_with_those_that_there_are(two, driver):
    driver.create("Pan", called="pan")

    assert "there are: pan" in driver.refused("named actor", "pot", "")
