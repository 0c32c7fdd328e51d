"""Amounts of CPU, GPU and other resources: exact fixed-point arithmetic, no float drift.

An amount is an integer number of ten-thousandths. A demand is a dict from resource
name to amount, without zeros; its *shape* is the sorted tuple of its items, the key
by which ready tasks queue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

UNIT = 10_000
"""Ten-thousandths: the finest quantity that may be asked for is 0.0001 (as in Ray)."""

CPU = "CPU"
GPU = "GPU"
MEMORY = "memory"
STORE = "object_store_memory"

Shape = tuple[tuple[str, int], ...]


def to_units(name: str, quantity: float) -> int:
    """Return `quantity` in ten-thousandths.

    Raises:
        ValueError: it is negative, not finite or finer than 0.0001.
    """
    if not math.isfinite(quantity):
        msg = f"{name} must be a finite number, not {quantity!r}"
        raise ValueError(msg)
    if quantity < 0:
        msg = f"{name} must not be negative, got {quantity!r}"
        raise ValueError(msg)
    units = round(quantity * UNIT)
    if abs(units - quantity * UNIT) > 1e-6 * max(1.0, units):
        msg = f"{name}={quantity!r} is finer than 0.0001, the smallest quantity"
        raise ValueError(msg)
    return units


def to_quantity(units: int) -> float:
    """Return an amount as the number that people write."""
    return units / UNIT


def shape_of(demand: Mapping[str, int]) -> Shape:
    """Return the key under which equal demands queue together."""
    return tuple(sorted(demand.items()))


def fits(demand: Shape, free: Mapping[str, int]) -> bool:
    """Say whether `free` has everything that is asked for."""
    return all(free.get(name, 0) >= units for name, units in demand)


def take(demand: Shape, free: dict[str, int]) -> None:
    """Subtract a demand; the caller has checked that it fits, or oversubscribes knowingly."""
    for name, units in demand:
        free[name] = free.get(name, 0) - units


def give(demand: Shape, free: dict[str, int]) -> None:
    """Add a demand back."""
    for name, units in demand:
        free[name] = free.get(name, 0) + units


def describe(demand: Mapping[str, int] | Shape) -> str:
    """Return `1 CPU, 2 GPU` for people."""
    items = demand if isinstance(demand, tuple) else shape_of(demand)
    return ", ".join(f"{to_quantity(units):g} {name}" for name, units in items) or "nothing"
