"""Processes of the engine end when they should, with everything that hangs on them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from burrow_jupyter.engine import processes
from helpers.wait import wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")


@pytest.fixture
def fork():
    """Runs a function in a forked child; returns its pid. What is left is killed at the end."""
    pids = []

    def start(function, *arguments):
        pid = os.fork()
        if pid == 0:
            code = 70
            with suppress(BaseException):
                code = function(*arguments) or 0
            os._exit(code)
        pids.append(pid)
        return pid

    yield start
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def exit_code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def block():
    while True:
        signal.pause()


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


# ---- sessions and parents ----


def test_a_new_session_is_a_group_of_its_own_and_may_be_asked_for_twice(fork):
    def child():
        processes.new_session()
        processes.new_session()
        return 0 if os.getsid(0) == os.getpgrp() == os.getpid() else 1

    assert exit_code(fork(child)) == 0


@linux
def test_a_process_dies_with_its_parent(fork):
    down, up = os.pipe()

    def grandchild(parent):
        processes.die_with_parent(parent)
        os.write(up, f"{os.getpid()}\n".encode())
        block()

    def child():
        parent = os.getpid()
        if os.fork() == 0:
            grandchild(parent)
        block()

    pid = fork(child)
    grandchild_pid = int(os.read(down, 20))
    os.kill(pid, signal.SIGKILL)

    assert processes.wait_ended(grandchild_pid, 5)
    os.close(down)
    os.close(up)


@linux
def test_a_process_whose_parent_died_before_it_could_ask_ends_at_once(fork):
    def child():
        processes.die_with_parent(parent_pid=os.getppid() + 1, sig=signal.SIGTERM)
        return 5

    assert exit_code(fork(child)) == -signal.SIGTERM


@linux
def test_orphans_that_daemonised_are_found_and_killed_and_known_children_stay(fork):
    def daemonise(levels, up):
        if os.fork() == 0:
            os.setsid()
            if levels > 1:
                daemonise(levels - 1, up)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(up, f"{os.getpid()}\n".encode())
            block()

    def subreaper():
        assert processes.become_subreaper()
        down, up = os.pipe()
        known = os.fork()
        if known == 0:
            block()
        worker = os.fork()
        if worker == 0:
            daemonise(3, up)
            os._exit(0)
        os.waitpid(worker, 0)
        text = b""
        while text.count(b"\n") < 3:
            text += os.read(down, 100)
        daemons = set(map(int, text.split()))

        killed = processes.kill_orphans({known})

        good = set(killed) == daemons and not any(map(processes.is_alive, daemons))
        good = good and processes.children_of(os.getpid()) == [known]
        good = good and processes.kill_orphans({known}) == []
        good = good and processes.is_alive(known)
        os.kill(known, signal.SIGKILL)
        os.waitpid(known, 0)
        return 0 if good else 1

    assert exit_code(fork(subreaper)) == 0


# ---- ending ----


def start_group(fork, *, ignores_term, child_ignores_term=False):
    """A process with a group of its own and a child in it; returns both pids."""
    down, up = os.pipe()

    def leader():
        processes.new_session()
        if os.fork() == 0:
            if child_ignores_term:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(up, f"{os.getpid()}\n".encode())
            block()
        if ignores_term:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(up, f"{os.getpid()}\n".encode())
        block()

    pid = fork(leader)
    text = b""
    while text.count(b"\n") < 2:
        text += os.read(down, 100)
    os.close(down)
    os.close(up)
    return pid, next(int(line) for line in text.split() if int(line) != pid)


def test_a_process_that_heeds_sigterm_ends_without_waiting_for_the_grace(fork):
    pid, child = start_group(fork, ignores_term=False)

    before = time.monotonic()
    assert processes.end_process(pid, pid, grace_s=30)

    assert time.monotonic() - before < 10
    assert exit_code(pid) == -signal.SIGTERM
    assert processes.wait_ended(child, 5)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(fork):
    pid, child = start_group(fork, ignores_term=True)

    assert processes.end_process(pid, pid, grace_s=0.05)

    assert exit_code(pid) == -signal.SIGKILL
    assert processes.wait_ended(child, 5)


def test_what_is_left_of_a_group_dies_with_its_leader(fork):
    pid, child = start_group(fork, ignores_term=False, child_ignores_term=True)

    assert processes.end_process(pid, pid, grace_s=30)

    assert processes.wait_ended(child, 5)


def test_a_stopped_process_is_ended(fork):
    pid, _ = start_group(fork, ignores_term=False)
    os.kill(pid, signal.SIGSTOP)

    assert processes.end_process(pid, pid, grace_s=0.05)


def test_ending_what_is_gone_is_no_error(fork):
    def leader():
        processes.new_session()
        block()

    pid = fork(leader)
    wait_until(lambda: os.getpgid(pid) == pid, 5, "the process to lead a group")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    assert processes.end_process(pid, pid, grace_s=5)
    assert processes.kill_group(pid, signal.SIGKILL) is False


@pytest.mark.parametrize("pgid", [0, 1, -1, os.getpgrp()])
def test_no_signal_goes_to_ourselves_or_to_everybody(pgid):
    with pytest.raises(ValueError, match="will not send signal"):
        processes.kill_group(pgid, 0)


def test_waiting_for_a_process_has_a_bound(fork):
    pid = fork(block)

    before = time.monotonic()
    assert not processes.wait_ended(pid, 0.05)

    assert time.monotonic() - before < 5


def test_a_process_is_waited_for_also_where_the_kernel_has_no_pidfd(fork, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    pid = fork(block)

    assert not processes.wait_ended(pid, 0.02)
    os.kill(pid, signal.SIGKILL)
    assert processes.wait_ended(pid, 5)


# ---- who is who ----


@linux
def test_children_are_found_whichever_thread_started_them(fork):
    code = (
        "import os, subprocess, sys, threading\n"
        "def go():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "    os.write(1, b'%d\\n' % child.pid)\n"
        "t = threading.Thread(target=lambda: (go(), sys.stdin.read())); t.start(); go(); t.join()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pids = {int(parent.stdout.readline()), int(parent.stdout.readline())}

        assert set(processes.children_of(parent.pid)) == pids
        assert set(processes._children_by_parent(parent.pid)) == pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        parent.kill()
    wait_until(lambda: not any(map(processes.is_alive, pids)), 5, "the children to end")


def test_a_process_that_is_gone_has_no_children_and_no_start(fork):
    pid = fork(lambda: 0)
    os.waitpid(pid, 0)

    assert processes.children_of(pid) == []
    assert processes.start_time(pid) == 0
    assert not processes.is_alive(pid)


@linux
def test_a_zombie_is_not_alive(fork):
    pid = fork(lambda: 0)

    assert processes.wait_ended(pid, 5)
    assert not processes.is_alive(pid)
    assert os.waitpid(pid, 0)[0] == pid  # nobody but the parent reaped it


@linux
def test_another_process_with_the_same_pid_is_told_apart_by_its_start(fork):
    pid = fork(block)
    started = processes.start_time(pid)

    assert started > 0
    assert processes.is_alive(pid, started)
    assert processes.is_alive(pid)
    assert not processes.is_alive(pid, started - 1)


@linux
def test_a_name_with_brackets_confuses_nobody(fork):
    down, up = os.pipe()

    def child():
        processes.set_title("a) Z 1 (b")
        os.write(up, b"x")
        block()

    pid = fork(child)
    assert os.read(down, 1) == b"x"

    assert processes.is_alive(pid, processes.start_time(pid))
    assert pid in processes.children_of(os.getpid())
    os.close(down)
    os.close(up)


# ---- titles ----


def titled(fork, *titles):
    """A child that took these titles one after the other; pytest's own command line is long."""
    down, up = os.pipe()

    def child():
        for title in titles:
            processes.set_title(title)
        os.write(up, b"x")
        block()

    pid = fork(child)
    assert select.select([down], [], [], 10)[0]
    os.close(down)
    os.close(up)
    return pid


