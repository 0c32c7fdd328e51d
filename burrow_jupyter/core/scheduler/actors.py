"""Actors: creation, names, the order of calls, restarts, the end.

Calls of one caller on one actor are a *lane*: they are sent in the order of submission,
also when an earlier one waits for its arguments and a later one is ready; lanes do not
hold up each other. Actors that run calls side by side (async, `max_concurrency` above
one) and different concurrency groups have no such order to keep.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import (
    ActorDied,
    ActorUnavailable,
    Cancelled,
    Failure,
    UserError,
    root_of,
)
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.options import FOREVER
from burrow_jupyter.core.scheduler import objects, placement, tasks, turns
from burrow_jupyter.core.scheduler.records import (
    ActorRecord,
    ActorState,
    ClientRecord,
    CodeRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
)
from burrow_jupyter.core.scheduler.transitions import (
    ActorEvent,
    TaskEvent,
    move_actor,
    move_task,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.state import State

KILLED = "it was killed by kill()"
OUT_OF_SCOPE = "its last handle went out of scope"


# ---- creation ------------------------------------------------------------------------


def on_create(state: State, client: ClientRecord, message: messages.CreateActor) -> None:
    """A client makes an actor; one with a name is answered, since the name may be taken."""
    options = message.options
    if options.name:
        key = (options.namespace, options.name)
        holder = state.names.get(key)
        if holder is not None:
            _answer_taken(state, client, message, holder)
            return
        state.names[key] = message.actor_id
        state.send(client, messages.Answer(message.actor_id, message.actor_id))
    actor = ActorRecord(
        message.actor_id,
        client,
        state.codes[message.code_id],
        options,
        message.args,
        message.deps,
        message.slots,
        message.run_id,
        message.parent,
        state.now,
    )
    state.actors[actor.id] = actor
    objects.hold_code(state, actor.code)
    actor.refs = 1
    client.held.add(actor.id)
    state.actor_changed(actor)
    if actor.args is not None:
        objects.adopt_argument(state, client, actor.args)
    if actor.deps:
        objects.pin(state, actor.deps)
        actor.missing = tasks.wait_for(state, actor, actor.deps)
    if not actor.missing:
        argument_ready(state, actor)


def _answer_taken(
    state: State, client: ClientRecord, message: messages.CreateActor, holder: int
) -> None:
    if message.args is not None:
        objects.adopt_argument(state, client, message.args)
        objects.release_argument(state, message.args)
    if message.options.get_if_exists:
        objects.hold(state, client, [holder])
        state.send(client, messages.Answer(message.actor_id, holder))
    else:
        text = (
            f"the name {message.options.name!r} is taken by an actor of class "
            f"{state.actors[holder].options.class_name}; use get_actor(), "
            "get_if_exists=True, or kill() it first"
        )
        state.send(client, messages.Answer(message.actor_id, None, text, "exists"))


def argument_ready(state: State, actor: ActorRecord) -> None:
    """All arguments of the constructor are there, or one has failed."""
    if actor.state in (ActorState.ALIVE, ActorState.DEAD):
        return
    failure = tasks.failed_argument(state, actor.deps)
    if failure is not None:
        root = root_of(failure)
        error = root if isinstance(root, UserError) else None
        _die(state, actor, "an argument of its constructor could not be computed", error)
    elif not actor.missing and actor.state is not ActorState.STARTING:
        state.unplaced[actor.id] = actor


def on_ready(state: State, worker: WorkerRecord, message: messages.ActorReady) -> None:
    """The constructor has ended."""
    actor = worker.actor
    if actor is None or actor.worker is not worker or actor.state is not ActorState.STARTING:
        return
    if message.failure is not None:
        error = message.failure if isinstance(message.failure, UserError) else None
        _die(state, actor, "its constructor raised", error)
        return
    move_actor(actor, ActorEvent.READY)
    state.gets.pop(actor, None)
    actor.repr = message.repr
    actor.edited = False
    state.actor_changed(actor)
    for lane in list(actor.lanes.values()):
        _pump(state, actor, lane)
    if actor.refs == 0:
        state.unreferenced.append(actor)


# ---- calls ---------------------------------------------------------------------------


def on_call(state: State, client: ClientRecord, message: messages.Call) -> None:
    """A client calls a method."""
    options = state.options[message.options_id]
    task = TaskRecord(
        message.task_id,
        client,
        state.codes[message.code_id] if message.code_id else None,
        state.functions.get(options.name) or state.function_of(options),
        message.options_id,
        options,
        message.args,
        message.deps,
        message.slots,
        message.run_id,
        message.parent,
        state.now,
    )
    task.method = message.method
    task.retries = message.max_task_retries
    actor = enter(state, client, task, message.actor_id)
    if actor is None:
        return
    if actor.state is ActorState.RESTARTING and not _use_retry(task):
        tasks.fail(state, task, _unavailable(actor))
        return
    queue(state, actor, task)


def enter(
    state: State, client: ClientRecord, task: TaskRecord, actor_id: int
) -> ActorRecord | None:
    """Enter a new call into the records; return its actor, unless the call has failed at once."""
    actor = state.actors.get(actor_id)
    tasks.register(state, client, task)
    if actor is None:
        tasks.fail(state, task, ActorDied(actor_id, "", "there is no such actor any more"))
        return None
    task.actor = actor
    actor.refs += 1
    actor.calls += 1
    if state.observed:
        state.actor_changed(actor)
    if task.parent and tasks.is_orphan(state, task):
        tasks.fail(state, task, Cancelled(task.id, task.options.name))
        return None
    if actor.state is ActorState.DEAD:
        tasks.fail(state, task, death_of(actor))
        return None
    return actor


def queue(state: State, actor: ActorRecord, task: TaskRecord) -> None:
    """Send a new call, or let it wait for its turn."""
    lane = _lane(actor, task)
    if not (lane or task.deps) and actor.state is ActorState.ALIVE:
        send(state, actor, task)
    elif (lane and not actor.options.out_of_order) or not _go(state, actor, task):
        lane.append(task)


def lost_on_its_way(state: State, actor: ActorRecord, task: TaskRecord) -> None:
    """The process that a call was sent to has died before it ended: as in `worker_lost`."""
    if actor.state is ActorState.DEAD:
        tasks.fail(state, task, death_of(actor))
    elif _use_retry(task):
        queue(state, actor, task)
    else:
        tasks.fail(state, task, _unavailable(actor, "died during the call and restarts"))


def call_ready(state: State, task: TaskRecord) -> None:
    """An argument of an actor's call is there, or has failed, or the call is cancelled."""
    actor = task.actor
    if actor is None or actor.state is ActorState.DEAD:
        return
    lane = _lane(actor, task)
    if not actor.options.out_of_order:
        _pump(state, actor, lane)
    elif task.state is not TaskState.WAITING or _go(state, actor, task):
        # Not all are looked at for one: there may be thousands.
        with contextlib.suppress(ValueError):
            lane.remove(task)


