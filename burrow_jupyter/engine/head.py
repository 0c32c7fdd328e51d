"""The head's loop: bytes to events, events to the scheduler, its wishes to the world.

One thread, one epoll. It owns the clock, the connections, the zygote and the timers;
it decides nothing. It never runs, nor unpickles, anything of the user's: pickles pass
through as bytes.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import socket
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.framing import HEADER, FrameBuffer, FrameTooLarge
from burrow_jupyter.core.scheduler import commands
from burrow_jupyter.core.scheduler.state import Reading
from burrow_jupyter.core.scheduler.step import ProtocolError, Scheduler
from burrow_jupyter.engine import journal, processes, session, transport
from burrow_jupyter.engine.output import last_words
from burrow_jupyter.engine.sampling import largest
from burrow_jupyter.engine.session import door_of
from burrow_jupyter.engine.zygote import Birth

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.records import WorkerRecord
    from burrow_jupyter.core.scheduler.state import Settings
    from burrow_jupyter.engine.hardware import MemoryGauge
    from burrow_jupyter.engine.publisher import Publisher

RECV_BYTES = 1024 * 1024
FRAME_MESSAGES = 512
OUTGOING_MAX_BYTES = 256 * 1024 * 1024
"""Unsent bytes for one peer; one that reads nothing for so long is cut off."""
ZYGOTE_END_S = 5.0

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


class _Peer:
    """One connection."""

    __slots__ = ("challenge", "deadline", "frames", "greeting", "id", "out", "sock", "watched")

    def __init__(
        self, peer_id: int, sock: socket.socket, challenge: bytes, deadline: float
    ) -> None:
        self.id = peer_id
        self.sock = sock
        self.frames = FrameBuffer()
        self.out = bytearray()
        self.challenge = challenge  # b"" once it has proved to have the key
        self.greeting = b""
        self.deadline = deadline
        self.watched = False  # for being writable


class Head:
    """The loop of one burrow."""

    def __init__(
        self,
        *,
        settings: Settings,
        places: session.Places,
        key: bytes,
        driver: socket.socket,
        zygote: socket.socket,
        zygote_pid: int,
        publisher: Publisher,
        gauge: MemoryGauge,
    ) -> None:
        self._places = places
        self._key = key
        self._scheduler = Scheduler(settings)
        self._epoch = time.time() - time.monotonic()
        self._received = memoryview(bytearray(RECV_BYTES))
        self._peers: dict[int, _Peer] = {}
        self._by_id: dict[int, _Peer] = {}
        self._next_peer = 1
        self._timers: list[float] = []
        self._stop_reason = ""
        self._poll = select.epoll()
        self._zygote = zygote
        self._zygote_pid = zygote_pid
        self._zygote_frames = FrameBuffer()
        self._newborn: deque[int] = deque()
        """Connections of workers, in the order in which the zygote tells of them."""
        self._kill_at: dict[int, float] = {}
        self._kill_if: dict[tuple[int, int], float] = {}  # only if it runs this task then
        self._publisher = publisher
        self._gauge = gauge
        self._weigh_at = 0.0 if settings.memory is not None else float("inf")
        self._refusals = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(places.socket)
        os.chmod(places.socket, 0o600)  # Path costs an import here
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(zygote, select.EPOLLIN)
        transport.tune(driver)
        self._add(driver, b"")

    def now(self) -> float:
        """Return the time: seconds since the epoch, but never jumping."""
        return self._epoch + time.monotonic()

    # ---- the loop --------------------------------------------------------------------

    def run(self) -> None:
        """Serve until there is a reason to stop."""
        self._carry_out()
        while not self._stop_reason:
            events = self._poll.poll(self._sleep_s())
            if self.now() >= self._weigh_at:
                self._weigh()  # before what has come, which perhaps is the first for long
            for fd, event in events:
                if fd == self._listener.fileno():
                    self._accept()
                elif fd == self._zygote.fileno():
                    self._hear_zygote()
                else:
                    peer = self._peers.get(fd)
                    if peer is None:
                        continue
                    if event & select.EPOLLOUT:
                        self._send_out(peer)
                    if event & ~select.EPOLLOUT:
                        self._read(peer)
            self._run_timers()
            self._carry_out()
            self._publish()
        self._end()

    def _sleep_s(self) -> float:
        due = self._timers[0] if self._timers else None
        feed_due = self._publisher.due()
        if feed_due is not None:
            due = feed_due if due is None else min(due, feed_due)
        return -1 if due is None else max(0.0, due - self.now())

    def _run_timers(self) -> None:
        now = self.now()
        ticked = False
        while self._timers and self._timers[0] <= now:
            heapq.heappop(self._timers)
            ticked = True
        if not ticked:
            return
        for peer in list(self._peers.values()):
            if peer.challenge and peer.deadline <= now:
                self._refuse(peer, "it did not authenticate in time")
        for worker_id, at in list(self._kill_at.items()):
            if at <= now:
                self._kill(worker_id)
        for (worker_id, task_id), at in list(self._kill_if.items()):
            if at <= now:
                del self._kill_if[worker_id, task_id]
                self._kill_in_task(worker_id, task_id, deaf=True)
        self._scheduler.tick(now)

    def _weigh(self) -> None:
        """Read the memory, and say so if it is short or was."""
        now = self.now()
        self._weigh_at = now + limits.WEIGH_INTERVAL_S
        state, used = self._scheduler.state, self._gauge.used_bytes()
        bounds = state.settings.memory
        assert bounds is not None, "or it is never time"
        if used > bounds.pause_bytes or state.paused:
            ours = {worker.pid for worker in state.workers.values()}
            ours.update(client.pid for client in state.clients.values() if client.role == "driver")
            self._scheduler.weigh(Reading(used, *largest(ours)), now)

    def _wake_at(self, at: float) -> None:
        heapq.heappush(self._timers, at)

    # ---- connections -----------------------------------------------------------------

    def _add(self, sock: socket.socket, challenge: bytes) -> _Peer:
        sock.setblocking(False)
        deadline = self.now() + limits.AUTH_TIMEOUT_S
        peer = _Peer(self._next_peer, sock, challenge, deadline)
        self._next_peer += 1
        self._peers[sock.fileno()] = peer
        self._by_id[peer.id] = peer
        self._poll.register(sock, select.EPOLLIN)
        return peer

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            try:
                transport.check_user(sock)
                waiting = sum(bool(p.challenge) for p in self._peers.values())
                if waiting >= limits.UNAUTHENTICATED_MAX:
                    msg = "too many connections wait to authenticate"
                    raise transport.AuthenticationError(msg)
                challenge = transport.make_challenge()
                sock.setblocking(False)
                sock.send(challenge)
            except OSError as error:
                self._log_refusal(str(error))
                sock.close()
                continue
            peer = self._add(sock, challenge)
            self._wake_at(peer.deadline)

    def _authenticate(self, peer: _Peer, data: bytes) -> bytes:
        """Take the proof; return what came after it. Nothing is decoded before."""
        peer.greeting += data
        if len(peer.greeting) < transport.PROOF_BYTES:
            if not transport.MAGIC.startswith(peer.greeting[: len(transport.MAGIC)]):
                msg = "it speaks another protocol"
                raise transport.AuthenticationError(msg)
            return b""
        proof, rest = (
            peer.greeting[: transport.PROOF_BYTES],
            peer.greeting[transport.PROOF_BYTES :],
        )
        answer = transport.check_proof(self._key, peer.challenge, proof)
        peer.challenge = peer.greeting = b""
        transport.tune(peer.sock)
        peer.out += answer
        self._send_out(peer)
        return rest

    def _refuse(self, peer: _Peer, why: str) -> None:
        self._log_refusal(why)
        self._close(peer)

    def _log_refusal(self, why: str) -> None:
        self._refusals += 1
        if self._refusals <= 20 or self._refusals % 1000 == 0:
            log(f"connection {self._refusals} refused: {why}")

    def _close(self, peer: _Peer) -> None:
        if self._peers.pop(peer.sock.fileno(), None) is None:
            return
        del self._by_id[peer.id]
        with contextlib.suppress(OSError):
            self._poll.unregister(peer.sock)
        peer.sock.close()
        self._publisher.forget(peer.id)
        self._scheduler.lost(peer.id, self.now())

    def _read(self, peer: _Peer) -> None:
        try:
            # Into a buffer that stays: to map and unmap a fresh one costs 5 us each time.
            data = bytes(self._received[: peer.sock.recv_into(self._received)])
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(peer)
            return
        try:
            if peer.challenge:
                data = self._authenticate(peer, data)
                if not data:
                    return
            for frame in peer.frames.feed(data):
                batch = transport.decode_from_client(frame)
                self._scheduler.receive(peer.id, batch, self.now())
        except (transport.AuthenticationError, FrameTooLarge) as error:
            self._refuse(peer, str(error))
        except (ProtocolError, msgspec.DecodeError) as error:
            log(f"a connection was closed: {error}")
            self._close(peer)

    def _send_out(self, peer: _Peer) -> None:
        try:
            while peer.out:
                sent = peer.sock.send(peer.out)
                del peer.out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            peer.out.clear()  # its loss is heard when it is read
        wants = bool(peer.out)
        if wants != peer.watched:
            peer.watched = wants
            mask = select.EPOLLIN | (select.EPOLLOUT if wants else 0)
            with contextlib.suppress(OSError):
                self._poll.modify(peer.sock, mask)

    # ---- what the scheduler wants ----------------------------------------------------

    def _carry_out(self) -> None:
        while True:
            sends, orders = self._scheduler.drain()
            if not sends and not orders:
                return
            if sends:
                self._send_all(sends)
            for order in orders:
                self._do(order)

    def _send_all(self, sends: list[tuple[int, Any]]) -> None:
        batches: dict[int, list[Any]] = {}
        for peer_id, message in sends:
            batch = batches.get(peer_id)
            if batch is None:
                batches[peer_id] = [message]
            else:
                batch.append(message)
        for peer_id, batch in batches.items():
            peer = self._by_id.get(peer_id)
            if peer is None:
                continue
            if type(batch[0]) is messages.Welcome:
                batch[0] = self._complete(batch[0])
            for start in range(0, len(batch), FRAME_MESSAGES):
                self._append(peer, batch[start : start + FRAME_MESSAGES])
            self._send_out(peer)
            if len(peer.out) > OUTGOING_MAX_BYTES:
                log("a client that reads nothing was cut off")
                self._close(peer)

    def _append(self, peer: _Peer, batch: list[Any]) -> None:
        frame = transport.encode_frame(batch)
        if len(frame) > limits.FRAME_TARGET_BYTES and len(batch) > 1:
            half = len(batch) // 2
            self._append(peer, batch[:half])
            self._append(peer, batch[half:])
        else:
            peer.out += frame

    def _complete(self, welcome: messages.Welcome) -> messages.Welcome:
        info = {**welcome.info, **self._publisher.facts}
        info["directory"] = self._places.directory
        return msgspec.structs.replace(
            welcome, store_dir=self._places.store, spill_dir=self._places.spill, info=info
        )

    def _do(self, order: commands.Command) -> None:
        if isinstance(order, commands.StartWorker):
            env, directory = order.env
            gpus = list(order.gpus) if order.gpus is not None else None
            birth = Birth(order.worker_id, list(env), directory, gpus, order.actor)
            data = _encode(birth)
            # Somebody may have removed it, with all objects in it. That of somebody else could
            # hold objects that are not ours.
            if not session.make_private(self._places.store):
                self._stop_reason = f"{self._places.store} is no private directory any more"
                return
            try:
                self._zygote.sendall(HEADER.pack(len(data)) + data)
            except OSError as error:
                self._stop_reason = f"the zygote is gone: {error}"
        elif isinstance(order, commands.StopWorker):
            at = self.now() + order.grace_s
            if order.task_id:
                if order.grace_s <= 0:
                    if self._kill_in_task(order.worker_id, order.task_id):
                        return
                    at += limits.STOP_GRACE_S
                self._kill_if[order.worker_id, order.task_id] = at
                self._wake_at(at)
            elif order.grace_s <= 0:
                self._kill(order.worker_id)
            else:
                self._kill_at[order.worker_id] = at
                self._wake_at(at)
        elif isinstance(order, commands.WakeAt):
            self._wake_at(order.at)
        elif isinstance(order, commands.Unlink):
            for name in order.names:
                self._unlink(name)
        elif isinstance(order, commands.Sweep):
            self._sweep(order)
        else:
            self._stop_reason = order.reason

    def _kill(self, worker_id: int) -> None:
        """Kill a worker's group; the zygote tells when it is dead."""
        worker = self._scheduler.state.workers.get(worker_id)
        if worker is None:
            self._kill_at.pop(worker_id, None)
            return
        if worker.pid:
            with contextlib.suppress(ValueError):
                processes.kill_group(worker.pid, 9)
            self._kill_at[worker_id] = self.now() + 1.0
        else:  # it is not born yet: look again
            self._kill_at[worker_id] = self.now() + 0.01
        self._wake_at(self._kill_at[worker_id])

    def _kill_in_task(self, worker_id: int, task_id: int, *, deaf: bool = False) -> bool:
        """Kill a worker if it runs this task, and not the next one by now; say whether it did.

        Also one that has not begun it and does not say that it will not, although it runs
        nothing else, if it has had the time for it: it is stopped, perhaps.
        """
        task = self._scheduler.state.tasks.get(task_id)
        if task is None:
            return True
        running = journal.running(self._places.store, worker_id)
        worker = task.worker
        if running != task_id and not (
            deaf
            and worker is not None
            and worker.id == worker_id
            and running not in worker.assigned
        ):
            return False
        self._kill(worker_id)
        return True

    def _unlink(self, name: str) -> None:
        directory = self._places.spill if name.endswith("-d") else self._places.store
        with contextlib.suppress(OSError):
            os.unlink(f"{directory}/{name}")  # in the loop

    def _sweep(self, order: commands.Sweep) -> None:
        keep = set(order.keep)
        prefix = f"c{order.client_id}-"
        for directory in (self._places.store, self._places.spill):
            with contextlib.suppress(FileNotFoundError):  # removed by somebody else, with all in it
                for name in os.listdir(directory):  # in the loop
                    if name.startswith(prefix) and name not in keep:
                        self._unlink(name)

    # ---- the zygote ------------------------------------------------------------------

    def _hear_zygote(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._zygote, 65536, 64)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self._newborn.extend(fds)
        if not data:
            self._stop_reason = "the zygote died, and all workers with it"
            return
        for frame in self._zygote_frames.feed(data):
            kind, worker_id, *rest = _decode(frame)
            if kind == "born":
                self._add(socket.socket(fileno=self._newborn.popleft()), b"")
                self._scheduler.forked(worker_id, rest[0])
            elif kind == "unborn":
                log(f"worker {worker_id} could not be forked: {rest[0]}")
                self._lose_worker(worker_id, None, None, f"it could not be forked: {rest[0]}")
            elif kind == "dead":
                self._lose_worker(worker_id, rest[0], rest[1])

    def _lose_worker(
        self, worker_id: int, code: int | None, signal: int | None, unborn: str = ""
    ) -> None:
        """A worker is dead: hear its last words, then say so."""
        self._kill_at.pop(worker_id, None)
        self._scheduler.unfold()  # for what it has is looked up below
        state = self._scheduler.state
        worker = state.workers.get(worker_id)
        peer = None
        if worker is not None and worker.client is not None:
            peer = self._by_id.get(worker.client.peer)
        if peer is not None:
            while peer.sock.fileno() in self._peers and self._has_bytes(peer):
                self._read(peer)
        running, ends = journal.read(self._places.store, worker_id)
        begun = running
        journal.remove(self._places.store, worker_id)
        with contextlib.suppress(OSError):
            os.unlink(door_of(self._places.directory, worker_id))  # in the loop
        if worker is not None and worker.client is not None:
            for task_id, micros, data in ends:
                with contextlib.suppress(msgspec.DecodeError, ProtocolError):
                    batch: list[Any] = [messages.DoneMany(task_id, [data], micros)]
                    if not task_id:
                        (frame,) = FrameBuffer().feed(data)
                        batch = transport.decode_from_client(frame)
                    self._scheduler.receive(worker.client.peer, batch, self.now())
            setups = {setup.code_id for setup in state.setups if setup is not None}
            if running not in worker.assigned and running not in setups:
                running = 0
            self._hear_last_words(worker, running)
        if signal is not None or code:
            log(f"worker {worker_id} ended: exit code {code}, signal {signal}")
        self._scheduler.exited(worker_id, code, signal, running, self.now(), begun, unborn)
        if peer is not None:
            self._close(peer)

    def _hear_last_words(self, worker: WorkerRecord, running: int) -> None:
        """Pass on what a dead worker's C code has said."""
        assert worker.client is not None, "it had said hello"
        task = worker.assigned.get(running)
        chunks: list[Any] = [
            messages.OutputChunk(running, task.run_id if task is not None else 0, name, data)
            for name, data in last_words(self._places.store, worker.id, worker.told)
        ]
        if chunks:
            self._scheduler.receive(worker.client.peer, chunks, self.now())

    @staticmethod
    def _has_bytes(peer: _Peer) -> bool:
        try:
            return bool(peer.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    # ---- the feed and the end --------------------------------------------------------

    def _publish(self) -> None:
        state = self._scheduler.state
        if not state.observed:
            return
        now = self.now()
        for peer_id, frame in self._publisher.frames(state, now, self._by_id_unsent):
            peer = self._by_id.get(peer_id)
            if peer is not None:
                peer.out += transport.encode_frame([messages.FeedFrame(frame)])
                self._send_out(peer)

    def _by_id_unsent(self, peer_id: int) -> int:
        peer = self._by_id.get(peer_id)
        return len(peer.out) if peer is not None else 0

    def _end(self) -> None:
        """Tell everybody, end every process, remove every file."""
        log(f"ending: {self._stop_reason}")
        goodbye = transport.encode_frame([messages.Bye(self._stop_reason)])
        for peer in self._peers.values():
            client = self._scheduler.state.peers.get(peer.id)
            if not peer.challenge and (client is None or client.worker is None):
                peer.out += goodbye
                self._send_out(peer)
        self._listener.close()
        self._zygote.close()
        if not processes.wait_ended(self._zygote_pid, ZYGOTE_END_S):
            for worker in self._scheduler.state.workers.values():
                if worker.pid:
                    with contextlib.suppress(ValueError):
                        processes.kill_group(worker.pid, 9)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._zygote_pid, 9)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._zygote_pid, os.WNOHANG)
        # Had the zygote been killed, what workers left behind has come to us.
        processes.kill_orphans(())
        session.remove(self._places.directory, self._places.store)


def log(text: str) -> None:
    """Write a line to the head's log, which is its stderr."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)  # noqa: T201


__all__ = ["Head", "log"]
