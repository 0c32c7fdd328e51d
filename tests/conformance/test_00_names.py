"""Every public name of Ray's core is there, or its absence says what to do instead."""

from __future__ import annotations

import importlib
import inspect

import pytest

import burrow
import burrow.util

NAMES = """
    ActorClass ActorClassID ActorID ClientBuilder JobID NodeID ObjectID ObjectRef
    ObjectRefGenerator DynamicObjectRefGenerator PlacementGroupID TaskID UniqueID WorkerID
    FunctionID ClusterID core cross_language dashboard logger log state widgets LOCAL_MODE SCRIPT_MODE WORKER_MODE Language LoggingConfig
    actor autoscaler available_resources cancel client cloudpickle cluster_resources
    cpp_function data exceptions exit_actor experimental get get_actor get_gpu_ids
    get_runtime_context init is_initialized java_actor_class java_function kill method nodes
    put remote remote_function runtime_context runtime_env serve shutdown timeline train tune
    types util wait workflow
""".split()  # noqa: SIM905 it reads better so

UTIL_NAMES = """
    ActorPool accelerators actor_pool annotations as_completed check_serialize debug
    disable_log_once_globally enable_periodic_logging get_node_instance_id helpers log_once
    serialization timer tpu tracing collective connect deregister_serializer disconnect
    get_current_placement_group get_node_ip_address get_placement_group
    inspect_serializability iter joblib list_named_actors map_unordered metrics
    multiprocessing pdb placement_group placement_group_table queue register_serializer
    remove_placement_group scheduling_strategies state
""".split()  # noqa: SIM905 as above

MODULES = {
    "actor": "ActorClass ActorClassInheritanceException ActorHandle ActorMethod exit_actor",
    "cloudpickle": "dumps loads",
    "exceptions": "RayError RayTaskError RayActorError GetTimeoutError UserCodeException",
    "experimental.tqdm_ray": "tqdm safe_print",
    "remote_function": "RemoteFunction",
    "runtime_context": "RuntimeContext get_runtime_context",
    "runtime_env": "RuntimeEnv",
    "types": "ObjectRef",
    "util.accelerators": "NVIDIA_TESLA_V100 NVIDIA_A100 NVIDIA_H100",
    "util.actor_pool": "ActorPool",
    "util.check_serialize": "inspect_serializability",
    "util.helpers": "as_completed map_unordered",
    "util.joblib": "register_ray",
    "util.metrics": "Counter Gauge Histogram",
    "util.multiprocessing": "Pool TimeoutError JoinableQueue",
    "util.placement_group": "PlacementGroup placement_group remove_placement_group",
    "util.queue": "Queue Empty Full",
    "util.scheduling_strategies": "NodeAffinitySchedulingStrategy In NotIn Exists DoesNotExist",
    "util.serialization": "register_serializer deregister_serializer",
    "util.state": "list_tasks get_task list_actors get_actor list_placement_groups list_jobs",
}
"""Modules of which code written for Ray imports, and what it imports."""


def check(module, name):
    """Fail unless the name is there, or its absence has a reason."""
    if hasattr(module, name):
        return
    plain = f"module {module.__name__!r} has no attribute {name!r}: "
    with pytest.raises(AttributeError) as missing:
        getattr(module, name)
    assert str(missing.value).startswith(plain)
    assert len(str(missing.value)) > len(plain) + 10


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there_or_its_absence_has_a_reason(name):
    check(burrow, name)


@pytest.mark.parametrize("name", UTIL_NAMES)
def test_a_utility_is_there_or_its_absence_has_a_reason(name):
    check(burrow.util, name)


STATE_NAMES = "StateApiClient get_job get_log list_cluster_events list_logs list_runtime_envs"
EXPERIMENTAL_NAMES = """
    get_local_object_locations get_object_locations internal_kv set_resource dynamic_resources
"""


@pytest.mark.parametrize("name", STATE_NAMES.split())
def test_a_list_of_rays_state_is_there_or_its_absence_has_a_reason(name):
    check(burrow.util.state, name)


@pytest.mark.parametrize("name", EXPERIMENTAL_NAMES.split())
def test_an_experiment_of_rays_is_there_or_its_absence_has_a_reason(name):
    check(burrow.experimental, name)


def test_a_name_that_nobody_knows_is_missed_as_in_any_module():
    with pytest.raises(AttributeError, match=r"^module 'burrow' has no attribute 'remte'$"):
        burrow.remte  # noqa: B018  # asking is what raises


@pytest.mark.parametrize("name", MODULES)
def test_modules_that_code_for_ray_imports(name):
    module = importlib.import_module(f"burrow.{name}")

    assert [word for word in MODULES[name].split() if not hasattr(module, word)] == []
    assert inspect.getdoc(module)


def test_exceptions_of_rays_that_are_caught_can_be_named():
    names = """
        ActorDiedError ActorUnavailableError ActorUnschedulableError AsyncioActorExit
        AuthenticationError CrossLanguageError LocalRayletDiedError NodeDiedError
        ObjectFetchTimedOutError ObjectFreedError ObjectLostError
        ObjectReconstructionFailedError ObjectStoreFullError OutOfDiskError OutOfMemoryError
        OwnerDiedError PendingCallsLimitExceeded PlasmaObjectNotAvailable RayChannelError
        RayChannelTimeoutError RayDirectTransportError RaySystemError
        ReferenceCountingAssertionError RpcError RuntimeEnvSetupError TaskCancelledError
        TaskPlacementGroupRemoved ActorPlacementGroupRemoved TaskUnschedulableError
        UnserializableException WorkerCrashedError RayCgraphCapacityExceeded
        ObjectRefStreamEndOfStreamError OufOfBandObjectRefSerializationException
        StreamingGeneratorReplayInconsistentError
    """

    for name in names.split():
        assert issubclass(getattr(burrow.exceptions, name), burrow.exceptions.RayError), name
