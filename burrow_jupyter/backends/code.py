"""Pickles of functions and classes, and the errors for those that cannot be sent."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from burrow_jupyter.backends.protocol import Ended
from burrow_jupyter.core import limits
from burrow_jupyter.engine import serialization
from burrow_jupyter.engine.unpicklable import explain

if TYPE_CHECKING:
    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.engine.store.segments import SegmentWriter


def pickle_code(target: Any, name: str, writer: SegmentWriter | None) -> Value:
    """Pickle a function or class; warn of one that captures much.

    Raises:
        TypeError: it cannot be pickled; the text names the path to the culprit.
        ValueError: it is unreasonably large.
    """
    try:
        value = serialization.dump_code(target, writer)
    except Ended:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
        raise TypeError(explain(error, target, f"{name} (its code and what it uses)")) from None
    size = len(value.data) + value.size
    if size > limits.CODE_WARN_BYTES:
        text = (
            f"{name} is {size / 1e6:.0f} MB when pickled: it captures large data. Store that "
            "once with put() and pass the ref as an argument"
        )
        if size > limits.CODE_MAX_BYTES:
            raise ValueError(text)
        warnings.warn(text, stacklevel=6)
    return value
