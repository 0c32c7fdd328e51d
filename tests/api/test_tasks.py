"""Remote functions: calls, arguments, results, nesting, failures."""

from __future__ import annotations

import os
import threading
from functools import partial

import numpy as np
import pytest

import burrow
from burrow import exceptions
from helpers.gates import count_runs, leave_trace, pass_gate, sleep_long
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("two_cpus")


@burrow.remote
def add(a, b=1, *rest, c=0, **more):
    return a + b + sum(rest) + c + sum(more.values())


@burrow.remote
def same(value):
    return value


@burrow.remote
def fail(text):
    raise ValueError(text)


def test_a_call_returns_a_ref_whose_value_is_the_result():
    ref = add.remote(1, 2)

    assert isinstance(ref, burrow.ObjectRef)
    assert burrow.get(ref) == 3


def test_defaults_and_keywords_work_as_in_a_local_call():
    assert burrow.get(add.remote(1)) == 2
    assert burrow.get(add.remote(1, 2, 3, 4, c=5, d=6)) == 21
    assert burrow.get(add.remote(a=4, b=add.remote(1))) == 6


def test_a_user_may_call_a_parameter_anything():
    @burrow.remote
    def odd(args, kwargs, name, num_returns, task_id, actor):
        return [args, kwargs, name, num_returns, task_id, actor]

    refs = odd.remote(1, kwargs=2, name=3, num_returns=4, task_id=5, actor=6)

    assert burrow.get(refs) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1,), {"a": 2}), ((), {"b": 2})],
    ids=["few", "double", "missing"],
)
def test_arguments_that_do_not_fit_raise_at_the_call(args, kwargs):
    with pytest.raises(TypeError, match="add"):
        add.remote(*args, **kwargs)


def test_a_ref_argument_is_replaced_by_its_value_and_one_in_a_list_is_not():
    ref = burrow.put(5)

    assert burrow.get(same.remote(ref)) == 5
    inner = burrow.get(same.remote([ref]))[0]
    assert inner == ref
    assert burrow.get(inner) == 5


def test_a_task_may_return_a_ref_which_is_unwrapped_once():
    @burrow.remote
    def give():
        return burrow.put("deep")

    inner = burrow.get(give.remote())

    assert isinstance(inner, burrow.ObjectRef)
    assert burrow.get(inner) == "deep"


def test_chains_of_a_thousand_dependent_tasks_end():
    ref = add.remote(0)
    for _ in range(999):
        ref = add.remote(ref)

    assert burrow.get(ref) == 1000


def test_one_cpu_is_enough_for_parents_that_wait_for_children():
    burrow.shutdown()
    burrow.init(num_cpus=1)

    @burrow.remote
    def depth(n):
        return 0 if n == 0 else 1 + burrow.get(depth.remote(n - 1))

    assert burrow.get(depth.remote(12), timeout=60) == 12


def test_several_results_are_several_refs():
    @burrow.remote(num_returns=3)
    def three():
        return 1, 2, 3

    refs = three.remote()

    assert burrow.get(refs) == [1, 2, 3]
    assert three.options(num_returns=0).remote() is None
    assert burrow.get(three.options(num_returns=1).remote()) == (1, 2, 3)


def test_a_wrong_number_of_results_fails_every_ref_with_both_numbers():
    @burrow.remote(num_returns=3)
    def two():
        return 1, 2

    for ref in two.remote():
        with pytest.raises(ValueError, match=r"3.*2|2.*3"):
            burrow.get(ref)


def test_the_original_exception_type_comes_out_of_get_each_time():
    ref = fail.remote("burnt")

    for _ in range(2):
        with pytest.raises(ValueError, match="burnt"):
            burrow.get(ref)
        with pytest.raises(exceptions.RayTaskError):
            burrow.get(ref)


def test_a_dependent_task_does_not_run_and_carries_the_original_type():
    ran = burrow.get(same.remote(0))

    ref = add.remote(add.remote(fail.remote("burnt")))

    with pytest.raises(ValueError, match="burnt"):
        burrow.get(ref)
    assert ran == 0


def test_get_of_a_list_raises_while_others_still_run():
    never = burrow.remote(pass_gate).remote("/nonexistent/burrow")
    with pytest.raises(ValueError, match="quick"):
        burrow.get([never, fail.remote("quick")], timeout=20)
    burrow.cancel(never)


