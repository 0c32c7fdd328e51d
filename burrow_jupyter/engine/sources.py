"""Source lines of code that lies in no file: cells of a notebook, so that tracebacks can show them.

A worker has the functions of a cell, but not its text. That goes with each piece of code that
is pickled, and is registered where it is unpickled.
"""

from __future__ import annotations

import ast
import functools
import linecache
import os
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Source = tuple[str, str, str]
"""File name as in the code object, text, and how people know it ("Cell In[3]"; "" if nobody)."""

FUNCTIONS_MAX = 200
"""Most functions that are looked at for one."""
SOURCE_MAX_CHARS = 100_000
"""A cell longer than this is sent without its text."""


def _no_label(filename: str) -> str:
    return ""


label_of_file: Callable[[str], str] = _no_label
"""Says how people know a file that is none; set by the notebook layer."""


labels: dict[str, str] = {}
"""Of files that have come from elsewhere, with the code of a cell."""


def label_of(filename: str) -> str:
    """Return how people know a file that is none: "Cell In[3]"; "" for others."""
    return labels.get(filename) or label_of_file(filename)


def source_of(filename: str) -> Source | None:
    """Return the source of the code of a cell, `None` for code of other places."""
    text = _text_of(filename)
    return (filename, text, label_of(filename)) if text else None


@functools.lru_cache(512)  # the same object each time: a pickle has it once
def _text_of(filename: str) -> str:
    if os.path.exists(filename):  # 2 us less
        return ""
    text = "".join(linecache.getlines(filename))
    return text if len(text) <= SOURCE_MAX_CHARS else ""


def register(filename: str, source: str, label: str = "") -> None:
    """Make source lines known that are in no file here: those of a notebook's cell.

    Args:
        filename: as in the code objects, such as `/tmp/ipykernel_7/123.py`.
        source: the whole text.
        label: how people call it, such as `Cell In[3]`; shown instead of the file name.
    """
    lines = source.splitlines(keepends=True)
    # Without a time of change an entry is not compared with the disk, so it stays.
    linecache.cache[filename] = (len(source), None, lines, filename)
    _text_of.cache_clear()
    if label:
        labels[filename] = label


def arrived(source: Source) -> None:
    """Register a source that came with code, unless this process is where it is from."""
    filename, text, label = source
    if filename not in linecache.cache:
        register(filename, text, label)
    elif labels.get(filename, label) != label:
        labels[filename] = label  # the same cell, run again


def functions(target: Any) -> Iterator[types.FunctionType]:
    """Yield what is sent and the functions of the notebook that it uses, at most `FUNCTIONS_MAX`."""
    pending: list[Any] = [target]
    seen: set[int] = set()
    while pending and len(seen) < FUNCTIONS_MAX:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, type):
            if item.__module__ == "__main__" or item is target:
                pending.extend(vars(item).values())
                pending.extend(item.__bases__)
            continue
        inner = _inside(item)
        if inner is not item:
            pending.append(inner)
        elif isinstance(item, property):
            pending.extend(f for f in (item.fget, item.fset) if f is not None)
        elif isinstance(item, types.FunctionType):
            if item is not target and item.__module__ != "__main__":
                continue
            yield item
            names = dict.fromkeys(names_in(item.__code__))
            pending.extend(item.__globals__[n] for n in names if n in item.__globals__)
            pending.extend(cell.cell_contents for cell in item.__closure__ or () if _is_full(cell))
        elif type(item).__module__ == "__main__":
            pending.append(type(item))


def _inside(item: Any) -> Any:
    """Return the function or class that something stands for, such as a remote function; or itself."""
    try:
        inner = getattr(item, "__wrapped__", None) or getattr(item, "__func__", None)
    except Exception:  # noqa: BLE001  # a user's __getattr__ may do anything
        return item
    return inner or (item.func if isinstance(item, functools.partial) else item)


def names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a function, or a function in it, may look up as globals."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def definition_of(cls: type) -> str:
    """Return what a cell says of a class, in a form that is the same for the same definition.

    Comments, layout and place do not count. "" if it was not defined in a cell.
    """
    for function in vars(cls).values():
        code = getattr(function, "__code__", None)
        if code is None or not label_of_file(code.co_filename):
            continue
        try:
            tree = ast.parse("".join(linecache.getlines(code.co_filename)))
        except SyntaxError:  # a cell with magics
            return ""
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                node.decorator_list = []
                return ast.dump(node)
    return ""


def _is_full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
