"""A way: the connection between a driver and a worker that it calls itself.

One call is on it at a time, so whoever waits for the other side knows that it is at work, and
looks for its answer for a moment before it sleeps: a process that has to be woken costs more
than a short task. Whether that pays is measured, call by call; where it does not, because the
calls are long or the cores are taken, it soon stops.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core.framing import FrameBuffer, FrameTooLarge
from burrow_jupyter.engine import transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.core import messages

monotonic = time.monotonic

RECV_BYTES = 64 * 1024
KEY_BYTES = 16
KEYS_MAX = 64
"""Keys that a worker keeps of those who have not come in yet."""
LOOK_S = 0.0001
"""How long one looks for an answer before one sleeps: about twice what a short call takes."""
PAYS_MAX = 20
PAYS_NOT = 4
"""What a look in vain counts against one that was not: looking stops after five in a row."""


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


_two_can_run = _cores() > 1


class Way:
    """One end of it. Read by one thread at a time: whoever reads for its client."""

    __slots__ = (
        "_buffer",
        "_decode",
        "_frames",
        "_on_message",
        "_pays",
        "_sock",
        "busy",
        "fd",
        "open",
        "peer",
        "told",
    )

    def __init__(
        self,
        sock: socket.socket,
        peer: int,
        expected: Any,
        on_message: Callable[[Way, Any], None],
    ) -> None:
        """Args: peer: the client's number at the other end; expected: types of messages."""
        transport.tune(sock)
        self._sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        self._decode = msgspec.msgpack.Decoder(list[expected]).decode
        self._on_message = on_message
        self._frames = FrameBuffer()
        self._buffer = memoryview(bytearray(RECV_BYTES))
        self._pays = PAYS_MAX
        self.open = True
        self.busy = False  # a call is on it
        self.told: messages.Direct | None = None  # the last of those that the head was told of

    def send(self, message: Any) -> None:
        """Send at once. Whoever is gone at the other end is told of by the head."""
        with contextlib.suppress(OSError):
            self._sock.sendall(transport.encode_frame([message]))

    def read(self) -> bool:
        """Take what has come, without waiting; say whether anything has."""
        try:
            count = self._sock.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if not count:
            self.open = False
            return True
        self._take(count)
        return True

    def _take(self, count: int) -> None:
        try:
            for frame in self._frames.feed(bytes(self._buffer[:count])):
                for message in self._decode(frame):
                    self._on_message(self, message)
        except (FrameTooLarge, msgspec.DecodeError):
            self.open = False

    def look_out(self) -> bool:
        """Look for an answer for a moment, if that pays; say whether it came."""
        if self._pays < 0 or not _two_can_run or not self.open:
            return False
        until = monotonic() + LOOK_S
        recv, buffer, flag = self._sock.recv_into, self._buffer, socket.MSG_DONTWAIT
        while True:
            try:
                count = recv(buffer, 0, flag)
            except BlockingIOError:
                if monotonic() > until:
                    self._pays -= PAYS_NOT
                    return False
                continue
            except OSError:
                count = 0
            if self._pays < PAYS_MAX:
                self._pays += 1
            if count:
                self._take(count)
            else:
                self.open = False
            return True

    def woken_after(self, seconds: float) -> None:
        """Note how long was slept for an answer: it might have been worth a look."""
        if seconds < LOOK_S and self._pays < 0:
            self._pays += 1

    def close(self) -> None:
        """End it."""
        self.open = False
        with contextlib.suppress(OSError):
            self._sock.close()


def connect(path: str, key: bytes) -> socket.socket:
    """Connect to a worker and show the key that the head has told it of.

    Raises:
        OSError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(1.0)
        sock.connect(path)
        transport.check_user(sock)
        sock.sendall(key)
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock
