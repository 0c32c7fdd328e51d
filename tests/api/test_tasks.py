"""Remote functions: calls, arguments, results, nesting, failures."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback

import numpy as np
import pytest

import burrow
from burrow import exceptions
from helpers.gates import leave_trace, sleep_long
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


def test_a_crash_names_the_exit_code_and_takes_only_its_own_task():
    @burrow.remote(max_retries=0)
    def crash():
        os._exit(3)

    others = [same.remote(i) for i in range(50)]
    with pytest.raises(exceptions.WorkerCrashedError, match="3"):
        burrow.get(crash.remote(), timeout=20)
    assert burrow.get(others) == list(range(50))
    assert burrow.get(same.remote("next"), timeout=20) == "next"


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


def test_ten_thousand_tasks_all_arrive():
    assert burrow.get([same.remote(i) for i in range(10_000)]) == list(range(10_000))


def test_what_tasks_display_is_its_text_where_there_is_no_notebook(capfd):
    @burrow.remote
    def shows():
        from IPython.display import display

        display({"text/plain": "<soup>", "text/html": "<b>soup</b>"}, raw=True)

    burrow.get(shows.remote())

    said: list[str] = []

    def heard() -> bool:
        said.append(capfd.readouterr().out)
        return bool("".join(said))

    wait_until(heard, 5, "the text")
    assert "".join(said) == "<soup>\n"


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


def test_results_that_nobody_wanted_are_let_go_while_several_threads_send(monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))
    before = sys.getswitchinterval()
    done, never = same.remote(1), burrow.remote(sleep_long).remote()
    over = threading.Event()

    def send():
        while not over.is_set():
            burrow.cancel(done)  # of what has ended: a message that has no effect

    threads = [threading.Thread(target=send) for _ in range(2)]
    sys.setswitchinterval(1e-6)  # threads take turns much more often
    try:
        for thread in threads:
            thread.start()
        for _ in range(10):
            refs = [same.remote(never) for _ in range(2_000)]
            for ref in refs:
                burrow.cancel(ref)
            burrow.wait(refs, num_returns=len(refs), timeout=30)
            del ref, refs
    finally:
        sys.setswitchinterval(before)
        over.set()
        for thread in threads:
            thread.join()

    assert not raised
    assert burrow.get(same.remote(2)) == 2


def test_what_is_caught_has_the_notes_of_the_original_and_they_are_shown_once():
    @burrow.remote
    def burn():
        error = ValueError("burnt")
        error.add_note("at 250 degrees")
        raise error

    @burrow.remote
    def cook():
        try:
            burrow.get(burn.remote())
        except ValueError as error:
            error.add_note("on the second try")
            raise

    for ref, notes in (
        (burn.remote(), ["at 250 degrees"]),
        (same.remote(burn.remote()), ["at 250 degrees"]),
        (cook.remote(), ["at 250 degrees", "on the second try"]),
    ):
        with pytest.raises(ValueError, match="burnt") as caught:
            burrow.get(ref)
        error = caught.value

        again = pickle.loads(pickle.dumps(error))
        for one in (error, again):
            assert one.__notes__ == notes
            lines = "".join(traceback.format_exception(one)).splitlines()
            shown = one._render_traceback_()
            for note in notes:
                assert [lines.count(note), shown.count(note)] == [1, 1]


def test_what_is_caught_has_the_context_of_the_original():
    @burrow.remote
    def burn():
        try:
            {}["salt"]
        except KeyError as error:
            raise ValueError("burnt") from error

    with pytest.raises(ValueError, match="burnt") as caught:
        burrow.get(burn.remote())

    assert isinstance(caught.value.__context__, KeyError)
    shown = "".join(traceback.format_exception(caught.value)).splitlines()
    assert shown.count("KeyError: 'salt'") == 1


def test_the_reason_that_sys_exit_is_given_is_told():
    @burrow.remote(max_retries=0)
    def leave():
        sys.exit("the stove is off")

    with pytest.raises(exceptions.WorkerCrashedError, match="the stove is off"):
        burrow.get(leave.remote())
