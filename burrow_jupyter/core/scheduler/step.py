"""The scheduler: events in, messages and commands out. It decides; the loop does.

    scheduler = Scheduler(settings)
    scheduler.receive(peer, messages, now)      # or connected, lost, exited, tick
    sends, commands = scheduler.drain()

No clock, socket, thread or randomness is in here or below: the same events give the
same decisions, so that a history can be replayed and thousands can be simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.fusing import spread
from burrow_jupyter.core.scheduler import (
    actors,
    bursts,
    codes,
    deadlocks,
    direct,
    folding,
    leases,
    losses,
    objects,
    placement,
    pressure,
    queries,
    tasks,
)
from burrow_jupyter.core.scheduler.commands import Command, Stop
from burrow_jupyter.core.scheduler.records import (
    ActorRecord,
    ClientRecord,
    GetRecord,
    RunRecord,
    TaskRecord,
    TaskState,
    WorkerRecord,
    WorkerState,
)
from burrow_jupyter.core.scheduler.state import Reading, Settings, State


class ProtocolError(Exception):
    """A peer said what it may not say; its connection is to be closed."""


class Scheduler:
    """One burrow's decisions."""

    def __init__(self, settings: Settings) -> None:
        self.state = State(settings)
        placement.start_spare(self.state, settings.prestart)

    # ---- events ----------------------------------------------------------------------

    def receive(self, peer: int, batch: Sequence[Any], now: float) -> None:
        """Take the messages of one frame, in order.

        Raises:
            ProtocolError: the peer did not introduce itself, or is no worker and speaks as one.
        """
        state = self.state
        state.now = now
        client = state.peers.get(peer)
        if client is None and batch:
            client = self._hello(peer, batch[0])
            batch = batch[1:]
        if client is not None:
            self._take(client, batch)
        self._dispatch()

    def _take(self, client: ClientRecord, batch: Sequence[Any]) -> None:
        state = self.state
        at, count = 0, len(batch)
        while at < count:
            message = batch[at]
            kind = type(message)
            at += 1
            alone = at == count or type(batch[at]) is not kind
            fold = _FOLDS.get(kind)
            if fold is not None and (alone or kind in _FUSED):
                if fold(state, client, message):
                    continue
                if kind in _FUSED:
                    self.unfold()
                    self._take(client, spread(message))
                    continue
            if state.folds and folding.concerns(message):
                folding.unfold(state)
            if not alone and kind in _BURSTS:
                gone_through = _BURSTS[kind](state, client, batch, at - 1)
                if gone_through < at:
                    _HANDLERS[kind](state, client, message)
                else:
                    at = gone_through
            else:
                handler = _HANDLERS.get(kind)
                if handler is None:
                    msg = f"a {client.role} may not send {kind.__name__}"
                    raise ProtocolError(msg)
                handler(state, client, message)
            if state.woken or state.unreferenced:
                self._follow_up()

    def unfold(self) -> None:
        """Have every call in `state.tasks`, for whoever is about to look for one there."""
        if self.state.folds:
            folding.unfold(self.state)

    def lost(self, peer: int, now: float) -> None:
        """A connection broke. A worker's loss is told by `exited`, with its last words."""
        state = self.state
        state.now = now
        client = state.peers.get(peer)
        if client is None or client.worker is not None:
            return
        losses.client_lost(state, client, of_task=None)
        direct.forget_wishes(state, client)
        if client.role == "observer":
            state.observed = any(c.role == "observer" for c in state.clients.values())
        self._follow_up()
        self._dispatch()

    def exited(
        self,
        worker_id: int,
        exit_code: int | None,
        signal: int | None,
        running: int,
        now: float,
        begun: int = 0,
        unborn: str = "",
    ) -> None:
        """A worker's process is gone and what it had said was received.

        Args:
            worker_id: its number.
            exit_code: of a process that ended by itself.
            signal: that killed it.
            running: the task that it had begun and not ended, 0 if none.
            now: the time.
            begun: what its journal names as begun, also if that is no task of ours.
            unborn: why there never was a process.
        """
        state = self.state
        state.now = now
        worker = state.workers.get(worker_id)
        if worker is None:
            return
        self.unfold()
        losses.worker_exited(state, worker, exit_code, signal, running, begun, unborn)
        self._follow_up()
        self._dispatch()

    def forked(self, worker_id: int, pid: int) -> None:
        """A worker's process exists."""
        worker = self.state.workers.get(worker_id)
        if worker is not None:
            worker.pid = pid
            self.state.worker_changed(worker)

    def weigh(self, reading: Reading, now: float) -> None:
        """The memory was read, and is short or was."""
        self.state.now = now
        self.unfold()
        pressure.weigh(self.state, reading)
        self._dispatch()

    def tick(self, now: float) -> None:
        """A time that was asked for has come."""
        state = self.state
        state.now = now
        if now >= state.weigh_at - 1e-6:
            state.weigh_at = 0.0
        if state.fold_workers and folding.are_late(state):
            folding.unfold(state)
        placement.retire_idle(state)
        placement.take_back_late(state)
        deadlocks.look(state)
        if state.inquiries:
            queries.answer_late(state)
        self._dispatch()

    def drain(self) -> tuple[list[tuple[int, Any]], list[Command]]:
        """Return, and forget, what is to be sent and done."""
        state = self.state
        sends, commands = state.sends, state.commands
        state.sends, state.commands = [], []
        return sends, commands

    # ---- inside ----------------------------------------------------------------------

    def _dispatch(self) -> None:
        state = self.state
        placement.dispatch(state)
        if state.leaving:
            codes.look(state)
        while state.woken or state.unreferenced:  # an argument was freed just before its use
            self._follow_up()
            placement.dispatch(state)
            if state.leaving:
                codes.look(state)
        if state.folds_to_send:
            folding.feed_idle(state)

    def _follow_up(self) -> None:
        state = self.state
        while state.woken or state.unreferenced:
            while state.woken:
                woken = state.woken.popleft()
                if isinstance(woken, ActorRecord):
                    actors.argument_ready(state, woken)
                elif woken.actor is not None:
                    actors.call_ready(state, woken)
                else:
                    tasks.argument_ready(state, woken)
            while state.unreferenced:
                actors.unreferenced(state, state.unreferenced.popleft())

    def _hello(self, peer: int, message: Any) -> ClientRecord:
        if not isinstance(message, messages.Hello):
            msg = f"the first message was {type(message).__name__}, not Hello"
            raise ProtocolError(msg)
        state = self.state
        worker: WorkerRecord | None = None
        if message.role == "worker":
            worker = state.workers.get(message.worker)
            if worker is None or worker.client is not None:
                msg = f"no worker {message.worker} was asked for"
                raise ProtocolError(msg)
            client_id = worker.id
        elif message.role in ("driver", "observer"):
            client_id = state.next_client
            state.next_client += 1
        else:
            msg = f"unknown role {message.role[:40]!r}"
            raise ProtocolError(msg)
        client = ClientRecord(client_id, peer, message.role, message.pid)
        client.info = message.info
        client.worker = worker
        state.clients[client_id] = client
        state.peers[peer] = client
        info: dict[str, Any] = {"totals": queries.totals(state)}
        state.send(client, queries.welcome(state, client_id, info))
        if worker is not None:
            worker.client = client
            worker.pid = message.pid
            placement.worker_ready(state, worker)
        return client


