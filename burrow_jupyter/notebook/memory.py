"""What keeps objects in memory: `%burrow mem`, `%burrow free`, and a lighter `Out`.

IPython remembers what a cell has returned. A future that was only looked at would keep its
object that way for ever, so what is shown as a future is not remembered.
"""

from __future__ import annotations

import gc
import re
import sys
import threading
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context, state
from burrow_jupyter.api.refs import ObjectRef, ObjectRefGenerator
from burrow_jupyter.core.ids import Ref, parse_short, short
from burrow_jupyter.engine import holdings, modules
from burrow_jupyter.engine.errors import is_own
from burrow_jupyter.engine.store.segments import Mapping
from burrow_jupyter.notebook import html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

ROWS = 20
NAMES = 5
"""That are told of one object."""
FREED = "get() of that raises ObjectFreedError from now on"
_NOT_NAMED = "something in the notebook that is not named"
_LAST = re.compile(r"_{1,3}|_[0-9]+")
"""The names under which IPython keeps what cells have returned, beside `Out`."""


class Memory:
    """The names of one shell, and the objects that they hold."""

    def __init__(self, shell: InteractiveShell, pending: Callable[[], dict[str, Any]]) -> None:
        """Look at nothing yet; `pending` says what the notebook will have by a name."""
        self._shell = shell
        self._pending = pending

    def hook(self) -> None:
        """Have futures forgotten that were only shown."""
        self._shell.events.register("post_run_cell", self._forget_shown)

    def unhook(self) -> None:
        """Have everything remembered again."""
        self._shell.events.unregister("post_run_cell", self._forget_shown)

    def _forget_shown(self, result: Any) -> None:
        value = getattr(result, "result", None)
        if _sole_refs(value):
            self._forget(lambda remembered: remembered is value)
            result.result = None

    def _forget(self, is_gone: Callable[[Any], bool]) -> None:
        """Have IPython forget these of the values that cells have returned."""
        space, hidden = self._shell.user_ns, self._shell.user_ns_hidden
        outputs = space.get("_oh", {})
        for number in [n for n, value in outputs.items() if is_gone(value)]:
            del outputs[number]
        for names in (space, hidden):
            for name in [n for n, value in names.items() if _LAST.fullmatch(n) and is_gone(value)]:
                if name.strip("_"):
                    del names[name]
                else:
                    names[name] = ""
        shown = self._shell.displayhook
        for name in ("_", "__", "___"):
            if is_gone(getattr(shown, name, None)):
                setattr(shown, name, "")

    def _holders(self, rows: list[dict[str, Any]]) -> dict[str, list[str]]:
        """Return what holds these, by the object's id or the segment: variables, parts of actors."""
        found: dict[str, list[str]] = {}

        def note(object_id: str, name: str) -> None:
            names = found.setdefault(object_id, [])
            if name not in names:
                names.append(name)

        for name, ref in self._named():
            note(short(ref.id), name)
        if any("segment" in row for row in rows):
            for name, mapping in holdings.find(self._roots(), Mapping):
                note(mapping.segment, name)
        backend = context.backend()
        for actor_id in dict.fromkeys(a for row in rows for a in row.get("held_by_actors", ())):
            for line in str(backend.ask("holdings", actor_id)).splitlines():
                object_id, _, path = line.partition("\t")
                note(object_id, f"actor {path}")
        return found

    def _variables(self) -> dict[str, Any]:
        """Return the user's variables, and not what IPython has put beside them."""
        hidden = self._shell.user_ns_hidden
        return {name: v for name, v in self._shell.user_ns.items() if name not in hidden}

    def _roots(self) -> dict[str, Any]:
        """Return all that the notebook has, by what one may call it."""
        space = self._shell.user_ns
        outputs = {f"Out[{number}]": value for number, value in space.get("_oh", {}).items()}
        known = {id(value) for value in outputs.values()}
        # What was removed from `Out` alone is still there by the other name.
        others = {n: v for n, v in space.items() if _LAST.fullmatch(n) and id(v) not in known}
        return {
            **modules.local_modules().loaded(),
            **others,
            **self._variables(),
            **outputs,
            **self._pending(),
            "the last error": getattr(sys, "last_value", None),
            **dict(_of_threads()),
            **_tasks(),
        }

    def _named(self) -> Iterator[tuple[str, Ref]]:
        """Yield the refs that the notebook holds by its names, with the way to each."""
        yield from _of_this_session(holdings.find(self._roots(), Ref))

    def table(self) -> str:
        """Return the largest objects with what holds them, as text."""
        if context.current_or_none() is None:
            return "No burrow runs, so nothing is kept."
        gc.collect()  # errors and frames hold each other, and by now hold objects for nobody
        objects, mapped = state.objects(), context.backend().ask("only mapped")
        total, more = (
            sum(int(row.get("size_bytes", 0)) for row in rows) for rows in (objects, mapped)
        )
        in_use = f"; {html.size(more)} in use by arrays of objects that are gone" if more else ""
        lines = [f"{html.several(len(objects), 'object')}, {html.size(total)}{in_use}"]
        rows = sorted([*objects, *mapped], key=lambda row: -int(row.get("size_bytes", 0)))
        holders = self._holders(rows[:ROWS])
        for row in rows[:ROWS]:
            held = (_holders_of_mapped if "segment" in row else _holders_of_object)(row, holders)
            # The name of a background cell is that of its run.
            made = " of ".join(dict.fromkeys(filter(None, (row.get("task"), row.get("run")))))
            lines.append(
                f"{row.get('id', 'array'):>8}  {html.size(int(row.get('size_bytes', 0))):>9}  "
                f"{made:<20}  {held}"
            )
        if len(rows) > ROWS:
            lines.append(f"... and {len(rows) - ROWS:,} smaller ones: burrow.objects()")
        lines.append(
            "%burrow free NAME lets go of what a variable holds, %burrow free ID of a value."
        )
        return "\n".join(lines)

    def free(self, names: list[str]) -> str:
        """Let go of what variables hold, wherever else the notebook holds the same."""
        if not names:
            return "Say what to free: %burrow free NAME. %burrow mem lists what is held."
        if context.current_or_none() is None:
            return "No burrow runs, so nothing is kept."
        return "\n".join(self._free(name) for name in names)

    def _free(self, name: str) -> str:
        space, variables = self._shell.user_ns, self._variables()
        named = variables.get(name, space.get(name) if _LAST.fullmatch(name) else None)
        wanted = set(_sole_refs(named))
        if not wanted:
            return self._give_up(name)

        def is_gone(value: Any) -> bool:
            """Say whether nothing is lost with it but what was asked for."""
            if value is named:
                return True
            refs = () if isinstance(value, ObjectRefGenerator) else _sole_refs(value)
            return bool(refs) and wanted.issuperset(refs)

        gone = [other for other, value in variables.items() if is_gone(value)]
        for other in gone:
            del space[other]
        self._forget(is_gone)
        others = [other for other in gone if other != name]
        also = f", and {_first(others)} with it" if others else ""
        left = {path: ref.id for path, ref in self._named() if ref in wanted}
        if not left:
            return f"{name} is gone{also}."
        context.backend().free(list(set(left.values())))
        return f"{name} is gone{also}. Kept: {_first(list(left))}; {FREED}."

    def _give_up(self, name: str) -> str:
        """Give up the values that lie within a variable, or that of this id; who holds them stays."""
        wanted = _without_quotes(name)
        row = next((row for row in state.objects() if row["id"] == wanted), None)
        if row is not None and row.get("captured_by"):
            users = " and ".join(row["captured_by"])
            return f"{name} is captured by {users}: it goes when no definition uses it any more."
        roots = {
            root: value
            for root, value in self._roots().items()
            if _is_within(wanted, root) or _is_within(root, wanted)
        }
        if row is not None:
            found = {parse_short(wanted)}
        elif roots:
            within = _of_this_session(holdings.find(roots, Ref))
            found = {ref.id for path, ref in within if _is_within(_without_quotes(path), wanted)}
        else:
            return f"There is no variable and no object {name}. %burrow mem lists what is held."
        if not found and next(holdings.find(roots, Mapping), None):
            return (
                f"{name}: no future was found in it, but an array. Once nothing has it, it is gone."
            )
        if not found:
            return f"{name}: no future was found in it. %burrow mem lists what is held."
        context.backend().free(list(found))
        return f"{name}: {html.several(len(found), 'value')} given up; {FREED}."


