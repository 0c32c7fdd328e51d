"""Where neither memory nor disk has room for a value, its owner is told so, whatever it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # of every file, from here on
import burrow
burrow.init(num_cpus=1)
MUCH = b"m" * 3_000_000
much = lambda: bytes(3_000_000)

@burrow.remote
def same(value):
    return value

@burrow.remote
def make():
    return much()

@burrow.remote
def items():
    yield much()

@burrow.remote
class Keeper:
    def __init__(self, value=None):
        pass
    def make(self, value=None):
        return much()

@burrow.remote
def captures():
    return len(MUCH)

keeper = Keeper.remote()
try:
    {what}
except burrow.exceptions.ObjectStoreFullError as error:
    print(error)
print(burrow.get(same.remote("and the next works")))
"""


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("burrow.put(MUCH)", "the value given to put()"),
        ("same.remote(MUCH)", "the arguments of same"),
        ("keeper.make.remote(MUCH)", "the arguments of Keeper.make"),
        ("Keeper.remote(MUCH)", "the arguments of Keeper()"),
        ("burrow.get(make.remote())", "a result of make"),
        ("burrow.get(keeper.make.remote())", "a result of Keeper.make"),
        ("burrow.get(list(items.remote()))", "a result of items"),
        ("captures.remote()", "captures, its code and what it uses,"),
    ],
)
def test_the_error_says_what_has_no_room_and_is_that_of_a_full_store(what, named):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(what=what)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    said, after = done.stdout.splitlines()
    assert said.startswith(f"{named} could not be stored: no room for an object of 3 MB")
    assert after == "and the next works"
