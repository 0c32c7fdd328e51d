"""Area 8: errors."""

from __future__ import annotations

import os
import pickle
import re
import signal
import socket
import threading

import cloudpickle
import pytest

import burrow
from burrow import exceptions
from conformance.calls import Counter, Mine, add, crash, fail, get_inside, pid, same
from helpers.wait import holds_for, wait_until

pytestmark = pytest.mark.usefixtures("shared")


def error_of(ref):
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # of any kind
        burrow.get(ref)
    return caught.value


@burrow.remote
def raises(make):
    raise make()


def test_8_1_the_family():
    tree = {
        "RayTaskError": "RayError",
        "RayActorError": "RayError",
        "ActorDiedError": "RayActorError",
        "ActorUnavailableError": "RayActorError",
        "WorkerCrashedError": "RayError",
        "TaskCancelledError": "RayError",
        "GetTimeoutError": "RayError",
        "ObjectLostError": "RayError",
        "ObjectFreedError": "ObjectLostError",
        "OwnerDiedError": "ObjectLostError",
        "ObjectReconstructionFailedError": "ObjectLostError",
        "ObjectStoreFullError": "RayError",
        "OutOfMemoryError": "RayError",
        "OutOfDiskError": "RayError",
        "PendingCallsLimitExceeded": "RayError",
        "AsyncioActorExit": "RayError",
        "RuntimeEnvSetupError": "RayError",
        "RaySystemError": "RayError",
    }
    for name, parent in tree.items():
        assert issubclass(getattr(exceptions, name), getattr(exceptions, parent)), name
    assert issubclass(exceptions.GetTimeoutError, TimeoutError)
    assert issubclass(exceptions.ActorAlreadyExistsError, ValueError)
    assert issubclass(exceptions.ActorHandleNotFoundError, ValueError)


def test_8_2_an_error_is_of_both_types():
    error = error_of(fail.remote("burnt", 9))

    assert isinstance(error, Mine)
    assert isinstance(error, exceptions.RayTaskError)
    assert error.code == 9
    assert type(error.cause) is Mine
    assert type(error).__name__ == "RayTaskError(Mine)"
    assert error.as_instanceof_cause() is error.make_dual_exception_instance() is error


def test_8_3_the_text_is_the_remote_traceback():
    error = error_of(fail.remote("at the bottom"))
    text = str(error)

    assert "fail" in text
    assert "burrow_jupyter" not in text
    assert "at the bottom" in text.rstrip().splitlines()[-1]
    assert re.search(r"pid=\d+", text)


def test_8_3_the_text_names_the_actor():
    counter = Counter.remote()
    text = str(error_of(counter.fail.remote()))

    assert "Counter" in text
    assert counter._actor_id in text


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_8_4_it_survives_pickling(library):
    error = library.loads(library.dumps(error_of(fail.remote("burnt", 9))))

    assert isinstance(error, Mine)
    assert isinstance(error, exceptions.RayTaskError)
    assert error.code == 9
    assert error.args == (error.cause,)
    assert repr(error).startswith("RayTaskError(Mine)(")


def test_8_4_it_can_be_stored_and_returned():
    error = error_of(fail.remote())

    for back in (burrow.get(burrow.put(error)), burrow.get(same.remote(error))):
        assert isinstance(back, Mine)
        assert isinstance(back, exceptions.RayTaskError)


def test_8_5_an_error_of_a_nested_get_is_not_wrapped_twice():
    error = error_of(get_inside.remote([fail.remote("deep")]))

    assert isinstance(error, Mine)
    assert not isinstance(error.cause, exceptions.RayTaskError)
    text = str(error)
    assert "get_inside" in text
    assert text.index("get_inside") < text.rindex("fail")
    assert "deep" in text.rstrip().splitlines()[-1]


def test_8_6_a_failed_argument_keeps_its_type_through_any_steps():
    ref = fail.remote("origin")
    for _ in range(20):
        ref = add.remote(ref)
    error = error_of(ref)

    assert isinstance(error, Mine)
    assert "input" in str(error)
    assert "origin" in str(error)


