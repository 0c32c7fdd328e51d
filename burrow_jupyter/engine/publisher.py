"""The state feed: what changed, coalesced, to observers that keep up.

An observer gets a snapshot, then deltas: at most ten a second, and none while bytes of
the one before are still unsent. So a slow observer sees fewer, larger steps, never a
gap, and costs the head nothing. (That is why the feed goes over the observers' own
authenticated connections and not through a PUB socket, which drops when full.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core import feed, limits
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.scheduler import queries, reasons, turns
from burrow_jupyter.core.scheduler.folding import ended_tasks, show
from burrow_jupyter.core.scheduler.records import TaskState, WorkerState
from burrow_jupyter.engine.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from burrow_jupyter.core.scheduler.state import State


class _Observer:
    __slots__ = ("sent", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self.sent = False  # whether it has all that was sent to it


class Publisher:
    """Makes feed frames from the scheduler's state. Used by the loop's thread alone."""

    def __init__(self, burrow: feed.BurrowRow, facts: dict[str, Any], pids: list[int]) -> None:
        """Args:
        burrow: the row of the burrow itself.
        facts: of the machine: `cpus_reason`, `gpus` (names) and more for the welcome.
        pids: processes of the burrow besides its workers.
        """
        self.facts = facts
        self._burrow = burrow
        self._pids = pids
        self._observers: dict[int, _Observer] = {}
        self._sampler: Sampler | None = None
        self._samples: dict[int, Any] = {}
        self._sampled_at = 0.0
        self._machine: feed.MachineRow | None = None
        self._machine_new = False
        self._due: float | None = None
        self._live_rows: set[int] = set()
        self._ended_rows: dict[str, None] = {}
        self._actor_rows: set[int] = set()
        self._run_rows: dict[int, feed.RunRow] = {}  # as they were published last

    def due(self) -> float | None:
        """Return when `frames` wants to be called next, `None` if nobody looks."""
        return self._due if self._observers else None

    def forget(self, peer_id: int) -> None:
        """An observer is gone."""
        self._observers.pop(peer_id, None)

    def frames(
        self, state: State, now: float, unsent: Callable[[int], int]
    ) -> Iterator[tuple[int, feed.Snapshot | feed.Delta]]:
        """Yield what each observer is to be sent now; `unsent` says what it has not taken."""
        fresh = [
            c.peer
            for c in state.clients.values()
            if c.role == "observer" and c.peer not in self._observers
        ]
        if not fresh and self._due is not None and now < self._due:
            return
        self._due = now + limits.FEED_INTERVAL_S
        show(state)
        self._sample(state, now)
        # Deltas are built once for all: an observer that lags gets a snapshot instead.
        delta = self._delta(state, now)
        for peer_id, observer in list(self._observers.items()):
            if unsent(peer_id):
                observer.sent = False
                continue
            if not observer.sent:
                observer.sent = True
                observer.seq += 1
                yield peer_id, self._snapshot(state, now, observer.seq)
            elif delta is not None:
                observer.seq += 1
                yield peer_id, msgspec.structs.replace(delta, seq=observer.seq)
        for peer_id in fresh:
            observer = self._observers[peer_id] = _Observer()
            observer.sent = True
            observer.seq = 1
            yield peer_id, self._snapshot(state, now, 1)

    def _sample(self, state: State, now: float) -> None:
        if now - self._sampled_at < limits.SAMPLE_INTERVAL_S:
            return
        self._sampled_at = now
        if self._sampler is None:
            self._sampler = Sampler()
        workers = {w.pid: w for w in state.workers.values() if w.pid}
        self._samples = self._sampler.sample([*self._pids, *workers])
        machine = self._sampler.machine()
        total = sum(s.private_bytes or s.rss_bytes for s in self._samples.values())
        self._machine = feed.MachineRow(
            cpu_percent=round(machine.cpu_percent, 1),
            cpus=float(self.facts["cpus"]),
            cpus_reason=self.facts["cpus_reason"],
            memory_used_bytes=machine.memory_used_bytes,
            memory_total_bytes=machine.memory_total_bytes,
            burrow_rss_bytes=total,
            gpus=self.facts["gpus"],
            paused=reasons.paused(state),
        )
        self._machine_new = True
        for worker in workers.values():
            state.dirty_workers[worker.id] = worker

    def _worker_row(self, worker: Any) -> feed.WorkerRow:
        sample = self._samples.get(worker.pid)
        if sample is None:
            return queries.worker_row(worker, 0, 0.0)
        return queries.worker_row(worker, sample.rss_bytes, round(sample.cpu_percent, 1))

    def _snapshot(self, state: State, now: float, seq: int) -> feed.Snapshot:
        assert self._machine is not None, "sampled before the first frame"
        ended = ended_tasks(state)[-limits.RECENT_TASKS :]
        running = list(state.tasks.values())[: limits.RECENT_TASKS]
        self._ended_rows.update((short(t.id), None) for t in ended)
        self._live_rows.update(t.id for t in running)
        actors = {a.id: a for a in [*state.dead_actors, *state.actors.values()]}
        self._actor_rows.update(actors)
        self._run_rows = queries.run_rows(state, state.runs)
        return feed.Snapshot(
            seq=seq,
            at=now,
            burrow=self._burrow,
            machine=self._machine,
            objects=queries.object_totals(state, 0, 0),
            resources=queries.resource_rows(state),
            workers=[self._worker_row(w) for w in state.workers.values()],
            functions=queries.function_rows(state, list(state.functions)),
            tasks=[queries.task_row(t) for t in [*ended, *running]],
            actors=[queries.actor_row(a) for a in actors.values()],
            runs=list(self._run_rows.values()),
        )

    def _delta(self, state: State, now: float) -> feed.Delta | None:
        workers, state.dirty_workers = state.dirty_workers, {}
        for worker in workers.values():
            for task in turns.running_on(worker):  # when one ends, the next one has begun
                state.task_changed(task)
            if worker.actor is not None:
                state.actor_changed(worker.actor)  # whose row tells of its process
        runs, ended_runs = self._runs(state)  # before the changed tasks are forgotten
        rows, gone = self._task_rows(state)
        actors, state.dirty_actors = state.dirty_actors, {}
        functions, state.dirty_functions = state.dirty_functions, {}
        machine, self._machine_new = (self._machine if self._machine_new else None), False
        forgotten = self._forgotten_actors(state, actors)
        changed = rows, gone, workers, actors, forgotten, functions, machine, runs, ended_runs
        if not any(changed):
            return None
        return feed.Delta(
            seq=0,
            at=now,
            machine=machine,
            objects=queries.object_totals(state, 0, 0),
            resources=queries.resource_rows(state),
            workers=[
                self._worker_row(w) for w in workers.values() if w.state is not WorkerState.GONE
            ],
            functions=queries.function_rows(state, list(functions)),
            tasks=rows,
            actors=[queries.actor_row(a) for a in actors.values()],
            runs=runs,
            gone=feed.Gone(
                tasks=gone,
                workers=[str(w.id) for w in workers.values() if w.state is WorkerState.GONE],
                actors=forgotten,
                runs=ended_runs,
            ),
        )

    def _runs(self, state: State) -> tuple[list[feed.RunRow], list[str]]:
        """Return the rows of runs that changed, and the ids of those that have ended.

        A run is looked at from its first changed task on until it has ended: what a worker
        holds ahead can begin without any change of a task.
        """
        before = self._run_rows
        touched = {task.run_id for task in state.dirty_tasks.values()}
        self._run_rows = now = queries.run_rows(state, before.keys() | touched)
        changed = [row for run_id, row in now.items() if before.get(run_id) != row]
        return changed, [short(run_id) for run_id in before if run_id not in now]

    def _forgotten_actors(self, state: State, changed: Iterable[int]) -> list[str]:
        """Return the ids of the dead actors that were shown and that nobody remembers."""
        self._actor_rows.update(changed)
        forgotten = self._actor_rows - state.actors.keys() - {a.id for a in state.dead_actors}
        self._actor_rows -= forgotten
        return [short(actor_id) for actor_id in forgotten]

    def _task_rows(self, state: State) -> tuple[list[feed.TaskRow], list[str]]:
        """Return the rows that changed and the ids that go, so that observers hold few rows.

        Of thousands that came and went since the last delta the newest are shown; a row
        that was shown alive is always followed to its end.
        """
        changed, state.dirty_tasks = state.dirty_tasks, {}
        rows: list[feed.TaskRow] = []
        gone: list[str] = []
        newest = len(changed) - min(limits.FRAME_TASKS, limits.RECENT_TASKS)
        live = self._live_rows
        for index, task in enumerate(changed.values()):
            task_id = task.id
            shown = task_id in live
            if task.state >= TaskState.FINISHED:
                live.discard(task_id)
                if index >= newest:
                    self._ended_rows[short(task_id)] = None
                    rows.append(queries.task_row(task))
                elif shown:
                    gone.append(short(task_id))
            elif shown or len(live) < limits.RECENT_TASKS:
                live.add(task_id)
                rows.append(queries.task_row(task))
        while len(self._ended_rows) > limits.RECENT_TASKS:
            oldest = next(iter(self._ended_rows))
            del self._ended_rows[oldest]
            gone.append(oldest)
        return rows, gone
