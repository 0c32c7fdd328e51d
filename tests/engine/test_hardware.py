"""What this process may use of the machine: the least of all limits, and which one it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from burrow_jupyter.engine.hardware import (
    MemoryGauge,
    detect_cpus,
    detect_memory,
    memory_used_bytes,
    store_capacity,
)

GB = 1024**3
MEMINFO = "MemTotal:       8388608 kB\nMemFree:  100 kB\nMemAvailable:   6291456 kB\n"


@pytest.fixture
def machine(tmp_path):
    """Makes a file tree like the kernel's from paths and texts."""

    def make(files):
        for path, text in {"proc/meminfo": MEMINFO, **files}.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path

    return make


def cpus(root, affinity=64, **environ):
    return detect_cpus(root, environ, affinity)


def test_without_limits_all_cpus_are_ours(machine):
    found = detect_cpus(machine({}), {}, os.cpu_count())

    assert found.count == os.cpu_count()
    assert "all of this machine's" in found.reason


def test_the_affinity_mask_is_respected():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from burrow_jupyter.engine.hardware import detect_cpus; print(*detect_cpus(environ={}))"
    )
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU only: no mask could be told from it")

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "1.0 1 CPU: affinity mask\n"


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        ({"sys/fs/cgroup/cpu.max": "nonsense\n"}, 64),
        ({"sys/fs/cgroup/a/cpu.max": "300000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 1"}, 3),
        (
            {
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "500000 100000\n",
            },
            3,
        ),
        ({"sys/fs/cgroup/unified/a/b/cpu.max": "400000 100000\n"}, 4),
    ],
)
def test_the_quota_of_version_2_counts_with_all_groups_around(machine, files, count):
    root = machine({"proc/self/cgroup": "0::/a/b\n", **files})

    assert cpus(root).count == count


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("path", ["docker/abc", "", "docker"])
def test_the_quota_of_version_1_counts_also_where_the_hosts_path_is_unseen(machine, folder, path):
    here = f"sys/fs/cgroup/{folder}/{path}".rstrip("/")
    root = machine(
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
            f"{here}/cpu.cfs_quota_us": "250000\n",
            f"{here}/cpu.cfs_period_us": "100000\n",
        }
    )

    found = cpus(root)

    assert found.count == 3
    assert "quota of 2.5" in found.reason


def test_no_quota_in_version_1_is_no_limit(machine):
    root = machine(
        {
            "proc/self/cgroup": "1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        }
    )

    assert cpus(root).count == 64


def test_a_path_out_of_the_mount_is_not_followed(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/../../../outside\n",
            "outside/cpu.max": "100000 100000",
            "sys/fs/cgroup/cpu.max": "300000 100000",
        }
    )

    assert cpus(root).count == 3


def test_the_environment_lowers_the_number_and_never_raises_it(machine):
    root = machine({})

    assert cpus(root, BURROW_NUM_CPUS="3") == (3.0, "3 CPUs: BURROW_NUM_CPUS=3")
    assert cpus(root, BURROW_NUM_CPUS="0.5").count == 1
    assert cpus(root, affinity=2, BURROW_NUM_CPUS="8").count == 2
    assert cpus(root, BURROW_NUM_CPUS=" ").count == 64


@pytest.mark.parametrize("text", ["0", "-1", "two", "nan", "inf"])
def test_a_senseless_number_in_the_environment_is_an_error_that_names_it(machine, text):
    with pytest.raises(ValueError, match=f"BURROW_NUM_CPUS must be .* not '{text}'"):
        cpus(machine({}), BURROW_NUM_CPUS=text)


def test_memory_is_the_machines_without_a_limit(machine):
    root = machine({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"})

    assert detect_memory(root) == (8 * GB, "all of this machine's")
    assert memory_used_bytes(root) == 2 * GB
    assert MemoryGauge(root).place == "this machine"


def test_memory_is_what_the_container_has(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": f"{4 * GB}\n",
            "sys/fs/cgroup/a/memory.current": f"{3 * GB}\n",
            "sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {GB}\nshmem {GB}\n"
            f"active_file {GB // 2}\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
        }
    )

    found = detect_memory(root)

    assert found.total_bytes == 4 * GB
    assert "control group" in found.reason
    assert memory_used_bytes(root) == 1.5 * GB
    assert MemoryGauge(root).place == "this container"


def test_memory_of_version_1(machine):
    folder = "sys/fs/cgroup/memory/docker/abc"
    root = machine(
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n",
            f"{folder}/memory.limit_in_bytes": f"{GB}\n",
            f"{folder}/memory.usage_in_bytes": f"{GB // 2}\n",
            f"{folder}/memory.stat": f"inactive_file 7\ntotal_inactive_file {GB // 8}\n"
            f"total_active_file {GB // 8}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        }
    )

    assert detect_memory(root).total_bytes == GB
    assert memory_used_bytes(root) == GB // 4


def test_a_soft_limit_counts_because_going_past_it_stalls(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": f"{4 * GB}\n",
            "sys/fs/cgroup/a/memory.high": f"{3 * GB}\n",
        }
    )

    assert detect_memory(root).total_bytes == 3 * GB


def test_a_limit_above_the_machine_is_none(machine):
    root = machine({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{99 * GB}\n"})

    assert detect_memory(root).total_bytes == 8 * GB


def test_a_machine_without_proc_still_has_cpus_and_memory(tmp_path):
    assert detect_cpus(tmp_path, {}).count >= 1
    assert detect_memory(tmp_path).total_bytes > 0
    assert memory_used_bytes(tmp_path) == 0


def test_the_real_machine_has_sensible_figures():
    memory = detect_memory()

    assert 1 <= detect_cpus(environ={}).count <= (os.cpu_count() or 1)
    assert memory.total_bytes > 100 * 1024**2
    assert 0 < memory_used_bytes() < memory.total_bytes


def test_the_store_takes_less_than_a_third_of_memory_and_no_more_than_shared_memory_has():
    assert store_capacity(10 * GB, 100 * GB) == 3 * GB
    assert store_capacity(10 * GB, 64 * 1024**2) == 64 * 1024**2
    assert store_capacity(10 * GB, 0) == 0


def test_looking_costs_no_import():
    code = (
        "import sys, typing; before = set(sys.modules);"
        "import burrow_jupyter.engine.hardware as h; h.detect_cpus(); h.detect_memory();"
        "print(*(set(sys.modules) - before))"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = {name for name in run.stdout.split() if not name.startswith("burrow_jupyter")}
    assert loaded <= {"math", "__future__"}
    assert Path("/proc").exists() or loaded
