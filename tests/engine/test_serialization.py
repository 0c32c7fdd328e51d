"""User values to pickles and back."""

from __future__ import annotations

import enum
import pickle
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from burrow_jupyter.core.limits import INLINE_MAX_BYTES
from burrow_jupyter.engine import serialization
from burrow_jupyter.engine.store.segments import SegmentFiles, SegmentReader, SegmentWriter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> tuple[SegmentWriter, SegmentReader]:
    """A writer and a reader of one directory."""
    (tmp_path / "memory").mkdir(mode=0o700)
    files = SegmentFiles(str(tmp_path / "memory"), str(tmp_path / "disk"))
    return SegmentWriter(files, "c1", keep_bytes=1 << 26), SegmentReader(files, deque())


class Colour(enum.Enum):
    """An enumeration."""

    RED = 1


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: list[int]


@pytest.mark.parametrize(
    "value",
    [
        1,
        None,
        "x" * 200_000,
        b"y" * 200_000,
        [1, {"a": (2, 3)}],
        Point(1, [2]),
        Colour.RED,
        np.arange(5),
        {"a": np.arange(100_000), "b": [np.ones((300, 300))]},
    ],
    ids=lambda v: type(v).__name__,
)
def test_values_come_back_equal(store, value):
    writer, reader = store
    back = serialization.load(serialization.dump(value, writer), reader, lambda name: None)

    assert type(back) is type(value)
    np.testing.assert_equal(back, value)


def test_small_values_are_inline_and_large_ones_lie_in_a_segment(store):
    writer, _ = store
    assert serialization.dump(list(range(100)), writer).segment == ""
    large = serialization.dump(np.zeros(INLINE_MAX_BYTES), writer)
    assert large.segment.startswith("c1-")
    assert large.data == b""
    assert large.size >= INLINE_MAX_BYTES * 8


def test_large_arrays_are_writable_views_of_a_private_mapping(store):
    writer, reader = store
    value = serialization.dump(np.zeros(100_000), writer)
    one = serialization.load(value, reader, lambda name: None)
    two = serialization.load(value, reader, lambda name: None)
    one[0] = 5

    assert two[0] == 0
    assert not one.flags.owndata
    assert one.ctypes.data % 64 == 0
    del one, two
    assert list(reader.unmapped) == [value.segment] * 2


def test_a_small_array_is_writable_too(store):
    writer, reader = store
    back = serialization.load(serialization.dump(np.zeros(1000), writer), reader, lambda name: None)
    back[0] = 1
    assert back[0] == 1


def test_lambdas_and_local_classes_travel_by_value(store):
    writer, reader = store

    class Local:
        field = 3

    back = serialization.load(
        serialization.dump([lambda: 7, Local()], writer), reader, lambda name: None
    )
    assert back[0]() == 7
    assert back[1].field == 3


def test_ids_noted_while_pickling_travel_beside_the_value(store):
    writer, _ = store

    class Noting:
        def __init__(self, number):
            self.number = number

        def __reduce__(self):
            assert serialization.note(self.number)
            return int, (self.number,)

    assert serialization.dump([Noting(4), {"a": Noting(5)}], writer).contained == [4, 5]
    assert not serialization.note(6)


def test_what_cannot_be_pickled_raises_and_leaves_nothing(store, tmp_path):
    writer, _ = store
    with pytest.raises(TypeError, match="generator"):
        serialization.dump([np.zeros(100_000), (i for i in range(3))], writer)
    assert list((tmp_path / "memory").iterdir()) == []


def test_code_sent_by_value_says_which_file_it_is_of():
    # Some versions of cloudpickle name no file.
    space: dict[str, object] = {"__name__": "__main__"}
    exec(compile("def f(x):\n    return [lambda: x, 1 / x]", "/cell/3.py", "exec"), space)

    back = pickle.loads(serialization.pickle_code(space["f"]).data)

    assert back.__code__.co_filename == "/cell/3.py"
    assert back(1)[0].__code__.co_filename == "/cell/3.py"
