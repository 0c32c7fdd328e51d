"""Deadlocks as scenarios: who is stuck, who is not, and who is told."""

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import Deadlock
from helpers.scenario import Burrow, shape


def actor_of(burrow, driver, name="Pot", **options):
    """Create an actor and have it ready; return it and its worker."""
    actor = driver.create(name, **options)
    worker = list(burrow.workers.values())[-1]
    worker.ready()
    return actor, worker


def told(*clients):
    """Return the calls that were told to give up."""
    return [m.task_id for client in clients for m in client.heard(messages.GiveUp)]


def look(burrow):
    burrow.after(limits.DEADLOCK_AFTER_S)


def test_an_actor_that_waits_for_its_own_call(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver)
    outer = driver.call(actor, "outer")
    inner = worker.call(actor, "inner")
    worker.get(inner, task=outer)

    look(one)

    assert told(worker) == [outer]
    failure = worker.heard(messages.GiveUp)[0].failure
    assert isinstance(failure, Deadlock)
    assert "outer -> " in failure.reason


def test_so_where_another_call_was_sent_before_the_head_heard_of_the_one_that_runs(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver)
    driver.call(actor, "sent first")
    runs = driver.call(actor, "came directly")
    worker.get(worker.call(actor, "inner"), task=runs)

    look(one)

    assert told(worker) == [runs]


def test_nobody_is_told_before_the_time(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver)
    outer = driver.call(actor, "outer")
    worker.get(worker.call(actor, "inner"), task=outer)

    one.after(limits.DEADLOCK_AFTER_S / 2)

    assert told(worker) == []


def test_of_two_the_one_that_waited_last_is_told(one):
    driver = one.driver()
    first, at_first = actor_of(one, driver)
    second, at_second = actor_of(one, driver)
    one_call = driver.call(first, "ask")
    other_call = driver.call(second, "ask")
    at_first.get(at_first.call(second, "answer"), task=one_call)
    one.after(0.1)
    at_second.get(at_second.call(first, "answer"), task=other_call)

    look(one)
    look(one)

    assert told(at_first, at_second) == [other_call]


def test_once_the_circle_is_broken_nobody_else_is_told(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver)
    outer = driver.call(actor, "outer")
    inner = worker.call(actor, "inner")
    worker.get(inner, task=outer)
    look(one)

    worker.say(messages.Unblock(outer))
    worker.end(outer)
    worker.end(inner)
    look(one)

    assert told(worker) == [outer]
    assert not one.state.gets


def test_of_two_waits_one_that_is_given_up_takes_the_other_not_along(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver)
    outer = driver.call(actor, "outer")
    for wait in (1, 2):
        inner = worker.call(actor, "inner")
        worker.say(messages.Get([inner], 1, outer, wait=wait))
    worker.say(messages.Unblock(outer, 1))

    look(one)

    assert told(worker) == [outer]


def test_a_wait_with_a_timeout_is_no_deadlock(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver)
    outer = driver.call(actor, "outer")
    inner = worker.call(actor, "inner")
    worker.say(messages.Get([inner], 1, outer, bounded=True))

    look(one)

    assert told(worker) == []


