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
