"""Watches the burrow of a driver as the side panel's server does, until it ends.

    python -m benchmarks.panel DRIVER_PID

The server sends each step on as JSON, so it is encoded here, too.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from burrow_jupyter.engine.observer import Observer
from burrow_jupyter.engine.session import list_burrows

if TYPE_CHECKING:
    from burrow_jupyter.core import feed


def _encode(step: feed.Snapshot | feed.Delta) -> None:
    msgspec.json.encode(step)


def main() -> None:
    """Observe."""
    driver_pid = int(sys.argv[1])
    (file,) = (found for found in list_burrows() if found.driver_pid == driver_pid)
    observer = Observer.connect(Path(file.path))
    ended = threading.Event()
    observer.on_close.append(ended.set)
    observer.subscribe(_encode)
    print("observing", flush=True)
    ended.wait()


if __name__ == "__main__":
    main()