def test_who_needs_one_of_two_is_not_stuck_while_one_may_come(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    slow = driver.submit("slow")
    outer = driver.call(actor, "outer")
    inner = worker.call(actor, "inner")
    worker.get(inner, slow, need=1, task=outer)

    look(two)
    assert told(worker) == []

    worker.say(messages.Unblock(outer))
    worker.get(inner, slow, need=2, task=outer, values=False)
    look(two)
    assert told(worker) == [outer]


def test_a_get_is_not_stuck_while_one_of_its_makers_runs_that_may_raise(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    slow = driver.submit("slow")
    outer = driver.call(actor, "outer")
    inner = worker.call(actor, "inner")
    worker.get(inner, slow, task=outer)
    look(two)
    look(two)
    assert told(worker) == []

    two.end(slow)
    look(two)

    assert told(worker) == [outer]


def test_the_text_follows_those_who_are_stuck(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    slow = driver.submit("slow")
    outer = driver.call(actor, "outer")
    inner = worker.call(actor, "inner")
    worker.get(slow, inner, task=outer, values=False)

    look(two)

    (told_it,) = worker.heard(messages.GiveUp)
    assert "(outer -> inner -> outer), and none of them can go on" in told_it.failure.reason


def test_a_task_that_needs_what_runs_and_what_is_stuck_may_still_fail(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    slow = driver.submit("slow")
    outer = driver.call(actor, "outer")
    both = worker.submit("both", slow, worker.call(actor, "inner"))
    worker.get(both, task=outer)
    look(two)
    assert told(worker) == []

    two.end(slow)
    look(two)

    assert told(worker) == [outer]


def test_a_concurrency_group_is_full_of_those_who_wait_in_it(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver, concurrency_groups=(("io", 1),))
    outer = driver.call(actor, "outer", concurrency_group="io")
    other = worker.call(actor, "other")
    worker.get(other, task=outer)
    look(one)
    assert told(worker) == []

    worker.get(worker.call(actor, "inner", concurrency_group="io"), task=outer, values=False)
    one.end(other)
    look(one)

    assert told(worker) == [outer]


def test_a_constructor_that_waits_for_a_call_of_its_own_actor(one):
    driver = one.driver()
    actor = driver.create("Pot")
    worker = one.worker_for(actor)
    worker.get(worker.call(actor, "inner"), task=actor)

    look(one)

    assert told(worker) == [actor]
    reason = worker.heard(messages.GiveUp)[0].failure.reason
    assert "(Pot.__init__ -> inner -> Pot.__init__), and none of them can go on" in reason


def test_an_actor_that_waits_for_an_argument_made_by_a_stuck_call(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    outer = driver.call(actor, "outer")
    made = worker.create("Lid", worker.call(actor, "inner"))
    worker.get(worker.call(made, "close"), task=outer)

    look(two)

    assert told(worker) == [outer]


def test_calls_side_by_side_are_stuck_when_all_are(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver, max_concurrency=2, out_of_order=True)
    first, second = driver.call(actor, "outer"), driver.call(actor, "outer")
    worker.get(worker.call(actor, "inner"), task=first)
    look(one)
    assert told(worker) == []

    worker.get(worker.call(actor, "inner"), task=second)
    look(one)
    assert told(worker) == [second]


def test_a_resource_that_only_waiting_tasks_hold():
    burrow = Burrow(cpus=4, oven=1)
    driver = burrow.driver()
    outer = driver.submit("outer", need=shape(0, oven=1))
    worker = next(iter(burrow.workers.values()))
    worker.get(worker.submit("inner", need=shape(0, oven=1)), task=outer)

    look(burrow)

    assert told(worker) == [outer]


def test_a_resource_that_an_idle_actor_holds_may_come_back():
    burrow = Burrow(cpus=4, oven=1)
    driver = burrow.driver()
    actor_of(burrow, driver, need=shape(0, oven=1))
    outer = driver.submit("outer")
    worker = list(burrow.workers.values())[-1]
    worker.get(worker.submit("inner", need=shape(0, oven=1)), task=outer)

    look(burrow)

    assert told(worker) == []


def test_a_deep_chain_of_arguments_is_followed(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    outer = driver.call(actor, "outer")
    link = worker.call(actor, "inner")
    for _ in range(200):
        link = worker.submit("link", link)
    worker.get(link, task=outer)

    look(two)

    assert told(worker) == [outer]


def test_those_who_wait_for_a_call_that_runs_are_not_stuck(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    slow = driver.submit("slow")
    outer = driver.call(actor, "outer")
    worker.get(slow, task=outer)

    look(two)
    look(two)

    assert told(worker) == []


# ---- awaits ----------------------------------------------------------------------------


def awaits(worker, by, *objects):
    """Await objects, each by itself; the numbers of these waits are 1, 2, ..."""
    for number, awaited in enumerate(objects, 1):
        worker.say(messages.Get([awaited], 1, by, bounded=True, wait=number, awaited=True))


def test_awaits_are_stuck_once_nothing_else_can_end_them(one):
    driver = one.driver()
    actor, worker = actor_of(one, driver)
    outer = driver.call(actor, "outer")
    awaits(worker, outer, worker.call(actor, "inner"), worker.call(actor, "inner"))
    look(one)
    assert told(worker) == []

    worker.say(messages.Standing(outer, [1, 2]))
    look(one)

    assert told(worker) == [outer]


def test_awaits_of_which_one_has_come_meanwhile_are_not(two):
    driver = two.driver()
    actor, worker = actor_of(two, driver)
    outer = driver.call(actor, "outer")
    child = worker.submit("child")
    awaits(worker, outer, worker.call(actor, "inner"), child)

    worker.say(messages.Standing(outer, [1, 2]))
    two.end(child)  # the coroutine goes on, and may set a timer
    look(two)
    worker.say(messages.Standing(outer, [1, 2]))  # it was on its way
    look(two)

    assert told(worker) == []
