"""The part of Ray's module of this name that notebooks use: progress bars in tasks."""

from burrow_jupyter.api import elsewhere as _elsewhere


def __getattr__(name: str) -> object:
    """Say of what is only in Ray what to do instead."""
    raise _elsewhere.no_attribute(__name__, name)
