"""Progress bars by Ray's name: tqdm itself, whose bars are a line each in tasks anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tqdm as _library

if TYPE_CHECKING:
    from collections.abc import Iterable


class tqdm(_library.tqdm):  # type: ignore[misc]  # noqa: N801  # tqdm has no types; its own name
    """`tqdm.tqdm` with the arguments of Ray's.

    Args:
        iterable: what to iterate over; default: `update` says how far it is.
        desc: what stands before the bar.
        total: how many there are; default: as many as `iterable` has.
        unit: of one.
        position: accepted: each bar has its line.
        flush_interval_s: seconds between two updates of the bar.
        others: of tqdm.

    Source: Ray 2.60 `ray.experimental.tqdm_ray.tqdm`.
    """

    def __init__(
        self,
        iterable: Iterable[Any] | None = None,
        desc: str | None = None,
        total: float | None = None,
        unit: str | None = None,
        position: int | None = None,
        flush_interval_s: float | None = None,
        **others: Any,
    ) -> None:
        """Begin a bar."""
        if flush_interval_s is not None:
            others.setdefault("mininterval", flush_interval_s)
        super().__init__(iterable, desc=desc, total=total, unit=unit or "it", **others)


def safe_print(*values: Any, **keywords: Any) -> None:
    """Print without damage to a bar: what tasks print does none."""
    print(*values, **keywords)  # noqa: T201  # that is what it is for


tqdm.__module__ = safe_print.__module__ = "burrow.experimental.tqdm_ray"
