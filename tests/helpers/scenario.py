"""The pure scheduler core as a play: clients and workers whose lines a test speaks.

    burrow = Burrow(cpus=1)
    driver = burrow.driver()
    first = driver.submit("first")
    second = driver.submit("second", first)
    assert burrow.running() == [first]
    burrow.end(first)
    assert burrow.running() == [second]

Workers that the core asks for say hello at once, or when `born()` is called with
`by_hand=True`. After each event the core's own proof is checked. Time is a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from burrow_jupyter.core import messages, resources
from burrow_jupyter.core.failures import Cancelled, Failure, UserError
from burrow_jupyter.core.fusing import spread
from burrow_jupyter.core.ids import IdMint, short
from burrow_jupyter.core.messages import Value
from burrow_jupyter.core.options import ActorOptions, TaskOptions
from burrow_jupyter.core.scheduler import commands
from burrow_jupyter.core.scheduler.proof import check
from burrow_jupyter.core.scheduler.state import MemoryBounds, Reading
from burrow_jupyter.core.scheduler.step import Scheduler, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from burrow_jupyter.core.scheduler.state import State

M = TypeVar("M")


def shape(cpus: float = 1, gpus: float = 0, **others: float) -> resources.Shape:
    """Return a demand as the key of its queue."""
    demand = {resources.CPU: cpus, resources.GPU: gpus, **others}
    return resources.shape_of({k: resources.to_units(k, v) for k, v in demand.items() if v})


def raised(text: str = "no", *, contained: Iterable[int] = ()) -> UserError:
    """Return the failure of a call that raised."""
    return UserError("ValueError", text, "", b"", "f", 0, 0, contained=list(contained))


class Client:
    """A driver, or the client that a worker is."""

    def __init__(self, burrow: Burrow, peer: int, hello: messages.Hello) -> None:
        self.burrow = burrow
        self.peer = peer
        self.inbox: list[Any] = []
        burrow.clients[peer] = self
        burrow.receive(peer, hello)
        self.id: int = self.heard(messages.Welcome)[0].client_id
        self._mint = IdMint(self.id)
        self._known: dict[Any, int] = {}

    def say(self, *batch: Any) -> None:
        """Send messages in one frame."""
        self.burrow.receive(self.peer, *batch)

    def heard(self, kind: type[M]) -> list[M]:
        """Return the messages of a kind that have come, oldest first."""
        return [message for message in self.inbox if isinstance(message, kind)]

    def new_id(self) -> int:
        """Return an id of this client's own."""
        return self._mint.next()

    # ---- what it has been told -------------------------------------------------------

    def value(self, object_id: int) -> bytes | None:
        """Return the value that was delivered last for an object, `None` if none was."""
        return next((m.value.data for m in self._delivered(object_id) if m.value is not None), None)

    def failure(self, object_id: int) -> Failure | None:
        """Return the failure that was delivered last for an object, `None` if none was."""
        return next((m.failure for m in self._delivered(object_id) if m.failure is not None), None)

    def _delivered(self, object_id: int) -> list[messages.Deliver]:
        return [m for m in reversed(self.heard(messages.Deliver)) if m.object_id == object_id]

    def ask(self, what: str, *args: Any) -> Any:
        """Return the answer to a question about the state."""
        answer = self._answer(what, args)
        assert not answer.error, answer.error
        return answer.payload

    def refused(self, what: str, *args: Any) -> str:
        """Return the error that a question is answered with."""
        return self._answer(what, args).error

    def _answer(self, what: str, args: Iterable[Any]) -> messages.Answer:
        request = self.new_id()
        self.say(messages.Query(request, what, list(args)))
        return next(m for m in self.heard(messages.Answer) if m.request_id == request)

    def state_of(self, object_id: int) -> str:
        """Return how the task of an object stands, as people are told."""
        return str(self.ask("describe tasks", [object_id])[0]["state"])

    # ---- what it does ----------------------------------------------------------------

    def define(self, name: str, value: Value | None = None, captured: Iterable[int] = ()) -> int:
        """Define a function once, which captures objects; return the id of its code."""
        if name not in self._known:
            self._known[name] = self.new_id()
            code = value or Value(b"code")
            self.say(messages.DefineCode(self._known[name], name, code, captured=list(captured)))
        return self._known[name]

    def _options(self, options: TaskOptions) -> int:
        if options not in self._known:
            self._known[options] = self.new_id()
            self.say(messages.DefineOptions(self._known[options], options))
        return self._known[options]

    def submit(
        self,
        name: str,
        *deps: int,
        need: resources.Shape | None = None,
        contained: Iterable[int] = (),
        run: int = 0,
        parent: int = 0,
        **options: Any,
    ) -> int:
        """Call a function: one CPU unless `need` says else, its arguments `deps`."""
        code = self.define(name)
        wanted = shape() if need is None else need
        chosen = TaskOptions(name=name, function=name, shape=wanted, **options)
        options_id = self._options(chosen)
        task = self.new_id()
        args = Value(b"args", contained=list(contained)) if contained else None
        slots: list[int | str] = list(range(len(deps)))
        self.say(messages.Submit(task, code, options_id, args, list(deps), slots, run, parent))
        return task

    def create(
        self,
        name: str,
        *deps: int,
        need: resources.Shape = (),
        called: str = "",
        parent: int = 0,
        **options: Any,
    ) -> int:
        """Make an actor of class `name`; `called` is the actor's own name."""
        code = self.define(name)
        chosen = ActorOptions(class_name=name, name=called, shape=need, **options)
        actor = self.new_id()
        slots: list[int | str] = list(range(len(deps)))
        self.say(messages.CreateActor(actor, code, chosen, None, list(deps), slots, 0, parent))
        return actor

    def call(
        self,
        actor: int,
        method: str,
        *deps: int,
        retries: int = 0,
        parent: int = 0,
        run: int = 0,
        **options: Any,
    ) -> int:
        """Call a method."""
        options_id = self._options(TaskOptions(name=method, function=method, **options))
        task = self.new_id()
        slots: list[int | str] = list(range(len(deps)))
        self.say(
            messages.Call(
                task, actor, method, options_id, None, list(deps), slots, run, parent, retries
            )
        )
        return task

    def put(self, data: bytes = b"put", *, contained: Iterable[int] = (), segment: str = "") -> int:
        """Put a value; with `segment` it lies in shared memory."""
        object_id = self.new_id()
        size = 1_000_000 if segment else 0
        self.say(messages.Put(object_id, Value(data, [], segment, size, list(contained))))
        return object_id

    def get(self, *ids: int, need: int | None = None, task: int = 0, values: bool = True) -> None:
        """Ask for objects; `task` waits for them."""
        wanted = len(ids) if need is None else need
        self.say(messages.Get(list(ids), wanted, task, values))

    def drop(self, *ids: int) -> None:
        """Hold these no more."""
        self.say(messages.Drop(list(ids)))

    def cancel(self, object_id: int, *, force: bool = False, recursive: bool = True) -> None:
        """Cancel a task."""
        self.say(messages.Cancel(object_id, force, recursive))

    def kill(self, actor: int, *, no_restart: bool = True) -> None:
        """Kill an actor."""
        self.say(messages.Kill(actor, no_restart))

    def leave(self) -> None:
        """Lose the connection."""
        self.burrow.event("lost", self.peer)


