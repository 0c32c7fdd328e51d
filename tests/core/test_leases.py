"""Leases: nothing is given out twice, and everything comes back."""

from burrow_jupyter.core import messages
from burrow_jupyter.core.scheduler.commands import StartWorker
from helpers.scenario import Burrow, shape


def visible(burrow, task):
    """Return the GPUs that the process of a task sees."""
    return burrow.worker_of(task).order.gpus


def test_what_runs_at_once_fits_together():
    burrow = Burrow(cpus=2, gold=1)
    driver = burrow.driver()

    first = driver.submit("f", need=shape(1, gold=1))
    second = driver.submit("f", need=shape(1, gold=1))
    other = driver.submit("g")

    assert burrow.running() == [first, other]
    burrow.end(first)
    assert set(burrow.running()) == {second, other}


def test_fractions_add_up_to_one(one):
    driver = one.driver()
    tenths = [driver.submit("tenth", need=shape(0.1)) for _ in range(11)]

    assert one.running() == tenths[:10]
    assert one.free() == 0


def test_a_lease_comes_back_when_its_worker_dies_at_whatever_moment():
    burrow = Burrow(by_hand=True)
    driver = burrow.driver()
    driver.submit("f", max_retries=0)

    burrow.dies_unborn()
    burrow.born().die()

    assert burrow.free() == 1


# ---- waiting in get --------------------------------------------------------------------


def test_a_task_that_waits_lends_its_cpu_to_what_it_waits_for(one):
    driver = one.driver()
    parent = driver.submit("parent")
    worker = one.worker_of(parent)
    child = worker.submit("child", parent=parent)
    assert driver.state_of(child) == "ready"

    worker.get(child, task=parent)

    assert driver.state_of(parent) == "blocked"
    assert child in one.running()
    one.end(child, b"1")
    assert worker.value(child) == b"1"
    assert driver.state_of(parent) == "running"


def test_waits_may_be_nested(one):
    driver = one.driver()
    tasks = [driver.submit("f")]
    for _ in range(50):
        worker = one.worker_of(tasks[-1])
        tasks.append(worker.submit("f", parent=tasks[-1]))
        worker.get(tasks[-1], task=tasks[-2])

    for task in reversed(tasks):
        one.end(task)

    assert driver.value(tasks[0]) is not None
    assert one.free() == 1


def test_what_a_blocked_task_waits_for_comes_before_what_was_there_first(one):
    driver = one.driver()
    parents = [driver.submit("parent") for _ in range(3)]
    worker = one.worker_of(parents[0])
    made = worker.submit("child", parent=parents[0])
    depends = worker.submit("child", made, parent=parents[0])

    worker.get(depends, task=parents[0])

    assert one.running() == [parents[0], made]
    one.end(made)  # its worker goes on with what is ready at that moment
    one.end(parents[1])
    assert one.running() == [parents[0], depends]


def test_a_task_that_pauses_for_two_things_keeps_lending_its_cpu_until_both_are_there(one):
    driver = one.driver()
    parent = driver.submit("parent")
    other = driver.submit("other")
    worker = one.worker_of(parent)
    child = worker.submit("child", parent=parent)

    worker.say(messages.Paused(parent, [child]))
    worker.say(messages.Paused(parent))
    assert one.running() == [parent, child]
    worker.say(messages.Resumed(parent))
    assert driver.state_of(parent) == "blocked"
    worker.say(messages.Resumed(parent))
    assert driver.state_of(parent) == "running"
    assert other not in one.running()


def test_after_its_wait_a_task_goes_on_and_nothing_new_begins_until_there_is_room(one):
    driver = one.driver()
    parent = driver.submit("parent")
    worker = one.worker_of(parent)
    child = worker.submit("child", parent=parent)
    worker.get(child, task=parent)
    third, fourth = driver.submit("f"), driver.submit("f")
    one.end(child)
    assert driver.state_of(parent) == "running"
    assert one.running() == [parent]

    one.end(parent)

    assert one.running() == [third]
    one.end(third)
    assert one.running() == [fourth]


