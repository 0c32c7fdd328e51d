"""`%%burrow`: a cell that runs as a task, while the notebook goes on.

The cell gets the names that it uses as they are now, and gives those that it assigns. A
later cell that uses one of these, or a function that does, waits for it, and only then; another
background cell that uses one takes it from task to task, and nobody waits. What the notebook had
under such a name is kept aside until it is known whether the cell has assigned it. In a notebook
exported as a script there are no later cells that could wait: there the script does, where the
cell was.

`%%burrow --all` is for what prepares the workers, and gives no names: see `everywhere`.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import builtins
import functools
import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from IPython.core.error import InputRejected, UsageError
from IPython.display import display

from burrow_jupyter.api import context
from burrow_jupyter.api.calls import get, wait
from burrow_jupyter.api.remote import remote
from burrow_jupyter.engine import sources
from burrow_jupyter.notebook import names as names_of
from burrow_jupyter.notebook.bundles import Bundle, Deleted, Unsent
from burrow_jupyter.notebook.cell_task import Cell, run_cell
from burrow_jupyter.notebook.runs import cells_so_far

if TYPE_CHECKING:
    from collections.abc import Iterable

    from IPython.core.interactiveshell import InteractiveShell

    from burrow_jupyter.api.refs import ObjectRef
    from burrow_jupyter.notebook.bundles import Parcel
    from burrow_jupyter.notebook.everywhere import Everywhere

_RESULTS = re.compile(r"_{1,3}|_\d+|_i{1,3}|_i\d+|In|Out|_[dio]h")
"""Names under which IPython keeps what cells were and have shown. Cells use them; none waits for
a `_` that a loop has assigned."""
_FUTURES = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)
_NOTHING: Any = object()
"""In place of a value that is not there."""


class _Pending(NamedTuple):
    """A name that a background cell is to assign."""

    ref: ObjectRef[Parcel]
    number: int
    """How many background cells were before this one."""
    before: Any
    """What else the name is, should the cell not assign it: a value, `_NOTHING`, or pending."""
    certain: bool
    """The cell assigns it, unless it fails."""
    later: frozenset[str]
    """The globals that functions of that cell read."""


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
        msg = (
            f"%%burrow: {message}. Options: --name NAME, --cpus N, --gpus N, "
            "--resources NAME=N,..., or --all alone"
        )
        raise UsageError(msg)


def _resources(text: str) -> dict[str, float]:
    """Read `disk=1,net=2`, or the same in JSON.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    try:
        if text.lstrip().startswith("{"):
            return {name: float(number) for name, number in json.loads(text).items()}
        pairs = (pair.split("=") for pair in text.split(","))
        return {name.strip(): float(number) for name, number in pairs}
    except (TypeError, ValueError):
        msg = f"{text!r} is not of the form disk=1,net=2"
        raise argparse.ArgumentTypeError(msg) from None


