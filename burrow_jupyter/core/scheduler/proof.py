"""The proof that all records and indexes of a burrow agree, and that nothing lies still.

`check` runs after each step of tests and simulations, never in production. It counts
everything anew from the records themselves, in the dullest way there is: it may be slow,
it may not be clever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import limits, resources
from burrow_jupyter.core.failures import contained_in
from burrow_jupyter.core.ids import STRIDE, short
from burrow_jupyter.core.scheduler.records import (
    ENDED,
    ActorState,
    ObjectState,
    ShapeQueue,
    TaskState,
    WorkerState,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.records import (
        ActorRecord,
        Fold,
        ObjectRecord,
        TaskRecord,
        WorkerRecord,
    )
    from burrow_jupyter.core.scheduler.state import State


class Inconsistent(AssertionError):
    """The records disagree: an error of the scheduler's own."""


def check(state: State) -> None:
    """Prove every index against the records.

    Raises:
        Inconsistent: says which record is wrong.
    """
    _require(not state.woken and not state.unreferenced, "work lists are not empty")
    _check_resources(state)
    for worker in state.workers.values():
        _check_worker(state, worker)
    _check_queues(state)
    _check_folds(state)
    _check_clients(state)
    for task in state.tasks.values():
        _check_task(state, task)
    _check_counts(state)
    refs = _expected_refs(state)
    for record in state.objects.values():
        _check_object(state, record, refs.get(record.id, 0))
    _check_codes(state, refs)
    _check_store(state)
    for actor in state.actors.values():
        _check_actor(state, actor, refs.get(actor.id, 0))
    _check_names(state)


def _require(condition: object, *what: Any) -> None:
    if not condition:
        raise Inconsistent(" ".join(short(w) if type(w) is int else str(w) for w in what))


# ---- resources and workers -------------------------------------------------------------


def _check_resources(state: State) -> None:
    free = dict(state.settings.resources)
    shares = dict.fromkeys(state.settings.gpu_ids, resources.UNIT)
    for worker in state.workers.values():
        for name, units in worker.lease or ():
            if name != resources.CPU or not (worker.blocked or worker.leaving):
                free[name] = free.get(name, 0) - units
        for gpu in worker.gpus:
            shares[gpu] -= worker.gpu_share
    for name in {*free, *state.free}:
        counted, left = state.free.get(name, 0), free.get(name, 0)
        _require(left == counted, f"free {name} is {counted}, leases say {left}")
        _require(name == resources.CPU or left >= 0, f"{name} is given out twice: {left}")
    for gpu, share in shares.items():
        counted = state.gpu_free[gpu]
        _require(share == counted, f"GPU {gpu}: {counted} free, leases say {share}")
        _require(share >= 0, f"GPU {gpu} is given out twice")


def _check_worker(state: State, worker: WorkerRecord) -> None:
    name, word = f"worker {worker.id}", worker.state.name
    busy = worker.state is WorkerState.BUSY
    idle = worker.id in state.idle.get(worker.env, {})
    _require(worker.state is not WorkerState.GONE, f"{name} is gone and kept")
    _require(idle == (worker.state is WorkerState.IDLE), f"{name} is {word}, idle index: {idle}")
    starting = worker.id in state.starting.get(worker.env, {})
    spare = worker.lease is None and worker.actor is None
    _require(
        starting == (spare and worker.state is WorkerState.STARTING),
        f"{name} is {word}, starting index: {starting}",
    )
    queue = worker.queue
    if queue is not None:
        _require(worker.id in queue.leased, f"{name} is not in its queue")
        _require(worker.lease == queue.shape, f"the lease of {name} is not its queue's")
        _require(worker.env == queue.env, f"the environment of {name} is not its queue's")
        _require(worker.actor is None, f"{name} is an actor and has a queue")
    elif worker.actor is not None:
        _require(worker.lease == worker.actor.options.shape, f"the lease of {name}, an actor")
    else:
        _require(worker.lease is None, f"{name} has a lease of no queue")
        _require(not busy, f"{name} is busy without a lease")
    if busy and worker.actor is None:
        works = worker.assigned or worker.lent or worker.pieces
        _require(works, f"{name} is leased and lies idle")
    lent = worker.lent is not None
    _require(lent == (worker.id in state.lent), f"{name} is lent: {lent}, against the index")
    _require(not lent or busy, f"{name} is lent and {word}")
    _require(not lent or not worker.assigned, f"{name} is lent and has work of ours")
    _require(not lent or worker.lent in state.clients.values(), f"{name} is lent to nobody")
    has_gpus = any(kind == resources.GPU for kind, _ in worker.lease or ())
    _require(has_gpus == bool(worker.gpus), f"{name} has GPUs {worker.gpus}, against its lease")
    ahead = worker.actor is None and len(worker.assigned) > 1
    _require(ahead == (worker.id in state.held_ahead), f"{name} holds ahead: {ahead}")
    _require(worker.client is not None or not worker.assigned, f"{name} has work before hello")
    _require(worker.client is None or worker.client.worker is worker, f"{name} and its client")
    blocked = sum(t.state is TaskState.BLOCKED for t in worker.assigned.values())
    _require(worker.blocked == blocked, f"{name} counts {worker.blocked} blocked, not {blocked}")
    leaving = worker.leaving
    _require(leaving is None or leaving.id in worker.assigned, f"{name} waits for an end")
    _require(leaving is None or leaving.cancelled, f"{name} waits for what is not cancelled")
    for task in worker.assigned.values():
        _require(task.worker is worker, f"{name} has another's task", task.id)
        leased = task.state in (TaskState.LEASED, TaskState.BLOCKED)
        _require(leased, f"{name} has a task that is {task.state.name}:", task.id)


