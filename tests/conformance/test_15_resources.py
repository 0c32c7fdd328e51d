"""Area 15: resources and GPUs. Each test has a burrow of its own."""

from __future__ import annotations

import gc
import os
import time

import pytest

import burrow
from conformance.calls import Counter, add, crash, gated, pid, traced
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until


def free(name):
    return burrow.available_resources().get(name, 0)


def test_15_1_fractions_add_up_exactly(own, tmp_path):
    own(num_cpus=1)
    gate = tmp_path / "gate"

    @burrow.remote(num_cpus=0.1)
    def tenth(n):
        leave_trace(str(tmp_path / str(n)))
        pass_gate(str(gate))

    tenths = [tenth.remote(n) for n in range(10)]
    wait_until(lambda: len(list(tmp_path.iterdir())) == 10, 20, "all ten to run at once")
    assert free("CPU") == 0
    assert isinstance(burrow.get(pid.options(num_cpus=0).remote()), int)
    gate.touch()
    burrow.get(tenths)
    wait_until(lambda: free("CPU") == 1, 5, "the CPU to be free again")


def test_15_1_gpus_above_one_are_whole(own):
    with pytest.raises(ValueError, match="num_gpus"):
        burrow.remote(num_gpus=1.5)(len)
    with pytest.raises(ValueError, match="num_gpus"):
        add.options(num_gpus=1.5)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"num_cpus": 99}, "num_cpus=99"),
        ({"num_gpus": 1}, "num_gpus"),
        ({"resources": {"odd": 1}}, "odd"),
    ],
)
def test_15_2_what_never_fits_raises_at_the_call(own, given, word):
    own(num_cpus=2)

    for target in (add.options(**given), Counter.options(**given)):
        with pytest.raises(ValueError, match=word) as caught:
            target.remote(1)
        assert "init(" in str(caught.value)


def test_15_2_or_waits_if_asked_to(own):
    own(num_cpus=1, infeasible="wait")
    never = add.options(num_cpus=99).remote(1)
    actor = Counter.options(resources={"odd": 1}).remote()
    call = actor.get.remote()

    assert burrow.wait([never, call], timeout=0.1)[0] == []
    assert burrow.get(add.remote(1)) == 2
    burrow.cancel(never)
    burrow.kill(actor)
    with pytest.raises(burrow.exceptions.TaskCancelledError):
        burrow.get(never, timeout=10)
    with pytest.raises(burrow.exceptions.RayActorError):
        burrow.get(call, timeout=10)


def test_15_2_the_choice_is_checked(own):
    with pytest.raises(ValueError, match="infeasible"):
        own(infeasible="perhaps")


def test_15_3_no_shape_holds_up_another(own, tmp_path):
    own(num_cpus=2, num_gpus=1)
    gate = tmp_path / "gate"
    holder = gated.options(num_gpus=1, num_cpus=0).remote(gate)
    waits = [add.options(num_gpus=1).remote(n) for n in range(5)]

    assert burrow.get([add.remote(n) for n in range(20)]) == list(range(1, 21))
    gate.touch()
    burrow.get([holder, *waits])


def test_15_3_a_stream_of_small_tasks_does_not_starve_a_large_one(own, tmp_path):
    own(num_cpus=2)
    done = tmp_path / "done"

    @burrow.remote
    def small():
        time.sleep(0.001)  # noqa: TID251 how long a task runs, not a wait of the test

    running = [small.remote() for _ in range(3000)]
    large = traced.options(num_cpus=2).remote(done)

    def feed():
        _, rest = burrow.wait(running, num_returns=200)
        running[:] = rest + [small.remote() for _ in range(200)]
        return done.exists()

    wait_until(feed, 20, "the large task to have its turn")
    for ref in running:
        burrow.cancel(ref)
    burrow.get(large)


def test_15_4_totals_and_what_is_free(own, tmp_path):
    own(num_cpus=2, num_gpus=3, resources={"licence": 2})
    totals = burrow.cluster_resources()
    assert {"CPU": 2.0, "GPU": 3.0, "licence": 2.0}.items() <= totals.items()
    assert {"memory", "object_store_memory"} <= set(totals)
    assert all(isinstance(amount, float) for amount in totals.values())

    gate = tmp_path / "gate"
    ref = gated.options(resources={"licence": 1}).remote(gate)
    wait_until(lambda: free("licence") == 1, 10, "the licence to be taken")
    assert free("CPU") == 1
    gate.touch()
    burrow.get(ref)
    wait_until(lambda: burrow.available_resources() == totals, 5, "everything to be free")


