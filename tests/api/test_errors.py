"""Failures arrive as exceptions of two kinds: Burrow's and the user's own."""

from __future__ import annotations

import abc
import asyncio
import copy
import dataclasses
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
import weakref

import cloudpickle
import pytest

from burrow_jupyter.api import errors as api_errors
from burrow_jupyter.api import exceptions
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.exceptions import RayTaskError
from burrow_jupyter.core import failures
from burrow_jupyter.engine import errors

TASK = (3 << 40) + 128
ACTOR = (3 << 40) + 192
SESSION = 0xABC
TASK_HEX = f"{SESSION:016x}{TASK:016x}"
ACTOR_HEX = f"{SESSION:016x}{ACTOR:016x}"


def failure_of(function, /, **more):
    """Return the failure of a task that runs the function."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001  # as a worker does
        return errors.capture(error, **({"function": function.__name__, "task_id": TASK} | more))
    raise AssertionError("it should have raised")


def failure_with(error, /, **more):
    def task():
        raise error

    return failure_of(task, **more)


def arrived(error, /, **more):
    """Return what `get` raises for a task that raised this."""
    return to_exception(failure_with(error, **more), SESSION)


LIBRARIES = pytest.mark.parametrize("library", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])


class Mine(ValueError):
    kind = "mine"

    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code

    def doubled(self):
        return self.code * 2

    @property
    def negative(self):
        return -self.code


class Final(KeyError):
    def __init_subclass__(cls):
        raise TypeError("Final cannot be subclassed")


class FinalMeta(type):
    def __new__(cls, name, bases, names):
        if any(isinstance(base, FinalMeta) for base in bases):
            raise TypeError("no subclasses")
        return super().__new__(cls, name, bases, names)


class FinalByMeta(ValueError, metaclass=FinalMeta):
    pass


class Abstract(Exception, metaclass=abc.ABCMeta):
    @abc.abstractmethod
    def never(self):
        """No instance should exist, but `__new__` of an exception does not check."""


class ReadOnlyArgs(Exception):
    @property
    def args(self):
        return ("mine",)


class Slots(Exception):
    __slots__ = ("field",)

    def __init__(self, field):
        self.field = field


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


class Clashing(Exception):
    pid = "my pid"

    def __init__(self, task_id, cause):
        super().__init__(task_id)
        self.task_id = task_id
        self.cause = cause

    @property
    def attempt(self):
        return f"attempt of {self.task_id}"


class Greedy(Exception):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return f"made up {name}"


class OwnBase(BaseException):
    pass


class Group(ExceptionGroup):
    def derive(self, excs):
        return Group(self.message, excs)


class LostStop(StopIteration):
    pass


ODD = [
    Mine(code=4),
    Final("k"),
    FinalByMeta("f"),
    ReadOnlyArgs("r"),
    Slots("s"),
    Frozen(3),
    Clashing("t", "c"),
    Greedy("g"),
    OwnBase("b"),
    FileNotFoundError(2, "gone", "f"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    SyntaxError("bad", ("f", 1, 2, "a b")),
    ImportError("i", name="n"),
    ZeroDivisionError(),
    AssertionError(),
    TimeoutError("t"),
    Group("g", [ValueError("v")]),
]
ODD_ONES = pytest.mark.parametrize("error", ODD, ids=lambda e: type(e).__name__)


# ---- both types ----------------------------------------------------------------------


@ODD_ONES
def test_an_error_is_of_both_types_however_odd_its_class_is(error):
    e = arrived(error)

    assert isinstance(e, RayTaskError)
    assert isinstance(e, type(error))
    assert type(e).__name__ == f"RayTaskError({type(error).__name__})"
    assert type(e.cause) is type(error)
    assert e.args == (e.cause,)


@ODD_ONES
@LIBRARIES
def test_an_error_survives_pickling_however_odd_its_class_is(error, library):
    e = arrived(error)
    e.add_note("seen")

    loaded = library.loads(library.dumps(e))

    assert type(loaded) is type(e)
    assert str(loaded) == str(e)
    assert type(loaded.cause) is type(error)
    assert loaded.args == (loaded.cause,)
    assert loaded.__notes__ == ["seen"]
    assert loaded.task_id == e.task_id
    assert type(library.loads(library.dumps(loaded))) is type(e)


@pytest.mark.parametrize("caught", [Mine, ValueError, RayTaskError, exceptions.RayError, Exception])
def test_every_parent_of_both_catches(caught):
    with pytest.raises(caught):
        raise arrived(Mine(code=1))


def test_attributes_and_methods_of_the_original_work():
    e = arrived(Mine(code=21))

    assert (e.code, e.doubled(), e.negative, e.kind) == (21, 42, -21, "mine")
    assert e.cause.code == 21


def test_fields_of_builtin_exceptions_work():
    e = arrived(FileNotFoundError(2, "gone", "f"))

    assert (e.errno, e.strerror, e.filename) == (2, "gone", "f")


def test_a_slot_is_an_attribute_like_any_other():
    assert arrived(Slots("x")).field == "x"


def test_what_the_original_makes_up_works():
    e = arrived(Greedy("x"))

    assert e.nonsense == "made up nonsense"
    assert e.task_id == TASK_HEX


def test_a_missing_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        arrived(ValueError("x")).nothing_like_it  # noqa: B018  # the access is the test


def test_attributes_of_the_original_win_except_for_the_cause():
    e = arrived(Clashing("mine", "also mine"))

    assert (e.task_id, e.pid, e.attempt) == ("mine", "my pid", "attempt of mine")
    assert isinstance(e.cause, Clashing)
    assert e.cause.cause == "also mine"


def test_repr_shows_both_types():
    assert repr(arrived(ValueError("x"))) == "RayTaskError(ValueError)(ValueError('x'))"


def test_the_original_s_hooks_on_subclasses_are_not_called():
    seen = []

    class Registering(Exception):
        def __init_subclass__(cls):
            seen.append(cls)

    assert isinstance(arrived(Registering("x")), Registering)
    assert seen == []


def test_abstract_classes_keep_working():
    assert isinstance(arrived(Abstract("x")), Abstract)
    assert not isinstance(ValueError(), Abstract)
    assert isinstance(Abstract("y"), Abstract)


def test_the_same_failure_twice_gives_two_errors_of_one_type():
    failure = failure_with(Mine(code=1))

    first, second = to_exception(failure), to_exception(failure)
    try:
        raise first
    except Mine:
        pass

    assert type(first) is type(second)
    assert first is not second
    assert first.cause is not second.cause
    assert first.__traceback__ is not None
    assert second.__traceback__ is None


def test_a_type_that_nobody_has_any_more_goes_away():
    class Local(Exception):
        pass

    kept = weakref.ref(Local)
    made = weakref.ref(type(arrived(Local("x"))))
    del Local
    gc.collect()
    gc.collect()

    assert made() is None
    assert kept() is None


def test_a_type_is_made_once_also_when_it_is_asked_for_while_it_is_made():
    made = []

    class Meta(type):
        def __new__(cls, name, bases, names):
            if name.startswith("RayTaskError"):
                made.append(name)
                if len(made) == 1:
                    first.append(to_exception(failure))
            return super().__new__(cls, name, bases, names)

    class Local(Exception, metaclass=Meta):
        pass

    first = []
    failure = failure_with(Local("x"))
    second = to_exception(failure)
    third = to_exception(failure)

    assert type(first[0]) is type(second) is type(third)
    assert len(made) == 2, "the third conversion made no class"


def test_an_arrived_error_can_be_written_to_although_its_class_forbids_that():
    e = arrived(Frozen(3))

    e.code = 4

    assert (e.code, e.cause.code) == (4, 3)


def test_threads_that_convert_at_once_get_one_type():
    class Local(Exception):
        pass

    failure = failure_with(Local("x"))
    start = threading.Barrier(8)
    made = []

    def convert():
        start.wait()
        made.append(to_exception(failure))

    threads = [threading.Thread(target=convert) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({type(e) for e in made}) == 1
    assert len(made) == 8


def test_a_class_that_cannot_be_sent_arrives_as_its_base_under_its_own_name():
    class Holding(KeyError):
        lock = threading.Lock()

    e = arrived(Holding("k"))

    assert isinstance(e, KeyError)
    assert type(e).__name__ == "RayTaskError(Holding)"
    assert "Holding: 'k'" in str(e)


def test_an_error_that_holds_a_lock_keeps_its_type():
    error = Mine(code=2)
    error.lock = threading.Lock()

    e = arrived(error)

    assert isinstance(e, Mine)
    assert "_thread.lock" in e.lock


def test_an_error_that_cannot_be_loaded_is_a_plain_task_error_with_the_text():
    failure = failure_with(ValueError("the text"))
    broken = failures.UserError(
        **{name: getattr(failure, name) for name in failure.__struct_fields__ if name != "pickled"},
        pickled=b"rubbish",
    )

    e = to_exception(broken)

    assert isinstance(e, RayTaskError)
    assert not isinstance(e, ValueError)
    assert type(e).__name__ == "RayTaskError(ValueError)"
    assert str(e).endswith("ValueError: the text")
    assert str(e.cause) == "ValueError: the text"
    assert pickle.loads(pickle.dumps(e)).args[0].args == e.cause.args


# ---- text ----------------------------------------------------------------------------


def test_the_text_names_function_process_task_and_ends_with_the_message():
    def f():
        raise ValueError("the end")

    e = to_exception(failure_of(f), SESSION)

    lines = str(e).splitlines()
    assert lines[0] == f"burrow::f() (pid={os.getpid()}, task 3.2, attempt 1)"
    assert lines[-1] == "ValueError: the end"
    assert "burrow_jupyter" not in str(e)
    assert len(lines) <= 15
    assert (e.function_name, e.pid, e.task_id, e.attempt) == ("f", os.getpid(), TASK_HEX, 1)
    assert e.traceback_str == str(e)
    assert e.actor_id is None


def test_the_text_names_the_actor():
    e = arrived(ValueError("x"), actor_id=ACTOR, actor_repr="Counter(3)", function="Counter.m")

    assert "burrow::Counter.m()" in str(e)
    assert f"actor_id={ACTOR_HEX}" in str(e)
    assert "repr=Counter(3)" in str(e)
    assert e.actor_id == ACTOR_HEX


def test_notes_are_in_the_text_once():
    error = ValueError("x")
    error.add_note("look here")

    e = arrived(error)
    shown = "".join(traceback.format_exception(e))

    assert shown.count("look here") == 1
    assert e.cause.__notes__ == ["look here"]


def test_a_python_traceback_shows_the_remote_text():
    shown = "".join(traceback.format_exception_only(arrived(ValueError("x"))))

    assert shown.startswith("burrow.exceptions.RayTaskError(ValueError): burrow::task() (pid=")
    assert shown.rstrip().endswith("ValueError: x")


def test_a_notebook_shows_headline_cell_and_remote_frames_and_nothing_of_ours():
    def f():
        raise ValueError("first\nsecond")

    failure = failure_of(f)
    ours = {"__name__": "burrow_jupyter.api.calls"}
    exec(compile("def get(make):\n    raise make()", "/src/calls.py", "exec"), ours)
    try:
        ours["get"](lambda: to_exception(failure))
    except ValueError as error:
        lines = error._render_traceback_()

    assert lines[0] == "RayTaskError(ValueError): first"
    assert lines[1].startswith("  ")
    assert "test_errors.py, line" in lines[1]
    assert lines[1].endswith('ours["get"](lambda: to_exception(failure))')
    assert lines[2].startswith("burrow::f() (pid=")
    assert lines[-2:] == ["ValueError: first", "second"]
    assert "calls.py" not in "\n".join(lines)
    assert len(lines) <= 15


def test_the_way_through_the_users_own_functions_is_one_line():
    def asking(depth):
        if depth:
            asking(depth - 1)
        raise arrived(ValueError("x"))

    try:
        asking(10)
    except ValueError as error:
        where = error._render_traceback_()[1]

    assert " -> … -> " in where
    assert where.count(" in asking") == 2


# ---- nested, and inputs that failed --------------------------------------------------


def test_an_uncaught_get_fails_as_the_inner_task_did_and_shows_both():
    def inner():
        raise Mine(code=6)

    def outer():
        raise to_exception(failure_of(inner))

    e = to_exception(failure_of(outer, task_id=TASK + 64), SESSION)

    assert isinstance(e, Mine)
    assert type(e).__name__ == "RayTaskError(Mine)"
    assert type(e.cause) is Mine
    assert e.code == 6
    assert str(e).index("burrow::outer()") < str(e).index("burrow::inner()")
    assert str(e).splitlines()[-1].endswith("Mine: code 6")
    assert str(e).count("code 6") == 1
    assert "RayTaskError" not in str(e)
    assert e.function_name == "outer"


def test_twenty_levels_stay_one_level_of_type_and_bounded_text():
    failure = failure_with(Mine(code=6))
    for level in range(20):
        failure = failure_with(to_exception(failure), function=f"level{level}")

    e = to_exception(failure)

    assert type(e).__name__ == "RayTaskError(Mine)"
    assert type(e.cause) is Mine
    assert str(e).splitlines()[-1].endswith("Mine: code 6")
    assert len(str(e)) < 12_000


def test_a_new_error_from_an_arrived_one_shows_it_as_its_cause():
    def outer():
        try:
            raise arrived(Mine(code=6))
        except Mine as error:
            raise KeyError("later") from error

    e = to_exception(failure_of(outer))

    assert isinstance(e, KeyError)
    assert not isinstance(e, Mine)
    assert str(e).endswith("KeyError: 'later'")
    assert "Mine: code 6" in str(e)
    assert isinstance(e.cause.__cause__, Mine)
    assert isinstance(e.cause.__cause__, RayTaskError)


@LIBRARIES
def test_an_error_that_is_stored_and_raised_again_in_a_task_stays_itself(library):
    e = library.loads(library.dumps(arrived(Mine(code=1))))

    again = to_exception(failure_with(e))

    assert type(again) is type(e)
    assert type(again.cause) is Mine


def test_a_failed_input_fails_the_task_with_the_same_type():
    def f():
        raise Mine(code=5)

    failure = failures.Upstream("g", TASK + 64, failure_of(f))
    e = to_exception(failure, SESSION)

    assert isinstance(e, Mine)
    assert type(e).__name__ == "RayTaskError(Mine)"
    assert str(e).splitlines()[0] == (
        "The task g (3.3) did not run: one of its inputs could not be computed:"
    )
    assert "burrow::f()" in str(e)
    assert str(e).splitlines()[-1].endswith("Mine: code 5")
    assert e.task_id == f"{SESSION:016x}{TASK + 64:016x}"


@LIBRARIES
def test_the_type_survives_any_number_of_steps(library):
    failure = failure_with(Mine(code=5))
    for number in range(5000):
        failure = failures.Upstream(f"step{number}", TASK + 64 * number, failure)

    first = to_exception(failure)
    e = library.loads(library.dumps(first))

    assert isinstance(e, Mine)
    assert "step4999" in str(e)
    assert "step0" in str(e)
    assert str(e) == str(first)
    assert len(str(first)) < 12_000


def test_a_crashed_input_fails_the_task_as_crashed_and_as_task_error():
    failure = failures.Upstream("g", TASK, failures.WorkerDied("f", TASK, 7, None, 11, 1))

    e = to_exception(failure)

    assert isinstance(e, exceptions.WorkerCrashedError)
    assert isinstance(e, RayTaskError)
    assert "could not be computed" in str(e)
    assert "SIGSEGV" in str(e)
    assert type(pickle.loads(pickle.dumps(e))) is type(e)


def test_a_cancelled_input_fails_the_task_as_cancelled():
    e = to_exception(failures.Upstream("g", TASK + 64, failures.Cancelled(TASK, "f")), SESSION)

    assert isinstance(e, exceptions.TaskCancelledError)
    assert "was cancelled" in str(e)
    assert TASK_HEX in str(e)


def test_a_lost_input_fails_the_task_as_lost():
    lost = failures.ObjectLost(TASK, "it was freed", "freed")

    assert isinstance(to_exception(failures.Upstream("g", TASK, lost)), exceptions.ObjectFreedError)


def test_a_crash_in_a_get_inside_a_task_keeps_its_type():
    def outer():
        raise to_exception(failures.WorkerDied("f", TASK, 7, 3, None, 1))

    e = to_exception(failure_of(outer))

    assert isinstance(e, exceptions.WorkerCrashedError)
    assert isinstance(e, RayTaskError)
    assert "in outer" in str(e)
    assert "exit code 3" in str(e).splitlines()[-1]


# ---- groups --------------------------------------------------------------------------


def test_a_group_is_a_group_and_its_members_keep_their_types():
    group = ExceptionGroup("many", [Mine(code=1), KeyError("k"), ExceptionGroup("in", [OSError()])])

    e = arrived(group)

    assert isinstance(e, ExceptionGroup)
    assert isinstance(e, RayTaskError)
    assert e.message == "many"
    assert [type(x) for x in e.exceptions] == [Mine, KeyError, ExceptionGroup]
    assert e.exceptions[0].code == 1


def test_except_star_takes_a_group_apart():
    caught = []
    try:
        raise arrived(ExceptionGroup("many", [Mine(code=1), KeyError("k"), TypeError("t")]))
    except* ValueError as some:
        caught.append([type(x) for x in some.exceptions])
    except* (KeyError, TypeError) as some:
        caught.append([type(x) for x in some.exceptions])

    assert caught == [[Mine], [KeyError, TypeError]]


def test_what_except_star_leaves_is_raised_on():
    with pytest.raises(ExceptionGroup) as rest:  # noqa: PT012  # the handler is what is tested
        try:
            raise arrived(ExceptionGroup("many", [ValueError("v"), KeyError("k")]))
        except* ValueError:
            pass

    assert [type(x) for x in rest.value.exceptions] == [KeyError]


def test_a_group_of_the_users_own_is_one_again():
    e = arrived(Group("g", [ValueError("v"), KeyError("k")]))

    matched, rest = e.split(ValueError)

    assert isinstance(e, Group)
    assert type(matched) is Group
    assert type(rest) is Group


def test_a_group_with_base_exceptions_is_a_plain_task_error():
    e = arrived(BaseExceptionGroup("g", [OwnBase("b")]))

    assert isinstance(e, RayTaskError)
    assert isinstance(e.cause, BaseExceptionGroup)
    assert "OwnBase: b" in str(e)


# ---- exceptions that mean something to Python ----------------------------------------


def test_base_exceptions_of_the_users_arrive_as_themselves():
    e = arrived(OwnBase("b"))

    assert isinstance(e, OwnBase)
    assert isinstance(e, Exception)


@pytest.mark.parametrize("error", [BaseException("b"), GeneratorExit("g"), Exception("e")])
def test_bare_base_exceptions_are_plain_task_errors(error):
    e = arrived(error)

    assert isinstance(e, RayTaskError)
    assert not isinstance(e, GeneratorExit)
    assert type(e.cause) is type(error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
def test_interrupts_arrive_as_cancelled(error):
    e = arrived(error)

    assert type(e) is exceptions.TaskCancelledError
    assert "was cancelled" in str(e)
    assert e.task_id == TASK_HEX


def test_the_exit_of_a_task_arrives_as_a_crash():
    e = arrived(SystemExit(3))

    assert type(e) is exceptions.WorkerCrashedError
    assert e.exit_code == 3


@pytest.mark.parametrize("error", [StopIteration(5), LostStop(5), StopAsyncIteration(5)])
def test_stop_iteration_ends_no_loop(error):
    failure = failure_with(error)

    def get(_):
        raise to_exception(failure)

    with pytest.raises(RayTaskError) as in_map:
        list(map(get, [1, 2]))
    with pytest.raises(RayTaskError):
        [get(ref) for ref in [1, 2]]
    assert isinstance(in_map.value, RuntimeError)
    assert type(in_map.value).__name__ == f"RayTaskError({type(error).__name__})"
    assert type(in_map.value.cause) is type(error)
    assert in_map.value.cause.args == (5,)


def test_stop_iteration_can_be_set_on_a_future():
    async def wait():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(arrived(StopIteration(5)))
        await future

    with pytest.raises(RayTaskError):
        asyncio.run(wait())


# ---- failures without an exception ---------------------------------------------------


@pytest.mark.parametrize(
    ("exit_code", "number", "says"),
    [
        (None, signal.SIGSEGV, "SIGSEGV"),
        (None, signal.SIGKILL, "SIGKILL"),
        (None, signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}"),
        (9, None, "exit code 9"),
        (0, None, "exit code 0"),
        (None, None, "not known"),
    ],
)
def test_a_crash_names_how_the_process_ended(exit_code, number, says):
    e = to_exception(failures.WorkerDied("f", TASK, 77, exit_code, number, 4), SESSION)

    assert type(e) is exceptions.WorkerCrashedError
    for part in (says, "f (3.2)", "pid 77", "4 attempts"):
        assert part in str(e)
    assert (e.exit_code, e.signal, e.pid, e.task_id) == (exit_code, number, 77, TASK_HEX)


def test_what_the_head_knows_of_a_crash_is_told():
    e = to_exception(failures.WorkerDied("f", TASK, 77, None, 9, 1, "It was over its memory."))

    assert str(e).endswith("It was over its memory.")
    assert "ran out of memory" not in str(e)


def test_a_cancelled_task_is_named():
    e = to_exception(failures.Cancelled(TASK, "f"), SESSION)

    assert type(e) is exceptions.TaskCancelledError
    assert "was cancelled" in str(e)
    assert TASK_HEX in str(e)
    assert e.task_id == TASK_HEX
    assert not isinstance(e, RayTaskError)


def test_a_failed_constructor_is_told_and_is_not_of_its_type():
    error = failure_with(Mine(code=3), function="A.__init__", task_id=0, actor_id=ACTOR)

    e = to_exception(failures.ActorDied(ACTOR, "A", "its constructor raised", error), SESSION)

    assert type(e) is exceptions.ActorDiedError
    assert not isinstance(e, Mine)
    assert e.actor_id == ACTOR_HEX
    assert "its constructor raised" in str(e)
    assert "burrow::A.__init__()" in str(e)
    assert "in task" in str(e), "the traceback"
    assert str(e).splitlines()[-1].endswith("Mine: code 3")


def test_a_dead_actor_is_named_once():
    e = to_exception(failures.ActorDied(ACTOR, "A", "The actor A (3.3) is dead: kill() ended it."))
    short = to_exception(failures.ActorDied(ACTOR, "A", "it was killed"))

    assert str(e) == "The actor A (3.3) is dead: kill() ended it."
    assert str(short) == "The actor A (3.3): it was killed"
    assert isinstance(e, exceptions.RayActorError)


def test_an_actor_that_restarts_is_unavailable():
    e = to_exception(failures.ActorUnavailable(ACTOR, "A", "it is being restarted"), SESSION)

    assert type(e) is exceptions.ActorUnavailableError
    assert e.actor_id == ACTOR_HEX
    assert "being restarted" in str(e)


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("lost", exceptions.ObjectLostError),
        ("freed", exceptions.ObjectFreedError),
        ("owner", exceptions.OwnerDiedError),
        ("reconstruction", exceptions.ObjectReconstructionFailedError),
        ("something new", exceptions.ObjectLostError),
    ],
)
def test_a_lost_object_is_lost_in_its_own_way(kind, cls):
    e = to_exception(failures.ObjectLost(TASK, "why", kind), SESSION)

    assert type(e) is cls
    assert "why" in str(e)
    assert e.object_ref_hex == TASK_HEX


def test_other_failures_have_classes_of_their_own():
    infeasible = to_exception(failures.Infeasible("f", "asks for 99 CPU"))
    late = to_exception(failures.TimedOut(TASK, "f", 1.5), SESSION)
    broken = to_exception(failures.EngineError("it broke"))

    assert type(infeasible) is exceptions.InfeasibleError
    assert isinstance(infeasible, ValueError)
    assert "99 CPU" in str(infeasible)
    assert type(late) is exceptions.TaskTimeoutError
    assert isinstance(late, TimeoutError)
    assert "1.5 s" in str(late)
    assert late.task_id == TASK_HEX
    assert type(broken) is exceptions.RaySystemError
    assert str(broken) == "it broke"


PLAIN = [
    failures.WorkerDied("f", TASK, 7, 1, None, 1),
    failures.Cancelled(TASK, "f"),
    failures.ActorDied(ACTOR, "A", "gone"),
    failures.ActorUnavailable(ACTOR, "A", "restarts"),
    failures.ObjectLost(TASK, "gone"),
    failures.Infeasible("f", "much"),
    failures.Deadlock("f", TASK, "deadlock: f waits for f"),
    failures.TimedOut(TASK, "f", 1.0),
    failures.StoreFull("a result of f could not be stored", "no room"),
    failures.EngineError("broken"),
]


@pytest.mark.parametrize("failure", PLAIN, ids=lambda f: type(f).__name__)
@LIBRARIES
def test_every_kind_of_failure_can_be_pickled_and_copied(failure, library):
    e = to_exception(failure, SESSION)

    for again in (library.loads(library.dumps(e)), copy.copy(e)):
        assert type(again) is type(e)
        assert str(again) == str(e)
        assert vars(again) == vars(e)


def test_no_text_of_a_failure_is_long():
    assert [f for f in PLAIN if len(str(to_exception(f)).splitlines()) > 8] == []


def test_every_kind_of_failure_has_its_exception():
    assert {type(f) for f in PLAIN} | {failures.UserError, failures.Upstream} == set(
        failures.Failure.__args__
    )


# ---- classes of a notebook or script -------------------------------------------------

SCRIPT = """
import pickle, subprocess, sys
import cloudpickle
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.exceptions import RayTaskError
from burrow_jupyter.engine import errors

