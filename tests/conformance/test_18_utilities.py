"""Area 18: ActorPool, Queue, Pool, joblib, as_completed, map_unordered."""

from __future__ import annotations

import asyncio
import builtins
import itertools
import os
import queue

import pytest

import burrow
from burrow.util import ActorPool, as_completed, map_unordered, multiprocessing
from burrow.util.multiprocessing import Pool
from burrow.util.queue import Empty, Full, Queue
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


@burrow.remote
class Cook:
    def double(self, x):
        return 2 * x

    def wait(self, x, gate):
        pass_gate(gate)
        return x

    def fail(self, x):
        raise ValueError(f"burnt {x}")

    @burrow.method(num_returns=2)
    def two(self, x):
        return x, -x

    def die(self, x):
        os._exit(3)


@burrow.remote
def double(x):
    return 2 * x


@burrow.remote
def after(gate, x):
    pass_gate(gate)
    return x


def cooks(count=2):
    return ActorPool([Cook.options(num_cpus=0).remote() for _ in range(count)])


# ---- ActorPool -------------------------------------------------------------------------


def test_18_1_map_is_ordered_and_values_beyond_the_actors_queue():
    pool = cooks()

    results = pool.map(lambda cook, x: cook.double.remote(x), range(10))

    assert next(results) == 0
    assert list(results) == [2 * x for x in range(1, 10)]


def test_18_1_map_unordered_gives_all():
    pool = cooks()

    results = pool.map_unordered(lambda cook, x: cook.double.remote(x), range(10))

    assert sorted(results) == [2 * x for x in range(10)]


def test_18_1_submit_and_get_next_in_order():
    pool = cooks(1)
    for x in range(3):
        pool.submit(lambda cook, x: cook.double.remote(x), x)

    assert pool.has_next()
    assert [pool.get_next() for _ in range(3)] == [0, 2, 4]
    assert not pool.has_next()
    with pytest.raises(StopIteration):
        pool.get_next()
    with pytest.raises(StopIteration):
        pool.get_next_unordered()


def test_18_1_a_timeout_loses_nothing(tmp_path):
    pool = cooks(1)
    gate = str(tmp_path / "gate")
    pool.submit(lambda cook, x: cook.wait.remote(x, gate), 7)

    for take in (pool.get_next, pool.get_next_unordered):
        with pytest.raises(builtins.TimeoutError):
            take(timeout=0.05)
    leave_trace(gate)

    assert pool.get_next(timeout=20) == 7


def test_18_1_free_actors_and_push():
    pool = cooks(1)
    assert pool.has_free()
    one = pool.pop_idle()
    assert one is not None
    assert pool.pop_idle() is None
    pool.push(one)
    with pytest.raises(ValueError, match="already"):
        pool.push(one)

    pool.submit(lambda cook, x: cook.double.remote(x), 1)
    assert not pool.has_free()
    with pytest.raises(ValueError, match="already"):
        pool.push(one)
    assert pool.get_next() == 2
    assert pool.has_free()


def test_18_1_a_new_actor_takes_what_waits():
    pool = ActorPool([])
    pool.submit(lambda cook, x: cook.double.remote(x), 4)

    pool.push(Cook.options(num_cpus=0).remote())

    assert pool.get_next() == 8


def test_18_1_a_failing_item_raises_on_its_turn_and_its_actor_goes_on():
    pool = cooks(1)
    for x in range(3):
        verb = "fail" if x == 1 else "double"
        pool.submit(lambda cook, x, verb=verb: getattr(cook, verb).remote(x), x)

    assert pool.get_next() == 0
    with pytest.raises(ValueError, match="burnt 1"):
        pool.get_next()
    assert pool.get_next() == 4
    assert pool.has_free()


def test_18_1_get_next_after_get_next_unordered_took_something_in_between(tmp_path):
    pool = cooks(2)
    gate = str(tmp_path / "gate")
    pool.submit(lambda cook, x: cook.wait.remote(x, gate), 1)
    pool.submit(lambda cook, x: cook.double.remote(x), 2)
    assert pool.get_next_unordered(timeout=20) == 4

    with pytest.raises(ValueError, match="get_next_unordered"):
        pool.get_next()
    leave_trace(gate)
    assert pool.get_next_unordered() == 1


def test_18_1_items_with_two_results_come_as_lists():
    assert list(cooks().map(lambda cook, x: cook.two.remote(x), [1, 2])) == [[1, -1], [2, -2]]


def test_18_1_two_maps_do_not_mix():
    pool = cooks()
    first = pool.map(lambda cook, x: cook.double.remote(x), range(6))
    assert next(first) == 0

    assert list(pool.map(lambda cook, x: cook.double.remote(x), [10, 20])) == [20, 40]


# ---- Queue -----------------------------------------------------------------------------


