"""Area 2: declaring remote functions and actor classes."""

from __future__ import annotations

import functools
import inspect
import statistics
from pathlib import Path

import pytest

import burrow
from conformance.calls import Counter, add, same

pytestmark = pytest.mark.usefixtures("shared")


def plain():
    """Say so."""
    return "plain"


class Plain:
    """A class."""

    def method(self, a, *, b=0):
        return a + b


@pytest.mark.parametrize("args", [(), (1,), (plain, plain)])
def test_2_1_wrong_forms_are_refused_at_decoration(args):
    with pytest.raises(TypeError, match="remote"):
        burrow.remote(*args)


@pytest.mark.parametrize(
    ("target", "given"),
    [
        (plain, {"max_restarts": 1}),
        (plain, {"concurrency_groups": {"io": 1}}),
        (Plain, {"max_calls": 1}),
        (Plain, {"num_returns": 2}),
        (plain, {"nums_cpus": 1}),
        (Plain, {"nam": "x"}),
    ],
)
def test_2_1_wrong_options_are_refused_at_decoration(target, given):
    with pytest.raises(ValueError, match=next(iter(given))):
        burrow.remote(**given)(target)


def test_2_1_both_forms_work():
    assert burrow.get(burrow.remote(plain).remote()) == "plain"
    assert burrow.get(burrow.remote(num_cpus=0)(plain).remote()) == "plain"


def test_2_2_nothing_remote_is_called_directly():
    counter = Counter.remote()

    with pytest.raises(TypeError, match=r"add\.remote"):
        add(1)
    with pytest.raises(TypeError, match=r"Counter\.remote"):
        Counter()
    with pytest.raises(TypeError, match=r"add\.remote"):
        counter.add()


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"c": 1}), ((1,), {"a": 1}), ((1, 2), {"b": 2})],
    ids=["too few", "too many", "unknown", "double", "double keyword"],
)
def test_2_3_arguments_are_checked_in_the_caller(args, kwargs):
    @burrow.remote
    def function(a, b=0):
        return a

    @burrow.remote
    class Actor:
        def __init__(self, a, b=0):
            pass

        def method(self, a, b=0):
            pass

    actor = Actor.remote(1)

    for target in (function, Actor, actor.method):
        with pytest.raises(TypeError):
            target.remote(*args, **kwargs)


def test_2_3_also_through_a_handle_that_was_passed_on():
    @burrow.remote
    def call(handle):
        try:
            handle.add.remote(1, 2, 3)
        except TypeError as error:
            return str(error)

    assert "add" in burrow.get(call.remote(Counter.remote()))


def test_2_3_parameters_behave_as_in_a_local_call():
    def every(a, /, b, *rest, c=1, **more):
        return a, b, rest, c, more

    remote = burrow.remote(every)

    assert burrow.get(remote.remote(1, 2)) == (1, 2, (), 1, {})
    assert burrow.get(remote.remote(1, 2, 3, c=4, a=5)) == (1, 2, (3,), 4, {"a": 5})


def test_2_3_parameters_may_carry_any_name():
    @burrow.remote
    def odd(args, kwargs, name, num_returns, task_id, actor, function, options):
        return [args, kwargs, name, num_returns, task_id, actor, function, options]

    @burrow.remote
    class Odd:
        def __init__(self, args, kwargs, cls):
            self.all = [args, kwargs, cls]

        def method(self, method, handle, name):
            return [*self.all, method, handle, name]

    assert burrow.get(
        odd.remote(1, kwargs=2, name=3, num_returns=4, task_id=5, actor=6, function=7, options=8)
    ) == [1, 2, 3, 4, 5, 6, 7, 8]
    handle = Odd.remote(args=1, kwargs=2, cls=3)
    assert burrow.get(handle.method.remote(method=4, handle=5, name=6)) == [1, 2, 3, 4, 5, 6]


def test_2_3_also_the_name_self():
    @burrow.remote
    def plain(self, **more):
        return [self, more]

    @burrow.remote
    class Keeps:
        def more(this, **more):  # noqa: N805  # so that `self` is free
            return more

    assert burrow.get(plain.remote(self=1, a=2)) == [1, {"a": 2}]
    assert burrow.get(Keeps.remote().more.remote(self=3)) == {"self": 3}


def test_2_4_options_leave_the_original_and_keep_what_they_do_not_name():
    @burrow.remote(num_returns=2)
    def two():
        return 1, 2

    renamed = two.options(name="other")

    assert burrow.get(renamed.remote()) == [1, 2]
    assert burrow.get(two.options(num_returns=1).remote()) == (1, 2)
    assert burrow.get(two.remote()) == [1, 2]
    assert burrow.get(renamed.options(num_returns=1).remote()) == (1, 2)


