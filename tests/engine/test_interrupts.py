"""Interrupts at any moment tear nothing: what was sent and received stays whole."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, random, signal, sys, threading
import burrow

burrow.init(num_cpus=2)

@burrow.remote
def square(x):
    return x * x

@burrow.remote
class Counter:
    def __init__(self): self.n = 0
    def add(self): self.n += 1; return self.n

counter = Counter.remote()
burrow.get([square.remote(n) for n in range(200)])
# One that comes while Python finalizes a ref is Python's to tell of, and raises nowhere else.
lost = []
sys.unraisablehook = lambda told: lost.append(told.exc_type)
dice, interrupted = random.Random(5), 0
for number in range(300):
    timer = threading.Timer(0.002 + dice.random() * 0.004, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        while interrupted + len(lost) == number:
            burrow.get([square.remote(n) for n in range(20)])
            burrow.wait([counter.add.remote(), square.options(name="other").remote(1)])
    except KeyboardInterrupt:
        interrupted += 1
    assert burrow.get(square.remote(3), timeout=20) == 9
    assert burrow.get(counter.add.remote(), timeout=20) > 0
assert {*lost} <= {KeyboardInterrupt}, lost
print(interrupted + len(lost))
"""


def test_random_interrupts_tear_nothing():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, timeout=100
    )

    assert done.stderr == ""
    assert done.stdout == "300\n"
