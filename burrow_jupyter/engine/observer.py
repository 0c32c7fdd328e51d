"""Watching a burrow from outside: its state feed, and the few things that one may do to it.

Used by the Jupyter server. An observer has a connection of its own, proves to have the
key like everybody, holds the model that it builds from snapshot and deltas, and never
loads a pickle.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

import burrow_jupyter
from burrow_jupyter.core import feed, messages
from burrow_jupyter.core.framing import FrameBuffer, FrameTooLarge
from burrow_jupyter.engine import session, transport
from burrow_jupyter.engine.session import BurrowFile, list_burrows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECV_BYTES = 256 * 1024


class Observer:
    """One connection to one head. Any thread may call anything."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        """Ask for the feed and wait for the first snapshot; see `connect`."""
        self._sock = sock
        self._send_lock = threading.Lock()
        self._lock = threading.Lock()
        self._model: feed.Snapshot | None = None
        self._callbacks: list[Callable[[feed.Snapshot | feed.Delta], None]] = []
        self._closed = False
        self._numbers = itertools.count(1)
        self._questions: dict[int, Future[messages.Answer]] = {}
        self.on_close: list[Callable[[], None]] = []
        first = threading.Event()
        self._first = first
        version = burrow_jupyter.__version__
        self._send(messages.Hello("observer", os.getpid(), 0, version), messages.Observe())
        self._thread = threading.Thread(target=self._read, name="burrow-observer", daemon=True)
        self._thread.start()
        if not first.wait(timeout_s) or self._model is None:
            self.close()
            msg = f"the burrow did not say how it stands within {timeout_s:g} s"
            raise ConnectionError(msg)

    @classmethod
    def connect(cls, connection_file: Path, timeout_s: float = 5.0) -> Observer:
        """Connect to the burrow of a connection file.

        Raises:
            ConnectionError: the file is not private to this user, nobody answers, or in time.
        """
        file = session.read_file(str(connection_file))
        try:
            sock = transport.connect(file.socket, bytes.fromhex(file.key), timeout_s)
        except (OSError, ValueError) as error:
            msg = f"no burrow answers for {connection_file.parent.name}: {error}"
            raise ConnectionError(msg) from None
        return cls(sock, timeout_s)

    # ---- reading ---------------------------------------------------------------------

    def _read(self) -> None:
        frames = FrameBuffer()
        try:
            while not self._closed:
                data = self._sock.recv(RECV_BYTES)
                if not data:
                    break
                for frame in frames.feed(data):
                    for message in transport.decode_from_head(frame):
                        self._take(message)
        except (OSError, FrameTooLarge, ValueError):
            pass  # the same end: nothing more is heard
        self._end()

    def _take(self, message: Any) -> None:
        if isinstance(message, messages.Answer):
            asked = self._questions.pop(message.request_id, None)
            if asked is not None:
                asked.set_result(message)
            return
        if not isinstance(message, messages.FeedFrame):
            return
        step = message.feed
        with self._lock:
            if isinstance(step, feed.Snapshot):
                self._model = step
            elif self._model is not None:
                self._model = feed.apply(self._model, step)
            callbacks = list(self._callbacks)
        self._first.set()
        for callback in callbacks:
            callback(step)

    def snapshot(self) -> feed.Snapshot:
        """Return the burrow as of the last step of its feed."""
        with self._lock:
            assert self._model is not None, "the constructor has waited for it"
            return self._model

    def subscribe(
        self, callback: Callable[[feed.Snapshot | feed.Delta], None]
    ) -> Callable[[], None]:
        """Tell `callback` every step, first at once the state as it is; return how to end that.

        It is called in the reading thread (at first in the caller's) and must not block.
        """
        with self._lock:
            self._callbacks.append(callback)
            model = self._model
            if model is not None:
                callback(model)  # under the lock, so that no step comes before it

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return end

    def why(self, task_id: int, timeout_s: float = 10.0) -> str:
        """Return why a task has not ended: a sentence, and perhaps more lines.

        Raises:
            TimeoutError: the head does not answer in time.
            ConnectionError: the burrow has ended.
        """
        number = next(self._numbers)
        asked = self._questions[number] = Future()
        try:
            self._send(messages.Query(number, "why", [task_id]))
            answer = asked.result(timeout_s)
        except TimeoutError:
            msg = f"the burrow did not answer within {timeout_s:g} s"
            raise TimeoutError(msg) from None
        finally:
            self._questions.pop(number, None)
        return str(answer.payload) if not answer.error else answer.error

    # ---- doing -----------------------------------------------------------------------

    def _send(self, *batch: Any) -> None:
        frame = transport.encode_frame(list(batch))
        with self._send_lock:
            self._sock.sendall(frame)

    def cancel_task(self, task_id: int, *, force: bool = False) -> None:
        """Cancel a task and what it has submitted."""
        self._send(messages.Cancel(task_id, force))

    def cancel_run(self, run_id: int) -> None:
        """Cancel everything that a run has launched."""
        self._send(messages.CancelRun(run_id))

    def kill_actor(self, actor_id: int) -> None:
        """End an actor's process."""
        self._send(messages.Kill(actor_id))

    def stop_burrow(self) -> None:
        """End the burrow."""
        self._send(messages.Shutdown())

    # ---- the end ---------------------------------------------------------------------

    def _end(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._first.set()
        for asked in list(self._questions.values()):
            with contextlib.suppress(InvalidStateError):  # answered, or given up
                asked.set_exception(ConnectionError("the burrow has ended"))
        for callback in list(self.on_close):
            callback()

    def close(self) -> None:
        """End the connection; the burrow lives on."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)
        self._end()
        self._sock.close()


__all__ = ["BurrowFile", "Observer", "list_burrows"]