def _check_queues(state: State) -> None:
    for queue in state.queues.values():
        for worker_id, worker in queue.leased.items():
            _require(worker_id in state.workers, f"worker {worker_id} is gone, and in a queue")
            _require(worker.queue is queue, f"worker {worker_id} is in another's queue")
        starting = sum(w.state is WorkerState.STARTING for w in queue.leased.values())
        _require(queue.starting == starting, f"queue counts {queue.starting}, not {starting}")
        _require(queue.roomy.keys() <= queue.leased.keys(), "worker with room is not leased")
        entries = [t for t in queue.tasks if t.state is TaskState.READY]
        ready = {t.id for t in entries}
        # An urgent one was put in front, and is where it was before, too.
        once = [t.id for t in entries if not t.urgent]
        _require(len(once) == len(set(once)), "task is twice in a queue")
        _require(not ready or queue in state.waiting_queues, "queue with tasks is not listed")
        fits = (
            len(ready) > starting
            and _may_start(state)
            and not _is_pressed(state)
            and _fits(state, queue.shape)
        )
        _require(
            not fits or _is_held_back(state, queue), f"tasks of {queue.shape} wait though they fit"
        )
    gone = state.lent.keys() - state.workers.keys()
    _require(not gone, f"workers {gone} are gone, and lent")
    held_up = state.waiting_queues or state.unplaced
    _require(
        not (held_up and _is_pressed(state)) or state.weigh_at or state.stopping,
        "nobody will look again at what is held up for memory",
    )
    waits = (held_up or state.paused) and not state.stopping
    for worker in state.lent.values() if waits else ():
        _require(worker.reclaiming, f"worker {worker.id} is lent while others wait")
    gone = state.held_ahead.keys() - state.workers.keys()
    _require(not gone, f"workers {gone} are gone, and hold work ahead")
    ahead = state.held_ahead or state.fold_workers
    fetched = not ahead or state.fetch_at or state.stopping
    _require(fetched, "nobody will fetch what is held ahead")


def _is_held_back(state: State, queue: ShapeQueue) -> bool:
    """Say whether an older demand has waited so long that what is free may be kept for it."""
    patience = state.now - limits.RESERVE_AFTER_S
    older = [(a.created_at, a.options.shape) for a in state.unplaced.values()]
    for other in state.waiting_queues:
        older += [(t.submitted_at, other.shape) for t in other.tasks if t.state is TaskState.READY]
    youngest = max(t.submitted_at for t in queue.tasks)
    return any(
        since <= patience and since < youngest and not _fits(state, shape) for since, shape in older
    )


def _is_pressed(state: State) -> bool:
    """Say whether the memory is short, and something runs that may give some back."""
    if not state.paused:
        return False
    waiting = {t.parent for t in state.tasks.values()}
    for worker in state.workers.values():
        if worker.actor is not None:
            made = worker.actor.state is not ActorState.STARTING
            if not made and not (worker.client and worker.client.tasks):
                return True
        elif (
            worker.lent
            or (worker.lease is not None and worker.state is WorkerState.STARTING)
            or (
                worker.assigned
                and not worker.blocked
                and next(iter(worker.assigned)) not in waiting
            )
        ):
            return True
    return False


def _may_start(state: State) -> bool:
    return not state.stopping and len(state.workers) < limits.WORKERS_MAX


