"""CPU and memory of processes as they are, for as many processes as there are."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from burrow_jupyter.engine import sampling
from burrow_jupyter.engine.sampling import Sampler
from helpers.wait import wait_until

MB = 1024 * 1024


@pytest.fixture
def fork():
    """Forks a child that prepares itself, says so, and then does something for ever."""
    pids = []

    def start(prepare, forever=signal.pause):
        down, up = os.pipe()
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                kept = prepare()
                os.write(up, b"x")
                while kept is not up:
                    forever()
            os._exit(1)
        pids.append(pid)
        os.close(up)
        assert os.read(down, 1) == b"x"
        os.close(down)
        return pid

    yield start
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.fixture(params=["proc", "psutil"])
def sampler(request):
    """A sampler as on Linux, and one as where there is no /proc."""
    made = Sampler()
    if request.param == "psutil":
        pytest.importorskip("psutil")
        made._read = sampling._read_psutil
        made._machine_times = sampling._times_psutil
    return made


def spin():
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        pass


def test_a_busy_process_is_told_from_an_idle_one(fork, sampler):
    busy, idle = fork(lambda: None, spin), fork(lambda: None)

    assert all(one.cpu_percent == 0 for one in sampler.sample([busy, idle]).values())

    def both():
        now = sampler.sample([busy, idle])
        return now[busy].cpu_percent > 10 and now

    seen = wait_until(both, 10, "the busy process to be seen busy")
    assert seen[busy].cpu_percent < 150
    assert seen[idle].cpu_percent < 10


def test_samples_close_together_do_not_jump(fork, sampler):
    busy = fork(lambda: None, spin)
    sampler.sample([busy])
    steady = wait_until(
        lambda: (percent := sampler.sample([busy])[busy].cpu_percent) > 10 and percent,
        10,
        "a figure",
    )

    again = [sampler.sample([busy])[busy].cpu_percent for _ in range(3)]

    assert again[0] == pytest.approx(steady, abs=100)
    assert max(again) < 150


def test_memory_of_its_own_is_counted(fork, sampler):
    small = fork(lambda: None)
    large = fork(lambda: b"x" * (64 * MB))

    now = sampler.sample([small, large])

    assert now[large].private_bytes - now[small].private_bytes > 50 * MB
    assert now[large].rss_bytes - now[small].rss_bytes > 50 * MB


def test_mapped_objects_of_the_store_are_not_memory_of_its_own(fork, sampler):
    def look_into_shared_memory():
        shared = mmap.mmap(-1, 64 * MB)  # shared and anonymous: tmpfs inside
        shared.write(b"x" * (64 * MB))
        return shared

    looks, looks_not = fork(look_into_shared_memory), fork(lambda: None)

    now = sampler.sample([looks, looks_not])

    assert now[looks].rss_bytes - now[looks_not].rss_bytes > 50 * MB
    assert now[looks].private_bytes - now[looks_not].private_bytes < 20 * MB


def test_processes_that_are_gone_are_left_out(fork):
    sampler = Sampler()
    gone, zombie, lives = fork(lambda: None), fork(lambda: None), fork(lambda: None)
    sampler.sample([gone, zombie, lives])
    os.kill(gone, signal.SIGKILL)
    os.waitpid(gone, 0)
    os.kill(zombie, signal.SIGKILL)
    wait_until(lambda: zombie not in sampler.sample([zombie]), 5, "the zombie to be left out")

    assert set(sampler.sample([gone, zombie, lives, 2**30])) == {lives}
    assert set(sampler._last) == {lives}


def test_the_machine_has_sensible_figures(sampler, fork):
    sampler.machine()
    busy = fork(lambda: None, spin)
    assert busy

    now = wait_until(
        lambda: (sample := sampler.machine()).cpu_percent > 5 and sample, 10, "a busy machine"
    )

    assert now.cpu_percent <= 100
    assert 0 < now.memory_used_bytes < now.memory_total_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="psutil is what others have")
def test_psutil_is_not_imported():
    code = (
        "import os, sys; from burrow_jupyter.engine.sampling import Sampler;"
        "s = Sampler(); s.sample([os.getpid()]); s.machine(); sys.exit('psutil' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