@burrow.remote(num_gpus=1)
def gpu_facts():
    return burrow.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")


def test_15_5_gpu_tasks_know_their_ids(own):
    own(num_cpus=2, num_gpus=4)

    assert burrow.get_gpu_ids() == []
    ids, visible = burrow.get(gpu_facts.options(num_gpus=2).remote())
    assert visible == ",".join(map(str, ids))
    assert len(ids) == 2
    assert all(isinstance(gpu, int) for gpu in ids)


def test_15_5_ids_inline(own):
    own(num_cpus=2, num_gpus=4)

    assert burrow.get_gpu_ids() == []
    assert burrow.get(gpu_facts.options(num_gpus=2).remote())[0] == [0, 1]
    assert burrow.get(burrow.remote(burrow.get_gpu_ids).remote()) == []


def test_15_5_holders_of_whole_gpus_never_share(own):
    own(num_cpus=2, num_gpus=3)

    @burrow.remote(num_gpus=1, num_cpus=0)
    class Holder:
        def ids(self):
            return burrow.get_gpu_ids()

    holders = [Holder.remote() for _ in range(3)]
    ids = burrow.get([holder.ids.remote() for holder in holders])
    assert sorted(gpu for one in ids for gpu in one) == [0, 1, 2]


def test_15_5_halves_fill_each_gpu(own, tmp_path):
    own(num_cpus=4, num_gpus=2)
    gate = tmp_path / "gate"

    @burrow.remote(num_gpus=0.5)
    def half():
        pass_gate(str(gate))
        return burrow.get_gpu_ids()[0]

    refs = [half.remote() for _ in range(4)]
    wait_until(lambda: free("GPU") == 0, 20, "all halves to run")
    gate.touch()
    assert sorted(burrow.get(refs)) == [0, 0, 1, 1]


def test_15_5_a_preset_is_the_universe_of_ids(own, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    own(num_cpus=2)

    assert burrow.cluster_resources()["GPU"] == 2
    ids, visible = burrow.get(gpu_facts.remote())
    assert ids[0] in ("GPU-aa", "GPU-bb")
    assert visible == ids[0]
    without = burrow.remote(lambda: os.environ.get("CUDA_VISIBLE_DEVICES"))
    assert burrow.get(without.remote()) == "GPU-aa,GPU-bb"


def test_15_6_workers_are_not_shared_between_gpu_and_cpu_tasks(own):
    own(num_cpus=2, num_gpus=1)
    pids = burrow.get([pid.remote() for _ in range(4)])
    with_gpu = burrow.get(pid.options(num_gpus=1).remote())

    assert with_gpu not in pids
    assert with_gpu not in burrow.get([pid.remote() for _ in range(4)])


def test_15_7_openmp_gets_the_cpus_of_the_task(own, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    own(num_cpus=4)
    threads = burrow.remote(lambda: os.environ.get("OMP_NUM_THREADS"))

    assert burrow.get(threads.options(num_cpus=3).remote()) == "3"
    assert burrow.get(threads.remote()) == "1"
    assert burrow.get(threads.options(num_cpus=0.5).remote()) == "1"


def test_15_7_but_what_the_user_has_set_stays(own, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    own(num_cpus=4)
    threads = burrow.remote(lambda: os.environ.get("OMP_NUM_THREADS"))

    assert burrow.get(threads.options(num_cpus=3).remote()) == "7"


def test_15_8_memory_is_bookkeeping(own):
    own(num_cpus=2)
    take = burrow.remote(lambda: len(bytes(5_000_000)))

    assert burrow.get(take.options(memory=1000).remote()) == 5_000_000


def test_15_8_more_memory_than_there_will_ever_be_is_told_in_bytes(own):
    own(num_cpus=1)

    with pytest.raises(burrow.exceptions.InfeasibleError, match="asks for 1000000000000000 bytes"):
        burrow.remote(len).options(memory=10**15).remote("")


def test_15_9_what_is_freed_wakes_the_next(own):
    own(num_cpus=1)
    holder = Counter.options(num_cpus=1).remote()
    assert burrow.get(holder.get.remote()) == 0
    next_actor = Counter.options(num_cpus=1).remote(1)
    waits = next_actor.get.remote()
    assert burrow.wait([waits], timeout=0.1)[0] == []
    del holder
    gc.collect()
    assert burrow.get(waits) == 1

    del next_actor
    gc.collect()
    with pytest.raises(burrow.exceptions.WorkerCrashedError):
        burrow.get(crash.options(max_retries=0).remote())
    assert burrow.get(add.remote(1)) == 2
