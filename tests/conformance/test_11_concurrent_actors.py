"""Area 11: async and threaded actors, concurrency groups."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading

import pytest

import burrow
from conformance.calls import add, gated
from helpers.gates import pass_gate
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")

VARIABLE = contextvars.ContextVar("conformance", default=None)


@burrow.remote
class Loop:
    """An async actor."""

    def __init__(self):
        self.now = 0
        self.most = 0
        self.begun = []
        self.meeting = None

    async def enter(self, rounds=3):
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(rounds):
            await asyncio.sleep(0)
        self.now -= 1

    async def most_at_once(self):
        return self.most

    async def meet(self, count):
        """Returns when so many calls are here."""
        if self.meeting is None:
            self.meeting = asyncio.Event()
        self.now += 1
        if self.now == count:
            self.meeting.set()
        await self.meeting.wait()
        return count

    async def begin(self, n):
        self.begun.append(n)
        await asyncio.sleep(0.001 * (10 - n))
        return n

    async def order(self):
        return self.begun

    async def thread(self):
        return threading.get_ident()

    def sync_thread(self):
        return threading.get_ident()

    def sync_together(self):
        self.now += 1
        self.most = max(self.most, self.now)
        self.now -= 1
        return self.most

    async def identity(self, n):
        context = burrow.get_runtime_context()
        before = context.get_task_id()
        VARIABLE.set(n)
        await asyncio.sleep(0.01)
        name = asyncio.current_task().get_name()
        return before == context.get_task_id(), VARIABLE.get() == n, before, name


def test_11_1_all_methods_run_on_one_loop():
    loop = Loop.remote()

    assert len(set(burrow.get([loop.thread.remote(), loop.sync_thread.remote()]))) == 1
    assert burrow.get([loop.sync_together.remote() for _ in range(20)])[-1] == 1


def test_11_1_the_constructor_runs_on_that_loop_too():
    @burrow.remote
    class Background:
        def __init__(self):
            self.loop = asyncio.get_running_loop()
            self.rounds = asyncio.Queue()
            self.turning = asyncio.create_task(self.turn())

        async def turn(self):
            await self.rounds.put("turned")

        async def result(self):
            return await self.rounds.get(), asyncio.get_running_loop() is self.loop

    assert burrow.get(Background.remote().result.remote(), timeout=20) == ("turned", True)


def test_11_1_a_constructor_may_be_async():
    @burrow.remote
    class Made:
        async def __init__(self, value):
            await asyncio.sleep(0)
            self.value = value

        def get(self):
            return self.value

    @burrow.remote
    class Broken:
        async def __init__(self):
            raise KeyError("no pan")

    assert burrow.get(Made.remote(value=3).get.remote(), timeout=20) == 3
    with pytest.raises(burrow.exceptions.ActorDiedError, match="no pan"):
        burrow.get(Broken.remote().__ray_ready__.remote(), timeout=20)


def test_11_1_a_thousand_calls_meet():
    loop = Loop.remote()
    assert burrow.get([loop.meet.remote(1000) for _ in range(1000)]) == [1000] * 1000


def test_11_1_a_hundred_thousand_may_be_asked_for():
    loop = Loop.options(max_concurrency=100_000).remote()
    assert burrow.get([loop.meet.remote(1500) for _ in range(1500)]) == [1500] * 1500


def test_11_2_one_at_a_time_across_awaits():
    loop = Loop.options(max_concurrency=1).remote()
    burrow.get([loop.enter.remote() for _ in range(20)])

    assert burrow.get(loop.most_at_once.remote()) == 1


def test_11_3_calls_begin_in_the_order_of_submission():
    loop = Loop.remote()
    refs = [loop.begin.remote(n) for n in range(10)]

    assert burrow.get(refs) == list(range(10))
    assert burrow.get(loop.order.remote()) == list(range(10))


def test_11_3_refs_are_awaited_inside():
    @burrow.remote
    class Awaits:
        async def all(self):
            one = await add.remote(1)
            two, three = await asyncio.gather(add.remote(2), add.remote(3))
            done, _ = await asyncio.wait([asyncio.ensure_future(wrap(add.remote(4)))])
            five = await asyncio.wait_for(add.remote(5), 10)
            return [one, two, three, done.pop().result(), five]

    async def wrap(ref):
        return await ref

    assert burrow.get(Awaits.remote().all.remote()) == [2, 3, 4, 5, 6]


def test_11_3_a_blocking_get_inside_works_but_warns(capfd):
    @burrow.remote
    class Blocks:
        async def block(self):
            return burrow.get(add.remote(1))

    assert burrow.get(Blocks.remote().block.remote()) == 2
    said = []

    def told():
        said.append(capfd.readouterr().err)
        return "await" in "".join(said)

    wait_until(told, 5, "the warning")


def test_11_3_awaiting_inside_does_not_warn(capfd):
    @burrow.remote
    class Awaits:
        async def ask(self):
            return await burrow.put(1)  # it is there already

        async def say(self):
            sys.stderr.write("said last\n")

    awaits = Awaits.remote()
    burrow.get([awaits.ask.remote() for _ in range(5)])
    burrow.get(awaits.say.remote())
    said = []

    def told():
        said.append(capfd.readouterr().err)
        return "said last" in "".join(said)

    wait_until(told, 5, "what was said last")
    assert "await" not in "".join(said)


def test_11_4_each_call_is_itself():
    loop = Loop.remote()
    answers = burrow.get([loop.identity.remote(n) for n in range(300)])

    assert all(same_task and own for same_task, own, _, _ in answers)
    assert len({task for _, _, task, _ in answers}) == 300
    assert {name for *_, name in answers} == {"Loop.identity"}


@burrow.remote
class Threads:
    """A threaded actor."""

    def __init__(self):
        self.local = threading.local()
        self.barrier = threading.Barrier(3, timeout=20)

    def meet(self):
        self.barrier.wait()
        return threading.get_ident()

    def visits(self):
        self.local.count = getattr(self.local, "count", 0) + 1
        return threading.get_ident(), self.local.count

    def gated(self, gate):
        pass_gate(str(gate))

    def ask(self, value=None):
        return value


def test_11_5_a_pool_of_exactly_so_many_threads():
    threads = Threads.options(max_concurrency=3).remote()

    assert len(set(burrow.get([threads.meet.remote() for _ in range(3)]))) == 3
    visits = burrow.get([threads.visits.remote() for _ in range(60)])
    assert len({ident for ident, _ in visits}) <= 3
    assert max(count for _, count in visits) >= 20


def test_11_5_one_thread_for_everything():
    @burrow.remote
    class Serial:
        def __init__(self):
            self.made_in = threading.current_thread() is threading.main_thread()

        def ask(self):
            return self.made_in, threading.current_thread() is threading.main_thread()

    assert burrow.get(Serial.remote().ask.remote()) == (True, True)


@burrow.remote(concurrency_groups={"io": 1, "compute": 2})
class Grouped:
    def __init__(self):
        self.said = []

    @burrow.method(concurrency_group="io")
    def blocked(self, gate):
        pass_gate(str(gate))
        return "let go"

    @burrow.method(concurrency_group="compute")
    def compute(self, n):
        self.said.append(n)
        return n

    def plain(self):
        return "plain"

    def order(self):
        return self.said


def test_11_6_a_blocked_group_holds_up_no_other(tmp_path):
    gate = tmp_path / "gate"
    grouped = Grouped.remote()
    blocked = [grouped.blocked.remote(gate) for _ in range(3)]

    assert burrow.get([grouped.compute.remote(n) for n in range(5)]) == list(range(5))
    assert burrow.get(grouped.plain.remote()) == "plain"
    assert burrow.get(grouped.plain.options(concurrency_group="compute").remote()) == "plain"
    gate.touch()
    assert burrow.get(blocked) == ["let go"] * 3


def test_11_6_groups_of_an_async_actor(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote(concurrency_groups={"io": 1})
    class AsyncGrouped:
        @burrow.method(concurrency_group="io")
        async def blocked(self):
            while not gate.exists():  # noqa: ASYNC110 the gate is another process's
                await asyncio.sleep(0.005)

        async def plain(self):
            return "plain"

    grouped = AsyncGrouped.remote()
    blocked = [grouped.blocked.remote() for _ in range(2)]
    assert burrow.get(grouped.plain.remote()) == "plain"
    gate.touch()
    burrow.get(blocked)


def test_11_6_a_group_that_blocks_its_loop_holds_up_no_other(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote(concurrency_groups={"io": 1})
    class AsyncGrouped:
        async def blocks(self):
            pass_gate(str(gate))
            return asyncio.get_running_loop() is self.loop, threading.get_ident()

        @burrow.method(concurrency_group="io")
        def plain(self):
            return threading.get_ident()

        def __init__(self):
            self.loop = asyncio.get_running_loop()

    grouped = AsyncGrouped.remote()
    blocked = grouped.blocks.remote()
    of_io = burrow.get([grouped.plain.remote() for _ in range(2)], timeout=20)
    gate.touch()

    in_the_constructors_loop, of_default = burrow.get(blocked, timeout=20)
    assert in_the_constructors_loop
    assert of_io[0] == of_io[1] != of_default


def test_11_6_unknown_groups_and_sizes_are_refused():
    grouped = Grouped.remote()

    with pytest.raises((ValueError, burrow.exceptions.RayError), match="nope"):
        burrow.get(grouped.plain.options(concurrency_group="nope").remote())
    with pytest.raises(ValueError, match="io"):
        burrow.remote(concurrency_groups={"io": 0})(type("Empty", (), {}))


def test_11_7_a_call_that_waits_for_arguments_holds_up_nobody(tmp_path):
    gate = tmp_path / "gate"
    waits = gated.remote(gate, "late")
    threads, grouped, loop = (
        Threads.options(max_concurrency=2).remote(),
        Grouped.remote(),
        Loop.remote(),
    )
    late = [threads.ask.remote(waits), grouped.compute.remote(waits), loop.begin.remote(waits)]

    assert burrow.get(threads.ask.remote("early")) == "early"
    assert burrow.get(grouped.plain.remote()) == "plain"
    assert burrow.get(loop.begin.remote(1)) == 1
    burrow.cancel(late[2])
    gate.touch()
    assert burrow.get(late[:2]) == ["late", "late"]


def test_11_7_strict_order_is_refused_there():
    for made in (
        lambda: Loop.options(allow_out_of_order_execution=False).remote(),
        lambda: Threads.options(max_concurrency=2, allow_out_of_order_execution=False).remote(),
    ):
        with pytest.raises(ValueError, match="allow_out_of_order_execution"):
            made()
    strict = Threads.options(allow_out_of_order_execution=False).remote()
    assert burrow.get(strict.ask.remote(1)) == 1
    with pytest.raises(ValueError, match="allow_out_of_order_execution"):
        burrow.remote(max_concurrency=2, allow_out_of_order_execution=False)(
            type("Strict", (), {})
        ).remote()
