"""Rounds of all systems and workloads, interleaved, and what came of each."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import processes
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.workloads import Metric

MACHINE = "machine"
OURS = "burrow"
LIMITS_BOUND_S = 60.0


@dataclass
class Results:
    """All samples of a run.

    Attributes:
        samples: by system, workload and metric.
        failures: by system and workload: what stands in the cell in place of a value.
        limits: samples of the machine's limits.
    """

    samples: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    limits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, system: str, workload: str, values: dict[str, float]) -> None:
        """File what one process has measured."""
        metrics = self.samples.setdefault(system, {}).setdefault(workload, {})
        for key, value in values.items():
            metrics.setdefault(key, []).append(value)

    def value(
        self, system: str, workload: str, metric: Metric, *, of_best: bool = False
    ) -> float | None:
        """Return the median, or the best round's value; `None` if there is no sample."""
        found = self.samples.get(system, {}).get(workload, {}).get(metric.key)
        if not found:
            return None
        if of_best:
            return max(found) if metric.is_higher_better else min(found)
        return median(found)

    def limit(self, key: str) -> float | None:
        """Return the median of a limit of the machine's."""
        found = self.limits.get(key)
        return median(found) if found else None


def in_script(system: str, workload: str) -> dict[str, Any]:
    """Measure in a fresh process that is a plain script."""
    bound_s = LIMITS_BOUND_S if system == MACHINE else WORKLOADS[workload].bound_s
    text = processes.run("benchmarks.child", system, workload, processes.born(), bound_s=bound_s)
    measured: dict[str, Any] = json.loads(text)
    return measured


def run_rounds(
    systems: Sequence[str],
    workloads: Sequence[str],
    rounds: int,
    launch: Callable[[str, str], dict[str, Any]] = in_script,
    *,
    with_limits: bool = True,
    after_round: Callable[[Results], None] | None = None,
) -> Results:
    """Measure everything `rounds` times; what fails once is not tried again.

    `after_round` is told what there is so far, so that a run that is cut short is not lost.
    The systems take turns within a workload, so that what else the machine does falls on all.
    """
    processes.adopt_orphans()
    results = Results()
    for number in range(rounds):
        if with_limits:
            _tell(f"round {number + 1} of {rounds}: the machine's limits")
            try:
                for key, value in in_script(MACHINE, "limits")["values"].items():
                    results.limits[key].append(value)
            except processes.Failed as failure:
                results.failures[MACHINE]["limits"] = str(failure)
        for workload in workloads:
            _tell(f"round {number + 1} of {rounds}: {workload}")
            for system in systems:
                peer_rounds = WORKLOADS[workload].peer_rounds if system != OURS else None
                if workload in results.failures[system] or number >= (peer_rounds or rounds):
                    continue
                try:
                    measured = launch(system, workload)
                except processes.Failed as failure:
                    results.failures[system][workload] = str(failure)
                    continue
                if "values" in measured:
                    results.add(system, workload, measured["values"])
                else:
                    results.failures[system][workload] = "-"
        if after_round is not None:
            after_round(results)
    return results


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