def _fits(state: State, shape: resources.Shape) -> bool:
    """Say whether a lease could be given; found out in another way than `leases.fits`."""
    gpu = dict(shape).get(resources.GPU, 0)
    whole = gpu // resources.UNIT
    shares = state.gpu_free.values()
    if whole and sum(share == resources.UNIT for share in shares) < whole:
        return False
    if gpu and not whole and not any(share >= gpu for share in shares):
        return False
    return resources.fits(shape, state.free)


def _check_folds(state: State) -> None:
    """What is folded is nowhere else, and nothing is folded where anything else is to be decided."""
    sent: dict[int, list[tuple[int, int]]] = {}
    for worker in state.workers.values():
        name = f"worker {worker.id}"
        _require(bool(worker.pieces) == (worker.id in state.fold_workers), f"{name} has pieces")
        if worker.pieces:
            _require(not worker.assigned and not worker.lent, f"{name} has pieces and more")
            _require(worker.queue is state.fold_queue, f"{name} has pieces of another queue")
        for piece in worker.pieces:
            _require(piece.start < piece.stop, f"{name} has an empty piece")
            sent.setdefault(piece.fold.first, []).append((piece.start, piece.stop))
    _require(state.fold_workers.keys() <= state.workers.keys(), "a worker with pieces is gone")
    _require(state.folded == sum(f.count for f in state.folds), "calls in folds are miscounted")
    firsts = [fold.first for fold in state.folds]
    _require(firsts == sorted(firsts), "folds are out of order")
    to_send = [fold for fold in state.folds if fold.sent < fold.count]
    _require(len(to_send) == len(state.folds_to_send), "folds to be sent are miscounted")
    _require(all(fold in state.folds_to_send for fold in to_send), "a fold will not be sent")
    if to_send:
        _require(state.fold_workers, "calls of folds wait for nobody")
        queue = state.fold_queue
        assert queue is not None, "folds of no queue"
        fits = state.idle.get(queue.env) and _fits(state, queue.shape)
        _require(not fits, "calls of folds wait though they fit")
    if to_send or state.fold_workers:
        _require(not state.waiting_queues and not state.unplaced, "folds, and others wait")
        _require(not state.lent, "folds, and a worker is lent")
    for fold in state.folds:
        _check_fold(state, fold, sorted(sent.pop(fold.first, [])))
    _require(not sent, "workers have pieces of no fold")


def _check_fold(state: State, fold: Fold, sent: list[tuple[int, int]]) -> None:
    pending = [index for start, stop in sent for index in range(start, stop)]
    _require(len(set(pending)) == len(pending), "a call is sent twice, in", fold.first)
    _require(not pending or max(pending) < fold.sent, "more is sent than", fold.first)
    _require(fold.ended == fold.sent - len(pending), "ends are miscounted in", fold.first)
    _require(fold.count == len(fold.args) == len(fold.values), "lengths of", fold.first)
    pending += range(fold.sent, fold.count)
    kept = 0
    for index, value in enumerate(fold.values):
        any_id = fold.first + index * STRIDE
        held = any_id in fold.client.held
        kept += held
        _require(any_id not in state.tasks and any_id not in state.objects, "twice:", any_id)
        if index in pending:
            _require(held and value is None, "has a value before its end, or no holder:", any_id)
        else:
            _require(held == (value is not None), "value and holder:", any_id)
    _require(kept == fold.kept > 0, f"{fold.kept} results kept, not {kept}, in", fold.first)
    _require(fold.client.id in state.clients, "the client is gone of", fold.first)


def _check_clients(state: State) -> None:
    for client in state.clients.values():
        _require(state.peers.get(client.peer) is client, f"client {client.id} has no peer")
        for task in client.tasks.values():
            _require(task.id in state.tasks and task.client is client, "ended task", task.id)
    for run in state.runs.values():
        for task_id in run.tasks:
            _require(task_id in state.tasks, f"run {run.id} has an ended task", task_id)


# ---- tasks -----------------------------------------------------------------------------


def _check_ride(state: State, task: TaskRecord) -> None:
    """What rides comes after what it waits for, on the same worker.

    Unless that was given back or is tried again, or may be: then this is given back, too, at
    its turn.
    """
    assert task.worker is not None, "it is leased"
    order = list(task.worker.assigned)
    for object_id in task.deps:
        maker = state.objects[object_id].task
        if maker is not None and not maker.rode:
            before = object_id in order and order.index(object_id) < order.index(task.id)
            _require(before, "rides behind nothing:", task.id)