# ---- one handler per message -----------------------------------------------------------


def _worker_of(client: ClientRecord) -> WorkerRecord:
    if client.worker is None:
        msg = f"a {client.role} may not speak as a worker"
        raise ProtocolError(msg)
    return client.worker


def _define_options(state: State, client: ClientRecord, message: messages.DefineOptions) -> None:
    state.options[message.options_id] = message.options


def _define_run(state: State, client: ClientRecord, message: messages.DefineRun) -> None:
    if message.run_id not in state.runs:
        state.runs[message.run_id] = RunRecord(
            message.run_id, message.label, message.cell_id, message.message_id, state.now
        )
        state.runs[message.run_id].surroundings = message.surroundings


def _surroundings(state: State, client: ClientRecord, message: messages.Surroundings) -> None:
    state.surroundings[message.surroundings_id] = message


def _setup(state: State, client: ClientRecord, message: messages.Setup) -> None:
    if message.code_id in state.codes:
        placement.add_setup(state, message)


def _drop(state: State, client: ClientRecord, message: messages.Drop) -> None:
    if state.folds:
        folding.on_drop(state, client, message.ids)
    else:
        objects.drop(state, client, message.ids)


def _fold_end(state: State, client: ClientRecord, message: messages.Done) -> bool:
    return bool(state.folds) and folding.on_done(state, _worker_of(client), message)


