"""Objects: who needs them, when they are ready, when they are freed.

The head is the one owner of reference counts. A count is the number of clients that
hold the id plus the tasks, actors, objects and code that contain it. Actors and code are
counted the same way, through the same ids.

What follows from an object (a task whose last argument it was, an actor whose last
handle it contained) goes to the work lists `state.woken` and `state.unreferenced`:
the step carries on with those, so that a chain of any length needs no recursion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import ObjectLost, contained_in
from burrow_jupyter.core.scheduler import deadlocks, leases
from burrow_jupyter.core.scheduler.commands import Unlink
from burrow_jupyter.core.scheduler.records import (
    ClientRecord,
    CodeRecord,
    GetRecord,
    ObjectRecord,
    ObjectState,
    SegmentRecord,
    TaskRecord,
)
from burrow_jupyter.core.scheduler.transitions import ObjectEvent, move_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from burrow_jupyter.core.failures import Failure
    from burrow_jupyter.core.scheduler.records import Waiter
    from burrow_jupyter.core.scheduler.state import State

_ARRIVE, _PENDING = ObjectEvent.ARRIVE, ObjectState.PENDING
"""Named here since a member of an enum costs 60 ns to find, and every task comes by."""


# ---- counting ------------------------------------------------------------------------


def pin(state: State, ids: Iterable[int]) -> None:
    """Count one more reference to each; an unknown id stands for a lost object."""
    for any_id in ids:
        record = state.objects.get(any_id)
        if record is not None:
            record.refs += 1
            continue
        actor = state.actors.get(any_id)
        if actor is not None:
            actor.refs += 1
        else:
            lost = ObjectRecord(any_id, None)
            lost.state = ObjectState.FAILED
            lost.failure = ObjectLost(any_id, "nothing held the object any more", "freed")
            lost.refs = 1
            state.objects[any_id] = lost


def unpin(state: State, ids: Iterable[int]) -> None:
    """Count one reference less to each, and free what nobody needs."""
    for any_id in ids:
        record = state.objects.get(any_id)
        if record is not None:
            record.refs -= 1
            if record.refs == 0 and record.state is not ObjectState.PENDING:
                free(state, record)
            continue
        actor = state.actors.get(any_id)
        if actor is not None:
            actor.refs -= 1
            if actor.refs == 0:
                state.unreferenced.append(actor)
            continue
        code = state.codes.get(any_id)
        if code is not None:
            let_go_of_code(state, code)


def hold_code(state: State, code: CodeRecord) -> None:
    """Count one more holder of a function or class."""
    code.refs += 1
    state.leaving.pop(code.id, None)


def let_go_of_code(state: State, code: CodeRecord) -> None:
    """Count one holder of a function or class less; `codes.look` sees to what nobody holds."""
    code.refs -= 1
    if code.refs == 0:
        state.leaving[code.id] = code


def hold(state: State, client: ClientRecord, ids: list[int]) -> None:
    """A client has come to hold these."""
    fresh = [i for i in dict.fromkeys(ids) if i not in client.held]
    client.held.update(fresh)
    pin(state, fresh)


def drop(state: State, client: ClientRecord, ids: Iterable[int]) -> None:
    """A client holds these no more."""
    held, records = client.held, state.objects
    for any_id in ids:
        if any_id not in held:
            continue
        held.remove(any_id)
        record = records.get(any_id)
        if record is None:  # an actor, mostly
            unpin(state, (any_id,))
            continue
        record.refs -= 1
        if record.refs == 0 and record.state is not _PENDING:
            free(state, record)


def free(state: State, record: ObjectRecord) -> None:
    """Forget an object that nobody needs, and what only it contained."""
    del state.objects[record.id]
    value = record.value
    record.value = None
    if value is None:
        unpin(state, contained_in(record.failure))
        return
    state.inline_bytes -= len(value.data)
    if value.segment:
        _release_shared(state, value)
    if value.contained:
        # Depth is bounded by the nesting of containers, which pickling bounds as well,
        # save for chains that were built link by link: those go through this list.
        pending = list(value.contained)
        while pending:
            inner = state.objects.get(pending[-1])
            if (
                inner is None
                or inner.refs != 1
                or inner.state is ObjectState.PENDING
                or inner.value is None
            ):
                unpin(state, [pending.pop()])
                continue
            pending.pop()
            del state.objects[inner.id]
            inner.refs = 0
            inner_value, inner.value = inner.value, None
            _release(state, inner_value)
            pending.extend(inner_value.contained)


def _release(state: State, value: messages.Value) -> None:
    state.inline_bytes -= len(value.data)
    if value.segment:
        _release_shared(state, value)


def _release_shared(state: State, value: messages.Value) -> None:
    state.shared_bytes -= value.size
    maker = state.makers.pop(value.segment, None)
    if maker is not None:
        state.segments[value.segment].maker = maker
    _release_segment(state, value.segment)


def _release_segment(state: State, name: str) -> None:
    segment = state.segments[name]
    segment.live = False
    if segment.mapped:
        # Its memory stays with those who map it; nobody may write there again.
        state.commands.append(Unlink([segment.name]))
    else:
        del state.segments[segment.name]
        if segment.client.peer >= 0:
            state.send(segment.client, messages.Reuse([segment.name]))
        else:
            state.commands.append(Unlink([segment.name]))


def map_value(state: State, client: ClientRecord, value: messages.Value | None) -> None:
    """Count that a client is told of a segment, so that nobody writes into it meanwhile."""
    if value is not None and value.segment:
        segment = state.segments[value.segment]
        segment.mapped += 1
        client.mapped[segment.name] = client.mapped.get(segment.name, 0) + 1


def unmapped(state: State, client: ClientRecord, names: Iterable[str]) -> None:
    """A client looks no more into these."""
    for name in names:
        count = client.mapped.get(name, 0)
        if not count:
            continue
        if count == 1:
            del client.mapped[name]
        else:
            client.mapped[name] = count - 1
        segment = state.segments[name]
        segment.mapped -= 1
        if not segment.mapped and not segment.live:
            del state.segments[name]


# ---- becoming ready ------------------------------------------------------------------


def adopt(state: State, client: ClientRecord, value: messages.Value) -> None:
    """Take a value into the accounts: its bytes, its segment, what it contains."""
    state.inline_bytes += len(value.data)
    if value.segment:
        state.shared_bytes += value.size
        state.segments[value.segment] = SegmentRecord(value.segment, value.size, client)
    if value.contained:
        pin(state, value.contained)


def discard(state: State, client: ClientRecord, value: messages.Value) -> None:
    """Throw away a value that came for nobody."""
    adopt(state, client, value)
    _release(state, value)
    unpin(state, value.contained)


def adopt_argument(state: State, client: ClientRecord, value: messages.Value) -> None:
    """Take the arguments of a call into the accounts, until the call has ended."""
    if value.segment:
        state.segments[value.segment] = SegmentRecord(value.segment, value.size, client)
    if value.contained:
        pin(state, value.contained)


def release_argument(state: State, value: messages.Value) -> None:
    """The call has ended: its arguments go."""
    if value.segment:
        _release_segment(state, value.segment)
    if value.contained:
        unpin(state, value.contained)


def is_small(value: messages.Value) -> bool:
    """Say whether a value is pushed to its owner unasked."""
    return len(value.data) + value.size <= limits.PUSH_MAX_BYTES


def on_put(state: State, client: ClientRecord, message: messages.Put) -> None:
    """A client has an object of its own."""
    if message.value is not None:
        put(state, client, message.object_id, message.value)
        return
    record = state.objects[message.object_id] = ObjectRecord(message.object_id, None)
    record.refs = 1
    client.held.add(record.id)
    settle(state, record, client, None, message.failure)


def put(
    state: State,
    client: ClientRecord,
    object_id: int,
    value: messages.Value,
    maker: ClientRecord | None = None,
) -> None:
    """A new object that `client` holds; `maker` wrote its segment if it was another."""
    record = ObjectRecord(object_id, None)
    record.state = ObjectState.READY
    record.value = value
    record.refs = 1
    client.held.add(object_id)
    state.objects[object_id] = record
    adopt(state, maker or client, value)


def settle(
    state: State,
    record: ObjectRecord,
    maker: ClientRecord,
    value: messages.Value | None,
    failure: Failure | None,
) -> None:
    """Give a pending object its value or failure, and wake whoever waits for it."""
    task = record.task
    record.task = None
    if value is not None:
        if value.segment or value.contained:
            adopt(state, maker, value)
        else:
            state.inline_bytes += len(value.data)
        record.value = value
        move_object(record, _ARRIVE)
        if value.segment and task is not None:
            state.makers[value.segment] = (task.options.name, task.run_id)
    else:
        record.failure = failure
        move_object(record, ObjectEvent.FAIL)
        pin(state, contained_in(failure))
    dependants, record.dependants = record.dependants, None
    getters, record.getters = record.getters, None
    told: ClientRecord | None = None
    if task is not None:
        owner = task.client
        if owner.peer >= 0 and record.id in owner.held:
            told = owner
            if value is None or is_small(value):
                deliver(state, owner, record)
            else:
                state.send(owner, messages.Ready([record.id]))
    if getters is not None:
        for getter in getters:
            _answer(state, getter, record, told)
    if dependants is not None:
        for waiting in dependants:
            waiting.missing -= 1
        if state.gets:
            deadlocks.look_again(state)
        state.woken.extend(dependants)
    if record.refs == 0:
        free(state, record)


def deliver(state: State, client: ClientRecord, record: ObjectRecord) -> None:
    """Send a client an object's value or failure."""
    value = record.value
    if value is not None and value.segment:
        map_value(state, client, value)
    if client.peer >= 0:
        state.sends.append((client.peer, messages.Deliver(record.id, value, record.failure)))


