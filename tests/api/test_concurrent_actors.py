"""Async and threaded actors, concurrency groups, exits and cancelled calls."""

from __future__ import annotations

import asyncio

import pytest

import burrow
from helpers.gates import pass_gate

pytestmark = pytest.mark.usefixtures("two_cpus")


@burrow.remote
class Gate:
    """Calls wait here for each other, which serial calls never could."""

    def __init__(self):
        self.event = asyncio.Event()
        self.waiting = 0

    async def wait(self):
        self.waiting += 1
        await self.event.wait()
        return "through"

    async def open(self):
        self.event.set()

    async def count(self):
        return self.waiting

    async def identity(self):
        before = burrow.get_runtime_context().get_task_id()
        await asyncio.sleep(0)
        return before == burrow.get_runtime_context().get_task_id(), before

    async def fail(self):
        raise KeyError("async")

    async def items(self, n):
        for i in range(n):
            yield i

    async def leave(self):
        burrow.exit_actor()


def test_errors_and_streams_of_async_actors():
    gate = Gate.remote()
    with pytest.raises(KeyError, match="async"):
        burrow.get(gate.fail.remote(), timeout=20)
    assert [burrow.get(ref) for ref in gate.items.remote(5)] == list(range(5))


def test_twenty_thousand_calls_wait_for_a_constructor_and_for_an_argument(tmp_path):
    made, given = tmp_path / "made", tmp_path / "given"

    @burrow.remote
    class Late:
        def __init__(self):
            pass_gate(str(made))

        async def same(self, value):
            return value

    @burrow.remote
    def gated():
        pass_gate(str(given))
        return 1

    late, value = Late.remote(), gated.remote()
    of_the_constructor = [late.same.remote(0) for _ in range(20_000)]
    made.touch()
    assert burrow.get(of_the_constructor, timeout=60) == [0] * 20_000
    of_the_argument = [late.same.remote(value) for _ in range(20_000)]
    assert burrow.get(late.same.remote(2), timeout=60) == 2
    given.touch()
    assert burrow.get(of_the_argument, timeout=60) == [1] * 20_000


def test_a_call_that_is_cancelled_in_the_round_of_the_loop_in_which_it_comes_ends(tmp_path):
    @burrow.remote
    class Busy:
        async def block(self, path):
            pass_gate(path)

        async def call(self):
            return 1

    busy = Busy.remote()
    for number in range(5):
        gate = tmp_path / str(number)
        blocks = busy.block.remote(str(gate))
        refs = [busy.call.remote() for _ in range(10)]
        for ref in refs:
            burrow.cancel(ref)
        burrow.tasks()  # the head has sent all of it
        gate.touch()

        burrow.get(blocks)
        for ref in refs:
            with pytest.raises(burrow.exceptions.TaskCancelledError):
                burrow.get(ref, timeout=20)
