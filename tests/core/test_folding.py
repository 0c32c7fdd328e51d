"""Bursts of plain calls: one record for many, and one for each as soon as somebody asks."""

from __future__ import annotations

import pytest

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import Cancelled
from burrow_jupyter.core.ids import STRIDE
from burrow_jupyter.core.options import TaskOptions
from burrow_jupyter.core.scheduler import folding
from helpers.scenario import Burrow, shape

MICROS = 10


class Loop:
    """A driver that calls one short function many times."""

    def __init__(self, cpus: int = 2) -> None:
        self.burrow = Burrow(cpus=cpus)
        self.records = self.burrow._scheduler.state  # as they are: to ask for `state` unfolds
        self.driver = self.burrow.driver()
        self.code = self.driver.define("f")
        self.options = self.driver._options(TaskOptions(name="f", function="f", shape=shape()))
        self.burrow.end(self.driver.submit("f"), micros=MICROS)  # how short it is, is known now
        for _ in range(cpus):  # and as many workers are there
            self.driver.submit("f")
        self.end_all()

    def burst(self, count: int, run: int = 0) -> list[int]:
        first = self.driver.new_id()
        ids = [first, *(self.driver.new_id() for _ in range(count - 1))]
        args = [b"%d" % number for number in range(count)]
        self.driver.say(messages.SubmitMany(first, self.code, self.options, run, args))
        return ids

    def end(self, worker, count: int) -> list[int]:
        """Let a worker end its next calls, as far as they follow each other; each returns its id."""
        first = worker.runs[0]
        ended = [task for at, task in enumerate(worker.runs[:count]) if task == first + at * STRIDE]
        worker.runs = worker.runs[len(ended) :]
        values = [str(task).encode() for task in ended]
        worker.say(messages.DoneMany(ended[0], values, MICROS * len(ended)))
        return ended

    def end_all(self) -> None:
        while working := [w for w in self.burrow.workers.values() if w.runs]:
            for worker in working:
                for task in list(worker.runs):
                    worker.end(task, str(task).encode(), micros=MICROS)

    @property
    def workers(self):
        return [w for w in self.burrow.workers.values() if w.runs]


@pytest.fixture
def loop():
    return Loop()


def test_calls_of_a_burst_have_no_records_of_their_own_from_submission_to_the_drop(loop):
    ids = loop.burst(1000)
    while loop.workers:
        for worker in loop.workers:
            loop.end(worker, 64)
        assert not loop.records.tasks
        assert not set(ids) & loop.records.objects.keys()

    assert [loop.driver.value(i) for i in ids] == [str(i).encode() for i in ids]
    loop.driver.drop(*reversed(ids))
    assert not loop.records.folds
    assert loop.records.functions["f"].counts[4] >= 1000


def test_the_calls_of_a_burst_are_shared_out_evenly_and_begin_in_order(loop):
    ids = loop.burst(10)

    first, second = sorted(loop.workers, key=lambda worker: worker.runs)
    assert [*first.runs, *second.runs] == ids
    assert len(first.runs) == len(second.runs) == 5
    assert [len(run.args.data) for run in first.heard(messages.Run)[-5:]] == [1] * 5


def test_a_worker_holds_no_more_than_some_milliseconds_of_work(loop):
    loop.burst(2000)

    for worker in loop.workers:
        assert len(worker.runs) <= limits.HELD_AHEAD_MAX


def test_a_call_that_is_cancelled_is_taken_out_of_its_burst(loop):
    ids = loop.burst(400)
    last = ids[-1]

    loop.driver.cancel(last)

    assert isinstance(loop.driver.failure(last), Cancelled)
    assert len(loop.records.tasks) == 399
    loop.end_all()
    assert all(loop.driver.value(i) for i in ids[:-1])


