"""Watching a burrow from outside."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import burrow
from burrow_jupyter.core import feed
from burrow_jupyter.core.ids import parse_short
from burrow_jupyter.engine.observer import Observer
from helpers.burrows import burrow_of
from helpers.gates import pass_gate
from helpers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def observer() -> Iterator[Observer]:
    """An observer of a burrow of two CPUs."""
    burrow.init(num_cpus=2)
    watching = Observer.connect(Path(burrow_of().path))
    yield watching
    watching.close()
    burrow.shutdown()


@burrow.remote
def same(value):
    return value


@burrow.remote
class Pan:
    def cook(self):
        return 1


def function(observer: Observer, name: str) -> feed.FunctionRow:
    """What the newest snapshot counts of a function: nothing yet for one it does not know."""
    rows = observer.snapshot().functions
    return next((row for row in rows if row.id == name), feed.FunctionRow(name, 0, 0, 0, 0, 0, 0))


def test_it_sees_tasks_from_waiting_to_their_end(observer, tmp_path):
    held = burrow.remote(pass_gate)
    refs = [held.remote(str(tmp_path / "gate")) for _ in range(3)]
    late = same.remote(refs[0])

    def as_expected():
        row, waiting = function(observer, "pass_gate"), function(observer, "same")
        return (row.running, row.ready, waiting.waiting) == (2, 1, 1)

    wait_until(as_expected, 20, "two running, one ready, one waiting")
    (tmp_path / "gate").touch()
    burrow.get([*refs, late], timeout=20)
    wait_until(lambda: function(observer, "pass_gate").finished == 3, 20, "three to be counted")

    def states():
        return sorted((task.name, task.state) for task in observer.snapshot().tasks)

    ended = [*[("pass_gate", "finished")] * 3, ("same", "finished")]
    wait_until(lambda: states() == ended, 20, "all to be shown as finished")


def test_it_says_why_a_task_has_not_ended(observer, tmp_path):
    held = burrow.remote(pass_gate)
    first = held.remote(str(tmp_path / "gate"))
    late = same.remote(first)
    (waiting,) = wait_until(
        lambda: [task for task in observer.snapshot().tasks if task.name == "same"], 20, "the task"
    )

    said = observer.why(parse_short(waiting.id))

    assert said.startswith("same waits for its argument made by pass_gate")
    (tmp_path / "gate").touch()
    assert burrow.get(late, timeout=20) == burrow.get(first)


def test_it_sees_workers_actors_resources_and_the_machine(observer):
    pan = Pan.options(name="pan").remote()
    burrow.get(pan.cook.remote())
    wait_until(
        lambda: [a.state for a in observer.snapshot().actors] == ["alive"], 20, "the actor alive"
    )
    snapshot = observer.snapshot()

    assert snapshot.actors[0].class_name == "Pan"
    assert snapshot.actors[0].name == "pan"
    assert {w.pid for w in snapshot.workers} >= {snapshot.actors[0].pid}
    assert {r.id: r.total for r in snapshot.resources}["CPU"] == 2
    assert snapshot.machine.memory_total_bytes > 0
    assert snapshot.machine.burrow_rss_bytes > 0
    burrow.kill(pan)
    wait_until(
        lambda: [a.state for a in observer.snapshot().actors] == ["dead"], 20, "the actor dead"
    )


def test_deltas_follow_the_snapshot_without_a_gap_and_give_the_same_model(observer):
    model: list[feed.Snapshot] = []
    gaps: list[str] = []

    def step(item: feed.Snapshot | feed.Delta) -> None:
        if isinstance(item, feed.Snapshot):
            model[:] = [item]
        else:
            try:
                model[:] = [feed.apply(model[0], item)]
            except ValueError as error:
                gaps.append(str(error))

    end = observer.subscribe(step)
    for _ in range(5):
        burrow.get([same.remote(i) for i in range(500)])
    wait_until(lambda: [f.finished for f in model[0].functions] == [2500], 20, "all counted")
    end()

    assert gaps == []
    assert len(model[0].tasks) <= 400


def test_it_can_cancel_kill_and_stop(observer, tmp_path):
    ref = burrow.remote(pass_gate).remote(str(tmp_path / "never"))
    pan = Pan.remote()
    burrow.get(pan.cook.remote())
    wait_until(lambda: function(observer, "pass_gate").running == 1, 20, "the task running")
    wait_until(lambda: observer.snapshot().actors, 20, "the actor")
    row = next(t for t in observer.snapshot().tasks if t.name == "pass_gate")
    observer.cancel_task(parse_short(row.id))
    with pytest.raises(burrow.exceptions.TaskCancelledError):
        burrow.get(ref, timeout=20)
    observer.kill_actor(parse_short(observer.snapshot().actors[0].id))
    with pytest.raises(burrow.exceptions.RayActorError):
        burrow.get(pan.cook.remote(), timeout=20)

    closed = threading.Event()
    observer.on_close.append(closed.set)
    observer.stop_burrow()
    assert closed.wait(20)
    wait_until(lambda: not burrow.is_initialized(), 20, "the driver to know")


def test_calls_that_wait_for_their_turn_are_not_shown_as_running(observer, tmp_path):
    @burrow.remote
    class Cook:
        def wait(self, path):
            pass_gate(path)

    cook = Cook.remote()
    refs = [cook.wait.remote(str(tmp_path / "gate")) for _ in range(5)]

    def as_expected():
        row = function(observer, "Cook.wait")
        return (row.running, row.ready) == (1, 4)

    wait_until(as_expected, 20, "one running and four ready")
    (tmp_path / "gate").touch()
    burrow.get(refs, timeout=20)