def test_lambdas_partials_and_closures_run():
    base = 10
    assert burrow.get(burrow.remote(lambda x: x + base).remote(1)) == 11
    assert burrow.get(burrow.remote(partial(pow, 2)).remote(5)) == 32
    functions = [burrow.remote(lambda i=i: i) for i in range(5)]
    assert burrow.get([f.remote() for f in functions]) == list(range(5))


def test_arguments_are_snapshots_and_arrays_are_private_to_their_reader():
    @burrow.remote
    def scribble(array, listed):
        array[0] = 1
        listed.append(1)
        return array[0], len(listed)

    array, listed = np.zeros(1_000_000), []
    ref = burrow.put(array)
    assert burrow.get([scribble.remote(ref, listed) for _ in range(4)]) == [(1.0, 1)] * 4
    assert burrow.get(ref)[0] == 0
    assert array[0] == 0
    assert listed == []


def test_a_function_is_not_called_directly():
    with pytest.raises(TypeError, match=r"add\.remote"):
        add(1)


def test_a_crash_names_the_exit_code_and_takes_only_its_own_task():
    @burrow.remote(max_retries=0)
    def crash():
        os._exit(3)

    others = [same.remote(i) for i in range(50)]
    with pytest.raises(exceptions.WorkerCrashedError, match="3"):
        burrow.get(crash.remote(), timeout=20)
    assert burrow.get(others) == list(range(50))
    assert burrow.get(same.remote("next"), timeout=20) == "next"


def test_a_crashed_task_runs_again_as_often_as_it_may(tmp_path):
    @burrow.remote(max_retries=2)
    def crash_twice(folder):
        count = count_runs(folder)
        if count < 2:
            os.kill(os.getpid(), 9)
        return count

    assert burrow.get(crash_twice.remote(str(tmp_path)), timeout=20) == 2
    assert count_runs(str(tmp_path)) == 3


def test_listed_exceptions_are_retried_and_others_are_not(tmp_path):
    @burrow.remote(max_retries=5, retry_exceptions=[KeyError])
    def stubborn(folder, kind):
        count = count_runs(folder)
        if count < 2:
            raise kind("again")
        return count

    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert burrow.get(stubborn.remote(str(first), KeyError)) == 2
    with pytest.raises(OSError, match="again"):
        burrow.get(stubborn.remote(str(second), OSError))
    assert count_runs(str(second)) == 1


def test_a_sleeping_task_is_interrupted_by_cancel_and_its_worker_lives_on(tmp_path):
    began = tmp_path / "began"

    @burrow.remote
    def sleep(path):
        leave_trace(path)
        sleep_long()

    ref = sleep.remote(str(began))
    wait_until(began.exists, 20, "the task to have begun")
    burrow.cancel(ref)
    with pytest.raises(exceptions.TaskCancelledError, match="cancelled"):
        burrow.get(ref, timeout=20)
    assert burrow.get(same.remote(1), timeout=20) == 1


def test_a_queued_task_is_cancelled_before_it_runs(tmp_path):
    hold, touch = burrow.remote(pass_gate), burrow.remote(leave_trace)
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    held = [hold.remote(str(gate)) for _ in range(2)]
    queued = touch.remote(str(trace))
    burrow.cancel(queued)
    with pytest.raises(exceptions.TaskCancelledError):
        burrow.get(queued, timeout=20)
    gate.touch()
    burrow.get(held, timeout=20)
    assert not trace.exists()


def test_many_threads_get_at_once():
    refs = [same.remote(i) for i in range(200)]
    results: list[list[int]] = []

    def collect():
        results.append(burrow.get(refs))

    threads = [threading.Thread(target=collect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert results == [list(range(200))] * 8


def test_ten_thousand_tasks_all_arrive():
    assert burrow.get([same.remote(i) for i in range(10_000)]) == list(range(10_000))


def test_printed_lines_reach_the_driver(capfd):
    @burrow.remote
    def say(text):
        print(text)  # noqa: T201 what is tested

    burrow.get([say.remote(f"line {i}") for i in range(20)])
    burrow.shutdown()
    lines = capfd.readouterr().out.split("\n")

    assert sorted(line for line in lines if line.startswith("line")) == sorted(
        f"line {i}" for i in range(20)
    )
