"""The state machines as tables: every state can be left, no end can, nothing else happens."""

import pytest

from burrow_jupyter.core.scheduler import transitions
from burrow_jupyter.core.scheduler.records import (
    ActorState,
    FunctionCounts,
    ObjectState,
    TaskState,
    WorkerState,
)
from burrow_jupyter.core.scheduler.transitions import (
    ACTOR_TABLE,
    OBJECT_TABLE,
    TASK_TABLE,
    WORKER_TABLE,
    ActorEvent,
    InvalidTransition,
    ObjectEvent,
    TaskEvent,
    WorkerEvent,
)

MACHINES = {
    "task": (TASK_TABLE, TaskEvent, {TaskState.FINISHED, TaskState.FAILED, TaskState.CANCELLED}),
    "actor": (ACTOR_TABLE, ActorEvent, {ActorState.DEAD}),
    "object": (OBJECT_TABLE, ObjectEvent, {ObjectState.FAILED}),
    "worker": (WORKER_TABLE, WorkerEvent, {WorkerState.GONE}),
}
machines = pytest.mark.parametrize("machine", MACHINES)


def reachable_from(table, start):
    seen, todo = set(), [start]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo += table[state].values()
    return seen


@machines
def test_every_state_is_in_the_table_and_can_be_reached(machine):
    table, _, _ = MACHINES[machine]
    first = next(iter(table))

    assert set(table) == set(type(first))
    assert reachable_from(table, first) == set(table)


@machines
def test_every_state_leads_to_an_end_and_no_end_is_left(machine):
    table, _, ends = MACHINES[machine]

    assert {state for state, row in table.items() if not row} == ends
    for state in table:
        assert reachable_from(table, state) & ends, state


@machines
def test_every_event_happens_somewhere(machine):
    table, events, _ = MACHINES[machine]

    assert {event for row in table.values() for event in row} == set(events)


@pytest.mark.parametrize("state", [s for s in TaskState if s < TaskState.FINISHED])
def test_a_task_can_be_cancelled_and_can_fail_in_every_state(state):
    assert {TaskEvent.CANCEL, TaskEvent.FAIL} <= set(TASK_TABLE[state])


class Record:
    """As much of a record as a transition looks at."""

    def __init__(self, state):
        self.id = 64
        self.state = state
        self.function = FunctionCounts("f")
        self.observed = False


def move(machine, record, event):
    if machine == "task":
        transitions.move_task(record, record, event)
    else:
        getattr(transitions, f"move_{machine}")(record, event)


@pytest.mark.parametrize(
    ("machine", "state", "event"),
    [(name, s, e) for name, (table, events, _) in MACHINES.items() for s in table for e in events],
)
def test_what_the_table_says_happens_and_all_else_is_an_error_that_changes_nothing(
    machine, state, event
):
    after = MACHINES[machine][0][state].get(event)
    record = Record(state)

    if after is None:
        with pytest.raises(InvalidTransition, match=f"{machine} .* {state.name}.*{event.name}"):
            move(machine, record, event)
        assert record.state is state
        assert not any(record.function.counts)
    else:
        move(machine, record, event)
        assert record.state is after
