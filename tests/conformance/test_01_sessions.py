"""Area 1: starting, ending, connecting. Each test has a burrow of its own."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

import burrow
from burrow import exceptions
from conformance.calls import Counter, add, gated, get_inside, pid, same
from helpers.wait import wait_until


@burrow.remote
def ids():
    return burrow.get_gpu_ids(), burrow.is_initialized()


def test_1_1_the_first_call_starts_a_burrow(own):
    assert not burrow.is_initialized()
    add.options(num_cpus=2)
    assert not burrow.is_initialized()
    assert burrow.get(add.remote(1)) == 2
    assert burrow.is_initialized()
    assert burrow.get(ids.remote())[1] is True
    burrow.shutdown()
    assert not burrow.is_initialized()


@pytest.mark.parametrize(
    "first",
    [
        lambda: burrow.put(1),
        lambda: Counter.remote(),  # noqa: PLW0108 the class is not callable
        lambda: burrow.wait([burrow.put(1)]),
        burrow.cluster_resources,
        burrow.get_runtime_context,
    ],
)
def test_1_1_every_verb_starts_one(own, first):
    kept = first()
    assert burrow.is_initialized()
    assert kept


def test_1_2_amounts_are_taken_at_their_word(own, tmp_path):
    own(num_cpus=5, num_gpus=4, resources={"odd": 2})

    totals = burrow.cluster_resources()
    assert (totals["CPU"], totals["GPU"], totals["odd"]) == (5, 4, 2)


def test_1_2_more_cpus_than_there_are(own, tmp_path):
    own(num_cpus=5)
    gate = tmp_path / "gate"
    refs = [gated.remote(gate, n) for n in range(5)]
    wait_until(lambda: burrow.available_resources().get("CPU", 0) == 0, 20, "five at a time")
    gate.touch()
    assert burrow.get(refs) == list(range(5))


def test_1_2_no_cpus_at_all(own):
    own(num_cpus=0, infeasible="wait")
    waits, default = add.remote(1), Counter.remote()
    call = default.get.remote()

    assert burrow.get(add.options(num_cpus=0).remote(1)) == 2
    assert burrow.get(Counter.options(num_cpus=0).remote(3).get.remote()) == 3
    assert burrow.wait([waits, call], timeout=0.1)[0] == []


def test_1_2_the_default_is_what_this_process_may_use(own):
    own()
    assert burrow.cluster_resources()["CPU"] <= len(os.sched_getaffinity(0))


def test_1_3_the_context_is_a_mapping_and_a_context_manager(own):
    with own(num_cpus=1) as context:
        assert context["node_id"]
        assert context.get("nope", 3) == 3
        assert "session_dir" in context
        with pytest.raises(KeyError):
            context["nope"]
        assert context.dashboard_url == context.address_info["webui_url"] == ""
        assert context.address_info["node_id"] == context["node_id"]
        assert burrow.is_initialized()
    assert not burrow.is_initialized()


def test_1_3_an_unknown_keyword_is_named(own):
    with pytest.raises(RuntimeError, match="nun_cpus"):
        own(nun_cpus=1)


def test_1_4_again_with_the_same_and_with_other_arguments(own):
    first = own(num_cpus=2)
    assert own(num_cpus=2)["node_id"] == first["node_id"]
    with pytest.raises(RuntimeError, match="shutdown"):
        own(num_cpus=3)
    assert own(num_cpus=3, ignore_reinit_error=True)["node_id"] == first["node_id"]


def test_1_5_namespaces(own):
    for wrong, error in ((1, TypeError), ("", ValueError)):
        with pytest.raises(error, match="namespace"):
            own(namespace=wrong)
    own(namespace="mine")
    assert burrow.get_runtime_context().namespace == "mine"
    burrow.shutdown()
    own()
    first = burrow.get_runtime_context().namespace
    burrow.shutdown()
    own()
    assert burrow.get_runtime_context().namespace not in ("", first)


def test_1_6_shutdown_at_any_time(own):
    burrow.shutdown()
    for _ in range(3):
        own(num_cpus=1)
        assert burrow.get(add.remote(1)) == 2
        burrow.shutdown()
        burrow.shutdown()


def test_1_6_it_ends_hung_and_deaf_workers(own, tmp_path):
    own(num_cpus=2)
    trace = tmp_path / "trace"

    @burrow.remote
    def deaf():
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        trace.write_text(str(os.getpid()))
        while True:
            pass

    ref = deaf.remote()
    wait_until(lambda: trace.exists() and trace.read_text(), 10, "the task to run")
    burrow.shutdown()
    with pytest.raises(ProcessLookupError):
        os.kill(int(trace.read_text()), 0)
    assert ref


def test_1_6_refs_and_handles_of_an_old_session(own):
    own(num_cpus=2)
    ref, actor = burrow.put(1), Counter.remote()
    burrow.shutdown()

    for running in (False, True):
        if running:
            own(num_cpus=2)
            same_number = burrow.put(2)
            assert same_number
        with pytest.raises(ValueError, match="ended"):
            burrow.get(ref)
        with pytest.raises(ValueError, match="ended"):
            burrow.get([ref])
        with pytest.raises(ValueError, match="ended"):
            burrow.wait([ref])
        with pytest.raises(exceptions.ActorHandleNotFoundError, match="session"):
            burrow.kill(actor)
        with pytest.raises(ValueError, match="session"):
            actor.get.remote()
        assert burrow.is_initialized() is running
    with pytest.raises(ValueError, match="ended"):
        same.remote(ref)
    with pytest.raises(ValueError, match="ended"):
        same.remote([ref])


def test_1_7_definitions_work_in_the_next_session(own):
    @burrow.remote
    def local():
        return "local"

    for _ in range(2):
        own(num_cpus=2)
        assert burrow.get([local.remote(), add.remote(1)]) == ["local", 2]
        assert burrow.get(Counter.remote(1).get.remote()) == 1
        burrow.shutdown()


@pytest.mark.parametrize("ending", ["", "raise ValueError", "import sys; sys.exit(3)"])
def test_1_8_the_exit_of_the_driver_ends_everything(tmp_path, ending, root):
    code = (
        "import burrow, os\n"
        "from helpers.gates import sleep_long\n"
        "burrow.init(num_cpus=2)\n"
        "task = burrow.remote(sleep_long).remote()\n"
        "pids = burrow.get([burrow.remote(os.getpid).remote() for _ in range(4)])\n"
        "print(*set(pids))\n" + ending
    )
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pids = [int(word) for word in done.stdout.split()]
    assert pids
    for one in pids:
        wait_until(lambda one=one: not alive(one), 10, f"worker {one} to end")


def alive(one):
    try:
        os.kill(one, 0)
    except ProcessLookupError:
        return False
    return True


def test_2_8_modules_of_the_drivers_path_and_directory(own, tmp_path, monkeypatch):
    (tmp_path / "conformance_module.py").write_text("def ask():\n    return 'found'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    own(num_cpus=1)
    import conformance_module

    where = burrow.remote(os.getcwd)
    assert burrow.get(burrow.remote(conformance_module.ask).remote()) == "found"
    assert burrow.get(where.remote()) == str(tmp_path)


def test_4_13_a_full_store_moves_to_disk(own):
    import numpy as np

    own(num_cpus=2, object_store_memory=40_000_000)
    refs = [burrow.put(np.full(1_000_000, n)) for n in range(10)]
    larger = burrow.put(np.full(8_000_000, 3))

    assert [int(burrow.get(ref)[-1]) for ref in refs] == list(range(10))
    assert burrow.get(burrow.remote(lambda array: int(array[-1])).remote(larger)) == 3
    del refs, larger
    gc.collect()


def test_19_5_variables_of_the_session(own, tmp_path):
    own(num_cpus=1, runtime_env={"env_vars": {"CONF_S": "session", "CONF_T": "session"}})
    ask = burrow.remote(lambda: (os.environ.get("CONF_S"), os.environ.get("CONF_T")))
    task = {"env_vars": {"CONF_T": "task"}}

    assert burrow.get(ask.remote()) == ("session", "session")
    assert burrow.get(ask.options(runtime_env=task).remote()) == ("session", "task")
    assert burrow.get(ask.remote()) == ("session", "session")
    burrow.shutdown()
    own(num_cpus=1, runtime_env={"working_dir": str(tmp_path)})
    assert burrow.get(burrow.remote(os.getcwd).remote()) == str(tmp_path)
    with pytest.raises(ValueError, match="pip"):
        burrow.restart(runtime_env={"pip": ["nope"]})


def test_10_9_a_fork_of_user_code_leaves_the_session_alone(own):
    own(num_cpus=2)

    @burrow.remote
    def forks():
        ref = burrow.put("parent's")
        child = os.fork()
        if child == 0:
            gone = not burrow.is_initialized()
            del ref
            gc.collect()
            os._exit(0 if gone else 1)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), burrow.get(ref)

    assert burrow.get(forks.remote()) == (0, "parent's")
    assert burrow.get([pid.remote() for _ in range(3)])
    assert burrow.get(get_inside.remote([burrow.put(1)])) == [1]
