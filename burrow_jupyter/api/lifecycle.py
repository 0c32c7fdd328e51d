"""init, shutdown, is_initialized, restart: the session of this process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter import __version__
from burrow_jupyter.api import checks, context
from burrow_jupyter.api.debugging import Debugger
from burrow_jupyter.api.notices import Notices
from burrow_jupyter.api.refs import DynamicObjectRefGenerator, ObjectRef
from burrow_jupyter.backends import open as backends
from burrow_jupyter.core import options as table
from burrow_jupyter.core import resources as amounts
from burrow_jupyter.core.messages import DISPLAY, Displayed

if TYPE_CHECKING:
    from typing import Self

    from burrow_jupyter.backends.protocol import Backend

IGNORED = frozenset(
    {
        "include_dashboard",
        "dashboard_host",
        "dashboard_port",
        "logging_level",
        "logging_config",
        "logging_format",
        "log_style",
        "configure_logging",
        "job_config",
        "labels",
        "_system_config",
        "_tracing_startup_hook",
        "_temp_dir",
        "_memory",
        "_metrics_export_port",
        "_node_ip_address",
        "_node_name",
        "_enable_object_reconstruction",
        "_driver_object_store_memory",
        "_plasma_directory",
        "_redis_password",
        "_redis_username",
        "_skip_env_hook",
        "cgroup_path",
        "enable_resource_isolation",
        "object_spilling_directory",
        "proxy_server_url",
        "system_reserved_cpu",
        "system_reserved_memory",
    }
)
"""Keywords of Ray's `init` that mean nothing on one machine, and are accepted."""

_started: dict[str, Any] = {}
_fork_hook = False
kernel_id = ""
"""Of the notebook kernel that this process is; set by the notebook layer."""


class BurrowContext(Mapping[str, Any]):
    """What `init` returns: reads like a mapping, and ends the burrow at the end of a `with`."""

    def __init__(self, backend: Backend) -> None:
        """Describe a running session."""
        info = getattr(getattr(backend, "client", None), "info", {})
        self._facts = {
            "node_id": f"{backend.session:016x}",
            "session": f"{backend.session:016x}",
            "session_dir": info.get("directory", ""),
            "namespace": backend.namespace,
            "num_cpus": backend.totals.get(amounts.CPU, 0.0),
            "num_gpus": backend.totals.get(amounts.GPU, 0.0),
            "python_version": sys.version.partition(" ")[0],
            "ray_version": __version__,
            "ray_commit": "",
            "address_info": {
                "node_ip_address": "127.0.0.1",
                "node_id": f"{backend.session:016x}",
                "session_dir": info.get("directory", ""),
                "address": "",
                "webui_url": "",
            },
        }

    def __getitem__(self, key: str) -> Any:
        return self._facts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        shutdown()

    @property
    def dashboard_url(self) -> str:
        """Empty: the notebook and its side panel show what runs."""
        return ""

    @property
    def python_version(self) -> str:
        """The version of Python."""
        return str(self._facts["python_version"])

    @property
    def ray_version(self) -> str:
        """Burrow's version, for code that prints it."""
        return str(self._facts["ray_version"])

    @property
    def ray_commit(self) -> str:
        """Empty: this is not Ray."""
        return str(self._facts["ray_commit"])

    @property
    def address_info(self) -> dict[str, Any]:
        """The facts that code written for Ray asks for, as far as there are any."""
        found: dict[str, Any] = self._facts["address_info"]
        return found

    def disconnect(self) -> None:
        """End the burrow."""
        shutdown()

    def __repr__(self) -> str:
        cpus, gpus = self._facts["num_cpus"], self._facts["num_gpus"]
        extra = f", {gpus:g} GPUs" if gpus else ""
        return f"Burrow with {cpus:g} CPUs{extra} (session {self._facts['session'][:8]})"


BurrowContext.__module__ = "burrow"