class Worker(Client):
    """A worker: `runs` are the calls that it was sent and has not ended, oldest first."""

    def __init__(self, burrow: Burrow, peer: int, order: commands.StartWorker) -> None:
        self.number = order.worker_id
        self.order = order
        self.runs: list[int] = []
        self.tells_where = True
        burrow.workers[self.number] = self
        super().__init__(burrow, peer, messages.Hello("worker", 1000 + peer, self.number))

    def took(self, message: Any) -> None:
        """Note what a message from the head means to a worker."""
        if isinstance(message, messages.Run):
            self.runs.append(message.task_id)
        elif isinstance(message, messages.Where) and self.tells_where:
            self.say(messages.Here(message.number, "  here"))

    def ready(self, failure: Failure | None = None) -> None:
        """The constructor of the actor that it is has ended."""
        actor = self.heard(messages.BecomeActor)[-1].actor_id
        self.say(messages.ActorReady(actor, failure))

    def end(
        self, task: int, *values: Value | bytes, failure: Failure | None = None, **how: Any
    ) -> None:
        """End a call after a tenth of a second, with `b"value"`, unless something else is said."""
        self.runs.remove(task)
        how.setdefault("micros", 100_000)
        results = [Value(v) if isinstance(v, bytes) else v for v in values] or [Value(b"value")]
        self.say(messages.Done(task, [] if failure else results, failure, **how))

    def give_back(self) -> None:
        """Give back what is held ahead, as it was asked to."""
        ahead, self.runs = self.runs[1:], self.runs[:1]
        self.say(messages.Returned(ahead))

    def stop_task(self, task: int) -> None:
        """End a call as cancelled."""
        self.end(task, failure=Cancelled(task))

    def die(self, *, running: int | None = None, signal: int | None = 9) -> None:
        """Lose the process, while it ran its first call unless `running` says else."""
        current = self.runs[0] if self.runs else 0
        del self.burrow.workers[self.number]
        self.runs = []
        code = None if signal else 0
        self.burrow.event(
            "exited", self.number, code, signal, current if running is None else running
        )


