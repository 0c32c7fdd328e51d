"""Turns: which of the calls that a worker was sent run there, and which wait for their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from burrow_jupyter.core import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from burrow_jupyter.core.options import ActorOptions
    from burrow_jupyter.core.scheduler.records import TaskRecord, WorkerRecord


def slots_of(options: ActorOptions, group: str) -> int:
    """Return how many calls of one concurrency group an actor runs at once."""
    size = dict(options.concurrency_groups).get(group, options.max_concurrency)
    return size or (limits.ACTOR_MAX_CONCURRENCY_ASYNC if options.is_async else 1)


def running_on(worker: WorkerRecord) -> Iterator[TaskRecord]:
    """Yield the tasks that a worker runs, in the order in which they have begun."""
    options = worker.actor.options if worker.actor is not None else None
    room: dict[str, int] = {}
    for task in worker.assigned.values():
        group = task.options.concurrency_group if options is not None else ""
        left = room.get(group)
        if left is None:
            left = slots_of(options, group) if options is not None else 1
        if left:
            room[group] = left - 1
            yield task
        elif options is None or not options.concurrency_groups:
            return


def has_begun(task: TaskRecord) -> bool:
    """Say whether a task that was sent to a worker runs there."""
    worker = task.worker
    if worker is None:
        return False
    options = worker.actor.options if worker.actor is not None else None
    if options is not None:
        slots = slots_of(options, task.options.concurrency_group)
        if len(worker.assigned) <= slots:
            return True
    return any(other is task for other in running_on(worker))
