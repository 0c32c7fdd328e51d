"""The user's own modules: which are loaded, and whether their files were edited since.

A module is loaded once, a file may be edited any time. A worker that lives on would go
on with the old text beside a new one with the new; so a worker whose modules were edited
is replaced, between two runs of cells. An actor has a state to keep: it says that it is
older, and reloads them when it is told to.
"""

from __future__ import annotations

import functools
import importlib
import os
import site
import sys
from types import ModuleType
from typing import Any

_OWN = ("burrow", "burrow_jupyter")


class LocalModules:
    """The modules of this process whose files lie where a user edits them."""

    def __init__(self) -> None:
        """Know what is loaded now."""
        own = {sys.modules[name].__path__[0] for name in _OWN if name in sys.modules}
        self._foreign = installed_in() + tuple(folder + os.sep for folder in own)
        self._count = 0
        self._seen: set[str] = set()
        self._loaded: dict[str, tuple[Any, str, int]] = {}
        self.looked = False
        """Whether somebody has asked for edits since a cell began."""
        self.changes = 0
        """How often a module was found to have been loaded anew."""
        self.note()

    def note(self) -> None:
        """Take down what was loaded since; costs nothing when nothing was."""
        if len(sys.modules) == self._count:
            return
        for name, module in list(sys.modules.items()):
            if name not in self._seen:
                self._seen.add(name)
                self._take(name, module)
        self._count = len(sys.modules)

    def _take(self, name: str, module: Any) -> None:
        file = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(file, str) or file.startswith(self._foreign):
            return
        self._loaded[name] = (getattr(module, "__spec__", None), file, _edited_at(file))

    def renew(self) -> None:
        """Take all modules for what their files are now: something reloads them by itself."""
        self.note()
        for name, (spec, file, at) in list(self._loaded.items()):
            now = _edited_at(file)
            if now != at:
                self._loaded[name] = (spec, file, now)
                self.changes += 1

    def loaded(self) -> dict[str, ModuleType]:
        """Return those that are loaded, by name."""
        self.note()
        found = {name: sys.modules.get(name) for name in self._loaded}
        return {name: module for name, module in found.items() if isinstance(module, ModuleType)}

    def edited(self) -> list[str]:
        """Return the names of loaded modules whose files were edited since.

        A module that was reloaded is as its file was then.
        """
        self.looked = True
        self.note()
        found = []
        for name, (spec, file, at) in list(self._loaded.items()):
            now = _edited_at(file)
            if now == at:
                continue
            module = sys.modules.get(name)
            if module is None or getattr(module, "__spec__", None) is not spec:
                self._loaded.pop(name, None)  # a reload gives a module a new spec
                self.changes += 1
                if module is not None:
                    self._take(name, module)
                continue
            if now:
                found.append(name)
        return found

    def reload(self) -> None:
        """Load anew what was edited, and what uses that, each after what it uses itself.

        Raises:
            RuntimeError: a module cannot be reloaded; the others may have been.
        """
        edited = self.edited()
        left = dict.fromkeys(edited)
        for name in edited:
            left.update(dict.fromkeys(self.users_of(name)))
        uses = {name: _used_by(sys.modules.get(name)) - {name} for name in left}
        while left:
            name = next((n for n in left if not uses[n] & left.keys()), next(iter(left)))
            del left[name]
            _, file, _ = self._loaded[name]
            try:
                if not file.endswith(".py"):
                    msg = "Python loads compiled ones once"
                    raise ImportError(msg)  # noqa: TRY301  # told as what reload() raises
                importlib.reload(sys.modules[name])
            except Exception as error:  # whatever the user's module raises
                self._loaded[name] = sys.modules[name].__spec__, file, -1  # it has a new spec
                msg = (
                    f"the module {name} cannot be reloaded here ({type(error).__name__}: {error}); "
                    "mend it and call upgrade() again, or make a new actor"
                )
                raise RuntimeError(msg) from error

    def users_of(self, name: str) -> list[str]:
        """Return the modules that use a module, those that use these, and so on; without itself."""
        used = {other: _used_by(sys.modules.get(other)) for other in self._loaded}
        found = [name]
        for at in found:
            found += [o for o in used if at in used[o] and o not in found]
        return found[1:]


def _used_by(module: Any) -> set[str]:
    """Return the names of the modules that a module has imported, or has something from."""
    found = set()
    for value in list(getattr(module, "__dict__", {}).values()):
        try:
            named = value.__name__ if isinstance(value, ModuleType) else value.__module__
        except Exception:  # noqa: BLE001, S112  # the user's objects do anything on being read
            continue
        if isinstance(named, str):
            found.add(named)
    return found


@functools.cache
def local_modules() -> LocalModules:
    """Return those of this process; a forked one goes on with its parent's."""
    return LocalModules()


@functools.cache
def installed_in() -> tuple[str, ...]:
    """Return the folders of what was installed and not written by the user."""
    folders = [os.path.dirname(os.__file__), *site.getsitepackages(), site.getusersitepackages()]
    return tuple(folder.rstrip(os.sep) + os.sep for folder in folders if folder)


def package_of(file: str) -> str:
    """Return which installed package, or module of Python's own, a file is of; "" for the user's."""
    if file.startswith("<frozen "):
        return file[len("<frozen ") : -1].partition(".")[0]
    if file.endswith((".pyx", ".pxi")) and not os.path.isabs(file):
        return file.partition("/")[0]  # as compiled packages name their sources
    inside = [file[len(folder) :] for folder in installed_in() if file.startswith(folder)]
    return min(inside, key=len).partition(os.sep)[0].removesuffix(".py") if inside else ""


def _edited_at(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
