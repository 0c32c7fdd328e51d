"""`seed`: the same random numbers each time, however many workers there are."""

from __future__ import annotations

from burrow_jupyter.engine import seeds


def seed(value: int | None) -> None:
    """Make random numbers in tasks depend on this seed and on what is called, nothing else.

    From now on the n-th task, actor or call that this program submits draws the same numbers
    in each run of the program, with one worker or eight, in whatever order they run; so do
    those that a task submits. It seeds `random`, `numpy.random` and PyTorch, not generators
    of your own making: give those a seed that you draw.

    Args:
        value: any whole number; `None`: every task draws as it likes again.

    Raises:
        TypeError: no whole number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        msg = f"seed() takes a whole number or None, got {type(value).__name__}"
        raise TypeError(msg)
    seeds.start(value)
