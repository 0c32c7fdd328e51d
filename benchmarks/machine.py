"""What this machine can do without any system: the limits beside the workloads.

Measured by a process of its own in every round, as the systems are.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.calls import LARGE_BYTES, busy, fresh_array, noop
from benchmarks.timing import duration, rate

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE = b"x" * 64


def echo(connection: socket.socket) -> None:
    """Send back what comes until the other side is gone."""
    while received := connection.recv(4096):
        connection.sendall(received)


class Echo:
    """A forked process that answers over a socket pair."""

    def __init__(self) -> None:
        self.here, there = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            self.here.close()
            try:
                echo(there)
            finally:
                os._exit(0)
        there.close()

    def round_trip(self) -> None:
        """Send one message and wait for it."""
        self.here.sendall(MESSAGE)
        self.here.recv(4096)

    @contextlib.contextmanager
    def pinned(self, here: int, there: int) -> Iterator[None]:
        """Keep both processes to the cores of these numbers, where the system can."""
        if not hasattr(os, "sched_setaffinity"):
            yield
            return
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[here % len(cores)]})
        os.sched_setaffinity(self.pid, {cores[there % len(cores)]})
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)
            os.sched_setaffinity(self.pid, cores)

    def close(self) -> None:
        """End the process."""
        self.here.close()
        os.waitpid(self.pid, 0)


def _fork() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def _efficiency() -> float:
    began = time.perf_counter()
    pids = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            busy(1.0)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    return 100 / (time.perf_counter() - began)


def limits() -> dict[str, float]:
    """Measure everything that a workload is compared with."""
    found: dict[str, float] = {}
    found["python_s"] = duration(
        lambda: subprocess.run([sys.executable, "-c", "0"], check=True)  # ourselves
    )
    found["fork_per_s"] = rate(_fork, at_most=200)
    answering = Echo()
    try:
        for key, cores in (("round_trip_per_s", (0, 0)), ("round_trip_across_per_s", (0, 1))):
            with answering.pinned(*cores):
                found[key] = rate(answering.round_trip, at_most=20_000, budget_s=0.5)
    finally:
        answering.close()
    call: tuple[Any, ...] = (noop, (1,), {})
    found["pickle_call_per_s"] = rate(
        lambda: pickle.loads(pickle.dumps(call, 5)),  # noqa: S301  # made here
        at_most=200_000,
        budget_s=0.3,
    )
    found["pickle_value_per_s"] = rate(
        lambda: pickle.dumps({"a": 1}, 5), at_most=200_000, budget_s=0.3
    )
    found["cpu_percent"] = _efficiency()
    try:
        import numpy as np  # noqa: PLC0415  # arrays are optional here, as in the workloads
    except ImportError:
        return found
    source = fresh_array(0)
    target = np.zeros_like(source)
    target[:] = source
    found["copy_gb_per_s"] = LARGE_BYTES / 1e9 / duration(lambda: np.copyto(target, source))
    found["fresh_array_ms"] = 1000 * duration(lambda: fresh_array(0))
    return found


def facts() -> dict[str, Any]:
    """Describe the machine in general terms."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }
