"""A first-in, first-out queue that tasks and actors share: an async actor inside."""

from __future__ import annotations

import asyncio
import queue
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import checks, context
from burrow_jupyter.api.calls import cancel, get, kill, wait
from burrow_jupyter.api.remote import remote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from burrow_jupyter.api.refs import ObjectRef


class Empty(queue.Empty):  # the standard library's name
    """Nothing is in the queue."""


class Full(queue.Full):  # the standard library's name
    """No more fits into the queue."""


class Queue:
    """Shared by passing it on: every copy is the same queue. Needs no CPU.

    In inline mode it never waits, but raises `Empty` or `Full` at once.

    Args:
        maxsize: most items; 0 or less: no limit.
        actor_options: of the actor inside, such as `{"name": ...}`.

    Source: Ray 2.60 `ray.util.queue.Queue`, and `queue.Queue` of the standard library.
    """

    def __init__(self, maxsize: int = 0, actor_options: dict[str, Any] | None = None) -> None:
        """Make the actor."""
        given = checks.mapping("actor_options", actor_options or {})
        options = {"num_cpus": 0, "max_concurrency": 10_000, **given}
        self.maxsize = checks.whole("maxsize", maxsize)
        self.actor: Any = remote(**options)(_Items).remote(maxsize)

    def __len__(self) -> int:
        return self.size()

    def __repr__(self) -> str:
        return f"Queue(maxsize={self.maxsize})"

    def size(self) -> int:
        """Return how many items there are now."""
        count: int = get(self.actor.qsize.remote())
        return count

    def qsize(self) -> int:
        """Return how many items there are now."""
        return self.size()

    def empty(self) -> bool:
        """Say whether there is nothing in it now."""
        return self.size() == 0

    def full(self) -> bool:
        """Say whether nothing more fits in now."""
        return 0 < self.maxsize <= self.size()

    def _patience(self, block: bool, timeout: float | None) -> float | None:  # noqa: FBT001  # the caller's
        """Return for how many seconds the actor is to wait."""
        timeout = checks.patience("timeout", timeout)
        if context.backend().name == "inline":
            return 0  # one call runs at a time: nobody could end the wait
        return timeout if block else 0

    # ---- one item ----------------------------------------------------------------------

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002  # as in the standard library
        """Add an item; wait for room, at most `timeout` seconds.

        Raises:
            Full: there was no room.
            ValueError: a negative timeout.
        """
        if not _result(self.actor.put.remote(item, self._patience(block, timeout))):
            raise Full

    async def put_async(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ASYNC109, FBT001, FBT002  # as above
        """Add an item, in a coroutine; as `put`."""
        if not await _awaited(self.actor.put.remote(item, self._patience(block, timeout))):
            raise Full

    def put_nowait(self, item: Any) -> None:
        """Add an item if there is room.

        Raises:
            Full: there is none.
        """
        self.put(item, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002  # as above
        """Take the first item; wait for one, at most `timeout` seconds.

        Raises:
            Empty: there was none.
            ValueError: a negative timeout.
        """
        found = _result(self.actor.get.remote(self._patience(block, timeout)))
        if not found:
            raise Empty
        return found[0]

    async def get_async(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ASYNC109, FBT001, FBT002  # as above
        """Take the first item, in a coroutine; as `get`."""
        found = await _awaited(self.actor.get.remote(self._patience(block, timeout)))
        if not found:
            raise Empty
        return found[0]

    def get_nowait(self) -> Any:
        """Take the first item if there is one.

        Raises:
            Empty: there is none.
        """
        return self.get(block=False)

    # ---- several -----------------------------------------------------------------------

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Add all items, or none.

        Raises:
            Full: they do not all fit in.
            TypeError: `items` cannot be iterated over.
        """
        batch = list(checks.items("items", items))
        if not get(self.actor.put_batch.remote(batch)):
            msg = f"{len(batch)} items do not fit in"
            raise Full(msg)

    def get_nowait_batch(self, num_items: Any) -> list[Any]:
        """Take exactly so many items, or none.

        Raises:
            Empty: there are fewer.
            TypeError: `num_items` is no whole number.
            ValueError: it is negative.
        """
        num_items = checks.whole("num_items", num_items)
        if num_items < 0:
            msg = f"num_items must not be negative, got {num_items}"
            raise ValueError(msg)
        items: list[Any] | None = get(self.actor.get_batch.remote(num_items))
        if items is None:
            msg = f"fewer than {num_items} items are there"
            raise Empty(msg)
        return items

    def shutdown(self, force: bool = False, grace_period_s: int = 5) -> None:  # noqa: FBT001, FBT002  # as in Ray
        """End the queue; later use raises `RayActorError`.

        Args:
            force: at once, without waiting for calls under way.
            grace_period_s: seconds to wait for them.
        """
        checks.patience("grace_period_s", grace_period_s)
        if not force:
            wait([self.actor.__ray_terminate__.remote()], timeout=grace_period_s)
        kill(self.actor, no_restart=True)


def _result(ref: ObjectRef[Any]) -> Any:
    """Return what a call gives; who is interrupted waits no more in the queue either."""
    try:
        return get(ref)
    except KeyboardInterrupt:
        cancel(ref)
        raise


async def _awaited(ref: ObjectRef[Any]) -> Any:
    """As `_result`, in a coroutine: it may be cancelled, as by `asyncio.wait_for`."""
    try:
        return await ref
    except asyncio.CancelledError:
        cancel(ref)
        raise


class _Items:
    """The actor: an asyncio queue, so that who waits does not keep others from it."""

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)

    async def qsize(self) -> int:
        return self._queue.qsize()

    async def put(self, item: Any, timeout: float | None) -> bool:  # noqa: ASYNC109  # the caller's
        if timeout == 0:
            try:
                self._queue.put_nowait(item)
            except asyncio.QueueFull:
                return False
            return True
        try:
            await asyncio.wait_for(self._queue.put(item), timeout)
        except TimeoutError:
            return False
        return True

    async def get(self, timeout: float | None) -> tuple[Any, ...]:  # noqa: ASYNC109  # the caller's
        if timeout == 0:
            try:
                return (self._queue.get_nowait(),)
            except asyncio.QueueEmpty:
                return ()
        try:
            return (await asyncio.wait_for(self._queue.get(), timeout),)
        except TimeoutError:
            return ()

    async def put_batch(self, items: list[Any]) -> bool:
        if 0 < self._maxsize < self._queue.qsize() + len(items):
            return False
        for item in items:
            self._queue.put_nowait(item)
        return True

    async def get_batch(self, count: int) -> list[Any] | None:
        if self._queue.qsize() < count:
            return None
        return [self._queue.get_nowait() for _ in range(count)]


for _public in (Empty, Full, Queue):
    _public.__module__ = "burrow.util.queue"
