"""Deadlocks: calls that wait in `get` or `wait` for what can never come, as it needs them to end.

A call is *stuck* when each of its waits is for objects whose makers are stuck, wait behind
a stuck call of their actor, or need resources that only stuck calls hold. What is not
proven stuck is taken to be able to go on: a call that computes, a wait with a timeout, an
idle actor (somebody may end it). The call that began to wait last is told, in its `get`;
the others go on.

Looked for once calls have waited for a second, and only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import Deadlock
from burrow_jupyter.core.scheduler import reasons
from burrow_jupyter.core.scheduler.commands import WakeAt
from burrow_jupyter.core.scheduler.records import ActorState, ObjectState, TaskRecord, TaskState

if TYPE_CHECKING:
    from burrow_jupyter.core import resources
    from burrow_jupyter.core.scheduler.records import (
        ActorRecord,
        GetRecord,
        WorkerRecord,
    )
    from burrow_jupyter.core.scheduler.state import State

_MARGIN_S = 1e-6


def begins(state: State, getter: GetRecord) -> None:
    """A call begins to wait."""
    assert getter.by is not None, "only waits of calls are noted"
    state.gets.setdefault(getter.by, {})[getter] = None
    if not (getter.bounded or state.deadlocks_at):
        _look_at(state, state.now + limits.DEADLOCK_AFTER_S)


def satisfied(state: State, getter: GetRecord) -> None:
    """What a call has waited for is there."""
    if getter.by is None:
        return
    gets = state.gets.get(getter.by, {})
    gets.pop(getter, None)
    if not gets:
        state.gets.pop(getter.by, None)


def give_up(state: State, task: TaskRecord, number: int) -> None:
    """A call waits no more for what one `get` or `await` of it asked for."""
    for getter in [g for g in state.gets.get(task, ()) if g.number == number]:
        satisfied(state, getter)


def _look_at(state: State, at: float) -> None:
    state.deadlocks_at = at
    state.commands.append(WakeAt(at))


def look(state: State) -> None:
    """Find the deadlocks among calls that have waited long enough, and break one."""
    if not state.deadlocks_at or state.now < state.deadlocks_at - _MARGIN_S:
        return
    state.deadlocks_at = 0.0
    due = state.now - limits.DEADLOCK_AFTER_S + _MARGIN_S
    unbounded = {
        task: waits
        for task, gets in state.gets.items()
        if (waits := [getter for getter in gets if not getter.bounded])
    }
    young = [g.since for waits in unbounded.values() for g in waits if g.since > due]
    if young:
        _look_at(state, min(young) + limits.DEADLOCK_AFTER_S)
    long = {t: waits for t, waits in unbounded.items() if all(g.since <= due for g in waits)}
    stuck = _Search(state, long).stuck
    if not stuck:
        return
    last = max(stuck, key=lambda task: max(g.since for g in stuck[task]))
    name = last.options.name
    failure = Deadlock(name, last.id, f"deadlock: {reasons.why(state, last.id)}")
    assert last.worker is not None, "it runs"
    state.send(last.worker.client, messages.GiveUp(last.id, failure))
    del state.gets[last]
    # The rest may be stuck for another reason as well: looked at anew.
    _look_at(state, state.now + limits.DEADLOCK_AFTER_S)


class _Search:
    """Narrows down the calls that wait to those that are stuck."""

    def __init__(self, state: State, waiting: dict[TaskRecord, list[GetRecord]]) -> None:
        self._state = state
        self.stuck = dict(waiting)
        narrower = True
        while self.stuck and narrower:
            self._known: dict[TaskRecord, bool] = {}
            free = [t for t, gets in self.stuck.items() if any(map(self._may_end_wait, gets))]
            for task in free:
                del self.stuck[task]
            narrower = bool(free)

    def _may_end_wait(self, getter: GetRecord) -> bool:
        makers = [r.task for r in getter.records if r.state is ObjectState.PENDING and r.task]
        return sum(self._may_end(maker) for maker in makers) >= getter.need

    def _may_end(self, task: TaskRecord) -> bool:
        """Say whether a call may end, and all that makes its arguments; a graph of any depth."""
        known = self._known
        pending = [task]
        while pending:
            current = pending[-1]
            if current in known:
                pending.pop()
                continue
            makers = self._makers(current)
            unknown = [maker for maker in makers if maker not in known]
            if unknown:
                pending += unknown
                continue
            known[current] = all(known[maker] for maker in makers) and self._may_run(current)
            pending.pop()
        return known[task]

    def _makers(self, task: TaskRecord) -> list[TaskRecord]:
        if not task.missing:
            return []
        records = (self._state.objects.get(dep) for dep in task.deps)
        return [
            record.task
            for record in records
            if record is not None
            and record.state is ObjectState.PENDING
            and record.task is not None
        ]

    def _may_run(self, task: TaskRecord) -> bool:
        if task in self.stuck:
            return False
        if task.actor is not None:
            return self._may_serve(task.actor, task)
        if task.state is TaskState.READY:
            return self._may_have(task.options.shape)
        return True

    def _may_serve(self, actor: ActorRecord, task: TaskRecord) -> bool:
        options = actor.options
        if actor.state in (ActorState.PENDING, ActorState.RESTARTING):
            return self._may_have(options.shape) and self._may_have(options.placing)
        if actor.state is not ActorState.ALIVE or options.concurrency_groups:
            return True
        slots = 1
        if options.out_of_order:
            slots = options.max_concurrency or limits.ACTOR_MAX_CONCURRENCY_ASYNC
        # Whoever waits has begun, also where the head has heard late of a direct call, behind
        # what it had sent meanwhile.
        return sum(other in self.stuck for other in actor.sent.values()) < slots

    def _may_have(self, shape: resources.Shape) -> bool:
        """Say whether resources are free, or held by somebody who may give them back."""
        state = self._state
        for name, units in shape:
            amount = state.free.get(name, 0)
            for worker in state.workers.values():
                if not self._holds_for_ever(worker):
                    amount += dict(worker.lease or ()).get(name, 0)
            if amount < units:
                return False
        return True

    def _holds_for_ever(self, worker: WorkerRecord) -> bool:
        return any(task in self.stuck for task in worker.assigned.values())
