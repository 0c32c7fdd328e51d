"""Seeded histories of the pure scheduler core: hundreds here, thousands on demand.

`BURROW_SEEDS=20000 pytest tests/simulation` plays as many; `BURROW_FIRST_SEED` says from
which on. A failure names its seed and tells its last fifty events; `python -m
tests.simulation SEED` plays it again.
"""

import os
from pathlib import Path

import pytest
from simulation.simulator import run

SEEDS = int(os.environ.get("BURROW_SEEDS", "200"))
FIRST = int(os.environ.get("BURROW_FIRST_SEED", "0"))
CHUNK = 20
"""Histories in one test: about five seconds."""


def seeds_that_failed_once():
    lines = (Path(__file__).parent / "seeds.txt").read_text(encoding="utf-8").splitlines()
    return [int(seed) for line in lines if not line.startswith("#") for seed in line.split()]


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, CHUNK))
def test_every_history_keeps_every_promise(first):
    for seed in range(first, min(first + CHUNK, FIRST + SEEDS)):
        run(seed)


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, 4 * CHUNK))
def test_every_history_ends_although_memory_gets_short(first):
    for seed in range(first, min(first + CHUNK, FIRST + SEEDS)):
        run(seed, pressed=True)


def test_what_failed_once_does_not_fail_again():
    for seed in seeds_that_failed_once():
        run(seed)


def test_the_same_seed_plays_the_same_history():
    once = run(5, log_lines=100_000)

    again = run(5, log_lines=100_000)

    assert list(once.log) == list(again.log)
    assert once.steps == again.steps > 100