def _lane(actor: ActorRecord, task: TaskRecord) -> deque[TaskRecord]:
    key = (task.client.id, task.options.concurrency_group)
    lane = actor.lanes.get(key)
    if lane is None:
        lane = actor.lanes[key] = deque()
    return lane


def _pump(state: State, actor: ActorRecord, lane: deque[TaskRecord]) -> None:
    """Send what may be sent of a lane; fail what cannot run."""
    unordered = actor.options.out_of_order
    held: list[TaskRecord] = []
    while lane:
        task = lane.popleft()
        if task.state is TaskState.WAITING and not _go(state, actor, task):
            held.append(task)
            if not unordered:
                break
    lane.extendleft(reversed(held))


def _go(state: State, actor: ActorRecord, task: TaskRecord) -> bool:
    """Send a call, or fail one that cannot run; say no if it has to wait."""
    failure = tasks.failed_argument(state, task.deps) if task.deps else None
    if failure is not None:
        tasks.fail(state, task, tasks.upstream(task, failure))
    elif task.missing or actor.state is not ActorState.ALIVE:
        return False
    else:
        send(state, actor, task)
    return True


def send(state: State, actor: ActorRecord, task: TaskRecord) -> None:
    """Send a call to the process of an actor that is alive."""
    note_sent(state, actor, task)
    assert actor.worker is not None, "an actor that is alive has a worker"
    placement.send_run(state, actor.worker, task)


def note_sent(state: State, actor: ActorRecord, task: TaskRecord) -> None:
    """Enter that the actor's process has a call."""
    worker = actor.worker
    assert worker is not None, "an actor that is alive has a worker"
    options = actor.options
    if not actor.sent or (
        (options.out_of_order or options.concurrency_groups)
        and len(actor.sent) < turns.slots_of(options, task.options.concurrency_group)
    ):
        task.started_at = state.now
        worker.progress_at = state.now
    move_task(state, task, TaskEvent.LEASE)
    task.worker = worker
    actor.sent[task.id] = task
    worker.assigned[task.id] = task
    if state.observed:
        state.worker_changed(worker)


