"""Backends by name. Each is imported when it is opened, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from burrow_jupyter.backends.protocol import Backend


def open_local(
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
) -> Backend:
    """Start a burrow on this machine; see `engine.launch.start` for what is raised."""
    from burrow_jupyter.engine import launch  # noqa: PLC0415  # when it is opened

    launched = launch.start(
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        resources=resources,
        object_store_bytes=object_store_bytes,
        namespace=namespace,
        kernel_id=kernel_id,
        infeasible_waits=infeasible_waits,
        env_vars=env_vars,
        working_dir=working_dir,
        memory_pause=memory_pause,
    )
    from burrow_jupyter.backends.local import LocalBackend  # noqa: PLC0415  # while the head starts

    return LocalBackend(launched.client, launched=launched)


def open_inline(
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: dict[str, float] | None = None,
    namespace: str = "",
) -> Backend:
    """Begin a session in this process, without any other; for debugging."""
    from burrow_jupyter.backends.inline import InlineBackend  # noqa: PLC0415  # when it is opened

    return InlineBackend(
        num_cpus=num_cpus, num_gpus=num_gpus, resources_given=resources, namespace=namespace
    )