class Burrow:
    """One burrow's scheduler, its clients and its clock."""

    def __init__(
        self, cpus: float = 1, gpus: int = 0, *, by_hand: bool = False, **others: float
    ) -> None:
        ids = tuple(str(n) for n in range(gpus))
        totals = dict(shape(cpus, gpus, **others))
        self.now = 100.0
        self.by_hand = by_hand
        self.clients: dict[int, Client] = {}
        self.workers: dict[int, Worker] = {}
        self.orders: list[commands.Command] = []
        self.asked_for: list[commands.StartWorker] = []
        self._peers = 0
        memory = MemoryBounds(100 * 1024**3, 90 * 1024**3, 85 * 1024**3, "this machine")
        self._scheduler = Scheduler(Settings(session=1, totals=totals, gpu_ids=ids, memory=memory))

    @property
    def state(self) -> State:
        """All records; each call has one of its own."""
        self._scheduler.unfold()
        return self._scheduler.state

    # ---- events ----------------------------------------------------------------------

    def event(self, what: str, *args: Any, **more: Any) -> None:
        """Let the core take one event, prove its records and deliver what it says."""
        getattr(self._scheduler, what)(*args, now=self.now, **more)
        sends, orders = self._scheduler.drain()
        check(self._scheduler.state)
        for peer, fused in sends:
            client = self.clients[peer]
            for message in spread(fused):
                client.inbox.append(message)
                if isinstance(client, Worker):
                    client.took(message)
        self.orders += orders
        self.asked_for += [o for o in orders if isinstance(o, commands.StartWorker)]
        while self.asked_for and not self.by_hand:
            self.born()

    def receive(self, peer: int, *batch: Any) -> None:
        """Let a frame arrive."""
        self.event("receive", peer, list(batch))

    def after(self, seconds: float) -> None:
        """Let time pass, and tick."""
        self.now += seconds
        self.event("tick")

    def weigh(self, percent: int, worker: Worker | None = None, gigabytes: int = 0) -> None:
        """Let so much of the 100 GB of memory be used, and some of it by a worker."""
        pid = self.state.workers[worker.number].pid if worker is not None else 0
        self.event("weigh", Reading(percent * 1024**3, pid, gigabytes * 1024**3))

    # ---- processes -------------------------------------------------------------------

    def new_peer(self) -> int:
        """Return the number of a new connection."""
        self._peers += 1
        return self._peers

    def driver(self, role: str = "driver") -> Client:
        """Connect a driver, or an observer."""
        return Client(self, self.new_peer(), messages.Hello(role, 1))

    def born(self) -> Worker:
        """Let the worker that was asked for first say hello."""
        return Worker(self, self.new_peer(), self.asked_for.pop(0))

    def dies_unborn(self, unborn: str = "") -> None:
        """Let the worker that was asked for first die before it says hello, or not be forked."""
        code = None if unborn else 1
        self.event("exited", self.asked_for.pop(0).worker_id, code, None, 0, unborn=unborn)

    def ordered(self, kind: type[M]) -> list[M]:
        """Return the orders of a kind that the core has given, oldest first."""
        return [order for order in self.orders if isinstance(order, kind)]

    # ---- looking ---------------------------------------------------------------------

    def running(self) -> list[int]:
        """Return the calls that run, by worker; what is held ahead does not run."""
        return [worker.runs[0] for worker in self.workers.values() if worker.runs]

    def worker_of(self, task: int) -> Worker:
        """Return the worker that a call was sent to."""
        found = [w for w in self.workers.values() if task in w.runs]
        assert found, f"no worker has {short(task)}; they have {self.running()}"
        return found[0]

    def worker_for(self, actor: int) -> Worker:
        """Return the worker that is to be, or is, an actor."""
        return next(
            w
            for w in self.workers.values()
            if any(m.actor_id == actor for m in w.heard(messages.BecomeActor))
        )

    def end(
        self, task: int, *values: Value | bytes, failure: Failure | None = None, **how: Any
    ) -> None:
        """End a call where it runs."""
        self.worker_of(task).end(task, *values, failure=failure, **how)

    def free(self, name: str = resources.CPU) -> float:
        """Return how much of a resource is not leased, as a driver is told."""
        observer = next(c for c in self.clients.values() if not isinstance(c, Worker))
        return float(observer.ask("available")[name])


__all__ = ["Burrow", "Client", "Worker", "raised", "shape"]