def on_done(state: State, worker: WorkerRecord, actor: ActorRecord, message: messages.Done) -> None:
    """A call has ended, or raised what is to be retried; the next of those sent runs."""
    task = actor.sent.get(message.task_id)
    again = message.retryable and message.failure is not None and task is not None
    if again and task is not None and _use_retry(task):
        _retry(state, worker, task, message)
    else:
        tasks.on_done(state, worker, message)
        if task is not None and task.code is not None and message.failure is None:
            _take_code(state, actor, task.code)
    if actor.sent:
        first = next(iter(actor.sent.values()))
        if not first.started_at:
            first.started_at = state.now


def _take_code(state: State, actor: ActorRecord, code: CodeRecord) -> None:
    """Should the actor restart, it is made of this class."""
    before, actor.code = actor.code, code
    if actor.state is not ActorState.DEAD:
        objects.hold_code(state, code)
        objects.let_go_of_code(state, before)


# ---- retries -------------------------------------------------------------------------


def _use_retry(task: TaskRecord) -> bool:
    """Take one of the call's retries, if it has one left."""
    if task.cancelled or not (task.retries == FOREVER or task.attempt <= task.retries):
        return False
    task.attempt += 1
    return True


def _retry(state: State, worker: WorkerRecord, task: TaskRecord, message: messages.Done) -> None:
    """Send a call again that raised.

    It goes to the front of its lane: later calls of its caller that are not sent yet wait
    for it.
    """
    actor, client = task.actor, worker.client
    assert actor is not None, "it has just spoken"
    assert client is not None, "it has just spoken"
    objects.unmapped(state, client, message.unmapped)
    for value in message.values:
        objects.discard(state, client, value)
    placement.unassign(state, worker, task)
    lane = _await_actor(state, actor, task)
    _pump(state, actor, lane)


def taken_back(state: State, worker: WorkerRecord, actor: ActorRecord, task: TaskRecord) -> None:
    """The actor's process has not begun a call, and does not: it is sent by us."""
    placement.unassign(state, worker, task)
    lane = _await_actor(state, actor, task)
    if task.cancelled:
        tasks.fail(state, task, Cancelled(task.id, task.options.name))
    _pump(state, actor, lane)


def _await_actor(state: State, actor: ActorRecord, task: TaskRecord) -> deque[TaskRecord]:
    """Put a call that its worker has let go of back to the front of its lane."""
    actor.sent.pop(task.id, None)
    task.started_at = 0.0
    task.direct = False
    move_task(state, task, TaskEvent.AWAIT_ACTOR)
    lane = _lane(actor, task)
    lane.appendleft(task)
    return lane


# ---- the end -------------------------------------------------------------------------


def on_kill(state: State, actor: ActorRecord, *, no_restart: bool) -> None:
    """End an actor's process at once; it counts as a crash unless `no_restart`."""
    if actor.state is ActorState.DEAD:
        if no_restart:
            _free_name(state, actor)  # that a crashed one keeps
        return
    worker = actor.worker
    if no_restart:
        _die(state, actor, KILLED, None)
    elif worker is not None:
        # A crash from here on, so that no call slips into the process that is to end.
        worker.stop_reason = KILLED
        worker_lost(state, worker, KILLED, 0, failed_starts=0)
        placement.stop(state, worker, KILLED, now=True)


def unreferenced(state: State, actor: ActorRecord) -> None:
    """Nothing refers to the actor any more, no handle and no unfinished call: it ends."""
    if actor.refs > 0:
        return
    if actor.state is ActorState.DEAD:
        _forget(state, actor)
    elif not actor.options.detached and actor.state is not ActorState.STARTING:
        _die(state, actor, OUT_OF_SCOPE, None, now=False)
    # One that starts is looked at again when its constructor has ended: `__init__` may
    # have effects that its maker counts on.


def on_exit(state: State, worker: WorkerRecord, message: messages.ActorExit) -> None:
    """The actor ends itself: no restart; what it had not begun fails."""
    actor = worker.actor
    if actor is not None and actor.worker is worker and actor.state is not ActorState.DEAD:
        _die(state, actor, message.reason, None, now=False)


def on_edited(state: State, client: ClientRecord, message: messages.ModulesEdited) -> None:
    """Modules were edited: the actors are to look, or one has looked whether it has older ones."""
    if message.actor_id:
        actor = state.actors.get(message.actor_id)
        if actor is not None and actor.worker is not None and actor.worker is client.worker:
            actor.edited = message.edited
            state.actor_changed(actor)
        return
    for other in state.clients.values():
        if other.worker is not None and other.worker.actor is not None:
            state.send(other, message)


