"""Starting a burrow: the driver's side.

The head gets one end of a socket pair by inheritance, with its settings and the key as
the first frame. So there is nothing to wait for and nothing to find: the driver imports
the rest of itself, says hello and submits while the head still imports, and either side
sees at once when the other is gone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

import burrow_jupyter
from burrow_jupyter.core import messages
from burrow_jupyter.core.framing import HEADER
from burrow_jupyter.engine import session, surroundings, transport
from burrow_jupyter.engine.settings import HeadSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from burrow_jupyter.engine.client import Client

HEAD_END_S = 10.0
"""How long a head may take to end everything before it is killed."""


class StartError(RuntimeError):
    """The head could not be started; the text has its last words."""


def _working_directory() -> str:
    try:
        return os.getcwd()  # a str is wanted
    except FileNotFoundError:
        msg = (
            "the working directory of this process has been removed, and workers are to be where "
            "it is: os.chdir() to one that is there, and start again"
        )
        raise FileNotFoundError(msg) from None


class Launched:
    """A burrow that this process has started."""

    def __init__(
        self, client: Client, process: subprocess.Popen[bytes], settings: HeadSettings
    ) -> None:
        self.client = client
        self.settings = settings
        self._process = process

    @property
    def head_pid(self) -> int:
        """The head's process id."""
        return self._process.pid

    def stop(self) -> None:
        """End the burrow, and return when it is gone, with a bound."""
        client = self.client
        if not client.closed:
            client.post(messages.Shutdown())
            client.flush()
        client.close("shutdown() was called")
        try:
            self._process.wait(HEAD_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(HEAD_END_S)
        # Nothing is left to do if the head ended in order; after a kill there is.
        session.remove(self.settings.places.directory, self.settings.places.store)


def start(
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: dict[str, float] | None = None,
    object_store_bytes: int | None = None,
    namespace: str = "",
    kernel_id: str = "",
    infeasible_waits: bool = False,
    env_vars: Mapping[str, str] | None = None,
    working_dir: str = "",
    memory_pause: float | None = None,
) -> Launched:
    """Start a burrow behind this process and connect to it as its driver.

    Raises:
        StartError: the head ended or did not answer.
        ValueError: more GPUs than CUDA_VISIBLE_DEVICES names.
        OSError: no private directory could be had.
    """
    directory = working_dir or _working_directory()
    if num_gpus is not None:
        from burrow_jupyter.engine import accelerators  # noqa: PLC0415  # for those who ask for some

        accelerators.gpu_ids(num_gpus, {**os.environ, **(env_vars or {})})  # refused here at once
    session.remove_dead()
    number = int.from_bytes(os.urandom(8), "little") >> 1
    places = session.create(f"{number:016x}")
    settings = HeadSettings(
        session=number,
        key=transport.new_key(),
        places=places,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        resources=resources or {},
        object_store_bytes=object_store_bytes,
        namespace=namespace or os.urandom(8).hex(),
        kernel_id=kernel_id,
        driver_pid=os.getpid(),
        # "" too: the working directory, wherever that is
        sys_path=[working_dir, *sys.path] if working_dir else list(sys.path),
        directory=directory,
        infeasible_waits=infeasible_waits,
        memory_pause=memory_pause,
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        process = _spawn(theirs, places, env_vars or {})
    except BaseException:
        ours.close()
        session.remove(places.directory, places.store)
        raise
    finally:
        theirs.close()
    try:
        transport.tune(ours)
        data = msgspec.msgpack.encode(settings)
        ours.sendall(HEADER.pack(len(data)) + data)
        from burrow_jupyter.engine.client import Client  # noqa: PLC0415  # while the head starts

        hello = messages.Hello("driver", os.getpid(), 0, burrow_jupyter.__version__)
        client = Client(ours, hello)
        client.start()
    except (OSError, RuntimeError) as error:  # ConnectionLost, too, and no room for a thread
        ours.close()
        process.kill()
        process.wait(HEAD_END_S)
        words = last_words(places.log)
        session.remove(places.directory, places.store)
        msg = f"the burrow's head could not start ({error}){words}"
        raise StartError(msg) from None
    return Launched(client, process, settings)


def last_words(log: str, lines: int = 8) -> str:
    """Return the end of a log, as it is put below an error."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    tail = "\n    ".join(text.splitlines()[-lines:])
    return f"; its last words:\n    {tail}" if tail else ""


def _spawn(
    theirs: socket.socket, places: session.Places, env_vars: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the head with the same interpreter and flags, but not in the user's directory."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001  # what multiprocessing uses, too
    package = os.path.dirname(os.path.dirname(burrow_jupyter.__file__))
    code = (
        f"import sys; sys.path.append({package!r}); "
        f"from burrow_jupyter.main.head import main; main({theirs.fileno()})"
    )
    environment = {**os.environ, "BURROW_SESSION": os.path.basename(places.directory)}
    surroundings.set_variables(env_vars.items(), environment)
    log = os.open(places.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603  # our own interpreter
            [sys.executable, *flags, "-P", "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Jupyter's interrupt goes to the kernel's whole group
        )
    finally:
        os.close(log)


def connect(file: session.BurrowFile, role: str, info: dict[str, Any] | None = None) -> Client:
    """Connect to a running burrow of this user.

    Raises:
        ConnectionError: nobody answers, or the key is not right.
    """
    from burrow_jupyter.engine.client import Client  # noqa: PLC0415  # as in `start`

    sock = transport.connect(file.socket, bytes.fromhex(file.key))
    version = burrow_jupyter.__version__
    client = Client(sock, messages.Hello(role, os.getpid(), 0, version, info or {}))
    client.start()
    return client


__all__ = ["Launched", "StartError", "connect", "last_words", "start"]