def test_2_4_what_belongs_to_the_decorator_is_refused_in_options():
    with pytest.raises(ValueError, match=r"max_calls.*options"):
        add.options(max_calls=1)
    with pytest.raises(ValueError, match=r"concurrency_groups.*options"):
        Counter.options(concurrency_groups={"io": 1})


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"max_retries": 1.5}, TypeError),
        ({"max_calls": 1.0}, TypeError),
        ({"num_returns": 2.0}, TypeError),
        ({"num_cpus": "1"}, TypeError),
        ({"num_cpus": -1}, ValueError),
        ({"num_gpus": -1}, ValueError),
        ({"max_retries": -2}, ValueError),
        ({"max_calls": -1}, ValueError),
        ({"num_returns": -1}, ValueError),
        ({"num_returns": "several"}, ValueError),
        ({"num_cpus": 0.00001}, ValueError),
        ({"resources": {"CPU": 1}}, ValueError),
        ({"resources": {"GPU": 1}}, ValueError),
    ],
)
def test_2_5_values_are_checked_at_once(given, error):
    name = next(iter(given))
    with pytest.raises(error, match=name if name != "resources" else "num_"):
        burrow.remote(**given)(plain)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"max_restarts": 1.5}, TypeError),
        ({"max_restarts": -2}, ValueError),
        ({"max_task_retries": -2}, ValueError),
        ({"num_cpus": -1}, ValueError),
        ({"max_concurrency": 0}, ValueError),
        ({"concurrency_groups": {"io": 0}}, ValueError),
        ({"lifetime": "long"}, ValueError),
    ],
)
def test_2_5_values_of_actors_are_checked_at_once(given, error):
    with pytest.raises(error, match=next(iter(given))):
        burrow.remote(**given)(Plain)


def test_2_5_values_that_mean_nothing_here_are_accepted():
    given = {"fallback_strategy": [], "label_selector": {"zone": "here"}}

    assert burrow.get(burrow.remote(**given)(plain).remote()) == "plain"


def test_2_5_none_means_the_default():
    given = dict.fromkeys(("num_cpus", "num_gpus", "max_retries", "num_returns", "resources"))

    assert burrow.get(burrow.remote(**given)(plain).remote()) == "plain"
    assert burrow.get(burrow.remote(plain).options(**given).remote()) == "plain"


def test_2_6_what_a_function_uses_may_be_defined_after_it():
    scope = {"burrow": burrow}
    exec(
        "@burrow.remote\n"
        "def even(n): return True if n == 0 else burrow.get(odd.remote(n - 1))\n"
        "@burrow.remote\n"
        "def odd(n): return False if n == 0 else burrow.get(even.remote(n - 1))\n"
        "@burrow.remote\n"
        "def factorial(n, /, by=1, *, unused=0):\n"
        "    return START if n == 0 else n * burrow.get(factorial.remote(n - by))\n"
        "START = 1\n",
        scope,
    )

    assert burrow.get(scope["even"].remote(4)) is True
    assert burrow.get(scope["factorial"].remote(5)) == 120


def test_2_7_each_definition_is_its_own():
    def make(value):
        @burrow.remote
        def same_name():
            return value

        @burrow.remote
        class SameName:
            def get(self):
                return value

        return same_name, SameName

    made = [make(n) for n in range(10)]

    assert burrow.get([function.remote() for function, _ in made]) == list(range(10))
    actors = [cls.remote() for _, cls in made]
    assert burrow.get([actor.get.remote() for actor in actors]) == list(range(10))


def test_2_8_every_kind_of_callable():
    class Callable:
        def __call__(self, x):
            return x * 3

    assert burrow.get(burrow.remote(lambda x: x + 1).remote(1)) == 2
    assert burrow.get(burrow.remote(functools.partial(pow, 2)).remote(3)) == 8
    assert burrow.get(burrow.remote(statistics.mean).remote([1, 3])) == 2
    assert burrow.get(burrow.remote(len).remote([1, 3])) == 2
    assert burrow.get(burrow.remote(Callable()).remote(2)) == 6


def test_2_9_an_unreasonably_large_function_is_refused_at_the_call():
    large = bytes(110_000_000)

    @burrow.remote
    def heavy():
        return len(large)

    with pytest.raises(ValueError, match=r"heavy.*put"):
        heavy.remote()


def test_2_9_a_large_function_is_warned_of():
    large = bytes(11_000_000)

    @burrow.remote
    def heavy():
        return len(large)

    with pytest.warns(UserWarning, match=r"heavy.*put"):
        assert burrow.get(heavy.remote()) == 11_000_000


def test_2_10_the_old_form_of_a_call():
    two = burrow.remote(lambda a, b: (a, b))

    assert burrow.get(two._remote(args=[1], kwargs={"b": 2}, num_returns=2)) == [1, 2]
    assert burrow.get(two._remote((1, 2))) == (1, 2)
    counter = Counter._remote(args=[4], num_cpus=0)
    assert burrow.get(counter.add._remote(args=[1])) == 5


def test_2_11_decorated_things_keep_their_names():
    function, cls = burrow.remote(plain), burrow.remote(Plain)

    assert (function.__name__, function.__doc__) == ("plain", "Say so.")
    assert function.__module__ == plain.__module__
    assert (cls.__name__, cls.__doc__) == ("Plain", "A class.")
    assert str(inspect.signature(function)) == "()"
    assert list(inspect.signature(add).parameters) == ["a", "b", "rest", "c", "more"]
    assert {"method", "remote", "options", "bind"} <= set(dir(cls))
    assert "method" in dir(cls.remote())
    for thing in (function, cls, cls.remote().method):
        with pytest.raises(NotImplementedError, match=r"\.remote\(\)"):
            thing.bind()
    assert Path(inspect.getsourcefile(inspect.unwrap(same))).name == "calls.py"
