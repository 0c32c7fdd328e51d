"""The systems that are compared: how each is found, and loaded only in the process that runs it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.systems.base import System

WORKERS = 2
"""Of every system: the reference machine has two cores."""

DISTRIBUTIONS = {
    "burrow": "burrow-jupyter",
    "ray": "ray",
    "dask": "distributed",
    "ipyparallel": "ipyparallel",
    "loky": "loky",
}
"""The systems in the table's order, and the distribution that brings each."""

_MODULES = {"dask": "distributed"}


def installed() -> list[str]:
    """Name the systems that can be imported here."""
    return [name for name in DISTRIBUTIONS if importlib.util.find_spec(_MODULES.get(name, name))]


def version(name: str) -> str:
    """Return the version of a system; Burrow may run from its sources."""
    try:
        return importlib.metadata.version(DISTRIBUTIONS[name])
    except importlib.metadata.PackageNotFoundError:
        return "sources"


def load(name: str) -> System:
    """Import a system's adapter, and with it the system."""
    module = importlib.import_module(f"benchmarks.systems.{name}")
    adapter: System = module.Adapter()
    return adapter
