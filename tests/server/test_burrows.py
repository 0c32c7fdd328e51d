"""Which burrows are shown, and one shared observer of each."""

import asyncio

import pytest

from burrow_jupyter.core.ids import parse_short
from burrow_jupyter.server.burrows import (
    Burrows,
    InvalidId,
    Observers,
    SilentBurrow,
    UnknownBurrow,
    check_session,
    parse_id,
)

SESSION = "00112233445566ff"
KERNEL = "5c0a4f5e-0000-4000-8000-000000000001"
GRACE_S = 0.02


def run(story):
    """Runs a coroutine function in a loop of its own, with its pool of threads."""
    return asyncio.run(asyncio.wait_for(story(), 10))


@pytest.mark.parametrize(
    "text", ["", "0" * 15, "0" * 17, "G" * 16, "0" * 15 + "\n", "../" + "0" * 13, "٣" * 16]
)
def test_what_is_no_session_is_refused(text):
    with pytest.raises(InvalidId):
        check_session(text)


@pytest.mark.parametrize("text", ["", "1", "1.2.3.4", "-1.2", "1.x", "1.64.64", "99999999.1"])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(InvalidId, match=r"^an id looks like 12\.5$"):
        parse_id(text)


def test_an_id_is_what_people_see():
    assert parse_id("12.5") == parse_short("12.5")


def test_only_burrows_of_running_kernels_exist(burrows):
    burrows.add(SESSION, KERNEL)
    burrows.add("1" * 16, "another")
    burrows.add("2" * 16, "")
    kernels = {KERNEL, ""}
    shown = Burrows(lambda: kernels)

    async def story():
        assert [one.session for one in await shown.listings()] == [SESSION]
        for session in ("1" * 16, "2" * 16, "3" * 16):
            with pytest.raises(UnknownBurrow):
                await shown.find(session)
        kernels.clear()
        with pytest.raises(UnknownBurrow):
            await shown.find(SESSION)

    run(story)


def test_users_share_an_observer_which_outlives_them_a_moment(burrows, until):
    head = burrows.add()
    observers = Observers(GRACE_S)

    async def story():
        async with observers.borrow(head.file) as one, observers.borrow(head.file) as other:
            assert one.observer is other.observer
        async with observers.borrow(head.file) as again:
            assert again.observer is one.observer
            await asyncio.sleep(3 * GRACE_S)
            assert not again.observer.closed
        await until(lambda: one.observer.closed)
        async with observers.borrow(head.file) as fresh:
            assert fresh.observer is not one.observer

    run(story)
    assert head.connects == 2


def test_many_that_come_at_once_make_one_connection(burrows):
    head = burrows.add()
    observers = Observers(GRACE_S)

    async def use():
        async with observers.borrow(head.file) as lent:
            return lent.observer

    async def story():
        assert len(set(await asyncio.gather(*(use() for _ in range(20))))) == 1
        await observers.close()

    run(story)
    assert head.connects == 1
    assert head.observers == []


def test_a_head_that_does_not_answer_is_tried_anew_each_time(burrows):
    head = burrows.add()
    observers = Observers(GRACE_S)

    async def story():
        head.answers = False
        for _ in range(2):
            with pytest.raises(SilentBurrow):
                async with observers.borrow(head.file):
                    pass
        head.answers = True
        async with observers.borrow(head.file) as lent:
            assert lent.observer.snapshot() is head.model
        await observers.close()

    run(story)


def test_one_that_gives_up_does_not_end_the_attempt_of_the_others(burrows):
    head = burrows.add()
    observers = Observers(GRACE_S)

    async def use():
        async with observers.borrow(head.file) as lent:
            return lent

    async def story():
        hasty, patient = asyncio.ensure_future(use()), asyncio.ensure_future(use())
        await asyncio.sleep(0)
        hasty.cancel()
        assert (await patient).observer.snapshot() is head.model
        await observers.close()

    run(story)
    assert head.connects == 1


def test_the_end_of_the_head_is_told_once_and_on_the_loops_thread(burrows, until):
    head = burrows.add()
    observers = Observers(GRACE_S)
    told = []

    async def story():
        async with observers.borrow(head.file) as lent:
            with lent.calling_when_ended(lambda: told.append(asyncio.get_running_loop())):
                await asyncio.to_thread(head.end)
                await until(lambda: lent.is_ended)
        assert told == [asyncio.get_running_loop()]
        async with observers.borrow(head.file) as fresh:
            assert fresh.observer is not lent.observer
        await observers.close()

    run(story)


def test_closing_lets_go_of_observers_in_use(burrows):
    head = burrows.add()
    observers = Observers(GRACE_S)

    async def story():
        async with observers.borrow(head.file) as lent:
            await observers.close()
            assert lent.is_ended
            assert lent.observer.closed

    run(story)