def _check_task(state: State, task: TaskRecord) -> None:
    word = task.state.name
    _require(task.state < ENDED, f"ended task ({word}) is kept:", task.id)
    leased = task.state in (TaskState.LEASED, TaskState.BLOCKED)
    _require(leased == (task.worker is not None), f"{word} and worker {task.worker}:", task.id)
    if task.worker is not None:
        _require(task.id in task.worker.assigned, "leased, and not assigned:", task.id)
        _require(task.worker.id in state.workers, "leased to a worker that is gone:", task.id)
    missing = sum(state.objects[d].state is ObjectState.PENDING for d in task.deps)
    _require(task.missing == missing, f"waits for {task.missing}, not {missing}:", task.id)
    if leased and missing:
        _check_ride(state, task)
    elif task.state is not TaskState.WAITING:
        _require(not missing, f"{word} without its arguments:", task.id)
        _require(not task.unclear, f"{word} and unclear:", task.id)
    elif task.unclear:
        _require(not task.deps, "has arguments, and was sent by its caller:", task.id)
    elif task.actor is None:
        _require(missing, "waits for nothing:", task.id)
    else:
        lanes = task.actor.lanes.values()
        _require(any(task in lane for lane in lanes), "call is in no lane:", task.id)
        _require(task.actor.state is not ActorState.DEAD, "call of a dead actor:", task.id)
    if task.state is TaskState.READY:
        options = task.options
        key = (options.shape, (options.env_vars, options.working_dir))
        _require(task.actor is None, "call of an actor in a queue:", task.id)
        _require(task in state.queues[key].tasks, "ready, and in no queue:", task.id)
    if task.actor is not None:
        sent = task.id in task.actor.sent
        _require(sent == leased, f"{word}, sent to its actor: {sent}", task.id)
    _require((task.state is TaskState.BLOCKED) == bool(task.waits), "waits:", task.id)
    for getter in task.waits or ():
        waited = sum(any(g is getter for g in o.getters or ()) for o in state.objects.values())
        _require(getter.task is task, "waits for another's get:", task.id)
        paused = not getter.records  # it waits for no object
        _require(paused or 0 < getter.need <= waited, "waits for what will not come:", task.id)


def _check_counts(state: State) -> None:
    counts: dict[str, list[int]] = {}
    for task in state.tasks.values():
        row = counts.setdefault(task.options.name, [0] * len(TaskState))
        row[task.state] += 1
    for name, row in counts.items():
        if name in state.functions:
            known = state.functions[name].counts
            _require(known[:ENDED] == row[:ENDED], f"counts of {name}: {known}, not {row}")


# ---- objects ---------------------------------------------------------------------------


def _expected_refs(state: State) -> dict[int, int]:
    refs: dict[int, int] = {}

    def add(ids: list[int] | set[int]) -> None:
        for any_id in ids:
            refs[any_id] = refs.get(any_id, 0) + 1

    for client in state.clients.values():
        add(client.held)
    for task in state.tasks.values():
        add(task.deps)
        if task.args is not None:
            add(task.args.contained)
        if task.actor is not None:
            add([task.actor.id])
    for actor in state.actors.values():
        if actor.state is not ActorState.DEAD:
            add([actor.code.id])
            add(actor.deps)
            if actor.args is not None:
                add(actor.args.contained)
    for record in state.objects.values():
        if record.value is not None:
            add(record.value.contained)
        add(contained_in(record.failure))
    add([setup.code_id for setup in state.setups if setup is not None])
    for code in state.codes.values():
        add(code.value.contained)
        add(code.captured)
    return refs


def _check_codes(state: State, refs: dict[int, int]) -> None:
    for code in state.codes.values():
        count = refs.get(code.id, 0)
        _require(code.refs == count, f"{code.refs} holders counted, {count} exist:", code.id)
        _require((count == 0) == (code.id in state.leaving), "leaves, or should:", code.id)
        for any_id in code.captured:
            _require(any_id in state.objects, "captures what was forgotten:", code.id)
    for task in state.tasks.values():
        known = task.code is None or state.codes.get(task.code.id) is task.code
        _require(known, "its code was forgotten:", task.id)
    for worker in state.workers.values():
        _require(worker.codes <= state.codes.keys(), f"worker {worker.id} has forgotten code")
    _require(state.leaving.keys() <= state.codes.keys(), "forgotten code leaves")


