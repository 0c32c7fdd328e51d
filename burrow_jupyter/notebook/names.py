"""The names of a cell: which it uses from outside, which it assigns, and on which ways.

Read from the compiled cell, not from its text: the compiler has sorted out what is a parameter, a
loop variable of a comprehension or an attribute, and functions of earlier cells are looked at in
the same way.
"""

from __future__ import annotations

import ast
import bisect
import copy
import dis
import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.inputtransformer2 import TransformerManager

if TYPE_CHECKING:
    import types

_TEXT_TAKERS = ("run_line_magic", "run_cell_magic", "system", "getoutput")
"""Methods of the shell into whose texts it inserts values."""
_INSERTED = re.compile(r"\{([^{}]+)\}|\$(\w+)")
_TAKE_CODE = {
    "time": True, "prun": True, "capture": True, "timeit": False, "memit": False,
    "pinfo": False, "pinfo2": False, "pdoc": False, "pdef": False, "psource": False,
}  # fmt: skip
"""Magics that run Python, or say what a name is, and whether what that assigns stays."""

_AT_ONCE = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
"""Code objects of their own, until Python 3.12, that run where they stand."""
_READ = frozenset({"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"})
_STORE = frozenset({"STORE_NAME", "STORE_GLOBAL"})
_DELETE = frozenset({"DELETE_NAME", "DELETE_GLOBAL"})
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)
_RETURNS = frozenset({"RETURN_VALUE", "RETURN_CONST"})
_NEVER_GO_ON = _RETURNS | {
    "JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "RAISE_VARARGS", "RERAISE",
}  # fmt: skip
_OF_PYTHON = frozenset({"__annotations__", "__annotate__", "__conditional_annotations__"})
"""Assigned by any cell with annotations."""
_TEXT = "<text>"
"""The name of the scope of code in a text whose assignments do not stay."""


class Names(NamedTuple):
    """What code does with names that are global to it."""

    used: frozenset[str]
    """Read, deleted or added to, where the code has perhaps not bound them itself."""
    later: frozenset[str]
    """Read in functions that it defines, whenever these are called."""
    assigned: dict[str, None]
    """Bound or deleted somewhere, in this order."""
    certain: frozenset[str]
    """Bound whenever the code comes to its end."""
    stars: bool
    """It imports `*`, so it assigns names that nobody knows yet."""


def of_cell(tree: ast.Module, filename: str = "<cell>") -> Names:
    """Return the names of a cell, also those in the texts of magics and `!`.

    Raises:
        SyntaxError: what only the compiler finds, such as a `return` outside of a function.
    """
    if any(_takes_text(node) for node in ast.walk(tree)):
        tree = ast.fix_missing_locations(_Texts().visit(copy.deepcopy(tree)))
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return _scan(compile(tree, filename, "exec", flags, dont_inherit=True))


def of_function(code: types.CodeType) -> frozenset[str]:
    """Return the globals that a function reads, or one that it makes."""
    return _scan(code, inner=True).used


@functools.lru_cache(maxsize=1000)
def _scan(code: types.CodeType, *, inner: bool = False) -> Names:
    """Return the names of code; `inner`: of a function or class, which has names of its own."""
    steps = list(dis.get_instructions(code))
    assigned: dict[str, None] = {}
    now: set[str] = set()
    later: set[str] = set()
    ends: list[frozenset[str]] = []
    stars = False
    for step, bound in zip(steps, _bound_before(code, steps), strict=True):
        if bound is None:  # never reached
            continue
        name, operation = step.argval, step.opname
        if operation in _READ or operation in _DELETE:
            now |= {name} - bound
        if operation in _STORE or operation in _DELETE:
            if not inner or operation.endswith("_GLOBAL"):
                assigned[name] = None
        elif inspect.iscode(name):
            within = _scan(name, inner=True)
            seen: frozenset[str] = frozenset() if inner else bound  # no method sees its class's
            now |= within.used - within.later - seen
            later |= within.later - seen
            assigned |= within.assigned
            stars |= within.stars
        elif operation == "IMPORT_STAR" or step.argrepr == "INTRINSIC_IMPORT_STAR":
            stars = True
        elif operation in _RETURNS:
            ends.append(bound)
    certain = frozenset.intersection(*ends) if ends else frozenset()
    if not inner:
        # What a function of the cell reads and the cell surely assigns, the function is taken to
        # read after that: else a cell of definitions would need those of its former run.
        later -= certain - now
    elif code.co_flags & inspect.CO_OPTIMIZED and code.co_name not in _AT_ONCE:
        now, later = set(), now | later
    kept = {name: None for name in assigned if name.isidentifier() and name not in _OF_PYTHON}
    return Names(frozenset(now | later), frozenset(later), kept, certain, stars)


