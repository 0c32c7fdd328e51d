"""Placement: ready tasks to workers, workers to be started and ended.

Ready tasks of one resource shape and environment are one queue, so a step costs the
number of shapes that wait, not of tasks. A worker is given tasks ahead up to about two
milliseconds of measured work, so that it never idles between short ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from burrow_jupyter.core import limits, messages, resources
from burrow_jupyter.core.scheduler import codes, leases, objects, pressure
from burrow_jupyter.core.scheduler.commands import StartWorker, StopWorker, WakeAt
from burrow_jupyter.core.scheduler.records import (
    PLAIN_ENV,
    ActorRecord,
    EnvKey,
    ObjectState,
    ShapeQueue,
    TaskRecord,
    TaskState,
    WorkerRecord,
    WorkerState,
)
from burrow_jupyter.core.scheduler.transitions import (
    ActorEvent,
    TaskEvent,
    WorkerEvent,
    move_actor,
    move_task,
    move_worker,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.state import State

_READY, _BUSY, _LEASE = TaskState.READY, WorkerState.BUSY, TaskEvent.LEASE
"""Named here since a member of an enum costs 60 ns to find, and every task looks at these."""


def enqueue(state: State, task: TaskRecord, *, front: bool = False) -> None:
    """Put a task that is READY into the queue of its shape."""
    queue = state.queue_of.get(task.options_id) or queue_of(state, task.options_id)
    if front:
        queue.tasks.appendleft(task)
    else:
        queue.tasks.append(task)
    state.waiting_queues[queue] = None


def queue_of(state: State, options_id: int) -> ShapeQueue:
    """Return where ready tasks of these options queue."""
    queue = state.queue_of.get(options_id)
    if queue is None:
        options = state.options[options_id]
        key = (options.shape, (options.env_vars, options.working_dir))
        queue = state.queues.get(key)
        if queue is None:
            queue = state.queues[key] = ShapeQueue(*key)
        state.queue_of[options_id] = queue
    return queue


# ---- riding --------------------------------------------------------------------------


def ride(state: State, task: TaskRecord) -> bool:
    """Send a task to the worker that makes what it waits for, to run right behind that.

    No link of a chain of short tasks waits for a round trip to us: the worker has the
    argument. Should it not come about, the worker gives the task back.
    """
    code = task.code
    if (
        code is None
        or task.rode
        or task.actor is not None
        or task.state is not TaskState.WAITING
        or not 0 <= code.average_s <= limits.HELD_AHEAD_LONGEST_S
        or task.options.max_calls
        or state.paused
    ):
        return False
    worker: WorkerRecord | None = None
    for object_id in task.deps:
        record = state.objects[object_id]
        if record.state is ObjectState.READY:
            continue
        maker = record.task
        if (
            maker is None
            or maker.worker is None
            or worker not in (None, maker.worker)
            or maker.code is None
            or not maker.code.is_light
            or maker.options.num_returns != 1
        ):
            return False
        worker = maker.worker
    if worker is None or worker.queue is None or not _has_room(worker):
        return False
    queue = state.queue_of.get(task.options_id) or queue_of(state, task.options_id)
    if worker.queue is not queue or queue.tasks:
        return False  # what has waited longer comes first
    task.rode = True
    _assign(state, worker, task)
    return True


def _carry_on(state: State, task: TaskRecord) -> None:
    """Have what waits for a task that was assigned ride behind it, and so on."""
    pending = [task]
    while pending:
        record = state.objects.get(pending.pop().id)
        if record is None or record.dependants is None:
            continue
        pending += [d for d in record.dependants if type(d) is TaskRecord and ride(state, d)]


def _has_room(worker: WorkerRecord) -> bool:
    """Say whether a worker that has work may be given more of it ahead."""
    return (
        worker.load_s < limits.HELD_AHEAD_TARGET_S
        and 0 < len(worker.assigned) < limits.HELD_AHEAD_MAX
        and not worker.blocked
        and worker.leaving is None
        and not worker.taking_back
        and worker.state is _BUSY
    )


# ---- dispatching ---------------------------------------------------------------------


def dispatch(state: State) -> None:
    """Give work to workers until nothing more can be given."""
    if state.stopping:
        return
    if state.unplaced:
        _place_actors(state)
    waiting = state.waiting_queues
    if waiting:
        contended = len(waiting) > 1 or bool(state.unplaced)
        kept = reserved(state) if contended else None
        if kept is not None and kept.until > state.reserved_until:
            state.reserved_until = kept.until
            state.commands.append(WakeAt(kept.until))
        queues = _oldest_first(state) if len(waiting) > 1 else list(waiting)
        while queues:
            held_back = []
            for queue in queues:
                if kept is not None and kept.holds_back(queue):
                    held_back.append(queue)
                else:
                    _feed(state, queue)
                if not queue.tasks:
                    del waiting[queue]
            if len(held_back) == len(queues):
                break
            queues = held_back
            # What something was kept for may have been given to a worker just now.
            kept = reserved(state) if held_back else None
    if (state.held_ahead or state.fold_workers) and not state.fetch_at:
        _fetch_at(state, state.now + limits.TAKE_BACK_AFTER_S)
    if state.paused:
        pressure.look_again(state)
    if state.lent and (waiting or state.unplaced or state.paused):
        for worker in state.lent.values():
            if not worker.reclaiming:
                worker.reclaiming = True
                state.send(worker.client, messages.Reclaim())


class Reservation:
    """What is given back is kept for a demand that has waited long, up to a time."""

    __slots__ = ("_lacking", "_shape", "since", "until")

    def __init__(
        self, shape: resources.Shape, lacking: set[str], since: float, until: float
    ) -> None:
        self._shape = shape
        self._lacking = lacking
        self.since = since
        self.until = until

    def holds_back(self, queue: ShapeQueue) -> bool:
        """Say whether younger tasks of this queue would take what is kept."""
        if queue.shape == self._shape or not queue.tasks:
            return False
        younger = queue.tasks[0].submitted_at > self.since
        return younger and any(name in self._lacking for name, _ in queue.shape)


def reserved(state: State) -> Reservation | None:
    """Return the oldest demand that others pass by, if it has waited long enough.

    Only one that would fit if those others were not given more work: what long tasks and
    actors hold is not waited for, nor is what a task holds that waits in `get` itself.
    """
    demands = [(a.created_at, a.options.shape) for a in state.unplaced.values()]
    for queue in state.waiting_queues:
        task = _next_ready(state, queue)
        if task is not None and queue.starting < len(queue.tasks):
            demands.append((task.submitted_at, queue.shape))
    for since, shape in sorted(demands):
        waited = state.now - since - limits.RESERVE_AFTER_S
        if waited < 0:
            return None
        phase = int(waited / limits.RESERVE_FOR_S)
        lacking = {name for name, units in shape if state.free.get(name, 0) < units}
        if phase % 2 == 0 and lacking and _would_fit(state, shape):
            until = since + limits.RESERVE_AFTER_S + (phase + 1) * limits.RESERVE_FOR_S
            return Reservation(shape, lacking, since, until)
    return None


def _would_fit(state: State, shape: resources.Shape) -> bool:
    free = dict(state.free)
    for queue in state.waiting_queues:
        if queue.tasks and queue.shape != shape:
            for worker in queue.leased.values():
                if not worker.blocked and worker.leaving is None:
                    resources.give(worker.lease or (), free)
    return resources.fits(shape, free)


def _oldest_first(state: State) -> list[ShapeQueue]:
    """Return the queues that wait, ordered by the age of what stands first in them."""

    def age(queue: ShapeQueue) -> float:
        task = _next_ready(state, queue)
        return task.submitted_at if task is not None else 0.0

    return sorted(state.waiting_queues, key=age)


def _next_ready(state: State, queue: ShapeQueue) -> TaskRecord | None:
    """Return the first task that is still to run, and drop the others before it."""
    tasks = queue.tasks
    while tasks:
        task = tasks[0]
        if task.state is _READY:
            if not task.deps or not _has_lost_argument(state, task.deps):
                return task
            state.woken.append(task)  # to fail: the argument was freed while it waited
        tasks.popleft()
    return None


def _has_lost_argument(state: State, deps: list[int]) -> bool:
    objects_by_id = state.objects
    return any(objects_by_id[d].state is ObjectState.FAILED for d in deps)


def _feed(state: State, queue: ShapeQueue) -> None:
    # More workers first, then work ahead. A leased worker never lies idle: it is given
    # the next task, or gives its lease back, when its last one ends.
    tasks = queue.tasks
    while _next_ready(state, queue) is not None:
        if state.paused and pressure.holds(state):
            return
        if queue.starting >= len(tasks):
            return  # as many workers are starting for this queue as it has tasks
        worker = _worker_for(state, queue)
        if worker is None:
            break
        if worker.state is _BUSY:
            _assign(state, worker, tasks.popleft())
    if tasks and queue.roomy and not state.paused:
        _hold_ahead(state, queue)


def _hold_ahead(state: State, queue: ShapeQueue) -> None:
    """Give work ahead, one task each in turn, to the workers that have room."""
    roomy, tasks = queue.roomy, queue.tasks
    if state.free.get(resources.CPU, 0) < 0 and _oversubscribed(state, queue.shape):
        return
    while roomy and len(tasks) > queue.starting:
        for worker in list(roomy.values()):
            if not _has_room(worker):
                del roomy[worker.id]  # it has no room now; one of its tasks ends, and it has
                continue
            task = _next_ready(state, queue)
            if task is None or len(tasks) <= queue.starting:
                return
            code = task.code
            if (
                code is None
                or not 0 <= code.average_s <= limits.HELD_AHEAD_LONGEST_S
                or task.options.max_calls
            ):
                return
            _assign(state, worker, tasks.popleft())


def _oversubscribed(state: State, shape: resources.Shape) -> bool:
    """Say whether more CPUs run than there are: a task has gone on after its `get`."""
    return state.free.get(resources.CPU, 0) < 0 and any(n == resources.CPU for n, _ in shape)


def _worker_for(state: State, queue: ShapeQueue) -> WorkerRecord | None:
    """Lease a worker to a queue: an idle one, one that starts already, or a new one."""
    if not leases.fits(state, queue.shape):
        return None
    if not any(name == resources.GPU for name, _ in queue.shape):
        idle = state.idle.get(queue.env)
        if idle:
            worker = next(reversed(idle.values()))  # its caches are warm
            leases.lease_tasks(state, worker, queue)
            return worker
        starting = state.starting.get(queue.env)
        if starting:
            worker = next(iter(starting.values()))
            leases.lease_tasks(state, worker, queue)
            return worker
    if not _room_for_worker(state):
        return None
    worker = new_worker(state, queue.env)
    leases.lease_tasks(state, worker, queue)
    _start(state, worker, actor=False)
    return worker


def _room_for_worker(state: State) -> bool:
    """Say whether one more process may be started; make room by ending an idle one.

    Whoever asks can use none of those that are idle.
    """
    if len(state.workers) < limits.WORKERS_MAX:
        return True
    if not any(w.state is WorkerState.STOPPING for w in state.workers.values()):
        for idle in state.idle.values():
            if idle:
                stop(state, next(iter(idle.values())), "its place is needed")
                break
    return False  # but when one has gone


def new_worker(state: State, env: EnvKey) -> WorkerRecord:
    """Make the record of a worker that is to be started."""
    worker = WorkerRecord(state.next_client, env, state.now)
    state.next_client += 1
    state.workers[worker.id] = worker
    state.starting.setdefault(env, {})[worker.id] = worker
    state.worker_changed(worker)
    return worker


def _start(state: State, worker: WorkerRecord, *, actor: bool) -> None:
    # The ids say themselves whether the variable is set: a worker without GPUs sees
    # the machine's as the notebook does, one with GPUs exactly its own.
    gpus = worker.gpus or None
    state.commands.append(StartWorker(worker.id, worker.env, gpus, actor))


def start_spare(state: State, count: int) -> None:
    """Start workers before anybody needs them."""
    for _ in range(count):
        _start(state, new_worker(state, PLAIN_ENV), actor=False)


def _assign(state: State, worker: WorkerRecord, task: TaskRecord) -> None:
    move_task(state, task, _LEASE)
    note_assigned(state, worker, task)
    send_run(state, worker, task)
    made = state.objects.get(task.id)
    if made is not None and made.dependants is not None and not task.missing:
        _carry_on(state, task)


def note_assigned(state: State, worker: WorkerRecord, task: TaskRecord) -> None:
    """Enter that a worker has a task."""
    assigned = worker.assigned
    if not assigned:
        worker.progress_at = state.now
        task.started_at = state.now
        state.worker_changed(worker)
        assert worker.queue is not None, "it is leased to the queue of this task"
        worker.queue.roomy[worker.id] = worker
    elif len(assigned) == 1:
        state.held_ahead[worker.id] = worker
    task.worker = worker
    assigned[task.id] = task
    code = task.code
    if code is not None:
        if code.average_s > 0:
            task.estimate_s = code.average_s
            worker.load_s += code.average_s
        else:
            task.estimate_s = 0.0


def prepare(state: State, worker: WorkerRecord, run_id: int) -> None:
    """Send a worker what it is to do, and where it is to be, before it works for a run."""
    if state.surroundings and worker.actor is None:
        _send_surroundings(state, worker, run_id)
    if len(state.setups) > worker.setups:
        _send_setups(state, worker)


def send_run(state: State, worker: WorkerRecord, task: TaskRecord) -> None:
    """Send a task, and what the worker does not know yet of it."""
    client = worker.client
    assert client is not None, "only a worker that said hello is given work"
    if state.surroundings or state.setups:
        prepare(state, worker, task.run_id)
    code, options_id, args = task.code, task.options_id, task.args
    code_id = 0
    if code is not None:
        code_id = code.id
        if code_id not in worker.codes:
            codes.send(state, worker, code_id)
    if options_id not in worker.options:
        send_options(state, worker, options_id)
    values: list[messages.Value | None] = []
    for object_id in task.deps:
        value = state.objects[object_id].value
        objects.map_value(state, client, value)
        values.append(value)
    message = messages.Run(
        task.id,
        code_id,
        options_id,
        task.method,
        args,
        task.slots,
        values,
        task.deps,
        task.run_id,
        task.attempt,
        task.items,
    )
    state.sends.append((client.peer, message))
    if args is not None and args.segment:
        objects.map_value(state, client, args)
    if task.taken:
        state.send(client, messages.StreamCredit(task.id, task.taken))


def add_setup(state: State, setup: messages.Setup) -> None:
    """Have every worker call a function; if a run asks for it, at once."""
    objects.hold_code(state, state.codes[setup.code_id])  # first: it may be the same again
    for at, other in enumerate(state.setups):
        if other is not None and setup.key and other.key == setup.key:
            drop_setup(state, at)
    state.setups.append(setup)
    if not setup.run_id:
        return
    for worker in state.workers.values():
        if worker.state in (WorkerState.IDLE, WorkerState.BUSY) and worker.actor is None:
            if state.surroundings:
                _send_surroundings(state, worker, setup.run_id)
            _send_setups(state, worker)


def drop_setup(state: State, at: int) -> None:
    """Let no worker begin this one of the setups any more."""
    setup, state.setups[at] = state.setups[at], None
    assert setup is not None, "it is dropped once"
    objects.let_go_of_code(state, state.codes[setup.code_id])


def cancel_setups(state: State, run_id: int) -> None:
    """Let no worker begin what a run wanted to be called, and interrupt those that did."""
    for at, setup in enumerate(state.setups):
        if setup is not None and setup.run_id == run_id:
            drop_setup(state, at)
            for worker in state.workers.values():
                if worker.client is not None and worker.actor is None and worker.setups > at:
                    state.send(worker.client, messages.Interrupt(setup.code_id))


def _send_surroundings(state: State, worker: WorkerRecord, run_id: int) -> None:
    """Have a worker be where the notebook was in this run; an actor stays where it was made."""
    run = state.runs.get(run_id)
    if run is None or run.surroundings == worker.surroundings or not run.surroundings:
        return
    worker.surroundings = run.surroundings
    message = state.surroundings[run.surroundings]
    env_vars, directory = worker.env
    if worker.env != PLAIN_ENV:  # what was asked for the task itself comes first
        own = dict(env_vars)
        message = msgspec.structs.replace(
            message,
            directory="" if directory else message.directory,
            changed={k: v for k, v in message.changed.items() if k not in own},
            removed=[k for k in message.removed if k not in own],
        )
    assert worker.client is not None, "only a worker that said hello is given work"
    state.send(worker.client, message)


def _send_setups(state: State, worker: WorkerRecord) -> None:
    """Send a worker what it has yet to call."""
    assert worker.client is not None, "only a worker that said hello is given work"
    for setup in state.setups[worker.setups :]:
        if setup is not None:
            codes.send(state, worker, setup.code_id)
            state.send(worker.client, setup)
    worker.setups = len(state.setups)


def send_options(state: State, worker: WorkerRecord, options_id: int) -> None:
    """Send the options of calls to a worker that has not got them."""
    if options_id not in worker.options:
        worker.options.add(options_id)
        state.send(worker.client, messages.Options(options_id, state.options[options_id]))


# ---- actors --------------------------------------------------------------------------


def _place_actors(state: State) -> None:
    for actor in list(state.unplaced.values()):
        if actor.deps and _has_lost_argument(state, actor.deps):
            state.woken.append(actor)  # to die: the argument was freed while it waited
        elif state.paused and pressure.holds(state):
            continue
        elif _place(state, actor):
            del state.unplaced[actor.id]


def _place(state: State, actor: ActorRecord) -> bool:
    options = actor.options
    if not (leases.fits(state, options.placing) and leases.fits(state, options.shape)):
        return False
    if not _room_for_worker(state):
        return False
    worker = new_worker(state, (options.env_vars, options.working_dir))
    state.starting[worker.env].pop(worker.id)
    worker.actor = actor
    actor.worker = worker
    leases.take(state, worker, options.shape)
    _start(state, worker, actor=True)
    move_actor(actor, ActorEvent.PLACE)
    state.actor_changed(actor)
    return True


# ---- a worker's life -----------------------------------------------------------------


def worker_ready(state: State, worker: WorkerRecord) -> None:
    """A worker has said hello: it gets what it was started for, or waits."""
    state.start_failures.pop(worker.env, None)
    if worker.lease is None:
        state.starting.get(worker.env, {}).pop(worker.id, None)
    elif worker.queue is not None and worker.state is WorkerState.STARTING:
        worker.queue.starting -= 1
    move_worker(worker, WorkerEvent.HELLO)
    state.worker_changed(worker)
    if worker.state is WorkerState.STOPPING:
        return
    if worker.actor is not None:
        move_worker(worker, WorkerEvent.LEASE)
        _send_actor(state, worker, worker.actor)
    elif worker.lease is not None and worker.queue is not None:
        move_worker(worker, WorkerEvent.LEASE)
        if not _feed_one(state, worker):
            release(state, worker)
    else:
        rest(state, worker)


def _feed_one(state: State, worker: WorkerRecord) -> bool:
    queue = worker.queue
    if queue is None or _next_ready(state, queue) is None:
        return False
    if _oversubscribed(state, queue.shape) and not worker.gpus:
        return False
    if state.paused and pressure.holds(state):
        return False
    if state.unplaced or len(state.waiting_queues) > 1:
        kept = reserved(state)
        if kept is not None and kept.holds_back(queue):
            return False
        if _must_yield(state, worker, queue):
            return False
    _assign(state, worker, queue.tasks.popleft())
    return True


def _must_yield(state: State, worker: WorkerRecord, queue: ShapeQueue) -> bool:
    """Say whether something older waits elsewhere that the worker's resources would let run.

    Without this a long queue would keep its leases until it is empty, and a task of
    another shape, or an actor, would wait for all of it.
    """
    since = queue.tasks[0].submitted_at
    free = dict(state.free)
    resources.give(worker.lease or (), free)
    for actor in state.unplaced.values():
        if actor.created_at < since:
            options = actor.options
            if resources.fits(options.placing, free) and resources.fits(options.shape, free):
                return True
    for other in state.waiting_queues:
        if other is not queue:
            task = _next_ready(state, other)
            if (
                task is not None
                and task.submitted_at < since
                and other.starting < len(other.tasks)
                and resources.fits(other.shape, free)
            ):
                return True
    return False


def _send_actor(state: State, worker: WorkerRecord, actor: ActorRecord) -> None:
    assert worker.client is not None, "it has just said hello"
    if actor.deps and _has_lost_argument(state, actor.deps):
        state.woken.append(actor)  # to die
        return
    if state.surroundings:
        _send_surroundings(state, worker, actor.run_id)
    if len(state.setups) > worker.setups:
        _send_setups(state, worker)
    codes.send(state, worker, actor.code.id)
    values: list[messages.Value | None] = []
    for object_id in actor.deps:
        value = state.objects[object_id].value
        objects.map_value(state, worker.client, value)
        values.append(value)
    if actor.args is not None:
        objects.map_value(state, worker.client, actor.args)
    state.send(
        worker.client,
        messages.BecomeActor(
            actor.id,
            actor.code.id,
            actor.options,
            actor.args,
            actor.slots,
            values,
            actor.run_id,
            actor.restarts,
        ),
    )


def after_task(state: State, worker: WorkerRecord) -> None:
    """A worker's task has ended: give it the next, or let it rest."""
    worker.progress_at = state.now
    if worker.lent is not None:
        return
    if worker.assigned:
        first = next(iter(worker.assigned.values()))
        if not first.started_at:
            first.started_at = state.now
        if first.forced:
            state.commands.append(StopWorker(worker.id, 0.0, first.id))
        if worker.queue is not None:
            worker.queue.roomy[worker.id] = worker
            last = next(reversed(worker.assigned.values()))
            made = state.objects.get(last.id)
            if made is not None and made.dependants is not None:
                _carry_on(state, last)
        return
    worker.load_s = 0.0
    worker.taking_back = False
    if worker.actor is None and worker.state is WorkerState.BUSY and not _feed_one(state, worker):
        release(state, worker)


