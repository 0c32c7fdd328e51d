"""Framing: bytes in any pieces, the same frames; too much is refused before it is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burrow_jupyter.core.framing import HEADER, FrameBuffer, FrameTooLarge
from burrow_jupyter.core.limits import FRAME_MAX_BYTES


def written(frames):
    return b"".join(HEADER.pack(len(frame)) + frame for frame in frames)


@given(st.lists(st.binary(max_size=30), max_size=8), st.data())
def test_frames_come_whole_and_in_order_however_the_bytes_come(frames, data):
    stream = written(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    buffer = FrameBuffer()

    got = [
        bytes(frame)
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in buffer.feed(stream[start:end])
    ]

    assert got == frames


def test_a_frame_that_is_not_whole_is_not_handed_out():
    buffer = FrameBuffer()

    assert buffer.feed(written([b"hello"])[:-1]) == []
    assert [bytes(f) for f in buffer.feed(b"o")] == [b"hello"]


@pytest.mark.parametrize("come", [0, 3])
def test_a_frame_above_the_limit_is_refused_by_its_header_alone(come):
    header = HEADER.pack(FRAME_MAX_BYTES + 1)
    buffer = FrameBuffer()
    assert buffer.feed(header[:come]) == []

    with pytest.raises(FrameTooLarge, match=str(FRAME_MAX_BYTES)):
        buffer.feed(header[come:])


def test_a_frame_at_the_limit_is_taken():
    buffer = FrameBuffer()
    half = bytes(FRAME_MAX_BYTES // 2)

    assert buffer.feed(HEADER.pack(FRAME_MAX_BYTES)) == []
    assert buffer.feed(half) == []
    assert [len(frame) for frame in buffer.feed(half)] == [FRAME_MAX_BYTES]
