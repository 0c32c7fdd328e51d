"""What the scheduler wants done, besides messages: the loop carries it out.

Messages leave as `(peer, message)` pairs, in order for each peer.
"""

from __future__ import annotations

import msgspec

from burrow_jupyter.core.scheduler.records import EnvKey


class StartWorker(msgspec.Struct, frozen=True):
    """Fork a worker with this number, environment and set of GPUs."""

    worker_id: int
    env: EnvKey
    gpus: tuple[str, ...] | None  # None: leave the variable as it is
    actor: bool


class StopWorker(msgspec.Struct, frozen=True):
    """See to it that this process ends: now, or after `grace_s` if it lives by then."""

    worker_id: int
    grace_s: float
    task_id: int = 0  # end it only if it is this task that it runs then; 0: anyway


class Unlink(msgspec.Struct, frozen=True):
    """Remove these segments' files."""

    names: list[str]


class Sweep(msgspec.Struct, frozen=True):
    """A client is gone: remove the segments that it made and that are not listed."""

    client_id: int
    keep: list[str]


class WakeAt(msgspec.Struct, frozen=True):
    """Call `tick` at this time."""

    at: float


class Stop(msgspec.Struct, frozen=True):
    """End the burrow."""

    reason: str


Command = StartWorker | StopWorker | Unlink | Sweep | WakeAt | Stop