def test_18_2_a_queue_is_first_in_first_out_and_counts():
    shelf = Queue()
    for x in range(3):
        shelf.put(x)

    assert (shelf.qsize(), shelf.size(), len(shelf), shelf.empty(), shelf.full()) == (
        3,
        3,
        3,
        False,
        False,
    )
    assert [shelf.get() for _ in range(3)] == [0, 1, 2]
    assert shelf.empty()


def test_18_2_full_and_empty_are_the_standard_librarys_too():
    shelf = Queue(maxsize=1)
    with pytest.raises(queue.Empty):
        shelf.get_nowait()
    shelf.put("jam")
    assert shelf.full()
    with pytest.raises(queue.Full):
        shelf.put_nowait("more jam")
    with pytest.raises(Full):
        shelf.put("more jam", timeout=0.02)
    assert shelf.get() == "jam"
    with pytest.raises(Empty):
        shelf.get(timeout=0.02)
    for use in (lambda: shelf.get(timeout=-1), lambda: shelf.put(1, timeout=-1)):
        with pytest.raises(ValueError, match="negative"):
            use()


def test_18_2_batches_are_all_or_nothing():
    shelf = Queue(maxsize=3)
    with pytest.raises(Full):
        shelf.put_nowait_batch([1, 2, 3, 4])
    shelf.put_nowait_batch([1, 2, 3])
    with pytest.raises(Empty):
        shelf.get_nowait_batch(4)
    assert shelf.get_nowait_batch(2) == [1, 2]
    with pytest.raises(TypeError):
        shelf.get_nowait_batch("2")
    with pytest.raises(ValueError, match="negative"):
        shelf.get_nowait_batch(-1)


def test_18_2_in_coroutines():
    shelf = Queue(maxsize=1)

    async def use():
        await shelf.put_async(1)
        with pytest.raises(Full):
            await shelf.put_async(2, block=False)
        got = await shelf.get_async()
        with pytest.raises(Empty):
            await shelf.get_async(timeout=0.02)
        return got

    assert asyncio.run(use()) == 1


def test_18_2_who_waits_keeps_nobody_from_the_queue():
    shelf = Queue()

    @burrow.remote(num_cpus=0)
    def take(shared):
        return shared.get(timeout=30)

    takers = [take.remote(shelf) for _ in range(3)]
    for x in range(3):
        shelf.put(x)

    assert sorted(burrow.get(takers)) == [0, 1, 2]


def test_18_2_tasks_share_it_and_it_needs_no_cpu():
    shelf = Queue()

    @burrow.remote(num_cpus=2)
    def fill(shared):
        shared.put("bread")

    burrow.get(fill.remote(shelf))

    assert shelf.get() == "bread"


def test_18_2_after_the_end():
    shelf = Queue()
    shelf.put(1)
    shelf.shutdown()

    with pytest.raises(burrow.exceptions.RayActorError):
        shelf.get()


# ---- Pool ------------------------------------------------------------------------------


@pytest.fixture
def pool():
    with Pool(2) as made:
        yield made


def test_18_3_one_call(pool):
    assert pool.apply(pow, (2, 5)) == 32
    assert pool.apply(int, ("11",), {"base": 2}) == 3
    result = pool.apply_async(lambda x: x + 1, (1,))
    assert result.get(20) == 2
    assert result.ready()
    assert result.successful()


def test_18_3_many_calls(pool):
    assert pool.map(abs, [-1, 2, -3]) == [1, 2, 3]
    assert pool.map(abs, range(100), chunksize=7) == list(range(100))
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert pool.map_async(abs, [-1]).get() == [1]
    assert pool.starmap_async(pow, [(2, 2)]).get() == [4]
    assert list(pool.imap(abs, [-1, -2, -3])) == [1, 2, 3]
    assert sorted(pool.imap_unordered(abs, [-1, -2, -3], chunksize=2)) == [1, 2, 3]
    assert pool.map(abs, []) == []


def test_18_3_callbacks_come_once(pool):
    heard = []
    pool.map_async(abs, [-1, -2], callback=heard.append).wait()
    wait_until(lambda: heard, 20, "the callback")
    failed = []
    pool.map_async(int, ["1", "x", "y"], callback=heard.append, error_callback=failed.append).wait()
    wait_until(lambda: failed, 20, "the error callback")

    assert heard == [[1, 2]]
    assert len(failed) == 1
    assert isinstance(failed[0], ValueError)


def test_18_3_errors(pool):
    with pytest.raises(ValueError, match="invalid literal"):
        pool.map(int, ["1", "x"])
    mixed = list(pool.imap(int, ["1", "x", "3"]))
    assert mixed[0] == 1
    assert isinstance(mixed[1], ValueError)
    assert mixed[2] == 3
    for use in (pool.map, pool.imap, pool.imap_unordered, pool.map_async):
        with pytest.raises(TypeError):
            use(abs, 5)
    with pytest.raises(ValueError, match="still running"):
        pool.join()


