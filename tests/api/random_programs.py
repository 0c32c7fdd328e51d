"""Random programs on the real engine, each compared with what it would do one step at a time.

A program is a few threads that submit tasks, several-result tasks, streams and puts with
refs of earlier ones as arguments, and meanwhile get, wait, await, cancel and drop whatever they
hold. The value of everything is a number that depends on all that went in, and is known when
the call is planned; so is what a failure does to those that depend on it. Only where something
was cancelled there are two right outcomes: the planned one, or an error that says so.

`python -m api.random_programs SEED ...`, or `--from A --count N`, below `tests/`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import burrow
from burrow import exceptions
from helpers.wait import NotInTimeError, wait_until

LARGE = 40_000
"""Numbers in a large value: 320 KB, which travel in shared memory."""
MODULUS = 1_000_003
PATIENCE_S = 60.0
"""Whatever takes longer hangs."""


FORGOTTEN_WITHIN_S = 15.0


class Planned(Exception):
    """What a step raises that is meant to."""


EXPECTED = (Planned, exceptions.WorkerCrashedError)
"""Of steps that are meant to fail, and of those that depend on them."""


@dataclass(frozen=True)
class Step:
    """What one task does."""

    number: int
    fate: str = "returns"  # or "raises", "crashes", "crashes once"
    large: bool = False
    items: int = 1
    children: tuple[Step, ...] = ()
    trace: str = ""
    """A file that says that it has run before."""


@dataclass
class Entry:
    """An object that a program holds, and what it must turn out to be."""

    number: int | None
    """`None`: it fails."""
    inputs: list[Entry] = field(default_factory=list)
    cancelled: bool = False
    siblings: list[Entry] = field(default_factory=list)
    ref: Any = None

    def touched(self) -> bool:
        """Whether a cancel may have reached it."""
        return any(e.cancelled for e in [self, *self.siblings]) or any(
            one.touched() for one in self.inputs
        )


# ---- what tasks do -------------------------------------------------------------------


def number_of(value: Any) -> int:
    """Reads a value, and checks that all of it is there."""
    if isinstance(value, np.ndarray):
        assert (value == value[0]).all(), "an array of several values"
        return int(value[0])
    return int(value)


def mixed(number: int, values: list[int]) -> int:
    """A number that depends on all of these, in this order."""
    for value in values:
        number = (number * 31 + value + 7) % MODULUS
    return number


def made(step: Step, number: int) -> Any:
    return np.full(LARGE, number) if step.large else number


def carry_out(step: Step, inputs: tuple[Any, ...]) -> int:
    """Does what the step says; inputs in lists are refs."""
    values = []
    for one in inputs:
        values += [number_of(v) for v in (burrow.get(one) if isinstance(one, list) else [one])]
    values += [number_of(v) for v in burrow.get([submit(child, ()) for child in step.children])]
    if step.fate == "raises":
        raise Planned(step.number)
    if step.fate == "crashes" or (step.fate == "crashes once" and not Path(step.trace).exists()):
        if step.trace:
            Path(step.trace).touch()
        os._exit(7)
    return mixed(step.number, values)


@burrow.remote
def work(step: Step, *inputs: Any) -> Any:
    number = carry_out(step, inputs)
    if step.items == 1:
        return made(step, number)
    return [made(step, number + index) for index in range(step.items)]


@burrow.remote
def stream(step: Step, *inputs: Any) -> Any:
    """Yields half of its items before it fails."""
    for index in range(step.items // 2):
        yield made(step, mixed(step.number, [index]))
    number = carry_out(step, inputs)
    for index in range(step.items // 2, step.items):
        yield made(step, number + index)


def submit(step: Step, inputs: tuple[Any, ...]) -> Any:
    retries = 0 if step.fate == "crashes" else 2
    return work.options(num_returns=step.items, max_retries=retries).remote(step, *inputs)


# ---- what they must come to ----------------------------------------------------------


def outcome(step: Step, inputs: list[int | None]) -> int | None:
    """The number that the step makes, `None` if it fails."""
    values = inputs + [outcome(child, []) for child in step.children]
    if step.fate in ("raises", "crashes") or None in values:
        return None
    return mixed(step.number, [value for value in values if value is not None])


class Program:
    """One thread's part, from one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.entries: list[Entry] = []
        self.count = 0

    def run(self, actions: int) -> None:
        """Plays it, and checks what is left in the end."""
        kinds = [self.call, self.several, self.streams, self.put, self.get, self.wait, self.cancel]
        weights = [30, 8, 6, 10, 16, 10, 6]
        for _ in range(actions):
            self.random.choices([*kinds, self.drop], [*weights, 14])[0]()
        for entry in self.entries:
            self.check(entry, PATIENCE_S)
        self.entries.clear()

    # ---- actions -----------------------------------------------------------------------

    def step(self, items: int = 1, depth: int = 0) -> Step:
        draw = self.random
        self.count += 1
        fates = ["returns", "raises", "crashes", "crashes once"]
        fate = draw.choices(fates, [60, 6, 1, 2])[0]
        children = ()
        if depth < 2 and draw.random() < 0.2:
            children = tuple(self.step(1, depth + 1) for _ in range(draw.randint(1, 3)))
        trace = str(self.folder / str(self.count)) if fate == "crashes once" else ""
        return Step(self.count, fate, draw.random() < 0.25, items, children, trace)

    def inputs(self) -> tuple[list[Entry], tuple[Any, ...]]:
        """Some of what there is, as refs and in lists."""
        draw = self.random
        chosen: list[Entry] = []
        arguments: list[Any] = []
        for _ in range(draw.randint(0, 3) if self.entries else 0):
            some = draw.sample(self.entries, min(len(self.entries), draw.randint(1, 2)))
            chosen += some
            refs = [entry.ref for entry in some]
            arguments += [refs] if draw.random() < 0.4 else refs
        return chosen, tuple(arguments)

    def call(self) -> None:
        step = self.step()
        inputs, arguments = self.inputs()
        number = outcome(step, [entry.number for entry in inputs])
        self.entries.append(Entry(number, inputs, ref=submit(step, arguments)))

    def several(self) -> None:
        step = self.step(items=self.random.randint(2, 4))
        inputs, arguments = self.inputs()
        number = outcome(step, [entry.number for entry in inputs])
        siblings = [
            Entry(None if number is None else number + index, inputs, ref=ref)
            for index, ref in enumerate(submit(step, arguments))
        ]
        for entry in siblings:
            entry.siblings = siblings
        self.entries += siblings

    def streams(self) -> None:
        """Takes some items at once, or breaks off, or cancels."""
        step = self.step(items=self.random.randint(0, 6))
        inputs, arguments = self.inputs()
        number = outcome(step, [entry.number for entry in inputs])
        retries = 0 if step.fate == "crashes" else 2
        told = self.random.choice([None, 1, 3])
        generator = stream.options(
            max_retries=retries, _generator_backpressure_num_objects=told
        ).remote(step, *arguments)
        half = step.items // 2
        # One of the arguments may have failed before it began: then there is no first half.
        begins = all(entry.number is not None for entry in inputs)
        cancels = self.random.random() < 0.2
        taken = 0
        for ref in generator:
            expected = number + taken if number is not None else None
            if taken < half:
                expected = mixed(step.number, [taken])
            entry = Entry(expected, inputs, cancelled=cancels or not begins, ref=ref)
            self.entries.append(entry)
            taken += 1
            if cancels:
                burrow.cancel(generator, force=self.random.random() < 0.5)
            if self.random.random() < 0.1:
                return
        if number is not None and not cancels and not any(entry.touched() for entry in inputs):
            assert taken == step.items, f"{taken} items of {step.items}"

    def put(self) -> None:
        step = self.step()
        self.entries.append(Entry(step.number, ref=burrow.put(made(step, step.number))))

    def get(self) -> None:
        if self.entries:
            timeout = self.random.choice([0, 0.001, 0.02, PATIENCE_S])
            self.check(self.random.choice(self.entries), timeout)

    def wait(self) -> None:
        some = self.random.sample(self.entries, min(len(self.entries), 6))
        if some:
            refs = [entry.ref for entry in some]
            most = self.random.randint(1, len(refs))
            timeout = self.random.choice([0, 0.01, PATIENCE_S])
            ready, rest = burrow.wait(refs, num_returns=most, timeout=timeout)
            assert len(ready) <= most
            assert len(ready) == most or timeout != PATIENCE_S, "wait() gave up"
            assert ready == [r for r in refs if r in ready]
            assert rest == [r for r in refs if r not in ready]

    def cancel(self) -> None:
        if self.entries:
            entry = self.random.choice(self.entries)
            entry.cancelled = True
            burrow.cancel(
                entry.ref,
                force=self.random.random() < 0.5,
                recursive=self.random.random() < 0.7,
            )

    def drop(self) -> None:
        if self.entries:
            self.entries.pop(self.random.randrange(len(self.entries))).ref = None

    # ---- checks ------------------------------------------------------------------------

    def check(self, entry: Entry, timeout: float) -> None:
        found: int | None
        try:
            found = number_of(self.fetched(entry.ref, timeout))
        except exceptions.GetTimeoutError:
            if timeout == PATIENCE_S:
                raise AssertionError(f"{entry.ref} hangs: {entry.ref.why()}") from None
            return
        except exceptions.RayError as error:
            if entry.touched():
                return
            if not isinstance(error, EXPECTED):
                raise
            found = None
        assert found == entry.number, f"{entry.ref} is {found}, not {entry.number}"

    def fetched(self, ref: Any, timeout: float) -> Any:
        """The value, by one of the ways that there are."""
        way = self.random.random()
        if way < 0.1 and timeout == PATIENCE_S:
            return ref.future().result(timeout)
        if way < 0.2 and timeout == PATIENCE_S:

            async def awaited() -> Any:
                return await asyncio.wait_for(ref, timeout)

            return asyncio.run(awaited())
        return (
            burrow.get([ref], timeout=timeout)[0] if way < 0.5 else burrow.get(ref, timeout=timeout)
        )


