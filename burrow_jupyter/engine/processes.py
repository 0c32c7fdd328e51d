"""What every process of the engine asks of the operating system about processes.

Sessions and groups, dying with the parent, titles, ending a process with all that hangs
on it. On Linux through `prctl` and `/proc`; elsewhere (macOS) each function says what is
missing, and nothing raises for it.

Keeps no state but the place of the process title, so any thread may call anything here.
Nothing here reaps a child except `kill_orphans`: exit codes belong to whoever forked.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

KILLED_WITHIN_S = 2.0
"""How long the kernel may take over a SIGKILL: a process that frees 100 GB needs a second."""

_POLL_S = 0.01  # between looks at a process where it cannot be waited for

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_NAME_MAX_BYTES = 15  # of a thread, by the kernel


def new_session() -> None:
    """Make this process the leader of a session and group of its own.

    Signals to the group of whoever started us, such as Jupyter's interrupt, pass us by.
    """
    with contextlib.suppress(PermissionError):  # it is a leader already
        os.setsid()


def die_with_parent(parent_pid: int, sig: int = signal.SIGKILL) -> bool:
    """Have the kernel send `sig` to this process when its parent dies; at once if it has.

    Call it in the child, after each fork (children do not inherit it). The kernel means
    the *thread* that forked: let one do it that lives as long as the parent should.

    Args:
        parent_pid: the parent as it was before the fork; not asked for here, since it may
            be dead by now.
        sig: the signal.

    Returns:
        Whether the kernel does this; otherwise watch for the end of a pipe or socket.
    """
    if not _prctl(_PR_SET_PDEATHSIG, sig):
        return False
    if os.getppid() != parent_pid:  # it died between the fork and here
        os.kill(os.getpid(), sig)
    return True


def become_subreaper() -> bool:
    """Become the parent of all descendants whose parent dies, also of those that daemonise.

    Returns:
        Whether the kernel does this (Linux).
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_title(text: str) -> None:
    """Show `text` as this process's name in `ps`, `top` and the like; takes 2 us.

    `ps -o args` shows as much of it as the command line was long when the process began,
    `top` and `ps -o comm` its first 15 bytes (of the calling thread: call it in the main
    thread). Nothing happens where this is not supported.

    Overwriting the arguments is what the package setproctitle does, which also moves the
    environment for longer titles; that is not worth a compiled dependency.
    """
    if not text.isprintable():  # titles come from users, and end in terminals
        text = "".join(char if char.isprintable() else "?" for char in text)
    data = text.encode(errors="replace")
    _prctl(_PR_SET_NAME, data[:_NAME_MAX_BYTES])
    arguments = _arguments()
    size = len(arguments)
    if size > 1:
        # A last byte that is not NUL tells the kernel that this is a title and ends at the
        # first NUL; or else it would be followed by empty arguments.
        arguments[:] = data[: size - 2].ljust(size - 1, b"\0") + b"."


def kill_group(pgid: int, sig: int) -> bool:
    """Send a signal to every process of a group; say whether there was one to send it to.

    Raises:
        ValueError: it is our own group, or no single group (0, 1 and negative numbers
            mean others to the kernel).
    """
    if pgid <= 1 or pgid == os.getpgrp():
        raise ValueError(f"will not send signal {sig} to process group {pgid}")
    try:
        os.killpg(pgid, sig)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def end_process(pid: int, pgid: int, grace_s: float) -> bool:
    """End a process and its group: SIGTERM, `grace_s` later SIGKILL. Blocks for that long.

    What is left of the group when the process itself has ended is killed at once. A child
    of ours stays to be reaped.

    Returns:
        Whether the process is gone (or a zombie), `KILLED_WITHIN_S` after SIGKILL at last.
    """
    kill_group(pgid, signal.SIGTERM)
    wait_ended(pid, grace_s)
    kill_group(pgid, signal.SIGKILL)
    return wait_ended(pid, KILLED_WITHIN_S)