def release(state: State, worker: WorkerRecord) -> None:
    """A worker has run dry: its lease ends, and one that saw GPUs ends with it."""
    if worker.gpus:
        # The devices are free when the process is gone and its memory on them with it.
        stop(state, worker, "it had GPUs, so its environment is stale")
        return
    leases.give_back(state, worker)
    move_worker(worker, WorkerEvent.RELEASE)
    rest(state, worker)


def rest(state: State, worker: WorkerRecord) -> None:
    """Let a worker wait for work, for some time."""
    worker.idle_since = state.now
    state.idle.setdefault(worker.env, {})[worker.id] = worker
    state.worker_changed(worker)
    if len(state.idle[worker.env]) > _spare(state, worker.env):
        state.commands.append(WakeAt(state.now + limits.IDLE_WORKER_KEEP_S))


def _spare(state: State, env: EnvKey) -> int:
    """How many idle workers to keep: as many as CPUs, but none of a special environment."""
    return max(1, -(-state.settings.cpus // resources.UNIT)) if env == PLAIN_ENV else 0


def retire_idle(state: State) -> None:
    """End workers that have been idle for some time and are more than will be needed."""
    for env, idle in state.idle.items():
        surplus = len(idle) - _spare(state, env)
        if surplus <= 0:
            continue
        for worker in list(idle.values())[:surplus]:
            if state.now - worker.idle_since >= limits.IDLE_WORKER_KEEP_S - 1e-6:
                stop(state, worker, "idle")
            else:
                state.commands.append(WakeAt(worker.idle_since + limits.IDLE_WORKER_KEEP_S))


def take_back_late(state: State) -> None:
    """Where there is room to run it, fetch what workers hold ahead and cannot start soon.

    Looks every few milliseconds while anything is held ahead, since room may come from
    anywhere: a lease that ends, a task that blocks, a worker that dies.
    """
    if not state.fetch_at or state.now < state.fetch_at - 1e-6:
        return
    state.fetch_at = 0.0
    next_look = state.now + limits.TAKE_BACK_AFTER_S
    for worker in list(state.held_ahead.values()):
        queue = worker.queue
        if queue is None or worker.taking_back or not leases.fits(state, queue.shape):
            continue
        due = worker.progress_at + limits.TAKE_BACK_AFTER_S
        if state.now >= due - 1e-6:
            leases.take_back(state, worker)
        else:
            next_look = min(next_look, due)
    if state.held_ahead:
        _fetch_at(state, next_look)


def _fetch_at(state: State, at: float) -> None:
    state.fetch_at = at
    state.commands.append(WakeAt(at))


def stop(state: State, worker: WorkerRecord, reason: str, *, now: bool = False) -> None:
    """End a worker: ask it, with a bound, or at once. Its lease stays until it is gone."""
    state.idle.get(worker.env, {}).pop(worker.id, None)
    state.starting.get(worker.env, {}).pop(worker.id, None)
    if worker.state is not WorkerState.STOPPING:
        worker.stop_reason = reason
    if worker.state is WorkerState.STARTING and worker.queue is not None:
        worker.queue.starting -= 1
    end_loan(state, worker)
    move_worker(worker, WorkerEvent.STOP)
    state.worker_changed(worker)
    if not now:
        state.send(worker.client, messages.Exit(reason))
    state.commands.append(StopWorker(worker.id, 0.0 if now else limits.STOP_GRACE_S))


def end_loan(state: State, worker: WorkerRecord) -> None:
    """Nobody but us gives the worker work any more."""
    worker.lent = None
    state.lent.pop(worker.id, None)


def unassign(state: State, worker: WorkerRecord, task: TaskRecord) -> None:
    """Take a task off a worker's list, whatever is to become of it."""
    assigned = worker.assigned
    del assigned[task.id]
    if len(assigned) == 1:
        state.held_ahead.pop(worker.id, None)
    worker.load_s -= task.estimate_s
    if state.gets:
        state.gets.pop(task, None)
    task.worker = None
    task.ran_on = worker.id
    if state.observed:
        state.worker_changed(worker)
    if worker.leaving is task:
        leases.left(state, worker)
    if task.state is TaskState.BLOCKED:
        leases.unblocked(state, worker, task)


def requeue(state: State, task: TaskRecord) -> None:
    """A task that was leased and had not begun queues again, in front."""
    task.started_at = 0.0
    task.direct = False
    if task.missing:  # it rode
        move_task(state, task, TaskEvent.AWAIT_ARGUMENT)
        return
    move_task(state, task, TaskEvent.RETURN)
    enqueue(state, task, front=True)
