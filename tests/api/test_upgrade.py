"""Actors move to a new definition of their class and keep their state."""

from __future__ import annotations

import gc
import os

import pytest

import burrow
from burrow import exceptions
from helpers.wait import wait_until


def define(body: str, base: str = "object", **options):
    """Define an actor class `Pot` anew, as a cell that is edited and run again does."""
    scope = {"burrow": burrow, "os": os}
    exec(f"class Pot({base}):\n{body}", scope)
    return burrow.remote(**options)(scope["Pot"]) if options else burrow.remote(scope["Pot"])


OLD = """
    def __init__(self):
        self.litres = 1
    def fill(self):
        self.litres += 1
        return self.litres
    def pid(self):
        return os.getpid()
"""
NEW = """
    def __init__(self):
        self.litres = 100
    def fill(self, more=10):
        self.litres += more
        return self.litres
    def pid(self):
        return os.getpid()
    def empty(self):
        self.litres = 0
        return 0
"""


@pytest.fixture(params=["local", "inline"], autouse=True)
def session(request):
    burrow.init(num_cpus=2, mode=request.param)
    yield request.param
    burrow.shutdown()


def test_the_state_stays_and_the_methods_are_new():
    pot = define(OLD).remote()
    burrow.get(pot.fill.remote())
    newer = define(NEW)

    burrow.get(pot.upgrade())
    assert newer

    assert burrow.get(pot.fill.remote()) == 12
    assert burrow.get(pot.fill.remote(more=1)) == 13
    assert burrow.get(pot.empty.remote()) == 0


def test_calls_before_it_run_the_old_definition_and_calls_after_it_the_new():
    pot = define(OLD).remote()
    cls = define(NEW)

    refs = [pot.fill.remote(), pot.upgrade(cls), pot.fill.remote()]

    assert burrow.get(refs) == [2, None, 12]


def test_the_process_stays():
    pot = define(OLD).remote()
    before = burrow.get(pot.pid.remote())

    burrow.get(pot.upgrade(define(NEW)))

    assert burrow.get(pot.pid.remote()) == before


def test_other_handles_call_the_new_definition_too():
    pot = define(OLD).options(name="pot").remote()
    burrow.get(pot.upgrade(define(NEW)))

    again = burrow.get_actor("pot")

    assert burrow.get(again.empty.remote()) == 0


def test_a_restart_makes_the_actor_of_the_new_definition(session):
    if session == "inline":
        pytest.skip("an inline actor has no process that could die")
    pot = define(OLD, max_restarts=1).remote()
    burrow.get(pot.upgrade(define(NEW)))

    burrow.kill(pot, no_restart=False)

    def filled():
        try:
            return burrow.get(pot.fill.remote())
        except exceptions.ActorUnavailableError:
            return 0

    assert wait_until(filled, 10, "the actor to be back") == 110


def test_the_new_definition_is_told_and_brings_the_state_in_line():
    pot = define(OLD).remote()

    burrow.get(
        pot.upgrade(define(NEW + "    def __upgraded__(self):\n        self.litres *= 1000\n"))
    )

    assert burrow.get(pot.fill.remote()) == 1010


def test_should_that_raise_the_actor_stays_what_it_was():
    pot = define(OLD).remote()
    cls = define(NEW + "    def __upgraded__(self):\n        raise ValueError('no lid')\n")

    with pytest.raises(ValueError, match="no lid"):
        burrow.get(pot.upgrade(cls))

    assert burrow.get(pot.pid.remote())
    assert burrow.get(pot.fill.remote()) == 2


def test_another_layout_is_refused():
    pot = define(OLD).remote()

    with pytest.raises(TypeError, match="make a new actor instead"):
        burrow.get(pot.upgrade(define(NEW, base="dict")))


def test_an_async_definition_is_refused():
    pot = define(OLD).remote()

    with pytest.raises(ValueError, match="Pot is async now"):
        pot.upgrade(define("    async def fill(self): pass\n"))


def test_without_a_definition_it_says_what_to_do():
    pot = define(OLD).remote()
    gc.collect()

    with pytest.raises(ValueError, match=r"handle.upgrade\(TheClass\)"):
        pot.upgrade()


def test_a_method_of_that_name_is_the_users():
    pot = define(OLD + "    def upgrade(self):\n        return 'mine'\n").remote()

    assert burrow.get(pot.upgrade.remote()) == "mine"