def _of_threads() -> Iterator[tuple[str, Any]]:
    """Yield what functions have in their variables that run in other threads than this one."""
    frames = sys._current_frames()  # noqa: SLF001  # no other way
    for thread in threading.enumerate():
        if thread.ident in frames and thread is not threading.current_thread():
            stack = [frame for frame, _ in traceback.walk_stack(frames[thread.ident])]
            # `threading` has the thread itself, and what we have is told as what it is.
            run = (f for f in stack if f.f_globals is not vars(threading) and not is_own(f))
            for name, value in holdings.local_names(run):
                yield f"{name} in {thread.name}", value


def _tasks() -> dict[str, Any]:
    """Return what runs beside the cells in their event loop."""
    asyncio = sys.modules.get("asyncio")
    try:
        tasks = asyncio.all_tasks() if asyncio is not None else ()
    except RuntimeError:  # no loop runs
        return {}
    current = asyncio.current_task() if asyncio is not None else None
    return {f"asyncio {task.get_name()}": task for task in tasks if task is not current}


def _holders_of_object(row: dict[str, Any], holders: dict[str, list[str]]) -> str:
    captured = row.get("captured_by")
    if captured:
        return f"captured by {_first(captured)}"
    names = holders.get(row["id"], [])
    here = any(not name.startswith("actor ") for name in names)
    named = here + len({n.partition(".")[0] for n in names if n.startswith("actor ")})
    held = _first(names)
    if int(row.get("refs", 0)) <= named and names:
        return f"held by {held}"
    others = "tasks or other objects" if names else "tasks, actors or other objects"
    if row.get("held_here") and not here:
        others = _NOT_NAMED
    return f"held by {held} and {others}" if held else f"held by {others}"


