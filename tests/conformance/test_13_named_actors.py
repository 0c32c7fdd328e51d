"""Area 13: named and detached actors."""

from __future__ import annotations

import gc
import os
import threading

import pytest

import burrow
from burrow import exceptions
from conformance.calls import Counter, lines, note
from helpers.gates import pass_gate
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": 1}, TypeError),
        ({"name": ""}, ValueError),
        ({"name": "x", "namespace": 1}, TypeError),
        ({"name": "x", "namespace": ""}, ValueError),
        ({"lifetime": "long"}, ValueError),
        ({"get_if_exists": True}, ValueError),
    ],
)
def test_13_1_options_are_checked(given, error):
    with pytest.raises(error):
        Counter.options(**given).remote()


def test_13_1_all_lifetimes():
    for lifetime in (None, "non_detached", "detached"):
        actor = Counter.options(name="lives", lifetime=lifetime).remote()
        burrow.get(actor.get.remote())
        burrow.kill(actor)


def test_13_2_a_taken_name_is_refused_in_the_caller(tmp_path):
    made = tmp_path / "made"

    @burrow.remote
    class Notes:
        def __init__(self):
            note(made, "x")

        def ask(self):
            return "here"

    first = Notes.options(name="taken").remote()
    with pytest.raises(exceptions.ActorAlreadyExistsError) as caught:
        Notes.options(name="taken").remote()
    assert isinstance(caught.value, ValueError)
    other = Notes.options(name="taken", namespace="elsewhere").remote()
    assert burrow.get([first.ask.remote(), other.ask.remote()]) == ["here", "here"]
    assert lines(made) == ["x", "x"]


def test_13_3_looking_up(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote
    class Slow:
        def __init__(self):
            pass_gate(str(gate))

        def ask(self):
            return "slow"

    slow = Slow.options(name="slow").remote()
    found = burrow.get_actor("slow")
    assert found == slow
    gate.touch()
    assert burrow.get(found.ask.remote()) == "slow"


def test_13_3_errors_and_namespaces():
    kept = Counter.options(name="there", namespace="mine").remote(3)

    assert burrow.get(burrow.get_actor("there", namespace="mine").get.remote()) == 3
    with pytest.raises(ValueError, match="Failed to look up actor with name 'there'"):
        burrow.get_actor("there")
    with pytest.raises(ValueError, match="non-empty"):
        burrow.get_actor("")
    with pytest.raises(ValueError, match="namespace"):
        burrow.get_actor("there", namespace="")
    assert kept


def test_13_3_from_tasks_and_actors():
    kept = Counter.options(name="everywhere").remote(3)

    @burrow.remote
    def task():
        return burrow.get(burrow.get_actor("everywhere").add.remote())

    @burrow.remote
    class Actor:
        def ask(self):
            return burrow.get(burrow.get_actor("everywhere").add.remote())

    assert burrow.get(task.remote()) == 4
    assert burrow.get(Actor.remote().ask.remote()) == 5
    assert kept


def test_13_4_a_name_is_free_after_kill():
    for n in range(5):
        actor = Counter.options(name="again").remote(n)
        assert burrow.get(burrow.get_actor("again").get.remote()) == n
        burrow.kill(actor)
        with pytest.raises(ValueError, match="again"):
            burrow.get_actor("again")


def test_13_4_one_that_restarts_keeps_its_name():
    actor = Counter.options(name="restarts", max_restarts=1, max_task_retries=-1).remote()
    first = burrow.get(actor.pid.remote())
    burrow.kill(actor, no_restart=False)

    with pytest.raises(ValueError, match="taken"):
        Counter.options(name="restarts").remote()
    assert burrow.get(burrow.get_actor("restarts").pid.remote()) != first


def test_13_4_one_that_crashed_keeps_its_name_while_there_are_handles():
    actor = Counter.options(name="crashed").remote()
    with pytest.raises(exceptions.RayActorError):
        burrow.get(actor.crash.remote())
    with pytest.raises(ValueError, match="taken"):
        Counter.options(name="crashed").remote()
    del actor

    def free():
        gc.collect()
        try:
            return Counter.options(name="crashed").remote()
        except ValueError:
            return None

    assert wait_until(free, 10, "the name to be free")


def test_13_5_get_or_create_is_atomic(tmp_path):
    made = tmp_path / "made"

    @burrow.remote
    class Single:
        def __init__(self):
            note(made, os.getpid())

        def pid(self):
            return os.getpid()

    handles = []

    def get_or_create():
        for _ in range(10):
            single = Single.options(name="single", get_if_exists=True).remote()
            handles.append(single)

    threads = [threading.Thread(target=get_or_create) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(handles) == 100
    assert len(set(handles)) == 1
    assert len(set(burrow.get([handle.pid.remote() for handle in handles]))) == 1
    assert len(lines(made)) == 1


def test_13_6_a_detached_actor_needs_no_handle_and_outlives_its_maker():
    @burrow.remote
    class Maker:
        def make(self):
            Counter.options(name="detached", lifetime="detached").remote(7)
            return os.getpid()

    maker = Maker.remote()
    burrow.get(maker.make.remote())
    burrow.kill(maker)
    del maker
    gc.collect()

    found = burrow.get_actor("detached")
    assert burrow.get(found.get.remote()) == 7
    burrow.kill(found)
    with pytest.raises(ValueError, match="detached"):
        burrow.get_actor("detached")


def test_13_7_the_living_are_listed():
    from burrow.util import list_named_actors

    kept = Counter.options(name="listed").remote()
    other = Counter.options(name="listed", namespace="other").remote()

    assert "listed" in list_named_actors()
    namespaces = {
        row["namespace"]
        for row in list_named_actors(all_namespaces=True)
        if row["name"] == "listed"
    }
    assert "other" in namespaces
    assert len(namespaces) == 2
    burrow.kill(kept)
    assert "listed" not in list_named_actors()
    assert other
