"""The head process: `main(fd)`, where `fd` is one end of the driver's socket pair.

Forks the zygote first, while the process is small and has one thread; both then import
what they need, side by side.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from burrow_jupyter.core.framing import HEADER


def main(fd: int) -> None:
    """Serve one burrow, then exit."""
    driver = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    settings = _read(driver)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    zygote_pid = os.fork()
    if zygote_pid == 0:
        driver.close()
        ours.close()
        from burrow_jupyter.main import zygote  # noqa: PLC0415  # in the child only

        zygote.main(theirs, settings)
        os._exit(0)
    theirs.close()
    from burrow_jupyter.engine import serve  # noqa: PLC0415  # beside the zygote's imports

    serve.serve(driver, ours, zygote_pid, settings, time.time())
    sys.stderr.flush()
    os._exit(0)


def _read(driver: socket.socket) -> bytes:
    """Read the settings: the first frame, and not a byte more."""
    header = _exactly(driver, HEADER.size)
    return _exactly(driver, HEADER.unpack(header)[0])


def _exactly(driver: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = driver.recv(count - len(data))
        if not piece:
            os._exit(1)  # the driver was gone before it had begun
        data += piece
    return data
