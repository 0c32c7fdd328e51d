"""Area 17: serialization."""

from __future__ import annotations

import collections
import dataclasses
import enum
import io
import pickle
import re
import threading

import cloudpickle
import numpy as np
import pytest

import burrow
from conformance.calls import same

pytestmark = pytest.mark.usefixtures("shared")


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 2


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 the untyped kind, too


class Slots:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a

    def __eq__(self, other):
        return self.a == other.a

    __hash__ = None


class Meta(type):
    pass


@pytest.mark.parametrize(
    "value",
    [
        1,
        10**30,
        1.5,
        True,
        None,
        "text",
        b"bytes",
        bytearray(b"x"),
        1j,
        (1, (2,)),
        {1: {2: 3}},
        {1, 2},
        frozenset({1}),
        range(3),
        slice(1, 2),
        ...,
        int,
        Colour.RED,
        Point(1),
        Pair(1, 2),
        Slots(3),
        re.compile("a+"),
        collections.OrderedDict(a=1),
        collections.defaultdict(list, a=[1]),
        np.float32(1.5),
        np.int64(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_17_1_values_come_back_as_they_were(value):
    for back in (burrow.get(burrow.put(value)), burrow.get(same.remote(value))):
        assert type(back) is type(value)
        assert back == value


def test_17_1_local_things():
    @dataclasses.dataclass
    class Local:
        x: int

    class Made(metaclass=Meta):
        def hello(self):
            return "hello"

    recursive = []
    recursive.append(recursive)
    lambdas = burrow.get(same.remote([lambda n: n + 1]))

    assert lambdas[0](1) == 2
    assert burrow.get(same.remote(Local(3))) == Local(3)
    assert type(burrow.get(same.remote(Made))) is Meta
    assert burrow.get(same.remote(Made())).hello() == "hello"
    back = burrow.get(same.remote(recursive))
    assert back[0] is back
    assert burrow.get(same.remote(io.StringIO("text"))).getvalue() == "text"


def test_17_2_classes_of_one_name_stay_distinct():
    def make(value):
        class Same:
            kind = value

        return Same

    one, two = make(1), make(2)
    kinds = burrow.get(same.remote([one(), two()]))
    assert [type(thing).kind for thing in kinds] == [1, 2]
    assert type(kinds[0]) is not type(kinds[1])


class Locked:
    """Cannot be pickled."""

    def __init__(self, value):
        self.value = value
        self.lock = threading.Lock()


class LockedError(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value
        self.lock = threading.Lock()


def test_17_3_a_serializer_of_the_users():
    from burrow.util import deregister_serializer, register_serializer

    for cls in (Locked, LockedError):
        register_serializer(cls, serializer=lambda thing: thing.value, deserializer=cls)
        assert burrow.get(burrow.put(cls(5))).value == 5
        assert burrow.get(same.remote([cls(6)]))[0].value == 6
        deregister_serializer(cls)
        deregister_serializer(cls)
        with pytest.raises(TypeError):
            burrow.put(cls(7))


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_17_4_refs_may_be_pickled_by_others(library):
    ref = burrow.put("value")
    data = library.dumps({"ref": ref})

    back = library.loads(data)["ref"]
    assert back == ref
    assert burrow.get(back) == "value"
    loads = burrow.remote(lambda data: burrow.get(pickle.loads(data)["ref"]))
    assert burrow.get(loads.remote(data)) == "value"


class Special(np.ndarray):
    """A subclass of ndarray."""


def test_17_5_arrays_are_aligned_and_keep_their_type():
    large = burrow.get(burrow.put(np.zeros(1_000_001, dtype=np.uint8)))
    small = burrow.get(burrow.put(np.zeros(11)))

    assert large.ctypes.data % 64 == 0
    assert small.ctypes.data % 8 == 0
    for size in (10, 1_000_000):
        special = np.zeros(size).view(Special)
        back = burrow.get(same.remote(special))
        assert type(back) is Special
        assert back.shape == (size,)


def test_17_6_what_cannot_be_sent_is_found():
    from burrow.util import inspect_serializability

    lock = threading.Lock()

    def uses():
        return lock

    ok, failures = inspect_serializability(uses, name="uses")
    assert not ok
    found = {failure.name: failure for failure in failures}
    assert found["lock"].obj is lock
    assert found["lock"].parent is uses
    assert inspect_serializability(1)[0]