@linux
def test_the_title_is_what_ps_shows(fork):
    pid = titled(fork, "burrow::first_one", "burrow::f")

    assert command_line(pid).rstrip(b"\0") == b"burrow::f"
    assert Path(f"/proc/{pid}/comm").read_text() == "burrow::f\n"


@linux
def test_a_title_longer_than_the_command_line_is_cut_and_the_environment_stays(fork):
    room = len(command_line(os.getpid()))

    pid = titled(fork, "burrow::" + "x" * 10_000)

    assert 0 < len(command_line(pid)) <= room
    assert command_line(pid).startswith(b"burrow::xxx"[: room - 2])
    here, there = Path("/proc/self/environ"), Path(f"/proc/{pid}/environ")
    assert there.read_bytes() == here.read_bytes()


@linux
def test_a_title_holds_no_control_characters(fork):
    pid = titled(fork, "evil\x1b[31m\nname\0 ünï")

    assert command_line(pid).rstrip(b"\0").decode().startswith("evil?[31m?name? ü")


@linux
def test_a_child_that_has_a_title_forks_children_with_their_own(fork):
    down, up = os.pipe()

    def child():
        processes.set_title("parent")
        pid = os.fork()
        processes.set_title("burrow::a" if pid == 0 else "burrow::b")
        if pid == 0:
            os.write(up, command_line(os.getpid()).rstrip(b"\0"))
            os._exit(0)
        os.waitpid(pid, 0)
        return 0 if command_line(os.getpid()).rstrip(b"\0") == b"burrow::b" else 1

    assert exit_code(fork(child)) == 0
    assert os.read(down, 100) == b"burrow::a"
    os.close(down)
    os.close(up)
