"""Who may speak to a head: only those who have the key; and what rubbish does to it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

import burrow
from burrow_jupyter.core import messages
from burrow_jupyter.engine import session, transport
from helpers.burrows import burrow_of
from helpers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def running() -> Iterator[session.BurrowFile]:
    """The connection file of a burrow that runs."""
    burrow.init(num_cpus=1)
    yield burrow_of()
    burrow.shutdown()


@burrow.remote
def same(value):
    return value


def still_works():
    return burrow.get(same.remote(1), timeout=20) == 1


def test_everything_on_disk_is_private(running):
    directory = Path(running.path).parent

    for path in (directory, Path(running.store), directory.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (directory / "burrow.json", directory / "head.sock"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_process_with_the_key_is_let_in(running):
    sock = transport.connect(running.socket, bytes.fromhex(running.key))
    sock.close()
    assert still_works()


def test_a_process_without_the_key_is_refused(running):
    with pytest.raises(transport.AuthenticationError):
        transport.connect(running.socket, transport.new_key())
    assert still_works()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff" * 4096,
        b"BRW1" + b"\0" * 64,
        b"BRW1" + os.urandom(8192),
    ],
    ids=["nothing", "http", "ones", "zeros", "random"],
)
def test_rubbish_ends_its_connection_and_nothing_else(running, rubbish):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(running.socket)
    assert len(sock.recv(100)) == transport.CHALLENGE_BYTES
    sock.sendall(rubbish)
    if not rubbish:
        sock.shutdown(socket.SHUT_WR)
    assert sock.recv(100) == b""
    sock.close()
    assert still_works()


def test_a_hundred_connections_that_say_nothing_do_not_keep_others_out(running):
    idle = []
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(running.socket)
        idle.append(sock)
    assert still_works()
    for sock in idle:
        sock.close()

    def let_in() -> bool:
        try:
            transport.connect(running.socket, bytes.fromhex(running.key)).close()
        except transport.AuthenticationError:
            return False
        return True

    wait_until(let_in, 10, "room for one who has the key")


@pytest.mark.parametrize(
    "first",
    [
        messages.Submit(1, 2, 3),
        messages.Hello("king", 1),
        messages.Hello("worker", 1, 99),
    ],
    ids=["no hello", "unknown role", "unasked worker"],
)
def test_one_who_has_the_key_but_breaks_the_protocol_is_cut_off(running, first):
    sock = transport.connect(running.socket, bytes.fromhex(running.key))
    sock.settimeout(20)
    sock.sendall(transport.encode_frame([first]))
    assert sock.recv(100) == b""
    sock.close()
    assert still_works()


def test_a_frame_that_claims_to_be_huge_is_not_waited_for(running):
    sock = transport.connect(running.socket, bytes.fromhex(running.key))
    sock.settimeout(20)
    sock.sendall(b"\xff\xff\xff\x7f")
    assert sock.recv(100) == b""
    sock.close()
    assert still_works()


def test_a_driver_that_speaks_as_a_worker_is_cut_off(running):
    sock = transport.connect(running.socket, bytes.fromhex(running.key))
    sock.settimeout(20)
    sock.sendall(transport.encode_frame([messages.Hello("observer", 1), messages.Done(1)]))
    while sock.recv(4096):
        pass
    sock.close()
    assert still_works()


def test_messages_survive_the_wire():
    value = messages.Value(b"data", [1, 2], "c1-2", 5, [7])
    for message in (
        messages.Submit(1, 2, 3, value, [4], [0, "key"], 5, 6),
        messages.Done(1, [value], None, 7),
        messages.Get([1, 2], 2),
    ):
        frame = transport.encode_frame([message])
        assert transport.decode_from_client(bytes(frame[4:])) == [message]
    with pytest.raises(msgspec.DecodeError):
        transport.decode_from_client(b"\x91\x91\x63")
