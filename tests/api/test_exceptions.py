"""The public tree of exceptions: names, parents, pickles."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import re

import cloudpickle
import pytest

import burrow.exceptions
from burrow_jupyter.api import exceptions

CLASSES = sorted(
    {getattr(exceptions, name) for name in exceptions.__all__}, key=lambda c: c.__name__
)


@pytest.mark.parametrize(
    ("name", "parents"),
    [
        ("RayTaskError", "RayError"),
        ("RayActorError", "RayError"),
        ("ActorDiedError", "RayActorError"),
        ("ActorUnavailableError", "RayActorError"),
        ("WorkerCrashedError", "RayError"),
        ("TaskCancelledError", "RayError"),
        ("TaskTimeoutError", "RayError TimeoutError"),
        ("GetTimeoutError", "RayError TimeoutError"),
        ("ObjectLostError", "RayError"),
        ("ObjectFreedError", "ObjectLostError"),
        ("OwnerDiedError", "ObjectLostError"),
        ("ObjectReconstructionFailedError", "ObjectLostError"),
        ("ObjectStoreFullError", "RayError"),
        ("OutOfMemoryError", "RayError"),
        ("OutOfDiskError", "RayError"),
        ("InfeasibleError", "RayError ValueError"),
        ("PendingCallsLimitExceeded", "RayError"),
        ("AsyncioActorExit", "RayError"),
        ("RuntimeEnvSetupError", "RayError"),
        ("RaySystemError", "RayError"),
        ("ActorAlreadyExistsError", "RayError ValueError"),
        ("ActorHandleNotFoundError", "RayError ValueError"),
    ],
)
def test_an_error_is_caught_by_its_parents(name, parents):
    cls = getattr(exceptions, name)

    for parent in parents.split():
        wanted = getattr(exceptions, parent, None) or getattr(builtins, parent)
        with pytest.raises(wanted, match="why"):
            raise cls("why")


def test_the_siblings_do_not_catch_each_other():
    assert not issubclass(exceptions.ActorDiedError, exceptions.ActorUnavailableError)
    assert not issubclass(exceptions.WorkerCrashedError, exceptions.RayTaskError)
    assert not issubclass(exceptions.RayTaskError, ValueError)
    assert not issubclass(exceptions.TaskCancelledError, TimeoutError)


def test_burrows_own_names_mean_the_same_classes():
    assert exceptions.BurrowError is exceptions.RayError
    assert exceptions.TaskError is exceptions.RayTaskError
    assert exceptions.ActorError is exceptions.RayActorError
    assert exceptions.BurrowSystemError is exceptions.RaySystemError
    assert exceptions.PlasmaObjectNotAvailable is exceptions.GetTimeoutError
    assert exceptions.ActorUnschedulableError is exceptions.TaskUnschedulableError


def test_the_drawn_tree_names_every_class_and_alias():
    drawn = set(re.findall(r"\w+", inspect.getdoc(exceptions) or ""))

    assert set(exceptions.__all__) - drawn == set()


def test_every_class_is_in_the_list_of_public_names():
    found = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }

    assert found == set(exceptions.__all__)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_a_class_is_found_where_it_says(cls):
    assert cls.__module__ == "burrow.exceptions"
    assert getattr(burrow.exceptions, cls.__name__) is cls


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_an_error_survives_pickling_with_its_attributes(cls, library):
    error = cls("what went wrong")
    error.task_id = "ab"
    error.extra = 3

    loaded = library.loads(library.dumps(error))

    assert type(loaded) is cls
    assert (str(loaded), loaded.args) == ("what went wrong", ("what went wrong",))
    assert (loaded.task_id, loaded.extra) == ("ab", 3)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_an_error_can_be_made_and_copied_without_anything(cls):
    assert type(copy.copy(cls())) is cls


def test_a_notebook_shows_the_text_and_the_line_that_asked():
    try:
        raise exceptions.GetTimeoutError("not ready\nwithin 3 s")
    except exceptions.RayError as error:
        lines = error._render_traceback_()

    assert lines[0] == "GetTimeoutError: not ready"
    assert "test_exceptions.py, line " in lines[1]
    assert lines[1].endswith('raise exceptions.GetTimeoutError("not ready\\nwithin 3 s")')
    assert lines[2:] == ["within 3 s"]


def test_a_notebook_shows_errors_that_were_never_raised():
    assert exceptions.RayError("x")._render_traceback_() == ["RayError: x"]
    assert exceptions.RayError()._render_traceback_() == ["RayError"]