def wait_ended(pid: int, within_s: float) -> bool:
    """Wait until a process, ours or not, has ended; say whether it did in time."""
    end = time.monotonic() + within_s
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):  # macOS, kernels before 5.3, some sandboxes
        while is_alive(pid):
            if time.monotonic() >= end:
                return False
            select.select([], [], [], _POLL_S)
        return True
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(max(0.0, within_s) * 1000))
    finally:
        os.close(fd)


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process, zombies included; none if it is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    children: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as stream:
                children += map(int, stream.read().split())
        except FileNotFoundError:
            if thread == str(pid) and os.access(f"/proc/{pid}", os.F_OK):
                return _children_by_parent(pid)  # a kernel without that file
        except OSError:
            continue
    return children


def kill_orphans(known: Container[int], within_s: float = KILLED_WITHIN_S) -> list[int]:
    """Kill and reap the children of this process that are not `known`, and theirs in turn.

    For a subreaper: they are what tasks started and left behind. Their own children come
    to us when they die, so this goes on until there are none, or the time is up.

    Returns:
        The processes that were found.
    """
    end = time.monotonic() + within_s
    found: list[int] = []
    while True:
        orphans = [pid for pid in children_of(os.getpid()) if pid not in known]
        if not orphans or time.monotonic() >= end:
            return found
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in orphans:
            wait_ended(pid, end - time.monotonic())
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    found.append(pid)


def start_time(pid: int) -> int:
    """Return when a process began, in the kernel's ticks since boot: with the pid, its identity.

    Returns:
        0 if it is gone, or where the kernel does not say (macOS).
    """
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def is_alive(pid: int, started: int = 0) -> bool:
    """Say whether a process lives: zombies do not, nor does another that got the same pid.

    Args:
        pid: the process.
        started: its `start_time`; 0 if unknown, then only the pid counts.
    """
    if not sys.platform.startswith("linux"):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    fields = _stat(pid)
    if not fields or fields[0] in {b"Z", b"X"}:
        return False
    return started in {0, int(fields[19])}


def _children_by_parent(parent: int) -> list[int]:
    """Return the children of a process by asking every process for its parent."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if (fields := _stat(pid)) and int(fields[1]) == parent]


def _stat(pid: int) -> list[bytes]:
    """Return `/proc/<pid>/stat` from the state on (field 3 of proc(5)); empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stream:
            # The name before it is the user's and may hold spaces and brackets.
            return stream.read().rpartition(b") ")[2].split()
    except OSError:
        return []


def _prctl(option: int, argument: int | bytes) -> bool:
    """Call `prctl`; say whether it is there and took it."""
    if not sys.platform.startswith("linux"):
        return False
    global _prctl_function  # noqa: PLW0603 looked up once, the same each time
    if _prctl_function is None:
        _prctl_function = ctypes.CDLL(None, use_errno=True).prctl
    if isinstance(argument, int):
        return _prctl_function(option, ctypes.c_ulong(argument), 0, 0, 0) == 0
    return _prctl_function(option, argument, 0, 0, 0) == 0


_prctl_function: Callable[..., int] | None = None


def _arguments() -> memoryview:
    """Return the memory in which the kernel looks for the command line; empty if unsure."""
    global _arguments_memory  # noqa: PLW0603 looked up once; forked children have it at the same place
    if _arguments_memory is None:
        _arguments_memory = _find_arguments()
    return _arguments_memory


_arguments_memory: memoryview | None = None


def _find_arguments() -> memoryview:
    fields = _stat(os.getpid())
    if len(fields) > 46:
        start, end = int(fields[45]), int(fields[46])
        if 0 < start < end:
            with contextlib.suppress(OSError), open("/proc/self/cmdline", "rb") as stream:
                # Overwritten only where the kernel itself reads what is there.
                if stream.read() == ctypes.string_at(start, end - start):
                    memory = (ctypes.c_char * (end - start)).from_address(start)
                    return memoryview(memory).cast("B")
    return memoryview(bytearray())
