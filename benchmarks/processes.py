"""Fresh processes with a bound, of which nothing is left over: neither processes nor files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

ROOT = Path(__file__).resolve().parent.parent

LEAVING_S = 1.0
"""How long what a process leaves behind may take to end by itself."""

_SET_CHILD_SUBREAPER = 36

_EXCEPTION = re.compile(r"[\w.]*(Error|Exception)\b")
"""Begins the line that tells most: what ends later still warns after it."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies.

    Peers start daemons in sessions of their own; this way none is out of reach.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(grace_s: float) -> None:
    """Wait for all descendants to end, and kill those that don't."""
    left = psutil.Process().children(recursive=True)
    _, left = psutil.wait_procs(left, timeout=grace_s)
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1.0)


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment of a measured process: Burrow importable, files of peers in `scratch`."""
    places = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    inherited = dict(os.environ)
    # The peers are installed and have their bytecode; a checkout is to have its own, too.
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(place for place in places if place),
        "RAY_TMPDIR": str(scratch),
        "IPYTHONDIR": str(scratch / "ipython"),
        "DASK_TEMPORARY_DIRECTORY": str(scratch),
    }


class Failed(Exception):
    """A process gave no result; the message is short enough for a cell of the table."""


def run(module: str, *arguments: str, bound_s: float) -> str:
    """Run `python -m module ARGUMENTS... RESULT`; return what it has written to RESULT.

    Raises:
        Failed: it ended with an error or did not end in time.
    """
    scratch = Path(tempfile.mkdtemp(prefix="bb-", dir="/tmp"))  # short: sockets
    result = scratch / "result.json"
    errors = scratch / "errors.txt"
    try:
        with errors.open("w") as output:
            process = subprocess.Popen(  # this interpreter and our own module
                [sys.executable, "-m", module, *arguments, str(result)],
                cwd=ROOT,
                env=environment(scratch),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                status = process.wait(bound_s)
            except subprocess.TimeoutExpired:
                raise Failed(f"> {bound_s:.0f} s") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)
                        process.wait()
        if status:
            told = errors.read_text(errors="replace").strip().splitlines()
            named = [line for line in told if _EXCEPTION.match(line)] or told
            raise Failed(f"failed: {named[-1][:60] if named else f'status {status}'}")
        return result.read_text(encoding="utf-8")
    finally:
        end_descendants(LEAVING_S if not sys.exc_info()[0] else 0.5)
        shutil.rmtree(scratch, ignore_errors=True)


def born() -> str:
    """Return the clock, for a process to tell how long it has lived."""
    return repr(time.monotonic())