class Background:
    """The background cells of one shell."""

    def __init__(self, shell: InteractiveShell, everywhere: Everywhere) -> None:
        """Args:
        shell: whose cells they are.
        everywhere: has every worker run a cell.
        """
        self._shell = shell
        self._everywhere = everywhere
        self._pending: dict[str, _Pending] = {}
        self._unsent: dict[str, Unsent] = {}
        self._stars: dict[ObjectRef[Parcel], dict[str, None]] = {}
        """The cells that assign more names than is known, and those that are."""
        self._count = 0
        self._is_cell = False
        """Whether what runs is a background cell, and not code that calls the magic."""
        parser = self._parser = _Parser(prog="%%burrow", add_help=False)
        parser.add_argument("--name", default="")
        parser.add_argument("--cpus", dest="num_cpus", type=float)
        parser.add_argument("--gpus", dest="num_gpus", type=float)
        parser.add_argument("--resources", type=_resources)
        parser.add_argument("--all", action="store_true")

    def hook(self) -> None:
        """Have cells wait for the names that they use."""
        self._shell.ast_transformers.append(self)  # type: ignore[arg-type]  # `visit` is all it calls

    def unhook(self) -> None:
        """Have cells wait no more."""
        self._shell.ast_transformers.remove(self)  # type: ignore[arg-type]  # see hook

    def pending(self) -> dict[str, Any]:
        """Return the results from which names are to come that no cell has used yet."""
        return {f"{name} of a background cell": at.ref for name, at in self._pending.items()}

    def run(self, line: str, cell: str) -> None:
        """Run a cell as a task and show how it stands; called by code, wait for its end.

        With `--all`, wait until each worker that is free has run it.

        Raises:
            UsageError: a wrong option, or the burrow has ended that was to make what it uses.
            RayTaskError: what a cell for all workers has raised in one.
            SyntaxError: of the cell.
            TypeError: the cell uses something that cannot be sent to a worker.
        """
        given = vars(self._parser.parse_args(shlex.split(line)))
        number = cells_so_far(self._shell)
        everywhere = given.pop("all")
        options = {key: value for key, value in given.items() if value not in (None, "")}
        if everywhere and options:
            self._parser.error("--all takes no other option, each worker runs the cell once")
        label = f"In[{number}]" if number > 0 else "%%burrow"
        options.setdefault("name", label)
        source = self._shell.transform_cell(cell)
        filename = self._shell.compile.cache(source, number)
        names = names_of.of_cell(ast.parse(source, filename), filename)
        task = Cell(
            source, filename, f"Cell {label}", getattr(self._shell.compile, "flags", 0) & _FUTURES
        )
        if everywhere:
            self._wait_for(names.used)
            function = functools.partial(run_cell, task, self._given(names, names.used))
            print(self._everywhere.run(function, label, source))  # noqa: T201  # the cell's output
            return
        self._settle()
        self._forget_failed(names.used & names.assigned.keys())
        reached = self._reached(names.used)
        self._forget_ended(reached)
        reason = self._unsent_of(reached)
        if reason:
            raise TypeError(reason)
        takes = self._takes(reached)
        task = task._replace(
            assigned=list(names.assigned), stars=names.stars, wanted=list(takes.values())
        )
        # A cell is not repeated when its worker dies in it: it may have done things by then.
        submit: Any = remote(max_retries=0, **options)(run_cell).remote
        ref: ObjectRef[Parcel] = submit(task, self._given(names, reached), *takes)
        if self._is_cell:
            self._expect(ref, names)
            display(ref)
        else:
            for unsent in self._take(get(ref), None).values():
                print(unsent.why, file=sys.stderr)  # noqa: T201  # a script goes on without it

    # ---- what a background cell gets -----------------------------------------------------

    def _reached(self, used: Iterable[str], *, through: bool = True) -> set[str]:
        """Return these names, and those that the functions read that they stand for.

        Args:
            used: the names.
            through: look also at functions that background cells are to make.
        """
        space = self._shell.user_ns
        found: set[str] = set()
        names = list(used)
        while names:
            name = names.pop()
            if name in found:
                continue
            found.add(name)
            if name in self._pending:
                names += self._pending[name].later if through else ()
            elif name in space:
                for function in sources.functions(space[name]):
                    if function.__globals__ is space:
                        names += names_of.of_function(function.__code__)
        return found

    def _takes(self, names: set[str]) -> dict[ObjectRef[Parcel], list[str]]:
        """Return what is wanted of which background cells, the oldest of these first."""
        numbers: dict[ObjectRef[Parcel], int] = {}
        takes: dict[ObjectRef[Parcel], list[str]] = {}
        for name in sorted(names):
            at: Any = self._pending.get(name)
            while isinstance(at, _Pending):
                numbers[at.ref] = at.number
                takes.setdefault(at.ref, []).append(name)
                at = None if at.certain else at.before
        ordered = {ref: takes[ref] for ref in sorted(takes, key=numbers.__getitem__)}
        unknown = sorted(self._unknown(names)) if self._stars else []
        return ordered | {ref: takes.get(ref, []) + unknown for ref in self._stars if unknown}

    def _unknown(self, names: set[str]) -> set[str]:
        """Return the names that only an `import *` could have given."""
        known = {*self._pending, *self._shell.user_ns, *vars(builtins)}
        return names - known

    def _given(self, names: names_of.Names, reached: Iterable[str]) -> Bundle:
        """Return the values that the notebook has of these names."""
        space, hidden = self._shell.user_ns, self._shell.user_ns_hidden
        given = Bundle()
        for name in sorted(reached):
            at: Any = self._pending.get(name, space.get(name, _NOTHING))
            while isinstance(at, _Pending):
                at = _NOTHING if at.certain else at.before
            if at is not _NOTHING and (name not in hidden or _RESULTS.fullmatch(name)):
                given[name] = at
        given.needed = names.used & space.keys() - self._pending.keys()
        return given

    def _forget_failed(self, names: Iterable[str]) -> None:
        """Forget cells that have failed, of a cell that assigns such names anew, perhaps the same."""
        for name in names:
            if name not in self._pending:
                continue
            ref = self._pending[name].ref
            if wait([ref], timeout=0)[0]:
                try:
                    get(ref)
                except Exception:  # noqa: BLE001  # it was told under its cell
                    self._restore(ref)

    def _forget_ended(self, used: set[str]) -> None:
        """Forget what was to be made by a burrow that has ended since."""
        session = context.backend().session

        def of_this(at: Any) -> Any:
            if not isinstance(at, _Pending):
                return at
            before = of_this(at.before)
            return at._replace(before=before) if at.ref.session == session else before

        self._stars = {ref: names for ref, names in self._stars.items() if ref.session == session}
        ended = [name for name, at in self._pending.items() if at.ref.session != session]
        for name in list(self._pending):
            self._put(name, of_this(self._pending.pop(name)))
        for name in sorted(used.intersection(ended)):
            msg = f"the burrow has ended that was to make {name}: run the cell that makes it again"
            raise UsageError(msg)

    # ---- what it gives -------------------------------------------------------------------

    def _expect(self, ref: ObjectRef[Parcel], names: names_of.Names) -> None:
        """Have cells wait for what a background cell assigns."""
        self._count += 1
        if names.stars:
            self._stars[ref] = names.assigned
        for name in names.assigned:
            if _RESULTS.fullmatch(name):
                continue
            before = self._pending.get(name) or self._shell.user_ns.pop(name, _NOTHING)
            if isinstance(before, _Pending) and isinstance(before.before, _Pending):
                # Two results of a name are kept at most, however often its cell runs.
                before = before._replace(before=before.before.before)
            certain = name in names.certain
            self._pending[name] = _Pending(ref, self._count, before, certain, names.later)
            self._unsent.pop(name, None)

    def visit(self, tree: ast.Module) -> ast.Module:
        """Before a cell runs: wait for what it uses.

        Raises:
            InputRejected: a background cell has failed whose names this one uses, or could not
                send one of them.
        """
        self._is_cell = _is_background(tree)
        self._settle()
        if self._is_cell or not (self._pending or self._unsent or self._stars):
            return tree  # a background cell's magic reads the names, as late as it can
        try:
            names = names_of.of_cell(tree)
        except (SyntaxError, ValueError, RecursionError):
            return tree  # told when it is compiled
        unsent = self._unsent_of(self._wait_for(names.used))
        if unsent:
            raise InputRejected(unsent)
        return tree

    def _unsent_of(self, names: set[str]) -> str:
        """Return why one of these names could not be sent, once; "" if all could."""
        for name in sorted(names & self._unsent.keys()):
            return self._unsent.pop(name).why
        return ""

    def _settle(self) -> None:
        """Wait no more for names that something has assigned since."""
        for waited in (self._pending, self._unsent):
            for name in waited.keys() & self._shell.user_ns.keys():
                del waited[name]

    def _wait_for(self, used: Iterable[str]) -> set[str]:
        """Wait for these names and for what the functions read that they stand for; return all."""
        while True:
            reached = self._reached(used, through=False)
            refs = [self._pending[name].ref for name in sorted(reached & self._pending.keys())]
            if not refs and self._stars and self._unknown(reached):
                refs = list(self._stars)
            if not refs:
                return reached
            self._bring(refs[0], reached)

    def _bring(self, ref: ObjectRef[Parcel], used: set[str]) -> None:
        """Wait for a background cell and take what it has assigned."""
        mine = self._names_from(ref)
        wanted = ", ".join(sorted(used & set(mine))) or "names"
        try:
            parcel = get(ref)
            known = self._stars.get(ref)
            if known is not None:
                space = self._shell.user_ns
                mine += set(parcel.names) - known.keys() - self._pending.keys() - space.keys()
            self._restore(ref)
            self._unsent |= self._take(parcel, mine)
        except KeyboardInterrupt:
            msg = f"stopped waiting for {wanted}, which a background cell makes"
            raise InputRejected(msg) from None
        except BaseException as error:  # noqa: BLE001  # of the user's cell
            self._restore(ref)
            msg = f"the background cell that was to make {wanted} has failed: {error}"
            raise InputRejected(msg) from None

    def _names_from(self, ref: ObjectRef[Parcel]) -> list[str]:
        return [name for name, pending in self._pending.items() if pending.ref == ref]

    def _take(self, parcel: Parcel, names: Iterable[str] | None) -> dict[str, Unsent]:
        """Put what a background cell has given in the place of what was pending.

        Args:
            parcel: what it has given.
            names: those that are to be taken; `None`: all.

        Returns:
            What it could not send.
        """
        space = self._shell.user_ns
        values, of_functions = parcel.open(space)
        if names is not None:
            values = {name: values[name] for name in names if name in values}
        for name, value in values.items():
            self._pending.pop(name, None)
            if isinstance(value, (Deleted, Unsent)):
                space.pop(name, None)
            else:
                space[name] = value
        for name, value in of_functions.items():
            if name not in self._pending and name not in values:
                space.setdefault(name, value)
        return {name: value for name, value in values.items() if isinstance(value, Unsent)}

    def _restore(self, ref: ObjectRef[Parcel]) -> None:
        """Wait no more for a background cell; its names are what they were before."""
        for name in self._names_from(ref):
            self._put(name, self._pending.pop(name).before)
        self._stars.pop(ref, None)

    def _put(self, name: str, what: Any) -> None:
        """Have a name be a value, nothing, or pending."""
        if isinstance(what, _Pending):
            self._pending[name] = what
        elif what is not _NOTHING:
            self._shell.user_ns[name] = what
