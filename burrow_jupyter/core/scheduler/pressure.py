"""The pause for memory: while little is left, nothing begins beside what runs.

What begins takes memory, what runs gives some back when it ends. So no further task begins
and no further actor is made until enough is left, or until nothing runs any more: then it is
others who use the memory, and work goes on one at a time. What runs, and the calls of actors
that are there, are let alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import limits
from burrow_jupyter.core.scheduler.commands import WakeAt
from burrow_jupyter.core.scheduler.records import ActorState, WorkerRecord, WorkerState

if TYPE_CHECKING:
    from burrow_jupyter.core.scheduler.state import Reading, State


def weigh(state: State, reading: Reading) -> None:
    """Take what the loop has read of the memory."""
    bounds = state.settings.memory
    if bounds is not None:
        state.reading = reading
        most = bounds.resume_bytes if state.paused else bounds.pause_bytes
        state.paused = reading.used_bytes > most


def holds(state: State) -> bool:
    """Say whether nothing may begin now."""
    return state.paused and any(_runs(state, worker) for worker in state.workers.values())


def is_holding(state: State) -> bool:
    """Say whether something waits that could begin perhaps if there were more memory."""
    return bool(state.waiting_queues or state.unplaced) and holds(state)


def _runs(state: State, worker: WorkerRecord) -> bool:
    """Say whether a worker runs something that gives memory back when it ends.

    An actor does not: it may never end. Nor does what has submitted a task that has not
    ended, and waits for it, perhaps in a way that we do not see.
    """
    if worker.actor is not None:
        client = worker.client
        return worker.actor.state is ActorState.STARTING and (client is None or not client.tasks)
    if worker.lent is not None or (worker.lease is not None and worker.state is _STARTING):
        return True
    for task in worker.assigned.values():
        children = task.children or ()
        return not worker.blocked and not any(c in state.tasks for c in children[-NEWEST:])
    return False


NEWEST = 100
"""Children of a task that are looked at: of many the newest are those that have not ended."""
_STARTING = WorkerState.STARTING


def look_again(state: State) -> None:
    """Have the loop come back, and read the memory, while something is held up."""
    if not state.weigh_at and is_holding(state):
        state.weigh_at = state.now + limits.WEIGH_INTERVAL_S
        state.commands.append(WakeAt(state.weigh_at))


__all__ = ["holds", "is_holding", "look_again", "weigh"]
