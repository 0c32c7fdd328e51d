"""GPUs: found where there are some, never in the way where there are none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from burrow_jupyter.engine.accelerators import (
    Gpu,
    GpuMonitor,
    GpuUsage,
    detect_gpus,
    gpu_environment,
    gpu_ids,
    short_name,
)

HAS_GPU = Path("/dev/nvidiactl").exists()

UUID = "GPU-3eb87630-93d5-b2b6-b8ff-9b359caf4ee2"
MIG = "MIG-a6f5b7b4-7b1c-5d3c-8f3c-1b2e3d4c5b6a"


# ---- which GPUs a burrow has ----


@pytest.mark.parametrize(
    ("preset", "ids"),
    [
        ("0,1", ["0", "1"]),
        ("3, 5", ["3", "5"]),
        (f"{UUID},{MIG}", [UUID, MIG]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("0,,1", ["0"]),
        ("1,1", ["1"]),
        ("NoDevFiles", []),
    ],
)
def test_the_preset_is_the_universe_that_ids_come_from(preset, ids, tmp_path):
    environ = {"CUDA_VISIBLE_DEVICES": preset}

    assert gpu_ids(None, environ, tmp_path) == ids
    assert gpu_ids(len(ids), environ, tmp_path) == ids
    assert gpu_ids(min(1, len(ids)), environ, tmp_path) == ids[:1]
    assert gpu_ids(0, environ, tmp_path) == []


@pytest.mark.parametrize(("preset", "asked"), [("0,1", 3), ("", 1), ("-1", 0.5), (UUID, 1.5)])
def test_more_gpus_than_the_preset_names_is_an_error_that_says_what_to_do(preset, asked):
    with pytest.raises(ValueError, match="ask for at most") as caught:
        gpu_ids(asked, {"CUDA_VISIBLE_DEVICES": preset})

    assert f"num_gpus={asked}" in str(caught.value)
    assert repr(preset) in str(caught.value)


def test_a_number_is_taken_at_its_word_without_hardware(tmp_path):
    assert gpu_ids(10, {}, tmp_path) == [str(index) for index in range(10)]
    assert gpu_ids(0.5, {}, tmp_path) == ["0"]
    assert gpu_ids(0, {}, tmp_path) == []


def test_without_gpu_and_without_a_number_there_are_none(tmp_path):
    assert gpu_ids(None, {}, tmp_path) == []


@pytest.mark.parametrize("asked", [-1, float("nan"), float("inf")])
def test_a_senseless_number_is_an_error(asked):
    with pytest.raises(ValueError, match="num_gpus must be"):
        gpu_ids(asked, {})


def test_a_worker_sees_exactly_its_gpus_and_without_any_what_the_user_has_set():
    assert gpu_environment(["2", "0"]) == {"CUDA_VISIBLE_DEVICES": "2,0"}
    assert gpu_environment([MIG]) == {"CUDA_VISIBLE_DEVICES": MIG}
    assert gpu_environment([]) == {}


# ---- what people read ----


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 3080 Ti", "RTX 3080 Ti"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla T4", "T4"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        ("NVIDIA", "NVIDIA"),
    ],
)
def test_gpus_are_called_what_people_call_them(name, short):
    assert short_name(name) == short


def test_usage_reads_as_one_short_line():
    h100 = Gpu(0, UUID, "NVIDIA H100 80GB HBM3", 81559 * 1024**2)

    assert str(GpuUsage(h100, 12, int(3.1 * 1024**3))) == "H100 · 12 % · 3.1/80 GB"
    assert str(GpuUsage(h100, None, 0)) == "H100 · 0.0/80 GB"
    assert str(GpuUsage(h100._replace(memory_bytes=0), 5, 1)) == "H100 · 5 %"


# ---- looking for them ----


def test_without_a_driver_nothing_is_imported_and_nothing_breaks(tmp_path):
    code = (
        "import sys; from burrow_jupyter.engine.accelerators import *;"
        "m = GpuMonitor(sys.argv[1]); assert (m.gpus, m.usage()) == ([], []); m.close(); m.close();"
        "assert 'no NVIDIA driver' in m.reason; sys.exit('pynvml' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 0


@pytest.mark.skipif(HAS_GPU, reason="there is a driver, and this is about none")
def test_a_device_file_without_a_driver_is_a_reason_and_no_error(tmp_path):
    pytest.importorskip("pynvml")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()

    with GpuMonitor(tmp_path) as monitor:
        assert monitor.gpus == monitor.usage() == []
        assert monitor.reason.startswith("NVML: ")
    assert gpu_ids(None, {}, tmp_path) == []


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU here")
def test_real_gpus_are_found_and_watched():
    with GpuMonitor() as monitor:
        usage = monitor.usage()

    assert monitor.gpus == detect_gpus()
    assert all(gpu.uuid.startswith("GPU-") for gpu in monitor.gpus)
    assert len(usage) == len(monitor.gpus)
    assert all(str(one).startswith(short_name(one.gpu.name)) for one in usage)
    assert gpu_ids(None, {}) == [str(gpu.index) for gpu in monitor.gpus]


# ---- a driver of our own, as a C library, so that every machine tests the way to a real one ----

DRIVER = r"""
#include <stdlib.h>
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } rates_t;
static int wants(const char *what) { const char *e = getenv("TEST_NVML"); return e && strstr(e, what); }
static long calls;
int nvmlInitWithFlags(unsigned flags) { return wants("init-fails") ? 18 : 0; }
int nvmlShutdown(void) { return wants("shutdown-fails") ? 999 : 0; }
const char *nvmlErrorString(int code) {
    return code == 15 ? "GPU is lost" : "Not Supported";
}
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return wants("count-fails") ? 999 : 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **handle) {
    *handle = (void *)(long)(i + 1);
    return wants("one-lost") && i == 0 ? 15 : 0;
}
int nvmlDeviceGetUUID(void *handle, char *text, unsigned n) {
    strcpy(text, handle == (void *)1 ? "GPU-aaaa-1" : "GPU-bbbb-2"); return 0;
}
int nvmlDeviceGetName(void *handle, char *text, unsigned n) { strcpy(text, "NVIDIA H100 80GB HBM3"); return 0; }
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *m) {
    m->total = 81559ULL << 20; m->used = (unsigned long long)handle << 30; m->free = m->total - m->used;
    if (wants("lost-later") && ++calls > 2 && handle == (void *)1) return 15;
    return wants("no-memory") ? 3 : 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, rates_t *r) {
    r->gpu = 10 * (unsigned)(long)handle; r->memory = 1;
    if (wants("lost-later") && handle == (void *)1) return 15;
    return wants("no-rates") ? 3 : 0;
}
"""

LOOK = """
import json, sys
from burrow_jupyter.engine.accelerators import *
with GpuMonitor(sys.argv[1]) as monitor:
    rows = [str(usage) for usage in monitor.usage()]
    one = [usage.gpu.index for usage in monitor.usage(["GPU-bbbb"])]
    two = [usage.gpu.index for usage in monitor.usage(["0", "MIG-x"])]
