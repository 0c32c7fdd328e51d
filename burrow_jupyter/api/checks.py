"""Arguments of the API's functions: what is wrong with one is said at once, by its name."""

from __future__ import annotations

import math
import numbers
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def _wrong(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {expected}, got {value!r:.60} ({type(value).__name__})")


def seconds(name: str, value: Any) -> float | None:
    """Return a time as a float; `None`, for ever, as it is.

    Raises:
        TypeError: it is no number.
        ValueError: it is not a number in the other sense.
    """
    if value is None:
        return None
    if not isinstance(value, numbers.Real):
        raise _wrong(name, "a number of seconds, or None to wait for ever", value)
    found = float(value)
    if math.isnan(found):
        msg = f"{name} must be a number of seconds, got nan"
        raise ValueError(msg)
    return found


def patience(name: str, value: Any) -> float | None:
    """Return a time as `seconds` does.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative.
    """
    found = seconds(name, value)
    if found is not None and found < 0:
        msg = f"{name} must not be negative, got {value!r}"
        raise ValueError(msg)
    return found


def number_of_bytes(name: str, value: Any) -> int:
    """Return a size as an int; `2e9` is one.

    Raises:
        TypeError: it is no number.
        ValueError: it is not above 0.
    """
    if not isinstance(value, numbers.Real):
        raise _wrong(name, "a number of bytes", value)
    if not float(value) >= 1:
        msg = f"{name} must be a number of bytes above 0, got {value!r}"
        raise ValueError(msg)
    return int(float(value) // 1)


def amount(name: str, value: Any) -> None:
    """Raise unless it is a number that is not negative.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative.
    """
    if not isinstance(value, numbers.Real):
        raise _wrong(name, "a number", value)
    if not float(value) >= 0:
        msg = f"{name} must not be negative, got {value!r}"
        raise ValueError(msg)


def whole(name: str, value: Any, least: int | None = None) -> int:
    """Return a whole number, also one of NumPy's, as an int.

    Raises:
        TypeError: it is none.
        ValueError: it is below `least`.
    """
    try:
        found = operator.index(value)
    except TypeError:
        raise _wrong(name, "an int", value) from None
    if least is not None and found < least:
        msg = f"{name} must be {least} or more, got {value!r}"
        raise ValueError(msg)
    return found


def items(name: str, value: Iterable[Any]) -> Iterator[Any]:
    """Return an iterator.

    Raises:
        TypeError: there are no items.
    """
    try:
        return iter(value)
    except TypeError:
        raise _wrong(name, "something to iterate over, such as a list", value) from None


def function(name: str, value: Any) -> Any:
    """Return what can be called as it is.

    Raises:
        TypeError: it cannot.
    """
    if not callable(value):
        raise _wrong(name, "something to call", value)
    return value


def instance(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    """Raise unless it is one of a kind.

    Raises:
        TypeError: it is another.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise _wrong(name, " or ".join(f"a {one.__name__}" for one in kinds), value)


def mapping(name: str, value: Any) -> Any:
    """Return a dict or the like as it is.

    Raises:
        TypeError: it is none.
    """
    if not hasattr(value, "keys"):
        raise _wrong(name, "a dict", value)
    return value
