"""Calls that wait for each other are told; those that only wait long are not."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

import burrow
from burrow.exceptions import DeadlockError
from helpers.gates import pass_gate


@burrow.remote
class Cook:
    """Asks others, and answers."""

    def __init__(self):
        self.friend = None

    def meet(self, friend):
        self.friend = friend

    def answer(self):
        return "soup"

    def ask(self):
        return burrow.get(self.friend.answer.remote())

    def ask_on(self, depth):
        return burrow.get(self.friend.ask_on.remote(depth - 1)) if depth else "soup"

    def ask_for_a_second(self):
        return burrow.get(self.friend.answer.remote(), timeout=0.1)

    def ask_and_carry_on(self):
        try:
            return burrow.get(self.friend.answer.remote())
        except DeadlockError:
            return "carried on"

    def ask_friend_to_carry_on(self):
        return burrow.get(self.friend.ask_and_carry_on.remote())

    def wait_for_friend(self):
        return burrow.wait([self.friend.answer.remote()])

    def wait_for_either(self, other):
        done, _ = burrow.wait([self.friend.answer.remote(), other[0]])
        return burrow.get(done[0])

    def get_with_own(self, other):
        return burrow.get([*other, self.friend.answer.remote()])

    def ask_in_a_loop(self):
        async def ask():
            return await self.friend.answer.remote()

        return asyncio.run(ask())

    def ask_a_future(self):
        return self.friend.answer.remote().future().result()

    def ask_in_a_loop_for_a_second(self):
        async def ask():
            # Longer than deadlocks take to be found.
            return await asyncio.wait_for(self.friend.answer.remote(), 2.5)

        return asyncio.run(ask())

    def ask_in_a_loop_until_a_thread_gives_up(self):
        async def ask():
            loop, asks = asyncio.get_running_loop(), asyncio.current_task()
            timer = threading.Timer(2.5, lambda: loop.call_soon_threadsafe(asks.cancel))
            timer.start()
            try:
                return await self.friend.answer.remote()
            except asyncio.CancelledError:
                return "given up"

        return asyncio.run(ask())

    def ask_in_the_loop_of_a_thread(self):
        async def ask():
            asked.append((asyncio.get_running_loop(), asyncio.current_task()))
            with contextlib.suppress(asyncio.CancelledError):
                await self.friend.answer.remote()

        asked = []
        thread = threading.Thread(target=asyncio.run, args=[ask()])
        thread.start()
        thread.join(2.5)  # longer than deadlocks take to be found
        loop, asks = asked[0]
        loop.call_soon_threadsafe(asks.cancel)
        thread.join(20)
        return "given up"

    def await_task(self, task):
        return burrow.get(task[0])


@pytest.fixture(autouse=True)
def session():
    burrow.init(num_cpus=2, resources={"oven": 1})
    yield
    burrow.shutdown()


def ring(count, **options):
    cooks = [Cook.options(**options).remote() for _ in range(count)]
    for index, cook in enumerate(cooks):
        burrow.get(cook.meet.remote(cooks[(index + 1) % count]))
    return cooks


def test_an_actor_that_waits_for_itself():
    (cook,) = ring(1)

    with pytest.raises(DeadlockError, match=r"Cook.ask -> Cook.answer -> Cook.ask"):
        burrow.get(cook.ask.remote(), timeout=30)
    assert burrow.get(cook.answer.remote()) == "soup"


@pytest.mark.parametrize("count", [2, 3])
def test_a_ring_of_actors(count):
    cooks = ring(count)

    with pytest.raises(DeadlockError, match="a circle"):
        burrow.get(cooks[0].ask_on.remote(count), timeout=30)
    assert burrow.get([cook.answer.remote() for cook in cooks]) == ["soup"] * count


def test_the_one_that_is_told_may_carry_on_and_so_do_the_others():
    first, second = ring(2)

    ref = first.ask_friend_to_carry_on.remote()

    assert burrow.get(ref, timeout=30) == "carried on"
    assert burrow.get([first.answer.remote(), second.answer.remote()]) == ["soup"] * 2


def test_wait_is_told_as_well():
    (cook,) = ring(1)

    with pytest.raises(DeadlockError):
        burrow.get(cook.wait_for_friend.remote(), timeout=30)


def test_a_task_that_an_actor_and_its_caller_wait_for():
    (cook,) = ring(1)

    @burrow.remote
    def asks(cook):
        return burrow.get(cook.answer.remote())

    @burrow.remote
    def closes(cook):
        return burrow.get(cook.await_task.remote([asks.remote(cook)]))

    with pytest.raises(DeadlockError, match=r"Cook\.await_task"):
        burrow.get(closes.remote(cook), timeout=30)


def test_a_resource_that_only_those_hold_who_wait_for_it():
    @burrow.remote(num_cpus=0, resources={"oven": 1})
    def inner():
        return "baked"

    @burrow.remote(num_cpus=0, resources={"oven": 1})
    def outer():
        return burrow.get(inner.remote())

    with pytest.raises(DeadlockError, match="inner"):
        burrow.get(outer.remote(), timeout=30)
    assert burrow.get(inner.remote(), timeout=30) == "baked"


def test_an_actor_that_holds_all_cpus_and_waits_for_a_task():
    @burrow.remote
    def task():
        return 1

    @burrow.remote(num_cpus=2)
    class Greedy:
        def ask(self):
            return burrow.get(task.remote())

    with pytest.raises(DeadlockError):
        burrow.get(Greedy.remote().ask.remote(), timeout=30)


def test_a_wait_with_a_timeout_is_none():
    (cook,) = ring(1)

    with pytest.raises(burrow.exceptions.GetTimeoutError):
        burrow.get(cook.ask_for_a_second.remote(), timeout=30)


def test_long_waits_are_none(tmp_path):
    first, second = ring(2)
    slow = burrow.remote(pass_gate).remote(str(tmp_path / "gate"))
    refs = [first.await_task.remote([slow]), second.ask.remote()]

    ready, _ = burrow.wait(refs, timeout=2.5)  # longer than deadlocks take to be found

    assert not ready
    (tmp_path / "gate").touch()
    assert burrow.get(refs, timeout=30) == [None, "soup"]


def test_calls_that_run_side_by_side_are_none():
    (cook,) = ring(1, max_concurrency=2)

    assert burrow.get(cook.ask.remote(), timeout=30) == "soup"


def test_either_of_two_is_enough(tmp_path):
    (cook,) = ring(1)
    slow = burrow.remote(pass_gate).remote(str(tmp_path / "gate"))
    ref = cook.wait_for_either.remote([slow])
    ready, _ = burrow.wait([ref], timeout=2.5)

    assert not ready
    (tmp_path / "gate").touch()
    burrow.get(ref, timeout=30)


def test_a_get_that_an_error_would_end_is_none(tmp_path):
    @burrow.remote(max_retries=0)
    def fails(gate):
        pass_gate(gate)
        raise ValueError("late")

    (cook,) = ring(1)
    ref = cook.get_with_own.remote([fails.remote(str(tmp_path / "gate"))])
    ready, _ = burrow.wait([ref], timeout=2.5)  # longer than deadlocks take to be found

    assert not ready
    (tmp_path / "gate").touch()
    with pytest.raises(ValueError, match="late"):
        burrow.get(ref, timeout=30)


def test_a_get_whose_other_makers_have_ended_is_told_with_the_circle(tmp_path):
    (cook,) = ring(1)
    slow = burrow.remote(pass_gate).remote(str(tmp_path / "gate"))
    ref = cook.get_with_own.remote([slow])
    ready, _ = burrow.wait([ref], timeout=2.5)  # longer than deadlocks take to be found

    assert not ready
    (tmp_path / "gate").touch()
    with pytest.raises(DeadlockError, match=r"Cook\.get_with_own -> Cook\.answer -> Cook"):
        burrow.get(ref, timeout=30)


def test_a_concurrency_group_of_one():
    @burrow.remote(concurrency_groups={"io": 1})
    class Grouped:
        def meet(self, friend):
            self.friend = friend

        @burrow.method(concurrency_group="io")
        def ask(self):
            return burrow.get(self.friend.answer.remote())

        @burrow.method(concurrency_group="io")
        def answer(self):
            return 1

    grouped = Grouped.remote()
    burrow.get(grouped.meet.remote(grouped))

    with pytest.raises(DeadlockError, match="a circle"):
        burrow.get(grouped.ask.remote(), timeout=30)


def test_a_constructor_that_waits_for_a_method_of_its_own():
    @burrow.remote
    class Eager:
        def __init__(self):
            burrow.get(burrow.get_actor("eager").answer.remote())

        def answer(self):
            return 1

    eager = Eager.options(name="eager").remote()

    with pytest.raises(burrow.exceptions.ActorDiedError, match="DeadlockError"):
        burrow.get(eager.answer.remote(), timeout=30)


def test_an_actor_that_iterates_over_its_own_stream():
    @burrow.remote
    class Feeds:
        def meet(self, friend):
            self.friend = friend

        def stream(self):
            yield 1

        def eat(self):
            return [burrow.get(ref) for ref in self.friend.stream.remote()]

    feeds = Feeds.remote()
    burrow.get(feeds.meet.remote(feeds))

    with pytest.raises(DeadlockError, match=r"Feeds\.eat -> Feeds\.stream -> Feeds"):
        burrow.get(feeds.eat.remote(), timeout=30)


@pytest.mark.parametrize("how", ["ask_in_a_loop", "ask_a_future"])
def test_an_actor_that_awaits_itself(how):
    (cook,) = ring(1)

    with pytest.raises(DeadlockError, match=rf"Cook\.{how} -> Cook\.answer -> Cook"):
        burrow.get(getattr(cook, how).remote(), timeout=30)
    assert burrow.get(cook.answer.remote()) == "soup"


def test_an_async_actor_of_one_call_that_awaits_itself():
    @burrow.remote(max_concurrency=1)
    class Single:
        def meet(self, friend):
            self.friend = friend

        async def answer(self):
            return 1

        async def ask(self):
            return await self.friend.answer.remote()

    single = Single.remote()
    burrow.get(single.meet.remote(single))

    with pytest.raises(DeadlockError, match=r"Single\.ask runs and awaits Single\.answer"):
        burrow.get(single.ask.remote(), timeout=30)
    assert burrow.get(single.answer.remote(), timeout=30) == 1


def test_a_task_that_awaits_one_which_needs_what_it_holds():
    @burrow.remote(num_cpus=0, resources={"oven": 1})
    def inner():
        return "baked"

    @burrow.remote(num_cpus=0, resources={"oven": 1})
    async def outer():
        return await asyncio.gather(inner.remote(), inner.remote())

    with pytest.raises(DeadlockError, match="inner"):
        burrow.get(outer.remote(), timeout=30)


def test_an_await_with_a_timeout_is_none():
    (cook,) = ring(1)

    with pytest.raises(TimeoutError):
        burrow.get(cook.ask_in_a_loop_for_a_second.remote(), timeout=30)


@pytest.mark.parametrize(
    "how", ["ask_in_a_loop_until_a_thread_gives_up", "ask_in_the_loop_of_a_thread"]
)
def test_an_await_that_another_thread_may_end_is_none(how):
    (cook,) = ring(1)

    assert burrow.get(getattr(cook, how).remote(), timeout=30) == "given up"


def test_threads_of_the_driver_wait_at_the_same_time(tmp_path):
    slow = burrow.remote(pass_gate)
    refs = [slow.remote(str(tmp_path / name)) for name in "ab"]
    ended = []
    threads = [
        threading.Thread(target=lambda ref=ref: ended.append(burrow.wait([ref])[0])) for ref in refs
    ]
    for thread in threads:
        thread.start()

    for name, thread in zip("ab", threads, strict=True):
        (tmp_path / name).touch()
        thread.join(30)

    assert ended == [[ref] for ref in refs]
