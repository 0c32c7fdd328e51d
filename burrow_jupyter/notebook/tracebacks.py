"""What a cell shows of an error: the user's frames, none of ours, nor of the machinery between.

What we raise at a call looks like what tasks raise: what it is, where the cell asked for it, and
what to do. Everything else is shown as IPython shows it.
"""

from __future__ import annotations

import contextlib
import dis
import inspect
import sys
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import exceptions
from burrow_jupyter.engine import errors
from burrow_jupyter.engine.modules import package_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

CHAIN_MAX = 100
"""Errors behind one that are looked at."""
_RAISE = dis.opmap["RAISE_VARARGS"]
_CAN_GO_ON = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Tracebacks:
    """The tracebacks of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Leave them as they are; see `hook`."""
        self._shell = shell
        self._makers: list[Any] = [shell.InteractiveTB, shell.SyntaxTB]

    def hook(self) -> None:
        """Shorten them."""
        usual, of_syntax = (maker.structured_traceback for maker in self._makers)

        def structured(
            kind: type, value: BaseException, tb: Any = None, *rest: Any, **named: Any
        ) -> Any:
            if isinstance(value, KeyboardInterrupt):
                # Where it hit our code says nothing to anybody; and IPython fails over a frame that
                # was hit where no line is, so that the cell would end without a word.
                return usual(kind, value, of_the_user(tb) or tb, *rest, **named)
            if errors.is_original(value):
                # As an executor or a pool gives it: what it was there is its cause.
                return exceptions.rendered(value, value.__cause__)
            if not _is_raised_by_us(tb):
                return usual(kind, value, tb, *rest, **named)
            ours = of_the_user(tb)
            if ours is not None and (value.__cause__ or _has_context(value)):
                return usual(kind, value, ours, *rest, **named)
            return exceptions.rendered(value)

        def structured_syntax(kind: type, value: Any, elist: Any = None, *rest: Any) -> Any:
            if hasattr(value, "_render_traceback_"):  # of a task
                return value._render_traceback_()  # IPython's protocol
            if any(errors.is_own(frame) for frame, _ in traceback.walk_tb(value.__traceback__)):
                elist = []
            return of_syntax(kind, value, elist, *rest)

        for maker, own in zip(self._makers, (structured, structured_syntax), strict=True):
            maker.structured_traceback = own  # until unhook
        shell, show = self._shell, self._shell.showtraceback

        def show_groups(given: Any = None, *rest: Any, **named: Any) -> None:
            # IPython prints groups as Python does, with every frame, and to stderr.
            kind, value, _ = given or sys.exc_info()
            lines = [] if kind is None or named.get("exception_only") else _of_group(value)
            try:
                if lines and not shell.call_pdb:
                    shell._showtraceback(kind, value, lines)  # noqa: SLF001  # what front ends override
                else:
                    show(given, *rest, **named)
            finally:
                _let_go(value)
                # IPython notes it there only of what it has laid out itself; else it would keep,
                # and `%debug` open, an earlier one. Without, both have that of `sys`.
                shell.InteractiveTB.tb = None

        vars(shell)["showtraceback"] = show_groups  # until unhook

    def unhook(self) -> None:
        """Have them as they were."""
        for maker in self._makers:
            vars(maker).pop("structured_traceback", None)  # ours hides that of the class
        vars(self._shell).pop("showtraceback", None)


def _let_go(value: BaseException | None) -> None:
    """Have our frames of an error let go of what they were given; the user's stay for `%debug`.

    The last error is kept, and a list of refs that `get` was given would be with it.
    """
    chain = [] if value is None else errors.chain_of(value, CHAIN_MAX, members=True)
    for error in chain:
        ours = False
        for frame, _ in traceback.walk_tb(error.__traceback__):
            # Those of libraries that we call have what we were given, too; the user's may follow.
            of_library = bool(package_of(frame.f_code.co_filename))
            ours = errors.is_own(frame) or (ours and of_library)
            # One that can go on, and may have caught this error, would be ended.
            if ours and not frame.f_code.co_flags & _CAN_GO_ON:
                with contextlib.suppress(RuntimeError):  # it runs
                    frame.clear()
                    _ = frame.f_locals  # a copy for whoever has looked; this empties it, too


def _of_group(value: Any) -> list[str]:
    """Return what is shown of a group of errors that has come through us; nothing of others."""
    if not isinstance(value, BaseExceptionGroup):
        return []
    if hasattr(value, "_render_traceback_"):  # IPython's protocol: it is a task's
        shown: list[str] = value._render_traceback_()
        return shown
    inside: list[BaseException] = [value]
    for error in inside:
        if any(errors.is_own(frame) for frame, _ in traceback.walk_tb(error.__traceback__)):
            return errors.format_error(value).splitlines()
        inside += error.exceptions if isinstance(error, BaseExceptionGroup) else []
    return []


def _has_context(value: BaseException) -> bool:
    return value.__context__ is not None and not value.__suppress_context__


def _is_raised_by_us(tb: TracebackType | None) -> bool:
    """Say whether it ends at a `raise` of ours; what else fails there is for a bug report."""
    if tb is None:
        return False
    while tb.tb_next is not None:
        tb = tb.tb_next
    return errors.is_own(tb.tb_frame) and tb.tb_frame.f_code.co_code[tb.tb_lasti] == _RAISE


def of_the_user(tb: TracebackType | None) -> TracebackType | None:
    """Return a traceback without our frames and those without a line, `None` if none is left."""
    kept = []
    at = tb
    while at is not None:
        line: object = at.tb_lineno  # typeshed has it as an int; a frame may be on no line
        if line is not None and not errors.is_own(at.tb_frame):
            kept.append(at)
        at = at.tb_next
    shown: TracebackType | None = None
    for at in reversed(kept):
        shown = TracebackType(shown, at.tb_frame, at.tb_lasti, at.tb_lineno)
    return shown
