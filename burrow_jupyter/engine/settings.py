"""What a head is told at its birth, by the driver that starts it. Shared by both sides."""

from __future__ import annotations

import msgspec

from burrow_jupyter.engine.session import Places  # noqa: TC001  # msgspec reads it at run time


class HeadSettings(msgspec.Struct):
    """Settings of one burrow, with its key: they travel through an inherited socket."""

    session: int
    key: bytes
    places: Places
    num_cpus: float | None
    num_gpus: float | None
    resources: dict[str, float]
    object_store_bytes: int | None
    namespace: str
    kernel_id: str
    driver_pid: int
    sys_path: list[str]
    directory: str
    infeasible_waits: bool = False  # what more is asked for than there will ever be
    memory_pause: float | None = None  # share of the memory
