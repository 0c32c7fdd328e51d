"""What one thread notes while it does something: whoever comes by adds to a list, if there is one."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Collector(threading.local, Generic[T]):
    """A list for each thread, while that collects."""

    found: list[T] | None = None

    @contextlib.contextmanager
    def collecting(self) -> Iterator[list[T]]:
        """Collect what is noted meanwhile, and in no collection further out."""
        outer = self.found
        found: list[T] = []
        self.found = found
        try:
            yield found
        finally:
            self.found = outer
