"""The way of bytes between our processes: AF_UNIX stream sockets that know each other.

A connection begins with a mutual proof that both sides have the session's key; until
then nothing is decoded, only fixed numbers of bytes compared. The socket lies in a
directory of mode 0700, the peer's user id is checked, and the key itself never
travels: it is handed to the head through an inherited descriptor, to workers by fork,
and to the user's own Jupyter server in a file of mode 0600.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
import sys
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core import messages
from burrow_jupyter.core.framing import HEADER
from burrow_jupyter.core.limits import AUTH_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"BRW1"
NONCE_BYTES = 32
KEY_BYTES = 32
CHALLENGE_BYTES = len(MAGIC) + NONCE_BYTES
PROOF_BYTES = len(MAGIC) + NONCE_BYTES + 32
SOCKET_BUFFER_BYTES = 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
encode_into = _encoder.encode_into
decode_from_client = msgspec.msgpack.Decoder(list[messages.ClientToHead]).decode
decode_from_head = msgspec.msgpack.Decoder(list[messages.HeadToClient]).decode


class AuthenticationError(ConnectionError):
    """The other side has not the key, or is another user."""


def encode_frame(batch: Sequence[Any]) -> bytearray:
    """Return a batch of messages as one frame."""
    frame = bytearray(4)
    encode_into(batch, frame, 4)
    HEADER.pack_into(frame, 0, len(frame) - 4)
    return frame


def new_key() -> bytes:
    """Return a fresh session key."""
    return os.urandom(KEY_BYTES)


def _proof(key: bytes, first: bytes, second: bytes, side: bytes) -> bytes:
    return blake2b(first + second + side, key=key, digest_size=32).digest()


def make_challenge() -> bytes:
    """Return what the head says first to a new connection."""
    return MAGIC + os.urandom(NONCE_BYTES)


def check_proof(key: bytes, challenge: bytes, answer: bytes) -> bytes:
    """Return the head's own proof for a client that has proved to have the key.

    Raises:
        AuthenticationError: it has not.
    """
    nonce, theirs = challenge[len(MAGIC) :], answer[len(MAGIC) : CHALLENGE_BYTES]
    expected = _proof(key, nonce, theirs, b"client")
    if answer[: len(MAGIC)] != MAGIC or not hmac.compare_digest(expected, answer[CHALLENGE_BYTES:]):
        msg = "a connection did not prove to have the key"
        raise AuthenticationError(msg)
    return _proof(key, theirs, nonce, b"head")


def check_user(sock: socket.socket) -> None:
    """Raise unless the other end belongs to this user.

    Raises:
        AuthenticationError: another user's process.
    """
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        _, uid, _ = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        if uid != os.getuid():
            msg = f"a process of user {uid} tried to connect"
            raise AuthenticationError(msg)


def tune(sock: socket.socket) -> None:
    """Give a socket buffers that hold a whole batch, so that senders rarely wait."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)


def connect(path: str, key: bytes, timeout_s: float = AUTH_TIMEOUT_S) -> socket.socket:
    """Connect to a head and prove to have the key; return the blocking socket.

    Raises:
        AuthenticationError: either side failed the proof.
        OSError: nobody listens there, or did not answer in time.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(path)
        check_user(sock)
        _prove(sock, key)
        sock.settimeout(None)
        tune(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _prove(sock: socket.socket, key: bytes) -> None:
    challenge = _read_exactly(sock, CHALLENGE_BYTES)
    mine = os.urandom(NONCE_BYTES)
    nonce = challenge[len(MAGIC) :]
    sock.sendall(MAGIC + mine + _proof(key, nonce, mine, b"client"))
    answer = _read_exactly(sock, 32)
    if not hmac.compare_digest(answer, _proof(key, mine, nonce, b"head")):
        msg = "what listens there does not have the key of this burrow"
        raise AuthenticationError(msg)


def _read_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            msg = "the head closed the connection before it was authenticated"
            raise AuthenticationError(msg)
        data += piece
    return data
