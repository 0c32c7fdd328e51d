"""A worker process: works for the head. Runs in a fork of the zygote."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cloudpickle  # noqa: F401  # 25 ms that each worker would pay, paid once by the zygote

from burrow_jupyter.api import context, lifecycle
from burrow_jupyter.api.refs import DynamicObjectRefGenerator, ObjectRef
from burrow_jupyter.backends.local import LocalBackend
from burrow_jupyter.engine import threads, transport
from burrow_jupyter.engine.worker import Worker
from burrow_jupyter.notebook.displays import Displays

if TYPE_CHECKING:
    import socket

    from burrow_jupyter.engine.settings import HeadSettings
    from burrow_jupyter.engine.zygote import Birth


def main(birth: Birth, sock: socket.socket, settings: HeadSettings) -> None:
    """Work until told to end; `sock` leads to the head."""
    transport.tune(sock)
    worker = Worker(sock, birth.worker_id, tuple(birth.gpus or ()), settings.places.store)
    environment = (tuple(birth.env), birth.directory)
    backend = LocalBackend(worker.client, namespace=settings.namespace, environment=environment)
    worker.wrap_ref = functools.partial(ObjectRef, backend=backend)
    worker.wrap_refs = DynamicObjectRefGenerator
    Displays(worker.output)
    threads.hand_on()
    context.open_in_worker(backend)
    lifecycle.leave_session_in_forks()
    worker.run()
