"""What one task costs in the pure scheduler core: submit, dispatch, done, drop.

    python benchmarks/core_decisions.py [--tasks N] [--profile]

No process, socket or pickle: messages go into the core as structs, its decisions are
taken out and answered at once, in batches as the wire carries them (64 calls). What
is measured is the CPU time of the head's thread that deciding takes; encoding, system
calls and wake-ups come on top. One number per count of workers: it must not grow with them,
nor with the number of tasks that are queued. Once for plain calls, many in one message, of which
the core keeps one record, and once for calls that have a message and a record each.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from burrow_jupyter.core import messages, resources
from burrow_jupyter.core.ids import STRIDE, IdMint
from burrow_jupyter.core.limits import BATCH_MAX_MESSAGES
from burrow_jupyter.core.options import TaskOptions
from burrow_jupyter.core.scheduler import commands
from burrow_jupyter.core.scheduler.state import Settings
from burrow_jupyter.core.scheduler.step import Scheduler

DRIVER = 1
CODE, OPTIONS = 1 << 39, (1 << 39) + 1
RESULT = messages.Value(b"\x80\x05N.")
ARGUMENTS = messages.Value(b"\x80\x05)}\x86.")


class Bench:
    """A scheduler, one driver and workers that answer at once."""

    def __init__(self, workers: int, *, plain: bool = True, micros: int = 20) -> None:
        self.now = 0.0
        self.plain = plain
        self.micros = micros
        totals = {resources.CPU: workers * resources.UNIT}
        self.core = Scheduler(Settings(session=1, totals=totals, prestart=workers))
        self.ran: dict[int, list[int]] = {}
        self.pieces: dict[int, list[messages.RunMany]] = {}
        self.delivered: list[int] = []
        _, orders = self.core.drain()
        self.core.receive(DRIVER, [messages.Hello("driver", 1)], 0.0)
        for order in orders:
            if isinstance(order, commands.StartWorker):
                hello = messages.Hello("worker", 2, order.worker_id)
                self.core.receive(10 + order.worker_id, [hello], 0.0)
        options = TaskOptions("f", "f", ((resources.CPU, resources.UNIT),))
        self.core.receive(
            DRIVER,
            [
                messages.DefineCode(CODE, "f", messages.Value(b"f")),
                messages.DefineOptions(OPTIONS, options),
            ],
            0.0,
        )
        self.mint = IdMint(self.core.state.peers[DRIVER].id)
        self.take()

    def take(self) -> None:
        """Take what the core sends: tasks to their workers, results to the driver."""
        sends, _ = self.core.drain()
        for peer, message in sends:
            kind = type(message)
            if kind is messages.Run:
                self.ran.setdefault(peer, []).append(message.task_id)
            elif kind is messages.RunMany:
                self.pieces.setdefault(peer, []).append(message)
            elif kind is messages.Deliver:
                self.delivered.append(message.object_id)
            elif kind is messages.DeliverMany:
                self.delivered += _ids(message.first_id, len(message.values))

    def submit(self, count: int) -> None:
        """The driver submits tasks, in batches."""
        for start in range(0, count, BATCH_MAX_MESSAGES):
            length = min(BATCH_MAX_MESSAGES, count - start)
            ids = [self.mint.next() for _ in range(length)]
            batch: list[Any] = []
            if self.plain:
                args = [ARGUMENTS.data] * length
                batch.append(messages.SubmitMany(ids[0], CODE, OPTIONS, 0, args))
            else:
                batch += [messages.Submit(task_id, CODE, OPTIONS, ARGUMENTS) for task_id in ids]
            self.core.receive(DRIVER, batch, self.now)
            self.take()

    def work(self) -> None:
        """Every worker ends what it has; the driver drops what it was given."""
        while self.ran or self.pieces:
            ran, self.ran = self.ran, {}
            for peer, task_ids in ran.items():
                for start in range(0, len(task_ids), BATCH_MAX_MESSAGES):
                    self._end(
                        peer,
                        [
                            messages.Done(task_id, [RESULT], None, self.micros)
                            for task_id in task_ids[start : start + BATCH_MAX_MESSAGES]
                        ],
                    )
            pieces, self.pieces = self.pieces, {}
            for peer, parts in pieces.items():
                for part in parts:
                    values = [RESULT.data] * len(part.args)
                    micros = self.micros * len(values)
                    self._end(peer, [messages.DoneMany(part.first_id, values, micros)])
            if self.delivered:
                gone, self.delivered = self.delivered, []
                self.core.receive(DRIVER, [messages.Drop(gone)], self.now)
                self.take()

    def _end(self, peer: int, batch: list[Any]) -> None:
        self.now += 1e-4
        self.core.receive(peer, batch, self.now)
        self.take()


def _ids(first: int, count: int) -> range:
    return range(first, first + count * STRIDE, STRIDE)


def measure(workers: int, tasks: int, queued: int, *, plain: bool = True) -> tuple[float, float]:
    """Return microseconds a task, for all and for the slowest tenth of the rounds."""
    bench = Bench(workers, plain=plain)
    bench.submit(1000)
    bench.work()
    rounds = []
    gc.collect()
    for _ in range(max(1, tasks // queued)):
        began = time.process_time()
        bench.submit(queued)
        bench.work()
        rounds.append((time.process_time() - began) / queued * 1e6)
    rounds.sort()
    return sum(rounds) / len(rounds), rounds[int(len(rounds) * 0.9)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.profile:
        with cProfile.Profile() as profile:
            measure(2, arguments.tasks, 1000)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    print(
        "| workers | queued at once | us a plain task | slowest tenth | us another | slowest tenth |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    for workers in (2, 64, 256):
        for queued in (100, 1000, 25_000):
            row = [
                f"{figure:.1f}"
                for plain in (True, False)
                for figure in measure(workers, arguments.tasks, queued, plain=plain)
            ]
            print(f"| {workers} | {queued:,} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