def _holders_of_mapped(row: dict[str, Any], holders: dict[str, list[str]]) -> str:
    names = holders.get(row["segment"], [_NOT_NAMED] if row["held_here"] else [])
    return f"held by {_first([*names, *dict.fromkeys(row['held_by'])])}"


def _first(names: list[str]) -> str:
    """Return the names for a sentence, not too many."""
    return ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")


def _is_within(path: str, whole: str) -> bool:
    """Say whether a way leads to this place, or on from it."""
    return path.startswith(whole) and path[len(whole) :][:1] in {"", *".[{( "}


def _of_this_session(found: Iterable[tuple[str, Ref]]) -> Iterator[tuple[str, Ref]]:
    """Yield those whose ids mean something: others may name another object."""
    running = context.current_or_none()
    yield from (one for one in found if running is not None and one[1].session == running.session)


def _without_quotes(path: str) -> str:
    """Return a path as a line of a magic has it when it was split."""
    return path.replace("'", "").replace('"', "")


def _sole_refs(value: Any) -> list[ObjectRef[Any]]:
    """Return the refs of what holds nothing but refs, `[]` for all else."""
    if isinstance(value, ObjectRef):
        return [value]
    if isinstance(value, ObjectRefGenerator):
        return [*value._items, value.completed()]  # noqa: SLF001  # taking them would end it
    if not isinstance(value, list | tuple | set | frozenset | deque | dict) or (
        getattr(value, "__dict__", None)  # of a class of the user's, with more in it
    ):
        return []
    found: list[ObjectRef[Any]] = []
    for part in list(value.values() if isinstance(value, dict) else value):
        if isinstance(part, ObjectRef):
            found.append(part)
        # As `wait` returns it; such parts have no parts of this kind themselves.
        elif isinstance(part, list) and all(isinstance(one, ObjectRef) for one in part):
            found += part
        else:
            return []
    return found
