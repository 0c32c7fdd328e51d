"""A worker's door: who is let in, and that what came in by it keeps its place."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from burrow_jupyter.core import messages
from burrow_jupyter.core.framing import FrameBuffer
from burrow_jupyter.engine import transport, ways
from burrow_jupyter.engine.client import Client
from burrow_jupyter.engine.door import GUESTS_MAX, Door
from burrow_jupyter.engine.session import door_of

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = 7
DRIVER = 3
KEY = b"k" * ways.KEY_BYTES


class Bench:
    """A worker's connection and door, whose head is the test."""

    def __init__(self, corner: Path) -> None:
        self.head, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        info = {"directory": str(corner)}
        self.tell(messages.Welcome(WORKER, 1, "", str(corner), str(corner), 1.0, info))
        self.client = Client(theirs, messages.Hello("worker", os.getpid(), WORKER), self._urgent)
        self.door = Door(self.client, WORKER)

    def _urgent(self, message: Any) -> None:
        self.door.admit(message)

    def tell(self, *batch: Any) -> None:
        """Say something as the head does: at once."""
        self.head.sendall(transport.encode_frame(list(batch)))

    def said(self) -> list[Any]:
        """Return what the worker has said to the head."""
        frames = FrameBuffer().feed(self.head.recv(100_000))
        return [m for frame in frames for m in transport.decode_from_client(frame)]

    def call(self, way: socket.socket, task_id: int) -> None:
        """Call as a driver does."""
        way.sendall(
            transport.encode_frame([messages.Direct(task_id, 1, 1, DRIVER, WORKER, actor_id=5)])
        )

    def heard(self, count: int) -> list[int]:
        """Read until there are so many calls; return them in the order in which they are to run."""
        assert self.client.wait_until(lambda: len(self.client.inbox) >= count, 10)
        return [run.task_id for run in self.client.inbox]


@pytest.fixture
def bench(private_corner: Path) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(dir=private_corner) as corner:
        made = Bench(Path(corner))
        yield made
        made.client.close()
        made.door.close()
        made.head.close()


def test_a_call_keeps_its_place_before_what_the_head_says_later(bench: Bench):
    way = ways.connect(door_of(bench.client.info["directory"], WORKER), KEY)

    bench.call(way, 1)
    bench.tell(messages.Admit(DRIVER, KEY, False), messages.Run(2, 1, 1))

    assert bench.heard(2) == [1, 2]
    way.close()


def test_so_it_does_where_the_head_has_named_the_key_before(bench: Bench):
    bench.tell(messages.Admit(DRIVER, KEY, False), messages.Run(1, 1, 1))
    assert bench.heard(1) == [1]

    way = ways.connect(door_of(bench.client.info["directory"], WORKER), KEY)
    bench.call(way, 2)
    bench.tell(messages.Run(3, 1, 1))

    assert bench.heard(3) == [1, 2, 3]
    way.close()


def test_a_call_that_is_given_back_is_begun_anew_by_the_head(bench: Bench):
    way = ways.connect(door_of(bench.client.info["directory"], WORKER), KEY)
    bench.call(way, 1)
    bench.tell(messages.Admit(DRIVER, KEY, False), messages.Run(2, 1, 1))
    bench.heard(2)

    assert bench.door.refuse(1)
    assert not bench.door.refuse(2)  # the head's own: to be returned

    told = [m for m in bench.said() if isinstance(m, messages.Direct)]
    assert [(m.task_id, m.refused) for m in told] == [(1, True)]
    way.close()


def test_a_key_may_come_in_pieces_and_guests_may_leave(bench: Bench):
    path = door_of(bench.client.info["directory"], WORKER)
    for said in (b"", b"k", b"x" * ways.KEY_BYTES, KEY[1:]):
        guest = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        guest.connect(path)
        guest.sendall(said)
        guest.close()
    slow = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    slow.connect(path)
    bench.tell(messages.Admit(DRIVER, KEY, False), messages.Run(1, 1, 1))
    bench.heard(1)
    for at in range(ways.KEY_BYTES):
        slow.sendall(KEY[at : at + 1])
        bench.client.look()
    bench.call(slow, 2)

    assert bench.heard(2) == [1, 2]
    slow.close()


def test_who_says_nothing_keeps_nobody_out_and_is_not_kept(bench: Bench):
    path = door_of(bench.client.info["directory"], WORKER)
    silent = []
    for _ in range(GUESTS_MAX + 40):
        guest = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        guest.connect(path)
        silent.append(guest)
        bench.client.look()
    way = ways.connect(path, KEY)
    bench.call(way, 1)
    bench.tell(messages.Admit(DRIVER, KEY, False), messages.Run(2, 1, 1))

    assert bench.heard(2) == [1, 2]
    silent[0].setblocking(False)
    assert silent[0].recv(1) == b""
    silent[-1].setblocking(False)
    with pytest.raises(BlockingIOError):
        silent[-1].recv(1)
    for guest in (*silent, way):
        guest.close()


def test_reading_something_no_more_leaves_alone_who_has_its_descriptor_now(bench: Bench):
    path = door_of(bench.client.info["directory"], WORKER)
    bench.tell(messages.Admit(DRIVER, KEY, False), messages.Run(1, 1, 1))
    bench.heard(1)
    first = ways.connect(path, KEY)
    bench.client.look()
    gone = next(w for w in bench.client._watched.values() if w is not bench.door)
    first.close()
    bench.client.look()  # its end is seen
    again = ways.connect(path, KEY)
    bench.tell(messages.Admit(DRIVER, KEY, False), messages.Run(2, 1, 1))
    bench.heard(2)
    assert gone.fd in bench.client._watched, "the descriptor is used again"

    bench.client.unwatch(gone)  # as the head says that whose it was is gone
    bench.call(again, 3)

    assert bench.heard(3) == [1, 2, 3]
    again.close()
