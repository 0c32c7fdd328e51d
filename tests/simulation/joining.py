"""Calls and ends that follow each other as one message, as real drivers and workers send them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core.fusing import is_plain
from burrow_jupyter.core.ids import STRIDE
from burrow_jupyter.core.messages import Done, DoneMany, Submit, SubmitMany

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def join(batch: list[Any]) -> list[Any]:
    """Return the messages of a frame: plain calls, and ends that follow each other, as one."""
    out: list[Any] = []
    at = 0
    while at < len(batch):
        fuser, least = _FUSERS.get(type(batch[at]), (None, 0))
        fused, length = fuser(batch, at) if fuser is not None else (None, 0)
        if fuser is not None and length >= least:
            out.append(fused)
            at += length
        else:
            out.append(batch[at])
            at += 1
    return out


def _fuse_submits(batch: Sequence[Any], at: int) -> tuple[SubmitMany, int]:
    first: Submit = batch[at]
    code_id, options_id, run_id = first.code_id, first.options_id, first.run_id
    due = first.task_id
    args: list[bytes] = []
    for message in islice(batch, at, None):
        if (
            type(message) is not Submit
            or message.task_id != due
            or message.code_id != code_id
            or message.options_id != options_id
            or message.run_id != run_id
            or message.deps
            or message.parent
        ):
            break
        packed = message.args
        if packed is None:
            args.append(b"")
        elif is_plain(packed):
            args.append(packed.data)
        else:
            break
        due += STRIDE
    return SubmitMany(first.task_id, code_id, options_id, run_id, args), len(args)


def _fuse_ends(batch: Sequence[Any], at: int) -> tuple[DoneMany, int]:
    first: Done = batch[at]
    due = first.task_id
    values: list[bytes] = []
    micros = 0
    for message in islice(batch, at, None):
        if (
            type(message) is not Done
            or message.task_id != due
            or message.failure is not None
            or message.unmapped
            or len(message.values) != 1
        ):
            break
        value = message.values[0]
        if not is_plain(value):
            break
        values.append(value.data)
        micros += message.micros
        due += STRIDE
    return DoneMany(first.task_id, values, micros), len(values)


_FUSERS: dict[type, tuple[Callable[[Sequence[Any], int], tuple[Any, int]], int]] = {
    Submit: (_fuse_submits, 1),  # a driver sends a single one so, too
    Done: (_fuse_ends, 2),
}
"""How neighbours of a kind become one, and from how many on."""
