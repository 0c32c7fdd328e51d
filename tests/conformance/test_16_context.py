"""Area 16: the runtime context."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import burrow
from conformance.calls import Counter
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


def facts():
    context = burrow.get_runtime_context()
    return {
        name: getattr(context, f"get_{name}")()
        for name in (
            "job_id",
            "node_id",
            "worker_id",
            "task_id",
            "actor_id",
            "actor_name",
            "task_name",
            "task_function_name",
            "assigned_resources",
        )
    }


@burrow.remote
class Asked:
    def facts(self):
        return facts()

    async def nothing(self):
        pass


@burrow.remote
class Plain:
    def facts(self):
        return facts()

    def current(self):
        return burrow.get_runtime_context().current_actor

    def in_init(self):
        return self.mine

    def __init__(self):
        self.mine = facts()


def is_hex(text):
    return isinstance(text, str) and int(text, 16) >= 0


def test_16_1_in_the_driver():
    known = facts()

    assert all(is_hex(known[name]) for name in ("job_id", "node_id", "worker_id"))
    assert known["task_id"] is None
    assert known["actor_id"] is None
    assert known["actor_name"] is None


def test_16_1_in_a_task():
    ref = burrow.remote(facts).remote()
    known = burrow.get(ref)

    assert known["job_id"] == facts()["job_id"]
    assert known["node_id"] == facts()["node_id"]
    assert known["task_id"] == ref.task_id()
    assert known["actor_id"] is None
    assert known["actor_name"] is None


@pytest.mark.parametrize("cls", [Plain, Asked])
def test_16_1_in_actors(cls):
    unnamed, named = cls.remote(), cls.options(name="named").remote()
    first, second = burrow.get([unnamed.facts.remote(), named.facts.remote()])

    assert first["actor_id"] == unnamed._actor_id
    assert first["actor_name"] == ""
    assert second["actor_name"] == "named"
    assert is_hex(first["task_id"])
    assert first["task_id"] != second["task_id"]
    if cls is Plain:
        made = burrow.get(unnamed.in_init.remote())
        assert made["actor_id"] == unnamed._actor_id
        assert is_hex(made["task_id"])
        assert made["task_name"] == "Plain.__init__"


def test_16_1_ids_as_programs_for_ray_take_them():
    actor = Plain.remote()
    known = burrow.get(actor.facts.remote())

    assert known["actor_id"] == actor._actor_id.hex() == actor._ray_actor_id.hex()
    assert actor._actor_id.binary().hex() == known["actor_id"]
    ref = burrow.remote(facts).remote()
    assert burrow.get(ref)["task_id"] == ref.task_id().hex()
    context = burrow.get_runtime_context()
    assert (context.job_id.hex(), context.node_id.hex()) == (
        context.get_job_id(),
        context.get_node_id(),
    )
    assert Plain.__ray_metadata__.modified_class is Plain.__ray_actor_class__


def test_16_2_names_of_tasks():
    task = burrow.remote(facts)

    assert burrow.get(task.remote())["task_name"] == "facts"
    named = burrow.get(task.options(name="mine").remote())
    assert named["task_name"] == "mine"
    assert named["task_function_name"] == "conformance.test_16_context.facts"
    actor = Plain.remote()
    plain = burrow.get(actor.facts.remote())
    assert plain["task_name"] == "Plain.facts"
    assert plain["task_function_name"] == "conformance.test_16_context.Plain.facts"
    assert burrow.get(actor.facts.options(name="other").remote())["task_name"] == "other"


def test_16_3_assigned_resources():
    task = burrow.remote(facts)

    assert burrow.get(task.remote())["assigned_resources"] == {"CPU": 1.0}
    assert burrow.get(task.options(num_cpus=0.5).remote())["assigned_resources"] == {"CPU": 0.5}
    assert burrow.get(Plain.remote().facts.remote())["assigned_resources"] == {}
    asked = Plain.options(num_cpus=2).remote()
    assert burrow.get(asked.facts.remote())["assigned_resources"] == {"CPU": 2.0}


def test_16_4_the_actor_itself():
    actor = Plain.remote()

    assert burrow.get(actor.current.remote()) == actor
    with pytest.raises(RuntimeError, match="actor"):
        burrow.get_runtime_context().current_actor  # noqa: B018 asking is what raises


def test_16_4_namespace_accelerators_and_the_old_form():
    context = burrow.get_runtime_context()

    assert context.namespace
    assert burrow.get(burrow.remote(lambda: burrow.get_runtime_context().namespace).remote()) == (
        context.namespace
    )
    assert context.get_accelerator_ids()["GPU"] == []
    assert {"job_id", "node_id"} <= set(context.get())
    assert "actor_id" not in context.get()
    inside = burrow.get(burrow.remote(lambda: burrow.get_runtime_context().get()).remote())
    assert "task_id" in inside


def test_16_4_ids_as_older_code_asks_for_them():
    def look():
        context = burrow.get_runtime_context()
        return {
            name: (getattr(context, name).hex(), context.get()[name].hex())
            for name in ("job_id", "node_id", "task_id")
        }

    context = burrow.get_runtime_context()
    assert context.node_id.hex() == context.get_node_id()
    assert context.task_id is None
    assert context.actor_id is None
    ref = burrow.remote(look).remote()
    inside = burrow.get(ref)
    assert inside["task_id"] == (ref.task_id().hex(),) * 2
    assert inside["job_id"] == (context.get_job_id(),) * 2
    counter = Counter.remote()
    own = counter.__ray_call__.remote(lambda self: burrow.get_runtime_context().actor_id.hex())
    assert burrow.get(own) == counter._actor_id.hex()
    assert len(counter._actor_id.binary()) == 16


def test_16_4_what_one_machine_has_no_use_for():
    context = burrow.get_runtime_context()

    assert context.get_placement_group_id() is context.current_placement_group_id is None
    assert context.should_capture_child_tasks_in_placement_group is False
    assert context.get_node_labels() == {}
    assert context.get_dashboard_url() == context.gcs_address == ""


def test_16_4_the_runtime_environment():
    def own():
        return burrow.get_runtime_context().runtime_env

    given = {"env_vars": {"KITCHEN": "warm"}}
    assert burrow.get_runtime_context().runtime_env == {}
    assert burrow.get(burrow.remote(own).options(runtime_env=given).remote()) == given


def test_16_1_ids_have_types_of_their_own():
    names = ("job", "node", "worker", "task", "actor")
    types = (burrow.JobID, burrow.NodeID, burrow.WorkerID, burrow.TaskID, burrow.ActorID)

    def look(self):
        context = burrow.get_runtime_context()
        return [getattr(context, f"{name}_id") for name in names]

    actor = Plain.remote()
    ids = burrow.get(actor.__ray_call__.remote(look))

    assert [type(one) for one in ids] == list(types)
    for one in ids:
        assert (
            one == one.hex() == type(one).from_hex(one.hex()) == type(one).from_binary(one.binary())
        )
        assert len(one.binary()) == type(one).size()
        assert isinstance(one, burrow.UniqueID)
        assert not one.is_nil()
        assert type(one).nil().is_nil()
        assert type(one).from_random() != one
    assert ids[-1] == actor._actor_id
    with pytest.raises(ValueError, match="ActorID has 16 bytes"):
        burrow.ActorID.from_binary(b"short")
    with pytest.raises(TypeError, match="from_hex"):
        burrow.ActorID.from_binary("text")


def test_16_1_the_session_has_a_name_and_a_folder():
    def look():
        context = burrow.get_runtime_context()
        return context.get_session_name(), context.get_temp_dir(), context.get_resource_ids()

    here = look()
    assert burrow.get(burrow.remote(look).remote()) == here
    assert here[0] == burrow.get_runtime_context().get_job_id()
    assert Path(here[1]).is_dir()
    assert here[2] == {"GPU": []}


def test_16_4_a_handle_to_oneself_is_weak():
    actor = Plain.options(name="self-held").remote()
    held = burrow.get(actor.current.remote())
    del actor

    def ended():
        return all(row["state"] != "alive" for row in burrow.actors() if row["name"] == "self-held")

    wait_until(ended, 10, "the actor to end")
    assert held


def test_16_5_in_threads_of_the_users():
    @burrow.remote
    def task():
        found = []
        thread = threading.Thread(target=lambda: found.append(facts()["task_id"]))
        thread.start()
        thread.join(20)
        return found[0]

    ref = task.remote()
    assert burrow.get(ref) == ref.task_id()
