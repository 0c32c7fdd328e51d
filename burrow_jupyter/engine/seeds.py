"""Seeds of random numbers that depend on what is called, not on where or when it runs.

A seeded driver gives its n-th call the n-th seed, a seeded call its n-th child one of its
own. So the same program draws the same numbers with one worker or eight, in any order.
"""

from __future__ import annotations

import sys

from burrow_jupyter.engine import current


class _Root:
    """The driver's seed, and how many calls have had one of it."""

    seed: int | None = None
    count = 0


_root = _Root()
active = False
"""Whether calls of this process are given seeds at all: looked at for every call."""


def start(seed: int | None) -> None:
    """Give the calls of this process seeds from now on; `None`: no more."""
    global active  # noqa: PLW0603  # the one switch
    _root.seed, _root.count = seed, 0
    active = seed is not None


def for_next_call() -> int:
    """Return the seed of the call that is submitted now, 0 for none."""
    call = current.call()
    if call.task_id:
        if not call.seed:
            return 0
        call.seeded += 1
        return _mix(call.seed, call.seeded)
    if _root.seed is None:
        return 0
    _root.count += 1
    return _mix(_root.seed, _root.count)


def begin(seed: int) -> None:
    """Seed the generators that Python programs use, for the call that begins."""
    global active  # noqa: PLW0603  # a seeded call seeds its children
    active = True
    call = current.call()
    if call is not current.NOTHING:
        call.seed = seed
    import importlib.util  # noqa: PLC0415  # seeds are rare, and every process starts with this module
    import random  # noqa: PLC0415  # as above

    random.seed(seed)
    if "numpy" in sys.modules or importlib.util.find_spec("numpy") is not None:
        import numpy as np  # noqa: PLC0415  # imported later it would draw its own entropy

        np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002  # the one that unseeded code draws from
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _mix(seed: int, number: int) -> int:
    from hashlib import blake2b  # noqa: PLC0415  # as above

    digest = blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 or 1
