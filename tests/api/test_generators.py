"""Generator tasks: streams, errors in the middle, back-pressure, fixed numbers."""

from __future__ import annotations

import asyncio
import gc
import threading

import numpy as np
import pytest

import burrow
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("two_cpus")


def test_an_async_task_is_awaited():
    @burrow.remote
    async def later(x):
        await asyncio.sleep(0)
        return x + 1

    assert burrow.get(later.remote(1)) == 2


def test_a_dropped_stream_frees_its_items_and_stops_its_producer(tmp_path):
    @burrow.remote
    def endless(path):
        i = 0
        try:
            while True:
                yield np.full(50_000, i)
                i += 1
        finally:
            leave_trace(path)

    ended = tmp_path / "ended"
    stream = endless.remote(str(ended))
    burrow.get(next(stream))
    del stream
    gc.collect()
    wait_until(ended.exists, 20, "the producer to end")
    wait_until(lambda: not burrow.objects(), 20, "the items to be freed")


def test_a_task_that_runs_too_long_is_stopped(tmp_path):
    slow = burrow.remote(timeout=0.1)(pass_gate)
    with pytest.raises(TimeoutError, match=r"0\.1"):
        burrow.get(slow.remote(str(tmp_path / "never")), timeout=20)


@pytest.mark.parametrize("count", ["streaming", "dynamic", 2])
def test_an_item_that_cannot_be_sent_is_named_with_its_line(count):
    @burrow.remote(num_returns=count)
    def make():
        yield 1
        yield {"lid": threading.Lock()}

    line = make.__wrapped__.__code__.co_firstlineno + 3
    refs = make.remote()
    if count == "dynamic":
        refs = burrow.get(refs)
    with pytest.raises(TypeError) as caught:
        burrow.get(list(refs))

    text = str(caught.value)
    assert f"item 1 of make, yielded in {__file__}, line {line}" in text
    assert 'Where: value["lid"]: _thread.lock' in text
    assert "Fix: " in text
