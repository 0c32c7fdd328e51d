"""Bytes to frames: a four-byte length, then that many bytes. Incremental and bounded.

Knows nothing of sockets: whoever reads feeds what it got and takes the whole frames.
"""

from __future__ import annotations

import struct

from burrow_jupyter.core.limits import FRAME_MAX_BYTES

HEADER = struct.Struct("<I")


class FrameTooLarge(Exception):
    """A peer announced a frame above the limit: rubbish, or not one of ours."""


class FrameBuffer:
    """Collects the bytes of one connection and hands out whole frames."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes | memoryview]:
        """Take the next bytes; return the frames that are whole now.

        Raises:
            FrameTooLarge: before anything is allocated for it.
        """
        if self._pending:
            self._pending += data
            data = bytes(self._pending) if self._whole(self._pending) else b""
            if not data:
                return []
            self._pending = bytearray()
        frames: list[bytes | memoryview] = []
        view = memoryview(data)
        start, end = 0, len(data)
        while end - start >= 4:
            (length,) = HEADER.unpack_from(data, start)
            if length > FRAME_MAX_BYTES:
                msg = f"a frame of {length} bytes was announced, {FRAME_MAX_BYTES} are allowed"
                raise FrameTooLarge(msg)
            stop = start + 4 + length
            if stop > end:
                break
            frames.append(view[start + 4 : stop])
            start = stop
        if start < end:
            self._pending += view[start:]
        return frames

    @staticmethod
    def _whole(pending: bytearray) -> bool:
        """Say whether it is worth looking: a large frame comes in many pieces."""
        if len(pending) < 4:
            return False
        length: int = HEADER.unpack_from(pending)[0]
        return length > FRAME_MAX_BYTES or len(pending) >= 4 + length