after = monitor.usage()
json.dump([monitor.gpus, rows, one, two, after, monitor.reason, gpu_ids(None, {}, sys.argv[1])], sys.stdout)
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    pytest.importorskip("pynvml")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make a driver with")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(DRIVER)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, folder / "nvml.c"], check=True, timeout=60
    )
    (folder / "dev").mkdir()
    (folder / "dev/nvidiactl").touch()
    return folder


def look(driver, behaviour=""):
    run = subprocess.run(
        [sys.executable, "-c", LOOK, driver],
        env={**os.environ, "LD_LIBRARY_PATH": str(driver), "TEST_NVML": behaviour},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_gpus_are_found_and_watched(driver):
    gpus, rows, one, two, after, reason, ids = look(driver)

    total = 81559 * 1024**2
    assert gpus == [
        [0, "GPU-aaaa-1", "NVIDIA H100 80GB HBM3", total],
        [1, "GPU-bbbb-2", "NVIDIA H100 80GB HBM3", total],
    ]
    assert rows == ["H100 · 10 % · 1.0/80 GB", "H100 · 20 % · 2.0/80 GB"]
    assert (one, two) == ([1], [0])
    assert after == []
    assert reason == ""
    assert ids == ["0", "1"]


@pytest.mark.parametrize(
    ("behaviour", "found", "rows", "reason"),
    [
        ("init-fails", [], [], "version mismatch"),
        ("count-fails", [], [], "NVML: "),
        ("one-lost", [1], ["H100 · 20 % · 2.0/80 GB"], "GPU is lost"),
        ("lost-later", [0, 1], ["H100 · 20 % · 2.0/80 GB"], "GPU is lost"),
        ("no-memory", [0, 1], ["H100 · 10 %", "H100 · 20 %"], "Not Supported"),
        ("no-rates", [0, 1], ["H100 · 1.0/80 GB", "H100 · 2.0/80 GB"], "Not Supported"),
        ("no-rates no-memory", [0, 1], [], "Not Supported"),
        ("shutdown-fails", [0, 1], ["H100 · 10 % · 1.0/80 GB", "H100 · 20 % · 2.0/80 GB"], ""),
    ],
)
def test_what_fails_in_the_driver_is_a_reason_and_no_error(driver, behaviour, found, rows, reason):
    gpus, seen, _, _, _, why, _ = look(driver, behaviour)

    assert [gpu[0] for gpu in gpus] == found
    assert seen == rows
    assert reason in why
