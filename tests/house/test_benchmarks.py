"""The benchmarks run, say what went wrong, and the guard finds what has become slower."""

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import psutil
import pytest

from helpers.checkout import ROOT


def run(*arguments, path=""):
    places = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_a_run_keeps_every_sample_and_prints_a_table(tmp_path):
    kept = tmp_path / "out.json"
    only = ["--systems", "burrow", "--only", "task_single,put_small", "--rounds", "1"]
    done = run("-m", "benchmarks", *only, "--json", str(kept))
    assert done.returncode == 0, done.stderr
    found = json.loads(kept.read_text())
    assert found["machine"]["python"]
    assert found["versions"].keys() == {"burrow"}
    assert found["failures"] == {"burrow": {}} or not found["failures"]
    samples = found["samples"]["burrow"]
    assert {name: sorted(metrics) for name, metrics in samples.items()} == {
        "task_single": ["p50", "p99", "rate"],
        "put_small": ["get", "put"],
    }
    assert all(len(taken) == 1 and taken[0] > 0 for taken in samples["put_small"].values())
    assert found["limits"]["round_trip_per_s"][0] > 0
    assert "| task, one at a time | /s |" in done.stdout
    assert "| put small | /s |" in done.stdout


@pytest.mark.slow
def test_a_kernel_runs_them_too_also_watched_and_without_its_lines():
    done = run("-m", "benchmarks", "--in", "kernel", "--only", "put_small", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| put small |"))
    assert len(re.findall(r"[\d,]{3,} \([+-]\d+ %\)", row)) == 3, row  # kernel, quiet, panel


def test_an_unknown_workload_is_answered_with_the_known_ones():
    done = run("-m", "benchmarks", "--only", "task_singel")
    assert done.returncode == 2
    assert "no such workload: task_singel" in done.stderr
    assert "task_single, task_batch" in done.stderr


def test_an_unknown_system_is_answered_with_the_known_ones():
    done = run("-m", "benchmarks", "--systems", "spark")
    assert done.returncode == 2
    assert "no such system: spark. There are: burrow, ray, dask" in done.stderr


SCRIPT = """
import sys
from benchmarks import processes
processes.adopt_orphans()
try:
    processes.run("measured", sys.argv[1], bound_s=float(sys.argv[2]))
except processes.Failed as failure:
    print(failure)
"""

MEASURED = """
import pathlib, subprocess, sys
left = subprocess.Popen(["sleep", "100"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(left.pid))
if "{}" == "hangs":
    left.wait()
raise RuntimeError("no luck")
"""


@pytest.mark.parametrize(
    ("what", "bound_s", "cell"),
    [("hangs", "3", "> 3 s"), ("fails", "60", "failed: RuntimeError: no luck")],
)
def test_a_measured_process_that_fails_is_a_cell_and_leaves_nothing(tmp_path, what, bound_s, cell):
    (tmp_path / "measured.py").write_text(MEASURED.format(what))
    pid_file = tmp_path / "pid"
    done = run("-c", SCRIPT, str(pid_file), bound_s, path=str(tmp_path))
    assert done.stdout == f"{cell}\n", done.stderr
    assert not psutil.pid_exists(int(pid_file.read_text()))


def guarded(tmp_path, factors):
    reference = json.loads((ROOT / "benchmarks" / "guard.json").read_text())
    doctored = tmp_path / "doctored.json"
    for name, ratios in reference.items():
        for yardstick in ratios:
            ratios[yardstick] *= factors.get(name, {}).get(yardstick, 0.001)
    doctored.write_text(json.dumps(reference))
    return run("-m", "benchmarks.guard", "--rounds", "2", "--reference", str(doctored))


def test_the_guard_lets_pass_what_is_not_slower_by_one_of_its_yardsticks(tmp_path):
    done = guarded(tmp_path, {"chain": {"echo": 1000.0}, "put_small": {"compute": 1000.0}})
    assert done.returncode == 0, done.stderr
    assert "chain" in done.stdout


def test_the_guard_names_what_has_become_slower(tmp_path):
    done = guarded(tmp_path, {"chain": {"echo": 1000.0, "compute": 1000.0}})
    assert done.returncode == 1
    assert done.stderr.startswith("slower: chain has fallen to 0.00")
    assert done.stderr.count("slower") == 1


@pytest.mark.slow
def test_growth_is_measured_and_drawn(tmp_path):
    drawn = tmp_path / "growth.svg"
    done = run("-m", "benchmarks.growth", "--only", "deep", "--rounds", "1", "--svg", str(drawn))
    assert done.returncode == 0, done.stderr
    assert "| deep | 10,000 |" in done.stdout
    dots = ET.parse(drawn).findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(dots) == 3
