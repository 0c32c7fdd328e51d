"""The path to what cannot be pickled, and one way out, in at most eight lines."""

from __future__ import annotations

import asyncio
import collections
import functools
import io
import queue
import socket
import threading
import time

import cloudpickle
import pytest

from burrow_jupyter.engine import sources, unpicklable
from burrow_jupyter.engine.unpicklable import explain, inspect, unpicklable_path


def make_functions(filename="/src/cell.py"):
    """Two functions of a notebook, one using the other, that uses a dictionary with a lock."""
    source = "def use():\n    return state\n\ndef bad():\n    return use()\n"
    names = {"__name__": "__main__", "state": {"cfg": {"lk": threading.Lock()}}}
    exec(compile(source, filename, "exec"), names)
    return names["bad"]


def explained(value, what="argument 2 of f"):
    with pytest.raises(Exception) as failed:  # noqa: PT011  # pickle fails in many ways
        cloudpickle.dumps(value)
    return explain(failed.value, value, what)


def where(value):
    return unpicklable_path(value, "value")


def test_the_path_goes_through_functions_and_globals():
    assert unpicklable_path(make_functions(), "bad") == (
        'bad -> use -> state["cfg"]["lk"]: _thread.lock'
    )


def test_the_cell_of_the_innermost_function_is_named():
    filename = "/tmp/ipykernel_5/6.py"
    sources.register(filename, "", "Cell In[9]")
    try:
        path = unpicklable_path(make_functions(filename), "bad")
    finally:
        sources.labels.pop(filename)

    assert path == 'bad -> use -> state["cfg"]["lk"]: _thread.lock (Cell In[9])'


def test_the_path_goes_through_closures_and_defaults():
    lock = threading.Lock()

    def closing():
        return lock

    def positional(a, b=lock):
        pass

    def keyword(*, c=lock):
        pass

    assert where(closing) == "value -> lock: _thread.lock"
    assert where(positional) == "value -> default of b: _thread.lock"
    assert where(keyword) == "value -> default of c: _thread.lock"


def test_globals_of_functions_inside_are_found():
    source = "def outer():\n    def inner():\n        return lock\n    return inner\n"
    names = {"__name__": "__main__", "lock": threading.Lock()}
    exec(source, names)

    assert where(names["outer"]) == "value -> lock: _thread.lock"


class Attributes:
    def __init__(self, inner):
        self.fine = 1
        self.inner = inner


class Slots:
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner


class Dictionary(dict):
    pass


class Refusing:
    def __reduce__(self):
        raise RuntimeError("I stay here")


def test_the_path_goes_through_objects_and_containers():
    lock = threading.Lock()
    odd = Dictionary(a=1)
    odd.lock = lock

    assert where(Attributes(lock)) == "value.inner: _thread.lock"
    assert where(Slots(lock)) == "value.inner: _thread.lock"
    assert where([0, (1, lock)]) == "value[1][1]: _thread.lock"
    assert where({("k", 1): lock}) == "value[('k', 1)]: _thread.lock"
    assert where({lock: 1}).startswith("value -> key <unlocked _thread.lock")
    assert where({lock}).startswith("value -> item <unlocked _thread.lock")
    assert where(collections.deque([lock])) == "value[0]: _thread.lock"
    assert where(collections.OrderedDict(a=lock)) == 'value["a"]: _thread.lock'
    assert where(odd) == "value.lock: _thread.lock"
    assert where(functools.partial(print, lock)) == "value.args[0]: _thread.lock"
    assert where(functools.partial(print, k=lock)) == 'value.keywords["k"]: _thread.lock'
    assert where(Attributes(lock).__init__) == "value.__self__.inner: _thread.lock"


def test_the_path_goes_through_classes_of_a_notebook():
    source = (
        "class Base:\n"
        "    @property\n"
        "    def p(self):\n"
        "        return lock\n"
        "class Child(Base):\n"
        "    pass\n"
    )
    names = {"__name__": "__main__", "lock": threading.Lock()}
    exec(source, names)

    assert where(names["Base"]) == "value.p -> lock: _thread.lock"
    assert where(names["Child"]) == "value -> base Base.p -> lock: _thread.lock"
    assert where(names["Child"]()) == "value -> class Child -> base Base.p -> lock: _thread.lock"


def test_a_thing_is_called_by_its_own_name_and_not_by_what_is_in_it():
    assert where([threading.Event()]) == "value[0]: threading.Event"
    assert where([queue.Queue()]) == "value[0]: queue.Queue"


def test_circles_end():
    circle = {"before": 1}
    circle["self"] = circle
    circle["list"] = [circle, threading.Lock()]

    assert where(circle) == 'value["list"][1]: _thread.lock'


def test_an_object_that_refuses_is_the_culprit_itself():
    path = where([Refusing()])

    assert path.startswith("value[0]: ")
    assert path.endswith("test_unpicklable.Refusing")


