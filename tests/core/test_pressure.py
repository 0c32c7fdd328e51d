"""The pause for memory: nothing begins beside what runs while little is left."""

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.scheduler.commands import WakeAt
from helpers.scenario import Burrow, shape


def test_nothing_begins_beside_what_runs_until_memory_is_free_again(two):
    driver = two.driver()
    first = driver.submit("first")
    two.weigh(91)

    second = driver.submit("second")

    assert two.running() == [first]
    two.weigh(86)  # not yet enough
    assert two.running() == [first]
    two.weigh(85)
    assert two.running() == [first, second]


def test_when_nothing_runs_any_more_work_goes_on_one_at_a_time(two):
    driver = two.driver()
    two.weigh(99)

    tasks = [driver.submit("f") for _ in range(5)]

    ended = []
    while running := two.running():
        assert len(running) == 1
        ended += running
        two.end(running[0], micros=10)
    assert ended == tasks


def test_no_actor_is_made_beside_what_runs(two):
    driver = two.driver()
    task = driver.submit("f")
    two.weigh(91)
    actors = [driver.create("Pan") for _ in range(2)]
    assert len(two.workers) == 1

    two.end(task)

    assert len(two.workers) == 2
    two.worker_for(actors[0]).ready()
    assert len(two.workers) == 3


def test_a_call_of_an_actor_that_is_there_is_not_held_up_and_holds_nothing_up(two):
    driver = two.driver()
    actor = driver.create("Pan")
    two.worker_for(actor).ready()
    two.weigh(91)

    call = driver.call(actor, "heat")

    assert call in two.running()
    task = driver.submit("f")
    assert task in two.running()


def test_a_task_that_waits_for_its_children_does_not_hold_them_up(two):
    driver = two.driver()
    parent = driver.submit("parent")
    two.weigh(91)
    other = driver.submit("other")
    worker = two.worker_of(parent)

    child = worker.submit("child", parent=parent)

    assert child not in two.running()  # `other` was there first, and may run now
    two.end(other)
    assert two.running() == [parent, child]
    worker.get(child, task=parent)
    assert child in two.running()


def test_a_constructor_that_waits_for_a_task_does_not_hold_it_up(two):
    two.weigh(91)
    actor = two.driver().create("Pan")
    worker = two.worker_for(actor)

    task = worker.submit("f")

    assert task in two.running()


def test_short_tasks_are_not_held_ahead(one):
    driver = one.driver()
    one.end(driver.submit("f"), micros=50)
    one.weigh(91)

    tasks = [driver.submit("f") for _ in range(10)]

    assert one.worker_of(tasks[0]).runs == tasks[:1]


def test_a_worker_that_is_lent_comes_back(two):
    driver = two.driver()
    task = driver.submit("f")
    two.end(task)
    codes, options = [driver.define("f")], list(two.state.options)
    driver.say(messages.Reach(b"key", codes=codes, options=options))
    assert two.state.lent

    two.weigh(91)

    lent = next(iter(two.state.lent.values()))
    assert lent.reclaiming
    two.workers[lent.id].say(messages.Reclaimed())
    driver.say(messages.Reach(b"key", codes=codes, options=options))
    assert not two.state.lent


def test_the_loop_comes_back_only_while_something_is_held_up(two):
    driver = two.driver()
    running = driver.submit("f")
    two.weigh(91)
    assert two.ordered(WakeAt) == []

    waiting = driver.submit("f")

    assert two.ordered(WakeAt)[-1].at == two.now + limits.WEIGH_INTERVAL_S
    two.after(limits.WEIGH_INTERVAL_S)
    assert two.ordered(WakeAt)[-1].at == two.now + limits.WEIGH_INTERVAL_S
    two.end(running)
    asked = two.ordered(WakeAt)
    two.after(limits.WEIGH_INTERVAL_S)
    assert waiting in two.running()
    assert [order for order in two.ordered(WakeAt) if order not in asked] == []


def test_why_says_how_much_is_used_and_by_whom(two):
    driver = two.driver()
    pan = driver.submit("pan")
    worker = two.worker_of(pan)
    two.weigh(96, worker, 12)
    cook = driver.submit("cook")

    said = driver.ask("why", cook)

    pid = two.state.workers[worker.number].pid
    assert said == (
        "cook is paused for memory: 96 GB of the 100 GB of this machine are used; it goes on below "
        f"85 GB, or when nothing else runs; largest: pan (pid {pid}) with 12 GB.\n  here"
    )
    assert driver.ask("paused") in said


def test_nothing_is_said_of_a_pause_that_holds_nothing_up():
    burrow = Burrow(cpus=1)
    driver = burrow.driver()
    actor = driver.create("Pan", need=shape(1))
    burrow.worker_for(actor).ready()
    burrow.weigh(96)

    task = driver.submit("f")

    assert driver.ask("paused") == ""
    assert driver.ask("why", task) == "f waits for a free CPU: all are taken by Pan."


def test_a_burst_goes_one_by_one_too(two):
    driver = two.driver()
    for task in [driver.submit("f") for _ in range(2)]:
        two.end(task, micros=50)
    two.weigh(91)
    (options,) = two.state.options

    driver.say(
        messages.SubmitMany(driver.new_id(), driver.define("f"), options, 0, [b"", b"", b"", b""])
    )

    assert len(two.running()) == 1
