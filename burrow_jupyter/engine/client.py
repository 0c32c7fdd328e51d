"""A process's connection to its head: what drivers and workers alike do with it.

Who reads: the thread that waits in `get` or `wait` reads the socket itself (the
*leader*); others that wait meanwhile are woken by it. While nobody waits, the
*attendant*, one background thread, reads and sends what was left to be sent. It never
competes with a leader: after activity it only looks every few milliseconds, and it
sleeps in the kernel, at no cost, when nothing happens.

Who writes: any thread appends messages to one list; `flush` sends them in batches, in
order. `__del__` of refs only appends to a deque.

Counting: an `Entry` counts the refs of this process to one object; the head hears of
the first and of the last only.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import os
import select
import socket
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import (
    EngineError,
    Failure,
    UserError,
    WorkerDied,
    one_line,
    root_of,
)
from burrow_jupyter.core.framing import FrameBuffer
from burrow_jupyter.core.fusing import runs_of
from burrow_jupyter.core.ids import STRIDE, IdMint
from burrow_jupyter.core.limits import (
    AUTH_TIMEOUT_S,
    BATCH_MAX_DELAY_S,
    BATCH_MAX_MESSAGES,
    FRAME_TARGET_BYTES,
    IDS_MAX,
    UNSEEN_MAX,
)
from burrow_jupyter.core.messages import SubmitMany, Value
from burrow_jupyter.engine import serialization, transport
from burrow_jupyter.engine.shield import Shield, raising_interrupts
from burrow_jupyter.engine.store.segments import SegmentFiles, SegmentReader, SegmentWriter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

    from burrow_jupyter.engine.direct import Direct
    from burrow_jupyter.engine.ways import Way

get_ident = threading.get_ident
monotonic = time.monotonic

PENDING = 0
VALUE = 1  # is here
FAILED = 2
ANNOUNCED = 3  # exists, but its value was not sent yet
KNOWN = 4  # somebody else's: the head knows how it stands

ATTENDANT = "burrow-attendant"
RECV_BYTES = 256 * 1024
QUIET_S = 0.05
"""Without activity for so long, the attendant goes from looking often to sleeping."""
TICK_S = 0.004
"""How often the attendant looks while there is activity."""
INTERRUPT_TICK_S = 0.1
"""Seconds after which a waiting main thread looks for an interrupt that came just before it
began to wait. (What would end the wait, a wakeup descriptor, is the user's event loop's.)"""
LED_TICK_S = 0.1
"""How often the attendant looks while somebody else reads."""
REST_AFTER_S = 5.0
REST_TICK_S = 1.0
"""After so long without activity, while somebody else reads, it looks so seldom: for what child
processes may have written. Whoever ends the reading wakes it."""
REUSE_MAX_WAIT_S = 0.001
"""Longest wait for a segment on its way back: the head answers within 0.2 ms."""
FRESH_BYTES_PER_S = 5e9
"""What a fresh segment costs more than a warm one, which bounds the wait for small ones."""
WARM_KEEP_BYTES = 512 * 1024 * 1024
"""Freed shared memory that one process keeps warm for its next objects."""


class ConnectionLost(ConnectionError):
    """The head is gone; the text says what is known of why."""


class GaveUp(Exception):
    """What a call waits for will never come; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class _InterludeError(Exception):
    """The main thread, which waits, has something to do first."""


class Entry(msgspec.Struct, gc=False):  # made for every call: this is the cheapest to make
    """What this process knows of one object."""

    state: int
    asked: bool = False  # somebody has seen, or will see, how it ended
    count: int = 1
    value: Value | None = None
    failure: Failure | None = None


class Watched(Protocol):
    """What is read besides the head's messages."""

    fd: int
    open: bool

    def read(self) -> bool:
        """Take what has come, without waiting; say whether anything has."""

    def close(self) -> None:
        """Nobody reads it any more."""


class _Question:
    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: messages.Answer | None = None


class _Early(list[messages.Streamed]):
    """Items of a generator that came before anybody could say who takes them."""

    __call__ = list.append


class _Arrival:
    """Calls back once when an object's value is here.

    No closure that registers itself again: one that knows itself would stay, with all that it
    knows, until a garbage collection, which an idle worker never makes.
    """

    __slots__ = ("_client", "_entry", "_object_id", "_once")

    def __init__(
        self, client: Client, object_id: int, entry: Entry, callback: Callable[[], None]
    ) -> None:
        self._client = client
        self._object_id = object_id
        self._entry = entry
        self._once = [callback]

    def __call__(self) -> None:
        """Something was heard of the object."""
        entry, client = self._entry, self._client
        if entry.state in (VALUE, FAILED):
            with contextlib.suppress(IndexError):  # another thread was faster
                callback = self._once.pop()
                client.calling.add(get_ident())
                try:
                    callback()
                finally:
                    client.calling.discard(get_ident())
            return
        client.add_callback(entry, self)
        if entry.state == ANNOUNCED:
            client.unsent.append(messages.Get([self._object_id], 1, 0))
            client.kick()


def pieces(ids: list[int]) -> list[list[int]]:
    """Return ids in lists that fit in a message each: a larger one would end the connection."""
    return [ids[at : at + IDS_MAX] for at in range(0, len(ids), IDS_MAX)]


