"""Direct calls between fake drivers and fake workers: what `engine.direct` and `engine.door` do.

Bytes that were written can be read: a way's delay is that of its reader. A worker reads what
lies on its ways before it takes anything from the head, as the real one does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core import messages
from burrow_jupyter.core.limits import PUSH_MAX_BYTES

if TYPE_CHECKING:
    from .processes import Client, Entry, Worker
    from .programs import Driver


class Way:
    """A connection between a driver and a worker."""

    def __init__(self, driver: Driver, worker: Worker) -> None:
        self.driver = driver
        self.worker = worker
        self.down: deque[messages.Direct] = deque()
        self.up: deque[messages.Done | messages.Adopted] = deque()
        self.told: messages.Direct | None = None

    def call(self, message: messages.Direct) -> None:
        """Write a call."""
        world = self.driver.world
        world.tell(f"{self.driver} => {self.worker} call {message.task_id:x}")
        if self.worker.alive:
            self.down.append(message)
            world.after(world.delay(), self.worker.desk.read)

    def answer(self, message: messages.Done | messages.Adopted) -> None:
        """Write an answer."""
        world = self.driver.world
        world.tell(f"{self.worker} => {self.driver} {type(message).__name__} {message.task_id:x}")
        self.up.append(message)
        world.after(world.delay(), self.driver.directly.read)


class Desk:
    """The worker's side."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.ways: list[Way] = []
        self.borrower = 0
        self.calls: dict[int, tuple[Way, messages.Direct]] = {}
        self.running = 0

    def read(self) -> None:
        """Take what lies on the ways."""
        worker = self.worker
        if not worker.alive:
            return
        for way in self.ways:
            while way.down:
                call = way.down.popleft()
                self.calls[call.task_id] = way, call
                worker.inbox.append(
                    messages.Run(
                        call.task_id,
                        call.code_id,
                        call.options_id,
                        call.method,
                        call.args,
                        run_id=call.run_id,
                    )
                )
        for thread in list(worker.threads):
            thread.look()

    def take(self, message: Any) -> None:
        """Take a message of the head's."""
        match message:
            case messages.Admit():
                if message.lent:
                    self.borrower = message.client
            case messages.Adopt():
                self.calls.pop(message.task_id, None)
            case messages.Reclaim():
                self.borrower = 0
                for task_id, (_, call) in list(self.calls.items()):
                    if not call.actor_id:
                        self.adopt(task_id)
                self.worker.out.append(messages.Reclaimed())
                self.worker.flush()

    def may_run(self, run: messages.Run) -> bool:
        """Begin a direct call, or refuse it."""
        item = self.calls.get(run.task_id)
        if item is None:
            return True
        way, call = item
        known = run.options_id in self.worker.known_options
        if known and (call.actor_id or way.driver.id == self.borrower):
            self.running = run.task_id
            return True
        self.refuse(run.task_id)
        return False

    def refuse(self, task_id: int) -> bool:
        """Leave a call to the head; say whether it was ours to leave."""
        told = self._tell(task_id)
        if told is None:
            return False
        self.worker.out.insert(0, msgspec.structs.replace(told, refused=True))
        self.worker.flush()
        return True

    def answered(self, done: messages.Done) -> bool:
        """Answer directly, or have the head hear of the call."""
        item = self.calls.get(done.task_id)
        if item is None:
            return False
        plain = done.failure is None and len(done.values) == 1 and not self.worker.out
        if plain:
            value = done.values[0]
            if not value.segment and not value.contained and len(value.data) <= PUSH_MAX_BYTES:
                del self.calls[done.task_id]
                self.worker.world.facts.made(done.task_id, value)
                item[0].answer(done)
                return True
        self.adopt(done.task_id)
        return False

    def adopt(self, task_id: int) -> None:
        """Have the head hear of a call first."""
        told = self._tell(task_id)
        if told is not None:
            self.worker.out.insert(0, told)

    def precede(self) -> None:
        """What runs is told before what it says."""
        if self.worker.out and self.running in self.calls:
            self.adopt(self.running)

    def _tell(self, task_id: int) -> messages.Direct | None:
        item = self.calls.pop(task_id, None)
        if item is None:
            return None
        item[0].answer(messages.Adopted(task_id))
        return item[1]


