"""Seeds of random numbers that depend on what is called, not on where or when it runs.

A seeded driver gives its n-th call the n-th seed, a seeded call its n-th child one of its
own. So the same program draws the same numbers with one worker or eight, in any order. What
is one call to its user but several tasks, cut as time allows, takes one seed, and each of
its parts one of that.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from burrow_jupyter.engine import current, generators

if TYPE_CHECKING:
    from collections.abc import Callable


class _Root:
    """The driver's seed, and how many calls have had one of it."""

    seed: int | None = None
    count = 0


class _Given(threading.local):
    """The seed of what this thread submits, where that was taken before."""

    seed: int | None = None


_root = _Root()
_given = _Given()
_own: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()
"""Of code, the random generators that it brought along, in their order there."""
active = False
"""Whether calls of this process are given seeds at all: looked at for every call."""
begun = False
"""Whether the generators of this process are as a seeded call has left them."""


def start(seed: int | None) -> None:
    """Give the calls of this process seeds from now on; `None`: no more."""
    global active  # noqa: PLW0603  # the one switch
    _root.seed, _root.count = seed, 0
    active = seed is not None
    if begun and not active:  # calls have run inline
        end()


def for_next_call() -> int:
    """Return the seed of the call that is submitted now, 0 for none."""
    if _given.seed is not None:
        return _given.seed
    call = current.call()
    if call.task_id:
        if not call.seed:
            return 0
        call.seeded += 1
        return mix(call.seed, call.seeded)
    if _root.seed is None:
        return 0
    _root.count += 1
    return mix(_root.seed, _root.count)


def giving(seed: int, submit: Callable[..., Any], *args: Any) -> Any:
    """Submit a call that has its seed, or is to have none (0): it counts as no call."""
    if not active:
        return submit(*args)
    _given.seed = seed
    try:
        return submit(*args)
    finally:
        _given.seed = None


def begin(seed: int) -> None:
    """Seed the generators that Python programs use, for the call that begins."""
    global active, begun  # noqa: PLW0603  # a seeded call seeds its children
    active = begun = True
    call = current.call()
    if call is not current.NOTHING:
        call.seed, call.seeded = seed, 0
    import random  # noqa: PLC0415  # seeds are rare, and every process starts with this module

    random.seed(seed)
    if "numpy" in sys.modules or _has_numpy():
        import numpy as np  # noqa: PLC0415  # imported later it would draw its own entropy

        np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002  # the one that unseeded code draws from
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
    for own in list(_own.values()) if _own else ():
        _seed_own(own, seed)


def adopt(code: Any, own: list[Any]) -> None:
    """Look after the random generators that came with code, for as long as there is that code."""
    with contextlib.suppress(TypeError):  # code that cannot be referred to weakly
        _own[code] = own
    _seed_own(own, current.call().seed)


def _seed_own(own: list[Any], seed: int) -> None:
    for number, generator in enumerate(own, 1):
        if seed:
            generators.seed(generator, mix(seed, -number))  # other numbers are those of calls
        else:
            generators.set_apart(generator)


def part(seed: int, number: int) -> None:
    """Begin the part with this number of a call that was given this seed."""
    begin(mix(seed, number))


def end() -> None:
    """Have the generators draw as they like again: a call without a seed begins."""
    global begun  # noqa: PLW0603  # as above
    begun = False
    import random  # noqa: PLC0415  # as above

    random.seed()
    if "numpy" in sys.modules:
        import numpy as np  # noqa: PLC0415  # as above

        np.random.seed()  # noqa: NPY002  # as above
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()
    for own in list(_own.values()) if _own else ():
        _seed_own(own, 0)


@functools.cache
def _has_numpy() -> bool:
    import importlib.util  # noqa: PLC0415  # as above

    return importlib.util.find_spec("numpy") is not None


def mix(seed: int, number: int) -> int:
    """Return the seed of a call from that of what it is a part of."""
    from hashlib import blake2b  # noqa: PLC0415  # as above

    digest = blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 or 1