def _die(
    state: State,
    actor: ActorRecord,
    reason: str,
    error: UserError | None,
    *,
    now: bool = True,
    keep_name: bool = False,
) -> None:
    """The actor is dead from here on; its process ends at once or in order."""
    move_actor(actor, ActorEvent.DIE)
    state.gets.pop(actor, None)
    state.unplaced.pop(actor.id, None)
    actor.reason = reason
    actor.error = error
    # One that crashed keeps its name while there are handles, as in Ray: a program that
    # makes it anew by its name is to see that it is dead, not silently get another.
    if not keep_name:
        _free_name(state, actor)
    worker, actor.worker = actor.worker, None
    if worker is not None:
        for task in list(worker.assigned.values()):
            placement.unassign(state, worker, task)
        placement.stop(state, worker, reason, now=now)
    _fail_calls(state, actor, death_of(actor))
    objects.let_go_of_code(state, actor.code)
    args, deps = actor.args, actor.deps
    actor.args, actor.deps, actor.slots = None, [], []
    if args is not None:
        objects.release_argument(state, args)
    if deps:
        objects.unpin(state, deps)
    state.dead_actors.append(actor)
    state.actor_changed(actor)
    if actor.refs == 0:
        _forget(state, actor)


def _free_name(state: State, actor: ActorRecord) -> None:
    key = (actor.options.namespace, actor.options.name)
    if state.names.get(key) == actor.id:
        del state.names[key]


def _forget(state: State, actor: ActorRecord) -> None:
    _free_name(state, actor)
    state.actors.pop(actor.id, None)


def _fail_calls(state: State, actor: ActorRecord, failure: Failure) -> None:
    waiting = [task for lane in actor.lanes.values() for task in lane]
    actor.lanes.clear()
    for task in [*actor.sent.values(), *waiting]:
        if task.state < TaskState.FINISHED:
            tasks.fail(
                state,
                task,
                Cancelled(task.id, task.options.name) if task.cancelled else failure,
            )
    actor.sent.clear()


def death_of(actor: ActorRecord) -> ActorDied:
    """Return why calls of this actor fail."""
    error = actor.error if isinstance(actor.error, UserError) else None
    return ActorDied(
        actor.id,
        actor.options.class_name,
        f"The actor {actor.options.class_name} ({short(actor.id)}) is dead: {actor.reason}.",
        error,
        actor.said,
    )


def _unavailable(actor: ActorRecord, what: str = "is being restarted") -> ActorUnavailable:
    name = actor.options.class_name
    return ActorUnavailable(actor.id, name, f"The actor {name} ({short(actor.id)}) {what}.")


def worker_lost(
    state: State, worker: WorkerRecord, how: str, running: int, *, failed_starts: int
) -> None:
    """The actor's process has died: restart it, or it is dead.

    Args:
        state: the burrow.
        worker: its process.
        how: it died.
        running: the call that it had begun and not ended, 0 if none.
        failed_starts: processes in a row that died, as this one, before they were ready.
            A few are no fault of the actor's and count as no restart.
    """
    actor = worker.actor
    if actor is None or actor.worker is not worker:
        return
    limit = actor.options.max_restarts
    for task in list(actor.sent.values()):
        if task.direct and task.id != running and not task.cancelled:
            placement.unassign(state, worker, task)
            tasks.leave_unclear(state, task)
    lost = list(actor.sent.values())
    if failed_starts:
        may_restart = failed_starts < limits.CRASH_LOOP_MAX
    else:
        may_restart = limit == FOREVER or actor.restarts < limit
    if not may_restart:
        reason = worker.stop_reason or f"its process died ({how})"
        for task in lost:
            placement.unassign(state, worker, task)
        actor.worker = None
        if not worker.stop_reason and worker.said_by == running:
            actor.said = worker.said.decode(errors="replace")
        _die(state, actor, reason, None, keep_name=not worker.stop_reason)
        return
    move_actor(actor, ActorEvent.CRASH)
    state.gets.pop(actor, None)
    if not failed_starts:
        actor.restarts += 1
    actor.worker = None
    again = []
    for task in lost:
        placement.unassign(state, worker, task)
        if _use_retry(task):
            again.append(task)
        else:
            failure: Failure = _unavailable(actor, f"died during the call ({how}) and restarts")
            if task.cancelled:
                failure = Cancelled(task.id, task.options.name)
            tasks.fail(state, task, failure)
    for task in reversed(again):
        _await_actor(state, actor, task)
    state.unplaced[actor.id] = actor
    state.actor_changed(actor)
    if actor.refs == 0:
        state.unreferenced.append(actor)


def owner_lost(state: State, actor: ActorRecord) -> None:
    """Whoever made the actor died without having ended in order."""
    _die(state, actor, "its owner died", None)
