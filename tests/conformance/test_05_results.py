"""Area 5: results and `num_returns`."""

from __future__ import annotations

import pytest

import burrow
from burrow import exceptions
from conformance.calls import Counter, Mine
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


@burrow.remote
def give(value):
    return value


@burrow.remote
def yields(n):
    yield from range(n)


def test_5_1_one_result_is_the_whole_value():
    assert burrow.get(give.remote((1, 2))) == (1, 2)
    assert burrow.get(give.remote([1])) == [1]


@pytest.mark.parametrize("value", [(1, 2), [1, 2], {1: "a", 2: "b"}, "12"])
def test_5_2_several_results_are_several_refs(value):
    refs = give.options(num_returns=2).remote(value)

    assert isinstance(refs, list)
    assert burrow.get(refs) == list(value)


@pytest.mark.parametrize("count", [2, 4])
def test_5_2_a_wrong_number_fails_every_ref(count):
    refs = give.options(num_returns=count).remote((1, 2, 3))

    assert len(refs) == count
    for ref in refs:
        with pytest.raises(ValueError, match=rf"(?s){count}.*3") as caught:
            burrow.get(ref)
        assert isinstance(caught.value, exceptions.RayTaskError)


def test_5_2_one_value_instead_of_several_is_a_type_error():
    for ref in give.options(num_returns=3).remote(1):
        with pytest.raises(TypeError, match="3"):
            burrow.get(ref)


def test_5_2_a_generator_that_is_returned_is_several_values():
    @burrow.remote(num_returns=3)
    def squares():
        return (n * n for n in range(3))

    assert burrow.get(squares.remote()) == [0, 1, 4]


def test_5_2_a_generator_that_yields_too_few_fails_the_missing_ones():
    refs = yields.options(num_returns=3).remote(2)

    assert burrow.get(refs[:2]) == [0, 1]
    with pytest.raises(ValueError, match=r"(?s)3.*2"):
        burrow.get(refs[2])


def test_5_2_the_surplus_of_a_generator_is_dropped_with_a_message(capfd):
    refs = yields.options(num_returns=2).remote(3)

    assert burrow.get(refs) == [0, 1]
    said = []

    def told():
        said.append(capfd.readouterr().err)
        return "num_returns=2" in "".join(said)

    wait_until(told, 5, "the message about the surplus")


def test_5_3_no_result(tmp_path):
    trace = tmp_path / "trace"

    @burrow.remote(num_returns=0)
    def runs():
        trace.touch()
        return 1

    assert runs.remote() is None
    wait_until(trace.exists, 5, "the task to run")


def test_5_3_an_error_of_a_task_without_result_is_logged(capfd):
    @burrow.remote(num_returns=0)
    def fails():
        raise Mine("nobody will ask")

    fails.remote()
    said = []

    def told():
        said.append(capfd.readouterr().err)
        return "nobody will ask" in "".join(said)

    wait_until(told, 5, "the error to be logged")


def test_5_4_methods_have_their_own_number():
    @burrow.remote
    class Giver:
        @burrow.method(num_returns=2)
        def two(self):
            return 1, 2

        def one(self):
            return 1, 2

        @burrow.method(num_returns=0)
        def none(self):
            pass

    giver = Giver.remote()

    assert burrow.get(giver.two.remote()) == [1, 2]
    assert burrow.get(giver.two.options(num_returns=1).remote()) == (1, 2)
    assert burrow.get(giver.one.options(num_returns=2).remote()) == [1, 2]
    assert giver.none.remote() is None
    assert burrow.get(Counter.remote(1).get.options(num_returns=1).remote()) == 1


def test_5_5_all_refs_fail_together():
    @burrow.remote(num_returns=3)
    def fails():
        raise Mine("all")

    for ref in fails.remote():
        with pytest.raises(Mine, match="all"):
            burrow.get(ref)


def test_5_5_what_a_generator_has_yielded_stays():
    @burrow.remote(num_returns=3)
    def fails():
        yield 1
        raise Mine("the rest")

    first, *rest = fails.remote()

    assert burrow.get(first) == 1
    for ref in rest:
        with pytest.raises(Mine, match="the rest"):
            burrow.get(ref)
