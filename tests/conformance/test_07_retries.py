"""Area 7: retries of tasks."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

import burrow
from burrow import exceptions
from conformance.calls import Mine, add, pid
from helpers.gates import count_runs
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


@burrow.remote
def crashes(folder, times):
    if count_runs(folder) < times:
        os._exit(3)
    return "survived"


@burrow.remote
def raises(folder, times, kind=Mine):
    if count_runs(folder) < times:
        raise kind("not yet")
    return "at last"


class Child(Mine):
    """A subclass of what is retried."""


def runs(folder):
    return len(list(folder.iterdir()))


@pytest.mark.parametrize("retries", [0, 2])
def test_7_1_crashes_are_retried_exactly_so_often(tmp_path, retries):
    with pytest.raises(exceptions.WorkerCrashedError):
        burrow.get(crashes.options(max_retries=retries).remote(str(tmp_path), 10))

    assert runs(tmp_path) == 1 + retries


def test_7_1_for_ever_means_until_it_works(tmp_path):
    ref = crashes.options(max_retries=-1).remote(str(tmp_path), 5)

    assert burrow.get(ref) == "survived"
    assert runs(tmp_path) == 6


def test_7_1_exceptions_are_not_retried_by_default(tmp_path):
    with pytest.raises(Mine):
        burrow.get(raises.remote(str(tmp_path), 1))
    assert runs(tmp_path) == 1


@pytest.mark.parametrize("which", [True, [Mine], (ValueError, Mine)])
def test_7_1_listed_exceptions_are_retried(tmp_path, which):
    ref = raises.options(retry_exceptions=which).remote(str(tmp_path), 2)

    assert burrow.get(ref) == "at last"
    assert runs(tmp_path) == 3


def test_7_1_subclasses_count_and_others_do_not(tmp_path):
    folders = [tmp_path / "child", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    listed = raises.options(retry_exceptions=[Mine])

    assert burrow.get(listed.remote(str(folders[0]), 1, Child)) == "at last"
    with pytest.raises(KeyError):
        burrow.get(listed.remote(str(folders[1]), 1, KeyError))
    assert runs(folders[1]) == 1


def test_7_1_crashes_and_exceptions_share_the_counter(tmp_path):
    @burrow.remote(max_retries=2, retry_exceptions=True)
    def both():
        if count_runs(str(tmp_path)) == 0:
            os._exit(1)
        raise Mine("again")

    with pytest.raises(Mine):
        burrow.get(both.remote())
    assert runs(tmp_path) == 3


def test_7_2_whoever_waits_notices_nothing(tmp_path):
    @burrow.remote
    def crashes_with(value, array):
        if count_runs(str(tmp_path)) == 0:
            os._exit(1)
        return value + int(array.sum())

    ref = crashes_with.remote(burrow.put(1), burrow.put(np.ones(50_000)))
    dependent = add.remote(ref)

    assert burrow.get(dependent) == 50_002
    assert burrow.get(ref) == 50_001


@pytest.mark.parametrize("bad", [1, "x", [1], [int], [KeyboardInterrupt]])
def test_7_3_what_may_be_retried_is_checked(bad):
    with pytest.raises((TypeError, ValueError), match="retry_exceptions"):
        burrow.remote(retry_exceptions=bad)(len)


def test_7_4_the_last_failure_is_the_error(tmp_path):
    with pytest.raises(exceptions.WorkerCrashedError, match="3"):
        burrow.get(crashes.options(max_retries=1).remote(str(tmp_path), 9))
    with pytest.raises(Mine) as caught:
        burrow.get(raises.options(max_retries=1, retry_exceptions=True).remote(str(tmp_path), 99))
    assert isinstance(caught.value, exceptions.RayTaskError)


def test_7_5_cancelled_tasks_are_not_retried(tmp_path):
    @burrow.remote(retry_exceptions=True)
    def waits():
        count_runs(str(tmp_path))
        wait_until(lambda: False, 60, "never")

    ref = waits.remote()
    wait_until(lambda: runs(tmp_path) == 1, 10, "the task to run")
    burrow.cancel(ref)

    with pytest.raises(exceptions.TaskCancelledError):
        burrow.get(ref)
    assert runs(tmp_path) == 1


@pytest.mark.parametrize("code", [None, 0, 5])
def test_7_5_the_exit_of_a_task_is_that_of_its_worker(tmp_path, code):
    @burrow.remote(max_retries=1)
    def leaves():
        count_runs(str(tmp_path))
        sys.exit(code)

    with pytest.raises(exceptions.WorkerCrashedError):
        burrow.get(leaves.remote())
    assert runs(tmp_path) == 2


def test_7_6_a_worker_is_replaced_after_max_calls():
    @burrow.remote(max_calls=1)
    def once():
        return os.getpid()

    pids = [burrow.get(once.remote()) for _ in range(3)]
    wait_until(
        lambda: burrow.available_resources() == burrow.cluster_resources(), 5, "CPUs to be free"
    )

    assert len(set(pids)) == 3
    assert burrow.get(pid.remote()) not in pids


def test_7_7_put_objects_cannot_be_made_again():
    ref = burrow.put(np.zeros(100_000))
    burrow.free([ref])

    with pytest.raises(exceptions.ObjectLostError):
        burrow.get(ref)
