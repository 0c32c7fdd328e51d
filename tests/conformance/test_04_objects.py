"""Area 4: put, get, wait."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref

import numpy as np
import pytest

import burrow
from burrow import exceptions
from burrow.util.state import list_objects
from conformance.calls import Mine, add, fail, gated, get_inside, pid, same
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


def test_4_1_put_takes_a_snapshot():
    value = [1, 2]
    ref = burrow.put(value)
    value.append(3)

    assert burrow.get(ref) == [1, 2]
    assert burrow.put(1) != burrow.put(1)


def test_4_1_put_of_a_ref_is_refused():
    with pytest.raises(TypeError, match="ObjectRef"):
        burrow.put(burrow.put(1))


def test_4_1_none_and_recursive_structures_and_classes():
    recursive = [1]
    recursive.append(recursive)

    class Local:
        pass

    assert burrow.get(burrow.put(None)) is None
    back = burrow.get(burrow.put(recursive))
    assert back[1] is back
    assert burrow.get(burrow.put(Local)).__name__ == "Local"


def test_4_2_refs_have_an_identity():
    ref, other = burrow.put(1), burrow.put(1)

    assert len({ref, other, ref}) == 2
    assert ref.hex() != other.hex()
    assert repr(ref) != repr(other)
    assert burrow.get(same.remote([ref])) == [ref]
    assert burrow.ObjectID is burrow.ObjectRef
    assert burrow.ObjectRef[int]


def test_4_2_a_ref_can_be_made_of_its_bytes_while_its_object_lives():
    def read(binary):
        return burrow.get(burrow.ObjectRef(binary))

    ref = burrow.put("jam")
    binary, text = ref.binary(), ref.hex()
    assert burrow.ObjectRef(binary) == burrow.ObjectRef.from_hex(text) == ref
    assert burrow.ObjectRef.from_binary(binary) == ref
    assert burrow.get(burrow.remote(read).remote(binary)) == "jam"
    assert len(binary) == burrow.ObjectRef.size()
    assert ref.job_id().hex() == burrow.get_runtime_context().get_job_id()
    assert not ref.is_nil()

    id_of_it = text[16:]
    del ref
    wait_until(lambda: all(id_of_it != row for row in living()), 20, "the object to be gone")
    with pytest.raises(exceptions.ObjectLostError):
        burrow.get(burrow.ObjectRef(binary), timeout=20)
    with pytest.raises(exceptions.ObjectLostError):
        burrow.get(burrow.remote(read).remote(binary), timeout=20)


def living():
    """The ids of the objects that there are."""
    return [row.object_id[16:] for row in list_objects()]


@pytest.mark.parametrize("wrong", [1, "jam", None, b"jam", b"j" * 28, b"j" * 16])
def test_4_2_a_ref_of_no_id_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="ref"):
        burrow.ObjectRef(wrong)


def test_4_2_a_ref_cannot_be_iterated_over():
    ref = burrow.put([1, 2])

    with pytest.raises(TypeError):
        iter(ref)
    with pytest.raises(TypeError):
        len(ref)
    with pytest.raises(TypeError):
        _a, _b = ref


def test_4_3_get_of_one_and_of_lists():
    refs = [burrow.put(n) for n in range(3)]

    assert burrow.get(refs[1]) == 1
    assert burrow.get([refs[2], refs[0], refs[2]]) == [2, 0, 2]
    assert burrow.get([]) == []


def test_4_3_keywords_of_the_verbs_are_rays():
    ref, other = burrow.put(1, _owner=None), burrow.put(2)

    assert burrow.get(object_refs=ref, timeout=-1) == 1
    ready, rest = burrow.wait(ray_waitables=[ref, other], num_returns=np.int64(2))
    assert (ready, rest) == ([ref, other], [])
    burrow.cancel(ray_waitable=ref)


@pytest.mark.parametrize("bad", [1, None, {1}, "text", (1,)])
def test_4_3_get_of_something_else(bad):
    with pytest.raises(ValueError, match="ObjectRef"):
        burrow.get(bad)


def test_4_3_tuples_and_nested_lists_are_refused():
    ref = burrow.put(1)

    with pytest.raises(ValueError, match="tuple"):
        burrow.get((ref,))
    with pytest.raises(TypeError):
        burrow.get([ref, [ref]])
    with pytest.raises(TypeError):
        burrow.get([ref, 1])


def test_4_4_get_of_a_list_raises_before_the_others_end(tmp_path):
    gate = tmp_path / "gate"
    slow = gated.remote(gate, 1)

    with pytest.raises(Mine):
        burrow.get([slow, fail.remote()])
    gate.touch()
    assert burrow.get(slow) == 1


def test_4_4_the_error_is_that_of_a_failed_one():
    with pytest.raises(Mine, match="burnt"):
        burrow.get([burrow.put(1), fail.remote(), burrow.put(2)])


def test_4_5_a_timeout_cancels_nothing(tmp_path):
    gate = tmp_path / "gate"
    ref = gated.remote(gate, 5)

    with pytest.raises(exceptions.GetTimeoutError) as caught:
        burrow.get(ref, timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(TimeoutError):
        burrow.get([ref], timeout=0)
    gate.touch()
    assert burrow.get(ref, timeout=None) == 5
    assert burrow.get(ref, timeout=0) == 5


def test_4_6_a_failure_is_raised_each_time_and_everywhere():
    ref = fail.remote()

    for _ in range(3):
        with pytest.raises(Mine):
            burrow.get(ref)
    with pytest.raises(Mine):
        burrow.get(get_inside.remote([ref]))


def test_4_7_wait_keeps_order_and_gives_no_more_than_asked():
    refs = [burrow.put(n) for n in range(4)]

    ready, rest = burrow.wait(refs, num_returns=2)

    assert (ready, rest) == (refs[:2], refs[2:])
    assert burrow.wait(refs) == (refs[:1], refs[1:])
    assert burrow.wait([]) == ([], [])


def test_4_7_wait_splits_what_is_ready_from_what_is_not(tmp_path):
    gate = tmp_path / "gate"
    slow = gated.remote(gate, 1)
    refs = [burrow.put(0), slow, burrow.put(2)]

    assert burrow.wait(refs, num_returns=3, timeout=0.05) == ([refs[0], refs[2]], [slow])
    gate.touch()
    assert burrow.wait(refs, num_returns=3) == (refs, [])


def test_4_7_a_failed_task_counts_as_ready():
    ref = fail.remote()

    assert burrow.wait([ref]) == ([ref], [])
    assert burrow.wait([ref], fetch_local=False) == ([ref], [])


def test_4_8_wait_refuses_what_it_cannot_do():
    ref = burrow.put(1)

    for bad in (ref, 1, [ref, 1]):
        with pytest.raises(TypeError):
            burrow.wait(bad)
    for given in ({"num_returns": 0}, {"num_returns": 2}, {"timeout": -1}):
        with pytest.raises(ValueError, match=next(iter(given))):
            burrow.wait([ref], **given)
    with pytest.raises(ValueError, match="duplicates"):
        burrow.wait([ref, ref])


def test_4_8_a_timeout_is_no_error(tmp_path):
    gate = tmp_path / "gate"
    ref = gated.remote(gate)

    assert burrow.wait([ref], timeout=0) == ([], [ref])
    assert burrow.wait([ref], timeout=0.02) == ([], [ref])
    gate.touch()
    burrow.get(ref)


def test_4_9_parents_that_wait_lend_their_cpu():
    @burrow.remote
    def depth(n):
        return 0 if n == 0 else 1 + burrow.get(depth.remote(n - 1))

    @burrow.remote
    def waits(n):
        if n == 0:
            return 0
        ready, _ = burrow.wait([waits.remote(n - 1)])
        return 1 + burrow.get(ready[0])

    assert burrow.get([depth.remote(6), depth.remote(6), waits.remote(4)]) == [6, 6, 4]


def test_4_9_also_those_that_wait_for_items_of_a_stream():
    @burrow.remote
    def count(n):
        yield from range(n)

    @burrow.remote(num_cpus=2)
    def by_next():
        return [burrow.get(ref) for ref in count.remote(3)]

    @burrow.remote(num_cpus=2)
    def by_wait():
        (stream,), _ = burrow.wait([count.remote(3)])
        return [burrow.get(ref) for ref in stream]

    @burrow.remote(num_cpus=2)
    def by_anext():
        async def collect():
            return [await ref async for ref in count.remote(3)]

        return asyncio.run(collect())

    tasks = [by_next, by_wait, by_anext]
    assert burrow.get([task.remote() for task in tasks]) == [[0, 1, 2]] * 3


def test_4_9_an_actor_that_waits_keeps_its_cpu(tmp_path):
    @burrow.remote(num_cpus=1)
    class Waiter:
        def wait(self, refs):
            return burrow.get(refs)

    gate = tmp_path / "gate"
    waiter = Waiter.remote()
    ref = gated.options(num_cpus=0).remote(gate, 1)
    result = waiter.wait.remote([ref])
    wait_until(
        lambda: burrow.available_resources().get("CPU", 0) == 1, 5, "the actor to hold its CPU"
    )
    gate.touch()
    assert burrow.get(result) == [1]


def test_4_10_get_from_many_threads():
    refs = [add.remote(n) for n in range(50)]
    seen = []

    def look():
        seen.append((burrow.get(refs), burrow.get(refs[0])))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [(list(range(1, 51)), 1)] * 8


def test_4_10_in_threads_of_a_task_and_an_actor():
    def in_thread():
        found = []
        thread = threading.Thread(
            target=lambda: found.append(burrow.get(add.remote(burrow.put(1))))
        )
        thread.start()
        thread.join(30)
        return found

    @burrow.remote
    def task():
        return in_thread()

    @burrow.remote
    class Actor:
        def method(self):
            return in_thread()

    assert burrow.get([task.remote(), Actor.remote().method.remote()]) == [[2], [2]]


def test_4_11_freed_objects_are_lost():
    ref = burrow.put(np.zeros(100_000))
    burrow.free([ref])

    with pytest.raises(exceptions.ObjectLostError):
        burrow.get(ref)
    with pytest.raises(exceptions.ObjectLostError):
        burrow.get(same.remote(ref))


def count_objects():
    gc.collect()
    return len(burrow.objects())


def test_4_12_objects_go_with_their_last_ref():
    wait_until(lambda: count_objects() == 0, 5, "earlier objects to go")
    ref = burrow.put(np.zeros(100_000))
    result = same.remote(ref)
    value = burrow.get(result)
    assert count_objects() == 2

    del ref, result
    wait_until(lambda: count_objects() == 0, 5, "the objects to be freed")
    assert (value == 0).all()


def test_4_12_a_pending_task_holds_its_arguments(tmp_path):
    gate = tmp_path / "gate"
    result = add.remote(burrow.put(1), gated.remote(gate, 2))
    gc.collect()
    gate.touch()

    assert burrow.get(result) == 3


def test_4_12_a_ref_held_by_a_traceback_counts():
    wait_until(lambda: count_objects() == 0, 5, "earlier objects to go")

    def fails():
        ref = burrow.put(1)
        raise ValueError(ref.hex())

    try:
        fails()
    except ValueError as error:
        kept = error
    assert count_objects() == 1
    del kept
    wait_until(lambda: count_objects() == 0, 5, "the object to go with the traceback")


@pytest.fixture
def no_collection():
    """Only counting frees what is left."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_4_12_an_error_that_was_handled_holds_no_refs(no_collection):
    ref = fail.remote([burrow.put(1)])
    with contextlib.suppress(Mine):
        burrow.get(ref)

    del ref
    wait_until(lambda: not burrow.objects(), 5, "the refs to be forgotten")


def test_4_12_what_was_awaited_needs_no_collection_to_be_freed(no_collection):
    async def adds():
        return [await add.remote(n) for n in range(3)]

    assert asyncio.run(adds()) == [1, 2, 3]
    wait_until(lambda: not burrow.objects(), 5, "the objects to be freed")


def test_4_12_results_that_nobody_holds_are_freed():
    for _ in range(20):
        add.remote(1)
    burrow.get(pid.remote())
    wait_until(lambda: count_objects() == 0, 5, "dropped results to be freed")


def test_4_12_an_error_that_was_caught_keeps_nothing_of_who_had_asked():
    class Held:
        pass

    def asks(refs):
        held = Held()
        with contextlib.suppress(Mine):
            burrow.get(refs)
        return weakref.ref(held)

    failed = fail.remote()
    gc.disable()  # an idle worker makes no garbage collection either
    try:
        held = [asks(failed), asks([failed]), asks(same.remote(failed))]
        assert [one() for one in held] == [None] * 3
    finally:
        gc.enable()
