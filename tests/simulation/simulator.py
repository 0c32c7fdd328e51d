"""A burrow in virtual time: the real scheduler core between fake drivers and workers.

`run(seed)` plays one history: random programs, random delays on every connection,
deaths of every kind at random moments. After each step of the core its own `check`
and the invariants of `checker` must hold; at the end everything that was asked must
be answered and everything that was used must be free again. The same seed gives the
same history, so a failure is replayed by its number: `python -m tests.simulation 17`.

Nothing here sleeps or looks at a clock: time is the key of a heap.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import limits, messages, resources
from burrow_jupyter.core.fusing import spread
from burrow_jupyter.core.scheduler import commands, folding
from burrow_jupyter.core.scheduler.proof import check
from burrow_jupyter.core.scheduler.state import MemoryBounds, Reading, Settings
from burrow_jupyter.core.scheduler.step import Scheduler

from . import checker
from .processes import Worker
from .programs import Driver, Programs
from .wires import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_LINES = 50
EVENTS_MAX = 60_000
"""A history of the length below takes a tenth of that: more means that it never ends."""
PRESSURE_S = (0.0, 0.5, 20.0)
"""Virtual time, one of these, after which the memory stays as it is, short perhaps."""
_UNFOLDED_BY_NONE = folding.BESIDE | {
    messages.Submit,
    messages.SubmitMany,
    messages.Done,
    messages.DoneMany,
}
HORIZON_S = 600.0
"""Virtual time by which everything must have been answered."""


class Failed(AssertionError):
    """A history in which something went wrong; its text holds seed, story and reason."""


class World:
    """The loop, the machine and all its processes."""

    def __init__(
        self, seed: int, *, actions: int = 60, log_lines: int = LOG_LINES, pressed: bool = False
    ) -> None:
        self.seed = seed
        self.random = rng = random.Random(seed)
        self.now = 0.0
        self.log: deque[str] = deque(maxlen=log_lines)
        self.steps = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.wakes: list[float] = []
        self.next_peer = 0
        self.wires: dict[int, Wire] = {}
        self.workers: dict[int, Worker] = {}
        self.drivers: list[Driver] = []
        self.ending = False
        self.stopped = False
        self.slowness = rng.choice([0.0001, 0.001, 0.01])
        self.trouble = rng.choice([0.0, 0.0, 1.0, 1.0, 3.0])
        self.cpus = rng.choice([1, 1, 2, 2, 3, 4])
        self.gpus = tuple(str(n) for n in range(rng.choice([0, 0, 1, 2])))
        totals = {resources.CPU: self.cpus * resources.UNIT, "gold": 2 * resources.UNIT}
        if self.gpus:
            totals[resources.GPU] = len(self.gpus) * resources.UNIT
        self.pressed = random.Random(seed) if pressed else None
        """Apart, so that a seed's programs are the same without."""
        self.facts = checker.Facts(self)
        self.scheduler = Scheduler(
            Settings(
                session=1,
                totals=totals,
                gpu_ids=self.gpus,
                namespace="home",
                prestart=rng.choice([0, 0, self.cpus]),
                memory=MemoryBounds(100, 90, 85, "this machine"),
            )
        )
        self.state = self.scheduler.state
        self.programs = Programs(self, actions=actions)

    # ---- time ------------------------------------------------------------------------

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Do something at a time."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, what))

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do something in a while."""
        self.at(self.now + delay_s, what)

    def delay(self) -> float:
        """Return how long a frame travels; now and then much longer."""
        rng = self.random
        return rng.random() * self.slowness * (20 if rng.random() < 0.05 else 1)

    def tell(self, text: str) -> None:
        """Write a line of the story."""
        self.log.append(f"{self.now:9.5f} {text}")

    def require(self, condition: object, text: str) -> None:
        """Fail the history unless a condition holds."""
        if not condition:
            raise Failed(text)

    # ---- the loop around the core ----------------------------------------------------

    def receive(self, wire: Wire, batch: list[Any]) -> None:
        """A frame has reached the head."""
        if not wire.open or self.stopped:
            return
        if not {type(message) for message in batch} <= _UNFOLDED_BY_NONE:
            self.scheduler.unfold()  # as it will itself: what is spoken of is looked up here, too
        for message in batch:
            self.tell(f"{wire.client} > {_brief(message)}")
            for each in spread(message):
                self.facts.heard(wire.client, each)
        self.scheduler.receive(wire.peer, batch, self.now)
        self.after_step()

    def after_step(self) -> None:
        """Carry out what the core wants; prove what it believes."""
        self.steps += 1
        sends, orders = self.scheduler.drain()
        frames: dict[int, list[Any]] = {}
        for peer, message in sends:
            wire = self.wires.get(peer)
            if wire is None or not wire.open:
                continue
            self.tell(f"{wire.client} < {_brief(message)}")
            for each in spread(message):
                self.facts.said(wire.client, each)
            frames.setdefault(peer, []).append(message)
        for peer, batch in frames.items():
            self.wires[peer].down(batch)
        for order in orders:
            self._do(order)
        if not self.stopped:
            check(self.state)
            checker.check_progress(self)

    def _do(self, order: commands.Command) -> None:
        if isinstance(order, commands.WakeAt):
            self._wake_at(order.at)
            return
        self.tell(f"* {order}")
        if isinstance(order, commands.StartWorker):
            self._start(order)
        elif isinstance(order, commands.StopWorker):
            self._stop(order)
        elif isinstance(order, commands.Stop):
            self.stopped = True
        elif isinstance(order, commands.Unlink):
            self.facts.unlinked(order.names)

    def _stop(self, order: commands.StopWorker) -> None:
        worker = self.workers.get(order.worker_id)
        if worker is None:
            return
        if order.task_id:

            def stop(*, deaf: bool = True) -> None:
                task = self.scheduler.state.tasks.get(order.task_id)
                record = task.worker if task is not None else None
                if record is None or record.id != worker.number:
                    return
                running = worker.journal_running
                if running == order.task_id or (deaf and running not in record.assigned):
                    worker.die(signal=9)

            if not order.grace_s:
                stop(deaf=False)
            self.after((order.grace_s or limits.STOP_GRACE_S) + self.delay(), stop)
        else:
            self.after(order.grace_s + self.delay(), lambda: worker.die(signal=9))

    def _wake_at(self, at: float) -> None:
        heapq.heappush(self.wakes, at)

        def tick() -> None:
            if self.stopped:
                return
            heapq.heappop(self.wakes)
            self.scheduler.tick(self.now)
            self.after_step()

        self.at(max(at, self.now), tick)

    def _start(self, order: commands.StartWorker) -> None:
        worker = Worker(self, order)
        self.workers[order.worker_id] = worker
        rng = self.random
        self.after(rng.random() * 0.05, worker.born)

    def worker_died(self, worker: Worker) -> None:
        """A process is dead: its last words are heard, then the head is told."""

        def tell_head() -> None:
            if self.stopped:
                return
            wire = worker.wire
            if wire is not None and worker.journal:
                self.receive(wire, list(worker.journal))
            del self.workers[worker.number]
            self.scheduler.unfold()
            begun = running = worker.journal_running
            record = self.state.workers.get(worker.number)
            if record is None or running not in record.assigned:
                running = 0
            self.tell(f"{worker} exited while it ran {running:x}")
            code, signal = worker.end
            if wire is not None:
                wire.open = False
            self.facts.exited(worker)
            self.facts.crashed_in(worker, running)
            self.scheduler.exited(worker.number, code, signal, running, self.now, begun)
            self.after_step()

        heard = worker.wire.up_until if worker.wire is not None else 0.0
        self.at(max(heard, self.now) + self.delay(), tell_head)

    def driver_died(self, driver: Driver) -> None:
        """A driver's connection broke; what it had sent is heard before."""

        def tell_head() -> None:
            if self.stopped:
                return
            driver.wire_of().open = False
            self.facts.exited(driver)
            self.tell(f"{driver} is lost")
            self.scheduler.lost(driver.wire_of().peer, self.now)
            self.after_step()

        self.at(max(driver.wire_of().up_until, self.now) + self.delay(), tell_head)

    # ---- one history -----------------------------------------------------------------

    def play(self) -> None:
        """Play the history to its end."""
        self.after_step()
        self.programs.begin()
        if self.pressed is not None:
            self._press(self.pressed, self.pressed.choice(PRESSURE_S))
        self._drain()
        self.programs.check_answers()
        self.tell("==== everybody has what they asked for: drop it all")
        self.ending = True
        self.programs.let_go(everything=False)
        self._drain()
        # Actors that hold what tasks wait for, which hold their handles, live on rightly.
        self.programs.let_go(everything=True)
        self._drain()
        if not self.stopped:
            checker.check_nothing_left(self)

    def _press(self, rng: random.Random, until: float) -> None:
        """The memory is read: it is short or not, for a while, and in the end for good."""
        used = rng.choice([80, 86, 91, 95])
        self.tell(f"* {used} % of the memory are used")
        self.scheduler.weigh(Reading(used), self.now)
        self.after_step()
        if self.now < until and not self.stopped:
            pause = rng.choice([0.003, 0.03, 0.3]) * rng.random() * 10
            self.after(pause, lambda: self._press(rng, until))

    def _drain(self) -> None:
        events = 0
        while self._heap and not self.stopped:
            when, _, what = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            self.require(self.now < HORIZON_S, "the history does not end: time runs on")
            events += 1
            self.require(events < EVENTS_MAX, "the history does not end: too many events")
            what()


