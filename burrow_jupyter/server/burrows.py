"""Which burrows this server shows, and one shared observer of each.

`Burrows` finds the burrows of this user whose kernel this server runs; the handlers
ask it before they touch anything. `Observers` keeps at most one connection to each
head, shared by all sockets and requests, and closes it a moment after the last of
them has left. Both live on the event loop's thread and are called there only; what
blocks (reading connection files, connecting) goes to a thread of the loop's pool.
Never: HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from burrow_jupyter.core import ids
from burrow_jupyter.engine import observer, recording
from burrow_jupyter.server.shapes import Listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterator

    from burrow_jupyter.core.outputs import CellOutputs
    from burrow_jupyter.engine.observer import BurrowFile, Observer

GRACE_S = 3.0
"""How long an observer outlives its last user: a reloaded page finds it warm."""

_SESSION = re.compile(r"[0-9a-f]{16}", re.ASCII)


class InvalidId(ValueError):
    """A text that is no id of the wanted kind; the message may be shown."""


class UnknownBurrow(LookupError):
    """No burrow of a kernel of this server has this session."""


class SilentBurrow(ConnectionError):
    """The burrow is there, but its head does not answer."""


def check_session(text: str) -> str:
    """Return `text` if it has the form of a session's id: it will become part of a path.

    Raises:
        InvalidId: it has not.
    """
    if _SESSION.fullmatch(text) is None:
        raise InvalidId("a session is 16 lowercase hexadecimal digits")
    return text


def parse_id(text: str) -> int:
    """Return the id of a task, run or actor that people see as `text`.

    Raises:
        InvalidId: `text` has not the form of one.
    """
    try:
        return ids.parse_short(text)
    except ValueError:
        raise InvalidId("an id looks like 12.5") from None


@dataclass(eq=False)
class _Shared:
    """A connection that is being made or is there, and how many use it."""

    connecting: asyncio.Future[Observer]
    users: int = 0
    closing: asyncio.TimerHandle | None = None
    is_ended: bool = False
    on_ended: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True)
class Lent:
    """An observer, for as long as it is lent; its end is told on the loop's thread.

    That is why users do not touch the observer's own `on_close`: the reader's thread walks
    that list while others leave.
    """

    observer: Observer
    _shared: _Shared

    @property
    def is_ended(self) -> bool:
        """Whether the head is gone."""
        return self._shared.is_ended

    @contextlib.contextmanager
    def calling_when_ended(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call back when the head is gone, inside the block."""
        self._shared.on_ended.append(callback)
        try:
            yield
        finally:
            self._shared.on_ended.remove(callback)


class Observers:
    """One observer per burrow, for as long as somebody looks at it."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        """Args: grace_s: how long a connection is kept after its last user has left."""
        self._grace_s = grace_s
        self._shared: dict[str, _Shared] = {}

    @asynccontextmanager
    async def borrow(self, file: BurrowFile) -> AsyncIterator[Lent]:
        """The observer of this burrow, which stays connected inside the block.

        Raises:
            SilentBurrow: its head does not answer.
        """
        shared = self._shared.get(file.session)
        if shared is None:
            shared = self._shared[file.session] = self._connect(file)
        if shared.closing is not None:
            shared.closing.cancel()
            shared.closing = None
        shared.users += 1
        try:
            try:
                # Shielded: a request that is given up must not end the others' attempt.
                made = await asyncio.shield(shared.connecting)
            except ConnectionError as error:
                raise SilentBurrow("the burrow does not answer") from error
            yield Lent(made, shared)
        finally:
            shared.users -= 1
            if not shared.users and self._shared.get(file.session) is shared:
                loop = asyncio.get_running_loop()
                shared.closing = loop.call_later(self._grace_s, self._drop, file.session, shared)

    async def close(self) -> None:
        """Close every connection, also those in use."""
        for session, shared in list(self._shared.items()):
            with contextlib.suppress(ConnectionError):
                await shared.connecting
            self._drop(session, shared)

    def _connect(self, file: BurrowFile) -> _Shared:
        """Begin to connect."""
        loop = asyncio.get_running_loop()
        connecting = loop.run_in_executor(None, lambda: observer.Observer.connect(Path(file.path)))
        shared = _Shared(connecting)
        drop = partial(self._drop, file.session, shared)

        def on_close() -> None:  # in the reader's thread
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(drop)

        def on_connected(done: asyncio.Future[Observer]) -> None:
            if done.cancelled() or done.exception() is not None:
                drop()
            elif self._shared.get(file.session) is shared:
                done.result().on_close.append(on_close)
            else:  # dropped while it was being made
                done.result().close()

        connecting.add_done_callback(on_connected)
        return shared

    def _drop(self, session: str, shared: _Shared) -> None:
        """Forget and close a connection; whoever still uses it is told."""
        if self._shared.get(session) is not shared:
            return
        del self._shared[session]
        if shared.closing is not None:
            shared.closing.cancel()
        shared.is_ended = True
        for callback in shared.on_ended:  # they only set flags: nobody leaves meanwhile
            callback()
        made = shared.connecting
        if made.done() and not made.cancelled() and made.exception() is None:
            made.result().close()


class Burrows:
    """The burrows of this user that belong to a running kernel of this server."""

    def __init__(
        self, kernel_ids: Callable[[], Container[str]], observers: Observers | None = None
    ) -> None:
        """Args:
        kernel_ids: the kernels that the server runs now.
        observers: the connections; those of this server.
        """
        self._kernel_ids = kernel_ids
        self._observers = observers or Observers()

    async def listings(self) -> list[Listing]:
        """Return the burrows, the oldest first."""
        files = sorted(await self._files(), key=lambda file: (file.started_at, file.session))
        return [
            Listing(file.session, file.kernel_id, file.head_pid, file.started_at) for file in files
        ]

    @asynccontextmanager
    async def observe(self, session: str) -> AsyncIterator[Lent]:
        """The observer of a burrow, which stays connected inside the block.

        Raises:
            InvalidId: `session` has not the form of a session's id.
            UnknownBurrow: this server has no such burrow.
            SilentBurrow: its head does not answer.
        """
        async with self._observers.borrow(await self.find(session)) as lent:
            yield lent

    async def find(self, session: str) -> BurrowFile:
        """Return the connection file of a burrow. Raises as `observe` does."""
        check_session(session)
        for file in await self._files():
            if file.session == session:
                return file
        raise UnknownBurrow("no kernel of this server has this burrow")

    async def outputs(self, session: str, since: float) -> list[CellOutputs]:
        """Return what the kernel of a burrow has recorded of the outputs of its cells.

        Args:
            session: of the burrow.
            since: seconds since the epoch; what is older is told without its messages.

        Raises:
            InvalidId: `session` has not the form of a session's id.
            UnknownBurrow: this server has no such burrow.
        """
        folder = Path((await self.find(session)).path).parent
        return await asyncio.to_thread(recording.read_all, folder, since)

    async def close(self) -> None:
        """Close every connection."""
        await self._observers.close()

    async def _files(self) -> list[BurrowFile]:
        """Return the connection files that may be used.

        A burrow that no kernel of this server started is another server's, or of a plain
        Python program: its owner has not asked this server to show it.
        """
        files = await asyncio.to_thread(observer.list_burrows)
        running = self._kernel_ids()
        return [file for file in files if file.kernel_id and file.kernel_id in running]