def init(
    address: str | None = None,
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: dict[str, float] | None = None,
    object_store_memory: int | None = None,
    namespace: str | None = None,
    ignore_reinit_error: bool = False,
    runtime_env: dict[str, Any] | None = None,
    infeasible: str = "raise",
    mode: str = "local",
    log_to_driver: bool | None = None,
    local_mode: bool = False,
    memory_pause: float | None = None,
    **other: Any,
) -> BurrowContext:
    """Start a burrow behind this process; calling it is optional.

    The same arguments again give the same session, so a start cell can be run again.

    Args:
        address: `None`, "local" or "auto": this machine.
        num_cpus: how many CPUs tasks may use; default: those that this process may use.
        num_gpus: how many GPUs; default: those found. Taken at its word.
        resources: amounts of resources of your own, such as `{"license": 2}`.
        object_store_memory: bytes of shared memory for objects; default: 30 % of memory.
        namespace: of named actors; default: one of its own.
        ignore_reinit_error: return the running session whatever the arguments.
        runtime_env: `env_vars` and `working_dir` of all workers; tasks and actors may add
            their own.
        infeasible: what becomes of a task or actor that asks for more than this burrow
            will ever have: "raise" at the call, or "wait", as in Ray.
        mode: "local": worker processes; "inline": each call runs at once in this process,
            for debugging.
        log_to_driver: `False`: what tasks print is not shown; what they display is.
        local_mode: Ray's word for `mode="inline"`.
        memory_pause: share of the memory (of this machine, or this container) above which nothing
            begins beside what runs, until memory is free again; default: 0.9, or more where
            16 GB are less than a tenth. 1: never.
        other: keywords that Ray knows and that mean nothing here are accepted.

    Returns:
        A mapping of facts about the session; also a context manager that ends it.

    Raises:
        RuntimeError: a burrow with other arguments runs, or an unknown keyword.
        ValueError: a value out of range.
        TypeError: a value of the wrong type.

    Source: Ray 2.60 `ray.init`; differs: same arguments, same session.
    """
    unknown = [name for name in other if name not in IGNORED]
    if unknown:
        msg = (
            f"init() has no argument {unknown[0]!r}.{table.hint(unknown[0], _ARGUMENTS)} "
            f"Arguments: {', '.join(_ARGUMENTS)}"
        )
        raise RuntimeError(msg)
    if address not in (None, "local", "auto"):
        msg = f"init(address={address!r}): only this machine can be used; leave address out"
        raise ValueError(msg)
    if local_mode:
        mode = "inline"
    for name, value, known in (
        ("mode", mode, ("local", "inline")),
        ("infeasible", infeasible, ("raise", "wait")),
    ):
        if value not in known:
            msg = f'{name} must be "{known[0]}" or "{known[1]}", got {value!r}'
            raise ValueError(msg)
    table.check("task", {"runtime_env": runtime_env})
    _check(num_cpus, num_gpus, resources, object_store_memory, namespace, memory_pause)
    asked = {
        "num_cpus": num_cpus,
        "num_gpus": num_gpus,
        "resources": resources,
        "object_store_memory": object_store_memory,
        "namespace": namespace,
        "runtime_env": runtime_env,
        "infeasible": None if infeasible == "raise" else infeasible,
        "mode": None if mode == "local" else mode,
        "log_to_driver": None if log_to_driver is not False else False,
        "memory_pause": memory_pause,
    }
    with context.opening:
        running = context.current_or_none()
        if running is not None:
            same = all(_started.get(name) == value for name, value in asked.items())
            if context.in_worker() or ignore_reinit_error or same:
                return BurrowContext(running)
            if not (_started.get("automatic") and running.untouched):
                raise RuntimeError(_already(asked))
            shutdown()  # it was started by itself, nobody has used it, and now we know better
        _started.clear()
        _started.update(asked)
        return BurrowContext(_open(asked))


_ARGUMENTS = [name for name in inspect.signature(init).parameters if name != "other"]


def _already(asked: dict[str, Any]) -> str:
    def say(given: dict[str, Any]) -> str:
        return ", ".join(f"{k}={v!r}" for k, v in given.items() if v is not None and k in asked)

    return (
        f"a burrow runs already, started by init({say(_started)}); for init({say(asked)}) end it "
        "first with burrow.shutdown(), or pass ignore_reinit_error=True to use it as it is"
    )


def _check(
    num_cpus: float | None,
    num_gpus: float | None,
    resources: dict[str, float] | None,
    object_store_memory: int | None,
    namespace: str | None,
    memory_pause: float | None,
) -> None:
    given = {"num_cpus": num_cpus, "resources": resources}
    table.check("task", given)
    if num_gpus is not None:
        table.check("task", {"num_gpus": num_gpus})
        if num_gpus != int(num_gpus):
            msg = f"num_gpus must be a whole number of devices, got {num_gpus!r}"
            raise ValueError(msg)
    if object_store_memory is not None:
        checks.number_of_bytes("object_store_memory", object_store_memory)
    if namespace is not None:
        table.check_name("namespace", namespace)
    if memory_pause is not None and not 0 < memory_pause <= 1:
        msg = (
            f"memory_pause must be a share of the memory, above 0 and up to 1, got {memory_pause!r}"
        )
        raise ValueError(msg)


