"""CPU and memory of processes and of the machine, read while somebody looks.

Straight from `/proc`: 11 us a process, and the head need not import psutil (34 ms) to
start. Where there is no `/proc` (macOS), psutil is imported at the first sample.

A `Sampler` belongs to one thread. CPU use is what was used since its last sample, so one
sampler serves one rhythm.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from burrow_jupyter.engine.hardware import MemoryGauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

SHORTEST_S = 0.05
"""Samples closer together repeat the last CPU figure: the kernel counts in steps of 10 ms."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessSample(NamedTuple):
    """One process at one moment.

    `rss_bytes` counts objects of the store that it maps and looks into, and files;
    `private_bytes` does not, so it may be added up over processes and to the store's size
    (pages that forked workers still share with the zygote, about 10 MB, count in each).
    The exact split (PSS) has the kernel walk every page, under a lock of the process.
    """

    rss_bytes: int
    private_bytes: int
    cpu_percent: float  # of one core, so 400 is four busy cores


class MachineSample(NamedTuple):
    """The machine, or as much of its memory as our control group gives us, at one moment."""

    cpu_percent: float  # of all CPUs of the machine, 0-100
    memory_used_bytes: int
    memory_total_bytes: int


class _Reading(NamedTuple):
    """What the system has counted for a process up to now."""

    started: float  # tells two processes of one pid apart
    cpu_s: float
    rss_bytes: int
    private_bytes: int


class _Last(NamedTuple):
    """The last CPU figure that was worked out, and from when on to count next."""

    at: float
    started: float
    cpu_s: float
    cpu_percent: float


class Sampler:
    """Samples processes and the machine; keeps what it needs to tell use since the last time."""

    def __init__(self) -> None:
        has_proc = os.access("/proc/self/statm", os.R_OK)
        self._read: Callable[[int], _Reading | None] = _read_proc if has_proc else _read_psutil
        self._machine_times: Callable[[], tuple[float, float]] = (
            _times_proc if has_proc else _times_psutil
        )
        self._last: dict[int, _Last] = {}
        self._machine_last = (0.0, 0.0)
        self._machine_percent = 0.0
        self._gauge = MemoryGauge()

    def sample(self, pids: Iterable[int]) -> dict[int, ProcessSample]:
        """Return a sample of each of these processes that lives; the first says 0 % CPU.

        Processes that are not asked for again are forgotten.
        """
        samples: dict[int, ProcessSample] = {}
        last: dict[int, _Last] = {}
        for pid in pids:
            reading = self._read(pid)
            if reading is None:
                continue
            now = time.monotonic()
            before = self._last.get(pid)
            if before is None or before.started != reading.started:
                before = _Last(now, reading.started, reading.cpu_s, 0.0)
            passed_s = now - before.at
            if passed_s >= SHORTEST_S:
                percent = max(0.0, 100 * (reading.cpu_s - before.cpu_s) / passed_s)
                before = _Last(now, reading.started, reading.cpu_s, percent)
            last[pid] = before
            samples[pid] = ProcessSample(
                reading.rss_bytes, reading.private_bytes, before.cpu_percent
            )
        self._last = last
        return samples

    def machine(self) -> MachineSample:
        """Return a sample of the machine; the first says how busy it was since it started."""
        busy_s, all_s = self._machine_times()
        passed_s = all_s - self._machine_last[1]
        if passed_s >= SHORTEST_S:
            percent = 100 * (busy_s - self._machine_last[0]) / passed_s
            self._machine_percent = min(100.0, max(0.0, percent))
            self._machine_last = (busy_s, all_s)
        return MachineSample(self._machine_percent, self._machine_memory(), self._gauge.total_bytes)

    def _machine_memory(self) -> int:
        if self._read is _read_proc:
            return self._gauge.used_bytes()
        return int(_psutil().virtual_memory().used)


def largest(pids: Iterable[int]) -> tuple[int, int]:
    """Return which of these processes has most memory of its own, and how much; `0, 0`: none."""
    sizes = ((r.private_bytes, pid) for pid in pids if (r := _read_proc(pid)) is not None)
    size, pid = max(sizes, default=(0, 0))
    return pid, size


def _read_proc(pid: int) -> _Reading | None:
    try:
        # proc(5): the name in brackets may hold anything; fields are counted after it.
        fields = _file(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
        memory = _file(f"/proc/{pid}/statm").split()
    except OSError:  # gone, or not ours to look at
        return None
    if not fields or fields[0] == b"Z" or not memory:
        return None
    resident, shared = int(memory[1]), int(memory[2])
    return _Reading(
        started=int(fields[19]),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        rss_bytes=resident * _PAGE_BYTES,
        private_bytes=max(0, resident - shared) * _PAGE_BYTES,
    )


def _times_proc() -> tuple[float, float]:
    """Return the seconds that the machine's CPUs were busy, and all they had."""
    ticks = [int(field) for field in _file("/proc/stat").split(b"\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]  # and waiting for disks
    return (sum(ticks) - idle) / _TICKS_PER_S, sum(ticks) / _TICKS_PER_S


def _file(path: str) -> bytes:
    """Read a small file; 5 us, `open` takes 8."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _psutil() -> ModuleType:
    """Return psutil: 34 ms to import, and only needed where there is no `/proc`."""
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415 see above

    module: ModuleType = psutil
    return module


def _read_psutil(pid: int) -> _Reading | None:
    psutil = _psutil()
    try:
        process = psutil.Process(pid)
        times, memory = process.cpu_times(), process.memory_info()
        started = process.create_time()
    except (psutil.Error, OSError):
        return None
    shared = getattr(memory, "shared", 0)
    return _Reading(started, times.user + times.system, memory.rss, max(0, memory.rss - shared))


def _times_psutil() -> tuple[float, float]:
    times = _psutil().cpu_times()
    return sum(times) - times.idle, sum(times)