def test_18_3_results_that_are_not_ready(pool, tmp_path):
    gate = str(tmp_path / "gate")
    result = pool.apply_async(pass_gate, (gate,))
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.02)
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    leave_trace(gate)
    result.wait(20)
    assert result.successful()


def test_18_3_a_ref_is_awaited(pool):
    assert pool.apply_async(abs, (burrow.put(-5),)).get() == 5


def test_18_3_the_initializer_runs_in_every_process_and_work_is_spread():
    def start(value):
        os.environ["KITCHEN"] = value

    with Pool(3, initializer=start, initargs=("warm",)) as pool:
        seen = pool.map(lambda _: (os.getpid(), os.environ["KITCHEN"]), range(12), chunksize=1)

    assert len({pid for pid, _ in seen}) == 3
    assert {value for _, value in seen} == {"warm"}


def test_18_3_processes_are_replaced():
    with Pool(1, maxtasksperchild=2) as pool:
        pids = pool.map(lambda _: os.getpid(), range(6), chunksize=1)

    assert len(set(pids)) == 3


def test_18_3_close_and_join():
    pool = Pool(1)
    results = pool.map_async(abs, range(20))
    pool.close()
    pool.join()

    assert results.get(0) == list(range(20))
    with pytest.raises(ValueError, match="not running"):
        pool.apply(abs, (1,))


# ---- joblib ----------------------------------------------------------------------------


def test_18_4_joblib_runs_here_also_nested():
    joblib = pytest.importorskip("joblib")
    from burrow.util.joblib import register_burrow, register_ray

    register_burrow()
    register_ray()

    def inner(x):
        return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-x) for _ in range(2)))

    for name in ("burrow", "ray"):
        with joblib.parallel_backend(name, n_jobs=-1):
            squares = joblib.Parallel()(joblib.delayed(pow)(x, 2) for x in range(50))
            nested = joblib.Parallel()(joblib.delayed(inner)(x) for x in range(3))
        assert squares == [x * x for x in range(50)]
        assert nested == [0, 2, 4]


def test_18_4_large_arrays_are_put_once():
    joblib = pytest.importorskip("joblib")
    numpy = pytest.importorskip("numpy")
    from burrow.util.joblib import register_burrow

    register_burrow()
    data = numpy.ones(200_000)
    before = len(burrow.objects())

    with joblib.parallel_config("burrow"):
        sums = joblib.Parallel()(joblib.delayed(numpy.sum)(data) for _ in range(20))

    assert sums == [200_000.0] * 20
    wait_until(lambda: len(burrow.objects()) <= before, 20, "what was shared to go")


def test_18_4_errors_of_joblib_calls():
    joblib = pytest.importorskip("joblib")
    from burrow.util.joblib import register_burrow

    register_burrow()

    with joblib.parallel_config("burrow"), pytest.raises(ValueError, match="invalid literal"):
        joblib.Parallel()(joblib.delayed(int)(x) for x in ["1", "x"])


# ---- as_completed, map_unordered -------------------------------------------------------


def test_18_5_as_completed_gives_what_is_ready_first(tmp_path):
    gate = str(tmp_path / "gate")
    refs = [after.remote(gate, "late"), double.remote(1), double.remote(2)]

    results = as_completed(refs, chunk_size=1)
    assert sorted([next(results), next(results)]) == [2, 4]
    leave_trace(gate)

    assert list(results) == ["late"]


def test_18_5_chunks_are_in_order_and_refs_on_demand():
    refs = [double.remote(x) for x in range(7)]

    assert list(as_completed(refs, chunk_size=7)) == [2 * x for x in range(7)]
    assert list(as_completed(refs, chunk_size=100, yield_obj_refs=True)) == refs
    assert list(as_completed([])) == []
    with pytest.raises(ValueError, match="chunk_size"):
        as_completed(refs, chunk_size=0)


def test_18_5_how_long_to_wait_can_be_said():
    refs = [double.remote(1), double.remote(2)]

    assert sorted(as_completed(refs, timeout=20, fetch_local=True)) == [2, 4]
    assert sorted(map_unordered(double, [1, 2], timeout=20)) == [2, 4]


def test_18_5_map_unordered_reads_only_ahead():
    read = []

    def items():
        for x in itertools.count():
            read.append(x)
            yield x

    results = map_unordered(double, items(), backpressure_size=4, chunk_size=2)
    taken = [next(results) for _ in range(10)]

    assert len(set(taken)) == 10
    assert len(read) <= 14
    assert sorted(map_unordered(double, range(25))) == [2 * x for x in range(25)]
    for sizes in ({"chunk_size": 0}, {"chunk_size": 5, "backpressure_size": 2}):
        with pytest.raises(ValueError, match="chunk_size"):
            map_unordered(double, [], **sizes)
