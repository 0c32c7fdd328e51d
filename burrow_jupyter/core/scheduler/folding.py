"""Folds: bursts of plain calls that are one record until somebody speaks of one of them.

A loop over short calls submits them, their workers end them, their caller drops the results: if
nothing else happens, a call needs no record of its own, and an entry in a list is enough. That is
all this module knows of. Whatever else happens (a cancel, a task that needs a result, a death, a
question, another shape) first *unfolds* everything into the records that it would have had from the
start; the rest of the scheduler never sees a fold. Calls are folded only where nothing waits and workers are at hand,
so there is nothing to decide but who runs what next.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import islice
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import limits, messages, resources
from burrow_jupyter.core.failures import Cancelled, one_line
from burrow_jupyter.core.fusing import is_plain
from burrow_jupyter.core.ids import STRIDE
from burrow_jupyter.core.messages import Value
from burrow_jupyter.core.scheduler import codes, leases, objects, placement, tasks
from burrow_jupyter.core.scheduler.records import (
    Fold,
    ObjectRecord,
    ObjectState,
    Piece,
    Stretch,
    TaskRecord,
    TaskState,
)
from burrow_jupyter.core.scheduler.transitions import TaskEvent, move_task

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.records import (
        ClientRecord,
        CodeRecord,
        RunRecord,
        ShapeQueue,
        WorkerRecord,
    )
    from burrow_jupyter.core.scheduler.state import State

_READY, _FINISHED = ObjectState.READY, TaskState.FINISHED
"""Named here since a member of an enum costs 60 ns to find."""

_CANCELLED = one_line(Cancelled(0, ""))

BESIDE: frozenset[type] = frozenset(
    {
        messages.Hello,
        messages.DefineOptions,
        messages.DefineRun,
        messages.Surroundings,
        messages.ModulesEdited,
        messages.Unmapped,
        messages.OutputChunk,
        messages.Shutdown,
        messages.Drop,  # which may concern some, and is taken care of here
    }
)
"""Messages that concern no call of a fold."""

COUNTS = frozenset({"describe runs", "ping"})
"""Questions that are answered without a look at single calls."""


def concerns(message: Any) -> bool:
    """Say whether a message may speak of a single call."""
    kind = type(message)
    return kind not in BESIDE and not (kind is messages.Query and message.what in COUNTS)


def counts_of(state: State, run_id: int) -> tuple[int, int]:
    """Return how many calls of a run that are in folds run, and how many wait."""
    left = sum(fold.count - fold.ended for fold in state.folds if fold.run_id == run_id)
    firsts = [worker.pieces[0].fold for worker in state.fold_workers.values()]
    running = sum(fold.run_id == run_id for fold in firsts)
    return running, left - running


# ---- from submission to the end ------------------------------------------------------


def on_submits(state: State, client: ClientRecord, message: messages.SubmitMany) -> bool:
    """Take plain calls as a fold; say whether they were taken."""
    if (
        state.waiting_queues
        or state.unplaced
        or state.lent
        or state.wishes
        or state.stopping
        or state.paused
        or client.role != "driver"
    ):
        return False
    code = state.codes.get(message.code_id)
    if code is None or not 0 <= code.average_s <= limits.HELD_AHEAD_LONGEST_S:
        return False
    options = state.options[message.options_id]
    if options.num_returns != 1 or options.generator or options.max_calls:
        return False
    queue = placement.queue_of(state, message.options_id)
    if state.fold_workers:
        if queue is not state.fold_queue:
            return False
    elif not _has_workers(state, queue):
        return False
    count = len(message.args)
    if state.folded + count > limits.FOLDED_MAX:
        return False
    all_are_busy = bool(state.folds_to_send)  # each is sent more when it has ended some
    fold = _to_extend(state, message, code)
    if fold is not None:
        if fold.sent == fold.count:
            state.folds_to_send.append(fold)
        fold.args += message.args
        fold.values += [None] * count
        fold.count += count
        fold.kept += count
    else:
        fold = Fold(
            message.first_id,
            list(message.args),
            client,
            code,
            state.functions.get(options.name) or state.function_of(options),
            message.options_id,
            options,
            message.run_id,
            state.now,
        )
        state.folds_to_send.append(fold)
        if not state.folds or state.folds[-1].first < fold.first:
            state.folds.append(fold)
        else:  # another driver's
            insort(state.folds, fold, key=_first_of)
    state.folded += count
    first = message.first_id
    client.held.update(range(first, first + count * STRIDE, STRIDE))
    state.fold_queue = queue
    if not all_are_busy:
        feed(state)
    return True


def _to_extend(state: State, message: messages.SubmitMany, code: CodeRecord) -> Fold | None:
    """Return the fold that these calls go on."""
    fold = state.folds[-1] if state.folds else None
    if (
        fold is not None
        and fold.first + fold.count * STRIDE == message.first_id
        and fold.code is code
        and fold.options_id == message.options_id
        and fold.run_id == message.run_id
        and fold.ended < fold.count
        and fold.count + len(message.args) <= limits.FOLD_MAX
    ):
        return fold
    return None


def _first_of(fold: Fold) -> int:
    return fold.first


def _has_workers(state: State, queue: ShapeQueue) -> bool:
    """Say whether idle workers alone can do what comes: no process is to be started for it."""
    idle = state.idle.get(queue.env)
    if not idle or any(name == resources.GPU for name, _ in queue.shape):
        return False
    free = dict(state.free)
    count = 0
    while count < len(idle) and resources.fits(queue.shape, free):
        resources.take(queue.shape, free)
        count += 1
    return count > 0 and not resources.fits(queue.shape, free)


def feed_idle(state: State) -> None:
    """Have workers that have come to be idle join in."""
    queue = state.fold_queue
    if queue is not None and state.idle.get(queue.env):
        feed(state)


def feed(state: State) -> None:
    """Give workers their next pieces, those first that have none."""
    to_send, queue, workers = state.folds_to_send, state.fold_queue, state.fold_workers
    assert queue is not None, "there are calls to send"
    idle = state.idle.get(queue.env)
    left = sum(fold.count - fold.sent for fold in to_send)
    fresh: list[WorkerRecord] = []
    while idle and len(fresh) < left and leases.fits(state, queue.shape):
        worker = next(reversed(idle.values()))  # its caches are warm
        leases.lease_tasks(state, worker, queue)
        fresh.append(worker)
    workers.update((worker.id, worker) for worker in fresh)
    # Those that have work already get a few at least: one each would be a message for each call.
    for some, least in ((fresh, 1), (list(workers.values()), limits.FED_LEAST)):
        waiting = len(some)
        for worker in some:
            if left <= 0:
                return
            left -= _top_up(state, worker, max(min(least, left), -(-left // waiting)))
            waiting -= 1


def _top_up(state: State, worker: WorkerRecord, share: int) -> int:
    """Send a worker the next calls, no more than its share, if it has room; return how many."""
    average_s = state.folds_to_send[0].code.average_s
    held = 0
    for piece in worker.pieces:
        held += piece.stop - piece.start
    most = limits.HELD_AHEAD_MAX
    if average_s * most > limits.HELD_AHEAD_TARGET_S:
        most = max(1, int(limits.HELD_AHEAD_TARGET_S / average_s))
    if held > most // 2:  # not a few at a time: each time costs a message
        return 0
    count = min(most - held, share)
    _send(state, worker, count)
    return count


def _send(state: State, worker: WorkerRecord, count: int) -> None:
    """Send a worker that many of the next calls."""
    to_send = state.folds_to_send
    client = worker.client
    assert client is not None, "it was idle"
    while count > 0 and to_send:
        fold = to_send[0]
        start = fold.sent
        stop = min(start + count, fold.count)
        count -= stop - start
        fold.sent = stop
        if stop == fold.count:
            to_send.popleft()
        if state.surroundings or state.setups:
            placement.prepare(state, worker, fold.run_id)
        if fold.code.id not in worker.codes:
            codes.send(state, worker, fold.code.id)
        if fold.options_id not in worker.options:
            placement.send_options(state, worker, fold.options_id)
        last = worker.pieces[-1] if worker.pieces else None
        if last is None:
            worker.progress_at = state.now
        if last is not None and last.fold is fold and last.stop == start:
            last.stop = stop
        else:
            worker.pieces.append(Piece(fold, start, stop))
        first = fold.first + start * STRIDE
        state.sends.append(
            (
                client.peer,
                messages.RunMany(
                    first, fold.code.id, fold.options_id, fold.run_id, fold.args[start:stop]
                ),
            )
        )


def on_done(state: State, worker: WorkerRecord, message: messages.Done) -> bool:
    """End one call; say whether it was one of a fold, and plain."""
    values = message.values
    if (
        message.failure is not None
        or message.unmapped
        or len(values) != 1
        or not is_plain(values[0])
    ):
        return False
    return on_ends(
        state, worker, messages.DoneMany(message.task_id, [values[0].data], message.micros)
    )


def on_ends(state: State, worker: WorkerRecord, message: messages.DoneMany) -> bool:
    """End calls; say whether they were those that this worker has of folds."""
    first, values = message.first_id, message.values
    if not _has(worker, first, len(values)):
        return False
    now, pieces = state.now, worker.pieces
    took_s = message.micros * 1e-6 / len(values)
    at, count = 0, len(values)
    while at < count:
        piece = pieces[0]
        fold, start = piece.fold, piece.start
        stop = min(piece.stop, start + count - at)
        length = stop - start
        part = values[at : at + length]
        at += length
        piece.start = stop
        if stop == piece.stop:
            pieces.popleft()
        fold.values[start:stop] = part
        fold.args[start:stop] = [b""] * length
        fold.ended += length
        fold.function.counts[_FINISHED] += length
        state.inline_bytes += sum(map(len, part))
        stretch = Stretch(fold, start, stop, worker.id, now, took_s)
        state.history.append(stretch)
        if state.observed:
            state.unshown.append(stretch)
            state.dirty_functions[fold.function.name] = fold.function
        code = fold.code
        tasks.note_duration(code, took_s, length)
        code.is_light = True
        run = state.runs.get(fold.run_id)
        if run is not None:
            run.ended[_FINISHED] += length
            run.changed_at = now
            run.worked_s += code.average_s * length
        owner = fold.client
        first = fold.first + start * STRIDE
        if owner.peer >= 0:
            state.sends.append((owner.peer, messages.DeliverMany(first, part)))
    worker.finished += count
    worker.progress_at = now
    state.worker_changed(worker)
    if state.folds_to_send:
        left = sum(fold.count - fold.sent for fold in state.folds_to_send)
        _top_up(state, worker, -(-left // len(state.fold_workers)))
    if not pieces:
        del state.fold_workers[worker.id]
        placement.release(state, worker)
    return True


def _has(worker: WorkerRecord, first: int, count: int) -> bool:
    """Say whether the next calls that a worker is to end are these."""
    due = first
    for piece in worker.pieces:
        if piece.fold.first + piece.start * STRIDE != due:
            return False
        length = piece.stop - piece.start
        if length >= count:
            return True
        count -= length
        due += length * STRIDE
    return False


# ---- cancelled runs ------------------------------------------------------------------


def on_cancel_run(state: State, client: ClientRecord, message: messages.CancelRun) -> bool:
    """Cancel those calls of a run that no worker has; say that there is more to do.

    Somebody has pressed stop and waits. A call that has not begun needs a record of its result
    only, which takes a quarter of the time.
    """
    run = state.runs.get(message.run_id)
    if run is not None:
        for fold in state.folds:
            if fold.run_id == run.id and fold.sent < fold.count:
                _cancel_unsent(state, fold, run)
    return False


def _cancel_unsent(state: State, fold: Fold, run: RunRecord) -> None:
    start, stop = fold.sent, fold.count
    count = stop - start
    owner, name, sends = fold.client, fold.options.name, state.sends
    first = fold.first + start * STRIDE
    for any_id in range(first, first + count * STRIDE, STRIDE):
        record = state.objects[any_id] = ObjectRecord(any_id, None)
        record.state = ObjectState.FAILED
        record.failure = Cancelled(any_id, name)
        record.refs = 1
        if owner.peer >= 0:
            sends.append((owner.peer, messages.Deliver(any_id, None, record.failure)))
    for index in range(max(start, stop - limits.HISTORY_TASKS), stop):
        task = _record_of(fold, index)
        task.state = TaskState.CANCELLED
        task.ended_at = state.now
        task.error = _CANCELLED
        state.history.append(task)
        if state.observed and stop - index <= limits.FRAME_TASKS:
            state.dirty_tasks[task.id] = task
    fold.function.counts[TaskState.CANCELLED] += count
    if state.observed:
        state.dirty_functions[fold.function.name] = fold.function
    run.ended[TaskState.CANCELLED] += count
    run.changed_at = state.now
    del fold.args[start:], fold.values[start:]
    fold.count = start
    fold.kept -= count
    state.folded -= count


# ---- dropped results -----------------------------------------------------------------


def on_drop(state: State, client: ClientRecord, ids: list[int]) -> None:
    """A client holds these no more; some of them may be results in folds."""
    folds, held = state.folds, client.held
    ids = sorted(ids)  # a list lets go of its last first
    at, count = 0, len(ids)
    while at < count:
        if not state.folds:
            objects.drop(state, client, islice(ids, at, None))
            break
        any_id = ids[at]
        fold, index = _find(folds, any_id)
        if fold is None or any_id not in held:
            objects.drop(state, client, (any_id,))
            at += 1
            continue
        # Those that follow each other go together.
        most = min(count - at, fold.count - index)
        length = 1
        if most > 1 and ids[at + most - 1] == any_id + (most - 1) * STRIDE:
            length = most
        stop = index + length
        whole = range(any_id, any_id + length * STRIDE, STRIDE)
        part = fold.values[index:stop]
        if None in part or (length > 1 and ids[at : at + length] != list(whole)):
            if length > 1:
                whole, stop, part = whole[:1], index + 1, part[:1]
            if part[0] is None:  # it has not ended
                unfold(state)
                continue
        held.difference_update(whole)
        state.inline_bytes -= sum(map(len, part))  # type: ignore[arg-type]  # no None among them
        fold.values[index:stop] = [None] * len(part)
        fold.kept -= len(part)
        if not fold.kept:
            del folds[bisect_right(folds, fold.first, key=_first_of) - 1]
            state.folded -= fold.count
            fold.args, fold.values = [], []  # the history has it for its ends only
        at += len(part)


def _find(folds: list[Fold], any_id: int) -> tuple[Fold | None, int]:
    """Return where a call stands in a fold."""
    at = bisect_right(folds, any_id, key=_first_of) - 1
    if at >= 0:
        fold = folds[at]
        index, rest = divmod(any_id - fold.first, STRIDE)
        if not rest and index < fold.count:
            return fold, index
    return None, 0


# ---- back to records -----------------------------------------------------------------


def are_late(state: State) -> bool:
    """Say whether a worker has ended nothing for long, while others could have its work."""
    queue = state.fold_queue
    if queue is None or not leases.fits(state, queue.shape):
        return False
    long_ago = state.now - limits.TAKE_BACK_AFTER_S + 1e-6
    return any(worker.progress_at <= long_ago for worker in state.fold_workers.values())


def unfold(state: State) -> None:
    """Give every call of a fold the records that it would have had from the start."""
    folds, state.folds = state.folds, []
    state.folded = 0
    state.folds_to_send.clear()
    for fold in folds:
        _unfold_results(state, fold)
    for worker in state.fold_workers.values():
        pieces, worker.pieces = worker.pieces, type(worker.pieces)()
        progress_at = worker.progress_at
        for piece in pieces:
            for index in range(piece.start, piece.stop):
                task = _task_of(state, piece.fold, index)
                move_task(state, task, TaskEvent.LEASE)
                placement.note_assigned(state, worker, task)
        worker.progress_at = progress_at
        next(iter(worker.assigned.values())).started_at = progress_at
    state.fold_workers.clear()
    for fold in folds:
        for index in range(fold.sent, fold.count):
            placement.enqueue(state, _task_of(state, fold, index))


def _unfold_results(state: State, fold: Fold) -> None:
    for index, data in enumerate(fold.values):
        if data is not None:
            record = ObjectRecord(fold.first + index * STRIDE, None)
            record.state = _READY
            record.refs = 1
            record.value = Value(data)
            state.objects[record.id] = record


def _task_of(state: State, fold: Fold, index: int) -> TaskRecord:
    """Return the record of a call that has not ended, READY."""
    task = _record_of(fold, index)
    data = fold.args[index]
    task.args = Value(data) if data else None
    tasks.register(state, fold.client, task)
    move_task(state, task, TaskEvent.ARGUMENTS_READY)
    return task


def _record_of(fold: Fold, index: int) -> TaskRecord:
    return TaskRecord(
        fold.first + index * STRIDE,
        fold.client,
        fold.code,
        fold.function,
        fold.options_id,
        fold.options,
        None,
        [],
        [],
        fold.run_id,
        0,
        fold.submitted_at,
    )


def show(state: State) -> None:
    """Let observers see the calls that are in folds, and the newest that have ended in them."""
    if state.folds:
        unfold(state)
    for stretch in state.unshown:
        for task in _records_of(stretch):
            state.dirty_tasks[task.id] = task
    state.unshown.clear()


def ended_tasks(state: State) -> list[TaskRecord]:
    """Return the tasks that ended lately, oldest first, each with a record."""
    found: list[TaskRecord] = []
    for entry in reversed(state.history):
        if type(entry) is TaskRecord:
            found.append(entry)
        elif type(entry) is Stretch:
            found += reversed(_records_of(entry))
        if len(found) >= limits.HISTORY_TASKS:
            break
    del found[limits.HISTORY_TASKS :]
    found.reverse()
    return found


def _records_of(stretch: Stretch) -> list[TaskRecord]:
    records = []
    for index in range(stretch.start, stretch.stop):
        task: Any = _record_of(stretch.fold, index)
        task.state = _FINISHED
        ended_at = stretch.at - (stretch.stop - 1 - index) * stretch.took_s
        task.ended_at = max(task.submitted_at, ended_at)
        task.started_at = max(task.submitted_at, ended_at - stretch.took_s)
        task.ran_on = stretch.ran_on
        records.append(task)
    return records