class Directly:
    """The driver's side."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.ways: dict[int, Way] = {}
        self.loan: Way | None = None
        self.to_actors: dict[int, Way] = {}
        self.last: dict[int, Entry] = {}
        self.flights: dict[int, tuple[Way, messages.Direct]] = {}
        self.untold: dict[int, messages.Ran] = {}
        self.answered = 0

    # ---- asking ----------------------------------------------------------------------

    def take(self, message: Any) -> None:
        """Take a message of the head's."""
        if isinstance(message, messages.Reached):
            self._reached(message)
        elif isinstance(message, messages.WayLost):
            self._lost(message.worker)

    def _reached(self, message: messages.Reached) -> None:
        self.answered += 1
        if not message.worker:
            return
        world = self.driver.world
        way = self.ways.get(message.worker)
        if way is None:
            worker = world.workers.get(message.worker)
            if worker is None or not worker.alive or world.random.random() < 0.03:
                if not message.actor_id:
                    self.driver.post(messages.GiveBack(message.worker))
                return
            way = self.ways[message.worker] = Way(self.driver, worker)
            worker.desk.ways.append(way)
        if message.actor_id:
            self.to_actors[message.actor_id] = way
        else:
            if self.loan is not way:
                self.give_back()  # of two that were asked for
            self.loan = way
            world.after(0.05, self.give_back)

    def _lost(self, worker: int) -> None:
        way = self.ways.pop(worker, None)
        if way is None:
            return
        self._read_way(way)
        if self.loan is way:
            self.loan = None
        self.to_actors = {a: w for a, w in self.to_actors.items() if w is not way}
        told = way.told
        for task_id, (where, message) in list(self.flights.items()):
            if where is way:
                message.refused = True
                self.tell(task_id)
        if told is not None:
            self.driver.post(msgspec.structs.replace(told, refused=True, again=True))

    def give_back(self) -> None:
        """The worker that was lent is not needed."""
        if self.loan is not None:
            worker = self.loan.worker.number
            self.loan = None
            self.driver.post(messages.GiveBack(worker))
            self.driver.flush()

    # ---- calling ---------------------------------------------------------------------

    def is_clear(self, actor_id: int) -> bool:
        """Say whether what went to an actor through the head has returned."""
        entry = self.last.get(actor_id)
        return entry is not None and entry.value is not None

    def is_free(self, way: Way) -> bool:
        """Say whether no call is on its way there."""
        return all(where is not way for where, _ in self.flights.values())

    def fly(self, way: Way, message: messages.Direct) -> None:
        """Make a direct call."""
        self.driver.flush()
        self.driver.expect(message.task_id)
        self.flights[message.task_id] = way, message
        way.call(message)

    def read(self) -> None:
        """Take what lies on the ways."""
        if self.driver.alive:
            for way in list(self.ways.values()):
                self._read_way(way)
            for thread in list(self.driver.threads):
                thread.look()

    def _read_way(self, way: Way) -> None:
        driver = self.driver
        while way.up:
            message = way.up.popleft()
            if isinstance(message, messages.Adopted):
                self.tell(message.task_id)
                continue
            task_id, value = message.task_id, message.values[0]
            flight = self.flights.pop(task_id, None)
            number = way.worker.number
            if flight is None:
                way.told = None
                driver.post(messages.Ran(task_id, 0, 0, number, value=value))
            else:
                call = flight[1]
                self.untold[task_id] = messages.Ran(
                    task_id,
                    call.code_id,
                    call.options_id,
                    number,
                    call.run_id,
                    call.actor_id,
                    message.micros,
                    value,
                )
                driver.world.after(0.004, driver.flush)
            driver.world.facts.delivered(task_id, value)
            entry = driver.entries.get(task_id)
            if entry is not None and entry.value is None:
                entry.value = value
                entry.state = 2

    # ---- telling ---------------------------------------------------------------------

    def tell(self, task_id: int) -> None:
        """Have the head hear of a call before anything else."""
        told = self._land(task_id)
        if told is not None:
            self.driver.out.insert(0, told)
            self.driver.flush_sometimes()

    def _land(self, task_id: int) -> messages.Direct | None:
        flight = self.flights.pop(task_id, None)
        if flight is None:
            return None
        way, message = flight
        way.told = message
        if not message.actor_id:
            self.loan = None
        elif self.is_clear(message.actor_id):
            entry = self.driver.entries.get(task_id)
            if entry is not None:
                self.last[message.actor_id] = entry
            else:
                del self.last[message.actor_id]
        return message

    def precede(self, out: list[Any]) -> None:
        """Put in front what the head must know before."""
        front: list[Any] = list(self.untold.values())
        self.untold.clear()
        if out:
            told = [self._land(task_id) for task_id in list(self.flights)]
            front += [message for message in told if message is not None]
        out[:0] = front

    def forgets(self, any_id: int, client: Client) -> bool:
        """Say whether the head need not know that there was this object."""
        ran = self.untold.get(any_id)
        if ran is None or client.out:
            return False
        ran.value = None
        return True