class Picky(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Holds(Exception):
    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class Final(Exception):
    def __init_subclass__(cls):
        raise TypeError("final")


class ReadOnly(Exception):
    @property
    def args(self):
        return ("read only",)


@pytest.mark.parametrize("kind", ["picky", "holds", "final", "read only", "local"])
def test_8_7_odd_exceptions_arrive_whatever_they_are(kind):
    class Local(Exception):
        pass

    make = {
        "picky": lambda: Picky("one", "two"),
        "holds": Holds,
        "final": lambda: Final("the end"),
        "read only": ReadOnly,
        "local": lambda: Local("of a function"),
    }[kind]
    error = error_of(raises.remote(make))

    assert isinstance(error, exceptions.RayTaskError)
    assert error.cause is not None
    text = {"picky": "one and two", "holds": "holds a lock", "final": "the end"}.get(kind, "")
    assert text in str(error)
    if kind in ("picky", "holds", "final"):
        assert isinstance(error, (Picky, Holds, Final))


def test_8_7_an_exception_that_cannot_be_unpickled():
    class Broken(Exception):
        def __reduce__(self):
            return (int, ("not a number",))

    error = error_of(raises.remote(lambda: Broken("the text")))

    assert isinstance(error, exceptions.RayTaskError)
    assert "the text" in str(error)


class Shy(Exception):
    """Lets nobody look at it."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


def test_8_7_an_exception_that_lets_nobody_look_at_it():
    error = error_of(raises.remote(lambda: Shy("behind the stove")))

    assert isinstance(error, exceptions.RayTaskError)
    assert "behind the stove" in str(error)
    assert burrow.get(same.remote("unharmed")) == "unharmed"


def test_8_8_a_group_is_a_group():
    def make():
        return ExceptionGroup("both", [ValueError("one"), KeyError("two")])

    error = error_of(raises.remote(make))

    assert isinstance(error, ExceptionGroup)
    assert [type(inner) for inner in error.exceptions] == [ValueError, KeyError]
    caught = []
    try:
        raise error
    except* ValueError as group:
        caught += group.exceptions
    except* KeyError:
        pass
    assert len(caught) == 1


class Base(BaseException):
    """Of the user's own."""


def test_8_9_base_exceptions():
    assert isinstance(error_of(raises.remote(lambda: Base("mine"))), Base)
    assert isinstance(error_of(raises.remote(lambda: BaseException("bare"))), exceptions.RayError)


def test_8_9_a_keyboard_interrupt_is_a_cancel():
    error = error_of(raises.remote(KeyboardInterrupt))

    assert isinstance(error, exceptions.TaskCancelledError)


def test_8_9_stop_iteration_is_not_swallowed():
    error = error_of(raises.remote(lambda: StopIteration("enough")))

    assert isinstance(error, exceptions.RayTaskError)
    assert "enough" in str(error)
    assert isinstance(error.cause, StopIteration)


def test_8_10_a_returned_exception_is_a_value():
    assert repr(burrow.get(same.remote(ValueError("a value")))) == "ValueError('a value')"


@burrow.remote
class Stillborn:
    def __init__(self):
        raise Mine("in the constructor")

    def method(self):
        pass


def test_8_11_a_constructor_that_raises():
    actor = Stillborn.remote()

    for _ in range(2):
        error = error_of(actor.method.remote())
        assert isinstance(error, exceptions.ActorDiedError)
        assert not isinstance(error, Mine)
        assert "__init__" in str(error)
        assert "Mine" in str(error)
        assert "in the constructor" in str(error)
        assert error.actor_init_failed


def test_8_12_the_death_of_an_actor_says_why():
    killed, left = Counter.remote(), Counter.remote()
    burrow.get(killed.get.remote())
    burrow.kill(killed)
    refs = [killed.get.remote(), left.leave.remote()]

    first, second = (error_of(ref) for ref in refs)
    for error in (first, second):
        assert isinstance(error, exceptions.RayActorError)
        assert error.actor_id
    assert "kill" in str(first)
    assert first.actor_id == killed._actor_id
    assert "exit_actor" in str(second)
    assert "crash" not in str(second)


def test_8_12_a_crash_of_an_actor_says_how():
    counter = Counter.remote()
    error = error_of(counter.crash.remote(7))

    assert isinstance(error, exceptions.RayActorError)
    assert "7" in str(error)
    assert isinstance(error_of(counter.get.remote()), exceptions.ActorDiedError)


@burrow.remote
class Fragile:
    def fall(self):
        print("falling")  # noqa: T201  # what is quoted
        os.abort()

    def stand(self):
        pass


def test_8_12_a_crash_of_an_actor_shows_its_last_output():
    fragile = Fragile.remote()

    for call in (fragile.fall, fragile.stand):
        text = str(error_of(call.remote()))
        assert "SIGABRT" in text
        assert "  falling" in text
        assert ", line " in text  # of the native stack
        assert "in fall" in text
        assert "burrow_jupyter" not in text


def test_8_12_an_alarm_of_the_tasks_own_is_no_timeout():
    def wake():
        signal.alarm(1)
        threading.Event().wait(20)

    with pytest.raises(exceptions.WorkerCrashedError, match="SIGALRM"):
        burrow.get(burrow.remote(max_retries=0)(wake).remote())


def test_8_12_a_timeout_holds_also_after_a_task_that_took_the_alarm():
    @burrow.remote(num_cpus=2)
    def take():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        return os.getpid()

    @burrow.remote(num_cpus=2, timeout=0.2)
    def late():
        threading.Event().wait(20)

    assert burrow.get(take.remote())
    with pytest.raises(exceptions.TaskTimeoutError):
        burrow.get(late.remote())


def test_8_12_a_crash_of_a_worker_says_how():
    error = error_of(crash.options(max_retries=0).remote(5))

    assert isinstance(error, exceptions.WorkerCrashedError)
    assert "5" in str(error)


@burrow.remote
def failed_inside():
    ended = [fail.remote("handed out in a list")]
    burrow.wait(ended)
    return ended


def test_8_13_what_nobody_asked_for_is_told_once(capfd):
    said = []

    def told(text):
        said.append(capfd.readouterr().err)
        return "".join(said).count(text)

    @burrow.remote
    def fail_unseen(text):  # of each function, the first failure is told in full
        raise Mine(text)

    before = fail_unseen.remote("never asked for")
    burrow.wait([before])
    del before
    burrow.get(pid.remote())
    wait_until(lambda: told("never asked for") == 1, 5, "the failure to be told")
    holds_for(lambda: told("never asked for") == 1, 0.1, "it is told once")


def test_8_13_what_was_asked_for_is_not_told(capfd):
    error_of(fail.remote("asked for"))
    error_of(add.remote(fail.remote("handed on")))
    ended = [fail.remote("handed on in a list")]
    burrow.wait(ended)
    error_of(get_inside.remote(ended))
    error_of(burrow.get(failed_inside.remote())[0])
    del ended
    burrow.get(pid.remote())

    holds_for(lambda: not capfd.readouterr().err, 0.1, "nothing is said")


@pytest.mark.parametrize(
    "make", [threading.Lock, socket.socket, lambda: (n for n in [1])], ids=["lock", "socket", "gen"]
)
def test_8_14_what_cannot_be_sent_is_named_at_the_call(make):
    thing = make()

    @burrow.remote
    def closes_over():
        return thing

    with pytest.raises(TypeError, match="put"):
        burrow.put(thing)
    with pytest.raises(TypeError, match=r"same"):
        same.remote(thing)
    with pytest.raises(TypeError, match=r"closes_over"):
        closes_over.remote()
    with pytest.raises(TypeError, match="keep"):
        Counter.remote().keep.remote({"deep": [thing]})
    if hasattr(thing, "close"):
        thing.close()


def test_8_14_a_result_that_cannot_be_sent_fails_the_task():
    error = error_of(burrow.remote(threading.Lock).remote())

    assert isinstance(error, exceptions.RayTaskError)
    assert "lock" in str(error)
