"""Opening a head: what there is of CPUs, GPUs and memory, the files, then the loop."""

from __future__ import annotations

import os
import platform
import signal
from typing import TYPE_CHECKING

import msgspec

import burrow_jupyter
from burrow_jupyter.core import feed, limits, resources
from burrow_jupyter.core.scheduler.state import MemoryBounds, Settings
from burrow_jupyter.engine import accelerators, hardware, processes, session
from burrow_jupyter.engine.head import Head, log
from burrow_jupyter.engine.publisher import Publisher
from burrow_jupyter.engine.settings import HeadSettings
from burrow_jupyter.engine.store.segments import free_bytes

if TYPE_CHECKING:
    import socket

PRESTART_MAX = 4
"""Workers forked before anybody asks: enough that a first burst of tasks finds some."""


def serve(
    driver: socket.socket,
    zygote: socket.socket,
    zygote_pid: int,
    encoded: bytes,
    started_at: float,
) -> None:
    """Serve one burrow until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    processes.set_title("burrow::head")
    processes.become_subreaper()
    given = msgspec.msgpack.decode(encoded, type=HeadSettings)
    cpus = hardware.detect_cpus()
    gauge = hardware.MemoryGauge()
    gpu_ids = tuple(accelerators.gpu_ids(given.num_gpus, os.environ))
    count = cpus.count if given.num_cpus is None else given.num_cpus
    reason = cpus.reason if given.num_cpus is None else f"num_cpus={count:g} in init()"
    store = given.object_store_bytes or hardware.store_capacity(
        gauge.total_bytes, free_bytes(given.places.store)
    )
    quantities = {
        resources.CPU: count,
        resources.GPU: float(len(gpu_ids)),
        resources.MEMORY: float(max(0, gauge.total_bytes - store)),
        resources.STORE: float(store),
        **given.resources,
    }
    totals = {
        name: resources.to_units(name, quantity)
        for name, quantity in quantities.items()
        if quantity
    }
    settings = Settings(
        session=given.session,
        totals=totals,
        gpu_ids=gpu_ids,
        namespace=given.namespace,
        prestart=min(PRESTART_MAX, int(-(-count // 1))),
        store_bytes=store,
        memory=_bounds(gauge, given.memory_pause),
    )
    name = f"{given.session:016x}"
    burrow = feed.BurrowRow(
        session=name,
        kernel_id=given.kernel_id,
        head_pid=os.getpid(),
        driver_pid=given.driver_pid,
        started_at=started_at,
        python=platform.python_version(),
        version=burrow_jupyter.__version__,
        state="running",
    )
    facts = {
        "cpus": count,
        "store_bytes": store,
        "infeasible_waits": given.infeasible_waits,
        "cpus_reason": reason,
        "gpus": [accelerators.short_name(gpu.name) for gpu in accelerators.detect_gpus()],
        "head_pid": os.getpid(),
        "started_at": started_at,
    }
    publisher = Publisher(burrow, facts, [os.getpid(), zygote_pid])
    head = Head(
        settings=settings,
        places=given.places,
        key=given.key,
        driver=driver,
        zygote=zygote,
        zygote_pid=zygote_pid,
        publisher=publisher,
        gauge=gauge,
    )
    session.write_file(
        given.places,
        session.BurrowFile(
            session=name,
            kernel_id=given.kernel_id,
            head_pid=os.getpid(),
            head_start=processes.start_time(os.getpid()),
            driver_pid=given.driver_pid,
            started_at=started_at,
            socket=given.places.socket,
            key=given.key.hex(),
            store=given.places.store,
        ),
    )
    try:
        head.run()
    except Exception:
        log("the head failed; the burrow ends")
        session.remove(given.places.directory, given.places.store)
        raise


def _bounds(gauge: hardware.MemoryGauge, share: float | None) -> MemoryBounds | None:
    """Return when the burrow is to pause for memory; `None` where its use cannot be told."""
    total = gauge.total_bytes
    if not gauge.used_bytes():
        return None
    kept = min(total * limits.MEMORY_KEPT_SHARE, limits.MEMORY_KEPT_MAX_BYTES)
    most = total - kept if share is None else total * share
    less = min(kept * limits.MEMORY_RESUME_SHARE, limits.MEMORY_RESUME_MAX_BYTES)
    resume = max(0, most - less)
    return MemoryBounds(total, int(most), int(resume), gauge.place)
