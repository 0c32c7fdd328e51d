"""Whether Burrow has become slower, without peers: a short run for CI.

    python -m benchmarks.guard            compare with `guard.json`; exits with 1 if slower
    python -m benchmarks.guard --write    measure anew what to compare with

Machines differ, so what is compared are ratios: of each workload to two yardsticks, measured in
turns with it. One is an echo over a plain socket. What waits for other processes is compared with
an echo between two cores, where waking the other side is what costs; what computes in the driver
alone with an echo on one core. Left to itself, an echo is now the one and now the other. The other
yardstick is a loop in Python that computes: there are machines whose cores are half as fast and
wake each other in half the time. A workload counts as slower when both ratios have fallen by more
than a third, and still have in two further measurements.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import burrow
from benchmarks.calls import Counter, noop, successor
from benchmarks.machine import Echo
from benchmarks.systems import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = Path(__file__).with_name("guard.json")
ROUNDS = 25
ATTEMPTS = 3
ALLOWED = 2 / 3
"""Of the reference ratio, below which it counts as slower."""

ECHOES = 200
COMPUTED = 2_000

Ratios = dict[str, dict[str, float]]
"""Of each workload, to each yardstick: `echo` and `compute`."""


def _singles(submit: Callable[..., Any]) -> Callable[[], int]:
    def run() -> int:
        for number in range(100):
            burrow.get(submit(number))
        return 100

    return run


def _batch(submit: Callable[..., Any]) -> Callable[[], int]:
    def run() -> int:
        return len(burrow.get([submit(number) for number in range(1000)]))

    return run


def _chain(submit: Callable[..., Any]) -> Callable[[], int]:
    def run() -> int:
        ref: Any = 0
        for _ in range(300):
            ref = submit(ref)
        return int(burrow.get(ref))

    return run


def _puts() -> int:
    return len([burrow.put({"a": number}) for number in range(1000)])


def _gets(refs: list[Any]) -> Callable[[], int]:
    def run() -> int:
        for ref in refs:
            burrow.get(ref)
        return len(refs)

    return run


@dataclass(frozen=True)
class Guarded:
    """What is measured: `run` does some work and says how many operations that was.

    Attributes:
        run: the work.
        cores: of the two ends of the echo that it is compared with.
    """

    run: Callable[[], int]
    cores: tuple[int, int] = (0, 1)


def workloads() -> dict[str, Guarded]:
    """Return everything that is measured, for the burrow that runs."""
    task = burrow.remote(noop).remote
    actor = burrow.remote(Counter).remote()
    return {
        "task_single": Guarded(_singles(task)),
        "task_batch": Guarded(_batch(task)),
        "actor_batch": Guarded(_batch(actor.add.remote)),
        "chain": Guarded(_chain(burrow.remote(successor).remote)),
        "put_small": Guarded(_puts, (0, 0)),
        "get_small": Guarded(_gets([burrow.put({"a": n}) for n in range(1000)]), (0, 0)),
    }


def _rate(run: Callable[[], int]) -> float:
    began = time.perf_counter()
    count = run()
    return count / (time.perf_counter() - began)


def _compute() -> int:
    """Do a little of what the engine does much of: pickles, tuples, dicts, calls."""
    held: dict[int, tuple[int, bytes]] = {}
    for number in range(COMPUTED):
        held[number] = (number, pickle.dumps(((number,), {}), 5))
        if number & 1:
            held.pop(number - 1, None)
    return COMPUTED


def measure(answering: Echo, runs: dict[str, Guarded], rounds: int) -> Ratios:
    """Return each workload's rate over that of its yardsticks, each the best of the rounds.

    Other load only ever slows down, so the best of many short rounds is what the machine does
    when it is quiet, also while it is not.
    """

    def echoes() -> int:
        for _ in range(ECHOES):
            answering.round_trip()
        return ECHOES

    rates = dict.fromkeys(runs, 0.0)
    echo_rates = {guarded.cores: 0.0 for guarded in runs.values()}
    computed = 0.0
    for _ in range(rounds):
        for name, guarded in runs.items():
            with answering.pinned(*guarded.cores):
                echo_rates[guarded.cores] = max(_rate(echoes), echo_rates[guarded.cores])
            computed = max(_rate(_compute), computed)
            rates[name] = max(_rate(guarded.run), rates[name])
    return {
        name: {"echo": rate / echo_rates[runs[name].cores], "compute": rate / computed}
        for name, rate in rates.items()
    }


def share(ratios: dict[str, float], reference: dict[str, float]) -> float:
    """Return to what share of the reference a workload has fallen, or risen, by the better ratio."""
    return max(ratios[yardstick] / known for yardstick, known in reference.items())


def slower(ratios: Ratios, reference: Ratios) -> dict[str, float]:
    """Return what has fallen by more than a third, and to what share of the reference."""
    shares = {name: share(of, reference[name]) for name, of in ratios.items() if name in reference}
    return {name: fallen for name, fallen in shares.items() if fallen < ALLOWED}


def check(answering: Echo, reference: Ratios, rounds: int) -> tuple[Ratios, dict[str, float]]:
    """Measure, what seems slower up to twice more; return all ratios and what stays slower."""
    suspects = runs = _warm()
    ratios: Ratios = {}
    for _ in range(ATTEMPTS):
        for name, found in measure(answering, suspects, rounds).items():
            known = ratios.get(name, found)
            ratios[name] = {
                yardstick: max(found[yardstick], known[yardstick]) for yardstick in found
            }
        suspects = {name: runs[name] for name in slower(ratios, reference)}
        if not suspects:
            break
    return ratios, slower(ratios, reference)


def calibrate(answering: Echo, rounds: int) -> Ratios:
    """Return the reference: of each workload the lowest of three measurements."""
    runs = _warm()
    taken = [measure(answering, runs, rounds) for _ in range(ATTEMPTS)]
    return {
        name: {
            yardstick: round(min(ratios[name][yardstick] for ratios in taken), 4)
            for yardstick in taken[0][name]
        }
        for name in runs
    }


def _warm() -> dict[str, Guarded]:
    runs = workloads()
    for guarded in runs.values():
        guarded.run()
    return runs


def main() -> int:
    """Measure and compare, or write what to compare with."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.guard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--reference", type=Path, default=REFERENCE, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    answering = Echo()  # before there are threads
    try:
        with burrow.init(num_cpus=WORKERS):
            if arguments.write:
                text = json.dumps(calibrate(answering, arguments.rounds), indent=2)
                arguments.reference.write_text(text + "\n", encoding="utf-8")
                print(text)
                return 0
            reference = json.loads(arguments.reference.read_text(encoding="utf-8"))
            ratios, fallen = check(answering, reference, arguments.rounds)
    finally:
        answering.close()
    for name, of in ratios.items():
        known = f"{share(of, reference[name]):.2f} of the reference" if name in reference else "new"
        print(f"{name:12} {of['echo']:8.4f} of an echo, {of['compute']:8.4f} of a loop  {known}")
    for name, fell in fallen.items():
        print(f"slower: {name} has fallen to {fell:.2f} of its reference", file=sys.stderr)
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