def _open(asked: dict[str, Any]) -> Backend:
    global _fork_hook  # noqa: PLW0603  # registered once, with the first session
    for prepare in before_open:
        prepare()
    opened: Backend
    environment = asked["runtime_env"] or {}
    if asked["mode"] == "inline":
        opened = backends.open_inline(
            num_cpus=asked["num_cpus"],
            num_gpus=asked["num_gpus"],
            resources=asked["resources"],
            namespace=asked["namespace"] or "",
        )
        opened.wrap_ref = functools.partial(ObjectRef, backend=opened)  # type: ignore[attr-defined]  # the inline backend's own slots
        opened.wrap_refs = DynamicObjectRefGenerator  # type: ignore[attr-defined]
    else:
        opened = backends.open_local(
            num_cpus=asked["num_cpus"],
            num_gpus=asked["num_gpus"],
            resources=asked["resources"],
            object_store_bytes=int(asked["object_store_memory"] or 0) or None,
            namespace=asked["namespace"] or "",
            kernel_id=kernel_id,
            infeasible_waits=asked["infeasible"] == "wait",
            env_vars=environment.get("env_vars"),
            working_dir=environment.get("working_dir", ""),
            memory_pause=asked["memory_pause"],
        )
    context.set_backend(opened)
    show_output(opened)
    if not _fork_hook:
        _fork_hook = True
        atexit.register(shutdown)
        leave_session_in_forks()
    for callback in on_open:
        callback(opened)
    if asked["log_to_driver"] is False:
        _show_displays_only(opened)
    return opened


def _show_displays_only(backend: Backend) -> None:
    """Show nothing of what tasks print; what they display they mean to be seen."""
    client = getattr(backend, "client", None)
    if client is None:
        return
    show = client.on_printed

    def displayed(message: Any) -> None:
        if message.stream == DISPLAY:
            show(message)

    client.on_printed = displayed


def show_output(backend: Backend) -> None:
    """Print what tasks print, and failures that nobody asked for, in this process."""
    client = getattr(backend, "client", None)
    if client is None:
        return

    def printed(message: Any) -> None:
        if message.stream == DISPLAY:
            displayed = msgspec.json.decode(message.data, type=Displayed)
            _write("stdout", f"{displayed.data.get('text/plain', '')}\n")
        else:
            _write(message.stream, message.data.decode(errors="replace"))

    notices = Notices()
    client.on_printed = printed
    client.on_notice = lambda message: _write("stderr", notices.say(message))
    client.on_lost.append(lambda: _write("stderr", notices.rest()))
    Debugger(backend, client, lambda run_id, text: _write("stderr", f"{text}\n"))


def _write(name: str, text: str) -> None:
    """Write to this process's own output, as it is now; without one, nowhere.

    Called by whoever reads what the head sends, who must not end because the program has
    closed or replaced its output meanwhile, or nobody reads it (a closed pipe).
    """
    for _ in range(2):  # once more: it may have been replaced between the look and the write
        stream = getattr(sys, name)
        with contextlib.suppress(Exception):  # whatever the program has put in its place
            try:
                stream.write(text)
            except UnicodeEncodeError:  # an output of few characters
                stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            stream.flush()
            return


before_open: list[Any] = []
"""Called, without arguments, before a session is opened."""
on_open: list[Any] = []
"""Called with each session that is opened; the notebook layer looks in here."""


def leave_session_in_forks() -> None:
    """Have children that user code forks begin without this process's session."""
    os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    """A child that the user's code forked has no session of its own, nor its parent's."""
    parents = context.current_or_none()
    if parents is not None:
        parents.abandon()
    context.opening = threading.RLock()
    context.leave()
    _started.clear()


def _auto_start() -> None:
    with context.opening:
        if context.current_or_none() is None:
            init()
            _started["automatic"] = True


def start_in_background() -> None:
    """Start the default session before it is needed; an explicit `init` may still replace it."""
    _auto_start()


context.auto_start = _auto_start


def shutdown(
    _exiting_interpreter: bool = False,  # noqa: FBT001, FBT002  # as in Ray
    *,
    wait_for_processes: bool = True,
) -> None:
    """End the burrow: every worker and actor process. May be called at any time, any number of times.

    Args:
        wait_for_processes: accepted; they have always ended when this returns.

    Source: Ray 2.60 `ray.shutdown`.
    """
    if context.in_worker():
        return
    with context.opening:
        backend = context._context.backend  # noqa: SLF001  # also one that has ended by itself
        context.set_backend(None)
        _started.clear()
        if backend is not None:
            backend.close()


def is_initialized() -> bool:
    """Say whether a burrow runs; in a worker always true."""
    return context.current_or_none() is not None


def restart(**arguments: Any) -> BurrowContext:
    """End the burrow and start one anew, with the arguments of the last `init` or with others."""
    asked = arguments or {k: v for k, v in _started.items() if v is not None and k != "automatic"}
    _check(
        *map(asked.get, inspect.signature(_check).parameters)
    )  # before the running one has ended
    shutdown()
    return init(**asked)