# ---- get and wait --------------------------------------------------------------------


def on_get(state: State, client: ClientRecord, message: messages.Get) -> None:
    """Deliver what is ready, remember the rest; a task that must wait is blocked."""
    ready: list[int] = []
    pending: list[ObjectRecord] = []
    for object_id in message.object_ids:
        record = state.objects.get(object_id)
        if record is None:
            lost = ObjectLost(object_id, "nothing held the object any more", "freed")
            state.send(client, messages.Deliver(object_id, None, lost))
            ready.append(object_id)
        elif record.state is ObjectState.PENDING:
            pending.append(record)
        else:
            if message.values:
                deliver(state, client, record)
            ready.append(object_id)
    if ready and not message.values:
        state.send(client, messages.Ready(ready))
    need = message.need - len(ready)
    if not pending:
        return
    by = waiter(state, client, message.task_id) if message.task_id and need > 0 else None
    task = by if isinstance(by, TaskRecord) and by.actor is None else None
    # An actor keeps what it has for life.
    getter = GetRecord(client, need, task, values=message.values)
    for record in pending:
        if record.getters is None:
            record.getters = [getter]
        else:
            record.getters.append(getter)
    if task is not None:
        leases.block(state, task, getter)
        leases.hurry(state, pending)
    if by is not None:
        getter.by, getter.since, getter.records = by, state.now, pending
        getter.bounded, getter.number = message.bounded, message.wait
        getter.awaited = message.awaited
        deadlocks.begins(state, getter)


