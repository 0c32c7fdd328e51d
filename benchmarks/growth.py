"""How the cost of one thing grows with how many there are.

    python -m benchmarks.growth                     up to 100,000 tasks
    python -m benchmarks.growth --full              up to 1,000,000, and 10,000 memory rounds
    python -m benchmarks.growth --json out.json --svg docs/images/growth.svg

Each point is measured in fresh processes, in interleaved rounds; medians. The workers'
curve goes through the pure scheduler core, without processes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine, processes
from benchmarks.growing import KINDS
from benchmarks.plots import Panel, svg
from benchmarks.report import figure

SIZES = {
    "tasks": (1000, 10_000, 100_000),
    "actors": (1, 10, 100),
    "refs": (10, 1000, 100_000),
    "wide": (100, 1000, 10_000),
    "deep": (100, 1000, 10_000),
    "workers": (2, 8, 64, 256),
    "rounds": (500,),
}
FULL = {"tasks": (*SIZES["tasks"], 1_000_000), "rounds": (10_000,)}

TITLES = {
    "tasks": ("Submit N tasks, get all", "tasks", "us a task"),
    "actors": ("1,000 calls to N actors", "actors", "us a call"),
    "refs": ("1,000 tasks beside N live refs", "live refs", "us a task"),
    "wide": ("N tasks that wait for one", "tasks", "us a task"),
    "deep": ("A chain of N tasks", "tasks", "us a task"),
    "workers": ("The scheduler's decisions", "workers", "us a task"),
}

BOUND_S = 900.0


def _points(
    sizes: dict[str, tuple[int, ...]], rounds: int
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for number in range(rounds):
        for kind, points in sizes.items():
            for size in points:
                taken = found.setdefault(kind, {}).setdefault(size, [])
                if kind == "rounds" and number:
                    continue  # one long run says more of memory than several
                print(f"round {number + 1}: {kind} {size:,}", file=sys.stderr, flush=True)
                try:
                    text = processes.run("benchmarks.growing", kind, str(size), bound_s=BOUND_S)
                except processes.Failed as failure:
                    print(f"{kind} {size:,}: {failure}", file=sys.stderr, flush=True)
                    continue
                taken.append(json.loads(text))
    return found


def _medians(samples: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        key: median(sample[key] for sample in samples) if isinstance(value, (int, float)) else value
        for key, value in samples[0].items()
    }


def table(medians: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Write every point's figures."""
    lines = ["| what | N | us each | more |", "|---|--:|--:|---|"]
    for kind, points in medians.items():
        for size, values in points.items():
            more = ", ".join(
                f"{key} {figure(value)}"
                for key, value in values.items()
                if key != "us" and isinstance(value, (int, float))
            )
            lines.append(f"| {kind} | {size:,} | {figure(values['us'])} | {more} |")
    return "\n".join(lines)


def charts(medians: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Draw what has at least two points, and the memory over the rounds."""
    panels = []
    for kind, points in medians.items():
        if kind == "rounds":
            for size, values in points.items():
                title = f"{size:,} rounds of put, task, get of 10 MB"
                panels.append(Panel(title, "rounds", "MB, all", values["curve"], False))
        elif len(points) > 1:
            curve = [(float(size), float(values["us"])) for size, values in points.items()]
            panels.append(Panel(*TITLES[kind], curve))
    return svg(panels)


def main() -> None:
    """Measure, print, and keep JSON and plots where told."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    sizes = {**SIZES, **FULL} if arguments.full else SIZES
    processes.adopt_orphans()
    samples = _points({kind: sizes[kind] for kind in arguments.only}, arguments.rounds)
    medians = {
        kind: {size: _medians(taken) for size, taken in points.items() if taken}
        for kind, points in samples.items()
    }
    print(table(medians))
    if arguments.json:
        kept = {"machine": machine.facts(), "medians": medians, "samples": samples}
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if arguments.svg:
        arguments.svg.write_text(charts(medians), encoding="utf-8")


if __name__ == "__main__":
    main()
