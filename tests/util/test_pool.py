"""multiprocessing.Pool: callbacks, the end, and what becomes of results when processes die."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import burrow
from burrow.util.multiprocessing import Pool
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until


@pytest.fixture(scope="module", autouse=True)
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


def test_join_returns_after_the_last_callback():
    heard = []

    def callback(value):
        if value == 199:
            threading.Event().wait(0.5)  # the work itself: join must outlast it
        heard.append(value)

    pool = Pool(2)
    results = [pool.apply_async(abs, (-x,), callback=callback) for x in range(200)]
    pool.close()
    pool.join()

    assert sorted(heard) == list(range(200))
    assert [result.get(0) for result in results] == list(range(200))


def test_callbacks_come_one_at_a_time_and_one_that_raises_ends_nothing(monkeypatch):
    told, most, busy = [], [], threading.Lock()
    monkeypatch.setattr(threading, "excepthook", lambda facts: told.append(facts.exc_type))

    def callback(value):
        most.append(busy.acquire(blocking=False))
        busy.release()
        if value == 3:
            raise LookupError

    with Pool(2) as pool:
        results = [pool.apply_async(abs, (-x,), callback=callback) for x in range(50)]
        assert [result.get(20) for result in results] == list(range(50))
        wait_until(lambda: len(most) == 50, 20, "the callbacks")

    assert all(most)
    assert told == [LookupError]


def test_many_results_need_no_thread_each(tmp_path):
    gate = str(tmp_path / "gate")
    with Pool(1) as pool:
        results = [pool.apply_async(pass_gate, (gate,)) for _ in range(100)]
        assert threading.active_count() < 50
        leave_trace(gate)
        for result in results:
            result.get(30)


def test_terminate_fails_what_runs(tmp_path):
    pool = Pool(1)
    result = pool.apply_async(pass_gate, (str(tmp_path / "never"),))

    pool.terminate()
    pool.join()

    with pytest.raises(burrow.exceptions.RayActorError):
        result.get(20)
    assert not result.successful()


def test_a_process_that_dies_fails_its_calls():
    with Pool(1) as pool:
        heard = []
        result = pool.apply_async(os._exit, (1,), error_callback=heard.append)
        with pytest.raises(burrow.exceptions.RayActorError):
            result.get(30)
        wait_until(lambda: heard, 20, "the error callback")
    assert len(heard) == 1


def test_an_empty_map_ends_at_once():
    heard = []
    with Pool(1) as pool:
        assert pool.map_async(abs, [], callback=heard.append).get(20) == []
        wait_until(lambda: heard, 20, "the callback")
    assert heard == [[]]


def test_a_task_may_have_a_pool(tmp_path):
    @burrow.remote
    def nested(gate):
        pool = Pool(1)
        result = pool.apply_async(pass_gate, (gate,))
        leave_trace(gate)
        result.get(20)
        pool.terminate()
        return True

    assert burrow.get(nested.remote(str(tmp_path / "gate")))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"processes": 0}, ValueError),
        ({"initializer": 1}, TypeError),
        ({"maxtasksperchild": 0}, ValueError),
    ],
)
def test_bad_input(given, error):
    with pytest.raises(error, match=next(iter(given))):
        Pool(**given)


def fail(text):
    raise ValueError(text)


def test_an_exception_is_the_one_that_was_raised_with_the_workers_lines_as_its_cause():
    with Pool(2) as pool:
        errors = [
            pool.apply_async(fail, ("burnt",)).get,
            lambda: pool.map(fail, ["burnt"]),
        ]
        for get in errors:
            with pytest.raises(ValueError, match=r"^burnt$") as caught:
                get()
            assert type(caught.value) is ValueError
            assert "in fail" in str(caught.value.__cause__)
        [error] = pool.imap(fail, ["burnt"])
        assert type(error) is ValueError


def test_a_burrow_that_is_started_for_a_pool_has_its_size():
    code = (
        "import burrow; from burrow.util.multiprocessing import Pool; pool = Pool(3); "
        "print(burrow.cluster_resources()['CPU'], len(set(pool.map(lambda _: __import__('os')"
        ".getpid(), range(3), chunksize=1))))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert printed.stdout.split() == ["3.0", "3"]


def test_a_process_that_dies_is_replaced_initializer_and_all():
    def start(value):
        os.environ["KITCHEN"] = value

    with Pool(2, initializer=start, initargs=("warm",)) as pool:
        crashed = pool.apply_async(os._exit, (3,))
        with pytest.raises(burrow.exceptions.RayActorError, match="exit code 3"):
            crashed.get(20)
        seen = pool.map(lambda _: (os.getpid(), os.environ["KITCHEN"]), range(8), chunksize=1)

    assert len({pid for pid, _ in seen}) == 2
    assert {value for _, value in seen} == {"warm"}
