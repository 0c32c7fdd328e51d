"""Random programs come to what they would come to one step at a time, and leave nothing."""

from __future__ import annotations

import pytest
from api.random_programs import play

SEEDS = range(6)


@pytest.mark.usefixtures("two_cpus")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_program_comes_out_as_planned_and_leaves_nothing(seed):
    play(seed)