def play(seed: int, *, threads: int = 3, actions: int = 60) -> None:
    """Plays the programs of a seed side by side, and sees that they leave nothing.

    Raises:
        AssertionError: something came out otherwise than planned, or was left.
    """
    errors: list[BaseException] = []

    def played(number: int, folder: Path) -> None:
        try:
            Program(seed * 100 + number, folder).run(actions)
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number in range(threads):
            place = Path(folder) / str(number)
            place.mkdir()
            running.append(threading.Thread(target=played, args=(number, place)))
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    if errors:
        raise errors[0]
    gc.collect()
    try:
        wait_until(lambda: not left(), FORGOTTEN_WITHIN_S, "everything to be forgotten")
    except NotInTimeError:
        raise AssertionError(f"{FORGOTTEN_WITHIN_S} s later the head still has {left()}") from None


def left() -> list[Any]:
    """What the head still has, though nobody holds anything."""
    gc.collect()
    pending = [row for row in burrow.tasks() if row["state"] in ("waiting", "ready", "running")]
    free, totals = burrow.available_resources(), burrow.cluster_resources()
    taken = [name for name in ("CPU",) if free.get(name) != totals[name]]
    return [*burrow.objects(), *pending, *taken]


def main() -> int:
    """Plays what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m api.random_programs", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--actions", type=int, default=60)
    arguments = parser.parse_args()
    failed = 0
    burrow.init(num_cpus=2)
    for seed in arguments.seeds or range(arguments.first, arguments.first + arguments.count):
        try:
            play(seed, actions=arguments.actions)
        except Exception as error:  # noqa: BLE001  # each seed tells of its own
            failed += 1
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {error}\n")
    burrow.shutdown()
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
