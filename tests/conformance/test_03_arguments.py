"""Area 3: arguments, and refs as arguments."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest

import burrow
from conformance.calls import Counter, Mine, add, fail, gated, get_inside, same, traced
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


def gone(marker: str):
    """Whether no object with refs has this id."""
    gc.collect()
    return all(row["id"] != marker for row in burrow.objects())


def id_of(ref):
    return repr(ref)[len("ObjectRef(") : -1]


def test_3_1_only_a_ref_that_is_an_argument_is_replaced():
    ref = burrow.put(5)

    assert burrow.get(same.remote(ref)) == 5
    assert burrow.get(same.remote(value=ref)) == 5
    for container in ([ref], {"k": ref}, (ref,)):
        arrived = burrow.get(same.remote(container))
        inner = arrived["k"] if isinstance(arrived, dict) else arrived[0]
        assert inner == ref
        assert burrow.get(inner) == 5


def test_3_1_refs_in_objects_stay_refs():
    class Box:
        def __init__(self, ref):
            self.ref = ref

    @burrow.remote
    def open_box(box):
        return isinstance(box.ref, burrow.ObjectRef), burrow.get(box.ref)

    assert burrow.get(open_box.remote(Box(burrow.put(5)))) == (True, 5)


def test_3_1_kwargs_and_variadic_refs_are_replaced():
    refs = [burrow.put(n) for n in range(1, 5)]

    assert burrow.get(add.remote(refs[0], refs[1], refs[2], c=refs[3], d=refs[0])) == 11
    counter = Counter.remote(refs[2])
    assert burrow.get(counter.add.remote(amount=refs[3])) == 7


def test_3_2_refs_in_containers_hold_nothing_back(tmp_path):
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    waits = gated.remote(gate, 1)
    dependent = traced.remote(trace, waits)

    assert burrow.get(same.remote([waits]))[0] == waits
    assert not trace.exists()
    gate.touch()
    assert burrow.get(dependent) == 1


def test_3_2_a_task_whose_input_failed_does_not_run(tmp_path):
    trace = tmp_path / "trace"
    failed = fail.remote()

    dependent = traced.remote(trace, failed)

    with pytest.raises(Mine):
        burrow.get(dependent)
    with pytest.raises(Mine):
        burrow.get(traced.remote(trace, value=dependent))
    assert not trace.exists()


def test_3_3_a_ref_in_an_object_lives_as_long_as_that():
    inner = burrow.put("inner")
    marker = id_of(inner)
    middle = burrow.put([inner])
    outer = burrow.put({"middle": middle})
    del inner, middle
    gc.collect()

    assert burrow.get(burrow.get(burrow.get(outer)["middle"])[0]) == "inner"
    assert not gone(marker)
    del outer
    wait_until(lambda: gone(marker), 5, "the inner object to be freed")


def test_3_3_a_ref_in_a_closure_lives():
    ref = burrow.put("closed over")

    @burrow.remote
    def ask():
        return burrow.get(ref)  # noqa: F821 deleted later on, on purpose

    assert burrow.get(ask.remote()) == "closed over"
    del ref
    gc.collect()
    assert burrow.get(ask.remote()) == "closed over"


def test_3_3_a_ref_in_an_actor_lives_until_the_actor_drops_it():
    counter = Counter.remote()
    ref = burrow.put("kept")
    marker = id_of(ref)
    burrow.get(counter.keep.remote([ref]))
    del ref
    gc.collect()

    assert burrow.get(burrow.get(counter.kept_value.remote())[0]) == "kept"
    assert not gone(marker)
    burrow.get(counter.drop.remote())
    wait_until(lambda: gone(marker), 5, "what the actor kept to be freed")


def test_3_3_a_ref_in_an_exception_lives_as_long_as_that():
    @burrow.remote
    def fails():
        error = Mine("holds a ref")
        error.ref = burrow.put("held")
        raise error

    failed = fails.remote()
    with pytest.raises(Mine) as caught:
        burrow.get(add.remote(failed))
    marker = id_of(caught.value.ref)
    assert burrow.get(caught.value.ref) == "held"
    del failed, caught
    wait_until(lambda: gone(marker), 5, "what the exception held to be freed")


def test_3_3_an_exception_keeps_its_refs_until_its_failure_is_told():
    class Slow:
        def __reduce__(self):
            return int, ()

        def __del__(self):
            end = time.monotonic() + 0.3  # long enough for the worker to tell of the dead ref
            while time.monotonic() < end:
                pass

    @burrow.remote
    def fails():
        error = Mine("holds a ref")
        error.ref = burrow.put("held")
        error.slow = Slow()
        raise error

    with pytest.raises(Mine) as caught:
        burrow.get(fails.remote())
    assert burrow.get(caught.value.ref) == "held"


def test_3_3_a_handle_in_an_object_keeps_its_actor():
    outer = burrow.put([Counter.remote(3)])
    gc.collect()

    assert burrow.get(burrow.get(outer)[0].add.remote()) == 4


def test_3_4_the_same_ref_twice():
    ref = burrow.put([1])

    @burrow.remote
    def both(a, b, c=None):
        return a, b, c

    assert burrow.get(both.remote(ref, ref, c=ref)) == ([1], [1], [1])


def test_3_5_arguments_are_copies_from_the_call_on():
    @burrow.remote
    def scribble(listed, text):
        listed.append("theirs")
        return listed

    listed = ["ours"]
    ref = scribble.remote(listed, bytearray(10))
    listed.append("later")

    assert burrow.get(ref) == ["ours", "theirs"]
    assert listed == ["ours", "later"]


def test_3_5_small_values_do_not_alias_a_buffer_that_is_used_again():
    refs = [same.remote(np.full(50, n)) for n in range(200)]

    values = burrow.get(refs)

    assert all((value == n).all() for n, value in enumerate(values))


def test_3_6_arrays_are_private_to_their_reader():
    @burrow.remote
    def write(array, n):
        array[:10] = n
        return array[:20].copy()

    ref = burrow.put(np.zeros(200_000))
    first, second = burrow.get([write.remote(ref, 1), write.remote(ref, 2)])

    assert (first[:10] == 1).all()
    assert (second[:10] == 2).all()
    assert (burrow.get(ref) == 0).all()


def test_3_7_large_numbers_of_arguments():
    many = {f"k{n}": n for n in range(200)}
    refs = [burrow.put(n) for n in range(10_000)]

    assert burrow.get(add.remote(*range(200))) == sum(range(200))
    assert burrow.get(add.remote(0, 0, **many)) == sum(range(200))
    assert len(burrow.get(same.remote([bytes(1000)] * 10_000))) == 10_000
    assert burrow.get(burrow.remote(len).remote(refs)) == 10_000


def test_3_7_ten_megabytes_of_small_arguments():
    arguments = [bytes(50_000) for _ in range(200)]

    @burrow.remote
    def total(*parts):
        return sum(len(part) for part in parts)

    assert burrow.get(total.remote(*arguments)) == 10_000_000


def test_3_8_a_returned_ref_is_unwrapped_once():
    @burrow.remote
    def give():
        return burrow.put("deep")

    inner = burrow.get(give.remote())

    assert isinstance(inner, burrow.ObjectRef)
    assert burrow.get(inner) == "deep"
    assert burrow.get(get_inside.remote([give.remote()]))[0] != inner


def test_3_8_handles_go_everywhere():
    counter = Counter.remote()

    @burrow.remote
    def use(handle, inside):
        burrow.get(handle.add.remote())
        burrow.get(inside["handle"].add.remote())
        burrow.get(counter.add.remote())
        return [handle]

    back = burrow.get(use.remote(counter, {"handle": counter}))[0]

    assert back == counter
    assert burrow.get(back.get.remote()) == 3


def test_3_9_submitting_does_not_wait_for_the_tasks(tmp_path):
    gate = tmp_path / "gate"
    first = gated.remote(gate, 0)
    refs = [add.remote(first, n) for n in range(10_000)]

    assert burrow.wait(refs, timeout=0)[0] == []
    gate.touch()
    assert sum(burrow.get(refs)) == sum(range(10_000))
