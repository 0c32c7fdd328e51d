"""What a test leaves behind: processes, runtime files, shared memory, threads.

Processes are found by a marker in their environment, which children inherit, whoever their
parent becomes later. The runtime directory is the test run's own, so whatever appears in it is
ours. Shared memory has one directory for the whole machine; a burrow that somebody else runs
there at the same time is known by its processes and its runtime directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.wait import NotInTimeError, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "BURROW_TEST_MARK"
"""Environment variable that names the test which started a process."""

SESSION_MARK = "BURROW_TEST_SESSION"
"""Environment variable that names the run of pytest which started a process."""

SETTLE_S = 2.0
"""How long what a test started may take to be gone after the test's end."""

CORNER_PREFIX = "bt-"
"""How the private directory of a test run begins: short, for the sake of socket names."""

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Leftovers:
    """Everything found; false when there is nothing."""

    processes: dict[int, str] = field(default_factory=dict)
    files: frozenset[Path] = frozenset()
    threads: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.processes or self.files or self.threads)

    def __str__(self) -> str:
        lines = [f"process {pid}: {command}" for pid, command in sorted(self.processes.items())]
        lines += [f"file {path}" for path in sorted(self.files)]
        lines += [f"thread {name}" for name in sorted(self.threads)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Baseline:
    """What was there before the test, which therefore is not the test's."""

    files: frozenset[Path]
    threads: frozenset[int]


def take_baseline() -> Baseline:
    """Notes the files and threads of ours that already exist."""
    return Baseline(
        files=runtime_files() | shared_memory_files(),
        threads=frozenset(thread.ident or 0 for thread in burrow_threads()),
    )


def find_leftovers(variable: str, value: str, baseline: Baseline) -> Leftovers:
    """Whatever is there now and was not before, and processes marked `variable=value`."""
    files = (runtime_files() | shared_memory_files()) - baseline.files
    # The logs of a burrow that lives longer than one test go with it, and its workers' doors.
    own = {".log", ".jsonl", ".sock"}
    files = frozenset(f for f in files if f.suffix not in own or f.parent not in baseline.files)
    return Leftovers(
        processes=marked_processes(variable, value),
        files=files - strangers(files),
        threads=frozenset(
            thread.name for thread in burrow_threads() if thread.ident not in baseline.threads
        ),
    )


def check_nothing_left(variable: str, value: str, baseline: Baseline) -> None:
    """Waits until nothing is left, within SETTLE_S; else removes what is left, and fails.

    Removing it keeps one leak from failing every test that follows.
    """
    found = Leftovers()

    def is_clean() -> bool:
        nonlocal found
        found = find_leftovers(variable, value, baseline)
        return not found

    try:
        wait_until(is_clean, SETTLE_S, "the test's processes and files to be gone")
    except NotInTimeError:
        for pid in found.processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in found.files:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise AssertionError(f"left {SETTLE_S} s after the test:\n{found}") from None


def environments() -> Iterator[tuple[Path, frozenset[bytes]]]:
    """The live processes, except this one, each with the variables that it was started with."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # A process may end, or belong to another user, between the look and the read.
        with suppress(OSError):
            yield entry, frozenset((entry / "environ").read_bytes().split(b"\0"))


def marked_processes(variable: str, value: str) -> dict[int, str]:
    """Live processes with `variable=value` in their environment, except this one."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for entry, variables in environments():
        if wanted in variables:
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = command.decode(errors="replace").strip()
    return found


def runtime_directory() -> Path:
    """Where burrows of this user keep their sockets and connection files."""
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp"
    return Path(base) / f"burrow-{os.getuid()}"


def runtime_files() -> frozenset[Path]:
    """Everything under the runtime directory, which itself may stay."""
    root = runtime_directory()
    return frozenset(root.rglob("*")) if root.is_dir() else frozenset()


def shared_memory_files() -> frozenset[Path]:
    """This user's entries in shared memory, of every burrow on the machine."""
    if not SHARED_MEMORY.is_dir():
        return frozenset()
    return frozenset(SHARED_MEMORY.glob(f"burrow-{os.getuid()}-*"))


def strangers(files: frozenset[Path]) -> frozenset[Path]:
    """Those of `files` that are the shared memory of burrows of other runs, or of no test.

    Its processes tell, whatever TMPDIR is theirs; or, where none lives, its runtime directory.
    """
    user = f"burrow-{os.getuid()}"
    temporary = Path(tempfile.gettempdir())
    sessions = {f: f.name.removeprefix(f"{user}-") for f in files if f.parent == SHARED_MEMORY}
    if not sessions:
        return frozenset()
    ours = f"{SESSION_MARK}={os.environ.get(SESSION_MARK)}".encode()
    others = {
        name for _, variables in environments() if ours not in variables for name in variables
    }

    def lives_elsewhere(session: str) -> bool:
        places = [temporary / user / session, Path("/tmp") / user / session]
        places += temporary.glob(f"{CORNER_PREFIX}*/run/{user}/{session}")
        known = runtime_directory() / session
        return any(found.exists() and found != known for found in places)

    return frozenset(
        path
        for path, session in sessions.items()
        if f"BURROW_SESSION={session}".encode() in others or lives_elsewhere(session)
    )


def burrow_threads() -> list[threading.Thread]:
    """This process's live threads that carry our name."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("burrow-")]
