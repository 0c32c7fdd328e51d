"""Keeps interrupts out of what must not be torn: reading, sending, holding a lock.

Python raises KeyboardInterrupt between any two steps of the main thread: after bytes were
taken from a socket and before they are noted, or between getting a lock and the `try` that
gives it back. Inside a shield an interrupt is noted, and raised at its end; or at once while
it is open, in a system call that waits.

In a driver the handler of SIGINT is whoever's it is at the time (ipykernel and asyncio set
their own, cell by cell), so it is taken over for the length of a shield. In a worker it is
ours, and asks the shield.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the enums, which cost 2 us a call
import contextlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_get_ident = threading.get_ident


class Shield:
    """The shield of one process's main thread."""

    __slots__ = ("_before", "_handler", "_main", "_on", "_open", "_pending", "own", "raises")

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._on = False
        self._open = False
        self._before: Callable[[int, FrameType | None], Any] | None = None
        self._handler = self._on_signal  # one object, to be known again
        self._pending: Callable[[], object] | None = None
        self.own = False
        """Whether this process's own handlers ask us (see `take`), so that none is replaced."""
        self.raises: Callable[[], bool] | None = None
        """Says whether they would raise now; `None`: an interrupt may always come."""

    def enter(self) -> bool:
        """Begin a section; say whether the caller is to `leave` it: not inside of another."""
        if _get_ident() != self._main:
            return False
        if self.own:
            if self._on:
                return False
            self._on = True
            return True
        # Who the handler is says whether we are in a section: a flag could not be set
        # together with it.
        before = _signal.getsignal(_signal.SIGINT)
        if before is self._handler or not callable(before):
            return False
        self._before = before
        _signal.signal(_signal.SIGINT, self._handler)
        return True

    def leave(self) -> None:
        """End a section. Raises what came meanwhile."""
        if self.own:
            self._on = False
        else:
            _signal.signal(_signal.SIGINT, self._before)
        self.check()

    def open(self) -> bool:
        """Let interrupts through, around a call that waits. Raises what came before.

        Says whether interrupts may come to this thread: then the call must have a bound, for one
        that comes between Python's last look and the system call ends no wait by itself.
        """
        if _get_ident() != self._main:
            return False
        self._open = True
        self.check()
        return self.raises is None or self.raises()

    def close(self) -> None:
        """Let nothing through any more."""
        if _get_ident() == self._main:
            self._open = False

    def check(self) -> None:
        """Raise what came; where nothing would be torn."""
        if self._pending is not None and _get_ident() == self._main:
            pending, self._pending = self._pending, None
            pending()

    def take(self, act: Callable[[], object]) -> None:
        """Do now, or at the end of the section, what an interrupt is to do: raise, mostly."""
        if self._on and not self._open:
            self._pending = act
        else:
            act()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        before = self._before
        assert before is not None, "it was replaced by us"
        if self._open:
            before(number, frame)
        else:
            self._pending = lambda: before(number, frame)


@contextlib.contextmanager
def raising_interrupts() -> Iterator[None]:
    """Have an interrupt raise in here, and be told to whose it is afterwards. In the main thread.

    The handlers that event loops set raise nothing: they note that the loop is to end something,
    which comes to nothing while one of its callbacks waits for the user.
    """
    before = _signal.getsignal(_signal.SIGINT)
    if not callable(before):
        yield
        return
    interrupted = False
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        interrupted = True
    finally:
        _signal.signal(_signal.SIGINT, before)
    if interrupted:
        _signal.raise_signal(_signal.SIGINT)