def test_a_wait_that_is_given_up_takes_the_cpu_back(one):
    driver = one.driver()
    parent = driver.submit("parent")
    worker = one.worker_of(parent)
    worker.get(worker.submit("child", need=shape(0.5), parent=parent), task=parent)
    assert one.free() == 0.5

    worker.say(messages.Unblock(parent))

    assert driver.state_of(parent) == "running"
    assert one.free() == 0  # oversubscribed, and said as nothing


def test_of_two_waits_one_that_is_given_up_leaves_the_other(one):
    driver = one.driver()
    parent = driver.submit("parent")
    worker = one.worker_of(parent)
    children = [worker.submit("child", parent=parent) for _ in range(2)]
    for wait, child in enumerate(children, 1):
        worker.say(messages.Get([child], 1, parent, wait=wait))

    worker.say(messages.Unblock(parent, 2))

    assert driver.state_of(parent) == "blocked"
    one.end(children[0])
    assert driver.state_of(parent) == "running"


def test_what_came_too_late_for_one_wait_does_not_end_the_next():
    burrow = Burrow(cpus=4)
    driver = burrow.driver()
    parent = driver.submit("parent")
    worker = burrow.worker_of(parent)
    late, awaited = [worker.submit("child", parent=parent) for _ in range(2)]
    worker.get(late, task=parent)
    worker.say(messages.Unblock(parent))
    worker.get(awaited, task=parent)

    burrow.end(late)
    assert driver.state_of(parent) == "blocked"
    burrow.end(awaited)

    assert driver.state_of(parent) == "running"


def test_a_wait_for_some_ends_when_so_many_are_there():
    burrow = Burrow(cpus=4)
    driver = burrow.driver()
    parent = driver.submit("parent")
    worker = burrow.worker_of(parent)
    children = [worker.submit("child", parent=parent) for _ in range(3)]
    worker.get(*children, need=2, task=parent, values=False)

    burrow.end(children[0])
    assert driver.state_of(parent) == "blocked"
    burrow.end(children[1])

    assert driver.state_of(parent) == "running"


def test_a_task_of_which_two_threads_wait_is_blocked_until_both_go_on(two):
    driver = two.driver()
    parent = driver.submit("parent")
    worker = two.worker_of(parent)
    children = [worker.submit("child", parent=parent) for _ in range(2)]
    for child in children:
        worker.get(child, task=parent)

    two.end(children[0])
    assert driver.state_of(parent) == "blocked"
    two.end(children[1])

    assert driver.state_of(parent) == "running"


def test_only_cpus_are_lent():
    burrow = Burrow(cpus=1, gold=1)
    driver = burrow.driver()
    parent = driver.submit("parent", need=shape(1, gold=1))
    worker = burrow.worker_of(parent)
    worker.get(worker.submit("child", parent=parent), task=parent)

    assert burrow.free("gold") == 0


def test_a_task_that_waits_gives_back_what_its_worker_holds_ahead(one):
    driver = one.driver()
    one.end(driver.submit("f"), micros=50)
    parent, ahead = driver.submit("f"), driver.submit("f")
    worker = one.worker_of(parent)
    assert worker.runs == [parent, ahead]

    child = worker.submit("child", parent=parent)
    worker.get(child, task=parent)
    assert len(worker.heard(messages.TakeBack)) == 1
    worker.give_back()
    one.end(child)
    one.end(parent)

    assert one.running() == [ahead]


# ---- being stopped ---------------------------------------------------------------------


def stopped(burrow, *, force=False):
    """Return a driver, and a task of its cell that was stopped and goes on."""
    driver = burrow.driver()
    cell = driver.new_id()
    driver.say(messages.DefineRun(cell, "In[1]"))
    task = driver.submit("stuck", run=cell)
    driver.say(messages.CancelRun(cell, force))
    return driver, task


