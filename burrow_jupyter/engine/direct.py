"""A driver's direct calls: to actors, and to workers that it is lent.

What is called, waited for and called again goes to the worker itself, one call at a time; see
`core.scheduler.direct` for what the head is told, and when. Anything else (bursts, refs among
the arguments, large ones, generators, calls with a past) goes through the head as ever, so all
of this is about nothing but time: a way is asked for when three calls in a row have been made
that way, and when it is not there, or not for this call, nobody notices.

The order of one caller's calls on an actor is kept: a call goes direct when those before it
have ended, or are on the same way; and a worker that hears from the head takes first what has
come to it directly, since that was sent earlier.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core import messages
from burrow_jupyter.core.limits import PUSH_MAX_BYTES
from burrow_jupyter.engine import ways
from burrow_jupyter.engine.session import door_of
from burrow_jupyter.engine.ways import Way

if TYPE_CHECKING:
    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.core.options import TaskOptions
    from burrow_jupyter.engine.client import Client, Entry

monotonic = time.monotonic

IN_A_ROW = 3
"""Calls one after the other that show what is to be expected of the next."""
ROW_S = 0.01
"""What is longer between two calls is no loop over short ones."""
TELL_AFTER_S = 0.002
"""A call that has not ended by then is told to the head."""
KEEP_S = 0.02
"""A worker that was not needed for so long is given back."""
ASK_AGAIN_S = 0.1
"""After a way was refused, or a call was told for its length, none is asked for so long."""
COUNTS = "describe runs"
"""A question that is asked many times a second while a cell runs: what ends just then may miss."""

VALUE = 1  # as in `client`, which stands above


class _Target:
    """An actor, or the tasks of this driver: what was called lately, and the way there."""

    __slots__ = ("ask_at", "asked", "called_at", "known", "last", "never", "row", "way")

    def __init__(self) -> None:
        self.way: Way | None = None
        self.last: Entry | None = None  # of the last call that went through the head
        self.called_at = 0.0
        self.row = 0  # calls in a row, each made when the one before had ended
        self.known: set[Any] = set()  # what the worker has been sent: (code, options)
        self.asked = b""  # the key, while the head has not answered
        self.ask_at = 0.0  # not before
        self.never = False

    def is_clear(self) -> bool:
        """Say whether every call that went through the head has run.

        The last one has returned, so it has run, and those before it earlier. One that has
        failed may have been cancelled while others still wait for their arguments.
        """
        return self.last is None or self.last.state == VALUE


class _Flight:
    """A call on its way, of which the head has not heard."""

    __slots__ = ("at", "entry", "message", "target", "way")

    def __init__(self, target: _Target, way: Way, message: messages.Direct, entry: Entry) -> None:
        self.target = target
        self.way = way
        self.message = message
        self.entry = entry
        self.at = monotonic()


class Direct:
    """All direct calls of one driver."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._directory: str = client.info["directory"]
        self._ways: dict[int, Way] = {}
        self.tasks = _Target()
        """Tasks of this driver; its `way` leads to the worker that it was lent."""
        self._run_id = 0  # of the loan
        self._shape: Any = None
        self._shapes: dict[int, Any] = {}
        self._actors: dict[int, _Target] = {}
        self._lock = threading.Lock()
        self._flights: dict[int, _Flight] = {}
        self._used_at = 0.0
        self._never = client.never
        self.to_cancel = 0
        """A run that somebody else has stopped: its next call is cancelled."""
        self.untold: dict[int, messages.Ran] = {}
        """Calls that have returned and of which the head has not heard, by id."""

    # ---- the calls -------------------------------------------------------------------

    def task(self, code_id: int, options_id: int, args: Value | None, run_id: int) -> int:
        """Send a task to the worker that was lent; return its id, or 0: it is to be submitted."""
        target = self.tasks
        way = target.way
        if way is None or run_id == self.to_cancel != 0:
            return 0
        if (
            way.busy
            or run_id != self._run_id
            or (code_id, options_id) not in target.known
            or not _is_small(args)
        ):
            self.give_back()
            return 0
        client = self._client
        task_id = client.mint.next()
        message = messages.Direct(task_id, code_id, options_id, client.id, way.peer, args, run_id)
        return task_id if self._send(target, way, message) else 0

    def call(
        self,
        actor_id: int,
        method: str,
        options_id: int,
        args: Value | None,
        run_id: int,
        retries: int,
    ) -> int:
        """Send a call to an actor; return its id, or 0: it is to go through the head."""
        target = self._actors.get(actor_id)
        if target is None or target.way is None or run_id == self.to_cancel != 0:
            return 0
        way = target.way
        if (
            way.busy
            or not target.is_clear()
            or options_id not in target.known
            or method.startswith("__")
            or not _is_small(args)
        ):
            return 0
        client = self._client
        task_id = client.mint.next()
        message = messages.Direct(
            task_id, 0, options_id, client.id, way.peer, args, run_id, actor_id, method, retries
        )
        return task_id if self._send(target, way, message) else 0

    def _send(self, target: _Target, way: Way, message: messages.Direct) -> bool:
        client = self._client
        if client.unsent:
            client.flush()  # what the call may build on
        shielded = client.shield.enter()
        try:
            with self._lock:
                if way.busy or not way.open or target.way is not way:
                    return False
                way.busy = True
                entry = client.expect(message.task_id)
                self._flights[message.task_id] = _Flight(target, way, message, entry)
            way.send(message)
            client.hot = way
        finally:
            if shielded:
                client.shield.leave()
        client.need_attendant()
        return True

    # ---- what goes through the head --------------------------------------------------

    def submitted(
        self, task_id: int, code_id: int, options_id: int, options: TaskOptions, run_id: int
    ) -> None:
        """A task went through the head: one of a loop of single calls, perhaps."""
        target = self.tasks
        last, target.last = target.last, self._client.entries.get(task_id)
        if last is None or last.state != VALUE:
            target.row = 0
            return
        if not self._goes_on(target):
            target.known.clear()
        shape = self._shapes.get(options_id, 0)
        if shape == 0:
            shape = self._shapes[options_id] = _shape_of(options)
        if shape is None:
            target.row = 0
            return
        if shape != self._shape or run_id != self._run_id:
            self._shape = shape
            self._run_id = run_id
            target.known.clear()
        target.known.add((code_id, options_id))
        target.row += 1
        if target.row >= IN_A_ROW and self._may_ask(target):
            codes = list(dict.fromkeys(code for code, _ in target.known))
            known = list(dict.fromkeys(options for _, options in target.known))
            reach = messages.Reach(target.asked, task_id, 0, run_id, codes, known)
            self._client.post(reach)

    def called(self, task_id: int, actor_id: int, options_id: int, options: TaskOptions) -> None:
        """A call of an actor went through the head."""
        target = self._actors.get(actor_id)
        if target is None:
            target = self._actors[actor_id] = _Target()
        # That a call without results has run is never seen.
        last, target.last = target.last, self._client.entries.get(task_id, self._never)
        if options.num_returns == 1 and not options.generator:
            target.known.add(options_id)
        if last is None or last.state != VALUE:
            target.row = 0
            return
        self._goes_on(target)
        target.row += 1
        if target.way is None and target.row >= IN_A_ROW and self._may_ask(target):
            self._client.post(messages.Reach(target.asked, 0, actor_id))
            target.known &= {options_id}  # the rest an earlier process may have been sent

    def _goes_on(self, target: _Target) -> bool:
        """Say whether a call follows soon upon the one before."""
        now = monotonic()
        soon = now - target.called_at < ROW_S
        target.called_at = now
        if not soon:
            target.row = 0
        return soon

    def _may_ask(self, target: _Target) -> bool:
        now = monotonic()
        if target.never or now < target.ask_at:
            return False
        target.ask_at = now + ASK_AGAIN_S
        target.asked = os.urandom(ways.KEY_BYTES)
        return True

    # ---- ways ------------------------------------------------------------------------

    def on_reached(self, answer: messages.Reached) -> None:
        """The head has answered; in the reading thread."""
        target = self._actors.get(answer.actor_id) if answer.actor_id else self.tasks
        if target is None:
            return
        key, target.asked = target.asked, b""
        way = self._way_to(answer.worker, key) if answer.worker else None
        if way is not None:
            self._used_at = monotonic()
            target.way = way
            return
        target.never = answer.lasting
        if answer.worker and not answer.actor_id:
            self._client.post(messages.GiveBack(answer.worker))

    def _way_to(self, worker: int, key: bytes) -> Way | None:
        way = self._ways.get(worker)
        if way is None or not way.open:
            try:
                sock = ways.connect(door_of(self._directory, worker), key)
            except OSError:
                return None
            way = self._ways[worker] = Way(sock, worker, messages.WorkerToCaller, self._on_message)
            self._client.watch(way)
        return way

    def on_way_lost(self, message: messages.WayLost) -> None:
        """A worker is gone: take its last answers, tell the head what it has not answered."""
        way = self._ways.pop(message.worker, None)
        if way is None:
            return
        while way.open and way.read():
            pass
        self._client.unwatch(way)
        with self._lock:
            way.close()
        for target in (self.tasks, *list(self._actors.values())):
            if target.way is way:
                target.way = None
                target.known.clear()
        told = way.told
        for flight in list(self._flights.values()):
            if flight.way is way:
                flight.message.refused = True
                self._tell([flight])
        if told is not None:  # whatever the head thinks has become of it
            self._client.post(msgspec.structs.replace(told, refused=True, again=True))

    def give_back(self) -> None:
        """Return the worker that was lent, if there is one."""
        target = self.tasks
        shielded = self._client.shield.enter()
        try:
            with self._lock:  # so that no call goes out on it now
                way, target.way = target.way, None
            if way is not None:
                target.row = 0
                target.known.clear()
                self._client.post(messages.GiveBack(way.peer))
        finally:
            if shielded:
                self._client.shield.leave()

    def leave(self, actor_id: int) -> None:
        """Call an actor through the head from now on, until it has answered."""
        target = self._actors.pop(actor_id, None)
        if target is not None:
            self._tell([f for f in list(self._flights.values()) if f.target is target])

    def leave_all(self) -> None:
        """Call nothing directly that the head has not heard of again."""
        self.give_back()
        for actor_id in list(self._actors):
            self.leave(actor_id)

    def forget(self, ids: list[int]) -> None:
        """These are no more held here; actors may be among them."""
        if self._actors:
            for any_id in ids:
                self._actors.pop(any_id, None)

    # ---- answers ---------------------------------------------------------------------

    def _on_message(self, way: Way, message: messages.Done | messages.Adopted) -> None:
        if isinstance(message, messages.Adopted):
            flight = self._flights.get(message.task_id)
            if flight is not None:
                flight.target.known.discard(flight.message.options_id)
                self._tell([flight])
            return
        task_id = message.task_id
        value = message.values[0]
        flight = self._flights.pop(task_id, None)
        client = self._client
        if flight is None:  # the head knows of it
            way.told = None
            client.post(messages.Ran(task_id, 0, 0, way.peer, micros=message.micros, value=value))
        else:
            way.busy = False
            client.hot = None
            sent = flight.message
            self.untold[task_id] = messages.Ran(
                task_id,
                sent.code_id,
                sent.options_id,
                way.peer,
                sent.run_id,
                sent.actor_id,
                message.micros,
                value,
            )
        client.take_value(task_id, value)

    # ---- what the head is told -------------------------------------------------------

    def _tell(self, flights: list[_Flight]) -> None:
        """Have the head know of calls, before anything else that is sent from now on."""
        told = [told for flight in flights if (told := self._land(flight)) is not None]
        if told:
            self._client.unsent[:0] = told
            self._client.need_attendant()

    def _land(self, flight: _Flight) -> messages.Direct | None:
        """Leave a call to the head, unless it has just ended."""
        message = flight.message
        if self._flights.pop(message.task_id, None) is None:
            return None
        flight.way.told = message
        self._client.hot = None
        target = flight.target
        if message.actor_id:
            if target.is_clear():  # else a later one, through the head, is awaited anyway
                target.last = flight.entry
        else:
            target.way = None  # the head gives the worker its work now
            target.row = 0
            target.known.clear()
        target.ask_at = monotonic() + ASK_AGAIN_S
        flight.way.busy = False  # last: who finds it free must find the rest as it is now
        return message

    def precede(self, out: list[Any]) -> None:
        """Put in front of what is to be sent what the head must know before. Under its lock."""
        front: list[Any] = []
        untold = self.untold
        for task_id in list(untold):
            ran = untold.pop(task_id, None)
            if ran is not None:
                front.append(ran)
        if out and self._flights:
            gone = _gone_if_all(out)
            for flight in list(self._flights.values()):
                message = flight.message
                if gone is None or not gone.isdisjoint(
                    (message.task_id, message.actor_id, message.code_id)
                ):
                    told = self._land(flight)
                    if told is not None:
                        front.append(told)
        if front:
            out[:0] = front

    def on_cancel_run(self, message: messages.CancelRun) -> None:
        """Somebody else stops a run: what of it is on its way the head has not heard of."""
        self.to_cancel = message.run_id
        flights = [f for f in list(self._flights.values()) if f.message.run_id == self.to_cancel]
        if flights:
            self._tell(flights)
            self._client.post(message)

    def tell_all(self) -> None:
        """Tell the head of every call that has not ended."""
        self._tell(list(self._flights.values()))

    def tell_late(self) -> None:
        """Tell the head of calls that take their time."""
        late = monotonic() - TELL_AFTER_S
        self._tell([f for f in list(self._flights.values()) if f.at <= late])

    def wait_s(self) -> float | None:
        """Return how long a wait may last until a call is late; `None`: none is on its way."""
        if not self._flights:
            return None
        first = min(flight.at for flight in list(self._flights.values()))
        return max(0.0, first + TELL_AFTER_S - monotonic())

    def attend(self, now: float) -> bool:
        """Do what is due; say whether to look again soon. By the attendant."""
        if self._flights:
            self.tell_late()
        if self.tasks.way is not None and not self._flights:
            if self.untold or self.tasks.way.busy:
                self._used_at = now
            elif now - self._used_at > KEEP_S:
                self.give_back()
        return bool(self._flights or self.untold or self.tasks.way is not None)

    def close(self) -> None:
        """The session is over."""
        for way in list(self._ways.values()):
            with contextlib.suppress(OSError):
                way.close()


def _gone_if_all(out: list[Any]) -> set[int] | None:
    """Return which refs and code were let go, if nothing else that is to be sent concerns any call."""
    gone: set[int] = set()
    for message in out:
        if type(message) is messages.Drop:
            gone.update(message.ids)
        elif type(message) is not messages.Query or message.what != COUNTS:
            return None
    return gone


def _is_small(args: Value | None) -> bool:
    return args is None or not (args.segment or args.contained or len(args.data) > PUSH_MAX_BYTES)


def _shape_of(options: TaskOptions) -> Any:
    """Return what workers of these tasks have in common; `None`: not for direct calls."""
    if options.num_returns != 1 or options.generator or options.max_calls:
        return None
    return options.shape, options.env_vars, options.working_dir
