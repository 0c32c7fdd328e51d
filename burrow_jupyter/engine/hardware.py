"""CPUs and memory that this process may use, each number with its reason in plain words.

What counts is not what the machine has but what we were given of it: the affinity mask,
the quota of the control group (version 1 or 2) and of every group around it. Read once
when a burrow starts, in under a millisecond; any thread may call anything here.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NUM_CPUS = "BURROW_NUM_CPUS"
"""Environment variable that lowers the number of CPUs, e.g. in a shared container."""

STORE_SHARE = 0.3
"""Share of the memory that objects may take: Ray's figure; the rest is the workers'."""

_UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as a number near 2**63


class Cpus(NamedTuple):
    """How many CPUs, and why so many."""

    count: float  # type: ignore[assignment]  # hides tuple.count, which nobody asks of this
    reason: str


class Memory(NamedTuple):
    """How much memory, and why so much."""

    total_bytes: int
    reason: str


def detect_cpus(
    root: str | Path = "/",
    environ: Mapping[str, str] = os.environ,
    affinity: int | None = None,
) -> Cpus:
    """Return the CPUs that this process may use: the least of what limits it, at least 1.

    Quotas that are no whole number are rounded up: 1.5 CPUs keep two workers busy.

    Args:
        root: where `proc` and `sys` are looked for.
        environ: environment, in which `BURROW_NUM_CPUS` may lower the number.
        affinity: CPUs in the affinity mask; asked of the kernel if not given.

    Raises:
        ValueError: `BURROW_NUM_CPUS` is no positive number.
    """
    machine = os.cpu_count() or 1
    if affinity is None:
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    # In order of rank among equals: the first of the smallest is the reason.
    limits: list[tuple[float, str]] = []
    if affinity < machine:
        limits.append((affinity, "affinity mask"))
    else:
        limits.append((affinity, "all of this machine's"))
    quota = _cpu_quota(str(root))
    if quota is not None:
        limits.append((quota, f"quota of {quota:.3g} set by the control group (container)"))
    text = environ.get(NUM_CPUS, "").strip()
    if text:
        limits.append((_parse_cpus(text), f"{NUM_CPUS}={text}"))
    count, reason = min(limits, key=lambda limit: limit[0])
    whole = max(1, math.ceil(count - 1e-9))
    return Cpus(float(whole), f"{whole} {'CPU' if whole == 1 else 'CPUs'}: {reason}")


def detect_memory(root: str | Path = "/") -> Memory:
    """Return the memory that this process may use: the machine's, or the control group's limit."""
    machine = _meminfo(str(root)).get("MemTotal", 0) or _sysconf_memory()
    limit = _memory_group(str(root))
    if limit is not None and (not machine or limit[0] < machine):
        return Memory(limit[0], "limit of the control group (container)")
    return Memory(machine, "all of this machine's")


class MemoryGauge:
    """Says again and again how much of the memory that we may use is in use."""

    def __init__(self, root: str | Path = "/") -> None:
        self.total_bytes, _ = detect_memory(root)
        self._machine = os.path.join(root, "proc/meminfo")
        limit = _memory_group(str(root))
        self._group = limit[1] if limit is not None and limit[0] == self.total_bytes else ""
        self.place = "this container" if self._group else "this machine"

    def used_bytes(self) -> int:
        """Return how much is in use, caches that give way not counted; takes 15 us.

        Shared memory counts as used: it does not give way. 0 where nothing says it (macOS).
        """
        if self._group:
            return _group_use(self._group)
        left = None
        for line in _read(self._machine).splitlines():
            if line.startswith("MemAvailable:"):
                left = int(line.split()[1]) * 1024
                break
        return 0 if left is None else max(0, self.total_bytes - left)


def memory_used_bytes(root: str | Path = "/") -> int:
    """Return how much of `detect_memory` is in use, as a `MemoryGauge` says."""
    return MemoryGauge(root).used_bytes()


def store_capacity(total_bytes: int, shm_free_bytes: int) -> int:
    """Return the default size of the object store: 30 % of memory, but no more than tmpfs has."""
    return max(0, min(int(total_bytes * STORE_SHARE), shm_free_bytes))


def _parse_cpus(text: str) -> float:
    try:
        count = float(text)
    except ValueError:
        count = math.nan
    if not 0 < count < math.inf:
        raise ValueError(f"{NUM_CPUS} must be a positive number, not {text!r}")
    return count


def _cpu_quota(root: str) -> float | None:
    """Return the smallest quota of our control group and those around it, in CPUs."""
    quotas = []
    for folder in _groups(root, "cpu"):
        fields = _read(folder + "/cpu.max").split()  # version 2: "50000 100000" or "max 100000"
        if not fields:
            period = _read(folder + "/cpu.cfs_period_us").strip()  # version 1; quota -1: none
            fields = [_read(folder + "/cpu.cfs_quota_us").strip(), period]
        quota, period_us = _number(fields[0]), _number(fields[-1])
        if quota is not None and quota > 0 and period_us:
            quotas.append(quota / period_us)
    return min(quotas, default=None)


def _memory_group(root: str) -> tuple[int, str] | None:
    """Return the limit and the folder of the group that limits us most; `None` without a limit."""
    found = []
    for folder in _groups(root, "memory"):
        limits = [
            _number(_read(f"{folder}/{name}").strip())
            for name in ("memory.max", "memory.high", "memory.limit_in_bytes")
        ]
        limit = min((n for n in limits if n is not None and n < _UNLIMITED_BYTES), default=None)
        if limit is not None:
            found.append((limit, folder))
    return min(found, key=lambda group: group[0], default=None)


def _group_use(folder: str) -> int:
    names = ("memory.current", "memory.usage_in_bytes")
    use = next((n for name in names if (n := _number(_read(f"{folder}/{name}").strip()))), 0)
    stat = _table(_read(folder + "/memory.stat"))
    # Files give way, also those that were read twice: as in the machine's MemAvailable.
    kinds = ("inactive_file", "active_file")
    cached = sum(stat.get(f"total_{kind}", stat.get(kind, 0)) for kind in kinds)
    return max(0, use - cached)


def _groups(root: str, controller: str) -> Iterator[str]:
    """Yield the folders of our control group and of all around it, innermost first.

    Both versions may be mounted at once. In a container the path that the kernel names
    may be the host's, of which only the mount's top can be seen: missing folders are
    skipped, and the top is always tried.
    """
    mounts = os.path.join(root, "sys/fs/cgroup")
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # "unified" is where systemd mounts version 2 beside version 1.
        tops = (controllers, controller) if controllers else ("unified", "")
        for top in dict.fromkeys(tops):
            folder = f"{mounts}/{top}".rstrip("/")
            if not os.access(folder, os.F_OK):
                continue
            parts = [part for part in path.split("/") if part not in {"", ".."}]
            for count in range(len(parts), -1, -1):
                inner = "/".join([folder, *parts[:count]])
                if os.access(inner, os.F_OK):
                    yield inner
            break


def _meminfo(root: str) -> dict[str, int]:
    """Return the machine's memory figures in bytes."""
    lines = _read(os.path.join(root, "proc/meminfo")).replace(":", " ").splitlines()
    return {key: kb * 1024 for key, kb in _table("\n".join(lines)).items()}


def _sysconf_memory() -> int:
    """Return the machine's memory where there is no `/proc` (macOS)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _table(text: str) -> dict[str, int]:
    """Read lines of a name and a number."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _read(path: str) -> str:
    """Return a small file's text, "" if it is not there or not for us."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
