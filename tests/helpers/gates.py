"""What tasks under test do: wait for a file, make one, sleep. Runs in workers."""

from __future__ import annotations

import time
from pathlib import Path

from helpers.wait import wait_until

LONGEST_S = 60.0


def pass_gate(path: str) -> None:
    """Waits until the file exists."""
    wait_until(Path(path).exists, LONGEST_S, f"{path} to be made")


def leave_trace(path: str) -> None:
    """Makes the file."""
    Path(path).touch()


def sleep_long() -> None:
    """Sleeps in one system call, until it is interrupted."""
    time.sleep(LONGEST_S)  # noqa: TID251 the very thing that is to be interrupted


def count_runs(folder: str) -> int:
    """Notes one more run in the folder and says how many there were before."""
    before = len(list(Path(folder).iterdir()))
    (Path(folder) / str(before)).touch()
    return before
