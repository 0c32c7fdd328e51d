"""What a worker leaves behind for the head to read."""

from __future__ import annotations

import os

from burrow_jupyter.core import messages
from burrow_jupyter.core.framing import FrameBuffer
from burrow_jupyter.engine import journal, transport


def test_the_head_reads_what_was_begun_and_what_was_not_sent(tmp_path):
    child = os.fork()
    if child == 0:
        written = journal.Journal(str(tmp_path), 7)
        written.begin(11)
        written.note(transport.encode_frame([messages.Done(10)]))
        written.note_end(11, 5, b"result")
        written.begin(12)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)

    begun, ends = journal.read(str(tmp_path), 7)

    (_, _, kept), plain = ends
    (frame,) = FrameBuffer().feed(kept)
    assert begun == 12
    assert transport.decode_from_client(frame) == [messages.Done(10)]
    assert plain == (11, 5, b"result")
    journal.remove(str(tmp_path), 7)
    assert journal.read(str(tmp_path), 7) == (0, [])


def test_what_was_sent_is_not_read_again(tmp_path):
    written = journal.Journal(str(tmp_path), 1)
    written.note(transport.encode_frame([messages.Done(1)]))
    written.clear()
    written.note(transport.encode_frame([messages.Done(2)]))

    _, ends = journal.read(str(tmp_path), 1)

    assert len(ends) == 1
