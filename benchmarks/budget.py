"""What one task costs, by process and by step.

    python -m benchmarks.budget
    python -m benchmarks.budget --profile      where the driver's time goes, function by function

Processes: the CPU time and the sleeps that a task costs each of them, from the kernel's own
books, on a running burrow. Steps: the engine's own functions on the messages of a real task,
one after the other in this process, alone and as one of a batch of 64.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pickle
import pstats
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it ships no types

import burrow
from benchmarks.calls import Counter, noop, successor
from benchmarks.core_decisions import ARGUMENTS, CODE, OPTIONS, RESULT, Bench
from benchmarks.machine import Echo
from benchmarks.systems import WORKERS
from benchmarks.timing import rate
from burrow_jupyter.api import context
from burrow_jupyter.api.definitions import Definition
from burrow_jupyter.core import messages
from burrow_jupyter.engine import serialization, transport

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = 64
REPEATS = 500


# ---- by process --------------------------------------------------------------------------


def _books(process: psutil.Process) -> tuple[int, int]:
    """Return the nanoseconds on a CPU and the number of sleeps of a process so far."""
    busy = sleeps = 0
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        busy += int((thread / "schedstat").read_text().split()[0])
        status = (thread / "status").read_text()
        sleeps += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return busy, sleeps


def _roles() -> dict[str, list[psutil.Process]]:
    driver = psutil.Process()
    head = driver.children()[0]
    (zygote,) = head.children()
    return {"driver": [driver], "head": [head], "workers": zygote.children()}


def _single(submit: Callable[..., Any]) -> Callable[[int], None]:
    def run(count: int) -> None:
        for number in range(count):
            burrow.get(submit(number))

    return run


def _batch(submit: Callable[..., Any]) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count // 1000):
            burrow.get([submit(number) for number in range(1000)])

    return run


def _chain(submit: Callable[..., Any]) -> Callable[[int], None]:
    def run(count: int) -> None:
        ref: Any = 0
        for _ in range(count):
            ref = submit(ref)
        burrow.get(ref)

    return run


def by_process() -> str:
    """Measure on a running burrow; return a table."""
    lines = ["| what | process | CPU, us | sleeps |", "|---|---|--:|--:|"]
    with burrow.init(num_cpus=WORKERS):
        task = burrow.remote(noop).remote
        actor = burrow.remote(Counter).remote()
        kinds: dict[str, tuple[Callable[[int], None], int]] = {
            "task, one at a time": (_single(task), 3000),
            "1,000 tasks, get all": (_batch(task), 10_000),
            "actor call, one at a time": (_single(actor.add.remote), 3000),
            "1,000 actor calls": (_batch(actor.add.remote), 10_000),
            "chain of tasks": (_chain(burrow.remote(successor).remote), 5000),
        }
        for name, (run, count) in kinds.items():
            run(1000)
            roles = _roles()
            before = {role: [_books(one) for one in group] for role, group in roles.items()}
            began = time.perf_counter()
            run(count)
            taken = time.perf_counter() - began
            for role, group in roles.items():
                after = [_books(one) for one in group]
                cpu = sum(new[0] - old[0] for old, new in zip(before[role], after, strict=True))
                sleeps = sum(new[1] - old[1] for old, new in zip(before[role], after, strict=True))
                lines.append(
                    f"| {name} | {role} | {cpu / 1000 / count:.1f} | {sleeps / count:.2f} |"
                )
            lines.append(f"| {name} | wall time, us | {1e6 * taken / count:.1f} | |")
    return "\n".join(lines)


# ---- by step -----------------------------------------------------------------------------


def _each(run: Callable[[], object], items: int = 1) -> float:
    """Return the CPU time of an item in microseconds, the least of a few repetitions."""
    taken = []
    for _ in range(7):
        began = time.thread_time()
        for _ in range(REPEATS):
            run()
        taken.append(time.thread_time() - began)
    return 1e6 * min(taken) / REPEATS / items


def _way(
    make: Callable[[int], Any], decode: Callable[[bytes], Any]
) -> tuple[list[float], list[float]]:
    """Return what a call costs to encode and to decode, alone and as one of a batch."""
    encoding, decoding = [], []
    for count in (1, FRAME):
        batch = [make(count)]
        frame = bytes(transport.encode_frame(batch))
        encoding.append(_each(lambda batch=batch: transport.encode_frame(batch), count))  # type: ignore[misc]  # as it is now
        decoding.append(_each(lambda frame=frame: decode(frame[4:]), count))  # type: ignore[misc]  # as above
    return encoding, decoding


def _sending(make: Callable[[int], Any]) -> list[float]:
    """Return what one `send` costs when nobody has to be woken, alone and shared by a batch."""
    here, there = socket.socketpair()
    costs = []
    with here, there:
        for count in (1, FRAME):
            frame = bytes(transport.encode_frame([make(count)]))

            def once(frame: bytes = frame) -> None:
                here.send(frame)
                there.recv(len(frame))

            costs.append(_each(once, count) / 2)
    return costs


def _deciding(batch: int) -> tuple[float, float]:
    """Return what the scheduler core needs to take a task to a worker, and to end it."""
    bench = Bench(WORKERS)
    bench.submit(1000)
    bench.work()
    submitting = working = 0.0
    rounds = 10_000 // batch
    for _ in range(rounds):
        began = time.thread_time()
        bench.submit(batch)
        between = time.thread_time()
        bench.work()
        submitting += between - began
        working += time.thread_time() - between
    return 1e6 * submitting / rounds / batch, 1e6 * working / rounds / batch


def by_step() -> str:
    """Time the steps; return a table."""
    first, args, result = 1 << 41, ARGUMENTS.data, RESULT.data

    def submit(count: int) -> Any:
        return messages.SubmitMany(first, CODE, OPTIONS, 0, [args] * count)

    def run(count: int) -> Any:
        return messages.RunMany(first, CODE, OPTIONS, 0, [args] * count)

    def done(count: int) -> Any:
        return messages.DoneMany(first, [result] * count, 20 * count)

    def deliver(count: int) -> Any:
        return messages.DeliverMany(first, [result] * count)

    to_head, at_head = _way(submit, transport.decode_from_client)
    to_worker, at_worker = _way(run, transport.decode_from_head)
    from_worker, back_at_head = _way(done, transport.decode_from_client)
    to_driver, at_driver = _way(deliver, transport.decode_from_head)
    sending = _sending(submit)
    arguments = pickle.dumps(((1,), {}), 5)
    steps: list[tuple[str, str, list[float]]] = [
        (
            "driver",
            "pickle the arguments",
            [_each(lambda: serialization.dump(((1,), {}), None))] * 2,
        ),
        ("driver", "encode", to_head),
        ("driver", "send", sending),
        ("head", "decode", at_head),
    ]
    single, several = _deciding(1), _deciding(1000)
    steps += [
        ("head", "schedule and dispatch", [single[0], several[0]]),
        ("head", "encode", to_worker),
        ("head", "send", sending),
        ("worker", "decode", at_worker),
        ("worker", "unpickle", [_each(lambda: pickle.loads(arguments))] * 2),  # noqa: S301  # ours
        ("worker", "run", [_each(lambda: noop(1))] * 2),
        ("worker", "pickle the result", [_each(lambda: serialization.dump(1, None))] * 2),
        ("worker", "encode", from_worker),
        ("worker", "send", sending),
        ("head", "decode", back_at_head),
        ("head", "done, and the driver's drop", [single[1], several[1]]),
        ("head", "encode", to_driver),
        ("head", "send", sending),
        ("driver", "decode", at_driver),
        ("driver", "unpickle", [_each(lambda: pickle.loads(RESULT.data))] * 2),  # noqa: S301  # ours
    ]
    lines = ["| process | step | alone, us | in a batch, us |", "|---|---|--:|--:|"]
    lines += [
        f"| {process} | {step} | {alone:.2f} | {shared:.2f} |"
        for process, step, (alone, shared) in steps
    ]
    total = [sum(costs[index] for _, _, costs in steps) for index in (0, 1)]
    lines.append(f"| all | the steps above | {total[0]:.1f} | {total[1]:.1f} |")
    return "\n".join(lines)


def by_definition() -> str:
    """Time the look whether a function has changed, as a notebook's cells have it; return a table."""
    factor = 3

    def helper(x: int) -> int:
        return x * factor

    def function(x: int) -> int:
        return helper(x) + 1

    with burrow.init(num_cpus=1):
        backend = context.backend()
        definition = Definition(function, "function")
        runs = itertools.count(1)
        same = _each(lambda: definition.code_in(backend, 0))
        first = _each(lambda: definition.code_in(backend, next(runs)))
    return "\n".join(
        (
            "| is the definition as it was? | us |",
            "|---|--:|",
            f"| each call | {same:.2f} |",
            f"| the first call in each cell | {first:.0f} |",
        )
    )


def wake_ups() -> str:
    """Say what it costs to wake another process."""
    answering = Echo()
    try:
        found = {}
        for name, cores in (("on one core", (0, 0)), ("between two cores", (0, 1))):
            with answering.pinned(*cores):
                found[name] = 1e6 / rate(answering.round_trip, at_most=20_000) / 2
    finally:
        answering.close()
    return "; ".join(f"send, wake and receive {name}: {us:.1f} us" for name, us in found.items())


def _profile() -> None:
    with burrow.init(num_cpus=WORKERS):
        run = _batch(burrow.remote(noop).remote)
        run(1000)
        with cProfile.Profile() as profile:
            run(10_000)
    pstats.Stats(profile).sort_stats("tottime").print_stats(20)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", action="store_true")
    if parser.parse_args().profile:
        _profile()
        return
    print(wake_ups())
    print(by_process())
    print(by_step())
    print(by_definition())


if __name__ == "__main__":
    main()
