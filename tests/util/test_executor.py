"""`burrow.Executor` keeps the rules of `concurrent.futures`, as CPython's own tests state them."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import threading
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError

import pytest

import burrow
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until


@pytest.fixture(scope="module")
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


@pytest.fixture
def executor(shared):
    with burrow.Executor(max_workers=1) as made:
        yield made


def fail(text):
    raise ValueError(text)


def test_submit_gives_a_future_of_the_standard_library(executor):
    future = executor.submit(pow, 2, exp=5)

    assert isinstance(executor, concurrent.futures.Executor)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(20) == 32
    assert future.done()
    assert not future.running()


def test_arguments_named_as_the_executors_own(executor):
    def take(**kwargs):
        return kwargs

    assert executor.submit(take, self=1, fn=2).result(20) == {"self": 1, "fn": 2}


def test_an_exception_is_of_its_own_type_and_shows_the_workers_lines(executor):
    future = executor.submit(fail, "burnt")

    with pytest.raises(ValueError, match="burnt"):
        future.result(20)
    assert isinstance(future.exception(), ValueError)


def test_what_cannot_be_pickled_fails_in_the_future(executor):
    future = executor.submit(len, threading.Lock())

    with pytest.raises(TypeError, match="lock"):
        future.result(20)
    assert executor.submit(len, "ab").result(20) == 2


def test_waiting_calls_can_be_cancelled_and_running_ones_not(executor, tmp_path):
    gate = str(tmp_path / "gate")
    running = executor.submit(pass_gate, gate)
    waiting = executor.submit(pass_gate, gate)

    assert running.running()
    assert not running.cancel()
    assert waiting.cancel()
    assert waiting.cancelled()
    with pytest.raises(CancelledError):
        waiting.result(0)
    leave_trace(gate)
    running.result(20)


def test_a_timeout_of_result_loses_nothing(executor, tmp_path):
    gate = str(tmp_path / "gate")
    future = executor.submit(pass_gate, gate)

    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.02)
    leave_trace(gate)
    assert future.result(20) is None


def test_callbacks_come_once_with_the_future_and_their_errors_end_nothing(executor, tmp_path):
    heard = []
    gate = str(tmp_path / "gate")
    future = executor.submit(pass_gate, gate)
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(heard.append)
    leave_trace(gate)

    wait_until(lambda: heard, 20, "the callback")
    future.add_done_callback(heard.append)
    assert heard == [future, future]


def test_a_callback_may_submit_more(executor):
    more = []
    first = executor.submit(abs, -1)
    first.add_done_callback(lambda f: more.append(executor.submit(abs, -2)))

    wait_until(lambda: more, 20, "the second call")
    assert more[0].result(20) == 2


def test_map_is_ordered_and_lazy_to_read(executor):
    assert list(executor.map(pow, range(10), range(10))) == [x**x for x in range(10)]
    assert list(executor.map(pow, range(40), itertools.repeat(2), chunksize=7)) == [
        x * x for x in range(40)
    ]
    assert list(executor.map(abs, [])) == []


def test_an_error_in_map_comes_at_its_turn(executor):
    results = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5])

    assert next(results) == (0, 1)
    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_with_a_timeout(executor, tmp_path):
    gate = str(tmp_path / "gate")
    results = executor.map(lambda path: path and pass_gate(path), ["", gate], timeout=0.5)

    assert next(results) == ""
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    leave_trace(gate)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"chunksize": 0}, ValueError),
        ({"buffersize": 0}, ValueError),
        ({"buffersize": "1"}, TypeError),
    ],
)
def test_wrong_arguments_of_map(executor, given, error):
    with pytest.raises(error, match=next(iter(given))):
        executor.map(abs, [1], **given)


def test_buffersize_bounds_how_far_an_endless_iterable_is_read(executor):
    read = []

    def endless():
        for x in itertools.count():
            read.append(x)
            yield x

    results = executor.map(abs, endless(), buffersize=3)

    assert [next(results) for _ in range(5)] == list(range(5))
    assert len(read) <= 9


def test_after_shutdown_nothing_can_be_submitted(shared):
    executor = burrow.Executor()
    future = executor.submit(abs, -3)
    executor.shutdown()

    assert future.result(0) == 3
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)


def test_shutdown_can_cancel_what_waits(shared, tmp_path):
    gate = str(tmp_path / "gate")
    executor = burrow.Executor(max_workers=1)
    running = executor.submit(pass_gate, gate)
    waiting = [executor.submit(abs, -x) for x in range(5)]

    executor.shutdown(wait=False, cancel_futures=True)

    assert all(future.cancelled() for future in waiting)
    assert not running.cancelled()
    leave_trace(gate)
    running.result(20)


def test_shutdown_without_wait_runs_what_waits(shared):
    executor = burrow.Executor(max_workers=1)
    futures = [executor.submit(abs, -x) for x in range(5)]

    executor.shutdown(wait=False)

    assert [future.result(20) for future in futures] == [0, 1, 2, 3, 4]


def test_terminate_ends_what_runs(shared, tmp_path):
    executor = burrow.Executor(max_workers=1)
    running = executor.submit(pass_gate, str(tmp_path / "never"))

    executor.terminate()

    with pytest.raises(burrow.exceptions.TaskCancelledError):
        running.result(20)


def test_wait_and_as_completed_work(executor, tmp_path):
    gate = str(tmp_path / "gate")
    first, failing, late = (
        executor.submit(abs, -1),
        executor.submit(fail, "burnt"),
        executor.submit(pass_gate, gate),
    )

    done, _ = concurrent.futures.wait([first, late], 20, return_when=FIRST_COMPLETED)
    assert first in done
    done, left = concurrent.futures.wait([failing, late], 20, return_when=FIRST_EXCEPTION)
    assert done == {failing}
    leave_trace(gate)
    done, left = concurrent.futures.wait([first, failing, late], 20, return_when=ALL_COMPLETED)
    assert not left
    assert set(concurrent.futures.as_completed([first, failing, late], 20)) == done


def test_the_initializer_runs_before_the_first_call_of_each_process(shared):
    def start(value):
        os.environ["KITCHEN"] = value

    with burrow.Executor(initializer=start, initargs=("warm",)) as executor:
        values = set(executor.map(lambda _: os.environ.get("KITCHEN"), range(20)))

    assert values == {"warm"}


def test_one_worker_runs_one_call_at_a_time(shared, tmp_path):
    def alone(folder):
        import pathlib

        mark = pathlib.Path(folder) / "busy"
        mark.touch(exist_ok=False)
        mark.unlink()
        return True

    with burrow.Executor(max_workers=1) as executor:
        assert all(executor.map(alone, [str(tmp_path)] * 30))


@pytest.mark.parametrize("count", [0, -1])
def test_a_wrong_number_of_workers(shared, count):
    with pytest.raises(ValueError, match="max_workers"):
        burrow.Executor(count)


def test_a_wrong_initializer(shared):
    with pytest.raises(TypeError, match="initializer"):
        burrow.Executor(initializer=1)


def test_many_calls_from_many_threads(shared):
    with burrow.Executor() as executor:
        results = []

        def use():
            results.extend(executor.submit(abs, -x) for x in range(50))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(f.result(30) for f in results) == sorted(list(range(50)) * 4)
