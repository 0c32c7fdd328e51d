"""Random generators that code takes along from its notebook: each worker has its own stream.

Copies that go on from one state would draw the same numbers in every worker, and nobody would
see it. So a generator that is a global, a default or a part of those arrives with a state of
its own. One that is an argument or a result is a value like any other, and stays as it is, as
do those whose class or bit generator is not Python's or NumPy's own.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from burrow_jupyter.engine.collecting import Collector

if TYPE_CHECKING:
    from collections.abc import Callable


_arriving: Collector[Any] = Collector()
arriving = _arriving.collecting
"""Collects the generators that come with code that is loaded meanwhile."""


def kinds() -> tuple[type, ...]:
    """Return the classes that `reduce` is for, as far as they are loaded here."""
    found = []
    for module, names in (("random", ("Random",)), ("numpy.random", ("Generator", "RandomState"))):
        loaded = sys.modules.get(module)
        found += [getattr(loaded, name) for name in names if hasattr(loaded, name)]
    return tuple(found)


def reduce(generator: Any) -> tuple[Any, ...]:
    """Reduce a generator of such a class, for pickles of code."""
    reduced: tuple[Any, ...] = generator.__reduce__()
    return (_arrive, reduced) if _is_known(generator) else reduced


def _is_known(generator: Any) -> bool:
    """Say whether it can be seeded anew."""
    if hasattr(generator, "bit_generator"):
        return type(generator.bit_generator).__module__.startswith("numpy.random.")
    if hasattr(generator, "get_state"):
        name: str = generator.get_state(legacy=False)["bit_generator"]
        return name == "MT19937"
    return True


def _arrive(make: Callable[..., Any], args: tuple[Any, ...], state: Any = None) -> Any:
    generator = make(*args)
    if state is not None:
        generator.__setstate__(state)
    if _arriving.found is not None:
        if hasattr(generator, "bit_generator"):  # so that what it spawns is its own, too
            generator = type(generator)(type(generator.bit_generator)())
        _arriving.found.append(generator)
    return generator


def set_apart(generator: Any) -> None:
    """Have it draw as nothing else does."""
    seed(generator, int.from_bytes(os.urandom(8), "little"))


def seed(generator: Any, seed: int) -> None:
    """Have it draw what belongs to a seed of 64 bits."""
    if hasattr(generator, "bit_generator"):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    elif hasattr(generator, "get_state"):
        generator.seed([seed & 0xFFFFFFFF, seed >> 32])
    else:
        generator.seed(seed)
