"""The zygote process: imports what workers need, once, and forks them."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from burrow_jupyter.engine import processes, surroundings
from burrow_jupyter.engine.modules import local_modules
from burrow_jupyter.engine.settings import HeadSettings
from burrow_jupyter.engine.zygote import Birth, Zygote

if TYPE_CHECKING:
    import socket


def main(sock: socket.socket, encoded: bytes) -> None:
    """Fork workers until the head is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    processes.new_session()
    processes.set_title("burrow::zygote")
    settings = msgspec.msgpack.decode(encoded, type=HeadSettings)
    _follow(settings)
    from burrow_jupyter.main import worker  # noqa: PLC0415  # after sys.path is the user's

    def work(birth: Birth, sock: socket.socket) -> None:
        _prepare(birth, settings)
        worker.main(birth, sock, settings)

    local_modules()
    gc.collect()
    gc.freeze()  # what is shared with workers is not touched by their collections
    Zygote(sock, work).run()


def _follow(settings: HeadSettings) -> None:
    """Look for modules where the notebook does, in its directory."""
    sys.path[:] = settings.sys_path + [p for p in sys.path if p not in settings.sys_path]
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    if "OMP_NUM_THREADS" in os.environ:
        os.environ["BURROW_USER_OMP"] = "1"
    else:
        os.environ["OMP_NUM_THREADS"] = "1"


def _prepare(birth: Birth, settings: HeadSettings) -> None:
    """Give a newborn worker its environment, before anything of the user's is imported."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    surroundings.set_variables(birth.env, os.environ)
    if birth.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(birth.gpus)
    directory = birth.directory or settings.directory
    try:
        os.chdir(directory)
    except OSError as error:
        stamp = time.strftime("%H:%M:%S")
        print(stamp, f"worker {birth.worker_id}: {error}", file=sys.stderr)  # noqa: T201
    if birth.directory:
        sys.path.insert(0, birth.directory)