def test_the_search_ends_in_time(monkeypatch):
    monkeypatch.setattr(unpicklable, "SEARCH_MAX_S", 0.2)
    value = [[object() for _ in range(2000)] for _ in range(2000)]
    value.append(threading.Lock())

    began = time.monotonic()
    path = where(value)

    assert time.monotonic() - began < 2
    assert path.startswith("value")


def test_the_depth_of_the_path_is_bounded():
    value = threading.Lock()
    for _ in range(50):
        value = [value]

    assert where(value) == "value" + "[0]" * unpicklable.STEPS_MAX + ": list"


def test_a_large_array_beside_the_culprit_costs_nothing():
    numpy = pytest.importorskip("numpy")
    value = {"array": numpy.zeros(20_000_000), "lock": threading.Lock()}

    assert where(value) == 'value["lock"]: _thread.lock'


def test_an_explanation_names_the_thing_the_path_and_one_fix():
    text = explained({"cfg": {"lk": threading.Lock()}})

    assert text.splitlines() == [
        "Cannot pickle argument 2 of f: it holds something that cannot be sent to another process.",
        '  Where: value["cfg"]["lk"]: _thread.lock',
        "  Why: cannot pickle '_thread.lock' object",
        "  Fix: make it inside the function that uses it, or keep it in an actor",
    ]


@pytest.mark.parametrize(
    ("what", "path"),
    [
        ("argument data= of f", "data[0]: generator"),
        ("argument 1 of f", "value[0]: generator"),
        ("the result of f", "result[0]: generator"),
        ("the value given to put()", "value[0]: generator"),
    ],
)
def test_the_path_begins_with_a_word_for_the_thing(what, path):
    text = explained([(x for x in "ab")], what)

    assert f"Cannot pickle {what}: " in text
    assert f"  Where: {path}\n" in text


def test_a_function_is_called_by_its_name():
    assert "Where: bad -> use -> state" in explained(make_functions(), "bad (its code)")


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (threading.Lock, "inside the function"),
        (threading.Condition, "inside the function"),
        (lambda: (x for x in "ab"), "list of its items"),
        (lambda: map(str, (x for x in "ab")), "list of its items"),
        (queue.Queue, "burrow.util.queue.Queue"),
        (lambda: io.BufferedReader(io.BytesIO()), "open the file inside the task"),
        (Refusing, "register_serializer(Refusing"),
    ],
)
def test_the_fix_fits_the_culprit(make, fix):
    assert fix in explained(make()).splitlines()[-1]


def test_the_fix_for_sockets_and_coroutines():
    with socket.socket() as sock:
        assert "connection inside the task" in explained([sock])
    coroutine = asyncio.sleep(0)
    try:
        assert "await it first" in explained([coroutine])
    finally:
        coroutine.close()


def test_no_explanation_is_longer_than_eight_short_lines():
    long_key = "k" * 5000
    value = threading.Lock()
    for _ in range(unpicklable.STEPS_MAX):
        value = {long_key: value}
    text = explained(value, "argument 1 of " + "f" * 5000)

    assert len(text.splitlines()) <= 8
    assert max(map(len, text.splitlines())) < 500


def test_what_is_nested_too_deeply_is_said_to_be():
    value = []
    for _ in range(100_000):
        value = [value]

    text = explained(value)

    while value:  # taken apart by hand: freeing it in one go would recurse as deeply
        value = value.pop()
    assert "nested too deeply" in text


def test_an_error_without_text_and_with_a_broken_text_is_survived():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError

    lock = threading.Lock()

    assert "Why: Broken" in explain(Broken(), [lock], "argument 1 of f")
    assert "Why: ValueError" in explain(ValueError(), [lock], "argument 1 of f")


def test_inspecting_something_fine_says_so():
    found = inspect([1, "a"], "x")

    assert found.ok
    assert found.failures == []
    assert found.lines[-1].strip() == "yes"


def test_inspecting_lists_every_culprit_with_name_and_holder():
    lock, generator = threading.Lock(), (x for x in "ab")
    inner = [1, generator]
    value = {"a": lock, "b": inner}

    found = inspect(value, "thing")

    assert not found.ok
    assert [(f.obj, f.name, f.parent) for f in found.failures] == [
        (lock, '["a"]', value),
        (generator, "[1]", inner),
    ]
    assert len({*found.failures}) == 2, "they can be put into a set"
    tree = "\n".join(found.lines)
    assert '["a"]: _thread.lock  <- cannot be pickled' in tree
    assert "[1]: generator  <- cannot be pickled" in tree


def test_inspecting_lists_no_more_than_a_screenful():
    found = inspect([threading.Lock() for _ in range(1000)], "x")

    assert len(found.failures) == unpicklable.FAILURES_MAX