def test_each_call_of_a_cancelled_run_that_no_worker_has_is_told_so_once(loop):
    before = set(loop.records.objects)
    cell, other = loop.driver.new_id(), loop.driver.new_id()
    loop.driver.say(messages.DefineRun(cell, "[1]"), messages.DefineRun(other, "[2]"))
    ids = loop.burst(1000, run=cell)
    beside = loop.burst(10, run=other)
    begun = {task for worker in loop.workers for task in worker.runs}

    loop.driver.say(messages.CancelRun(cell))

    queued = [i for i in ids if i not in begun]
    assert all(loop.driver.failure(i) == Cancelled(i, "f") for i in queued)
    told = [m.object_id for m in loop.driver.heard(messages.Deliver)]
    assert all(told.count(i) == 1 for i in queued[:5] + queued[-5:])
    assert {loop.driver.state_of(i) for i in queued} == {"cancelled"}
    (row,) = loop.driver.ask("describe runs", [cell])
    assert row["cancelled"] == len(queued)
    loop.end_all()
    assert [loop.driver.value(i) for i in beside] == [str(i).encode() for i in beside]
    loop.driver.drop(*ids, *beside)
    assert set(loop.records.objects) == before
    assert not loop.records.folded


def test_a_task_takes_results_of_a_burst_as_arguments(loop):
    ids = loop.burst(40)
    for worker in loop.workers:
        loop.end(worker, 7)

    sums = loop.driver.submit("sum", *ids)

    loop.end_all()
    assert loop.driver.value(sums) == str(sums).encode()


def test_when_a_worker_dies_the_call_that_it_ran_is_tried_again_and_nothing_is_lost(loop):
    ids = loop.burst(100)
    victim = loop.workers[0]
    loop.end(victim, 3)
    loop.end(loop.workers[1], 5)

    victim.die()

    loop.end_all()
    assert all(loop.driver.value(i) for i in ids)


def test_who_asks_sees_each_call(loop):
    ids = loop.burst(300)
    for worker in loop.workers:
        loop.end(worker, 10)

    states = [row["state"] for row in loop.driver.ask("describe tasks", ids)]

    assert states.count("finished") == 20
    assert states.count("running") == 2
    assert states.count("ready") == 278
    listed = {row["id"]: row for row in loop.driver.ask("tasks")}
    done = [row for row in listed.values() if row["state"] == "finished"]
    assert all(row["worker"] for row in done)
    assert all(row["ended_at"] >= row["started_at"] > 0 for row in done)


def test_how_a_run_stands_is_told_without_unfolding(loop):
    run = loop.driver.new_id()
    loop.driver.say(messages.DefineRun(run, "In[1]"))
    loop.burst(300, run)
    for worker in loop.workers:
        loop.end(worker, 10)

    (row,) = loop.driver.ask("describe runs", [run])

    assert not loop.records.tasks
    assert (row["finished"], row["running"], row["ready"]) == (20, 2, 278)


def test_an_observer_sees_the_calls_of_bursts_when_it_is_time_to(loop):
    loop.burrow.driver("observer").say(messages.Observe())
    ids = loop.burst(300)
    ended = [task for worker in loop.workers for task in loop.end(worker, 50)]
    assert not loop.records.tasks

    folding.show(loop.records)

    assert loop.records.dirty_tasks.keys() == set(ids)
    states = [loop.records.dirty_tasks[task].state.name for task in ended]
    assert states == ["FINISHED"] * 100
    assert "f" in loop.records.dirty_functions
    folding.show(loop.records)
    assert not loop.records.unshown


def test_what_a_slow_worker_holds_is_fetched_for_one_that_is_idle(loop):
    loop.burst(60)
    slow, quick = loop.workers
    loop.end(quick, 30)

    loop.burrow.after(2 * limits.TAKE_BACK_AFTER_S)

    assert slow.heard(messages.TakeBack)
    slow.give_back()
    assert quick.runs


def test_a_result_that_is_dropped_before_it_comes_is_thrown_away(loop):
    ids = loop.burst(20)
    loop.driver.drop(*ids[5:])

    loop.end_all()

    assert not set(ids[5:]) & loop.records.objects.keys()
    assert all(loop.driver.value(i) for i in ids[:5])


def test_calls_of_another_shape_wait_behind_a_burst_for_room(loop):
    ids = loop.burst(50)
    other = loop.driver.submit("g", need=shape(2))

    loop.end_all()

    assert loop.driver.value(other)
    assert all(loop.driver.value(i) for i in ids)


def test_no_more_than_a_bounded_number_of_calls_is_folded(loop, monkeypatch):
    monkeypatch.setattr(limits, "FOLDED_MAX", 200)
    loop.burst(100)
    loop.burst(100)
    assert loop.records.folded == 200

    ids = loop.burst(100)

    assert loop.records.folded == 0
    loop.end_all()
    assert all(loop.driver.value(i) for i in ids)
