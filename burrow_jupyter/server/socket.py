"""The live events of one burrow over a WebSocket: a snapshot, then deltas.

Read-only on purpose: a page of another origin that has the user's cookie could open a
socket, but every action is a POST, which asks for the XSRF token too.

Between the observer's reader thread and the browser lies a `Mailbox` with room for one
update. When a second one comes before the first was taken, both give way to a fresh
snapshot, and the next is taken only when the one before has left this process. So a
slow browser, or a busy server, costs one update of memory and never lags behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Literal

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from burrow_jupyter.core import feed
from burrow_jupyter.server.burrows import InvalidId, SilentBurrow, UnknownBurrow
from burrow_jupyter.server.rest import AUTH_RESOURCE, as_http_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.server.burrows import Burrows, Lent

CLOSE_ENDED = 4001
"""Close code: the burrow is no more; there is nothing to reconnect to."""

CLOSE_TRY_LATER = 1013
"""Close code for a burrow that is there but does not answer."""

CLOSE_READ_ONLY = 1003
"""Close code of RFC 6455 for data that an endpoint can't accept."""

MESSAGE_MAX_BYTES = 1024
"""Nothing is expected from the browser, so a page can't make us hold more."""


class Mailbox:
    """Room for one update, between the observer's thread and the event loop.

    `put` may be called in any thread, `take` in one. The lock guards the slot alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slot: feed.Feed | Literal["missed"] | None = None

    def put(self, update: feed.Feed) -> bool:
        """Leave an update; return whether the taker must be woken."""
        with self._lock:
            was_empty = self._slot is None
            self._slot = update if was_empty or isinstance(update, feed.Snapshot) else "missed"
            return was_empty

    def take(self) -> feed.Feed | Literal["missed"] | None:
        """Return the update; `"missed"` asks for a snapshot; `None` if there is nothing."""
        with self._lock:
            slot, self._slot = self._slot, None
            return slot


class Follower:
    """Turns updates, some of them missed, into an unbroken feed."""

    def __init__(self, snapshot: Callable[[], feed.Snapshot]) -> None:
        """Args: snapshot: returns the newest one."""
        self._snapshot = snapshot
        self._seq: int | None = None

    def next(self, update: feed.Feed | Literal["missed"]) -> feed.Feed | None:
        """Return what to send, `None` if it was already part of the last snapshot."""
        if isinstance(update, feed.Delta):
            if self._seq is not None and update.seq <= self._seq:
                return None
            if self._seq is None or update.seq != self._seq + 1:
                update = "missed"
        if update == "missed":
            update = self._snapshot()
        self._seq = update.seq
        return update


class EventsSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """Answers `burrows/{session}/events`."""

    auth_resource = AUTH_RESOURCE
    _track_activity = False

    def initialize(self, burrows: Burrows) -> None:
        """Args: burrows: those of this server."""
        self.burrows = burrows
        self._sending: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        """What tornado accepts from the browser at most."""
        return MESSAGE_MAX_BYTES

    @ws_authenticated
    async def get(self, session: str) -> None:
        """Upgrade to a WebSocket, if the user may read and the burrow is there."""
        allowed = await ensure_async(
            self.authorizer.is_authorized(self, self.current_user, "read", self.auth_resource)
        )
        if not allowed:
            raise web.HTTPError(403)
        try:
            await self.burrows.find(session)
        except (InvalidId, UnknownBurrow) as error:
            raise as_http_error(error) from error
        await super().get(session)

    def open(self, session: str) -> None:
        """Begin to send."""
        super().open(session)
        self._sending = asyncio.ensure_future(self._send_feed(session))

    def on_message(self, message: str | bytes) -> None:
        """Nothing may be sent to us."""
        self.close(CLOSE_READ_ONLY, "events are read-only")

    def on_close(self) -> None:
        """The browser left, or we did."""
        if self._sending is not None:
            self._sending.cancel()

    async def _send_feed(self, session: str) -> None:
        try:
            async with self.burrows.observe(session) as lent:
                await self._follow(lent)
            self.close(CLOSE_ENDED, "the burrow has ended")
        except UnknownBurrow:
            self.close(CLOSE_ENDED, "the burrow has ended")
        except SilentBurrow as error:
            self.close(CLOSE_TRY_LATER, str(error))
        except WebSocketClosedError:
            pass  # the browser left in the middle of a message

    async def _follow(self, lent: Lent) -> None:
        """Send until the burrow ends, or the socket is closed by way of cancellation."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        mailbox = Mailbox()
        follower = Follower(lent.observer.snapshot)

        def on_update(update: feed.Feed) -> None:  # in the reader's thread
            if mailbox.put(update):
                with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                    loop.call_soon_threadsafe(woken.set)

        with lent.calling_when_ended(woken.set):
            unsubscribe = lent.observer.subscribe(on_update)
            try:
                while not lent.is_ended:
                    await woken.wait()
                    woken.clear()
                    update = mailbox.take()
                    message = None if update is None else follower.next(update)
                    if message is not None:
                        # Returns when the bytes are with the operating system.
                        await self.write_message(msgspec.json.encode(message).decode())
            finally:
                unsubscribe()
