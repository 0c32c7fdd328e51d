"""Users' callbacks that run in threads of ours: what they raise is told as of any thread."""

from __future__ import annotations

import threading


def report(error: BaseException) -> None:
    """Tell of what a callback has raised; it ends nothing of ours."""
    threading.excepthook(
        threading.ExceptHookArgs(
            (type(error), error, error.__traceback__, threading.current_thread())
        )
    )
