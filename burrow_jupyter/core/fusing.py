"""Calls that follow each other as one message, and apart again: what bursts are made of.

Calls of one function that differ in their arguments only, and ends that differ in their results
only, are most of what a loop over short calls sends. Written one by one, each would cost its
encoding and decoding twice, and records of its own on the way.
"""

from __future__ import annotations

from typing import Any

from burrow_jupyter.core.ids import STRIDE
from burrow_jupyter.core.limits import FUSE_MAX_BYTES
from burrow_jupyter.core.messages import (
    Deliver,
    DeliverMany,
    Done,
    DoneMany,
    Run,
    RunMany,
    Submit,
    SubmitMany,
    Value,
)


def is_plain(value: Value) -> bool:
    """Say whether a value is nothing but a short pickle."""
    return not (value.segment or value.contained or value.sizes or len(value.data) > FUSE_MAX_BYTES)


def spread(message: Any) -> list[Any]:
    """Return the messages that one stands for: itself, unless it is of several calls."""
    kind = type(message)
    if kind is RunMany:
        return runs_of(message)
    if kind is SubmitMany:
        code_id, options_id, run_id = message.code_id, message.options_id, message.run_id
        return [
            Submit(
                message.first_id + at * STRIDE,
                code_id,
                options_id,
                Value(data) if data else None,
                run_id=run_id,
            )
            for at, data in enumerate(message.args)
        ]
    if kind is DoneMany:
        count = len(message.values)
        each, rest = divmod(message.micros, count)
        return [
            Done(message.first_id + at * STRIDE, [Value(data)], None, each + (at < rest))
            for at, data in enumerate(message.values)
        ]
    if kind is DeliverMany:
        return [
            Deliver(message.first_id + at * STRIDE, Value(data))
            for at, data in enumerate(message.values)
        ]
    return [message]


_NONE: list[Any] = []


def runs_of(message: RunMany) -> list[Run]:
    """Return each of the calls that a worker is to run."""
    code_id, options_id, run_id = message.code_id, message.options_id, message.run_id
    task_id = message.first_id
    runs = []
    for data in message.args:
        args = Value(data) if data else None
        runs.append(Run(task_id, code_id, options_id, "", args, _NONE, _NONE, _NONE, run_id))
        task_id += STRIDE
    return runs
