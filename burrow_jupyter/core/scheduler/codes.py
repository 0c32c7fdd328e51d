"""Functions and classes: what they capture, who has been sent them, when they are forgotten.

Code is held by the client that has defined it, by actors, which may be made anew of it, and by
setups; these are counted. Calls that need it are not: they are many, and code goes seldom. When
nobody holds it any more, the calls that have not ended are looked through, at most once a
second and only when something has happened.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.scheduler import objects
from burrow_jupyter.core.scheduler.commands import WakeAt
from burrow_jupyter.core.scheduler.records import CodeRecord

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.records import ClientRecord, WorkerRecord
    from burrow_jupyter.core.scheduler.state import State


def define(state: State, client: ClientRecord, message: messages.DefineCode) -> None:
    """A client has a function or class, and holds it."""
    objects.adopt_argument(state, client, message.value)
    if message.code_id in state.codes:  # another client has the same: one is enough
        objects.release_argument(state, message.value)
        return
    state.codes[message.code_id] = CodeRecord(
        message.code_id, message.name, message.value, message.meta, message.captured
    )
    client.held.add(message.code_id)
    objects.pin(state, message.captured)
    for value in _values(state, message.captured):
        state.makers.setdefault(value.segment, ("", message.run_id))


def _values(state: State, captured: list[int]) -> list[messages.Value]:
    return [state.objects[any_id].value or messages.Value() for any_id in captured]


def send(state: State, worker: WorkerRecord, code_id: int) -> None:
    """Send a function or class to a worker that has not got it."""
    if code_id in worker.codes:
        return
    worker.codes.add(code_id)
    code = state.codes[code_id]
    captured = _values(state, code.captured)
    assert worker.client is not None, "only a worker that said hello is given work"
    for value in (code.value, *captured):
        objects.map_value(state, worker.client, value)
    state.send(worker.client, messages.Code(code_id, code.value, captured))


def look(state: State) -> None:
    """Forget the code that nobody holds and no call needs; come back to the rest."""
    if state.now < state.left_at + limits.LEAVE_INTERVAL_S - 1e-6:
        if not state.leave_at:
            state.leave_at = state.left_at + limits.LEAVE_INTERVAL_S
            state.commands.append(WakeAt(state.leave_at))
        return
    state.leave_at = 0.0
    unneeded = dict(state.leaving)
    needed = chain(
        (task.code for task in state.tasks.values()),
        (fold.code for fold in state.folds if fold.ended < fold.count),
    )
    for code in needed:
        if code is not None and code.id in unneeded:
            del unneeded[code.id]
            if not unneeded:
                break
    for code in unneeded.values():
        _forget(state, code)
    if state.leaving:
        state.left_at = state.now


def _forget(state: State, code: CodeRecord) -> None:
    del state.leaving[code.id]
    del state.codes[code.id]
    for worker in state.workers.values():
        if code.id in worker.codes:
            worker.codes.remove(code.id)
            state.send(worker.client, messages.ForgetCode(code.id))
    value, code.value = code.value, messages.Value()  # the history has it for its durations only
    objects.release_argument(state, value)
    objects.unpin(state, code.captured)
