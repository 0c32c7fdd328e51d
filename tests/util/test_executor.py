"""`burrow.Executor` keeps the rules of `concurrent.futures`, as CPython's own tests state them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
)
from concurrent.futures.process import BrokenProcessPool

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
    error = future.exception()
    assert type(error) is ValueError
    assert error.args == ("burnt",)
    assert "in fail" in str(error.__cause__)
    assert isinstance(error.__cause__, burrow.exceptions.RayTaskError)


def test_an_exception_that_goes_through_two_executors_shows_both(executor):
    def outer():
        with burrow.Executor() as inner:
            return inner.submit(fail, "deep").result()

    error = executor.submit(outer).exception(20)

    assert type(error) is ValueError
    assert "in outer" in str(error.__cause__)
    assert "in fail" in str(error.__cause__)


def test_a_crash_is_what_the_standard_library_calls_it_and_the_others_go_on(executor):
    crashed, other = executor.submit(os._exit, 3), executor.submit(abs, -1)

    with pytest.raises(BrokenProcessPool, match="exit code 3"):
        crashed.result(20)
    assert isinstance(crashed.exception(), burrow.exceptions.WorkerCrashedError)
    assert other.result(20) == 1


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


def test_a_callback_that_raises_what_is_no_exception_ends_nothing(executor, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda told_of: told.append(told_of.exc_type))

    def stop(_):
        raise GeneratorExit

    gate = str(tmp_path / "gate")
    future = executor.submit(pass_gate, gate)
    future.add_done_callback(stop)
    leave_trace(gate)

    assert future.result(20) is None
    assert executor.submit(abs, -2).result(20) == 2
    assert told == [GeneratorExit]


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


class Dish:
    """Something that one can hold weakly."""


def test_map_keeps_nothing_that_it_has_handed_out(executor):
    for dish in executor.map(lambda _: Dish(), range(6), chunksize=3):
        held = weakref.ref(dish)
        del dish
        assert held() is None


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


def test_an_initializer_that_raises_breaks_the_executor(shared):
    executor = burrow.Executor(initializer=fail, initargs=("no gas",))
    futures = []
    with contextlib.suppress(BrokenExecutor):  # once the first has ended
        futures.extend(executor.submit(abs, -x) for x in range(20))

    assert futures
    for future in futures:
        with pytest.raises(BrokenExecutor, match="no gas"):
            future.result(20)
    with pytest.raises(BrokenExecutor, match="no gas"):
        executor.submit(abs, 1)
    executor.shutdown()


def test_processes_are_replaced(shared):
    with burrow.Executor(1, max_tasks_per_child=2) as executor:
        pids = [executor.submit(os.getpid).result(20) for _ in range(4)]

    assert len(set(pids)) == 2


def test_tasks_that_wait_for_calls_of_their_own_do_not_wait_for_each_other(shared):
    def cook():
        with burrow.Executor() as own:
            return own.submit(pow, 2, 5).result()

    with burrow.Executor() as executor:
        assert list(executor.map(lambda _: cook(), range(8), timeout=60)) == [32] * 8


SCRIPT = """
import atexit, sys, burrow

@atexit.register
def late():
    try:
        executor.submit(abs, 1)
    except RuntimeError as error:
        print(error, flush=True)

def say():
    open({trace!r}, "w").close()

executor = burrow.Executor(1)
for _ in range(3):
    executor.submit(say)
executor.shutdown(wait=False) if {closed} else None
"""


@pytest.mark.parametrize("closed", [False, True])
def test_a_script_waits_for_what_it_has_submitted(tmp_path, closed):
    trace = tmp_path / "trace"

    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(trace=str(trace), closed=closed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert trace.exists()
    assert "cannot schedule new futures" in ended.stdout
    assert not ended.stderr


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
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        burrow.Executor(count)
    with pytest.raises(ValueError, match="max_tasks_per_child"):
        burrow.Executor(max_tasks_per_child=count)


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
