"""`burrow.util.state`: the columns and words of Ray's state API."""

from __future__ import annotations

import sys

import pytest

import burrow
from burrow.util import placement_group, state
from conformance.calls import Counter, add, crash, fail, same
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until


@pytest.fixture(scope="module", autouse=True, params=["local", "inline"])
def mode(request):
    """The same lists of what ran in processes and of what ran in this one."""
    burrow.init(num_cpus=2, mode=request.param)
    yield request.param
    burrow.shutdown()


def states_of(name):
    return [row.state for row in state.list_tasks(filters=[("name", "=", name)])]


def test_a_task_is_found_by_the_id_that_it_knows_itself_by():
    def own_id():
        context = burrow.get_runtime_context()
        return context.get_task_id(), context.get_worker_id()

    ref = burrow.remote(name="known")(own_id).remote()
    task_id, worker_id = burrow.get(ref)

    [row] = state.list_tasks(filters=[("name", "=", "known")])
    assert row["task_id"] == row.task_id == task_id == ref.task_id()
    assert row.worker_id == worker_id
    assert row.state == "FINISHED"
    assert row.type == "NORMAL_TASK"
    assert row.attempt_number == 0
    assert row.job_id == burrow.get_runtime_context().get_job_id()
    assert row.creation_time_ms <= row.start_time_ms <= row.end_time_ms
    assert state.get_task(task_id) == state.get_task(ref) == row
    assert state.get_task("0" * 32) is None


def test_states_have_rays_words(mode, tmp_path):
    if mode == "inline":
        pytest.skip("nothing waits, and what runs is told by test_what_runs_is_told_from_inside")
    gate = str(tmp_path / "gate")
    busy = [burrow.remote(name="busy")(pass_gate).remote(gate) for _ in range(2)]
    queued = burrow.remote(name="queued")(pass_gate).remote(gate)
    after = same.options(name="after").remote(busy[0])
    wait_until(lambda: states_of("busy") == ["RUNNING"] * 2, 20, "both to run")

    assert states_of("queued") == ["PENDING_NODE_ASSIGNMENT"]
    assert states_of("after") == ["PENDING_ARGS_AVAIL"]
    leave_trace(gate)
    burrow.get([*busy, queued, after])
    wait_until(lambda: states_of("queued") == ["FINISHED"], 20, "its end")


def test_what_runs_is_told_from_inside():
    def look():
        return [(row.name, row.state) for row in state.list_tasks(filters=[("name", "=", "looks")])]

    ref = burrow.remote(name="looks")(look).remote()

    assert burrow.get(ref) == [("looks", "RUNNING")]
    assert states_of("looks") == ["FINISHED"]


def test_failures_are_told_by_kind(mode):
    wrong = fail.options(name="wrong").remote("burnt")
    # Of its own process where there is one.
    dead = (
        burrow.remote(sys.exit).options(name="dead").remote(3)
        if mode == "inline"
        else crash.options(name="dead", max_retries=0).remote()
    )
    burrow.wait([wrong, dead], num_returns=2)

    [row] = state.list_tasks(filters=[("name", "=", "wrong")])
    assert row.state == "FAILED"
    assert row.error_type == "TASK_EXECUTION_EXCEPTION"
    assert "burnt" in row.error_message
    assert states_of("dead") == ["FAILED"]
    for ref in (wrong, dead):
        with pytest.raises(burrow.exceptions.RayError):
            burrow.get(ref)


def test_actors_have_the_ids_of_their_handles():
    counter = Counter.options(name="listed", namespace="elsewhere").remote()
    burrow.get(counter.add.remote())

    row = state.get_actor(counter._actor_id.hex())
    assert row.state == "ALIVE"
    assert row.class_name == "Counter"
    assert (row.name, row.ray_namespace) == ("listed", "elsewhere")
    assert row.pid == burrow.get(
        counter.__ray_call__.remote(lambda self: __import__("os").getpid())
    )
    assert row in state.list_actors(filters=[("state", "=", "alive")])
    burrow.kill(counter)
    wait_until(lambda: state.get_actor(counter._actor_id).state == "DEAD", 20, "its death")
    assert "kill" in state.get_actor(counter._actor_id).death_cause["error_message"]


def test_objects_workers_nodes_groups_and_the_one_job():
    ref = burrow.put(b"x" * 1000)
    group = placement_group([{"CPU": 1}], name="pair")

    [found] = state.get_objects(ref.hex())
    assert found.object_size >= 1000
    worker = state.list_workers()[0]
    assert state.get_worker(worker.worker_id) == worker
    node = state.get_node(burrow.get_runtime_context().get_node_id())
    assert node.state == "ALIVE"
    assert node.resources_total["CPU"] == 2
    assert burrow.nodes()[0]["NodeName"] == node.node_name
    listed = state.get_placement_group(group.id.hex())
    assert (listed.name, listed.state) == ("pair", "CREATED")
    burrow.util.remove_placement_group(group)
    assert [job.job_id for job in state.list_jobs()] == [burrow.get_runtime_context().get_job_id()]


def test_summaries():
    burrow.get([add.options(name="summed").remote(1) for _ in range(3)])
    counter = Counter.remote()
    burrow.get(counter.add.remote())

    tasks = state.summarize_tasks()["cluster"]
    assert tasks["summary"]["summed"]["state_counts"] == {"FINISHED": 3}
    assert tasks["summary"]["Counter.add"]["type"] == "ACTOR_TASK"
    assert tasks["total_tasks"] >= 3
    actors = state.summarize_actors()["cluster"]
    assert actors["summary"]["Counter"]["state_counts"]["ALIVE"] == 1
    assert state.summarize_objects()["cluster"]["total_objects"] == len(state.list_objects())


def test_what_is_no_filter():
    for filters in ([("name", "~", "x")], [("nam", "=", "x")]):
        with pytest.raises(ValueError, match="filter"):
            state.list_tasks(filters=filters)
    assert len(state.list_tasks(limit=1)) == 1


def test_rows_are_a_table_and_a_data_frame():
    pandas = pytest.importorskip("pandas")
    burrow.get(add.options(name="framed").remote(1))

    assert "framed" in repr(state.list_tasks())
    frame = pandas.DataFrame(state.list_tasks())
    assert "framed" in set(frame["name"])
    with pytest.raises(AttributeError, match="task_id"):
        state.list_tasks()[0].nothing  # noqa: B018  # asking is what raises
