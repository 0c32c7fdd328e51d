"""Whether Burrow has become slower, without peers: a short run for CI.

    python -m benchmarks.guard            compare with `guard.json`; exits with 1 if slower
    python -m benchmarks.guard --write    measure anew what to compare with

Machines differ, so what is compared is a ratio: of each workload to an echo over a plain
socket, measured in turns with it. What waits for other processes is compared with an echo
between two cores, where waking the other side is what costs; what computes in the driver alone
with an echo on one core. Left to itself, an echo is now the one and now the other. A workload counts as slower when its ratio has fallen by more
than a third, and still has in two further measurements.
"""

from __future__ import annotations

import argparse
import json
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


def measure(answering: Echo, runs: dict[str, Guarded], rounds: int) -> dict[str, float]:
    """Return each workload's rate over that of its echo, each the best of the rounds.

    Other load only ever slows down, so the best of many short rounds is what the machine does
    when it is quiet, also while it is not.
    """

    def echoes() -> int:
        for _ in range(ECHOES):
            answering.round_trip()
        return ECHOES

    rates = dict.fromkeys(runs, 0.0)
    echo_rates = {guarded.cores: 0.0 for guarded in runs.values()}
    for _ in range(rounds):
        for name, guarded in runs.items():
            with answering.pinned(*guarded.cores):
                echo_rates[guarded.cores] = max(_rate(echoes), echo_rates[guarded.cores])
            rates[name] = max(_rate(guarded.run), rates[name])
    return {name: rate / echo_rates[runs[name].cores] for name, rate in rates.items()}


def slower(ratios: dict[str, float], reference: dict[str, float]) -> dict[str, float]:
    """Return what has fallen by more than a third, and to what share of the reference."""
    return {
        name: ratio / reference[name]
        for name, ratio in ratios.items()
        if name in reference and ratio < ALLOWED * reference[name]
    }


def check(
    answering: Echo, reference: dict[str, float], rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure, what seems slower up to twice more; return all ratios and what stays slower."""
    suspects = runs = _warm()
    ratios: dict[str, float] = {}
    for _ in range(ATTEMPTS):
        for name, ratio in measure(answering, suspects, rounds).items():
            ratios[name] = max(ratio, ratios.get(name, 0.0))
        suspects = {name: runs[name] for name in slower(ratios, reference)}
        if not suspects:
            break
    return ratios, slower(ratios, reference)


def calibrate(answering: Echo, rounds: int) -> dict[str, float]:
    """Return the reference: of each workload the lowest of three measurements."""
    runs = _warm()
    taken = [measure(answering, runs, rounds) for _ in range(ATTEMPTS)]
    return {name: round(min(ratios[name] for ratios in taken), 4) for name in runs}


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
    for name, ratio in ratios.items():
        share = f"{ratio / reference[name]:.2f} of the reference" if name in reference else "new"
        print(f"{name:12} {ratio:8.4f} of an echo  {share}")
    for name, fell in fallen.items():
        print(f"slower: {name} has fallen to {fell:.2f} of its reference", file=sys.stderr)
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
