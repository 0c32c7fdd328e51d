"""Placement: which task goes where, in what order, and how workers come and go."""

from hypothesis import given
from hypothesis import strategies as st

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import EngineError
from burrow_jupyter.core.scheduler.commands import StartWorker, StopWorker
from helpers.scenario import Burrow, shape

SHORT = {"micros": 50}
"""How long a task took that is held ahead the next time."""


def end_all(burrow):
    """End what runs until nothing does; return the order in which it ran."""
    order = []
    while running := burrow.running():
        order.append(running[0])
        burrow.end(running[0])
    return order


# ---- order -----------------------------------------------------------------------------


def test_tasks_of_one_shape_run_in_the_order_of_their_submission(one):
    driver = one.driver()
    tasks = [driver.submit("f") for _ in range(20)]

    assert end_all(one) == tasks


def test_a_task_of_another_shape_does_not_wait_for_a_long_queue(one):
    driver = one.driver()
    for _ in range(3):
        driver.submit("f")
        one.now += 1
    other = driver.submit("other", need=shape(0.5))
    one.now += 1
    for _ in range(20):
        driver.submit("f")

    assert end_all(one).index(other) == 3


def test_a_task_that_needs_all_is_not_passed_for_ever_by_small_ones(two):
    driver = two.driver()
    small = [driver.submit("small") for _ in range(2)]
    two.now += 1
    large = driver.submit("large", need=shape(2))

    for _ in range(100):  # there is always one more small one, and one still running
        two.after(0.1)
        small.append(driver.submit("small"))
        two.end(two.running()[0])
        if large in two.running():
            break

    assert large in two.running()


def test_a_long_task_does_not_let_a_waiting_one_hold_up_others_for_ever(two):
    driver = two.driver()
    driver.submit("long")
    large = driver.submit("large", need=shape(2))
    ended = 0
    for _ in range(400):
        two.after(0.1)
        driver.submit("small")
        for task in two.running()[1:]:
            two.end(task)
            ended += 1

    assert driver.state_of(large) == "ready"
    assert ended > 100


@given(
    st.lists(st.sampled_from([0.25, 0.5, 1, 2]), min_size=1, max_size=25),
    st.randoms(use_true_random=False),
)
def test_everything_that_can_run_runs_whatever_ends_first(needs, order):
    burrow = Burrow(cpus=2)
    driver = burrow.driver()
    tasks = []
    for need in needs:
        tasks.append(driver.submit(f"needs {need}", need=shape(need)))
        burrow.now += 0.01
        if burrow.running() and order.random() < 0.3:
            burrow.end(order.choice(burrow.running()))

    while running := burrow.running():
        burrow.after(0.01)
        burrow.end(order.choice(running))

    assert {driver.state_of(task) for task in tasks} == {"finished"}
    assert burrow.free() == 2


def test_what_was_kept_for_a_demand_that_is_met_goes_to_others_at_once():
    burrow = Burrow(cpus=1, gold=4)
    driver = burrow.driver()
    two_gold, one_gold = shape(0, gold=2), shape(0, gold=1)
    burrow.end(driver.submit("f", need=two_gold), **SHORT)
    awaited = driver.submit("awaited")
    waits = driver.submit("f", need=two_gold)
    burrow.worker_of(waits).get(awaited, task=waits)
    driver.submit("long", need=one_gold)
    old = driver.submit("f", need=two_gold)  # one more would be needed, and is kept from now on
    burrow.after(1.1)
    young = driver.submit("young", need=one_gold)
    assert young not in burrow.running()

    burrow.end(awaited)  # and `old` is held ahead by the worker that goes on

    assert old in burrow.worker_of(waits).runs
    assert young in burrow.running()


# ---- work ahead ------------------------------------------------------------------------


def warm(burrow, driver):
    """Let the core learn that `f` is short."""
    burrow.end(driver.submit("f"), **SHORT)


def test_short_tasks_are_held_ahead_so_that_a_worker_never_idles(one):
    driver = one.driver()
    warm(one, driver)
    tasks = [driver.submit("f") for _ in range(10)]
    worker = one.worker_of(tasks[0])

    assert worker.runs == tasks
    assert [driver.state_of(t) for t in tasks[:2]] == ["running", "ready"]


def test_no_more_is_held_ahead_than_some_milliseconds_of_work(one):
    driver = one.driver()
    warm(one, driver)
    tasks = [driver.submit("f") for _ in range(200)]

    held = one.worker_of(tasks[0]).runs

    assert 0.9 < len(held) * SHORT["micros"] * 1e-6 / limits.HELD_AHEAD_TARGET_S < 1.1