def test_what_was_stopped_lends_its_cpu_to_the_next_cell_until_it_has_ended(one):
    driver, stuck = stopped(one)

    following = driver.submit("f")

    assert one.running() == [stuck, following]
    one.worker_of(stuck).stop_task(stuck)
    more = driver.submit("f")
    assert one.running() == [following]
    one.end(following)
    assert one.running() == [more]
    one.end(more)
    assert one.free() == 1


def test_what_was_stopped_and_is_killed_has_given_its_cpu_back_once(one):
    driver, stuck = stopped(one)
    one.end(driver.submit("f"))

    one.worker_of(stuck).die()

    assert driver.state_of(stuck) == "cancelled"
    assert one.free() == 1


def test_what_was_stopped_while_it_waits_lends_its_cpu_once(one):
    driver = one.driver()
    cell = driver.new_id()
    driver.say(messages.DefineRun(cell, "In[1]"))
    parent = driver.submit("parent", run=cell)
    worker = one.worker_of(parent)
    child = worker.submit("child", parent=parent)
    worker.get(child, task=parent)
    driver.say(messages.CancelRun(cell))

    following, more = driver.submit("f"), driver.submit("f")

    assert one.running() == [parent, child, following]
    one.worker_of(child).stop_task(child)
    worker.say(messages.Unblock(parent))
    assert more not in one.running()
    worker.stop_task(parent)
    assert more not in one.running()
    one.end(following)
    one.end(more)
    assert one.free() == 1


def test_a_task_that_is_cancelled_and_may_take_its_time_keeps_its_cpu(one):
    driver = one.driver()
    task = driver.submit("f")

    driver.cancel(task)

    following = driver.submit("f")
    assert one.running() == [task]
    one.worker_of(task).stop_task(task)
    assert one.running() == [following]


# ---- GPUs ------------------------------------------------------------------------------


def test_a_task_sees_the_gpus_that_it_asked_for_and_nobody_elses():
    burrow = Burrow(cpus=4, gpus=4)
    driver = burrow.driver()
    tasks = [driver.submit("f", need=shape(1, gpus)) for gpus in (1, 2, 0)]

    seen = [visible(burrow, task) for task in tasks]

    assert [len(gpus or ()) for gpus in seen] == [1, 2, 0]
    assert not set(seen[0]) & set(seen[1])
    assert seen[2] is None


def test_parts_go_where_parts_are_so_that_whole_ones_stay_free():
    burrow = Burrow(cpus=8, gpus=2)
    driver = burrow.driver()
    halves = [driver.submit("half", need=shape(1, 0.5)) for _ in range(2)]
    whole = driver.submit("whole", need=shape(1, 1))

    assert visible(burrow, halves[0]) == visible(burrow, halves[1])
    assert visible(burrow, whole) != visible(burrow, halves[0])


def test_parts_of_one_gpu_never_add_up_to_more_than_one():
    burrow = Burrow(cpus=8, gpus=2)
    driver = burrow.driver()
    parts = [driver.submit("f", need=shape(1, part)) for part in (0.75, 0.75, 0.5)]
    assert burrow.free("GPU") == 0.5  # a quarter of each
    assert burrow.running() == parts[:2]

    worker = burrow.worker_of(parts[0])
    worker.end(parts[0])
    worker.die(signal=None)

    assert burrow.running() == parts[1:]


def test_a_process_that_saw_gpus_ends_and_they_are_free_when_it_is_gone():
    burrow = Burrow(cpus=1, gpus=1)
    driver = burrow.driver()
    task = driver.submit("f", need=shape(1, 1))
    worker = burrow.worker_of(task)

    worker.end(task)
    assert len(worker.heard(messages.Exit)) == 1
    assert burrow.free("GPU") == 0
    worker.die(signal=None)

    assert burrow.free("GPU") == 1
    again = driver.submit("f", need=shape(1, 1))
    assert burrow.worker_of(again) is not worker
    assert len(burrow.ordered(StartWorker)) == 2
