"""A background cell on its worker."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from burrow_jupyter.engine import sources
from burrow_jupyter.notebook.bundles import Bundle, Deleted, Unsent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from burrow_jupyter.notebook.bundles import Parcel


class Cell(NamedTuple):
    """What a worker must know of a cell, beside the values of names."""

    source: str
    """In Python, without magics."""
    filename: str
    label: str
    """How people call it: `Cell In[3]`."""
    flags: int
    """Of the compiler: what earlier cells have imported from `__future__`."""
    assigned: Sequence[str] = ()
    """The names whose values it gives."""
    stars: bool = False
    """It gives whatever else it has assigned, too."""
    wanted: Sequence[Sequence[str]] = ()
    """The names that it takes from each of the other cells, the oldest of these first."""


def run_cell(cell: Cell, given: Any, *others: Parcel) -> Bundle:
    """Run a cell's code; return what it has assigned.

    Args:
        cell: what to run.
        given: a `Parcel`, the values of the notebook.
        others: what the background cells have given of which it wants names.

    Raises:
        TypeError: another cell could not send a name that is wanted.
        BaseException: whatever the user's code raises.
    """
    sources.register(cell.filename, cell.source, cell.label)
    space = _space_of(cell, given, others)
    start = dict(space)
    try:
        value = _execute(cell, space)
    except SystemExit as error:  # ends the cell, as in a notebook, and not the worker
        print(f"SystemExit: {error}", file=sys.stderr)  # noqa: T201  # as above
        value = None
    if value is not None and not cell.source.rstrip().endswith(";"):
        _show(value)
    made = Bundle()
    for name in cell.assigned:
        if name in space:
            made[name] = space[name]
        elif name in start:
            made[name] = Deleted()
    if cell.stars:
        for name, found in space.items():
            if not name.startswith("_") and found is not start.get(name, start):
                made[name] = found
    return made


def _space_of(cell: Cell, given: Parcel, others: Sequence[Parcel]) -> dict[str, Any]:
    """Return the globals that a cell begins with."""
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    values, of_functions = given.open(space)
    names = {name: value for name, value in values.items() if not isinstance(value, Unsent)}
    for parcel, wanted in zip(others, cell.wanted, strict=True):
        values, more = parcel.open(space)
        of_functions |= more
        names |= {name: values[name] for name in wanted if name in values}
    for name, value in names.items():
        if isinstance(value, Unsent):
            raise TypeError(value.why)
        if not isinstance(value, Deleted):
            space[name] = value
    for name, value in of_functions.items():
        space.setdefault(name, value)
    if "get_ipython" in cell.source:  # as magics and `!` are written in Python
        space["get_ipython"] = functools.partial(_shell, space)
    return space


def _execute(cell: Cell, space: dict[str, Any]) -> Any:
    """Run the code, which may await at its top level; return what its last expression is."""
    tree = ast.parse(cell.source, cell.filename)
    parts: list[ast.Module | ast.Expression] = [tree]
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body.pop()
        assert isinstance(last, ast.Expr)
        parts.append(ast.Expression(last.value))
    flags = cell.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    codes = [
        compile(part, cell.filename, "exec" if part is tree else "eval", flags, dont_inherit=True)
        for part in parts
    ]
    if not any(code.co_flags & inspect.CO_COROUTINE for code in codes):
        return [eval(code, space) for code in codes][-1]  # noqa: S307  # the user's cell
    import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

    async def in_one_loop() -> Any:
        value = None
        for code in codes:
            value = eval(code, space)  # noqa: S307  # as above
            if code.co_flags & inspect.CO_COROUTINE:
                value = await value
        return value

    return asyncio.run(in_one_loop())


def _show(value: Any) -> None:
    """Show the last expression as a cell does."""
    if any(name.startswith(("_repr_", "_ipython_display_")) for name in dir(type(value))):
        from IPython.display import display  # noqa: PLC0415  # for those who use it

        display(value)
    else:
        print(repr(value))  # noqa: T201  # as a cell shows it


_shells: list[Any] = []


def _shell(space: dict[str, Any]) -> Any:
    """Return a shell that has the names of a cell, for its magics: 0.3 s, once in a worker."""
    from IPython.core.interactiveshell import InteractiveShell  # noqa: PLC0415  # for those who use it
    from traitlets.config import Config  # noqa: PLC0415  # as above

    if not _shells:
        main, hook = sys.modules["__main__"], sys.displayhook
        config = Config(HistoryManager={"enabled": False})
        _shells.append(InteractiveShell(config=config))
        sys.modules["__main__"], sys.displayhook = main, hook
    _shells[0].user_ns = space
    return _shells[0]
