"""Queue: who gives up waiting takes nothing from those who go on."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

import burrow
from burrow.util.queue import Empty, Queue
from helpers.wait import wait_until


@pytest.fixture(scope="module", autouse=True)
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


@pytest.fixture
def shelf():
    made = Queue()
    yield made
    made.shutdown(force=True)


def calls_under_way():
    return [
        row
        for row in burrow.tasks()
        if row["name"].endswith(".get") and row["state"] in ("running", "ready", "waiting")
    ]


def test_a_getter_that_its_loop_cancelled_swallows_no_item(shelf):
    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shelf.get_async(), 0.05)

    asyncio.run(give_up())
    wait_until(lambda: not calls_under_way(), 20, "the getter to be gone")

    shelf.put("jam")
    assert shelf.get(timeout=20) == "jam"


def test_a_getter_that_was_interrupted_swallows_no_item(shelf):
    def interrupt():
        wait_until(calls_under_way, 20, "the getter")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    stopper = threading.Thread(target=interrupt)
    stopper.start()
    with pytest.raises(KeyboardInterrupt):
        shelf.get()
    stopper.join()
    wait_until(lambda: not calls_under_way(), 20, "the getter to be gone")

    shelf.put("jam")
    assert shelf.get(timeout=20) == "jam"


def test_a_putter_that_its_loop_cancelled_adds_nothing():
    narrow = Queue(maxsize=1)
    narrow.put(1)

    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(narrow.put_async(2), 0.05)

    asyncio.run(give_up())
    wait_until(
        lambda: (
            not [
                r for r in burrow.tasks() if r["name"].endswith(".put") and r["state"] == "running"
            ]
        ),
        20,
        "the putter to be gone",
    )

    assert narrow.get() == 1
    with pytest.raises(Empty):
        narrow.get_nowait()


def test_a_queue_can_be_named_and_found_from_a_task(shelf):
    named = Queue(actor_options={"name": "shelf"})

    @burrow.remote
    def fill():
        burrow.get(burrow.get_actor("shelf").put.remote("bread", None))

    burrow.get(fill.remote())

    assert named.get(timeout=20) == "bread"
