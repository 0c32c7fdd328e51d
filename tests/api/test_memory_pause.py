"""The pause for memory, with processes that really take some."""

from __future__ import annotations

import pytest

import burrow
from burrow_jupyter.engine.hardware import MemoryGauge
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("ends")

ALWAYS = 1e-9
"""A share that is used in any case."""
TAKEN = 2 * 1024**3
"""Others on the machine may take and give back half as much meanwhile."""


@burrow.remote
def pan(gate):
    pass_gate(gate)
    return "warm"


@burrow.remote
class Cook:
    def __init__(self):
        self.taken = b""

    def take(self):
        self.taken = bytearray(b"x") * TAKEN

    def give_back(self):
        self.taken = b""


def states():
    return [row["state"] for row in burrow.tasks() if row["name"] == "pan"]


def test_while_memory_is_short_tasks_run_one_at_a_time(tmp_path):
    burrow.init(num_cpus=4, memory_pause=ALWAYS)
    refs = [pan.remote(str(tmp_path / str(n))) for n in range(3)]
    wait_until(lambda: "running" in states(), 20, "the first to run")

    said = refs[1].why()

    assert states() == ["running", "ready", "ready"]
    assert said.startswith("pan is paused for memory: ")
    assert "of this machine are used" in said or "of this container are used" in said
    wait_until(lambda: "; largest: " in refs[1].why(), 20, "who has most")
    for n, ref in enumerate(refs):
        leave_trace(tmp_path / str(n))
        assert burrow.get(ref, timeout=20) == "warm"
        assert states().count("running") <= 1


def test_it_goes_on_when_memory_is_given_back(tmp_path):
    gauge = MemoryGauge()
    burrow.init(num_cpus=4, memory_pause=(gauge.used_bytes() + TAKEN * 0.55) / gauge.total_bytes)
    cook = Cook.options(num_cpus=0).remote()
    gate = str(tmp_path / "gate")
    first = pan.remote(gate)
    wait_until(lambda: states() == ["running"], 20, "the first to run")
    burrow.get(cook.take.remote())

    second = pan.remote(gate)

    wait_until(lambda: "paused for memory" in second.why(), 20, "the pause")
    assert "largest: Cook (pid" in second.why()
    burrow.get(cook.give_back.remote())
    wait_until(lambda: states() == ["running"] * 2, 20, "both to run")
    leave_trace(gate)
    assert burrow.get([first, second]) == ["warm"] * 2


def test_calls_that_go_to_a_worker_directly_come_back_to_the_head(tmp_path):
    burrow.init(num_cpus=2, memory_pause=ALWAYS)
    gate = str(tmp_path / "gate")
    leave_trace(gate)

    assert [burrow.get(pan.remote(gate), timeout=20) for _ in range(200)] == ["warm"] * 200


@pytest.mark.parametrize("share", [0, -1, 1.1, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match="memory_pause must be a share"):
        burrow.init(memory_pause=share)
