"""`seed`: the same random numbers each time, however many workers there are."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from burrow_jupyter.engine import seeds


def seed(value: SupportsIndex | None) -> None:
    """Make random numbers in tasks depend on this seed and on what is called, nothing else.

    From now on the n-th task, actor or call that this program submits draws the same numbers
    in each run of the program, with one worker or eight, in whatever order they run; so do
    those that a task submits, and each item of `map`, an `Executor`, a `Pool` or joblib,
    however they are cut into batches. It seeds `random`, `numpy.random` and PyTorch, and the
    generators of NumPy (`default_rng()`) and of `random` that a function takes along, as a
    global or a default. Without a seed such a generator has a stream of its own in each
    worker, whatever its state is in the notebook. One that is an argument, that was put, or
    that a task makes, draws as it does anywhere. Calls that an actor runs
    at the same time draw from the same generators, so what each of them gets depends on the
    others.

    Args:
        value: any whole number, also one of NumPy's; `None`: every task draws as it likes again.

    Raises:
        TypeError: no whole number.
    """
    if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__")):
        msg = f"seed() takes a whole number or None, got {type(value).__name__}"
        raise TypeError(msg)
    seeds.start(None if value is None else operator.index(value))