CHILD = '''
import pickle, sys
error = pickle.loads(sys.stdin.buffer.read())
try:
    raise error
except LookupError as caught:
    said = [type(caught).__name__, str(caught.code), str(caught).splitlines()[-1]]
    assert caught.args == (caught.cause,)
    sys.stdout.buffer.write(pickle.dumps((said, caught)))
'''

class Mine(LookupError):
    def __init__(self, *, code):
        self.code = code

def task():
    raise Mine(code=8)

try:
    task()
except Mine as error:
    e = to_exception(errors.capture(error, function="task", task_id=64))

for library in (pickle, cloudpickle):
    done = subprocess.run([sys.executable, "-c", CHILD], input=library.dumps(e), stdout=-1)
    said, back = pickle.loads(done.stdout)
    assert type(back) is type(e), (type(back).__mro__, type(e).__mro__)
    assert isinstance(back, Mine) and isinstance(back, RayTaskError)
    assert type(back.cause) is Mine
    print(said)
"""


def test_an_error_of_the_main_module_survives_a_visit_to_another_process(tmp_path, root):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    ran = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stdout.splitlines() == ["['RayTaskError(Mine)', '8', 'Mine']"] * 2, ran.stderr


def test_the_public_name_of_the_module_is_the_one_function():
    assert api_errors.__all__ == ["to_exception"]
