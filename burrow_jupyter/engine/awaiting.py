"""Awaits of calls that nothing but what they are for can end: the head is told, for deadlocks.

A timer, a socket, a thread or a callback that is due may give up an await, and nobody can
say whether it will. So once in a while it is looked whether a loop has none of these.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from burrow_jupyter.core import messages
from burrow_jupyter.engine import current
from burrow_jupyter.engine.client import ATTENDANT

if TYPE_CHECKING:
    import asyncio

    from burrow_jupyter.core.options import ActorOptions
    from burrow_jupyter.engine.client import Client

LOOK_EVERY_S = 0.4

_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


def watch(client: Client, future: asyncio.Future[Any], task_id: int, number: int) -> None:
    """Look after an await of a call until it is over; in its loop.

    Args:
        client: through which the head hears of it.
        future: that is awaited.
        task_id: the call's.
        number: of the wait.
    """
    loop = future.get_loop()
    found = _watches.get(loop)
    if found is None:
        for closed in [other for other in _watches if other.is_closed()]:
            del _watches[closed]
        found = _watches[loop] = _Watch(client)
    found.add(future, task_id, number)


class _Watch:
    """The awaits of one loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pending: dict[asyncio.Future[Any], tuple[int, int]] = {}
        self._looks = False
        self._told = False

    def add(self, future: asyncio.Future[Any], task_id: int, number: int) -> None:
        self._pending[future] = task_id, number
        future.add_done_callback(self._over)
        self._change(future.get_loop())

    def _over(self, future: asyncio.Future[Any]) -> None:
        self._pending.pop(future, None)
        self._change(future.get_loop())

    def _change(self, loop: asyncio.AbstractEventLoop) -> None:
        self._told = False
        if self._pending and not self._looks and not loop.is_closed():
            self._looks = True
            loop.call_later(LOOK_EVERY_S, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks = False
        calls = {task_id for task_id, _ in self._pending.values()}
        if self._told or not calls:
            return
        if len(calls) == 1 and _rests(loop):
            numbers = [number for _, number in self._pending.values()]
            self._client.post(messages.Standing(calls.pop(), numbers))
            self._client.flush()
            self._told = True
        else:
            self._change(loop)


def _is_single(options: ActorOptions) -> bool:
    return options.max_concurrency == 1 and not options.concurrency_groups


def _rests(loop: Any) -> bool:
    """Say whether nothing can happen in a loop, but that something awaited comes."""
    options = current.facts.actor_options
    if options is not None and options.is_async and not _is_single(options):
        return False  # another call may begin there, and cancel what this one awaits
    try:
        due = loop._ready  # noqa: SLF001  # there is no public way
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # noqa: SLF001
        sockets = len(loop._selector.get_map()) - 1  # noqa: SLF001  # one wakes the loop itself
    except AttributeError:  # a loop of another make
        return False
    ours = [threading.current_thread()]
    if options is not None and options.is_async:
        ours.append(threading.main_thread())  # which hears the head, and runs nothing of the user's
    others = [t for t in threading.enumerate() if t not in ours and t.name != ATTENDANT]
    return not (due or timers or sockets or others)
