"""Somebody removes the files in which objects lie: these are lost, and nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import burrow
from burrow.exceptions import ActorDiedError, ObjectLostError, RayTaskError
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("ends")
LARGE = 200_000


@pytest.fixture
def store():
    """The folder in which a session's objects lie."""
    session = burrow.init(num_cpus=2)["session"]
    return Path("/dev/shm") / f"burrow-{os.getuid()}-{session}"


@burrow.remote
def make():
    return np.ones(LARGE)


@burrow.remote
def first(array, other=None):
    return array[0]


@burrow.remote
def first_inside(refs):
    return burrow.get(refs[0])[0]


@burrow.remote
class Reader:
    def __init__(self, array=None):
        self.array = array

    def first(self, array):
        return array[0]

    def first_inside(self, refs):
        return burrow.get(refs[0])[0]


def clear(folder):
    """Remove what lies there, as who cleans up does."""
    for path in folder.iterdir():
        path.unlink()


def test_who_asks_for_what_was_removed_is_told_so_and_everything_else_goes_on(store):
    reader = Reader.remote()
    put, made = burrow.put(np.ones(LARGE)), make.remote()
    burrow.get([reader.first.remote(put), first.remote(made)])
    clear(store)

    async def awaited(ref):
        return await ref

    for ref in (put, made):
        for ask in (
            lambda ref: burrow.get(ref, timeout=20),
            lambda ref: burrow.get([ref, ref], timeout=20),
            lambda ref: ref.future().result(20),
            lambda ref: asyncio.run(awaited(ref)),
        ):
            with pytest.raises(ObjectLostError, match="removed") as lost:
                ask(ref)
            assert lost.value.object_ref_hex == ref.hex()
        for dependent in (
            first.remote(ref),
            reader.first.remote(ref),
            first_inside.remote([ref]),
            reader.first_inside.remote([ref]),
        ):
            with pytest.raises(ObjectLostError, match="removed") as lost:
                burrow.get(dependent, timeout=20)
            assert isinstance(lost.value, RayTaskError)
        assert burrow.wait([ref], timeout=20) == ([ref], [])
    with pytest.raises(ActorDiedError, match="removed"):
        burrow.get(Reader.remote(put).first.remote(np.ones(1)), timeout=20)
    assert burrow.get(reader.first.remote(np.ones(LARGE)), timeout=20) == 1
    assert burrow.get(first.remote(make.remote()), timeout=20) == 1


def test_a_segment_that_was_removed_is_not_written_to_again(store):
    burrow.get(first.remote(burrow.put(np.ones(LARGE))))
    wait_until(lambda: not burrow.objects(), 20, "the objects to be let go")
    clear(store)

    assert burrow.get(burrow.put(np.ones(LARGE)))[0] == 1
    assert burrow.get(make.remote(), timeout=20)[0] == 1


def test_a_store_that_was_removed_is_made_anew(store, capsys):
    ref = burrow.put(np.ones(LARGE))
    assert burrow.get(first.remote(ref)) == 1
    shutil.rmtree(store)

    with pytest.raises(ObjectLostError, match="removed"):
        burrow.get(ref)
    assert burrow.get(burrow.put(np.ones(LARGE)))[0] == 1
    assert "was removed: objects go to disk" in capsys.readouterr().err
    assert burrow.get(first.remote(np.ones(LARGE)), timeout=20) == 1
    assert burrow.get(Reader.remote().first.remote(np.ones(LARGE)), timeout=20) == 1
    with pytest.raises(burrow.exceptions.WorkerCrashedError):
        burrow.get(burrow.remote(os._exit).options(max_retries=0).remote(3), timeout=20)
    assert burrow.get(make.remote(), timeout=20)[0] == 1


def test_an_argument_that_cannot_be_read_leaves_the_memory_of_the_others_free(store):
    class Bitter:
        def __reduce__(self):
            return burn, ()

    def burn():
        raise ValueError("burnt")

    for _ in range(6):
        ref = burrow.put(np.ones(LARGE))
        with pytest.raises(ValueError, match="burnt"):
            burrow.get(first.remote(ref, Bitter()))
        del ref
        wait_until(lambda: not burrow.objects(), 20, "the object to be let go")

    assert len(list(store.glob("c*"))) <= 2  # the same memory, again and again