def waiter(state: State, client: ClientRecord, any_id: int) -> Waiter | None:
    """Return the call, or constructor, that runs in a worker and waits."""
    by: Waiter | None = state.tasks.get(any_id) or state.actors.get(any_id)
    return by if by is not None and by.worker is not None and by.worker.client is client else None


def _answer(
    state: State, getter: GetRecord, record: ObjectRecord, told: ClientRecord | None
) -> None:
    client = getter.client
    if client.peer < 0:
        return
    if getter.values and (client is not told or _only_announced(record)):
        deliver(state, client, record)
    elif not getter.values and client is not told:
        state.send(client, messages.Ready([record.id]))
    getter.need -= 1
    if getter.need > 0:
        if getter.by is not None:
            deadlocks.look_again(state)
    elif getter.need == 0:
        deadlocks.satisfied(state, getter)
        if getter.task is not None:
            leases.satisfied(state, getter.task, getter)


def _only_announced(record: ObjectRecord) -> bool:
    """Say whether the owner was told that it is ready, but not given the value."""
    return record.value is not None and not is_small(record.value)


def on_free(state: State, ids: list[int]) -> None:
    """Give up values although they are referred to, but for what code captures."""
    captured = {any_id for code in state.codes.values() for any_id in code.captured}
    for object_id in ids:
        record = state.objects.get(object_id)
        if record is None or record.state is not ObjectState.READY or record.value is None:
            continue
        if object_id in captured:
            continue
        value = record.value
        record.value = None
        move_object(record, ObjectEvent.FREE)
        record.failure = ObjectLost(object_id, "the object was freed by free()", "freed")
        _release(state, value)
        unpin(state, value.contained)
