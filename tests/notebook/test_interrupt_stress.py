"""A hundred interrupts at random moments, over cells of every kind, in one kernel.

`BURROW_STRESS_SEED` and `BURROW_STRESS_CELLS` choose another story; a failure names its cell.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from helpers.wait import NotInTimeError, wait_until

if TYPE_CHECKING:
    from helpers.kernels import CellRun, Kernel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED = int(os.environ.get("BURROW_STRESS_SEED", "1"))
CELLS = int(os.environ.get("BURROW_STRESS_CELLS", "100"))

DEFINE = """
import asyncio, hashlib, numpy as np, subprocess

@burrow.remote
def spin(s):
    end = time.monotonic() + s
    while time.monotonic() < end: pass
    return s

@burrow.remote
def add_up(): return sum(range(10**10))

@burrow.remote
def nap(s): time.sleep(s); return s

@burrow.remote
def deep(n): return 1 + sum(burrow.get([deep.remote(n - 1) for _ in range(2)])) if n else 1

@burrow.remote
def numbers(n):
    for i in range(n): time.sleep(0.01); yield i

@burrow.remote
def total(*arrays): return float(sum(a.sum() for a in arrays))

@burrow.remote
class Counter:
    def __init__(self): self.n = self.begun = 0
    def add(self, s=0): self.begun += 1; time.sleep(s); self.n += 1; return self.n
    def count(self): return self.n, self.begun

counter, answered = Counter.options(num_cpus=0).remote(), 0
burrow.get(counter.count.remote())
kept = {n: burrow.put(np.full(300_000, n)) for n in range(3)}
cpus = int(burrow.cluster_resources()['CPU'])

def unfinished():
    return [row['name'] for row in burrow.tasks()
            if row['state'] in ('waiting', 'ready', 'running', 'blocked')
            and not row['name'].startswith(('In[', 'Counter'))]
"""

# What is left of each when it is stopped would take a minute: if it went on, the next cell's
# no-op would wait for it longer than `check` lets it.
KINDS = {
    "many": "burrow.get([square.remote(n) for n in range(2000)])",
    "one by one": "for n in range(3000): burrow.get(square.remote(n))",
    "naps": "burrow.get([nap.remote(60) for _ in range(4)])",
    "spins": "burrow.get([spin.remote(60) for _ in range(4)])",
    "nested": "burrow.get(deep.remote(5))",
    "actor": "while True: answered = burrow.get(counter.add.remote())",
    "actor in a burst": "burrow.get([counter.add.remote() for _ in range(500)]); time.sleep(60)",
    "slow actor": "burrow.get([counter.add.remote(0.05) for _ in range(50)])",
    "wait": (
        "left = [nap.remote(n / 50) for n in range(100)]\n"
        "while left: done, left = burrow.wait(left)"
    ),
    "stream": "for ref in numbers.options(num_returns='streaming').remote(300): burrow.get(ref)",
    "map": "burrow.map(lambda x: (time.sleep(0.001), x)[1], range(5000))",
    "put": (
        "while True: burrow.get(total.remote(*[burrow.put(np.ones(400_000)) for _ in range(3)]))"
    ),
    "chain": (
        "ref = square.remote(1)\nfor _ in range(2000): ref = square.remote(ref)\nburrow.get(ref)"
    ),
    "await": "await asyncio.gather(*[nap.remote(0.2) for _ in range(300)])",
    "await in a loop": "for _ in range(3000): await square.remote(2)",
    "future": "[ref.future().result() for ref in [nap.remote(0.1) for _ in range(600)]]",
    "c code": "burrow.get([add_up.remote() for _ in range(2)])",
    "own loop": "refs = [nap.remote(60) for _ in range(3)]\nwhile True: pass",
    "new actors": "while True: burrow.get(Counter.options(num_cpus=0).remote().add.remote())",
}


def check(cells: Kernel, told: str) -> None:
    """Everything works, everything is there, and nothing is left."""
    value, seconds = cells.run_ok(
        "began = time.perf_counter()\n"
        "print(burrow.get(square.remote(3)), time.perf_counter() - began)",
        within_s=10,
    ).stdout.split()
    assert value == "9", told
    took.append(float(seconds))
    wait_until(lambda: cells.run_ok("unfinished()").text == "[]", 10, f"all tasks to end: {told}")
    free = "burrow.available_resources().get('CPU') == cpus"
    wait_until(lambda: cells.run_ok(free).text == "True", 10, f"all CPUs to be free: {told}")
    n, begun, following = cells.run_ok(
        "print(*burrow.get(counter.count.remote()), burrow.get(counter.add.remote()))"
    ).stdout.split()
    assert n == begun, f"a call was torn: {told}"
    assert int(following) == int(n) + 1, told
    assert cells.run_ok(f"answered <= {n}").text == "True", told
    kept = "all((burrow.get(ref) == n).all() for n, ref in kept.items())"
    assert cells.run_ok(kept).text == "True", told


took: list[float] = []


def test_a_hundred_interrupts_lose_nothing_and_hang_nothing(cells: Kernel):
    dice = random.Random(SEED)
    cells.run_ok(DEFINE)
    background: CellRun | None = None
    for number in range(CELLS):
        kind = dice.choice(list(KINDS))
        told = f"seed {SEED}, cell {number}: {kind}"
        if background is None:
            cells.run_ok("door = f'door-{time.time_ns()}'")
            background = cells.run_ok(
                "%%burrow --cpus 0\nwhile not os.path.exists(door): time.sleep(0.01)\nsoup = 'hot'"
            )
        run = cells.submit(f"print('begun', flush=True)\n{KINDS[kind]}")
        wait_until(lambda run=run: "begun" in run.stdout or run.is_done, 20, told)
        moment = dice.choice([0, 0.003, 0.03, 0.3, 1]) * dice.random()
        with suppress(NotInTimeError):
            wait_until(lambda run=run: run.is_done, moment, told)
        cells.interrupt()
        cells.wait(run)
        if run.error is None:
            cells.run("None")  # it came too late, and may hit this
        else:
            expected = ("KeyboardInterrupt", "CancelledError", "TaskCancelledError")
            assert run.error["ename"] in expected, f"{told}\n{run.traceback}"

        check(cells, told)

        if dice.random() < 0.2:
            cells.run_ok("Path(door).touch()")
            assert cells.run_ok("soup").text == "'hot'", told
            background = None
    print(f"no-op after an interrupt: at most {max(took):.3f} s")  # noqa: T201  # for who measures
