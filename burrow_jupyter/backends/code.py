"""Pickles of functions and classes, and the errors for what cannot be sent, or would be a mix."""

from __future__ import annotations

import hashlib
import sys
import warnings
from typing import TYPE_CHECKING, Any

from burrow_jupyter.backends.protocol import Ended
from burrow_jupyter.core import limits
from burrow_jupyter.engine import by_value, errors, serialization, sources
from burrow_jupyter.engine.modules import local_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.engine.store.segments import SegmentWriter


class CodeBook:
    """The functions and classes that were sent, by what their pickles say.

    Code is known by its pickle: the same function again, unchanged, is the same code, so
    that asking anew whether it has changed costs a pickle and sends nothing.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._ids: dict[bytes, int] = {}

    def find(
        self,
        target: Any,
        name: str,
        meta: bytes,
        writer: SegmentWriter | None,
        send: Callable[[Value], int],
        *,
        check_edits: bool = False,
    ) -> int:
        """Return the id of a function or class; `send` sends what is new and returns its id.

        With `check_edits`, what uses a module that this process has in an older version
        than workers would load is refused.

        Raises:
            TypeError: it cannot be pickled; the text names the path to the culprit.
            ValueError: it is unreasonably large.
            RuntimeError: see `check_edits`.
        """
        try:
            code = serialization.pickle_code(target)
        except Ended:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
            from burrow_jupyter.engine.unpicklable import explain  # noqa: PLC0415  # for errors only

            raise TypeError(explain(error, target, f"{name} (its code and what it uses)")) from None
        if check_edits:
            _check_edits(name, code.data)
        digest = hashlib.blake2b(code.data, digest_size=16)
        for buffer in code.buffers:
            digest.update(buffer)
        digest.update(name.encode() + b"\0" + meta)
        key = digest.digest()
        code_id = self._ids.get(key)
        if code_id is None:
            _check_size(name, code.nbytes, target)
            code_id = self._ids[key] = send(serialization.store_code(code, writer))
        return code_id


def _check_edits(name: str, data: bytes) -> None:
    def is_used(module: str) -> bool:
        named = module.encode()
        return b"\x8c" + bytes([len(named)]) + named in data  # a short string, as pickle writes it

    _refuse_edited(name, is_used)


def check_edits_of(values: Mapping[str, Any]) -> None:
    """Refuse values with classes or functions of modules that were edited since.

    Args:
        values: the values, by what they are called: "argument 1 of f".

    Raises:
        RuntimeError: workers would run other code for one of them than this process.
    """
    for name, value in values.items():
        _refuse_edited(name, by_value.modules_of(value).__contains__)


def _refuse_edited(name: str, is_used: Callable[[str], bool]) -> None:
    modules = local_modules()
    for edited in modules.edited():
        for module in (edited, *modules.users_of(edited)):
            if is_used(module):
                link = "" if module == edited else f"which uses {edited}, "
                msg = (
                    f"{name} uses {module}, {link}and {edited} was edited after this notebook "
                    "imported it: workers would run other code than the notebook. Reload it: "
                    f"import importlib, {edited}; importlib.reload({edited}). Or have that done: "
                    "%load_ext autoreload, %autoreload 2"
                )
                raise RuntimeError(msg)


def _check_size(name: str, size: int, target: Any) -> None:
    if size > limits.CODE_WARN_BYTES:
        from burrow_jupyter.engine.unpicklable import largest_part  # noqa: PLC0415  # for errors only

        text = (
            f"{name} is {size / 1e6:.3g} MB when pickled: it captures "
            f"{largest_part(target) or 'large data'}. Store that once with put() and pass the "
            "ref as an argument"
        )
        if size > limits.CODE_MAX_BYTES:
            raise ValueError(text)
        _warn(text)


def _warn(text: str) -> None:
    """Warn of what the user's code has done, in one line where that is a cell."""
    frame = sys._getframe(1)  # noqa: SLF001  # how warnings finds it, too
    while frame.f_back is not None and errors.is_own(frame):
        frame = frame.f_back
    file = frame.f_code.co_filename
    # Of a cell's name no source line is known, which would be shown below the warning.
    where = sources.label_of(file) or file
    warnings.warn_explicit(text, UserWarning, where, frame.f_lineno)
