"""What keeps objects in memory: `%burrow mem`, `%burrow free`, and a lighter `Out`.

IPython remembers what a cell has returned. A future that was only looked at would keep its
object that way for ever, so what is shown as a future is not remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context, state
from burrow_jupyter.api.refs import ObjectRef
from burrow_jupyter.core.ids import Ref, parse_short, short
from burrow_jupyter.engine import holdings
from burrow_jupyter.notebook import html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell

ROWS = 20
NAMES = 5
"""That are told of one object."""
LAST = ("_", "__", "___")


class Memory:
    """The names of one shell, and the objects that they hold."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Look at nothing yet."""
        self._shell = shell

    def hook(self) -> None:
        """Have futures forgotten that were only shown."""
        self._shell.events.register("post_run_cell", self._forget_shown)

    def unhook(self) -> None:
        """Have everything remembered again."""
        self._shell.events.unregister("post_run_cell", self._forget_shown)

    def _forget_shown(self, result: Any) -> None:
        value = getattr(result, "result", None)
        if not any(True for _ in _refs_in(value)):
            return
        space = self._shell.user_ns
        number = result.execution_count
        space.get("_oh", {}).pop(number, None)
        for names in (space, self._shell.user_ns_hidden):
            names.pop(f"_{number}", None)
            for name in LAST:
                if names.get(name) is value:
                    names[name] = ""
        for name in LAST:
            if getattr(self._shell.displayhook, name, None) is value:
                setattr(self._shell.displayhook, name, "")
        result.result = None

    def _holders(self, rows: list[dict[str, Any]]) -> dict[str, list[str]]:
        """Return what holds each of these objects, by the object's id: variables, parts of actors."""
        found: dict[str, list[str]] = {}

        def note(object_id: str, name: str) -> None:
            names = found.setdefault(object_id, [])
            if name not in names:
                names.append(name)

        for name, ref in self._named():
            note(short(ref.id), name)
        backend = context.backend()
        for actor_id in dict.fromkeys(a for row in rows for a in row.get("held_by_actors", ())):
            for line in str(backend.ask("holdings", actor_id)).splitlines():
                object_id, _, path = line.partition("\t")
                note(object_id, f"actor {path}")
        return found

    def _named(self) -> Iterator[tuple[str, Ref]]:
        """Yield the refs that the notebook's variables hold, with the way to each."""
        hidden = self._shell.user_ns_hidden
        roots = {n: v for n, v in self._shell.user_ns.items() if n not in hidden}
        shown = {f"Out[{n}]": v for n, v in self._shell.user_ns.get("_oh", {}).items()}
        yield from holdings.find({**roots, **shown})

    def table(self) -> str:
        """Return the largest objects with what holds them, as text."""
        if context.current_or_none() is None:
            return "No burrow runs, so nothing is kept."
        rows = sorted(state.objects(), key=lambda row: -int(row.get("size_bytes", 0)))
        total = sum(int(row.get("size_bytes", 0)) for row in rows)
        lines = [f"{html.several(len(rows), 'object')}, {html.size(total)}"]
        holders = self._holders(rows[:ROWS])
        for row in rows[:ROWS]:
            names = holders.get(row["id"], [])
            captured = row.get("captured_by", [])
            here = any(not name.startswith("actor ") for name in names)
            named = here + len({n.partition(".")[0] for n in names if n.startswith("actor ")})
            held = ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")
            if int(row.get("refs", 0)) > named or not names:
                others = "tasks or other objects" if names else "tasks, actors or other objects"
                if row.get("held_here") and not here:
                    others = "what the notebook shows or waits for"
                held = f"{held} and {others}" if held else others
            held = f"captured by {', '.join(captured[:NAMES])}" if captured else f"held by {held}"
            # The name of a background cell is that of its run.
            made = " of ".join(dict.fromkeys(filter(None, (row.get("task"), row.get("run")))))
            lines.append(
                f"{row['id']:>8}  {html.size(int(row.get('size_bytes', 0))):>9}  {made:<20}  {held}"
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
        space = self._shell.user_ns
        said = []
        for name in names:
            wanted = {ref.id for ref in _refs_in(space.get(name))}
            if not wanted:
                said.append(self._give_up(name))
                continue
            gone = [n for n, v in space.items() if {ref.id for ref in _refs_in(v)} & wanted]
            for other in gone:
                if other not in ("_oh", "Out"):
                    del space[other]
            remembered = space.get("_oh", {})
            for number in [
                n for n, v in remembered.items() if {r.id for r in _refs_in(v)} & wanted
            ]:
                del remembered[number]
            others = [other for other in gone if other != name and not other.startswith("_")]
            also = f", and {', '.join(others)} with it" if others else ""
            said.append(f"{name} is gone{also}.")
        return "\n".join(said)

    def _give_up(self, name: str) -> str:
        """Give up the values that lie within a variable, or that of this id; who holds them stays."""
        wanted = _without_quotes(name)
        row = next((row for row in state.objects() if row["id"] == wanted), None)
        if row is not None and row.get("captured_by"):
            users = " and ".join(row["captured_by"])
            return f"{name} is captured by {users}: it goes when no definition uses it any more."
        if row is not None:
            found = {parse_short(wanted)}
        else:
            found = {
                ref.id
                for path, ref in self._named()
                if (left := _without_quotes(path).removeprefix(wanted)) != path
                if not left or left[0] in ".[{ "
            }
        if not found:
            return f"{name} is no future, and holds none."
        context.backend().free(list(found))
        gone = html.several(len(found), "value")
        return f"{name}: {gone} given up; get() raises ObjectFreedError from now on."


def _without_quotes(path: str) -> str:
    """Return a path as a line of a magic has it when it was split."""
    return path.replace("'", "").replace('"', "")


def _refs_in(value: Any) -> Iterator[ObjectRef[Any]]:
    """Yield the refs that a value is, or has as a list, tuple, set or dict."""
    if isinstance(value, ObjectRef):
        yield value
    elif isinstance(value, dict):
        yield from (v for v in value.values() if isinstance(v, ObjectRef))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (v for v in value if isinstance(v, ObjectRef))
