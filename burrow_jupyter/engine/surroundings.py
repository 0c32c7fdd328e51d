"""Where code runs, as far as it can tell: working directory, module path, environment.

Workers are born with those of the driver. A notebook that changes its own later
(`os.chdir`, `sys.path.append`, `os.environ[...] = ...`) expects its tasks to follow, and
that none of them leaves its own changes to the next cell's.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from burrow_jupyter.core.messages import Surroundings


_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def set_variables(given: Iterable[tuple[str, str]], environ: MutableMapping[str, str]) -> None:
    """Set environment variables; `$NAME` and `${NAME}` stand for what was there before.

    What is not set is nothing in braces, and stays as it is without, as in Ray.
    """

    def before(reference: re.Match[str]) -> str:
        if reference[1]:
            return environ.get(reference[1], "")
        return environ.get(reference[2], reference[0])

    for name, text in given:
        environ[name] = _REFERENCE.sub(before, text)


class Place(NamedTuple):
    """The surroundings of a process at one moment."""

    directory: str
    path: list[str]
    environ: dict[bytes, bytes]


NOWHERE = Place("", [], {})


def here() -> Place:
    """Return this process's."""
    try:
        directory = os.getcwd()  # a Path costs 10 us, and this is asked in each cell
    except OSError:  # it was removed under our feet
        directory = ""
    # As the process has them: decoding them all costs 100 us, in each cell and each worker.
    environ = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001  # no public way
    return Place(directory, list(sys.path), dict(environ))


def difference(before: Place, now: Place) -> tuple[dict[str, str], list[str]]:
    """Return the environment variables that were set, and those that were removed."""
    changed = {
        os.fsdecode(name): os.fsdecode(text)
        for name, text in now.environ.items()
        if before.environ.get(name) != text
    }
    return changed, [os.fsdecode(name) for name in before.environ if name not in now.environ]


class Follower:
    """A worker's side: goes where the notebook is, and back there when tasks have left it."""

    def __init__(self) -> None:
        """Remember what the worker was born with."""
        self._born = self._at = here()
        self._set: dict[str, str] = {}
        self._removed: list[str] = []

    def stay(self) -> None:
        """Take where the worker is now for where it is to go back to."""
        self._at = here()

    def go_back(self) -> None:
        """Undo what tasks have changed: they share the worker with those of later cells.

        What they have added to the path is behind what the notebook has, and stays.
        """
        at, now = self._at, here()
        if now == at:
            return
        if at.directory != now.directory:
            _enter(at.directory)
        if at.path != now.path:
            # What a package has added as it was imported it may need later, and is imported once.
            sys.path[:] = at.path + [added for added in now.path if added not in at.path]
        changed, removed = difference(now, at)
        os.environ.update(changed)
        for name in removed:
            del os.environ[name]
        self.stay()  # a directory that is gone is told of once

    def follow(self, to: Surroundings) -> None:
        """Be where the notebook is; what cannot be followed stays as it was, and is told."""
        self.go_back()
        _enter(to.directory)
        missing = [p for p in self._born.path if p not in to.path and p not in to.dropped]
        sys.path[:] = to.path + missing
        for name in (*self._set, *self._removed):
            born = self._born.environ.get(os.fsencode(name))
            if born is None:
                with contextlib.suppress(KeyError):
                    del os.environ[name]
            else:
                os.environ[name] = os.fsdecode(born)
        os.environ.update(to.changed)
        for name in to.removed:
            os.environ.pop(name, None)
        self._set, self._removed = dict(to.changed), list(to.removed)
        self.stay()


def _enter(directory: str) -> None:
    if directory:
        try:
            os.chdir(directory)
        except OSError as error:
            print(f"the worker could not follow the notebook: {error}", file=sys.stderr)  # noqa: T201
