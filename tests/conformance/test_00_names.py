"""Every public name of Ray's core is there, or in the table of those that are not offered."""

from __future__ import annotations

import importlib
import importlib.util
import inspect

import pytest

import burrow

NAMES = """
    ActorClass ActorID ClientBuilder JobID NodeID ObjectID ObjectRef ObjectRefGenerator
    DynamicObjectRefGenerator TaskID UniqueID WorkerID FunctionID
    LOCAL_MODE SCRIPT_MODE WORKER_MODE Language LoggingConfig
    actor available_resources cancel cluster_resources exceptions exit_actor get get_actor
    get_gpu_ids get_runtime_context init is_initialized kill method nodes put remote
    runtime_context shutdown timeline util wait
""".split()  # noqa: SIM905 it reads better so

NO_CLUSTER = "one machine: there is no cluster to connect to, and no client of one"
NO_IDS = "ids are plain numbers and hexadecimal text; their classes are nobody's business"
NO_MODES = "modes are words: init(mode=...)"

NOT_OFFERED = {
    "ClientBuilder": NO_CLUSTER,
    "client": NO_CLUSTER,
    "autoscaler": NO_CLUSTER,
    "show_in_dashboard": "the notebook and its side panel show what runs",
    "cpp_function": "there is one language",
    "java_function": "there is one language",
    "java_actor_class": "there is one language",
    "Language": "there is one language",
    "LoggingConfig": "output goes under the cell that it belongs to",
    **dict.fromkeys(
        ("ActorID", "JobID", "NodeID", "TaskID", "UniqueID", "WorkerID", "FunctionID"), NO_IDS
    ),
    **dict.fromkeys(("LOCAL_MODE", "SCRIPT_MODE", "WORKER_MODE"), NO_MODES),
    "ActorClassID": NO_IDS,
    "ActorClassInheritanceException": "inheriting from an actor class is a TypeError",
}

MODULES = {
    "actor": ("ActorClass", "ActorHandle", "ActorMethod", "exit_actor"),
    "exceptions": ("RayError", "RayTaskError", "RayActorError", "GetTimeoutError"),
    "runtime_context": ("RuntimeContext", "get_runtime_context"),
    "runtime_env": ("RuntimeEnv",),
    "remote_function": ("RemoteFunction",),
}
"""Modules of which code written for Ray imports, and what it imports."""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there_or_its_absence_has_a_reason(name):
    if hasattr(burrow, name) or importlib.util.find_spec(f"burrow.{name}") is not None:
        assert name not in NOT_OFFERED
    else:
        assert NOT_OFFERED.get(name), f"burrow.{name}"


@pytest.mark.parametrize("name", MODULES)
def test_modules_that_code_for_ray_imports(name):
    module = importlib.import_module(f"burrow.{name}")

    assert [word for word in MODULES[name] if not hasattr(module, word)] == []
    assert inspect.getdoc(module)
