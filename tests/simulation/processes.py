"""Fake processes: what a client and a worker do of the protocol, without any user code.

They follow the real ones where order matters: what is posted travels with the next
flush, ends of short tasks may lie in the journal, `Retiring` precedes the end of the
task, refs in a result are dropped after the head has heard of the result.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import Cancelled, UserError
from burrow_jupyter.core.ids import IdMint
from burrow_jupyter.core.messages import Value
from burrow_jupyter.core.options import STREAMING

from .direct import Desk
from .wires import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from burrow_jupyter.core.failures import Failure
    from burrow_jupyter.core.options import TaskOptions
    from burrow_jupyter.core.scheduler import commands

    from .direct import Directly
    from .simulator import World

PENDING, ANNOUNCED, VALUE, FAILED = range(4)


class Interrupted(BaseException):
    """Raised in user code that is cancelled."""


class Crash(BaseException):
    """The process ends here."""


class UserRaised(Exception):
    """User code raises."""

    def __init__(self, *, retryable: bool) -> None:
        super().__init__()
        self.retryable = retryable


class GaveUp(Exception):
    """What user code waits for will never come."""


class ExitActor(BaseException):
    """User code ends its actor."""


class Entry:
    """What a client knows of one object that it holds."""

    __slots__ = ("count", "failure", "loaded", "state", "value")

    def __init__(self, state: int) -> None:
        self.state = state
        self.count = 1
        self.value: Value | None = None
        self.failure: Failure | None = None
        self.loaded = False


class Wait:
    """What a fake thread waits for: a condition, and how long."""

    __slots__ = ("condition", "timeout_s")

    def __init__(self, condition: Callable[[], bool], timeout_s: float | None = None) -> None:
        self.condition = condition
        self.timeout_s = timeout_s


class Thread:
    """Runs one generator of fake user code: a number sleeps, a `Wait` waits."""

    def __init__(self, client: Client, steps: Generator[float | Wait, bool, Any]) -> None:
        self.client = client
        self.steps = steps
        self.waits: Wait | None = None
        self.ended = False
        self._turn = 0
        client.threads.append(self)

    def resume(self, answer: bool = True, throw: BaseException | None = None) -> None:  # noqa: FBT001, FBT002
        """Let it go on, with the answer to its wait or an exception."""
        if self.ended or not self.client.alive:
            return
        self._turn += 1
        self.waits = None
        try:
            if throw is not None:
                what = self.steps.throw(throw)
            elif self._turn == 1:
                what = next(self.steps)
            else:
                what = self.steps.send(answer)
        except StopIteration:
            self._end()
            return
        except Crash:
            self._end()
            return
        turn = self._turn
        world = self.client.world
        if isinstance(what, Wait):
            if what.condition():
                world.after(0.0, lambda: self._if_still(turn, answer=True))
                return
            self.waits = what
            if what.timeout_s is not None:
                world.after(what.timeout_s, lambda: self._if_still(turn, answer=False))
        else:
            world.after(what, lambda: self._if_still(turn, answer=True))

    def _if_still(self, turn: int, *, answer: bool) -> None:
        if self._turn == turn:
            self.resume(answer)

    def _end(self) -> None:
        self.ended = True
        if self in self.client.threads:
            self.client.threads.remove(self)

    def look(self) -> None:
        """Go on if what it waits for has come."""
        if self.waits is not None and self.waits.condition():
            self.resume(answer=True)


class Client:
    """A connection to the head, and what its process holds."""

    role = "driver"

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        self.wire: Wire | None = None
        self.id = 0
        self.mint = IdMint(0)
        self.out: list[Any] = []
        self.entries: dict[int, Entry] = {}
        self.threads: list[Thread] = []
        self.answers: dict[int, messages.Answer] = {}
        self.abandoned: set[int] = set()
        self.streams: dict[int, StreamEnd] = {}
        self.codes: dict[int, int] = {}
        self.options: dict[TaskOptions, int] = {}
        self.sequence = 0
        self.own_handle = 0
        self.spare_segments: list[str] = []
        self.segments_made = 0
        self.directly: Directly | None = None
        self.given_up: set[int] = set()
        self.waits = 0

    def __repr__(self) -> str:
        return f"{self.role}{self.id}"

    def wire_of(self) -> Wire:
        """Return the connection."""
        assert self.wire is not None
        return self.wire

    # ---- sending ---------------------------------------------------------------------

    def post(self, message: Any) -> None:
        """Send with the next flush."""
        self.out.append(message)
        if self.world.random.random() < 0.5:
            self.flush()

    def flush(self) -> None:
        """Send everything now."""
        if self.directly is not None and self.alive:
            self.directly.precede(self.out)
        if self.out and self.alive:
            batch, self.out = self.out, []
            self.wire_of().up(batch)

    # ---- refs ------------------------------------------------------------------------

    def adopt(self, any_id: int, state: int = ANNOUNCED) -> None:
        """A ref or handle was unpickled here."""
        entry = self.entries.get(any_id)
        if entry is not None:
            entry.count += 1
            return
        self.entries[any_id] = Entry(state)
        self.out.append(messages.Hold([any_id]))

    def expect(self, any_id: int, state: int = PENDING) -> None:
        """An object of our own is on its way."""
        self.entries[any_id] = Entry(state)

    def drop(self, any_id: int) -> None:
        """One ref or handle is gone."""
        entry = self.entries.get(any_id)
        if entry is None:
            return
        entry.count -= 1
        if entry.count:
            return
        del self.entries[any_id]
        if self.directly is None or not self.directly.forgets(any_id, self):
            self.post(messages.Drop([any_id]))
        if entry.value is not None:
            self.let_go(entry.value)
        stream = self.streams.get(any_id)
        if stream is not None:
            self.close_stream(any_id)

    def drop_all(self, ids: Iterable[int]) -> None:
        """A list of refs is gone."""
        before, self.out = self.out, []
        for any_id in ids:
            self.drop(any_id)
        dropped = [i for m in self.out if isinstance(m, messages.Drop) for i in m.ids]
        others = [m for m in self.out if not isinstance(m, messages.Drop)]
        self.out = before + others + ([messages.Drop(dropped)] if dropped else [])

    def let_go(self, value: Value | None) -> None:
        """Nothing looks into a value any more; arrays may live a while longer."""
        if value is None or not value.segment:
            return
        name = value.segment

        def unmap() -> None:
            if self.alive:
                self.post(messages.Unmapped([name]))
                self.flush()

        self.world.after(self.world.random.choice([0.0, 0.05]), unmap)

    def load(self, value: Value) -> list[int]:
        """Unpickle: refs inside become ours. Return them."""
        kept = [any_id for any_id in value.contained if any_id != self.own_handle]
        for any_id in kept:
            self.adopt(any_id)
        return kept

    def make_value(self, contained: Iterable[int] = (), *, plain: bool = False) -> Value:
        """Pickle something, of any size."""
        rng = self.world.random
        kept = list(contained)
        serial = self.world.facts.new_serial()
        data = serial.to_bytes(8, "big")
        kind = 1.0 if plain else rng.random()
        if kind < 0.15:
            if self.spare_segments and rng.random() < 0.7:
                name = self.spare_segments.pop()
            else:
                self.segments_made += 1
                name = f"c{self.id}-{self.segments_made}"
            self.world.facts.wrote(self, name)
            return Value(data, [], name, rng.choice([100, 200_000]), kept)
        if kind < 0.25:
            data += bytes(20_000)
        return Value(data, [], "", 0, kept)

    # ---- receiving -------------------------------------------------------------------

    def receive(self, batch: list[Any]) -> None:
        """Take a frame from the head."""
        for message in batch:
            self.take(message)
            if not self.alive:
                return
        self.flush_sometimes()
        for thread in list(self.threads):
            thread.look()

    def flush_sometimes(self) -> None:
        """The attendant sends what lies about."""
        if self.out:
            self.world.after(0.001, self.flush)

    def take(self, message: Any) -> None:
        """Take one message."""
        match message:
            case messages.Welcome():
                self.id = message.client_id
                self.mint = IdMint(self.id)
            case messages.Deliver():
                self._delivered(message)
            case messages.Ready():
                for object_id in message.object_ids:
                    entry = self.entries.get(object_id)
                    if entry is not None and entry.state == PENDING:
                        entry.state = ANNOUNCED
            case messages.Answer():
                if message.request_id not in self.abandoned:
                    self.answers[message.request_id] = message
                elif message.payload is not None:
                    self.out.append(messages.Drop([message.payload]))
            case messages.Reuse():
                for name in message.segments:
                    self.world.facts.may_reuse(self, name)
                self.spare_segments.extend(message.segments)
            case messages.Streamed():
                self._streamed(message)
            case messages.GiveUp():
                self.given_up.add(message.wait)
            case messages.Reached() | messages.WayLost():
                assert self.directly is not None
                self.directly.take(message)

    def _delivered(self, message: messages.Deliver) -> None:
        value = message.value
        self.world.facts.delivered(message.object_id, value)
        entry = self.entries.get(message.object_id)
        if entry is None:
            self.let_go(value)
            return
        if value is not None:
            self.let_go(entry.value)
            entry.value = value
            entry.state = VALUE
        else:
            entry.failure = message.failure
            entry.state = FAILED

    def _streamed(self, message: messages.Streamed) -> None:
        stream = self.streams.get(message.task_id)
        if message.object_id:
            self.expect(message.object_id, ANNOUNCED)
            if stream is None or stream.closed:
                self.drop(message.object_id)
            else:
                self.world.require(
                    message.index == stream.received,
                    f"{self} got item {message.index}, not {stream.received}",
                )
                stream.received += 1
                stream.items.append(message.object_id)
        elif stream is not None:
            stream.ended = True

    def close_stream(self, task_id: int) -> None:
        """The generator was dropped: its items too."""
        stream = self.streams[task_id]
        if stream.closed:
            return
        stream.closed = True
        self.post(messages.StreamCredit(task_id, -1))
        for object_id in stream.items:
            self.drop(object_id)
        stream.items.clear()

    # ---- waiting ---------------------------------------------------------------------

    def wait(
        self,
        ids: list[int],
        need: int,
        *,
        values: bool,
        timeout_s: float | None = None,
        task_id: int = 0,
        beside: int = 0,
    ) -> Generator[float | Wait, bool, bool]:
        """Wait until `need` of the objects are there, as `get` (with values) or `wait`.

        One more, `beside`, is awaited and given up meanwhile.

        Raises:
            GaveUp: they never will be.
        """
        good = (VALUE, FAILED) if values else (VALUE, FAILED, ANNOUNCED)
        entries = [self.entries[i] for i in ids]
        ask = [i for i, e in zip(ids, entries, strict=True) if e.state not in (VALUE, FAILED)]
        there = len(ids) - len(ask)
        if there >= need:
            return True
        bounded = timeout_s is not None
        self.waits += 1
        number = self.waits
        self.out.append(messages.Get(ask, need - there, task_id, values, bounded, number))
        if beside:
            self.waits += 1
            self.post(
                messages.Get([beside], 1, task_id, values=True, bounded=True, wait=self.waits)
            )
            self.post(messages.Unblock(task_id, self.waits))
        self.flush()

        def failed() -> bool:
            return values and any(e.state == FAILED for e in entries)

        known = {id(e): e.state for e in entries}
        if not values:
            # What was announced to a holder from elsewhere is not known to be there.
            for entry in entries:
                if entry.state == ANNOUNCED:
                    entry.state = PENDING

        def enough() -> bool:
            given_up = number in self.given_up
            return given_up or failed() or sum(e.state in good for e in entries) >= need

        finished = False
        try:
            finished = yield Wait(enough, timeout_s)
        finally:
            for entry in entries:
                if entry.state == PENDING:
                    entry.state = known[id(entry)]
            if task_id and self.alive and (not finished or failed()):
                self.post(messages.Unblock(task_id, number))
        if number in self.given_up:
            self.given_up.discard(number)
            raise GaveUp
        return finished


class StreamEnd:
    """The consumer's end of a generator."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.received = 0
        self.ended = False
        self.closed = False


