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
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import InputRejected, UsageError
from IPython.display import display

from burrow_jupyter.api.calls import get
from burrow_jupyter.api.remote import remote
from burrow_jupyter.engine.errors import register_source

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.api.refs import ObjectRef
    from burrow_jupyter.notebook.everywhere import Everywhere


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


def _run_cell(
    source: str,
    filename: str,
    label: str,
    given: dict[str, Any],
    assigned: list[str],
    *others: dict[str, Any],
) -> dict[str, Any]:
    """Run a cell's code, on a worker; return what it has assigned."""
    register_source(filename, source, label)
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    for other in others:
        space.update(other)
    space.update(given)
    tree = ast.parse(source, filename)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, filename, "exec"), space)  # noqa: S102  # the user's cell
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), filename, "eval"), space)  # noqa: S307  # as above
        if value is not None:
            print(repr(value))  # noqa: T201  # as a cell shows it
    return {name: space[name] for name in assigned if name in space}


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
        options = {key: value for key, value in given.items() if value}
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
            space.update(get(ref))
            return
        for name in names.assigned:
            self._pending[name] = ref
            space.pop(name, None)
        display(ref)

    # ---- waiting -----------------------------------------------------------------------

    def visit(self, tree: ast.AST) -> ast.AST:
        """Before a cell runs: wait for what it uses, forget what it assigns anew.

        Raises:
            InputRejected: a background cell has failed whose names this one uses.
        """
        self._is_cell = _is_background(tree)
        if not self._pending or self._is_cell:  # its magic reads the names, as late as it can
            return tree
        names = Names(tree)
        for name in list(self._pending):
            if name in names.used:
                self._bring(name)
            elif name in names.assigned:
                self._pending.pop(name, None)
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
            if other in values:
                self._shell.user_ns[other] = values[other]
