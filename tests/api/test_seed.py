"""Random numbers that depend on what is called, not on where or when it runs."""

from __future__ import annotations

import random

import pytest

import burrow


@burrow.remote
def draw(x=0):
    return random.random()


@burrow.remote
def draw_numpy():
    import numpy as np

    return float(np.random.rand())  # noqa: NPY002 what unseeded programs do


@burrow.remote
def family():
    return [random.random(), *burrow.get([draw.remote(n) for n in range(3)])]


@burrow.remote
class Dice:
    def __init__(self):
        self.first = random.random()

    def roll(self):
        return self.first, random.random()


def program():
    dice = Dice.remote()
    refs = [draw.remote(n) for n in range(8)]
    refs += [draw_numpy.remote(), draw_numpy.remote(), family.remote(), dice.roll.remote()]
    return burrow.get(refs)


@pytest.fixture(autouse=True)
def unseeded():
    yield
    burrow.seed(None)
    burrow.shutdown()


def drawn(cpus, seed):
    burrow.init(num_cpus=cpus)
    burrow.seed(seed)
    try:
        return program()
    finally:
        burrow.shutdown()


def test_the_same_seed_draws_the_same_with_one_worker_or_eight():
    once = drawn(1, 7)

    assert drawn(8, 7) == once
    assert drawn(2, 8) != once


def test_every_call_draws_differently():
    numbers = drawn(2, 7)[:10]

    assert len(set(numbers)) == 10


def test_a_second_round_goes_on_and_a_new_seed_begins_anew():
    burrow.init(num_cpus=2)
    burrow.seed(7)
    first = program()
    second = program()
    burrow.seed(7)

    assert first != second
    assert program() == first


def test_without_a_seed_tasks_draw_as_they_like():
    burrow.init(num_cpus=2)
    numbers = burrow.get([draw.remote(n) for n in range(20)])

    assert len(set(numbers)) == 20


@pytest.mark.parametrize("wrong", ["7", 7.0, True])
def test_wrong_seeds(wrong):
    with pytest.raises(TypeError, match="whole number"):
        burrow.seed(wrong)
