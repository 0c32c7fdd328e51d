"""The zygote: a small single-threaded process, warm with the imports, that forks workers.

It does what the head says and tells it of births and deaths; as the parent of all
workers, and of whatever their tasks left behind (it is their subreaper), it sees to it
that a worker's grandchildren end with it. When the head is gone, for whatever reason,
it ends every worker and then itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core.framing import HEADER, FrameBuffer
from burrow_jupyter.engine import processes

if TYPE_CHECKING:
    from collections.abc import Callable

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode

END_WITHIN_S = 3.0
"""How long the zygote tries to see every descendant gone before it goes itself."""


class Birth(msgspec.Struct, array_like=True):
    """What the head wants forked."""

    worker_id: int
    env: list[tuple[str, str]]
    directory: str
    gpus: list[str] | None
    actor: bool


_decode_birth = msgspec.msgpack.Decoder(Birth).decode


class Zygote:
    """Forks and reaps; `work` is what a forked worker does."""

    def __init__(self, sock: socket.socket, work: Callable[[Birth, socket.socket], None]) -> None:
        self._sock = sock
        self._work = work
        self._frames = FrameBuffer()
        self._pids: dict[int, int] = {}
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)

    def run(self) -> None:
        """Fork until the head is gone; then end everything."""
        processes.become_subreaper()
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        while True:
            events = poll.poll()
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake_r, 4096):
                    pass
            self._reap()
            if any(fd == self._sock.fileno() for fd, _ in events):
                try:
                    data = self._sock.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    break
                for frame in self._frames.feed(data):
                    self._fork(_decode_birth(frame))
        self._end_all()

    def _tell(self, *what: Any) -> None:
        data = _encode(what)
        with contextlib.suppress(OSError):
            self._sock.sendall(HEADER.pack(len(data)) + data)

    def _fork(self, birth: Birth) -> None:
        parent = os.getpid()
        try:
            heads, workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            self._tell("unborn", birth.worker_id, str(error))
            return
        try:
            pid = os.fork()
        except OSError as error:
            heads.close()
            workers.close()
            limit = ", which is a limit of processes: `ulimit -u`, or a container's"
            hint = limit if error.errno == errno.EAGAIN else ""
            self._tell("unborn", birth.worker_id, f"{error.strerror}{hint}")
            return
        if pid == 0:
            code = 1
            try:
                heads.close()
                self._become_worker(parent)
                self._work(birth, workers)
                code = 0
            except BaseException:  # noqa: BLE001  # a child must never run on in the zygote's frames
                import traceback  # noqa: PLC0415  # only needed when all is lost

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        self._pids[pid] = birth.worker_id
        workers.close()
        # The head's end of the worker's connection goes with the news: a worker need not
        # knock at the socket that strangers can reach, nor prove anything.
        data = _encode(("born", birth.worker_id, pid))
        with contextlib.suppress(OSError):
            socket.send_fds(self._sock, [HEADER.pack(len(data)) + data], [heads.fileno()])
        heads.close()

    def _become_worker(self, parent: int) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._sock.close()
        os.close(self._wake_r)
        os.close(self._wake_w)
        processes.new_session()
        processes.die_with_parent(parent)

    def _reap(self) -> None:
        """Collect the dead; what a dead worker's group still has goes with it."""
        lost = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            worker_id = self._pids.pop(pid, None)
            if worker_id is None:
                continue  # somebody's grandchild
            lost = True
            with contextlib.suppress(ValueError):
                processes.kill_group(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(status)
            self._tell("dead", worker_id, code if code >= 0 else None, -code if code < 0 else None)
        if lost:
            processes.kill_orphans(self._pids)

    def _end_all(self) -> None:
        """The head is gone: so is everybody else, within a bound."""
        signal.set_wakeup_fd(-1)
        until = time.monotonic() + END_WITHIN_S
        for pid in list(self._pids):
            with contextlib.suppress(ValueError):
                processes.kill_group(pid, signal.SIGKILL)
        while time.monotonic() < until:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid:
                self._pids.pop(pid, None)
                continue
            processes.kill_orphans(self._pids)
            select.select([], [], [], 0.005)