def _bound_before(
    code: types.CodeType, steps: list[dis.Instruction]
) -> list[frozenset[str] | None]:
    """Return which names are bound before each step, whichever way led there."""
    offsets = [step.offset for step in steps]
    handlers: list[int | None] = [None] * len(steps)
    for entry in dis.Bytecode(code).exception_entries:  # type: ignore[attr-defined]  # typeshed has it not
        for at in range(*(bisect.bisect_left(offsets, o) for o in (entry.start, entry.end))):
            handlers[at] = bisect.bisect_left(offsets, entry.target)
    found: list[frozenset[str] | None] = [None] * len(steps)
    ways: list[tuple[int, frozenset[str]]] = [(0, frozenset())]
    while ways:
        at, bound = ways.pop()
        known = found[at]
        if known is not None:
            bound &= known
            if bound == known:
                continue
        found[at] = bound
        step, handler = steps[at], handlers[at]
        if handler is not None:
            ways.append((handler, bound))
        if step.opname in _STORE:
            bound |= {step.argval}
        elif step.opname in _DELETE:
            bound -= {step.argval}
        if step.opcode in _JUMPS:
            ways.append((bisect.bisect_left(offsets, step.argval), bound))
        if step.opname not in _NEVER_GO_ON:
            ways.append((at + 1, bound))
    return found


def _takes_text(node: ast.AST) -> bool:
    """Say whether this is what IPython makes of a magic or of `!`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _TEXT_TAKERS
        and any(isinstance(arg, ast.Constant) for arg in node.args)
    )


class _Texts(ast.NodeTransformer):
    """Puts the code that magics and `!` have in their texts before the statements that they are in."""

    def __init__(self) -> None:
        self._found: list[ast.stmt] = []

    def visit(self, node: ast.AST) -> Any:
        """Look at any node."""
        if _takes_text(node):
            self._look(node)
        if not isinstance(node, ast.stmt):
            return self.generic_visit(node)
        outer, self._found = self._found, []
        self.generic_visit(node)
        found, self._found = self._found, outer
        return [*found, node]

    def _look(self, call: Any) -> None:
        texts: list[Any] = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        for inserted in _INSERTED.findall(" ".join(map(str, texts[:2]))):  # not in a cell's body
            self._add("".join(inserted), stays=False)
        magic, code = texts[0], str(texts[-1])
        if not call.func.attr.startswith("run_") or magic not in _TAKE_CODE:
            return
        while code and not self._add(code, stays=_TAKE_CODE[magic]):  # options come first
            code = code.partition(" ")[2]
        if magic == "capture" and str(texts[1]).isidentifier():
            self._add(f"{texts[1]} = None", stays=True)

    def _add(self, code: str, *, stays: bool) -> bool:
        """Add code that stands in a text; say whether it is some."""
        try:
            tree = ast.parse(TransformerManager().transform_cell(code.lstrip()))
            if not stays:  # as a class has names of its own, and runs at once
                scope: Any = ast.ClassDef(_TEXT, [], [], tree.body or [ast.Pass()], [])
                scope.type_params = []  # from Python 3.12 on
                tree.body = [scope]
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(ast.fix_missing_locations(tree), _TEXT, "exec", flags, dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
        self._found += _Texts().visit(tree).body
        return True
