"""Amounts: exact sums, whatever is taken and given back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burrow_jupyter.core import resources

units = st.integers(0, 10**9)
demands = st.dictionaries(st.sampled_from(["CPU", "GPU", "memory", "gold"]), st.integers(1, 10**6))


@given(units)
def test_an_amount_survives_being_written_by_people(amount):
    assert resources.to_units("CPU", resources.to_quantity(amount)) == amount


def test_ten_tenths_are_one():
    free = {"CPU": resources.to_units("CPU", 1)}
    tenth = (("CPU", resources.to_units("CPU", 0.1)),)

    for _ in range(10):
        assert resources.fits(tenth, free)
        resources.take(tenth, free)

    assert free == {"CPU": 0}
    assert not resources.fits(tenth, free)


@pytest.mark.parametrize("quantity", [-1, -0.0001, math.inf, -math.inf, math.nan, 0.00001, 1.00005])
def test_what_is_no_amount_is_refused_by_name(quantity):
    with pytest.raises(ValueError, match="gold"):
        resources.to_units("gold", quantity)


@given(st.lists(demands, max_size=10), st.randoms())
def test_what_is_given_back_in_any_order_is_all_there_was(taken, order):
    free = {"CPU": 10**9, "GPU": 10**9, "memory": 10**9, "gold": 10**9}
    total = dict(free)
    shapes = [resources.shape_of(demand) for demand in taken]
    for shape in shapes:
        resources.take(shape, free)
    assert sum(free.values()) == sum(total.values()) - sum(n for s in shapes for _, n in s)

    order.shuffle(shapes)
    for shape in shapes:
        resources.give(shape, free)

    assert free == total


@given(demands)
def test_equal_demands_have_one_shape(demand):
    backwards = dict(reversed(demand.items()))

    assert resources.shape_of(demand) == resources.shape_of(backwards)


@given(demands, demands)
def test_a_demand_fits_when_every_part_of_it_does(demand, free):
    every = all(free.get(name, 0) >= amount for name, amount in demand.items())

    assert resources.fits(resources.shape_of(demand), free) == every


def test_a_demand_is_described_for_people():
    assert resources.describe({"GPU": 5_000, "CPU": 10_000}) == "1 CPU, 0.5 GPU"
    assert resources.describe({}) == "nothing"
