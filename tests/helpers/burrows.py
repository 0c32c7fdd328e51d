"""The burrow of a test's own driver, on a machine where others run burrows, too."""

from __future__ import annotations

import os

from burrow_jupyter.engine import session
from helpers.wait import wait_until


def burrow_of(driver_pid: int | None = None) -> session.BurrowFile:
    """The connection file of the burrow of this process, or of a kernel: waits until it is there."""
    driver_pid = driver_pid or os.getpid()

    def find() -> list[session.BurrowFile]:
        return [file for file in session.list_burrows() if file.driver_pid == driver_pid]

    (file,) = wait_until(find, 20, f"the connection file of the burrow of process {driver_pid}")
    return file
