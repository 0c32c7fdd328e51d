"""Burrow and its peers side by side.

    python -m benchmarks                                   everything that is installed here
    python -m benchmarks --only task_single,chain --rounds 5 --json out.json
    python -m benchmarks --in kernel                       the same from inside a real kernel

Each system runs each workload in fresh processes with two workers, in interleaved rounds;
the table gives medians, in brackets how many times as good as that peer Burrow is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import kernel, machine, report, systems
from benchmarks.running import Results, in_script, run_rounds
from benchmarks.workloads import WORKLOADS


def _names(text: str, known: list[str], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        msg = f"no such {what}: {', '.join(unknown)}. There are: {', '.join(known)}"
        raise argparse.ArgumentTypeError(msg)
    return names


def _workloads(text: str) -> list[str]:
    return _names(text, list(WORKLOADS), "workload")


def _systems(text: str) -> list[str]:
    names = _names(text, list(systems.DISTRIBUTIONS), "system")
    if missing := [name for name in names if name not in systems.installed()]:
        wanted = " ".join(systems.DISTRIBUTIONS[name] for name in missing)
        msg = f"not installed: {', '.join(missing)}. Do: pip install {wanted}"
        raise argparse.ArgumentTypeError(msg)
    return names


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        msg = "at least one round"
        raise argparse.ArgumentTypeError(msg)
    return rounds


def _kept(results: Results, names: list[str], workloads: list[str], place: str) -> dict[str, Any]:
    return {
        "machine": machine.facts(),
        "place": place,
        "versions": {
            name: systems.version(name) for name in names if name in systems.DISTRIBUTIONS
        },
        "rows": report.rows(results, names, workloads) if place == "script" else [],
        "samples": results.samples,
        "failures": results.failures,
        "limits": results.limits,
    }


def main() -> None:
    """Measure, print the table and keep everything as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=_workloads, default=list(WORKLOADS), metavar="NAME,...")
    parser.add_argument("--systems", type=_systems, default=None, metavar="NAME,...")
    parser.add_argument("--rounds", type=_rounds, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every sample")
    parser.add_argument(
        "--best", action="store_true", help="show the best rounds: for a machine that is busy"
    )
    parser.add_argument(
        "--in", dest="place", choices=("script", "kernel"), default="script", help="where to run"
    )
    arguments = parser.parse_args()
    is_kernel = arguments.place == "kernel"
    names = list(kernel.PLACES) if is_kernel else arguments.systems or systems.installed()
    workloads = [name for name in arguments.only if not (is_kernel and name in kernel.NOT_THERE)]

    def keep(results: Results) -> None:
        if arguments.json:
            kept = _kept(results, names, workloads, arguments.place)
            arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    results = run_rounds(
        names,
        workloads,
        arguments.rounds,
        kernel.launch if is_kernel else in_script,
        with_limits=not is_kernel,
        after_round=keep,
    )
    if is_kernel:
        print(kernel.table(results, workloads))
    else:
        rows = report.rows(results, names, workloads, of_best=arguments.best)
        print(report.markdown(rows, names))


if __name__ == "__main__":
    main()
