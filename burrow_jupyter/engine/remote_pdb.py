"""Python's debugger over a conversation, among the user's frames only."""

from __future__ import annotations

import linecache
import pdb  # noqa: T100  # on behalf of users
import sys
from typing import TYPE_CHECKING, Any

from burrow_jupyter.engine import errors

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from burrow_jupyter.engine.debugging import Conversation

COMMANDS = "w where, u up, d down, l lines, a arguments, p X print, q quit, or Python"
STEPPING = "n next line, s step into, c go on"
PROMPT = "(Pdb) "


class RemotePdb(pdb.Pdb):
    """A debugger whose user is elsewhere."""

    def __init__(self, talk: Conversation) -> None:
        stream: Any = talk  # as much of a file as a debugger uses
        super().__init__(stdin=stream, stdout=stream, nosigint=True, readrc=False)
        self.prompt = PROMPT
        self._talk = talk
        self._opened = False
        self.beyond: frozenset[str] = frozenset()
        """Whether there are frames of another task "up" above the oldest, "down" below the newest;
        "oldest": begin at the oldest frame."""

    # ---- the user's frames -------------------------------------------------------------

    def get_stack(self, f: FrameType | None, t: TracebackType | None) -> Any:
        """Return the stack without our frames, and the index of the current one."""
        stack, at = super().get_stack(f, t)
        ours = [errors.is_own(frame) for frame, _ in stack]
        first = ours.index(True) if any(ours) else 0  # what is before has started us
        kept = [entry for entry, own in list(zip(stack, ours, strict=True))[first:] if not own]
        if not kept:
            return stack, at
        if "oldest" in self.beyond:
            return kept, 0
        chosen = [i for i, entry in enumerate(kept) if entry is stack[at]]
        return kept, chosen[0] if f is not None and chosen else len(kept) - 1

    def stop_here(self, frame: FrameType) -> bool:
        """Never stop in our code."""
        return not errors.is_own(frame) and super().stop_here(frame)

    def interaction(self, *place: Any) -> None:
        """Let the user look at a place."""
        self._opened = True
        super().interaction(*place)

    def dispatch_return(self, frame: FrameType, arg: Any) -> Any:
        """Stop tracing when the task's function returns to our code."""
        outer = frame.f_back
        if outer is None or errors.is_own(outer):
            if not self._opened:  # nothing came after the breakpoint: this is its place
                super().dispatch_return(frame, arg)
            while outer is not None:
                outer.f_trace = None
                outer = outer.f_back
            self.set_continue()
            sys.settrace(None)
            return None
        return super().dispatch_return(frame, arg)

    def format_stack_entry(self, frame_lineno: tuple[FrameType, int], lprefix: str = ": ") -> str:
        """Return a place as tracebacks of tasks name it, with its line."""
        frame, line = frame_lineno
        code = frame.f_code
        label = errors.label_of(code.co_filename) or code.co_filename
        # Without a look at the frame's variables, which undoes what was assigned to them.
        source = linecache.getline(code.co_filename, line, frame.f_globals).strip()
        return f"{label}, line {line}, in {code.co_name}\n-> {source}"

    def print_stack_entry(self, frame_lineno: Any, prompt_prefix: str = pdb.line_prefix) -> None:
        """Print a place; the current one is marked."""
        current = frame_lineno[0] is self.curframe
        self.message(("> " if current else "  ") + self.format_stack_entry(frame_lineno))

    # ---- the user's commands -----------------------------------------------------------

    def do_continue(self, arg: str) -> Any:
        """Go on, and tell the driver that it need not wait for more."""
        done = super().do_continue(arg)
        self._talk.send()
        self._talk.say("goes on")
        return done

    do_c = do_cont = do_continue

    def do_up(self, arg: str) -> Any:
        """Go to the caller's frame; from the oldest one to the task that has waited for this."""
        if not arg and self.curindex == 0 and "up" in self.beyond:
            return self._leave("up")
        return super().do_up(arg)

    do_u = do_up

    def do_down(self, arg: str) -> Any:
        """Go to the frame that was called; from the newest one to the task that it waited for."""
        if not arg and self.curindex + 1 == len(self.stack) and "down" in self.beyond:
            return self._leave("down")
        return super().do_down(arg)

    do_d = do_down

    def _leave(self, kind: str) -> bool:
        """End here: the driver opens the frames of the other task."""
        self._talk.send()
        self._talk.say(kind)
        return True


def post_mortem(talk: Conversation, error: BaseException, beyond: str = "") -> None:
    """Look at the frames of what was raised until the user quits; `beyond`: see `RemotePdb`."""
    debugger = RemotePdb(talk)
    debugger.reset()
    debugger.beyond = frozenset(beyond.split())
    if not debugger.beyond & {"oldest", "newest"}:  # the user has come from another task's frames
        talk.write(f"{COMMANDS}\n")
    debugger.interaction(None, error.__traceback__)


def stop(talk: Conversation, frame: FrameType | None) -> None:
    """Stop in a frame."""
    place = ""
    if frame is not None:
        label = errors.label_of(frame.f_code.co_filename) or frame.f_code.co_filename
        place = f"{label}, line {frame.f_lineno}"
    talk.say("stopped", place)
    talk.write(f"{STEPPING}, {COMMANDS}\n")
    RemotePdb(talk).set_trace(frame)