def _brief(message: Any) -> str:
    text = f"{type(message).__name__}("
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if value in (None, "", 0, [], b"", ()) or name in ("options", "info"):
            continue
        if isinstance(value, messages.Value):
            value = f"<{len(value.data)}b {value.segment} {[f'{c:x}' for c in value.contained]}>"
        elif name.endswith("id") and isinstance(value, int):
            value = f"{value:x}"
        elif name.endswith("ids") or name == "deps":
            value = [f"{v:x}" for v in value]
        elif isinstance(value, list) and isinstance(value[0], bytes):
            value = [len(v) for v in value]
        elif name == "values" and isinstance(value, list):
            value = [_brief_value(v) for v in value]
        text += f"{name}={value}, "
    return text.removesuffix(", ") + ")"


def _brief_value(value: Any) -> str:
    return "-" if value is None else f"<{value.segment or len(value.data)}>"


def run(
    seed: int, *, actions: int = 60, log_lines: int = LOG_LINES, pressed: bool = False
) -> World:
    """Play the history of one seed.

    Raises:
        Failed: it went wrong; the text tells how to replay it.
    """
    world = World(seed, actions=actions, log_lines=log_lines, pressed=pressed)
    try:
        world.play()
    except Exception as error:
        story = "\n".join(world.log)
        raise Failed(
            f"seed {seed} failed at step {world.steps}: {type(error).__name__}: {error}\n"
            f"replay: python -m tests.simulation {seed}{' --pressed' * pressed}\n{story}"
        ) from error
    return world


__all__ = ["Failed", "World", "run"]
