"""Random numbers that depend on what is called, not on where or when it runs."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

import burrow
from burrow.util.joblib import register_burrow
from burrow.util.multiprocessing import Pool


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


def drawn(cpus, seed, program=program):
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


def roll(x):
    return x, random.random()


def roll_in_a_child(x):
    return random.random(), burrow.get(draw.remote())


def roll_slowly_at_times(x):
    deadline = time.monotonic() + 0.01 * (x % 5 == 0)
    while time.monotonic() < deadline:
        pass
    return random.random()


def map_():
    return list(burrow.map(roll, range(300)))


def map_with_children():
    return list(burrow.map(roll_in_a_child, range(10)))


def map_in_pieces_of_batches():
    list(burrow.map(roll_slowly_at_times, [1] * 100))  # from here on it is taken for short
    return list(burrow.map(roll_slowly_at_times, range(60)))


def map_unordered():
    return sorted(burrow.map(roll, range(100), ordered=False, batch_size=7))


def executor_map():
    with burrow.Executor() as executor:
        return list(executor.map(roll, range(40), buffersize=5))


def executor_map_in_chunks():
    with burrow.Executor() as executor:
        return list(executor.map(roll, range(40), chunksize=7))


def executor_submit():
    with burrow.Executor() as executor:
        futures = [executor.submit(roll, x) for x in range(20)]
        return [*burrow.get([draw.remote()]), *(future.result() for future in futures)]


def pool():
    with Pool() as pool:
        mapped = pool.map(roll, range(40)), list(pool.imap(roll, range(10), chunksize=3))
        return *mapped, pool.apply(roll, (1,))


def joblib_parallel():
    joblib = pytest.importorskip("joblib")
    register_burrow()
    with joblib.parallel_config("burrow"):
        # One job at a time would run here, without us.
        return joblib.Parallel(n_jobs=4)(joblib.delayed(roll)(x) for x in range(60))


@pytest.mark.parametrize(
    "many",
    [
        map_,
        map_with_children,
        map_in_pieces_of_batches,
        map_unordered,
        executor_map,
        executor_map_in_chunks,
        executor_submit,
        pool,
        joblib_parallel,
    ],
)
def test_what_is_cut_into_batches_draws_the_same_and_so_does_what_follows(many):
    def program():
        return many(), burrow.get(draw.remote())

    once = drawn(1, 7, program)

    assert drawn(8, 7, program) == once


def test_each_item_of_a_map_draws_differently():
    numbers = [number for _, number in drawn(2, 7, map_)]

    assert len(set(numbers)) == 300


def test_without_the_seed_workers_draw_as_they_like_again():
    burrow.init(num_cpus=2)

    def after_a_seed():
        burrow.seed(7)
        burrow.get([draw.remote(n) for n in range(8)])
        burrow.get([draw_numpy.remote() for _ in range(8)])
        burrow.seed(None)
        numbers = burrow.get([draw.remote() for _ in range(20)])
        return {*numbers, *burrow.get([draw_numpy.remote() for _ in range(20)])}

    assert not after_a_seed() & after_a_seed()


class Sampler:
    def __init__(self):
        self.generator = np.random.default_rng(3)


def with_generators():
    """Functions that take generators along, made anew each time, as in a program that is run again."""
    modern, legacy, plain = np.random.default_rng(), np.random.RandomState(), random.Random(5)
    sampler = Sampler()

    def use(x=0):
        generators = modern.random, legacy.rand, plain.random, sampler.generator.random
        return [float(draw()) for draw in generators]

    return use


def test_generators_that_a_function_takes_along_draw_differently_in_each_worker():
    burrow.init(num_cpus=4)
    use = burrow.remote(num_cpus=1)(with_generators())

    drawn = burrow.get([use.remote() for _ in range(200)])

    assert [len(set(numbers)) for numbers in zip(*drawn, strict=True)] == [200] * 4


def test_generators_that_a_function_of_an_executor_or_pool_takes_along_draw_differently():
    burrow.init(num_cpus=2)
    use = with_generators()

    with burrow.Executor() as executor, Pool(2) as pool:
        drawn = [future.result() for future in [executor.submit(use) for _ in range(20)]]
        drawn += executor.map(use, range(20), chunksize=3)
        drawn += pool.map(use, range(20))

    assert [len(set(numbers)) for numbers in zip(*drawn, strict=True)] == [60] * 4


def test_the_seed_is_also_that_of_generators_that_a_function_takes_along():
    def program():
        use = with_generators()
        with burrow.Executor() as executor:
            mapped = list(executor.map(use, range(10), chunksize=3))
        single = burrow.get([burrow.remote(use).remote() for _ in range(10)])
        return single, list(burrow.map(use, range(30))), mapped

    once = drawn(1, 7, program)

    assert drawn(8, 7, program) == once
    assert len({number for part in once for draws in part for number in draws}) == 200


def test_generators_that_a_function_takes_along_draw_as_they_like_after_the_seed():
    burrow.init(num_cpus=1)
    use = burrow.remote(with_generators())

    def after_a_seed():
        burrow.seed(7)
        burrow.get(use.remote())
        burrow.seed(None)
        return set(burrow.get(use.remote()))

    assert not after_a_seed() & after_a_seed()


def test_a_generator_that_is_an_argument_or_was_put_stays_as_it_is():
    burrow.init(num_cpus=2)
    generator = np.random.default_rng(3)

    @burrow.remote
    def first(generator):
        return float(generator.random())

    numbers = burrow.get([first.remote(generator), first.remote(burrow.put(generator))])

    assert numbers == [float(generator.random())] * 2


def test_generators_of_other_classes_stay_as_they_are():
    burrow.init(num_cpus=1)

    class Loaded(random.Random):
        pass

    mine = Loaded(3)

    @burrow.remote
    def use():
        return mine.random()

    assert burrow.get(use.remote()) == Loaded(3).random()


def test_a_numpy_number_is_the_seed_that_it_says():
    assert drawn(1, np.int64(7)) == drawn(1, 7)


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
