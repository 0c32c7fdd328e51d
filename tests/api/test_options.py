"""Bad input at decoration and at `.options()`: the error names the option and the fix."""

from __future__ import annotations

import threading

import pytest

import burrow


def function():
    return 1


class Thing:
    def method(self):
        return 1


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"num_cpu": 1}, ValueError, "num_cpus"),
        ({"num_retries": 1}, ValueError, "max_retries"),
        ({"max_restarts": 1}, ValueError, "actor"),
        ({"num_cpus": -1}, ValueError, "num_cpus"),
        ({"num_cpus": 0.00001}, ValueError, "0.0001"),
        ({"num_gpus": 1.5}, ValueError, "whole"),
        ({"max_retries": 1.0}, TypeError, "max_retries"),
        ({"max_retries": -2}, ValueError, "max_retries"),
        ({"num_returns": "many"}, ValueError, "streaming"),
        ({"num_returns": "streaming"}, ValueError, "generator"),
        ({"retry_exceptions": [1]}, TypeError, "retry_exceptions"),
        ({"resources": {"GPU": 1}}, ValueError, "num_gpus"),
        ({"runtime_env": {"pip": ["x"]}}, ValueError, "pip"),
    ],
)
def test_a_wrong_task_option_is_refused_at_decoration(given, error, text):
    with pytest.raises(error, match=text):
        burrow.remote(**given)(function)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"max_calls": 1}, ValueError, "task"),
        ({"max_restart": 1}, ValueError, "max_restarts"),
        ({"lifetime": "long"}, ValueError, "detached"),
        ({"name": ""}, ValueError, "empty"),
        ({"name": 3}, TypeError, "name"),
        ({"get_if_exists": True}, ValueError, "name"),
        ({"concurrency_groups": {"io": 0}}, ValueError, "io"),
    ],
)
def test_a_wrong_actor_option_is_refused_at_decoration(given, error, text):
    with pytest.raises(error, match=text):
        burrow.remote(**given)(Thing)


def test_the_forms_of_remote():
    for wrong in (burrow.remote, lambda: burrow.remote(1, 2), lambda: burrow.remote(3)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError, match="max_calls"):
        burrow.remote(function).options(max_calls=1)
    with pytest.raises(ValueError, match="concurrency_groups"):
        burrow.remote(Thing).options(concurrency_groups={"io": 1})


def test_options_leave_the_original_alone():
    remote = burrow.remote(num_returns=2)(function)
    other = remote.options(num_cpus=0, num_returns=None)
    assert other is not remote
    assert other._options.num_returns == 2
    assert remote._options.shape != other._options.shape
    assert remote.__name__ == "function"


def test_unpicklable_things_are_named_at_the_call(two_cpus):
    lock = threading.Lock()

    @burrow.remote
    def captures():
        return lock

    @burrow.remote
    def takes(value):
        return value

    @burrow.remote
    def returns():
        return threading.Lock()

    for use in (
        captures.remote,
        lambda: takes.remote(lock),
        lambda: takes.remote({"a": [lock]}),
        lambda: burrow.put(lock),
        lambda: burrow.get(returns.remote(), timeout=20),
    ):
        with pytest.raises(TypeError, match="lock") as caught:
            use()
        assert len(str(caught.value).splitlines()) <= 20