def _fold_ends(state: State, client: ClientRecord, message: messages.DoneMany) -> bool:
    return bool(state.folds) and folding.on_ends(state, _worker_of(client), message)


def _unblock(state: State, client: ClientRecord, message: messages.Unblock) -> None:
    by = state.tasks.get(message.task_id) or state.actors.get(message.task_id)
    if by is not None:
        deadlocks.give_up(state, by, message.wait)
        if isinstance(by, TaskRecord):
            leases.give_up(state, by, message.wait)


def _standing(state: State, client: ClientRecord, message: messages.Standing) -> None:
    by = objects.waiter(state, client, message.task_id)
    if by is not None:
        deadlocks.stands(state, by, message.waits)


def _cancel(state: State, client: ClientRecord, message: messages.Cancel) -> None:
    task = state.tasks.get(message.object_id)
    if task is None:
        record = state.objects.get(message.object_id)
        task = record.task if record is not None else None
    if task is not None:
        kill_after_s = 0.0 if message.force else None
        tasks.on_cancel(state, task, kill_after_s=kill_after_s, recursive=message.recursive)


def _cancel_run(state: State, client: ClientRecord, message: messages.CancelRun) -> None:
    run = state.runs.get(message.run_id)
    if run is not None:
        kill_after_s = 0.0 if message.force else limits.CANCEL_GRACE_S
        tasks.on_cancel_run(state, run, kill_after_s=kill_after_s)
        placement.cancel_setups(state, message.run_id)
        for other in state.clients.values():
            if other.role == "driver" and other is not client:
                state.send(other, message)


def _kill(state: State, client: ClientRecord, message: messages.Kill) -> None:
    actor = state.actors.get(message.actor_id)
    if actor is not None:
        actors.on_kill(state, actor, no_restart=message.no_restart)


def _done(state: State, client: ClientRecord, message: messages.Done) -> None:
    worker = _worker_of(client)
    actor = worker.actor
    if actor is not None:
        actors.on_done(state, worker, actor, message)
    else:
        tasks.on_done(state, worker, message)
    placement.after_task(state, worker)
    if state.wishes:
        direct.after_task(state, message.task_id)


def _returned(state: State, client: ClientRecord, message: messages.Returned) -> None:
    worker = _worker_of(client)
    tasks.on_returned(state, worker, message.task_ids)
    placement.after_task(state, worker)


def _started(state: State, client: ClientRecord, message: messages.Started) -> None:
    worker = _worker_of(client)
    task = worker.assigned.get(message.task_id)
    if task is not None:
        task.started_at = worker.progress_at = state.now
        state.worker_changed(worker)


def _retiring(state: State, client: ClientRecord, message: messages.Retiring) -> None:
    worker = _worker_of(client)
    if worker.state is not WorkerState.STOPPING:
        placement.stop(state, worker, "max_calls")


def _observe(state: State, client: ClientRecord, message: messages.Observe) -> None:
    state.observed = True


def _query(state: State, client: ClientRecord, message: messages.Query) -> None:
    answer = queries.answer(state, client, message)
    if answer is not None:
        state.send(client, answer)


def _shutdown(state: State, client: ClientRecord, message: messages.Shutdown) -> None:
    state.stopping = True
    state.commands.append(Stop("shutdown() was called"))


def _output(state: State, client: ClientRecord, message: messages.OutputChunk) -> None:
    worker = client.worker
    if worker is not None and message.stream != messages.DISPLAY:
        before = worker.said if worker.said_by == message.task_id else b""
        worker.said = (before + message.data)[-limits.LAST_WORDS_BYTES :]
        worker.said_by = message.task_id
        worker.told[message.stream] = message.until
    printed = messages.Printed(message.task_id, message.run_id, message.stream, message.data)
    for other in state.clients.values():
        if other.role == "driver":
            state.send(other, printed)


def _to_drivers(
    state: State, client: ClientRecord, message: messages.Debugged | messages.Prepared
) -> None:
    for other in state.clients.values():
        if other.role == "driver":
            state.send(other, message)


