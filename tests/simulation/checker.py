"""What must hold in every history, counted by the fake processes and not by the core."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import limits, messages, resources
from burrow_jupyter.core.failures import ActorDied, UserError, WorkerDied
from burrow_jupyter.core.ids import STRIDE
from burrow_jupyter.core.options import FOREVER
from burrow_jupyter.core.scheduler import leases
from burrow_jupyter.core.scheduler.proof import check
from burrow_jupyter.core.scheduler.records import (
    ENDED,
    PLAIN_ENV,
    ActorState,
    ObjectState,
    TaskState,
    WorkerState,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.core.options import TaskOptions
    from burrow_jupyter.core.scheduler.records import TaskRecord

    from .processes import Client, Worker
    from .simulator import World

SLACK_S = 1e-6


class Facts:
    """What has really happened."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.starts: Counter[int] = Counter()
        self.budgets: dict[int, int] = {}
        self.options: dict[int, TaskOptions] = {}
        self.runs: dict[int, int] = {}  # of what drivers have submitted
        self.values: dict[int, set[bytes]] = {}
        self.lanes: dict[int, tuple[int, int, int]] = {}
        self.in_order: set[int] = set()
        self.last: dict[tuple[int, int], int] = {}
        self.killed_by: set[tuple[int, int]] = set()
        self.forbidden: set[int] = set()
        self.cancelled: set[int] = set()
        self.running: dict[int, tuple[Worker, TaskOptions]] = {}
        self.resumed: set[int] = set()
        self.constructed: Counter[int] = Counter()
        self.segments: dict[str, Client] = {}
        self.reading: Counter[str] = Counter()
        self.seen: dict[Client, Counter[str]] = {}
        self.dead_actors: set[int] = set()
        self.to_cancel: set[int] = set()
        self.killed_now: set[int] = set()  # actors, earlier in the frame that is taken
        self.over_now: set[int] = set()  # tasks cancelled earlier in it that had no worker
        self.cancelled_runs: set[int] = set()
        self.to_die: set[int] = set()
        self.crashes: Counter[int] = Counter()
        self.sent: dict[Client, dict[int, None]] = {}
        self.returned: dict[int, tuple[list[int], int]] = {}
        self.rode: set[int] = set()  # sent to run behind what makes their argument
        self.knots: set[int] = set()  # calls that wait for what can come only when they have ended
        self.parents: set[int] = set()  # tasks that had unfinished children before this step
        self.begun: set[int] = set()  # tasks that were sent to a worker that had none, in this step
        self.reclaimed: set[Client] = set()  # workers that are to answer to the end of a loan
        self._serial = 0

    # ---- values ----------------------------------------------------------------------

    def new_serial(self) -> int:
        """Return the number of a new value."""
        self._serial += 1
        return self._serial

    def made(self, object_id: int, value: Value) -> None:
        """A process has made this value for this object."""
        self.values.setdefault(object_id, set()).add(value.data[:8])

    def delivered(self, object_id: int, value: Value | None) -> None:
        """A client was given the value of an object."""
        if value is not None:
            known = self.values.get(object_id, set())
            self.world.require(value.data[:8] in known, f"{object_id:x} got another's value")

    # ---- segments --------------------------------------------------------------------

    def wrote(self, client: Client, name: str) -> None:
        """A process writes into a segment."""
        self.world.require(not self.reading[name], f"{name} is written while it is read")
        self.segments[name] = client

    def may_reuse(self, client: Client, name: str) -> None:
        """The head says that nobody needs a segment."""
        self.world.require(self.segments.get(name) is client, f"{name} is not {client}'s")
        self.world.require(not self.reading[name], f"{name} is to be reused while it is read")

    def unlinked(self, names: list[str]) -> None:
        """The head removed segments."""
        for name in names:
            self.segments.pop(name, None)

    def _reads(self, client: Client, message: Any) -> None:
        for value in _values_of(message):
            self.reading[value.segment] += 1
            self.seen.setdefault(client, Counter())[value.segment] += 1

    # ---- messages --------------------------------------------------------------------

    def heard(self, client: Client, message: Any) -> None:
        """The head is about to take a message."""
        if isinstance(message, messages.Kill):
            self.killed_now.add(message.actor_id)
        if isinstance(message, messages.Unmapped):
            for name in message.segments:
                if self.seen.get(client, Counter())[name]:
                    self.reading[name] -= 1
                    self.seen[client][name] -= 1
        elif isinstance(message, messages.Done):
            for number, value in enumerate(message.values):
                self.made(message.task_id + number, value)
            self.sent.get(client, {}).pop(message.task_id, None)
        elif isinstance(message, messages.Get) and message.task_id:
            # It may have waited, and gone on, by the end of the frame.
            records = [self.world.state.objects.get(i) for i in message.object_ids]
            waits = any(r is None or r.state is ObjectState.PENDING for r in records)
            if waits and client.role == "worker":
                self.resumed.add(client.id)
        elif isinstance(message, messages.Returned):
            sent = self.sent.get(client, {})
            self._comes_back([i for i in message.task_ids if i in sent])
            for task_id in message.task_ids:
                sent.pop(task_id, None)
        elif isinstance(message, messages.Reclaimed):
            self.reclaimed.discard(client)
        elif isinstance(message, messages.Cancel):
            self._cancels(message)
        elif isinstance(message, messages.CancelRun):
            self.cancelled_runs.add(message.run_id)
        elif isinstance(message, messages.Submit | messages.Call):
            parent = self.world.state.tasks.get(message.parent)
            if parent is not None and parent.cancelled and parent.run_id in self.cancelled_runs:
                self.to_cancel.add(message.task_id)
        elif isinstance(message, messages.Kill) and not message.no_restart:
            self.crashes[message.actor_id] += 1
        elif isinstance(message, messages.Kill) and message.no_restart:
            # Another may kill what its maker has not told the head of yet: that comes to nothing.
            self.dead_actors |= {message.actor_id} & self.world.state.actors.keys()

    def said(self, client: Client, message: Any) -> None:
        """The head sends a message."""
        self._reads(client, message)
        if isinstance(message, messages.Deliver):
            self._failed(message)
        elif isinstance(message, messages.Run):
            self.world.require(
                message.task_id not in self.cancelled,
                f"{message.task_id:x} is sent although it was cancelled",
            )
            self._in_turn(client, message)
        elif isinstance(message, messages.Interrupt):
            self.cancelled.add(message.task_id)
        elif isinstance(message, messages.Reclaim):
            self.reclaimed.add(client)
        elif isinstance(message, messages.GiveUp):
            self.world.require(
                message.task_id in self.knots, f"{message.task_id:x} is told of no deadlock"
            )

    def _cancels(self, message: messages.Cancel) -> None:
        state = self.world.state
        record = state.objects.get(message.object_id)
        task = state.tasks.get(message.object_id) or (record.task if record is not None else None)
        if task is not None and task.actor is not None and task.actor.id in self.killed_now:
            return  # it is over by then; what it has submitted ends with its process
        found = {task.id} - self.over_now if task is not None else set()
        reached: set[int] = set()
        while found:
            reached |= found
            children = {t.id for t in state.tasks.values() if t.parent in found}
            found = children - reached - self.over_now if message.recursive else set()
        self.to_cancel |= reached
        # These are over at once: another `Cancel` of them, as of all that is over, does nothing.
        self.over_now |= {i for i in reached if i in state.tasks and not state.tasks[i].worker}

    def _comes_back(self, task_ids: list[int]) -> None:
        """A worker has these no more, whether it gave them back or died: they keep their order."""
        last = [-1]
        for index, task_id in enumerate(task_ids):
            if task_id not in self.rode:  # what waits for an argument comes when that is there
                self.returned[task_id] = (last, index)

    def _in_turn(self, client: Client, run: messages.Run) -> None:
        if run.method:
            return
        self.begun.add(run.task_id)
        self.sent.setdefault(client, {})[run.task_id] = None
        (self.rode.add if None in run.values else self.rode.discard)(run.task_id)
        last, index = self.returned.pop(run.task_id, ([-1], 0))
        task = self.world.state.tasks.get(run.task_id)  # None: it is folded
        if task is not None and task.urgent:
            return  # a blocked task waits for it: it passes others
        self.world.require(index > last[0], f"{run.task_id:x} came back, and is sent out of turn")
        last[0] = index

    def _failed(self, message: messages.Deliver) -> None:
        """A call that failed for crashes, or raised, was tried as often as it may be, exactly."""
        failure = message.failure
        if isinstance(failure, ActorDied) and "its process died" in failure.reason:
            restarts = self.world.programs.actors[failure.actor_id].max_restarts
            crashes = self.crashes[failure.actor_id]
            self.world.require(
                FOREVER != restarts < crashes,
                f"actor {failure.actor_id:x} is dead after {crashes} crashes, restarts {restarts}",
            )
        if not isinstance(failure, WorkerDied | UserError) or failure.task_id in self.lanes:
            return
        task_id = failure.task_id
        retried = isinstance(failure, WorkerDied) or self.options[task_id].retry_exceptions
        if retried and task_id not in self.cancelled:
            self.world.require(
                self.starts[task_id] == 1 + self.budgets[task_id],
                f"{task_id:x} failed after {self.starts[task_id]} starts",
            )

    def exited(self, client: Client) -> None:
        """The head knows that a process is gone: it reads nothing any more."""
        self.reclaimed.discard(client)
        self._comes_back(list(self.sent.pop(client, {})))
        for name, count in self.seen.pop(client, Counter()).items():
            self.reading[name] -= count

    def crashed_in(self, worker: Worker, task_id: int) -> None:
        """The head is about to hear of a death: what the task that ran has made must end."""
        record = self.world.state.workers.get(worker.number)
        if record is not None and record.actor is not None and worker.wire is not None:
            self.crashes[record.actor.id] += 1
        if task_id and worker.actor is None and record is not None:
            self.to_die |= {
                actor.id
                for actor in self.world.state.actors.values()
                if actor.parent == task_id
                and actor.client is record.client  # an earlier attempt's live on, as their maker
                and not actor.options.detached
            }

    # ---- calls -----------------------------------------------------------------------

    def submitted(self, task_id: int, client: Client, options: TaskOptions, retries: int) -> None:
        """A client submits a call."""
        self.budgets[task_id] = retries
        self.options[task_id] = options

    def called(self, task_id: int, client: Client, actor_id: int, *, in_order: bool) -> None:
        """A client calls an actor."""
        client.sequence += 1
        self.lanes[task_id] = (actor_id, id(client), client.sequence)
        if in_order:
            self.in_order.add(task_id)
        if (id(client), actor_id) in self.killed_by:
            self.forbidden.add(task_id)

    def killed(self, client: Client, actor_id: int) -> None:
        """A client has killed an actor: what it calls from now on must not run."""
        self.killed_by.add((id(client), actor_id))

    def begins(self, worker: Worker, run: messages.Run, options: TaskOptions) -> None:
        """User code of a call begins."""
        world = self.world
        require = world.require
        task_id = run.task_id
        name = f"{task_id:x} ({options.name})"
        self.starts[task_id] += 1
        budget = self.budgets[task_id]
        require(
            budget == FOREVER or self.starts[task_id] <= 1 + budget,
            f"{name} begins for the {self.starts[task_id]}th time, retries {budget}",
        )
        require(options == self.options[task_id], f"{name} has another's options")
        require(self.runs.get(task_id, 0) in (0, run.run_id), f"{name} is of another run")
        require(task_id not in self.forbidden, f"{name} runs though its caller killed the actor")
        require(len(run.values) == len(run.deps), f"{name} lacks arguments")
        for object_id, value in zip(run.deps, run.values, strict=True):
            require(value is not None, f"{name} begins without argument {object_id:x}")
            self.delivered(object_id, value)
        if worker.actor is None:
            task = world.state.tasks.get(task_id)
            known = world.state.workers.get(worker.number)
            direct = task is None and task_id in worker.desk.calls
            folded = known is not None and any(
                0
                <= task_id - piece.fold.first - piece.start * STRIDE
                < (piece.stop - piece.start) * STRIDE
                for piece in known.pieces
            )
            require(task is not None or direct or folded, f"{name} begins though it has ended")
            holder = task.worker if task is not None else known
            require(
                holder is not None and holder.id == worker.number,
                f"{name} begins where it was taken from",
            )
            require(worker.env[0] == options.env_vars, f"{name} in a wrong environment")
            self._claim(worker, options, task_id)
        elif task_id in self.in_order and self.starts[task_id] == 1:
            actor_id, caller, number = self.lanes[task_id]
            before = self.last.get((actor_id, caller), 0)
            require(number > before, f"{name}: call {number} of its caller runs after {before}")
            self.last[actor_id, caller] = number
            require(len(worker.running) <= 1, f"{name} runs beside another call")

    def _claim(self, worker: Worker, options: TaskOptions, task_id: int) -> None:
        demand = dict(options.shape)
        gpu = demand.get(resources.GPU, 0)
        whole = -(-gpu // resources.UNIT)
        self.world.require(
            len(worker.gpus or ()) == whole, f"{task_id:x} has GPUs {worker.gpus}, wants {gpu}"
        )
        self.running[task_id] = (worker, options)
        self.check_claims()

    def check_claims(self) -> None:
        """No resource is in use twice.

        A worker whose task waited in `get`, or is about to end for an interrupt, may oversubscribe
        CPUs until it has run dry.
        """
        state = self.world.state
        for number in list(self.resumed):
            known = state.workers.get(number)
            if known is None or not known.assigned:
                self.resumed.discard(number)
        self.resumed.update(w.id for w in state.workers.values() if w.blocked or w.leaving)
        used: Counter[str] = Counter()
        gpus: Counter[str] = Counter()
        for worker, options in self.running.values():
            for name, units in options.shape:
                if name == resources.CPU and worker.number in self.resumed:
                    continue
                used[name] += units
            for gpu in worker.gpus or ():
                gpus[gpu] += min(dict(options.shape).get(resources.GPU, 0), resources.UNIT)
        for name, units in used.items():
            total = state.settings.resources.get(name, 0)
            self.world.require(units <= total, f"{units} of {total} {name} are in use")
        for gpu, units in gpus.items():
            self.world.require(units <= resources.UNIT, f"GPU {gpu} is in use twice")

    def ends(self, worker: Worker, run: messages.Run) -> None:
        """User code of a call has ended."""
        self.running.pop(run.task_id, None)

    def died(self, worker: Worker) -> None:
        """A process is dead."""
        for task_id, (where, _) in list(self.running.items()):
            if where is worker:
                del self.running[task_id]

    def begins_actor(self, worker: Worker, message: messages.BecomeActor) -> None:
        """A constructor begins."""
        options = message.options
        self.constructed[message.actor_id] += 1
        count = self.constructed[message.actor_id]
        self.world.require(
            options.max_restarts == FOREVER or count <= 1 + options.max_restarts,
            f"actor {message.actor_id:x} is made for the {count}th time",
        )
        self.world.require(
            message.restarts >= count - 1,
            f"actor {message.actor_id:x} believes in {message.restarts} restarts",
        )
        for value in message.values:
            self.world.require(value is not None, "a constructor begins without an argument")
        self.world.require(worker.for_actor, "a worker for tasks becomes an actor")


def _values_of(message: Any) -> list[Value]:
    values: list[Value | None] = []
    if isinstance(message, messages.Deliver):
        values = [message.value]
    elif isinstance(message, messages.Run | messages.BecomeActor):
        values = [message.args, *message.values]
    elif isinstance(message, messages.Code):
        values = [message.value]
    return [value for value in values if value is not None and value.segment]


# ---- after every step ------------------------------------------------------------------


def check_progress(world: World) -> None:
    """Whatever waits has a living reason to wait."""
    state = world.state
    if state.stopping:
        return
    facts = world.facts
    for task in state.tasks.values():
        if task.worker is not None:
            process = world.workers.get(task.worker.id)
            world.require(process is not None, f"{task.id:x} is leased to no process")
        if task.state is TaskState.BLOCKED:
            _check_blocked(world, task)
        orphan = task.client.role == "driver" and task.client.peer < 0
        world.require(task.cancelled or not orphan, f"{task.id:x} goes on without its driver")
    for worker in state.workers.values():
        world.require(worker.id in world.workers, f"worker {worker.id} has no process")
        # A direct call may have ended, and its caller is yet to say so.
        ahead = sum(not task.direct for task in worker.assigned.values()) > 1
        if ahead and worker.actor is None and not worker.taking_back:
            _check_held_ahead(world, worker)
        if worker.reclaiming:
            asked = world.workers[worker.id] in facts.reclaimed
            world.require(asked, f"worker {worker.id} is to come back, and was not told")
    for task_id in facts.to_cancel:
        known = state.tasks.get(task_id)
        world.require(known is None or known.cancelled, f"{task_id:x} is not cancelled")
    facts.to_cancel.clear()
    facts.killed_now.clear()
    facts.over_now.clear()
    for actor_id in facts.to_die:
        actor = state.actors.get(actor_id)
        dead = actor is None or actor.state is ActorState.DEAD
        world.require(dead, f"actor {actor_id:x} outlives the task that made it, and crashed")
    facts.to_die.clear()
    if world.pressed is not None:
        _check_pause(world)
    facts.begun.clear()
    for key, actor_id in state.names.items():
        world.require(actor_id not in facts.dead_actors, f"{key} is a killed actor's name")
    facts.check_claims()


def _check_pause(world: World) -> None:
    """While the memory is short, nothing begins beside what runs."""
    tasks, facts = world.state.tasks, world.facts
    parents = {task.parent for task in tasks.values()}
    waiting, facts.parents = parents | facts.parents, parents
    if not world.state.paused:
        return
    running = [
        task.id
        for task in tasks.values()
        if task.worker is not None
        and task.actor is None
        and not task.worker.blocked
        and next(iter(task.worker.assigned)) == task.id
        and task.id not in waiting
    ]
    begun = facts.begun.intersection(running)
    names = [f"{i:x}" for i in running]
    world.require(not begun or len(running) == 1, f"memory is short, and there run {names}")


def _check_blocked(world: World, task: TaskRecord) -> None:
    if any(not getter.records for getter in task.waits or ()):
        return  # it has paused, and says itself when it goes on
    waits = any(
        getter.task is task
        for record in world.state.objects.values()
        if record.state is ObjectState.PENDING
        for getter in record.getters or ()
    )
    world.require(waits, f"{task.id:x} is blocked but nothing will wake it")


def _check_held_ahead(world: World, worker: Any) -> None:
    """What is held ahead while it could run elsewhere is fetched soon."""
    world.require(not worker.blocked, f"worker {worker.id} waits, and keeps what it holds ahead")
    if worker.queue is None:
        return
    if not leases.fits(world.state, worker.queue.shape):
        return
    due = world.now + limits.TAKE_BACK_AFTER_S + SLACK_S
    soon = min(world.wakes, default=float("inf"))
    world.require(soon <= due, f"worker {worker.id} holds work ahead and nobody fetches it")


# ---- at the end ------------------------------------------------------------------------


def check_nothing_left(world: World) -> None:
    """Everything has ended and everything is free again."""
    state = world.state
    require = world.require
    check(state)
    require(not state.folds and not state.fold_workers, "folds are left")
    require(
        not state.tasks,
        f"tasks are left: {[f'{t:x} {r.state.name}' for t, r in state.tasks.items()]}",
    )
    require(not state.waiting_queues, "queues are left")
    actors = [
        f"{a.id:x} {a.state.name}" for a in state.actors.values() if a.state is not ActorState.DEAD
    ]
    require(not actors, f"actors live: {actors}")
    pinned: set[int] = set()
    require(not state.leaving, f"code is left that nobody holds: {list(state.leaving)}")
    todo = [i for c in state.codes.values() for i in (*c.value.contained, *c.captured)]
    while todo:
        any_id = todo.pop()
        if any_id not in pinned:
            pinned.add(any_id)
            record = state.objects.get(any_id)
            if record is not None and record.value is not None:
                todo += record.value.contained
    left = [f"{o:x}" for o in state.objects if o not in pinned]
    require(not left, f"objects are left: {left}")
    require(
        set(state.actors) <= pinned, f"dead actors are kept: {[f'{a:x}' for a in state.actors]}"
    )
    require(set(state.names.values()) <= pinned, f"names are kept: {state.names}")
    kept = {o.value.segment for o in state.objects.values() if o.value is not None}
    kept |= {code.value.segment for code in state.codes.values()}
    lost = set(state.segments) - kept
    require(not lost, f"segments are left: {lost}")
    require(state.free == state.settings.resources, f"not free again: {state.free}")
    require(all(v == resources.UNIT for v in state.gpu_free.values()), f"GPUs: {state.gpu_free}")
    for worker in state.workers.values():
        require(worker.state is WorkerState.IDLE, f"worker {worker.id} is {worker.state.name}")
        require(worker.env == PLAIN_ENV, f"worker {worker.id} of a special environment is kept")
    require(len(state.workers) <= world.cpus, f"{len(state.workers)} workers are kept")
    require(not any(run.tasks for run in state.runs.values()), "runs have tasks")
    for name, row in state.functions.items():
        require(not any(row.counts[:ENDED]), f"counts of {name}: {row.counts}")
    for client in state.clients.values():
        require(not client.tasks, f"client {client.id} has tasks")
