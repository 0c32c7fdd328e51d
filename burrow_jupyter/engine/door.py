"""A worker's door: where drivers come in that call it themselves.

Whom to let in, and who has borrowed the worker, the head says. A call that came in here is
answered here if it ends well, in a small value, and has said nothing to the head meanwhile.
Else the head is told of the call first, and of its end: it is *adopted*.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core import messages
from burrow_jupyter.core.limits import PUSH_MAX_BYTES
from burrow_jupyter.engine import transport, ways
from burrow_jupyter.engine.session import door_of
from burrow_jupyter.engine.ways import Way

if TYPE_CHECKING:
    from burrow_jupyter.engine.client import Client

GUESTS_MAX = 64
"""Who has come in and has not been let in; the oldest has to go when there are more."""


class _Guest:
    """Who has come in, shows a key, and then waits until the head has named it.

    Read without waiting, as all that the worker's client reads: one that says nothing holds
    up nobody.
    """

    def __init__(self, door: Door, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.open = True
        self.key = b""
        self._door = door

    def read(self) -> bool:
        """Take what there is of the key; say whether more may be read."""
        try:
            data = self.sock.recv(ways.KEY_BYTES - len(self.key))
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.open = False
            return True
        self.key += data
        if len(self.key) < ways.KEY_BYTES:
            return True
        self._door.shown(self)
        return False

    def close(self) -> None:
        """It is not let in."""
        self._door.leaves(self)
        self.sock.close()


class Door:
    """The listening socket of one worker, and the calls that came in. Read by its client."""

    def __init__(self, client: Client, worker_id: int) -> None:
        self._client = client
        self._worker_id = worker_id
        self._keys: dict[bytes, int] = {}
        self._guests: dict[int, _Guest] = {}
        """Who has come in and has not been let in, by descriptor, the oldest first."""
        self._borrower = 0
        self.calls: dict[int, tuple[Way, messages.Direct]] = {}
        """By id: calls of which the head has not heard from us. Who takes one out decides."""
        self.running = 0
        """Which of them was begun last."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = door_of(client.info["directory"], worker_id)
        self._sock.bind(path)
        os.chmod(path, 0o600)  # Path costs an import here
        self._sock.listen(8)
        self._sock.setblocking(False)
        self.fd = self._sock.fileno()
        self.open = True
        client.precede = self._precede
        client.watch(self)

    # ---- coming in -------------------------------------------------------------------

    def admit(self, message: messages.Admit) -> None:
        """The head lets a driver in, and perhaps lends us to it."""
        if message.lent:
            self._borrower = message.client
        for guest in self._guests.values():
            if guest.key == message.key:
                self._let_in(guest, message.client)
                return
        self._keys[message.key] = message.client
        if len(self._keys) > ways.KEYS_MAX:
            del self._keys[next(iter(self._keys))]

    def read(self) -> bool:
        """Have who knocks come in; say whether anybody did."""
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return False
        try:
            transport.check_user(sock)
        except OSError:
            sock.close()
            return True
        while len(self._guests) >= GUESTS_MAX:
            next(iter(self._guests.values())).close()
        guest = self._guests[sock.fileno()] = _Guest(self, sock)
        self._client.watch(guest)
        return True

    def shown(self, guest: _Guest) -> None:
        """A guest has shown a key. If the head has not named it yet, that may be to come."""
        client = self._keys.pop(guest.key, 0)
        if client:
            self._let_in(guest, client)
        else:
            self._client.unwatch(guest)

    def _let_in(self, guest: _Guest, client: int) -> None:
        self.leaves(guest)
        guest.sock.setblocking(True)
        self._client.watch(Way(guest.sock, client, messages.CallerToWorker, self._on_call))

    def leaves(self, guest: _Guest) -> None:
        """A guest is one no longer."""
        self._client.unwatch(guest)
        self._guests.pop(guest.fd, None)

    def close(self) -> None:
        """Nobody comes in any more."""
        self.open = False
        with contextlib.suppress(OSError):
            self._sock.close()

    # ---- calls -----------------------------------------------------------------------

    def _on_call(self, way: Way, call: messages.Direct) -> None:
        self.calls[call.task_id] = way, call
        self._client.hot = way
        self._client.inbox.append(
            messages.Run(
                call.task_id,
                call.code_id,
                call.options_id,
                call.method,
                call.args,
                run_id=call.run_id,
            )
        )

    def is_open_to(self, task_id: int) -> bool:
        """Say whether a call that came in here may run: actors take all, others a borrower's."""
        item = self.calls.get(task_id)
        return item is None or bool(item[1].actor_id) or item[0].peer == self._borrower

    def answer(self, done: messages.Done) -> bool:
        """Answer a call directly, if that may be; say whether it was."""
        client = self._client
        if done.failure is not None or len(done.values) != 1 or client.unsent:
            return False
        value = done.values[0]
        if value.segment or value.contained or len(value.data) > PUSH_MAX_BYTES:
            return False
        item = self.calls.pop(done.task_id, None)
        if item is None:
            return False
        way = item[0]
        way.send(done)
        client.hot = way
        return True

    # ---- telling the head ------------------------------------------------------------

    def adopt(self, task_id: int) -> None:
        """Have the head know of a call before anything else that is sent from now on."""
        told = self._tell(task_id)
        if told is not None:
            self._client.unsent.insert(0, told)

    def _precede(self, out: list[Any]) -> None:
        if out and self.running in self.calls:
            told = self._tell(self.running)
            if told is not None:
                out.insert(0, told)

    def _tell(self, task_id: int) -> messages.Direct | None:
        item = self.calls.pop(task_id, None)
        if item is None:
            return None
        way, call = item
        way.send(messages.Adopted(task_id))
        self._client.hot = None
        return call

    def refuse(self, task_id: int) -> bool:
        """Leave a call to the head: it does not run here. Say whether it was ours to leave."""
        told = self._tell(task_id)
        if told is None:
            return False
        self._client.unsent.insert(0, msgspec.structs.replace(told, refused=True))
        self._client.flush()
        return True

    def reclaim(self) -> None:
        """Take nothing more from whoever has borrowed us; what is here the head gets to know."""
        self._borrower = 0
        for task_id, (_, call) in list(self.calls.items()):
            if not call.actor_id:
                self.adopt(task_id)
        self._client.post(messages.Reclaimed())
        self._client.flush()
