"""Deadlocks: calls that wait in `get` or `wait` for what can never come, as it needs them to end.

A call is *stuck* when each of its waits is for objects whose makers are stuck, wait behind
stuck calls of their actor, or need resources that only stuck calls hold. What is not
proven stuck is taken to be able to go on: a call that computes, a wait with a timeout, an
idle actor (somebody may end it), a `get` or a task of whose makers one goes on (it may
raise, which ends them). The call that began to wait last is told, in its `get`; the others
go on. A constructor that waits counts as a call.

Looked for once calls have waited for a second, and again when something that they needed has
come and they wait on; only then.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.failures import Deadlock
from burrow_jupyter.core.scheduler import leases, reasons, turns
from burrow_jupyter.core.scheduler.commands import WakeAt
from burrow_jupyter.core.scheduler.records import (
    ActorRecord,
    ActorState,
    ObjectState,
    TaskRecord,
    TaskState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from burrow_jupyter.core import resources
    from burrow_jupyter.core.scheduler.records import GetRecord, Waiter, WorkerRecord
    from burrow_jupyter.core.scheduler.state import State

_MARGIN_S = 1e-6


def begins(state: State, getter: GetRecord) -> None:
    """A call begins to wait."""
    assert getter.by is not None, "only waits of calls are noted"
    state.gets.setdefault(getter.by, {})[getter] = None
    if not getter.bounded:
        look_again(state)


def satisfied(state: State, getter: GetRecord) -> None:
    """What a call has waited for is there."""
    if getter.by is None:
        return
    gets = state.gets.get(getter.by, {})
    if getter in gets:
        del gets[getter]
        if getter.awaited and not getter.bounded:
            for other in gets:  # the coroutine goes on, and perhaps sets a timer for these
                other.bounded = True
    if not gets:
        state.gets.pop(getter.by, None)


def stands(state: State, by: Waiter, waits: Iterable[int]) -> None:
    """Nothing but what a call awaits makes it go on, unless something has come meanwhile."""
    gets = state.gets.get(by, {})
    if {getter.number for getter in gets} == set(waits) and all(g.awaited for g in gets):
        for getter in gets:
            getter.bounded, getter.since = False, state.now
        look_again(state)


def give_up(state: State, by: Waiter, number: int) -> None:
    """A call waits no more for what one `get` or `await` of it asked for."""
    for getter in [g for g in state.gets.get(by, ()) if g.number == number]:
        satisfied(state, getter)


def look_again(state: State) -> None:
    """Calls wait, and what may end has changed: look for deadlocks in a while."""
    if not state.deadlocks_at:
        _look_at(state, state.now + limits.DEADLOCK_AFTER_S)


def _look_at(state: State, at: float) -> None:
    state.deadlocks_at = at
    state.commands.append(WakeAt(at))


def look(state: State) -> None:
    """Find the deadlocks among calls that have waited long enough, and break one."""
    if not state.deadlocks_at or state.now < state.deadlocks_at - _MARGIN_S:
        return
    state.deadlocks_at = 0.0
    due = state.now - limits.DEADLOCK_AFTER_S + _MARGIN_S
    young = [g.since for g in _unbounded(state) if g.since > due]
    if young:
        _look_at(state, min(young) + limits.DEADLOCK_AFTER_S)
    long = {t: gets for t, gets in state.gets.items() if all(g.since <= due for g in gets)}
    search = Search(state, long)
    if not search.stuck:
        return
    last = max((g for gets in search.stuck.values() for g in gets), key=lambda g: g.since)
    by = last.by
    assert by is not None, "only waits of calls are noted"
    assert by.worker is not None, "it runs"
    reason = f"deadlock: {reasons.explain(state, by.id, search.may_end)[0]}"
    failure = Deadlock(reasons.name_of(by), by.id, reason)
    state.send(by.worker.client, messages.GiveUp(by.id, failure, last.number))
    give_up(state, by, last.number)
    # The rest may be stuck for another reason as well: looked at anew.
    look_again(state)


def _unbounded(state: State) -> Iterable[GetRecord]:
    return (g for gets in state.gets.values() for g in gets if not g.bounded)


class Search:
    """Narrows down the calls that wait to those that are stuck."""

    def __init__(self, state: State, waiting: Mapping[Waiter, Iterable[GetRecord]]) -> None:
        """Look among `waiting`: calls with all their waits."""
        self._state = state
        self.stuck = dict(waiting)
        self._known: dict[TaskRecord, bool] = {}
        narrower = True
        while self.stuck and narrower:
            self._known = {}
            free = [t for t, gets in self.stuck.items() if any(map(self._may_end_wait, gets))]
            for task in free:
                del self.stuck[task]
            narrower = bool(free)

    def _may_end_wait(self, getter: GetRecord) -> bool:
        if getter.bounded:
            return True
        pending = [r for r in getter.records if r.state is ObjectState.PENDING]
        # One that fails ends a `get`; to `wait` it is one of those that it needs.
        need = 1 if getter.values else getter.need
        able = (r for r in pending if r.task is None or self.may_end(r.task))
        return not pending or len(list(islice(able, need))) == need

    def may_end(self, by: Waiter) -> bool:
        """Say whether a call, or a constructor, may end; its arguments are a graph of any depth."""
        if isinstance(by, ActorRecord):
            return by not in self.stuck and (by.state is not ActorState.PENDING or self._begins(by))
        known = self._known
        pending = [by]
        while pending:
            current = pending[-1]
            if current in known:
                pending.pop()
                continue
            makers = self._makers(current)
            if current.actor is not None and current.actor.missing:
                makers += self._makers(current.actor)
            unknown = [maker for maker in makers if maker not in known]
            if unknown:
                pending += unknown
                continue
            # One that fails ends what it is an argument of.
            known[current] = (
                any(known[maker] for maker in makers) if makers else self._may_run(current)
            )
            pending.pop()
        return known[by]

    def _makers(self, of: Waiter) -> list[TaskRecord]:
        if not of.missing:
            return []
        records = (self._state.objects.get(dep) for dep in of.deps)
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
        if actor.state in (ActorState.PENDING, ActorState.RESTARTING):
            return self._begins(actor)
        if actor.state is not ActorState.ALIVE:
            return actor not in self.stuck
        # Whoever waits has begun, also where the head has heard late of a direct call, behind
        # what it had sent meanwhile.
        group = task.options.concurrency_group
        stuck = sum(
            other.options.concurrency_group == group and other in self.stuck
            for other in actor.sent.values()
        )
        return stuck < turns.slots_of(actor.options, group)

    def _begins(self, actor: ActorRecord) -> bool:
        """Say whether an actor that has no process may get one."""
        options = actor.options
        return self._may_have(options.shape) and self._may_have(options.placing)

    def _may_have(self, shape: resources.Shape) -> bool:
        """Say whether resources are free, or held by somebody who may give them back."""
        state = self._state
        for name, units in shape:
            amount = state.free.get(name, 0)
            for worker in state.workers.values():
                if not self._holds_for_ever(worker):
                    amount += leases.held(worker).get(name, 0)
            if amount < units:
                return False
        return True

    def _holds_for_ever(self, worker: WorkerRecord) -> bool:
        if worker.actor in self.stuck:
            return True
        return any(task in self.stuck for task in worker.assigned.values())