class Client:
    """One connection. All public methods may be called from any thread."""

    def __init__(
        self,
        sock: socket.socket,
        hello: messages.Hello,
        urgent: Callable[[Any], None] | None = None,
    ) -> None:
        """Say hello on an authenticated socket and wait, with a bound, for the welcome."""
        self._sock = sock
        self._fd = sock.fileno()
        self.shield = Shield()
        self._frames = FrameBuffer()
        self._received = memoryview(bytearray(RECV_BYTES))
        self._early: list[Any] = []
        self.unsent: list[Any] = []
        """Messages for the head, in order."""
        self.send_lock = threading.Lock()
        """Held by whoever sends, and whoever adds to a message that is in `unsent` already."""
        self._sender = 0
        """The thread that has held it last."""
        self._last_flush = 0.0
        self._heard_at = 0.0
        self._gone: list[int] = []
        """Objects and actors that we hold no more, of which the head is still to hear."""
        self.dropped: deque[int] = deque()
        """Ids of refs that have died; appended to by `__del__`, wherever that runs."""
        self.unmapped: deque[str] = deque()
        self.ended_streams: deque[int] = deque()
        """Generators that were dropped here; appended to by `__del__`."""

        self.entries: dict[int, Entry] = {}
        self.never = Entry(PENDING)
        """Stands for an object that will not come."""
        self.failures_seen = 0
        self._unseen: dict[int, None] = {}
        """Tasks that failed unseen of which it was told, the latest of them."""
        self._untold: deque[messages.Notice] = deque()
        self._telling = threading.Lock()
        self._teller = 0
        """The thread that told last: the one that holds the lock, from its first notice on."""
        self._segments: dict[str, list[int]] = {}
        self._segments_lock = threading.Lock()
        self.calling: set[int] = set()
        """Threads that call back for an entry; one of them reads, so none may ask the head."""
        self._awaited: dict[int, list[Callable[[], None]]] = {}
        """Who is to be called back for an entry, by Python's id of it."""
        self._questions: dict[int, _Question] = {}
        self._waits = itertools.count(1)
        """Numbers of waits of calls."""
        self._waiting: dict[int, Callable[[Failure], None]] = {}
        """By number of a wait: who is to hear why what it is for will never come."""
        self.abandoned: set[int] = set()
        """Requests for actors whose asker was interrupted: nobody holds what is answered."""
        self._streams: dict[int, Callable[[messages.Streamed], None]] = {}
        self._streams_lock = threading.Lock()

        self._lead = threading.Lock()
        self._news = threading.Condition(threading.Lock())
        self._followers = 0
        self._led_at = 0.0
        self._lazy = False
        self._rests = False
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._watched: dict[int, Watched] = {}
        self.hot: Way | None = None
        """Where the answer to what this process waits for is soon to come."""
        self.direct: Direct | None = None
        """Of a driver: its calls that do not go through the head."""
        self.precede: Callable[[list[Any]], None] | None = None
        """Puts in front of what is to be sent what the head must know before."""
        self._poke_r = -1
        self._closed = False
        self.lost_reason = ""
        self.on_lost: list[Callable[[], None]] = []
        self.on_notice: Callable[[messages.Notice], None] | None = None
        self.on_printed: Callable[[messages.Printed], None] | None = None
        self.on_debugged: Callable[[messages.Debugged], None] | None = None
        self.on_prepared: Callable[[messages.Prepared], None] | None = None
        self.interlude: Callable[[], None] | None = None
        """What the main thread is to do as soon as it waits, once; set by `want_user`."""
        self.user_waits: Callable[[], bool] = lambda: True
        """Says whether there is a user to talk to when the main thread is in an event loop."""
        self._wake_main: Callable[[], object] | None = None
        """Has the main thread look for an interlude where it waits for others than the head."""
        self.inbox: deque[Any] = deque()
        """Messages for the worker's loop."""
        self.on_attend: Callable[[], float | None] | None = None
        """Called by the attendant in each round; returns in how many seconds at the latest
        it wants to be called again, `None` for no limit."""
        self.urgent: Callable[[Any], None] | None = urgent
        """Takes what a worker must hear also while it runs a task, in the reading thread."""

        self._handlers: dict[type, Callable[[Any], None]] = {
            messages.Deliver: self._on_deliver,
            messages.DeliverMany: self._on_deliver_many,
            messages.Ready: self._on_ready,
            messages.Answer: self._on_answer,
            messages.Reuse: self._on_reuse,
            messages.Streamed: self._on_streamed,
            messages.Notice: self._on_notice,
            messages.GiveUp: self._on_give_up,
            messages.Printed: self._on_printed,
            messages.Debugged: self._on_debugged,
            messages.Prepared: self._on_prepared,
            messages.Bye: self._on_bye,
            messages.Run: self.inbox.append,
            messages.RunMany: lambda message: self.inbox.extend(runs_of(message)),
            messages.BecomeActor: self.inbox.append,
            messages.Exit: self.inbox.append,
            messages.Surroundings: self.inbox.append,
            messages.ModulesEdited: self.inbox.append,
            messages.Setup: self.inbox.append,
            messages.Code: self._on_urgent,
            messages.ForgetCode: self.inbox.append,
            messages.Options: self._on_urgent,
            messages.TakeBack: self._on_urgent,
            messages.Interrupt: self._on_urgent,
            messages.StreamCredit: self._on_urgent,
            messages.Debug: self._on_urgent,
            messages.Where: self._on_urgent,
            messages.ForgetFailures: self._on_urgent,
            messages.Admit: self._on_urgent,
            messages.Reclaim: self._on_urgent,
            messages.Adopt: self._on_urgent,
            messages.Reached: self._on_reached,
            messages.WayLost: self._on_way_lost,
            messages.CancelRun: self._on_cancel_run,
        }
        self.unsent.append(hello)
        self.flush()
        welcome = self._read_welcome()
        self.id = welcome.client_id
        self.session = welcome.session
        self.namespace = welcome.namespace
        self.cpus = welcome.cpus
        self.totals: dict[str, float] = welcome.info.get("totals", {})
        self.info = welcome.info
        self.mint = IdMint(self.id)
        self.files = SegmentFiles(welcome.store_dir, welcome.spill_dir)
        self.writer = SegmentWriter(
            self.files,
            f"c{self.id}",
            keep_bytes=min(WARM_KEEP_BYTES, welcome.info.get("store_bytes", WARM_KEEP_BYTES) // 4),
            capacity_bytes=welcome.info.get("store_bytes"),
            on_fallback=lambda text: self._on_notice(messages.Notice(text)),
            fetch_due=self._fetch_due,
        )
        self.reader = SegmentReader(self.files, self.unmapped)
        self._attendant = threading.Thread(
            target=_attend, args=(weakref.ref(self),), name=ATTENDANT, daemon=True
        )

    def start(self) -> None:
        """Take what came with the welcome, and begin to attend to the connection.

        Apart from the constructor, so that whoever is told has the client by then.
        """
        early, self._early = self._early, []
        for message in early:
            self._handlers[type(message)](message)
        self._attendant.start()

    def _read_welcome(self) -> messages.Welcome:
        self._sock.settimeout(AUTH_TIMEOUT_S * 4)
        try:
            while True:
                data = self._sock.recv(RECV_BYTES)
                if not data:
                    msg = "the head closed the connection"
                    raise ConnectionLost(msg)
                frames = self._frames.feed(data)
                if not frames:
                    continue
                batch = [m for frame in frames for m in transport.decode_from_head(frame)]
                welcome = batch.pop(0)
                if not isinstance(welcome, messages.Welcome):
                    msg = f"the head answered hello with {type(welcome).__name__}"
                    raise ConnectionLost(msg)
                self._early = batch  # a worker may be given work at once
                return welcome
        finally:
            self._sock.settimeout(None)

    # ---- writing ---------------------------------------------------------------------

    def post(self, message: Any) -> None:
        """Send a message soon: with others if more come within a millisecond."""
        out = self.unsent
        out.append(message)
        if len(out) >= BATCH_MAX_MESSAGES or monotonic() - self._last_flush > BATCH_MAX_DELAY_S:
            self.flush()
        elif self._lazy:
            self.kick()

    def submit(self, task_id: int, code_id: int, options_id: int, run_id: int, args: bytes) -> bool:
        """Submit a plain call soon; say whether the one before is still to be sent with it."""
        out = self.unsent
        # Perhaps by this very thread, which is in a `__del__` of the user's.
        if self.send_lock.locked():
            out.append(SubmitMany(task_id, code_id, options_id, run_id, [args]))
            return False
        with self.send_lock:
            self._sender = get_ident()
            last: Any = out[-1] if out else None
            joins = (
                type(last) is SubmitMany
                and last.options_id == options_id
                and last.code_id == code_id
                and last.run_id == run_id
                and last.first_id + len(last.args) * STRIDE == task_id
            )
            if joins:
                last.args.append(args)
                count = len(last.args)
            else:
                out.append(SubmitMany(task_id, code_id, options_id, run_id, [args]))
                count = len(out)
        if count >= BATCH_MAX_MESSAGES or monotonic() - self._last_flush > BATCH_MAX_DELAY_S:
            self.flush()
        elif self._lazy:
            self.kick()
        return joins

    def flush(self) -> None:
        """Send everything now. Should the head be gone, whoever waits is told, not who sends."""
        if self.send_lock.locked() and self._sender == get_ident():
            return  # a `__del__`, or a signal's handler, while this thread sends: it goes out next time
        shielded = self.shield.enter()
        try:
            self._flush()
        finally:
            if shielded:
                self.shield.leave()
        if self._untold:
            self._tell()

    def _flush(self) -> None:
        out = self.unsent
        with self.send_lock:
            self._sender = get_ident()
            if self.dropped or self.unmapped or self.ended_streams:
                self._collect()
            if self._gone:
                gone, self._gone = self._gone, []
                out += [messages.Drop(piece) for piece in pieces(gone)]
            if self.precede is not None:
                self.precede(out)
            while out:
                # Slicing and deleting the same range of one list are atomic each, so what
                # other threads append meanwhile stays for the next round.
                batch = out[:512]
                frame = transport.encode_frame(batch)
                if len(frame) > FRAME_TARGET_BYTES and len(batch) > 1:
                    batch = out[:8]
                    frame = transport.encode_frame(batch)
                    if len(frame) > FRAME_TARGET_BYTES:
                        batch = out[:1]
                        frame = transport.encode_frame(batch)
                del out[: len(batch)]
                if self._closed:
                    return
                try:
                    self._sock.sendall(frame)
                except OSError as error:
                    self._lose(f"the head process ended ({error})")
                    return
            self._last_flush = monotonic()

    def kick(self) -> None:
        """Wake the attendant. Safe in `__del__`: one system call, no lock."""
        self._lazy = False
        with contextlib.suppress(OSError):
            os.write(self._wake_w, b"x")

    def need_attendant(self) -> None:
        """Have the attendant look soon, should it sleep."""
        if self._lazy:
            self.kick()

    def drop(self, object_id: int) -> None:
        """A ref of this process has died. Called by `__del__`: appends, and wakes a sleeper."""
        self.dropped.append(object_id)
        if self._lazy:
            self.kick()

    def end_stream(self, task_id: int) -> None:
        """Nobody here wants more of a generator's items. Called by `__del__`, as `drop`."""
        self.ended_streams.append(task_id)
        if self._lazy:
            self.kick()

    def _collect(self) -> None:
        """Turn dead refs and mappings into messages; under the send lock."""
        entries, awaited = self.entries, self._awaited
        gone: list[int] = []
        untold = self.direct.untold if self.direct is not None else None
        dropped = self.dropped
        while dropped:
            object_id = dropped.popleft()
            entry = entries.get(object_id)
            if entry is None:
                continue
            entry.count -= 1
            if entry.count > 0:
                continue
            del entries[object_id]
            if awaited:
                awaited.pop(id(entry), None)
            if untold and not self.unsent and object_id in untold:
                # Nothing that is to be sent can mention it: the head need not know it.
                untold[object_id].value = None
                continue
            gone.append(object_id)
            value = entry.value
            if value is None:
                if entry.failure is not None and not entry.asked:
                    root = root_of(entry.failure)
                    if isinstance(root, UserError | WorkerDied):
                        self._note_unseen(root)
            elif value.segment:
                self.release_segment(value.segment)
        while self.unmapped:
            self.release_segment(self.unmapped.popleft())
        while self.ended_streams:
            task_id = self.ended_streams.popleft()
            self._streams.pop(task_id, None)
            self.unsent.append(messages.StreamCredit(task_id, -1))
        if gone:
            self._gone += gone
            if self.direct is not None:
                self.direct.forget(gone)

    def _note_unseen(self, root: UserError | WorkerDied) -> None:
        """Note once of each task that failed and whose results nobody asked for, that it did."""
        unseen = self._unseen
        if root.task_id in unseen:
            return
        unseen[root.task_id] = None
        if len(unseen) > UNSEEN_MAX:
            del unseen[next(iter(unseen))]
        shown = root.traceback if isinstance(root, UserError) else ""
        self._untold.append(
            messages.Notice(f"{root.function} failed: {one_line(root)}", root.run_id, shown)
        )

    def _tell(self) -> None:
        """Say what is to be noticed, one after the other, whichever threads come to know it."""
        if self._telling.locked() and self._teller == get_ident():
            return  # a `__del__`, while this thread tells: it goes on with what there is
        with self._telling:
            self._teller = get_ident()
            while self._untold:
                notice = self._untold.popleft()
                if self.on_notice is not None:
                    self.on_notice(notice)
                else:
                    with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be gone
                        sys.stderr.write(f"{notice.text}\n")

    def adopt(self, any_id: int) -> None:
        """A ref or handle from elsewhere was unpickled here."""
        entries = self.entries
        entry = entries.get(any_id)
        if entry is not None:
            entry.count += 1
            if entries.get(any_id) is entry:
                return  # else the last one went just then, in another thread
        # Looked at in this order: what was let go is in the one or under the other until it is
        # among what is sent. The section below costs 5 us in the main thread of a driver.
        if not self._gone and not self.send_lock.locked():
            fresh = Entry(KNOWN)
            entry = entries.setdefault(any_id, fresh)
            if entry is fresh:
                self.unsent.append(messages.Hold([any_id]))
            else:
                entry.count += 1
            return
        shielded = self.shield.enter()
        try:
            with self.send_lock:
                self._sender = get_ident()
                entry = entries.get(any_id)
                if entry is not None:
                    entry.count += 1
                    return
                entries[any_id] = Entry(KNOWN)
                if any_id in self._gone:
                    # The head has not heard that we let it go, and need not. It would hear of
                    # that after this: then we would hold what it has forgotten.
                    self._gone.remove(any_id)
                else:
                    self.unsent.append(messages.Hold([any_id]))
        finally:
            if shielded:
                self._leave_with(any_id)

    def _leave_with(self, any_id: int) -> None:
        """End a section in which an id was counted: after an interrupt nobody gets its ref."""
        try:
            self.shield.leave()
        except BaseException:
            self.drop(any_id)
            raise

    # ---- segments: how often the head was told of us, and what of ours looks into them -

    def _told(self, name: str) -> None:
        """The head has counted us as a reader once more."""
        with self._segments_lock:
            counts = self._segments.setdefault(name, [0, 0])
            counts[0] += 1
            counts[1] += 1

    def looks(self, name: str) -> None:
        """One more mapping, or holder of a value, looks into the segment."""
        with self._segments_lock:
            self._segments.setdefault(name, [0, 0])[1] += 1

    def release_segment(self, name: str) -> None:
        """One looks no more; when it was the last, the head is told as often as it told us."""
        with self._segments_lock:
            counts = self._segments.get(name)
            if counts is None:
                return
            counts[1] -= 1
            if counts[1] > 0:
                return
            del self._segments[name]
        self.writer.expect(name)
        if counts[0]:
            self.unsent.append(messages.Unmapped([name] * counts[0]))

    def _fetch_due(self, capacity_bytes: int) -> None:
        """Tell the head what we let go, and wait a moment for a segment that it returns."""
        if self.dropped or self.unmapped:
            self.flush()
        if not self.writer.is_due(capacity_bytes):
            return
        with contextlib.suppress(ConnectionLost):
            back = self.wait_until(
                lambda: not self.writer.is_due(capacity_bytes),
                min(REUSE_MAX_WAIT_S, capacity_bytes / FRESH_BYTES_PER_S),
            )
            if not back:
                self.writer.expect_none()

    def receive_value(self, value: Value | None) -> None:
        """Count a value that came in a message, before anything else is done with it."""
        if value is not None and value.segment:
            self._told(value.segment)

    def load(self, value: Value) -> Any:
        """Return the user's value."""
        return serialization.load(value, self.reader, self.looks)

    def load_code(self, value: Value, captured: list[Value]) -> Any:
        """Return what `serialization.pickle_code` has pickled."""
        return serialization.load_code(value, captured, self.reader, self.looks)

    def dump(self, value: Any) -> Value:
        """Pickle a user's value, large ones to shared memory."""
        dumped = serialization.dump(value, self.writer)
        if dumped.contained:
            # Whoever takes the refs out of the value is to see how their tasks have failed. Whether
            # that was done only the head could say, and would have to remember it.
            self.needs_no_notice(dumped.contained)
        return dumped

    def needs_no_notice(self, ids: Sequence[int]) -> None:
        """Somebody has seen, or will see, how these end: a failure among them is not told."""
        entries = self.entries
        for any_id in ids:
            entry = entries.get(any_id)
            if entry is not None:
                entry.asked = True

    # ---- reading ---------------------------------------------------------------------

    def _dispatch(self, data: bytes) -> None:
        handlers = self._handlers
        for frame in self._frames.feed(data):
            for message in transport.decode_from_head(frame):
                handlers[type(message)](message)

    def _read(self, timeout_s: float | None) -> bool:
        """Wait for bytes and take them; the caller leads. Say whether any came."""
        hot = self.hot if timeout_s != 0 else None
        if hot is not None:
            if hot.look_out():
                if monotonic() - self._heard_at > TICK_S:
                    self._read_head()  # who gets one answer after the other hears it, too
                return True
            began = monotonic()
        if self.direct is not None:
            late_s = self.direct.wait_s()
            if late_s is not None and (timeout_s is None or late_s < timeout_s):
                timeout_s = late_s
        # A thread that waits in `recv` itself is also woken when the other side has read what
        # was sent, which costs more than this call.
        shield = self.shield
        try:
            if shield.open() and (timeout_s is None or timeout_s > INTERRUPT_TICK_S):
                timeout_s = INTERRUPT_TICK_S
            ready = self._poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        finally:
            shield.close()
        if not ready:
            if self.direct is not None:
                self.direct.tell_late()
            return False
        if hot is not None:
            hot.woken_after(monotonic() - began)
        from_head = False
        for fd, _ in ready:
            if fd == self._fd:
                from_head = True
            elif fd == self._poke_r:
                os.read(self._poke_r, 4096)
            elif not from_head and fd in self._watched:
                self._read_watched(fd)
        return self._read_head() if from_head else True

    def _read_watched(self, fd: int) -> None:
        watched = self._watched.get(fd)
        if watched is None:
            return
        while watched.read() and watched.open:
            pass
        if not watched.open:
            self.unwatch(watched)
            watched.close()

    def _read_head(self) -> bool:
        """Take what has come from the head; the caller leads. Say whether anything has."""
        try:
            # Into a buffer that stays: to map and unmap a fresh one costs 5 us each time.
            self._heard_at = monotonic()
            count = self._sock.recv_into(self._received, 0, socket.MSG_DONTWAIT)
            data = bytes(self._received[:count])
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(f"the connection broke: {error}")
            return True
        if not data:
            self._lose("the head process ended")
            return True
        # What came directly was sent before what the head has sent on hearing of it.
        for fd in list(self._watched):
            self._read_watched(fd)
        self._dispatch(data)
        return True

    def watch(self, watched: Watched) -> None:
        """Read something else, too, wherever the head's messages are read; at once what is there.

        The next message of the head's may have been sent after that.
        """
        self._watched[watched.fd] = watched
        self._poll.register(watched.fd, select.POLLIN)
        self._read_watched(watched.fd)

    def unwatch(self, watched: Watched) -> None:
        """Read it no more. Twice is once: its descriptor may be another's by then."""
        if self._watched.get(watched.fd) is watched:
            del self._watched[watched.fd]
            self._poll.unregister(watched.fd)
        if self.hot is watched:
            self.hot = None

    def _look_up(self) -> None:
        """End a wait of the main thread for an interlude; `done` of such waits calls this."""
        if threading.current_thread() is threading.main_thread():
            raise _InterludeError

    def want_user(self, interlude: Callable[[], None]) -> None:
        """Have the main thread do something as soon as it waits; from any thread."""
        self.interlude = interlude
        wake = self._wake_main  # looked at after the one is set, as it is set before that is read
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # a loop that was closed meanwhile
                wake()

    def _take_interlude(self) -> None:
        interlude, self.interlude = self.interlude, None
        if interlude is not None:
            interlude()

    def _wait(self, done: Callable[[], bool], timeout_s: float | None) -> bool:
        """As `wait_until`, but the user may be wanted meanwhile, whose time does not count."""
        while True:
            try:
                return self.wait_until(done, timeout_s)
            except _InterludeError:
                self._take_interlude()

    def wait_for(self, done: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """As `wait_until`, for what the user's code waits for: the user may be wanted meanwhile."""

        def looks_up() -> bool:
            if self.interlude is not None:
                self._look_up()
            return done()

        return self._wait(looks_up, timeout_s)

    def wait_on(
        self, condition: threading.Condition, done: Callable[[], bool], timeout_s: float | None
    ) -> bool:
        """As `wait_for`, for what other threads of this process bring about and notify."""
        if threading.current_thread() is not threading.main_thread():
            with condition:
                return condition.wait_for(done, timeout_s)

        def wake() -> None:
            with condition:
                condition.notify_all()

        before, self._wake_main = self._wake_main, wake
        try:
            while True:
                with condition:
                    condition.wait_for(lambda: done() or self.interlude is not None, timeout_s)
                    if done() or self.interlude is None:
                        return done()
                self._take_interlude()
        finally:
            self._wake_main = before

    def awaits_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody awaits in the running loop: if it is the main thread's, the user may be wanted."""
        if self.on_debugged is None or threading.current_thread() is not threading.main_thread():
            return
        here = contextvars.copy_context()  # of the cell: what is printed and asked is shown there

        def wake() -> None:
            loop.call_soon_threadsafe(self._interlude_in_loop, context=here)

        self._wake_main = wake
        if self.interlude is not None:
            wake()

    def _interlude_in_loop(self) -> None:
        """Do what is to be done, as a callback of a loop: those who await do so meanwhile."""
        if self.interlude is not None and self.user_waits():
            with contextlib.suppress(ConnectionLost), raising_interrupts():
                self._take_interlude()

    def wait_until(self, done: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Read until `done()`; say whether that came true within `timeout_s`.

        Raises:
            ConnectionLost: the head is gone.
        """
        shielded = self.shield.enter()
        try:
            return self._wait_until(done, timeout_s)
        finally:
            if shielded:
                self.shield.leave()

    @contextlib.contextmanager
    def paused(
        self,
        task_id: int,
        object_ids: Sequence[int] = (),
        give_up: Callable[[Failure], None] | None = None,
    ) -> Iterator[None]:
        """Lend the CPU of a task that waits for something else than objects.

        Args:
            task_id: of the task; 0 lends nothing.
            object_ids: results of the tasks that it waits for; they come first.
            give_up: told, by a reading thread, should none of them ever come; `None`: the wait
                may end without them.
        """
        if not task_id:
            yield
            return
        wait = next(self._waits)
        if give_up is not None:
            self._waiting[wait] = give_up
        ids = list(object_ids)[:IDS_MAX]
        self.unsent.append(messages.Paused(task_id, ids, give_up is None, wait))
        self.flush()
        try:
            yield
        finally:
            self._waiting.pop(wait, None)
            self.unsent.append(messages.Resumed(task_id, wait))
            self.flush()

    def _send_news(self) -> None:
        """Send what was left to be sent, before we wait. That refs have died may wait itself."""
        if self.unsent or self.direct is None:
            self.flush()
            return
        with self.send_lock:
            self._sender = get_ident()
            self._collect()
        if len(self._gone) > BATCH_MAX_MESSAGES:
            self.flush()
        elif self._gone and self._lazy:
            self.kick()

    def _wait_until(self, done: Callable[[], bool], timeout_s: float | None) -> bool:
        if self.unsent or self.dropped:
            self._send_news()
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while not done():
            self.shield.check()
            if self._closed:
                self._raise_lost()
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                # One look at what has come already: a timeout of 0 polls.
                if self._lead.acquire(blocking=False):
                    try:
                        while not done() and self._read(0):
                            pass
                    finally:
                        self._leave()
                return done()
            if self._lead.acquire(blocking=False):
                try:
                    while not done() and not self._closed:
                        left = None if deadline is None else deadline - monotonic()
                        if left is not None and left <= 0:
                            break
                        self._read(left)
                        if self._followers:
                            with self._news:
                                self._news.notify_all()
                        if self.unsent or self.dropped:
                            self._send_news()
                finally:
                    self._leave()
            else:
                self._follow(done, left)
        return True

    def make_pokable(self) -> None:
        """Let `interrupt_wait` reach a thread that reads; each read costs a poll more then."""
        self._poke_r, self._poke_w = os.pipe()
        os.set_blocking(self._poke_w, False)
        self._poll.register(self._poke_r, select.POLLIN)

    def interrupt_wait(self) -> None:
        """Have whoever reads look again whether what it waits for has come about."""
        with contextlib.suppress(OSError):
            os.write(self._poke_w, b"x")

    def _leave(self) -> None:
        self._led_at = monotonic()
        self._lead.release()
        if self._rests:  # looked at after the release, as it is set before the look at the lock
            self.kick()
        if self._followers:
            with self._news:
                self._news.notify_all()

    def _follow(self, done: Callable[[], bool], left: float | None) -> None:
        """Wait for news from whoever leads. The bound covers a leader that left unseen."""
        with self._news:
            self._followers += 1
            try:
                if not done() and self._lead.locked():
                    self._news.wait(0.05 if left is None else min(left, 0.05))
            finally:
                self._followers -= 1

    def look(self) -> None:
        """Take what has come, without waiting."""
        if self._lead.acquire(blocking=False):
            try:
                while not self._closed and self._read(0):
                    pass
            finally:
                self._lead.release()
            if self._rests:  # as in `_leave`
                self.kick()
            if self._followers:
                with self._news:
                    self._news.notify_all()

    # ---- what comes ------------------------------------------------------------------

    def _on_deliver(self, message: messages.Deliver) -> None:
        value = message.value
        if value is not None and value.segment:
            self._told(value.segment)
        entry = self.entries.get(message.object_id)
        if entry is None:
            if value is not None and value.segment:
                self.release_segment(value.segment)
            return
        if value is not None:
            previous = entry.value
            entry.value = value
            entry.state = VALUE
            if previous is not None and previous.segment:
                self.release_segment(previous.segment)
        elif entry.state == VALUE:
            return  # that came from its maker itself, which died, or was cancelled, just then
        else:
            entry.failure = message.failure
            entry.state = FAILED
            self.failures_seen += 1
        if self._awaited:
            self._call_back(entry)

    def _on_deliver_many(self, message: messages.DeliverMany) -> None:
        entries = self.entries
        object_id = message.first_id
        for data in message.values:
            entry = entries.get(object_id)
            object_id += STRIDE
            if entry is not None and entry.state != VALUE:
                entry.value = Value(data)
                entry.state = VALUE
                if self._awaited:
                    self._call_back(entry)

    def _on_ready(self, message: messages.Ready) -> None:
        for object_id in message.object_ids:
            entry = self.entries.get(object_id)
            if entry is not None and entry.state not in (VALUE, FAILED):
                entry.state = ANNOUNCED
                if self._awaited:
                    self._call_back(entry)

    def _call_back(self, entry: Entry) -> None:
        for callback in self._awaited.pop(id(entry), ()):
            callback()

    def _on_answer(self, message: messages.Answer) -> None:
        question = self._questions.get(message.request_id)
        if question is not None:
            question.answer = message
        elif message.request_id in self.abandoned:
            self.abandoned.discard(message.request_id)
            if message.payload is not None:
                self.unsent.append(messages.Drop([message.payload]))

    def _on_streamed(self, message: messages.Streamed) -> None:
        if message.object_id:
            self.entries[message.object_id] = Entry(ANNOUNCED)
        with self._streams_lock:
            stream = self._streams.get(message.task_id)
            if stream is not None:
                stream(message)
        if stream is None and message.object_id:
            self.dropped.append(message.object_id)

    def _on_notice(self, message: messages.Notice) -> None:
        self._untold.append(message)
        self._tell()

    def _on_give_up(self, message: messages.GiveUp) -> None:
        give_up = self._waiting.get(message.wait)
        if give_up is not None:
            give_up(message.failure)

    def _on_printed(self, message: messages.Printed) -> None:
        if self.on_printed is not None:
            self.on_printed(message)

    def _on_debugged(self, message: messages.Debugged) -> None:
        if self.on_debugged is not None:
            self.on_debugged(message)

    def _on_prepared(self, message: messages.Prepared) -> None:
        if self.on_prepared is not None:
            self.on_prepared(message)

    def _on_bye(self, message: messages.Bye) -> None:
        self._lose(message.reason)

    def _on_reached(self, message: messages.Reached) -> None:
        if self.direct is not None:
            self.direct.on_reached(message)

    def _on_way_lost(self, message: messages.WayLost) -> None:
        if self.direct is not None:
            self.direct.on_way_lost(message)

    def _on_cancel_run(self, message: messages.CancelRun) -> None:
        if self.direct is not None:
            self.direct.on_cancel_run(message)

    def _on_urgent(self, message: Any) -> None:
        if self.urgent is not None:
            self.urgent(message)

    def _on_reuse(self, message: messages.Reuse) -> None:
        free = []
        for name in message.segments:
            # The head does not count what we map of our own making: that is seen here.
            if name in self._segments:
                self.writer.unlink(name)
            else:
                free.append(name)
        if free:
            self.writer.reuse(free)

    # ---- objects ---------------------------------------------------------------------

    def expect(self, object_id: int) -> Entry:
        """A task of ours makes this object: we will be told of it unasked."""
        entry = self.entries[object_id] = Entry(PENDING)
        return entry

    def take_value(self, object_id: int, value: Value) -> None:
        """A small object has come from its maker itself."""
        entry = self.entries.get(object_id)
        if entry is not None and entry.state != VALUE:
            entry.value = value
            entry.state = VALUE
            if self._awaited:
                self._call_back(entry)

    def put(self, value: Any) -> int:
        """Store a value of our own; return its id, counted once."""
        dumped = self.dump(value)
        object_id = self.mint.next()
        entry = Entry(VALUE)
        entry.value = dumped
        if dumped.segment:
            self.looks(dumped.segment)
        self.entries[object_id] = entry
        try:
            self.post(messages.Put(object_id, dumped))
        except BaseException:  # an interrupt: nobody gets the ref that was counted
            self.drop(object_id)
            raise
        return object_id

    def put_failure(self, failure: Failure) -> int:
        """Store what stands for a value that could not be made; return its id, counted once."""
        object_id = self.mint.next()
        entry = self.entries[object_id] = Entry(FAILED)
        entry.failure = failure
        entry.asked = True  # whoever it is made for will see it, or its task's
        self.post(messages.Put(object_id, None, failure))
        return object_id

    def get(self, ids: Sequence[int], timeout_s: float | None, task_id: int) -> list[Entry]:
        """Wait for objects; return their entries, or those there are when one has failed.

        Raises:
            TimeoutError: not all were there in time; nothing was cancelled.
            ConnectionLost: the head is gone.
        """
        entries = self.entries
        failures = self.failures_seen  # before the look, so that none slips through after it
        found: list[Entry] = []
        ask: list[int] = []
        pending = False
        wait = 0
        given_up: list[Failure] = []
        for object_id in ids:
            entry = entries[object_id]
            found.append(entry)
            state = entry.state
            if state == FAILED:
                entry.asked = True
                return [entry]
            if state != VALUE:
                pending = True
                if state != PENDING or task_id:
                    ask.append(object_id)
        if not pending:
            return found
        if ask:
            if len(ids) > 1:
                ask = list(dict.fromkeys(ask))
            bounded = timeout_s is not None
            if task_id:
                wait = next(self._waits)
                self._waiting[wait] = given_up.append
            self.unsent += [
                messages.Get(piece, len(piece), task_id, bounded=bounded, wait=wait)
                for piece in pieces(ask)
            ]
        position = 0
        count = len(found)
        failed: Entry | None = None

        def done() -> bool:
            nonlocal position, failures, failed
            if self.interlude is not None:
                self._look_up()
            if failed is not None:
                return True
            if given_up:
                failed = Entry(FAILED)
                failed.failure = given_up[0]
                return True
            if failures != self.failures_seen:
                failures = self.failures_seen
                for entry in found:
                    if entry.state == FAILED:
                        failed = entry
                        return True
            while position < count and found[position].state == VALUE:
                position += 1
            if position == count:
                return True
            if found[position].state == ANNOUNCED:
                self._fetch(ids, found, position, ask)
            return False

        finished = False
        try:
            finished = self._wait(done, timeout_s)
        finally:
            if wait:
                del self._waiting[wait]
                if not finished or failed is not None:
                    self.post(messages.Unblock(task_id, wait))
        if not finished:
            raise TimeoutError
        if failed is None:
            return found
        failed.asked = True
        return [failed]

    def _fetch(
        self, ids: Sequence[int], found: list[Entry], position: int, asked: list[int]
    ) -> None:
        """Ask for values that were announced but not sent, once each."""
        already = set(asked)
        wanted = [
            object_id
            for object_id, entry in zip(ids[position:], found[position:], strict=True)
            if entry.state == ANNOUNCED and object_id not in already
        ]
        if wanted:
            wanted = list(dict.fromkeys(wanted))
            asked.extend(wanted)
            self.unsent += [messages.Get(piece, len(piece), 0) for piece in pieces(wanted)]
            self.flush()

    def wait(
        self, ids: Sequence[int], need: int, timeout_s: float | None, task_id: int, *, fetch: bool
    ) -> list[bool]:
        """Wait until `need` of the objects are ready or failed; say of each whether it is."""
        entries = self.entries
        found = [entries[object_id] for object_id in ids]
        unknown = [
            object_id
            for object_id, entry in zip(ids, found, strict=True)
            if entry.state == KNOWN or (task_id and entry.state == PENDING)
        ]
        ready = sum(entry.state not in (PENDING, KNOWN) for entry in found)
        several = len(unknown) > IDS_MAX  # then each of the questions blocks the task by itself
        left = max(0, need - ready)
        number = next(self._waits) if task_id else 0
        given_up: list[Failure] = []
        self.unsent += [
            messages.Get(
                piece,
                min(left, len(piece)),
                task_id,
                fetch and not task_id,
                timeout_s is not None,
                number,
            )
            for piece in pieces(unknown)
        ]

        def done() -> bool:
            if self.interlude is not None:
                self._look_up()
            if given_up:
                raise GaveUp(given_up[0])
            count = 0
            for entry in found:
                if entry.state not in (PENDING, KNOWN):
                    count += 1
                    if count >= need:
                        return True
            return False

        if ready < need or (unknown and timeout_s == 0):
            if unknown and timeout_s is not None and timeout_s < 0.02:
                # Whether another's object is there only the head knows: let it answer.
                self.ask("ping", timeout_s=10.0)
            finished = False
            if number:
                self._waiting[number] = given_up.append
            try:
                finished = self._wait(done, timeout_s)
            finally:
                self._waiting.pop(number, None)
                if task_id and unknown and (several or not finished):
                    self.post(messages.Unblock(task_id, number))
        return [entry.state not in (PENDING, KNOWN) for entry in found]

    def value_of(self, entry: Entry) -> Any:
        """Return the user's value of an entry that has one."""
        assert entry.value is not None, "the entry is ready"
        return serialization.load(entry.value, self.reader, self.looks)

    def when_done(
        self,
        object_id: int,
        callback: Callable[[], None],
        task_id: int = 0,
        give_up: Callable[[Failure], None] | None = None,
    ) -> int:
        """Call back, from a reading thread, once the object is ready or has failed.

        The value is here by then. The task that is named waits for it and lends its CPU;
        `give_up` is told should it never come.

        Returns:
            The number of that wait, for `waits_no_more`; 0 if there is none.
        """
        entry = self.entries[object_id]
        if entry.state in (VALUE, FAILED):
            callback()
            return 0
        number = 0
        if task_id:
            number = next(self._waits)
            if give_up is not None:
                self._waiting[number] = give_up
        arrived = _Arrival(self, object_id, entry, callback)
        self.add_callback(entry, arrived)
        if entry.state != PENDING or task_id:
            self.unsent.append(
                messages.Get(
                    [object_id], 1, task_id, bounded=True, wait=number, awaited=task_id != 0
                )
            )
        self.flush()
        self.kick()
        if entry.state in (VALUE, FAILED):
            arrived()  # it came between the look and the entry in the list
        return number

    def awaits_no_more(self, task_id: int, number: int) -> None:
        """One wait of a call is over: its object came, or, while there is a call, it is given up."""
        self._waiting.pop(number, None)
        if task_id:
            self.post(messages.Unblock(task_id, number))

    def add_callback(self, entry: Entry, callback: Callable[[], None]) -> None:
        """Call back when something is heard of an object."""
        # Other threads do the same, and one that reads takes the list away, all without a lock: an
        # interrupt could leave it locked. Each step is whole, and who has come too late sees it.
        awaited, key = self._awaited, id(entry)
        while True:
            callbacks = awaited.setdefault(key, [])
            callbacks.append(callback)
            if awaited.get(key) is callbacks:
                return

    def expect_stream(self, task_id: int) -> None:
        """Keep what comes of a generator's task that is about to be submitted."""
        self._streams[task_id] = _Early()

    def stream(self, task_id: int, callback: Callable[[messages.Streamed], None] | None) -> None:
        """Call back for each item of a generator's task; `None` ends that."""
        with self._streams_lock:
            early = self._streams.pop(task_id, None)
            if callback is not None:
                self._streams[task_id] = callback
                for message in early if isinstance(early, _Early) else ():
                    callback(message)

    # ---- questions -------------------------------------------------------------------

    def ask(self, what: str, *args: Any, timeout_s: float = 30.0) -> Any:
        """Ask the head about its state and return the answer.

        Raises:
            ValueError, LookupError: the head has no answer; the text says why.
            ConnectionLost: the head is gone, or silent for `timeout_s`.
        """
        request_id = self.mint.next()
        return self.answer_to(messages.Query(request_id, what, list(args)), request_id, timeout_s)

    def answer_to(self, message: Any, request_id: int, timeout_s: float = 30.0) -> Any:
        """Send a message that the head answers, and return the answer."""
        question = self._questions[request_id] = _Question()
        try:
            self.unsent.append(message)
            self.flush()
            if not self.wait_until(lambda: question.answer is not None, timeout_s):
                msg = f"the head did not answer within {timeout_s:g} s"
                raise ConnectionLost(msg)
        finally:
            del self._questions[request_id]
        answer = question.answer
        assert answer is not None, "waited for"
        if answer.error:
            if answer.kind == "lookup":
                raise LookupError(answer.error)
            raise ValueError(answer.error)
        return answer.payload

    # ---- the end ---------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    def _lose(self, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        self.lost_reason = self.lost_reason or reason
        with self._news:
            self._news.notify_all()
        failure = EngineError(f"the burrow has ended: {self.lost_reason}")
        for entry in list(self.entries.values()):
            if entry.state in (PENDING, KNOWN, ANNOUNCED) and id(entry) in self._awaited:
                entry.failure = failure
                entry.state = FAILED
                self._call_back(entry)
        for task_id, stream in list(self._streams.items()):
            stream(messages.Streamed(task_id, 0, 0, failure))
        for callback in self.on_lost:
            callback()

    def _raise_lost(self) -> None:
        raise ConnectionLost(self.lost_reason or "the burrow has ended")

    def close(self, reason: str = "the connection was closed") -> None:
        """End the connection; what waits on it ends with `ConnectionLost`."""
        self._lose(reason)
        with contextlib.suppress(OSError):
            self._sock.shutdown(2)
        self.kick()
        if self._attendant.is_alive() and threading.current_thread() is not self._attendant:
            self._attendant.join(2.0)
        self._sock.close()
        for watched in list(self._watched.values()):
            watched.close()

    def abandon(self) -> None:
        """Forget the connection in a forked child: it belongs to the parent."""
        self._closed = True
        self.lost_reason = "this process was forked from one that had the connection"
        self._sock.close()
        for watched in list(self._watched.values()):
            watched.close()

    # ---- the attendant ---------------------------------------------------------------

    def _has_news(self) -> bool:
        """Say whether there is anything that the head is to hear."""
        return bool(
            self.unsent or self.dropped or self._gone or self.unmapped or self.ended_streams
        )

    def _attend_once(self) -> None:
        """One round of the attendant: send, look, and sleep for as long as may be."""
        wanted_s = self.on_attend() if self.on_attend is not None else None
        now = monotonic()
        active = self.direct is not None and self.direct.attend(now)
        if (active or self._has_news()) and now - self._last_flush > BATCH_MAX_DELAY_S:
            self.flush()
        active_at = max(self._led_at, self._last_flush)
        self._rests = now - max(active_at, self._heard_at) > REST_AFTER_S
        led = self._lead.locked()
        busy = now - active_at < QUIET_S
        poll = select.poll()
        poll.register(self._wake_r, select.POLLIN)
        if busy or active or (self.unsent and not led):
            # Also while somebody leads: else each call of a loop over `get` would wake us, and
            # two threads that want the interpreter at once cost more than a hundred microseconds.
            timeout_s: float | None = TICK_S
        elif led:
            timeout_s = REST_TICK_S if self._rests else LED_TICK_S
        else:
            timeout_s = None
        if not led and (timeout_s is None or self._awaited):
            poll.register(self._sock, select.POLLIN)
            for fd in list(self._watched):
                poll.register(fd, select.POLLIN)
        if wanted_s is not None:
            timeout_s = wanted_s if timeout_s is None else min(timeout_s, wanted_s)
        if timeout_s != TICK_S:
            self._lazy = True
            if self._has_news():
                self._lazy = False
                return
        ready = poll.poll(None if timeout_s is None else timeout_s * 1000)
        self._lazy = self._rests = False
        if any(fd == self._wake_r for fd, _ in ready):
            os.read(self._wake_r, 4096)
        if not self._closed and not led:
            self.look()


def _attend(weak: weakref.ref[Client]) -> None:
    while True:
        client = weak()
        if client is None or client.closed:
            return
        try:
            client._attend_once()  # noqa: SLF001  # its own thread
        except Exception:  # noqa: BLE001  # without it futures would wait for ever, untold
            told = (*sys.exc_info(), threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(told))
            with client._news:  # noqa: SLF001  # not at once: should it fail each time
                client._news.wait(REST_TICK_S)  # noqa: SLF001
        del client