def test_long_tasks_are_not_held_ahead(one):
    driver = one.driver()
    one.end(driver.submit("f"), micros=100_000)
    tasks = [driver.submit("f") for _ in range(3)]

    assert one.worker_of(tasks[0]).runs == tasks[:1]


def test_what_is_held_ahead_of_one_that_takes_long_is_fetched_for_a_free_worker():
    burrow = Burrow(cpus=2, gold=1)
    driver = burrow.driver()
    warm(burrow, driver)
    blocker = driver.submit("blocker", need=shape(1, gold=1))
    tasks = [driver.submit("f") for _ in range(4)]
    slow = burrow.worker_of(tasks[0])
    assert slow.runs == tasks
    burrow.end(blocker)

    burrow.after(limits.TAKE_BACK_AFTER_S)
    assert len(slow.heard(messages.TakeBack)) == 1
    slow.give_back()

    assert burrow.running() == [tasks[1], tasks[0]]  # those in front come first again
    assert sorted(end_all(burrow)) == tasks


def test_what_a_dead_worker_held_ahead_is_lost_to_nobody_and_costs_no_retry(one):
    driver = one.driver()
    warm(one, driver)
    tasks = [driver.submit("f", max_retries=0) for _ in range(4)]

    one.worker_of(tasks[0]).die()

    assert driver.failure(tasks[0]) is not None
    assert end_all(one) == tasks[1:]
    assert all(driver.value(t) for t in tasks[1:])


# ---- workers ---------------------------------------------------------------------------


def test_no_more_workers_are_started_than_there_are_tasks_and_room():
    burrow = Burrow(cpus=4, by_hand=True)
    driver = burrow.driver()

    for _ in range(2):
        driver.submit("f")
    assert len(burrow.asked_for) == 2
    for _ in range(10):
        driver.submit("f")

    assert len(burrow.asked_for) == 4


def test_a_worker_is_used_again_by_another_function(one):
    driver = one.driver()
    one.end(driver.submit("f"))

    driver.submit("g")

    assert len(one.ordered(StartWorker)) == 1


def test_a_function_is_sent_to_a_worker_once(one):
    driver = one.driver()
    for _ in range(3):
        one.end(driver.submit("f"))

    assert len(next(iter(one.workers.values())).heard(messages.Code)) == 1


def test_a_worker_of_another_environment_is_not_used(one):
    driver = one.driver()
    one.end(driver.submit("f"))

    task = driver.submit("f", env_vars=(("A", "1"),))

    assert one.worker_of(task).order.env == ((("A", "1"),), "")


def test_idle_workers_beyond_the_cpus_end_after_a_while(two):
    driver = two.driver()
    tasks = [driver.submit("f", need=()) for _ in range(5)]
    for task in tasks:
        two.end(task)

    two.after(limits.IDLE_WORKER_KEEP_S)

    assert len(two.ordered(StopWorker)) == 3


def test_workers_that_cannot_start_fail_what_waits_for_them_and_say_so():
    burrow = Burrow(by_hand=True)
    driver = burrow.driver()
    tasks = [driver.submit("f"), driver.submit("f")]

    for _ in range(limits.CRASH_LOOP_MAX):
        assert [driver.failure(task) for task in tasks] == [None, None]
        burrow.dies_unborn()

    assert all(isinstance(driver.failure(task), EngineError) for task in tasks)
    assert "before they were ready" in driver.failure(tasks[0]).message
    assert burrow.asked_for == []


def test_workers_that_cannot_be_forked_say_why():
    burrow = Burrow(cpus=1, by_hand=True)
    driver = burrow.driver()
    task = driver.submit("f")

    while burrow.asked_for:
        burrow.dies_unborn("it could not be forked: a limit of processes")

    assert "could not be forked: a limit of processes" in str(driver.failure(task))


def test_a_worker_that_dies_at_its_start_now_and_then_costs_no_retry():
    burrow = Burrow(by_hand=True)
    driver = burrow.driver()
    task = driver.submit("f", max_retries=0)

    burrow.dies_unborn()
    worker = burrow.born()

    assert worker.runs == [task]


def test_a_retiring_worker_is_replaced(one):
    driver = one.driver()
    first, second = driver.submit("f", max_calls=1), driver.submit("f", max_calls=1)
    worker = one.worker_of(first)

    worker.say(messages.Retiring())
    worker.end(first)
    assert one.running() == []
    worker.die(signal=None, running=0)

    assert one.running() == [second]


def test_there_are_never_more_processes_than_the_limit(monkeypatch, one):
    monkeypatch.setattr(limits, "WORKERS_MAX", 3)
    driver = one.driver()
    tasks = [driver.submit("f", need=()) for _ in range(5)]

    assert len(one.workers) == 3
    assert sorted(end_all(one)) == tasks