def _forget_failures(state: State, client: ClientRecord, message: messages.ForgetFailures) -> None:
    for other in state.clients.values():
        if other.worker is not None:
            state.send(other, message)


def _paused(state: State, client: ClientRecord, message: messages.Paused) -> None:
    _worker_of(client)
    by = objects.waiter(state, client, message.task_id)
    if by is None:
        return
    records = [state.objects[i] for i in message.object_ids if i in state.objects]
    if isinstance(by, TaskRecord) and by.actor is None:
        leases.block(state, by, GetRecord(client, 1, by, values=False))
        leases.hurry(state, records)
    if records:
        noted = GetRecord(client, 1, None, values=False)
        noted.by, noted.since, noted.records = by, state.now, records
        noted.bounded, noted.number = message.bounded, message.wait
        noted.awaited = message.bounded  # it may have no timeout
        deadlocks.begins(state, noted)


def _resumed(state: State, client: ClientRecord, message: messages.Resumed) -> None:
    _worker_of(client)
    by = objects.waiter(state, client, message.task_id)
    if by is None:
        return
    if isinstance(by, TaskRecord) and by.actor is None:
        leases.resume(state, by)
    deadlocks.give_up(state, by, message.wait)


_Handler = Callable[[State, ClientRecord, Any], None]
_HANDLERS: dict[type, _Handler] = {
    messages.Surroundings: _surroundings,
    messages.Setup: _setup,
    messages.Submit: tasks.on_submit,
    messages.Done: _done,
    messages.Call: actors.on_call,
    messages.Drop: _drop,
    messages.Hold: lambda state, client, m: objects.hold(state, client, m.ids),
    messages.Get: objects.on_get,
    messages.Put: objects.on_put,
    messages.Unmapped: lambda state, client, m: objects.unmapped(state, client, m.segments),
    messages.DefineCode: codes.define,
    messages.DefineOptions: _define_options,
    messages.DefineRun: _define_run,
    messages.CreateActor: actors.on_create,
    messages.Unblock: _unblock,
    messages.Standing: _standing,
    messages.Cancel: _cancel,
    messages.CancelRun: _cancel_run,
    messages.Kill: _kill,
    messages.Query: _query,
    messages.Free: lambda state, client, m: objects.on_free(state, m.object_ids),
    messages.Shutdown: _shutdown,
    messages.Observe: _observe,
    messages.Returned: _returned,
    messages.ActorReady: lambda state, client, m: actors.on_ready(state, _worker_of(client), m),
    messages.ActorExit: lambda state, client, m: actors.on_exit(state, _worker_of(client), m),
    messages.ModulesEdited: actors.on_edited,
    messages.Yielded: lambda state, client, m: tasks.on_yielded(state, _worker_of(client), m),
    messages.Started: _started,
    messages.Retiring: _retiring,
    messages.OutputChunk: _output,
    messages.Debugged: _to_drivers,
    messages.Prepared: _to_drivers,
    messages.ForgetFailures: _forget_failures,
    messages.Paused: _paused,
    messages.Resumed: _resumed,
    messages.Here: lambda state, client, m: queries.on_here(state, m),
    messages.Reach: direct.on_reach,
    messages.Direct: direct.on_direct,
    messages.Ran: direct.on_ran,
    messages.GiveBack: direct.on_give_back,
    messages.Reclaimed: lambda state, client, m: direct.on_reclaimed(state, _worker_of(client)),
    messages.StreamCredit: lambda state, client, m: tasks.on_credit(state, m),
}

_Burst = Callable[[State, ClientRecord, Sequence[Any], int], int]
_BURSTS: dict[type, _Burst] = {
    messages.Submit: bursts.on_submits,
    messages.Call: bursts.on_calls,
    messages.Done: bursts.on_ends,
}
"""Where several come in a row: they take those that they can, and say where they have come to."""

_FUSED = frozenset({messages.SubmitMany, messages.DoneMany})
"""What stands for several messages."""

_FOLDS: dict[type, Callable[[State, ClientRecord, Any], bool]] = {
    messages.SubmitMany: folding.on_submits,
    messages.CancelRun: folding.on_cancel_run,
    messages.Done: _fold_end,
    messages.DoneMany: _fold_ends,
}
"""These say whether they have taken a message; one that they have not goes the usual way."""

__all__ = ["ProtocolError", "Scheduler", "Settings", "TaskState"]
