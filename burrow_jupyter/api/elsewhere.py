"""Names of Ray that Burrow does not have, and what to do instead: for the errors that say so."""

from __future__ import annotations

from typing import NoReturn

_LIBRARY = "it is one of Ray's libraries, and stays there"
_CLUSTER = "there is one machine, and no cluster to connect to"
_ID = "functions, actor classes and clusters have no ids that code could use"
_INTERNAL = "it is of Ray's inner workings"
_LANGUAGE = "there is one language, Python"

_REASONS = {
    "data": f"{_LIBRARY}; burrow.map goes through the parts of a data set",
    "train": f"{_LIBRARY}; an actor for each model, or GPU, trains here",
    "tune": f"{_LIBRARY}; burrow.map tries settings, and so does scikit-learn's search over "
    "burrow.util.joblib",
    "serve": _LIBRARY,
    "rllib": _LIBRARY,
    "air": _LIBRARY,
    "workflow": _LIBRARY,
    "llm": _LIBRARY,
    "autoscaler": _CLUSTER,
    "client": f"{_CLUSTER}; call init() without an address",
    "ClientBuilder": f"{_CLUSTER}; call init() without an address",
    "job_submission": _CLUSTER,
    "job_config": _CLUSTER,
    "cluster_utils": _CLUSTER,
    "java_function": _LANGUAGE,
    "java_actor_class": _LANGUAGE,
    "cpp_function": _LANGUAGE,
    "Language": _LANGUAGE,
    **dict.fromkeys(("ActorClassID", "ClusterID", "FunctionID"), _ID),
    **dict.fromkeys(("core", "ray_constants", "serialization", "client_builder"), _INTERNAL),
    **dict.fromkeys(("LOCAL_MODE", "SCRIPT_MODE", "WORKER_MODE"), 'say init(mode="inline")'),
    "LoggingConfig": "what tasks print goes under their cell, as it is",
    "cross_language": _LANGUAGE,
    "dashboard": "the notebook and its side panel show what runs",
    "logger": 'the module `logging` of Python has it: logging.getLogger("burrow")',
    "log": "what tasks print goes under their cell, as it is",
    "state": "burrow.util.state lists what there is",
    "widgets": "futures, lists of futures and actors show themselves in notebooks",
    "experimental.internal_kv": "a named actor that has a dict is shared by all",
    "experimental.get_object_locations": "there is one machine; burrow.objects() tells sizes",
    "experimental.get_local_object_locations": "there is one machine; burrow.objects() tells sizes",
    "experimental.set_resource": "the amounts that init() was given stay",
    "experimental.dynamic_resources": "the amounts that init() was given stay",
    "util.annotations": _INTERNAL,
    "util.debug": _INTERNAL,
    "util.log_once": "the module `warnings` of Python says a thing once",
    "util.disable_log_once_globally": "there is no log_once()",
    "util.enable_periodic_logging": "there is no log_once()",
    "util.get_node_instance_id": _CLUSTER,
    "util.timer": "time.perf_counter() measures",
    "util.tracing": "burrow.timeline() tells what ran when",
    "util.tpu": _CLUSTER,
    "util.state.StateApiClient": _CLUSTER,
    "util.state.get_job": "there is one: list_jobs()[0]",
    "util.state.list_cluster_events": _CLUSTER,
    "util.state.list_runtime_envs": "burrow.get_runtime_context().runtime_env tells a task its own",
    "internal": "burrow.free frees objects",
    "errors": "the errors of tasks are those of their refs: get(ref) raises them",
    "show_in_dashboard": "the notebook and its side panel show what runs",
    "worker": "burrow.get_runtime_context() and burrow.util.state tell what code may know",
    "services": "burrow.util.get_node_ip_address() tells the address",
    "dag": "call functions with .remote(): a ref that is an argument is waited for",
    "util.collective": "processes of one machine share arrays by burrow.put",
    "util.dask": "Dask has a scheduler for processes of its own",
    "util.iter": "burrow.map is lazy, and so are generators of tasks",
    "util.spark": _CLUSTER,
    "util.client": _CLUSTER,
    "util.connect": _CLUSTER,
    "util.disconnect": _CLUSTER,
    "util.pdb": "breakpoint() in a task opens in the notebook",
    "util.rpdb": "breakpoint() in a task opens in the notebook",
    "util.debugpy": "breakpoint() in a task opens in the notebook",
    "util.xgboost": _LIBRARY,
    "util.lightgbm": _LIBRARY,
    "util.state.list_logs": "what tasks print goes under their cell; %burrow logs has all of it",
    "util.state.get_log": "what tasks print goes under their cell; %burrow logs has all of it",
}
"""By the dotted name below `burrow`."""


def no_attribute(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module has not; it says what to do, where Ray has it."""
    path = f"{module}.{name}".removeprefix("burrow.")
    reason = _REASONS.get(path)
    text = f"module {module!r} has no attribute {name!r}"
    return AttributeError(f"{text}: {reason}" if reason else text, name=name)


def refuse(module: str) -> NoReturn:
    """Say why there is no such module, to who imports it.

    Raises:
        ImportError: always. Not its subclass for modules that are not found: Python would
            leave the reason out of `from burrow import data`.
    """
    reason = _REASONS[module.removeprefix("burrow.")]
    msg = f"there is no module {module!r}: {reason}"
    raise ImportError(msg, name=module)
