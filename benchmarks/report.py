"""The table of a run, and its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.running import OURS
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.running import Results
    from benchmarks.workloads import Metric


def figure(value: float) -> str:
    """Write a number with three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.3g}" if value >= 1e-3 else "0"


def ratio(metric: Metric, ours: float, theirs: float) -> float:
    """Say how many times as good as theirs ours is."""
    return ours / theirs if metric.is_higher_better else theirs / ours


def judge(metric: Metric, ours: float | None, ratios: dict[str, float]) -> dict[str, Any]:
    """Compare with the goals: by ratios where there are some, else by the figure."""
    checks = {}
    if metric.times_ray is not None and "ray" in ratios:
        checks[f"{metric.times_ray:g}x Ray"] = ratios["ray"] >= metric.times_ray
    if metric.times_best is not None and ratios:
        checks[f"{metric.times_best:g}x best"] = min(ratios.values()) >= metric.times_best
    if metric.goal is not None and ours is not None:
        sign = ">=" if metric.is_higher_better else "<="
        is_met = ours >= metric.goal if metric.is_higher_better else ours <= metric.goal
        checks[f"{sign} {metric.goal:,g} {metric.unit}".strip()] = is_met
    return checks


def rows(
    results: Results, systems: Sequence[str], workloads: Sequence[str], *, of_best: bool = False
) -> list[dict[str, Any]]:
    """Return a row for each metric: values, ratios, limit and goals."""
    table = []
    for name in workloads:
        for metric in WORKLOADS[name].metrics:
            values = {
                system: results.value(system, name, metric, of_best=of_best) for system in systems
            }
            ours = values.get(OURS)
            ratios = {}
            if ours:
                for system, value in values.items():
                    if system != OURS and value:
                        ratios[system] = ratio(metric, ours, value)
            table.append(
                {
                    "workload": name,
                    "metric": metric.key,
                    "title": metric.title,
                    "unit": metric.unit,
                    "values": values,
                    "failures": {
                        system: results.failures[system][name]
                        for system in systems
                        if name in results.failures[system]
                    },
                    "ratios": ratios,
                    "best_ratio": min(ratios.values()) if ratios else None,
                    "limit": results.limit(metric.limit),
                    "goals": judge(metric, ours, ratios),
                }
            )
    return table


def markdown(table: Sequence[dict[str, Any]], systems: Sequence[str]) -> str:
    """Write the table: each peer's value with how many times as good Burrow is."""
    peers = [system for system in systems if system != OURS]
    head = ["workload", "unit", *systems, *(["x best"] if peers else []), "limit", "goals"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * (len(head) - 3) + "---|"]
    for row in table:
        cells = [row["title"], row["unit"]]
        for system in systems:
            value = row["values"][system]
            if value is None:
                cells.append(row["failures"].get(system, "-").replace("|", "/"))
            elif system in row["ratios"]:
                cells.append(f"{figure(value)} ({figure(row['ratios'][system])}x)")
            else:
                cells.append(figure(value))
        if peers:
            best = row["best_ratio"]
            cells.append("-" if best is None else f"{figure(best)}x")
        cells.append("-" if row["limit"] is None else figure(row["limit"]))
        goals = [f"{goal}: {'yes' if met else 'no'}" for goal, met in row["goals"].items()]
        cells.append("; ".join(goals) or "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
