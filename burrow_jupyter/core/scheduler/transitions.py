"""The state machines, as tables: state x event -> state. `move` is the only writer of `.state`.

A pair that is not in its table cannot happen; should it, the error names the record,
its state and the event, and leaves the record as it was.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from burrow_jupyter.core.ids import short
from burrow_jupyter.core.scheduler.records import (
    ActorRecord,
    ActorState,
    ObjectRecord,
    ObjectState,
    TaskRecord,
    TaskState,
    WorkerRecord,
    WorkerState,
)

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.state import State


class TaskEvent(IntEnum):
    """What can happen to a task."""

    ARGUMENTS_READY = 0
    LEASE = 1  # sent to a worker
    RETURN = 2  # given back unstarted, its arguments still there
    BLOCK = 3
    UNBLOCK = 4
    RETRY = 5
    FINISH = 6
    FAIL = 7
    CANCEL = 8
    AWAIT_ACTOR = 9  # an actor call goes back to wait for the restarted actor
    AWAIT_ARGUMENT = 10  # it rode behind the maker of its argument, and was taken off


class ActorEvent(IntEnum):
    """What can happen to an actor."""

    PLACE = 0
    READY = 1
    CRASH = 2  # and restarts are left
    DIE = 3


class ObjectEvent(IntEnum):
    """What can happen to an object."""

    ARRIVE = 0
    FAIL = 1
    FREE = 2  # given up although there are refs


class WorkerEvent(IntEnum):
    """What can happen to a worker."""

    HELLO = 0
    LEASE = 1
    RELEASE = 2
    STOP = 3
    END = 4


class InvalidTransition(RuntimeError):
    """An event that cannot happen in this state: an error of the scheduler's own."""


_T, _E = TaskState, TaskEvent
_LIVE_ENDS = {_E.FINISH: _T.FINISHED, _E.FAIL: _T.FAILED, _E.CANCEL: _T.CANCELLED}
TASK_TABLE: dict[TaskState, dict[TaskEvent, TaskState]] = {
    _T.WAITING: {
        _E.ARGUMENTS_READY: _T.READY,
        _E.LEASE: _T.LEASED,  # actor calls have no queue of their shape; or it rides
        _E.FAIL: _T.FAILED,
        _E.CANCEL: _T.CANCELLED,
    },
    _T.READY: {_E.LEASE: _T.LEASED, _E.FAIL: _T.FAILED, _E.CANCEL: _T.CANCELLED},
    _T.LEASED: {
        **_LIVE_ENDS,
        _E.RETURN: _T.READY,
        _E.RETRY: _T.READY,
        _E.BLOCK: _T.BLOCKED,
        _E.AWAIT_ACTOR: _T.WAITING,
        _E.AWAIT_ARGUMENT: _T.WAITING,
    },
    _T.BLOCKED: {
        **_LIVE_ENDS,
        _E.AWAIT_ARGUMENT: _T.WAITING,
        _E.UNBLOCK: _T.LEASED,
        _E.RETRY: _T.READY,
    },
    _T.FINISHED: {},
    _T.FAILED: {},
    _T.CANCELLED: {},
}

_A, _F = ActorState, ActorEvent
ACTOR_TABLE: dict[ActorState, dict[ActorEvent, ActorState]] = {
    _A.PENDING: {_F.PLACE: _A.STARTING, _F.DIE: _A.DEAD},
    _A.STARTING: {_F.READY: _A.ALIVE, _F.CRASH: _A.RESTARTING, _F.DIE: _A.DEAD},
    _A.ALIVE: {_F.CRASH: _A.RESTARTING, _F.DIE: _A.DEAD},
    _A.RESTARTING: {_F.PLACE: _A.STARTING, _F.DIE: _A.DEAD},
    _A.DEAD: {},
}

_O, _G = ObjectState, ObjectEvent
OBJECT_TABLE: dict[ObjectState, dict[ObjectEvent, ObjectState]] = {
    _O.PENDING: {_G.ARRIVE: _O.READY, _G.FAIL: _O.FAILED},
    _O.READY: {_G.FREE: _O.FAILED},
    _O.FAILED: {},
}
"""An object begins READY when it was put, and FAILED when nobody knows it; in every state it
is forgotten when nothing refers to it any more."""

_W, _V = WorkerState, WorkerEvent
WORKER_TABLE: dict[WorkerState, dict[WorkerEvent, WorkerState]] = {
    _W.STARTING: {_V.HELLO: _W.IDLE, _V.STOP: _W.STOPPING, _V.END: _W.GONE},
    _W.IDLE: {_V.LEASE: _W.BUSY, _V.STOP: _W.STOPPING, _V.END: _W.GONE},
    _W.BUSY: {_V.RELEASE: _W.IDLE, _V.STOP: _W.STOPPING, _V.END: _W.GONE},
    _W.STOPPING: {_V.HELLO: _W.STOPPING, _V.STOP: _W.STOPPING, _V.END: _W.GONE},
    _W.GONE: {},
}


def move_task(state: State, task: TaskRecord, event: TaskEvent) -> None:
    """Change a task's state, and the counts of its function with it.

    Raises:
        InvalidTransition: the table has no such pair.
    """
    before = task.state
    try:
        after = TASK_TABLE[before][event]
    except KeyError:
        raise _impossible("task", task.id, before, event) from None
    task.state = after
    counts = task.function.counts
    counts[before] -= 1
    counts[after] += 1
    if state.observed:
        state.task_changed(task)


def move_actor(actor: ActorRecord, event: ActorEvent) -> None:
    """Change an actor's state.

    Raises:
        InvalidTransition: the table has no such pair.
    """
    try:
        actor.state = ACTOR_TABLE[actor.state][event]
    except KeyError:
        raise _impossible("actor", actor.id, actor.state, event) from None


def move_object(record: ObjectRecord, event: ObjectEvent) -> None:
    """Change an object's state.

    Raises:
        InvalidTransition: the table has no such pair.
    """
    try:
        record.state = OBJECT_TABLE[record.state][event]
    except KeyError:
        raise _impossible("object", record.id, record.state, event) from None


def move_worker(worker: WorkerRecord, event: WorkerEvent) -> None:
    """Change a worker's state.

    Raises:
        InvalidTransition: the table has no such pair.
    """
    try:
        worker.state = WORKER_TABLE[worker.state][event]
    except KeyError:
        raise _impossible("worker", worker.id, worker.state, event) from None


def _impossible(kind: str, any_id: int, state: IntEnum, event: IntEnum) -> InvalidTransition:
    return InvalidTransition(f"{kind} {short(any_id)} is {state.name}: {event.name} cannot happen")
