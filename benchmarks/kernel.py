"""Burrow's workloads from inside a real kernel, beside the plain script.

The cells do what a notebook does: load the extension, then run. Places: a script; a kernel as it
is; a kernel after `%burrow quiet`, without the lines under slow cells; a kernel whose burrow is
watched by an observer, as the side panel's server does it.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import processes
from benchmarks.report import figure, ratio
from benchmarks.running import in_script
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.running import Results

PLACES = ("script", "kernel", "quiet", "panel")

NOT_THERE = ("start", "idle")
"""Workloads that measure processes of their own, of which a kernel is one."""

START_TIMEOUT_S = 60.0

_SETUP = """
%load_ext burrow
import sys
sys.path.insert(0, {root!r})
import benchmarks.workloads as _workloads
import benchmarks.systems as _systems
_system = _systems.load("burrow")
_system.start()
"""

_MEASURE = "_measured = _workloads.run(_workloads.WORKLOADS[{workload!r}], _system)"

_TELL = """
import json
with open({result!r}, "w") as _file:
    json.dump(dict(values=_measured), _file)
"""


def _execute(client: Any, code: str, bound_s: float) -> None:
    reply = client.execute_interactive(
        code, timeout=bound_s, store_history=True, output_hook=lambda message: None
    )
    if reply["content"]["status"] != "ok":
        msg = f"failed: {reply['content'].get('evalue', '?')[:60]}"
        raise processes.Failed(msg)


def _observe(kernel_pid: int, scratch: Path) -> subprocess.Popen[str]:
    observer = subprocess.Popen(  # this interpreter and our own module
        [sys.executable, "-m", "benchmarks.panel", str(kernel_pid)],
        env=processes.environment(scratch),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert observer.stdout is not None
    if not observer.stdout.readline():
        observer.wait()
        msg = "failed: the observer did not connect"
        raise processes.Failed(msg)
    return observer


def launch(place: str, workload: str) -> dict[str, Any]:
    """Measure in one of the places."""
    if place == "script":
        return in_script("burrow", workload)
    return measure(place, workload)


def table(results: Results, workloads: Sequence[str]) -> str:
    """Write the medians of all places; in brackets the cost over the script.

    The cost compares the best rounds: other load only ever slows down, and here a few percent
    are what is looked for.
    """
    lines = ["| workload | unit | " + " | ".join(PLACES) + " |", "|---|---|" + "--:|" * len(PLACES)]
    for name in workloads:
        for metric in WORKLOADS[name].metrics:
            plain = results.value("script", name, metric, of_best=True)
            cells = [metric.title, metric.unit]
            for place in PLACES:
                value = results.value(place, name, metric)
                if value is None:
                    cells.append(results.failures[place].get(name, "-"))
                elif place == "script" or not plain or not value:
                    cells.append(figure(value))
                else:
                    best = results.value(place, name, metric, of_best=True)
                    cost = 100 * (ratio(metric, plain, best or value) - 1)
                    cells.append(f"{figure(value)} ({cost:+.0f} %)")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure(place: str, workload: str) -> dict[str, Any]:
    """Run one workload in a cell of a fresh kernel."""
    from jupyter_client.manager import KernelManager  # noqa: PLC0415  # not in every run

    scratch = Path(tempfile.mkdtemp(prefix="bk-", dir="/tmp"))  # short: sockets
    result = scratch / "result.json"
    manager = KernelManager(transport="ipc", connection_file=str(scratch / "k.json"))
    manager.kernel_spec_manager.ensure_native_kernel = True
    manager.start_kernel(
        cwd=str(processes.ROOT),
        env=processes.environment(scratch),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = manager.client()
    client.start_channels(hb=False)
    observer = None
    try:
        client.wait_for_ready(timeout=START_TIMEOUT_S)
        kernel_pid: int = getattr(manager.provisioner, "pid")  # noqa: B009  # of the local one
        _execute(client, _SETUP.format(root=str(processes.ROOT)), START_TIMEOUT_S)
        if place == "quiet":
            _execute(client, "%burrow quiet", START_TIMEOUT_S)
        if place == "panel":
            observer = _observe(kernel_pid, scratch)
        _execute(client, _MEASURE.format(workload=workload), WORKLOADS[workload].bound_s)
        _execute(client, _TELL.format(result=str(result)), START_TIMEOUT_S)
        measured: dict[str, Any] = json.loads(result.read_text())
    except (TimeoutError, queue.Empty):
        msg = "out of time"
        raise processes.Failed(msg) from None
    finally:
        if observer is not None:
            observer.kill()
            observer.communicate()
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        processes.end_descendants(processes.LEAVING_S)
        shutil.rmtree(scratch, ignore_errors=True)
    return measured