def _check_object(state: State, record: ObjectRecord, refs: int) -> None:
    _require(record.refs == refs, f"{record.refs} refs counted, {refs} exist:", record.id)
    if record.state is not ObjectState.PENDING:
        _require(record.refs > 0, "object without refs is kept:", record.id)
        woken = not record.getters and not record.dependants
        _require(woken, "waiters were not woken:", record.id)
        failed = record.state is ObjectState.FAILED
        _require(failed == (record.failure is not None), "failure and state:", record.id)
        _require(failed == (record.value is None), "value and state:", record.id)
        return
    task = record.task
    _require(task is not None and task.id in state.tasks, "nothing makes it:", record.id)
    for waiting in record.dependants or ():
        alive = waiting.id in state.tasks or waiting.id in state.actors
        _require(not alive or record.id in waiting.deps or not waiting.deps, "wakes:", record.id)


def _check_store(state: State) -> None:
    inline = shared = 0
    live: set[str] = set()
    for record in state.objects.values():
        if record.value is not None:
            inline += len(record.value.data)
            if record.value.segment:
                shared += record.value.size
                _require(record.value.segment not in live, "two in one segment:", record.id)
                live.add(record.value.segment)
    inline += sum(len(v) for fold in state.folds for v in fold.values if v is not None)
    _require(inline == state.inline_bytes, f"{state.inline_bytes} inline bytes, not {inline}")
    _require(shared == state.shared_bytes, f"{state.shared_bytes} shared bytes, not {shared}")
    live |= {t.args.segment for t in state.tasks.values() if t.args is not None}
    live |= {a.args.segment for a in state.actors.values() if a.args is not None}
    live |= {c.value.segment for c in state.codes.values()}
    live.discard("")
    _require(live <= state.segments.keys(), f"segments {live - state.segments.keys()} forgotten")
    mapped: dict[str, int] = {}
    for client in state.clients.values():
        for name, count in client.mapped.items():
            mapped[name] = mapped.get(name, 0) + count
    for name, segment in state.segments.items():
        count = mapped.get(name, 0)
        _require(segment.mapped == count, f"{name}: {segment.mapped} mappings, not {count}")
        _require(segment.live == (name in live), f"{name}: believed live: {segment.live}")
        _require(segment.live or segment.mapped, f"{name} is kept for nobody")


# ---- actors ----------------------------------------------------------------------------


def _check_actor(state: State, actor: ActorRecord, refs: int) -> None:
    word = actor.state.name
    _require(actor.refs == refs, f"{actor.refs} handles counted, {refs} exist:", actor.id)
    calls = [t for t in state.tasks.values() if t.actor is actor]
    _require(actor.calls == len(calls), f"{actor.calls} calls counted, not {calls}:", actor.id)
    placed = actor.state in (ActorState.STARTING, ActorState.ALIVE)
    _require(placed == (actor.worker is not None), f"{word} and worker:", actor.id)
    if actor.worker is not None:
        _require(actor.worker.actor is actor, "its worker is another's:", actor.id)
        _require(actor.worker.id in state.workers, "its worker is gone:", actor.id)
        stopping = actor.worker.state is WorkerState.STOPPING
        _require(not stopping, "its worker was told to end:", actor.id)
    waits = actor.state in (ActorState.PENDING, ActorState.RESTARTING) and not actor.missing
    listed = actor.id in state.unplaced
    _require(waits == listed, f"{word}, to be placed: {listed}:", actor.id)
    options = actor.options
    if listed and _may_start(state) and not _is_pressed(state) and _fits(state, options.placing):
        _require(not _fits(state, options.shape), "waits though it fits:", actor.id)
    for call in actor.sent.values():
        _require(call.worker is actor.worker and call.actor is actor, "sent where?", call.id)
    if actor.state is ActorState.ALIVE:
        for lane in actor.lanes.values():
            waiting = [t for t in lane if t.state is TaskState.WAITING]
            for call in waiting if options.out_of_order else waiting[:1]:
                _require(call.missing, "alive actor leaves a call lying:", call.id)
    if actor.state is ActorState.DEAD:
        # Of a call that is unclear its caller has yet to say whether it has ended.
        _require(all(t.unclear for t in calls), "dead actor has calls:", actor.id)
        _require(not actor.sent, "dead actor has been sent calls:", actor.id)
        _require(actor.refs > 0, "dead actor without handles is kept:", actor.id)
    else:
        needed = actor.refs or options.detached or actor.state is ActorState.STARTING
        _require(needed, "actor without handles lives on:", actor.id)


def _check_names(state: State) -> None:
    for key, actor_id in state.names.items():
        _require(actor_id in state.actors, f"name {key} belongs to nobody:", actor_id)
        options = state.actors[actor_id].options
        _require(key == (options.namespace, options.name), f"name {key}, of", actor_id)


__all__ = ["Inconsistent", "check"]
