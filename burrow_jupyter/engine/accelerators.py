"""GPUs: which there are, which a burrow may give to its tasks, and how busy they are.

NVIDIA's, through NVML (`pynvml`), which starts no program and makes no CUDA context. It is
imported only where the driver's device file exists, since that takes 41 ms: without a GPU
a look costs 3 us. Nothing of NVML's raises out of here; what went wrong is kept as a reason.

A `GpuMonitor` belongs to one thread; it must not be carried over a fork. Everything else
may be called from any thread.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType, TracebackType
    from typing import Self, TypeVar

    T = TypeVar("T")

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable by which CUDA programs are given their GPUs."""

_DEVICE_FILES = ("dev/nvidiactl", "dev/dxg")  # Linux, Windows' subsystem for Linux
_GIB = 1024**3


class Gpu(NamedTuple):
    """One GPU of the machine; `memory_bytes` is 0 where it shares the machine's memory."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks of this
    uuid: str
    name: str
    memory_bytes: int


class GpuUsage(NamedTuple):
    """How busy a GPU is, by everybody's programs; `None` where it does not say."""

    gpu: Gpu
    percent: int | None  # of the time in which anything ran on it
    memory_used_bytes: int | None

    def __str__(self) -> str:
        parts = [short_name(self.gpu.name)]
        if self.percent is not None:
            parts.append(f"{self.percent} %")
        if self.memory_used_bytes is not None and self.gpu.memory_bytes:
            used, total = self.memory_used_bytes / _GIB, self.gpu.memory_bytes / _GIB
            parts.append(f"{used:.1f}/{total:.0f} GB")
        return " · ".join(parts)


class GpuMonitor:
    """The machine's GPUs, found when it is made and watched until `close`.

    Attributes:
        gpus: those found, in NVML's order, which is that of the PCI bus.
        reason: why there are none, or fewer than there should be; "" if all is well.
    """

    def __init__(self, root: str | Path = "/") -> None:
        self.gpus: list[Gpu] = []
        self.reason = ""
        self._nvml: ModuleType | None = None
        self._handles: list[object] = []
        if not any(os.access(f"{root}/{path}", os.F_OK) for path in _DEVICE_FILES):
            self.reason = "no NVIDIA driver on this machine"
            return
        try:
            import pynvml  # noqa: PLC0415 41 ms, and only where there is a driver
        except ImportError as error:
            self.reason = f"nvidia-ml-py cannot be imported: {error}"
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self.reason = f"NVML: {error}"
            return
        self._nvml = pynvml
        self._find(pynvml)

    def usage(self, ids: Iterable[str] | None = None) -> list[GpuUsage]:
        """Return how busy the GPUs are now; one that fails is left out, and `reason` says why.

        Args:
            ids: of these only, by index or (the beginning of) UUID; `None`: of all.
        """
        nvml, found = self._nvml, []
        wanted = None if ids is None else list(ids)
        for gpu, handle in zip(self.gpus, self._handles, strict=True):
            if nvml is None or (wanted is not None and not any(_names(one, gpu) for one in wanted)):
                continue
            rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
            memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
            if rates is not None or memory is not None:
                percent = None if rates is None else int(rates.gpu)
                found.append(GpuUsage(gpu, percent, None if memory is None else int(memory.used)))
        return found

    def close(self) -> None:
        """Let go of the driver; asking again says that there is nothing."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _find(self, nvml: ModuleType) -> None:
        for index in range(self._ask(nvml.nvmlDeviceGetCount) or 0):
            handle = self._ask(nvml.nvmlDeviceGetHandleByIndex, index)
            if handle is None:  # fallen off the bus, or not for this container
                continue
            memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
            self.gpus.append(
                Gpu(
                    index,
                    _text(self._ask(nvml.nvmlDeviceGetUUID, handle)),
                    _text(self._ask(nvml.nvmlDeviceGetName, handle)) or "GPU",
                    0 if memory is None else int(memory.total),
                )
            )
            self._handles.append(handle)

    def _ask(self, function: Callable[..., T], *arguments: object) -> T | None:
        """Call a function of NVML's; an error becomes `None` and the reason."""
        assert self._nvml is not None
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            self.reason = f"NVML: {error}"
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def detect_gpus(root: str | Path = "/") -> list[Gpu]:
    """Return the machine's GPUs, none if anything fails; a `GpuMonitor` says why."""
    with GpuMonitor(root) as monitor:
        return monitor.gpus


def gpu_ids(
    num_gpus: float | None, environ: Mapping[str, str] = os.environ, root: str | Path = "/"
) -> list[str]:
    """Return the ids of the GPUs that a burrow may give to its tasks.

    A preset `CUDA_VISIBLE_DEVICES` is the universe they come from, whatever its ids look
    like (indices, UUIDs, MIG devices); "" and "-1" mean none. Without it `num_gpus` is
    taken at its word, hardware or not: 4 gives "0" to "3". Without either, the GPUs found.

    Args:
        num_gpus: how many; a fraction takes part of one more. `None`: all there are.
        environ: the driver's environment.
        root: where device files are looked for.

    Raises:
        ValueError: more than the preset names (the others are somebody else's), or no
            sensible number.

    Source: Ray 2.60, which refuses more than the preset too.
    """
    if num_gpus is not None and not 0 <= num_gpus < math.inf:
        raise ValueError(f"num_gpus must be a number from 0 on, not {num_gpus!r}")
    preset = environ.get(VISIBLE)
    if preset is None:
        if num_gpus is None:
            return [str(gpu.index) for gpu in detect_gpus(root)]
        return [str(index) for index in range(math.ceil(num_gpus))]
    ids = _parse_visible(preset)
    if num_gpus is None:
        return ids
    if num_gpus > len(ids):
        raise ValueError(
            f"num_gpus={num_gpus:g}, but {VISIBLE}={preset!r} names {len(ids)}: "
            f"ask for at most {len(ids)}, or unset the variable"
        )
    return ids[: math.ceil(num_gpus)]


def gpu_environment(ids: Sequence[str]) -> dict[str, str]:
    """Return what a worker's environment needs so that it sees exactly these GPUs.

    To be set before user code or libraries are loaded. Without ids it is empty: the
    variable stays as the user has it.
    """
    return {VISIBLE: ",".join(ids)} if ids else {}


def short_name(name: str) -> str:
    """Return what people call a GPU: "H100" for "NVIDIA H100 80GB HBM3"."""
    words = name.removeprefix("NVIDIA").removeprefix("Tesla").removeprefix(" Tesla").split()
    words = [word for word in words if word not in {"GeForce", "Graphics", "Device"}]
    kept = []
    for word in words:
        if re.fullmatch(r"\d+GB|HBM\d\w*|PCIe|SXM\d*", word):
            break
        kept.append(re.sub(r"-(SXM\d*|PCI[eE]|\d+GB).*", "", word))
    return " ".join(kept) or name


def _parse_visible(text: str) -> list[str]:
    """Return the ids that CUDA would see: it stops at the first that is none, such as -1."""
    ids: dict[str, None] = {}
    for part in text.split(","):
        device = part.strip()
        if device == "NoDevFiles" or not re.match(r"[0-9A-Za-z]", device):
            break
        ids[device] = None
    return list(ids)


def _names(device: str, gpu: Gpu) -> bool:
    """Say whether an id, as in `CUDA_VISIBLE_DEVICES`, means this GPU."""
    if device.isdigit():
        return int(device) == gpu.index
    return device.startswith("GPU-") and gpu.uuid.startswith(device)


def _text(value: str | bytes | None) -> str:
    """Return a text of NVML's: older bindings give bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
