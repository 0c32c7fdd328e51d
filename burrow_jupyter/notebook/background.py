"""`%%burrow`: a cell that runs as a task, while the notebook goes on.

The cell gets the names that it uses as they are now, and gives those that it assigns. A
later cell that uses one of these waits for it, and only then; another background cell that
uses one takes it from task to task, and nobody waits. In a notebook exported as a script there
are no later cells that could wait: there the script does, where the cell was.

`%%burrow --all` is for what prepares the workers, and gives no names: see `everywhere`.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import functools
import inspect
import pickle
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from IPython.core.error import InputRejected, UsageError
from IPython.core.inputtransformer2 import TransformerManager
from IPython.display import display

from burrow_jupyter.api.calls import get
from burrow_jupyter.api.remote import remote
from burrow_jupyter.engine import by_value, sources, unpicklable

if TYPE_CHECKING:
    import types

    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.api.refs import ObjectRef
    from burrow_jupyter.notebook.everywhere import Everywhere


_TEXT_TAKERS = ("run_line_magic", "run_cell_magic", "system", "getoutput")
"""Methods of the shell into whose texts it inserts values."""
_INSERTED = re.compile(r"\{([^{}]+)\}|\$(\w+)")
_TAKE_CODE = {"time": True, "prun": True, "capture": True, "timeit": False, "memit": False}
"""Magics that run Python, and whether what that assigns stays."""


class Names(ast.NodeVisitor):
    """The names that code uses from outside, and those that it assigns."""

    def __init__(self, tree: ast.AST) -> None:
        """Look at a cell; what functions in it assign stays in them."""
        self.used: set[str] = set()
        self.assigned: dict[str, None] = {}
        self._inside = 0
        self.visit(tree)

    def visit_Name(self, node: ast.Name) -> None:  # the base class's naming
        """A name is read or written."""
        if isinstance(node.ctx, ast.Load):
            self.used.add(node.id)
        elif not self._inside:
            self.assigned[node.id] = None

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:  # as above
        """A module, or something of it, gets a name."""
        if not self._inside:
            for alias in node.names:
                self.assigned[(alias.asname or alias.name).split(".")[0]] = None

    visit_ImportFrom = visit_Import  # noqa: N815  # as above

    def visit_Call(self, node: ast.Call) -> None:  # as above
        """What IPython makes of magics and `!` has names in its texts, and perhaps code."""
        self.generic_visit(node)
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        if not (isinstance(node.func, ast.Attribute) and node.func.attr in _TEXT_TAKERS and texts):
            return
        self._inside += 1
        for inserted in _INSERTED.findall(" ".join(map(str, texts[:2]))):  # not in a cell's body
            self._visit_code("".join(inserted))
        self._inside -= 1
        magic, code = texts[0], str(texts[-1])
        if not node.func.attr.startswith("run_") or magic not in _TAKE_CODE:
            return
        if magic == "capture" and str(texts[1]).isidentifier():
            self.assigned[str(texts[1])] = None
        self._inside += not _TAKE_CODE[magic]
        while code and not self._visit_code(code):  # options come first
            code = code.partition(" ")[2]
        self._inside -= not _TAKE_CODE[magic]

    def _visit_code(self, code: str) -> bool:
        """Look at code that stands in a text; say whether it is some."""
        try:
            tree = ast.parse(TransformerManager().transform_cell(code.lstrip()))
        except (SyntaxError, ValueError):
            return False
        self.visit(tree)
        return True

    def _visit_scope(self, node: Any) -> None:
        if not self._inside:
            self.assigned[node.name] = None
        self._inside += 1
        self.generic_visit(node)
        self._inside -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _visit_scope  # noqa: N815  # as above

    def _visit_nameless(self, node: Any) -> None:
        self._inside += 1
        self.generic_visit(node)
        self._inside -= 1

    visit_Lambda = visit_ListComp = visit_SetComp = visit_DictComp = _visit_nameless  # noqa: N815  # as above
    visit_GeneratorExp = _visit_nameless  # noqa: N815  # as above


class Assigned(dict[str, Any]):
    """What a background cell has assigned. What of it cannot be sent takes nothing along."""

    def __repr__(self) -> str:
        return ", ".join(self)

    def __reduce__(self) -> Any:
        together: list[Any] = []
        try:
            return _assigned, (by_value.dumps(dict(self), together.append), together)
        except Exception:  # noqa: BLE001  # whatever the user's objects raise: each by itself then
            sent = []
            for name, value in self.items():
                apart: list[Any] = []
                try:
                    sent.append((by_value.dumps({name: value}, apart.append), apart))
                except Exception as error:  # noqa: BLE001  # as above
                    why = unpicklable.explain(error, value, name)
                    sent.append((by_value.dumps({name: Unsent(why)}), []))
            return _assigned, tuple(part for parts in sent for part in parts)


class Unsent(NamedTuple):
    """In place of a value that cannot be sent."""

    why: str


def _assigned(*parts: Any) -> Assigned:
    """Return what was assigned; `parts` are pickles, each with its buffers behind it."""
    found = Assigned()
    for data, buffers in zip(parts[::2], parts[1::2], strict=True):
        found.update(pickle.loads(data, buffers=buffers))  # noqa: S301  # only drivers and workers come here
    return found


def _run_cell(
    source: str,
    filename: str,
    label: str,
    given: dict[str, Any],
    assigned: list[str],
    *others: dict[str, Any],
) -> Assigned:
    """Run a cell's code, on a worker; return what it has assigned."""
    sources.register(filename, source, label)
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    for other in others:
        space.update(other)
    space.update(given)
    if "get_ipython" in source:  # as magics and `!` are written in Python
        space["get_ipython"] = functools.partial(_shell, space)
    tree = ast.parse(source, filename)
    unsent = {name: value for name, value in space.items() if isinstance(value, Unsent)}
    for name in Names(tree).used & unsent.keys():
        raise TypeError(unsent[name].why)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    _execute(compile(tree, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space)
    if isinstance(last, ast.Expr):
        code = compile(ast.Expression(last.value), filename, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        value = _execute(code, space)
        if value is not None and not source.rstrip().endswith(";"):
            _show(value)
    return Assigned((name, space[name]) for name in assigned if name in space)


def _execute(code: types.CodeType, space: dict[str, Any]) -> Any:
    """Run code of a cell, which may await at its top level; return what an expression is."""
    found = eval(code, space)  # noqa: S307  # the user's cell
    if not code.co_flags & inspect.CO_COROUTINE:
        return found
    import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

    return asyncio.run(found)


def _show(value: Any) -> None:
    """Show the last expression as a cell does."""
    if any(name.startswith(("_repr_", "_ipython_display_")) for name in dir(type(value))):
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


def _is_background(tree: ast.AST) -> bool:
    """Say whether a cell is itself a background cell."""
    match tree:
        case ast.Module(
            body=[
                ast.Expr(
                    ast.Call(ast.Attribute(attr="run_cell_magic"), [ast.Constant("burrow"), *_])
                )
            ]
        ):
            return True
    return False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        msg = f"%%burrow: {message}. Options: --name NAME, --cpus N, --gpus N, or --all alone"
        raise UsageError(msg)


class Background:
    """The background cells of one shell."""

    def __init__(self, shell: InteractiveShell, everywhere: Everywhere) -> None:
        """Args:
        shell: whose cells they are.
        everywhere: has every worker run a cell.
        """
        self._shell = shell
        self._everywhere = everywhere
        self._pending: dict[str, ObjectRef[dict[str, Any]]] = {}
        self._unsent: dict[str, Unsent] = {}
        self._is_cell = False
        """Whether what runs is a background cell, and not code that calls the magic."""
        parser = self._parser = _Parser(prog="%%burrow", add_help=False)
        parser.add_argument("--name", default="")
        parser.add_argument("--cpus", dest="num_cpus", type=float)
        parser.add_argument("--gpus", dest="num_gpus", type=float)
        parser.add_argument("--all", action="store_true")

    def hook(self) -> None:
        """Have cells wait for the names that they use."""
        self._shell.ast_transformers.append(self)  # type: ignore[arg-type]  # `visit` is all it calls

    def unhook(self) -> None:
        """Have cells wait no more."""
        self._shell.ast_transformers.remove(self)  # type: ignore[arg-type]  # see hook

    def pending(self) -> dict[str, Any]:
        """Return the results from which names are to come that no cell has used yet."""
        return {f"{name} of a background cell": ref for name, ref in self._pending.items()}

    def run(self, line: str, cell: str) -> None:
        """Run a cell as a task and show how it stands; called by code, wait for its end.

        With `--all`, wait until each worker that is free has run it.

        Raises:
            UsageError: a wrong option.
            RayTaskError: what a cell for all workers has raised in one.
            SyntaxError: of the cell.
            TypeError: the cell uses something that cannot be sent to a worker.
        """
        given = vars(self._parser.parse_args(shlex.split(line)))
        number = len(self._shell.user_ns.get("In", "x")) - 1
        everywhere = given.pop("all")
        options = {key: value for key, value in given.items() if value not in (None, "")}
        if everywhere and options:
            self._parser.error("--all takes no other option, each worker runs the cell once")
        label = f"In[{number}]" if number > 0 else "%%burrow"
        options.setdefault("name", label)
        source = self._shell.transform_cell(cell)
        filename = self._shell.compile.cache(source, number)
        names = Names(ast.parse(source, filename))
        if everywhere:
            for name in sorted(names.used & self._pending.keys()):
                self._bring(name)
        space, hidden = self._shell.user_ns, self._shell.user_ns_hidden
        used = {
            name: space[name]
            for name in sorted(names.used)
            if name in space and name not in self._pending and name not in hidden
        }
        if everywhere:
            function = functools.partial(_run_cell, source, filename, f"Cell {label}", used, [])
            print(self._everywhere.run(function, label, source))  # noqa: T201  # the cell's output
            return
        others = list({self._pending[n]: None for n in sorted(names.used) if n in self._pending})
        task = remote(**options)(_run_cell)
        ref: ObjectRef[dict[str, Any]] = task.remote(
            source, filename, f"Cell {label}", used, list(names.assigned), *others
        )
        if not self._is_cell:
            for name, value in get(ref).items():
                if isinstance(value, Unsent):
                    print(value.why, file=sys.stderr)  # noqa: T201  # a script goes on without it
                else:
                    space[name] = value
            return
        for name in names.assigned:
            self._pending[name] = ref
            space.pop(name, None)
        display(ref)

    # ---- waiting -----------------------------------------------------------------------

    def visit(self, tree: ast.AST) -> ast.AST:
        """Before a cell runs: wait for what it uses, forget what it assigns anew.

        Raises:
            InputRejected: a background cell has failed whose names this one uses, or could not
                send one of them.
        """
        self._is_cell = _is_background(tree)
        if self._is_cell or not (self._pending or self._unsent):
            return tree  # a background cell's magic reads the names, as late as it can
        names = Names(tree)
        for name in list(self._pending):
            if name in names.used:
                self._bring(name)
            elif name in names.assigned:
                self._pending.pop(name, None)
        for name in names.assigned.keys() | names.used:
            unsent = self._unsent.pop(name, None)
            if unsent is not None and name in names.used:
                raise InputRejected(unsent.why)
        return tree

    def _bring(self, name: str) -> None:
        ref = self._pending.get(name)
        if ref is None:
            return
        mine = [other for other, theirs in self._pending.items() if theirs == ref]
        try:
            values = get(ref)
        except KeyboardInterrupt:
            msg = f"stopped waiting for {name}, which a background cell makes"
            raise InputRejected(msg) from None
        except BaseException as error:  # noqa: BLE001  # of the user's cell
            for other in mine:
                del self._pending[other]
            msg = f"the background cell that was to make {name} has failed: {error}"
            raise InputRejected(msg) from None
        for other in mine:
            del self._pending[other]
            value = values.get(other)
            if isinstance(value, Unsent):
                self._unsent[other] = value
            elif other in values:
                self._shell.user_ns[other] = value
