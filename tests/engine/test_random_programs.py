"""Random programs of actors on the real engine: crashes, kills, cancels, dropped handles.

A program is made from its seed, but not how its processes take turns: a seed that has failed
may have to be run a few times. What must hold is the same for all: every ref ends, nothing runs
more often than it may, calls of one caller keep their order, and nothing is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

import burrow
from burrow import exceptions
from helpers.wait import wait_until

SEEDS = range(20)
STEPS = 60
ENDS_WITHIN_S = 30
FAILURES = (
    ValueError,
    exceptions.RayActorError,
    exceptions.TaskCancelledError,
    exceptions.WorkerCrashedError,
)


def note(file, caller, number):
    """Appends what runs, and where, in one system call: the process may be about to die."""
    with Path(file).open("a") as log:
        log.write(f"{os.getpid()} {caller} {number}\n")


def misbehave(what, number):
    if what == "raise":
        raise ValueError(number)
    if what == "crash":
        os._exit(1)


def end_of(ref):
    """Returns what a ref ends with, a value or one of the failures that may be."""
    try:
        return burrow.get(ref, timeout=ENDS_WITHIN_S)
    except exceptions.GetTimeoutError:
        raise AssertionError(f"a ref does not end: {ref.why()}") from None
    except FAILURES as error:
        return error.with_traceback(None)  # it would keep the frame that it came through


class Plain:
    """Its methods run one by one, or on threads."""

    def __init__(self, file, others=()):
        self.file = file
        self.others = others

    def call(self, caller, number, what, *args):
        note(self.file, caller, number)
        misbehave(what, number)
        if what == "sleep":
            time.sleep(0.003)  # noqa: TID251 how long a call runs, not a wait of the test
        return number

    def through(self, what):
        caller = f"{os.getpid()}-{time.monotonic_ns()}"
        refs = [one.call.remote(caller, n, what) for n, one in enumerate(self.others * 3)]
        return len([end_of(ref) for ref in refs])

    def items(self, caller, count):
        note(self.file, caller, 0)
        yield from range(count)


class Async(Plain):
    """Its methods run in a loop."""

    async def call(self, caller, number, what, *args):
        note(self.file, caller, number)
        misbehave(what, number)
        await asyncio.sleep(0.003 if what == "sleep" else 0)
        return number

    async def through(self, what):
        caller = f"{os.getpid()}-{time.monotonic_ns()}"
        refs = [one.call.remote(caller, n, what) for n, one in enumerate(self.others * 3)]
        for ref in refs:
            with contextlib.suppress(*FAILURES):
                await ref
        return len(refs)


@burrow.remote(max_retries=0)
def from_a_task(actor, caller, count, what):
    return len([end_of(actor.call.remote(caller, n, what)) for n in range(count)])


@burrow.remote
def late(seconds):
    time.sleep(seconds)  # noqa: TID251 an argument that is not there at once


class Program:
    """One random program, run step by step."""

    def __init__(self, seed, folder):
        self.random = random.Random(seed)
        self.folder = folder
        self.actors = {}
        self.kinds = {}  # of actors: file, kind, retries
        self.calls = []  # ref, and for plain calls of the driver the actor's file and the number
        self.count = 0

    def step(self):
        weights = {
            self.make: 2 if self.actors else 1000,
            self.call: 20,
            self.burst: 4,
            self.indirectly: 5,
            self.stream: 2,
            self.cancel: 3,
            self.crash: 1,
            self.kill: 1,
            self.drop: 1,
            self.forget: 2,
            self.look: 2,
        }
        (do,) = self.random.choices(list(weights), list(weights.values()))
        if self.actors or do == self.make:
            do()

    def number(self):
        self.count += 1
        return self.count

    def pick(self):
        return self.random.choice(sorted(self.actors))

    def what(self):
        return self.random.choices(["return", "sleep", "raise", "crash"], [40, 16, 8, 1])[0]

    def make(self):
        if len(self.actors) > 5:
            return
        name = f"a{self.number()}"
        kind = self.random.choice(["serial", "serial", "async", "threads", "groups"])
        retries = self.random.choice([0, 0, 1, 3])
        cls = burrow.remote(Async if kind == "async" else Plain)
        if kind == "groups":
            cls = burrow.remote(concurrency_groups={"io": 2})(Plain)
        options = {"max_concurrency": 3} if kind == "threads" else {}
        others = (
            [self.actors[self.pick()] for _ in range(self.random.choice([0, 1, 2]))]
            if (self.actors)
            else []
        )
        file = self.folder / name
        self.actors[name] = cls.options(
            max_restarts=self.random.choice([0, 1, -1]), max_task_retries=retries, **options
        ).remote(str(file), others)
        self.kinds[name] = (file, kind, retries)

    def call(self, name=None):
        name = name or self.pick()
        method, number, args = self.actors[name].call, self.number(), []
        if self.random.random() < 0.2:
            args = [late.remote(self.random.random() / 50)]
        elif self.calls and self.random.random() < 0.1:
            args = [self.calls[-1][0]]
        if self.kinds[name][1] == "groups" and self.random.random() < 0.4:
            method = method.options(concurrency_group="io")
        ref = method.remote("driver", number, self.what(), *args)
        self.calls.append((ref, self.kinds[name][0], number))

    def burst(self):
        name = self.pick()
        for _ in range(self.random.choice([5, 50, 150])):
            self.call(name)

    def indirectly(self):
        actor = self.actors[self.pick()]
        if self.random.random() < 0.5:
            ref = actor.through.remote(self.what())
        else:
            ref = from_a_task.remote(actor, f"task{self.number()}", 10, self.what())
        self.calls.append((ref, None, 0))

    def stream(self):
        items = self.actors[self.pick()].items.remote(f"stream{self.number()}", 20)
        for _ in range(self.random.choice([0, 5, 30])):
            for ref in items:
                self.calls.append((ref, None, 0))
                break
        if self.random.random() < 0.3:
            burrow.cancel(items)
        self.calls.append((items.completed(), None, 0))

    def cancel(self):
        for ref, *_ in self.calls[-40:][:: self.random.randint(5, 20)]:
            burrow.cancel(ref)

    def crash(self):
        pids = [row["pid"] for row in burrow.workers() if row["pid"]]
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(pids), signal.SIGKILL)

    def kill(self):
        burrow.kill(self.actors[self.pick()], no_restart=self.random.random() < 0.5)

    def drop(self):
        del self.actors[self.pick()]

    def forget(self):
        del self.calls[:: self.random.randint(2, 20)]

    def look(self):
        if self.calls:
            self.check_end(*self.random.choice(self.calls))

    # ---- what must hold ----------------------------------------------------------------

    def check_end(self, ref, file, number):
        ended = end_of(ref)
        if file is not None and not isinstance(ended, Exception):
            assert ended == number
            assert ("driver", number) in [(caller, n) for _, caller, n in ran(file)]

    def check_runs(self):
        for file, kind, retries in self.kinds.values():
            lines = ran(file)
            times = Counter((caller, number) for _, caller, number in lines)
            assert max(times.values(), default=0) <= 1 + retries, (file.name, kind, retries)
            if kind == "serial":
                for who in {(pid, caller) for pid, caller, _ in lines}:
                    numbers = [n for pid, caller, n in lines if (pid, caller) == who]
                    assert numbers == sorted(set(numbers)), (file.name, who)


def ran(file):
    """Returns what an actor has noted: process, caller, number."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [(pid, caller, int(number)) for pid, caller, number in map(str.split, lines)]


def left():
    """Returns what the head still has of a program."""
    return [
        *[row for row in burrow.actors() if row["state"] != "dead"],
        *[row for row in burrow.tasks() if row["ended_at"] == 0],
        *burrow.objects(),
    ]


def play(seed, folder):
    program = Program(seed, folder)
    for _ in range(STEPS):
        program.step()
    while program.calls:
        program.check_end(*program.calls.pop())
    program.actors.clear()
    wait_until(lambda: not left(), 20, "the head to forget everything")
    program.check_runs()


@pytest.mark.slow
def test_random_programs_of_actors_keep_the_rules(tmp_path):
    burrow.init(num_cpus=2)
    try:
        for seed in SEEDS:
            folder = tmp_path / str(seed)
            folder.mkdir()
            try:
                play(seed, folder)
            except BaseException as error:
                error.add_note(f"in the program of seed {seed}")
                raise
    finally:
        burrow.shutdown()