class Worker(Client):
    """A worker process."""

    role = "worker"

    def __init__(self, world: World, order: commands.StartWorker) -> None:
        super().__init__(world)
        self.id = self.number = order.worker_id
        self.env = order.env
        self.gpus = order.gpus
        self.for_actor = order.actor
        self.inbox: deque[Any] = deque()
        self.known_codes: dict[int, messages.Code] = {}
        self.known_options: dict[int, TaskOptions] = {}
        self.journal: list[Any] = []
        self.journal_running = 0
        self.end: tuple[int | None, int | None] = (None, None)
        self.main: Thread | None = None
        self.running: dict[int, Thread] = {}
        self.actor: messages.BecomeActor | None = None
        self.state_refs: list[int] = []
        self.cancelled: set[int] = set()
        self.credits: dict[int, int] = {}
        self.runs_of: dict[int, int] = {}
        self.made: dict[int, Value] = {}
        self.exiting = False
        self.desk = Desk(self)

    # ---- birth and death -------------------------------------------------------------

    def born(self) -> None:
        """The zygote has forked it, or could not."""
        world = self.world
        if not self.alive or world.stopped:
            return
        rng = world.random
        bad = dict(self.env[0]).get("BAD") == "1"
        if bad or rng.random() < 0.02 * world.trouble:
            self.die(code=1)
            return
        world.scheduler.forked(self.number, 1000 + self.number)

        def hello() -> None:
            if not self.alive:
                return
            self.wire = Wire(world, self)
            self.wire.up([messages.Hello("worker", 1000 + self.number, self.number)])
            self.main = Thread(self, self._loop())
            self.main.resume()

        world.after(rng.random() * 0.02, hello)
        if rng.random() < 0.04 * world.trouble:
            world.after(rng.random() * 0.5, lambda: self.die(signal=11))

    def die(self, code: int | None = None, signal: int | None = None) -> None:
        """The process ends here; what it had not sent is lost, but for its journal."""
        if not self.alive:
            return
        self.alive = False
        self.end = (code, signal)
        self.world.tell(f"{self} dies (running {self.journal_running:x})")
        self.world.facts.died(self)
        self.world.worker_died(self)

    # ---- messages --------------------------------------------------------------------

    def receive(self, batch: list[Any]) -> None:
        self.desk.read()
        super().receive(batch)

    def flush(self) -> None:
        self.desk.precede()
        super().flush()
        if self.alive:
            self.journal.clear()

    def take(self, message: Any) -> None:
        match message:
            case messages.Run() | messages.BecomeActor() | messages.Exit():
                self.inbox.append(message)
            case messages.Code():
                self.known_codes[message.code_id] = message
            case messages.ForgetCode():
                self._forget_code(message.code_id)
            case messages.Options():
                self.known_options[message.options_id] = message.options
            case messages.TakeBack():
                self._give_back()
            case messages.Interrupt():
                self._interrupt(message.task_id)
            case messages.StreamCredit():
                if message.taken < 0 or self.credits.get(message.task_id, 0) >= 0:
                    self.credits[message.task_id] = message.taken
            case messages.Admit() | messages.Reclaim() | messages.Adopt():
                self.desk.take(message)
            case _:
                super().take(message)

    def _forget_code(self, code_id: int) -> None:
        """Nothing that is here, or comes, names this code."""
        waiting = [m.task_id for m in self.inbox if getattr(m, "code_id", 0) == code_id]
        self.world.require(not waiting, f"{self} is to run {waiting} and to forget the code")
        code = self.known_codes.pop(code_id)
        for value in (code.value, *code.captured):
            self.let_go(value)

    def _give_back(self) -> None:
        runs = [m for m in self.inbox if isinstance(m, messages.Run)]
        self.inbox = deque(m for m in self.inbox if not isinstance(m, messages.Run))
        returned = [run for run in runs if not self.desk.refuse(run.task_id)]
        for run in runs:
            self._discard(run)
        self.out.append(messages.Returned([run.task_id for run in returned]))
        self.flush()

    def _discard(self, run: messages.Run) -> None:
        for value in (*run.values, run.args):
            if value is not None and value.segment:
                self.out.append(messages.Unmapped([value.segment]))

    def _interrupt(self, task_id: int) -> None:
        for message in self.inbox:
            if isinstance(message, messages.Run) and message.task_id == task_id:
                self.inbox.remove(message)
                self._discard(message)
                self.out.append(messages.Done(task_id, [], Cancelled(task_id)))
                self.flush()
                return
        thread = self.running.get(task_id)
        if thread is None:
            return
        self.cancelled.add(task_id)
        if self.actor is None:
            self.world.after(0.0, lambda: self._raise_in(task_id, thread))

    def _raise_in(self, task_id: int, thread: Thread) -> None:
        if self.running.get(task_id) is thread and self.alive:
            thread.resume(throw=Interrupted())

    # ---- the loop --------------------------------------------------------------------

    def _loop(self) -> Generator[float | Wait, bool, None]:
        while True:
            if not self.inbox:
                self.flush()
                yield Wait(lambda: bool(self.inbox))
            message = self.inbox.popleft()
            if isinstance(message, messages.Exit):
                break
            if isinstance(message, messages.BecomeActor):
                yield from self._become(message)
            elif self._side_by_side():
                yield Wait(self._has_slot)
                thread = Thread(self, self._side(message))
                self.running[message.task_id] = thread
                thread.resume()
            else:
                if not self.desk.may_run(message) or not self._have_ridden(message):
                    continue
                assert self.main is not None
                self.running[message.task_id] = self.main
                yield from self._run(message)
            if self.exiting:
                break
        self.flush()
        self.die(code=0)
        raise Crash

    def _have_ridden(self, run: messages.Run) -> bool:
        for at, value in enumerate(run.values):
            if value is None:
                made = self.made.get(run.deps[at])
                if made is None or self.world.random.random() < 0.05:
                    self._discard(run)
                    self.out.append(messages.Returned([run.task_id]))
                    self.flush()
                    return False
                run.values[at] = made
        return True

    def _has_slot(self) -> bool:
        assert self.actor is not None
        return len(self.running) < self.actor.options.max_concurrency

    def _side_by_side(self) -> bool:
        return self.actor is not None and self.actor.options.max_concurrency > 1

    def _side(self, run: messages.Run) -> Generator[float | Wait, bool, None]:
        yield from self._run(run)
        self.flush_sometimes()
        if self.exiting:
            self.flush()
            self.die(code=0)
            raise Crash
        assert self.main is not None
        self.main.look()

    def _become(self, message: messages.BecomeActor) -> Generator[float | Wait, bool, None]:
        world = self.world
        world.facts.begins_actor(self, message)
        self.actor = message
        self.own_handle = message.actor_id  # a handle on itself does not keep it alive
        failure: Failure | None = None
        refs: list[int] = []
        for value in (message.args, *message.values):
            if value is not None:
                refs += self.load(value)
                self.let_go(value)
        self.state_refs = refs
        try:
            yield from world.programs.construct(self, message, refs)
        except UserRaised:
            failure = UserError("ValueError", "no", "", b"", "__init__", 0, 0)
        except ExitActor:
            self._leave()
            return
        except Crash:
            self.die(signal=6)
            raise
        self.out.append(messages.ActorReady(message.actor_id, failure, "<actor>"))
        self.flush()

    def _leave(self) -> None:
        assert self.actor is not None
        self.exiting = True
        self.out.append(messages.ActorExit(self.actor.actor_id, "exit_actor() was called"))
        self.flush()

    def _run(self, run: messages.Run) -> Generator[float | Wait, bool, None]:
        world = self.world
        task_id = run.task_id
        options = self.known_options[run.options_id]
        world.facts.begins(self, run, options)
        if not run.method or run.code_id:
            world.require(run.code_id in self.known_codes, f"{self} lacks code of {task_id:x}")
        if not self._side_by_side():
            self.journal_running = task_id
        refs: list[int] = []
        for value in (run.args, *run.values):
            if value is not None:
                refs += self.load(value)
                self.let_go(value)
        values: list[Value] = []
        failure: Failure | None = None
        retryable = False
        micros = int(world.now * 1e6)
        try:
            result = yield from world.programs.execute(self, run, options, refs)
            values = self._results(task_id, result, options)
        except Interrupted:
            failure = Cancelled(task_id, options.name)
        except UserRaised as raised:
            failure = UserError("ValueError", "no", "", b"", options.name, 0, task_id)
            retryable = raised.retryable
        except ExitActor:
            world.facts.ends(self, run)
            self._leave()
            return
        except Crash:
            self.die(signal=11)
            raise
        finally:
            self.running.pop(task_id, None)
        if task_id in self.cancelled and self.actor is not None:
            failure, values = Cancelled(task_id, options.name), []
        world.facts.ends(self, run)
        micros = min(int(world.now * 1e6) - micros, world.random.choice([50, 10_000_000]))
        done = messages.Done(task_id, values, failure, micros, retryable)
        if options.max_calls:
            count = self.runs_of[run.code_id] = self.runs_of.get(run.code_id, 0) + 1
            if count >= options.max_calls:
                self.out.append(messages.Retiring())
                self._give_back()
                self.exiting = True
        if len(values) == 1 and not values[0].segment:
            self.made[task_id] = values[0]
            world.facts.made(task_id, values[0])  # what rides has it before the head
        self._report(done)
        self.journal_running = 0
        # The result kept its refs alive until the head has heard of them.
        for any_id in refs:
            self.drop(any_id)

    def _report(self, done: messages.Done) -> None:
        if self.desk.answered(done):
            return
        alone = len(self.out) == len(self.journal)
        self.out.append(done)
        plain = not any(v.contained or v.segment for v in done.values)
        if alone and plain and self.inbox and not self.exiting and self.world.random.random() < 0.8:
            self.journal.append(done)  # heard of also if the process dies before the next flush
        else:
            self.flush()

    def post(self, message: Any) -> None:
        # What is not an end makes everything before it go out with it.
        self.out.append(message)
        if self.journal or self.world.random.random() < 0.5:
            self.flush()

    def _results(self, task_id: int, result: list[int], options: TaskOptions) -> list[Value]:
        count = options.num_returns
        if count == STREAMING:
            return [self.make_value(plain=True)]
        if options.generator:
            return []
        if self.world.programs.scripts[task_id].plain:
            return [self.make_value(plain=True)]
        return [self.make_value(result if n == 0 else ()) for n in range(count)]
