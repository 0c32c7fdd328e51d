"""Threads that user code starts in a worker belong to the call that started them.

Also when that call is over: what they print and launch then is not of the call that the worker
happens to run. So it is with threads that run a function of the user's own. Those that run one of
an installed package or of Python's library, as those of `ThreadPoolExecutor` do and the one that
looks after all bars of tqdm, serve many calls: they belong to what the worker runs at the moment,
and so do threads of a class with a `run` of its own.
"""

from __future__ import annotations

import contextvars
import functools
import sys
import threading
from typing import Any

from burrow_jupyter.engine import current, modules


def hand_on() -> None:
    """Have the threads that this process starts from now on belong to the call that starts them."""
    original = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        now = current.call()
        if now is not current.NOTHING:
            _give(thread, now)
        original(thread)

    threading.Thread.start = start  # type: ignore[method-assign, assignment]  # for as long as the worker lives


def _give(thread: threading.Thread, now: current.Current) -> None:
    # Round its function, and not `run`: that would be a cycle, which keeps what the thread has.
    # And by a context, which leaves no frame of ours in tracebacks.
    slot = "function" if isinstance(thread, threading.Timer) else "_target"
    function: Any = getattr(thread, slot, None)
    if not _is_users(function) or getattr(thread, "_context", None) is not None:
        return  # the context is one that the user gave it, from Python 3.14 on
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    context = contextvars.copy_context() if inherits else contextvars.Context()
    context.run(current.concurrent.set, now)
    setattr(thread, slot, functools.partial(context.run, function))


def _is_users(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    ours = (getattr(function, "__module__", None) or "").startswith("burrow_jupyter.")
    return code is not None and not ours and not modules.package_of(code.co_filename)
