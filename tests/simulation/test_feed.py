"""What an observer pieces together from deltas is what there is, in random histories."""

import math
import random

import pytest
from simulation.simulator import World

from burrow_jupyter.core import feed, limits, messages
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.scheduler import queries
from burrow_jupyter.engine.publisher import Publisher

OBSERVER = 1_000_000
"""Its connection: beyond those of the players."""

BURROW = feed.BurrowRow("s", "", 1, 1, 0.0, "3.11", "0", "running")
MACHINE = feed.MachineRow(0.0, 1.0, "", 0, 0, 0, [])


def publisher():
    made = Publisher(BURROW, {}, [])
    made._machine, made._sampled_at = MACHINE, math.inf  # no process here is real
    return made


class Watched(World):
    """A history with somebody who looks at it from its beginning to its end."""

    def __init__(self, seed):
        super().__init__(seed)
        self.publisher = publisher()
        self.seen = None
        self.lags = random.Random(seed)
        self.frames = 0
        hello = messages.Hello("observer", 1)
        self.scheduler.receive(OBSERVER, [hello, messages.Observe()], 0.0)

    def after_step(self):
        super().after_step()
        for peer, frame in self.publisher.frames(self.state, self.now, self.unsent):
            if peer == OBSERVER:
                self.frames += 1
                first = isinstance(frame, feed.Snapshot)
                self.seen = frame if first else feed.apply(self.seen, frame)
                self.compare()

    def unsent(self, peer):
        return self.lags.random() < 0.1  # then there is a fresh snapshot

    def compare(self):
        there = publisher()._snapshot(self.state, self.now, self.seen.seq)
        for table in ("workers", "functions", "actors", "resources", "runs"):
            self.require_same(table, there)
        self.require(self.seen.objects == there.objects, f"{self.seen.objects} {there.objects}")
        alive = {short(task.id): task for task in self.state.tasks.values()}
        for row in self.seen.tasks:
            task = alive.get(row.id)
            self.require(row.ended_at or task, f"{row} is over and shown alive")
            now = queries.task_row(task) if task is not None else row
            self.require(row == now, f"tasks: {row} is shown, {now} is there")
        ended = sum(bool(row.ended_at) for row in self.seen.tasks)
        self.require(ended <= limits.RECENT_TASKS, f"{ended} ended tasks are shown")

    def require_same(self, table, there):
        shown = {row.id: row for row in getattr(self.seen, table)}
        real = {row.id: row for row in getattr(there, table)}
        for key in shown.keys() | real.keys():
            same = shown.get(key) == real.get(key)
            self.require(same, f"{table}: {shown.get(key)} is shown, {real.get(key)} is there")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kept", ["much", "little"])
def test_snapshot_and_deltas_add_up_to_what_there_is(seed, kept, monkeypatch):
    if kept == "little":
        monkeypatch.setattr(limits, "RECENT_TASKS", 5)
        monkeypatch.setattr(limits, "RECENT_ACTORS", 2)
    world = Watched(seed)

    world.play()

    assert world.frames > 3
