"""Area 10: actors."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import pickle
import signal
import threading
from pathlib import Path

import pytest

import burrow
from burrow import exceptions
from conformance.calls import Counter, gated, lines, note, same
from helpers.gates import leave_trace, pass_gate
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


def dies(ref, text=None):
    with pytest.raises(exceptions.RayActorError, match=text):
        burrow.get(ref, timeout=20)


def test_10_1_a_handle_comes_at_once(tmp_path):
    gate = tmp_path / "gate"

    @burrow.remote
    class Slow:
        def __init__(self):
            pass_gate(str(gate))

        def ask(self):
            return "ready"

    slow = Slow.remote()
    ready, answer = slow.__ray_ready__.remote(), slow.ask.remote()
    assert burrow.wait([ready, answer], timeout=0.05)[0] == []
    gate.touch()
    burrow.get(ready)
    assert burrow.get(answer) == "ready"


def test_10_1_every_actor_can_be_applied_to_and_ended():
    counter = Counter.remote(5)

    assert burrow.get(counter.__ray_call__.remote(lambda self, n: self.value + n, 2)) == 7
    last = counter.add.remote(1)
    dies(counter.__ray_terminate__.remote(), "__ray_terminate__")
    assert burrow.get(last) == 6
    dies(counter.get.remote())


def test_10_1_classes_of_every_kind():
    class Base:
        kind = "base"

        def inherited(self):
            return self.kind

        def _private(self):
            return "private"

    @burrow.remote
    class Every(Base):
        kind = "every"

        @classmethod
        def of_class(cls):
            return cls.__name__

        @staticmethod
        def static(x):
            return x + 1

        @property
        def prop(self):
            return "a property"

        def read(self):
            return self.prop

        def __call__(self, x):
            return x

        def __len__(self):
            return 7

        def another(self):
            return type(self)().inherited(), isinstance(self, Base)

    every = Every.remote()
    assert burrow.get(every.__len__.remote()) == 7
    assert burrow.get(
        [
            every.inherited.remote(),
            every._private.remote(),
            every.of_class.remote(),
            every.static.remote(1),
            every.read.remote(),
            every.another.remote(),
        ]
    ) == ["every", "private", "Every", 2, "a property", ("every", True)]
    assert burrow.get(every.__call__.remote(3)) == 3


def test_10_1_the_name_of_the_class_is_usable_inside():
    scope = {"burrow": burrow}
    exec(
        "@burrow.remote\n"
        "class Tree:\n"
        "    def __init__(self, depth):\n"
        "        self.child = Tree.remote(depth - 1) if depth else None\n"
        "    def count(self):\n"
        "        return 1 + (burrow.get(self.child.count.remote()) if self.child else 0)\n",
        scope,
    )
    assert burrow.get(scope["Tree"].remote(2).count.remote()) == 3


def test_10_2_calls_run_in_the_order_of_submission():
    counter = Counter.remote()

    assert burrow.get([counter.add.remote() for _ in range(300)]) == list(range(1, 301))


def test_10_2_also_when_an_earlier_one_waits_for_its_arguments(tmp_path):
    gate = tmp_path / "gate"
    counter = Counter.remote()
    first = counter.add.remote(gated.remote(gate, 10))
    second = counter.add.remote(100)

    assert burrow.wait([second], timeout=0.1)[0] == []

    @burrow.remote
    def other_caller(handle):
        return burrow.get(handle.add.remote(1000))

    assert burrow.get(other_caller.remote(counter)) == 1000
    gate.touch()
    assert burrow.get([first, second]) == [1010, 1110]


def test_10_3_default_actors_hold_no_cpu():
    wait_until(lambda: burrow.available_resources().get("CPU") == 2, 10, "earlier actors to end")
    many = [Counter.remote() for _ in range(5)]

    assert burrow.get([actor.add.remote() for actor in many]) == [1] * 5
    assert burrow.available_resources()["CPU"] == 2


def test_10_3_explicit_ones_hold_theirs_for_life():
    wait_until(lambda: burrow.available_resources().get("CPU") == 2, 10, "earlier actors to end")
    holder = Counter.options(num_cpus=1).remote()
    burrow.get(holder.get.remote())
    assert burrow.available_resources()["CPU"] == 1

    del holder
    gc.collect()
    wait_until(lambda: burrow.available_resources()["CPU"] == 2, 10, "the CPU to be free")


def test_10_4_an_actor_ends_with_its_last_handle_but_after_its_calls(tmp_path):
    trace = tmp_path / "trace"

    assert burrow.get(Counter.remote(1).add.remote()) == 2
    counter = Counter.remote()
    pid = burrow.get(counter.pid.remote())
    counter.gated.remote(tmp_path / "gate")
    counter.traced.remote(trace)
    del counter
    (tmp_path / "gate").touch()
    wait_until(trace.exists, 10, "the last call to run")
    wait_until(lambda: not alive(pid), 10, "the actor to end")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_10_4_handles_in_other_places_keep_it():
    inner, outer = Counter.remote(1), Counter.remote()
    burrow.get(outer.keep.remote([inner]))
    closure = burrow.remote(lambda: burrow.get(inner.add.remote()))  # noqa: F821 deleted later on, on purpose
    assert burrow.get(closure.remote()) == 2
    del inner, closure
    gc.collect()

    kept = burrow.get(outer.kept_value.remote())[0]
    assert burrow.get(kept.add.remote()) == 3


def test_10_4_looked_up_handles_are_weak():
    strong = Counter.options(name="weak").remote()
    weak = burrow.get_actor("weak")
    assert burrow.get(weak.add.remote()) == 1

    del strong
    gc.collect()
    wait_until(lambda: "alive" not in states("weak"), 10, "the actor to end")
    dies(weak.add.remote())


def states(name):
    return [row["state"] for row in burrow.actors() if row["name"] == name]


def test_10_4_its_own_handle_does_not_keep_it():
    @burrow.remote
    class Knows:
        def remember(self, me):
            self.me = me
            self.also_me = burrow.get_runtime_context().current_actor

    knows = Knows.options(name="knows").remote()
    burrow.get(knows.remember.remote(knows))
    del knows
    gc.collect()

    wait_until(lambda: "alive" not in states("knows"), 10, "the actor to end")


def test_10_4_reference_counting_alone_ends_it():
    gc.collect()
    gc.disable()
    try:
        counter = Counter.options(name="counted").remote()
        burrow.get(counter.add.options(name="renamed").remote())
        method = counter.add
        burrow.get(method.remote())
        del counter, method
        wait_until(lambda: "alive" not in states("counted"), 10, "the actor to end")
    finally:
        gc.enable()


def test_10_5_handles_travel_and_are_equal():
    counter = Counter.remote()
    copies = [
        burrow.get(same.remote([counter]))[0],
        burrow.get(burrow.put(counter)),
        burrow.get(same.remote(counter)),
    ]

    assert {counter, *copies} == {counter}
    assert counter != Counter.remote()
    for copy in copies:
        burrow.get(copy.add.remote())
    assert burrow.get(counter.get.remote()) == 3


def test_10_5_a_wrong_method_is_an_attribute_error():
    counter = Counter.remote()

    with pytest.raises(AttributeError, match="nope"):
        counter.nope.remote()
    assert not hasattr(counter, "nope")


def test_10_6_results_in_any_order_and_nested_actors():
    @burrow.remote
    class Maker:
        def make(self, start):
            return Counter.remote(start)

    maker = Maker.remote()
    handles = burrow.get([maker.make.remote(n) for n in range(3)])
    refs = [handle.add.remote() for handle in handles]

    assert burrow.get(refs[::-1]) == [3, 2, 1]


def test_10_7_options_of_methods():
    with pytest.raises(ValueError, match="options"):
        burrow.method()
    with pytest.raises(ValueError, match="nope"):
        burrow.method(nope=1)

    class Base:
        @burrow.method(num_returns=2)
        def two(self):
            return 1, 2

    @burrow.remote
    class Derived(Base):
        pass

    assert burrow.get(Derived.remote().two.remote()) == [1, 2]


def test_10_7_one_cannot_inherit_from_an_actor_class():
    with pytest.raises(TypeError, match="Counter"):

        class Wrong(Counter):
            pass


def test_10_8_pending_calls_are_limited(tmp_path):
    gate = tmp_path / "gate"
    counter = Counter.options(max_pending_calls=3).remote()
    refs = [counter.gated.remote(gate) for _ in range(3)]

    with pytest.raises(exceptions.PendingCallsLimitExceeded):
        counter.add.remote()
    gate.touch()
    assert burrow.get(refs) == [1, 2, 3]
    assert burrow.get(counter.add.remote()) == 4


def test_10_8_calls_through_another_handle_count_too(tmp_path):
    gate = tmp_path / "gate"
    counter = Counter.options(max_pending_calls=1).remote()
    ref = counter.gated.remote(gate)
    other = pickle.loads(pickle.dumps(counter))

    with pytest.raises(exceptions.PendingCallsLimitExceeded):
        other.add.remote()
    gate.touch()
    assert burrow.get(ref) == 1
    assert burrow.get(other.add.remote()) == 2


def test_10_8_ended_calls_do_not_count_though_nobody_got_them():
    counter = Counter.options(max_pending_calls=2).remote()
    refs = []
    for _ in range(20):
        refs.append(counter.add.remote())
        burrow.wait(refs[-1:])

    assert burrow.get(refs) == list(range(1, 21))


def test_10_9_what_an_actor_changes_stays_there(tmp_path):
    @burrow.remote
    class Changes:
        def change(self):
            os.environ["CONFORMANCE"] = "changed"
            os.chdir(tmp_path)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            threading.Thread(target=threading.Event().wait, args=(1,), daemon=True).start()

        def look(self):
            return os.environ.get("CONFORMANCE"), str(Path.cwd())

    changed, other = Changes.remote(), Changes.remote()
    burrow.get(changed.change.remote())

    assert burrow.get(changed.look.remote()) == ("changed", str(tmp_path))
    assert burrow.get(other.look.remote()) == (None, str(Path.cwd()))


@pytest.mark.parametrize("how", ["scope", "terminate", "exit", "kill"])
def test_10_9_the_end_in_order(tmp_path, how):
    said = tmp_path / "said"

    @burrow.remote
    class Tidy:
        def __init__(self):
            atexit.register(note, said, "atexit")

        def __ray_shutdown__(self):
            note(said, "shutdown")

        def __del__(self):
            note(said, "del")

        def leave(self):
            burrow.exit_actor()

        def pid(self):
            return os.getpid()

    tidy = Tidy.remote()
    pid = burrow.get(tidy.pid.remote())
    if how == "terminate":
        tidy.__ray_terminate__.remote()
    elif how == "exit":
        tidy.leave.remote()
    elif how == "kill":
        burrow.kill(tidy)
    del tidy
    wait_until(lambda: not alive(pid), 10, "the actor to end")

    assert lines(said) == ([] if how == "kill" else ["shutdown", "atexit", "del"])


def test_10_9_a_shutdown_that_raises_or_hangs_ends_all_the_same():
    @burrow.remote
    class Untidy:
        def __ray_shutdown__(self):
            raise ValueError("not now")

        def pid(self):
            return os.getpid()

    untidy = Untidy.remote()
    pid = burrow.get(untidy.pid.remote())
    del untidy
    wait_until(lambda: not alive(pid), 10, "the actor to end")


def test_10_10_exit_actor_ends_it_at_once(tmp_path):
    after = tmp_path / "after"

    @burrow.remote(max_restarts=5)
    class Leaves:
        def leave(self):
            burrow.exit_actor()
            leave_trace(str(after))

        def stubborn(self):
            try:
                burrow.exit_actor()
            except BaseException:  # noqa: BLE001 the very point
                return "caught"

    for name in ("leave", "stubborn"):
        leaves = Leaves.remote()
        first = getattr(leaves, name).remote()
        queued = leaves.leave.remote()
        dies(first, "exit_actor")
        dies(queued, "exit_actor")
        dies(leaves.leave.remote(), "exit_actor")
    assert not after.exists()


def test_10_10_in_constructors_and_coroutines():
    @burrow.remote
    class Never:
        def __init__(self):
            burrow.exit_actor()

        def ask(self):
            pass

    async def deep():
        burrow.exit_actor()

    @burrow.remote
    class Async:
        async def leave(self):
            await deep()

    dies(Never.remote().ask.remote(), "exit_actor")
    leaving = Async.remote()
    dies(leaving.leave.remote(), "exit_actor")


@pytest.mark.parametrize("kind", ["async", "threads"])
def test_10_10_calls_that_run_beside_it_may_end(tmp_path, kind):
    began, gate = tmp_path / "began", tmp_path / "gate"

    @burrow.remote(max_concurrency=2)
    class Threads:
        def work(self):
            leave_trace(str(began))
            pass_gate(str(gate))
            return "done"

        def leave(self):
            burrow.exit_actor()

    @burrow.remote(max_concurrency=2)
    class Async:
        async def work(self):
            leave_trace(str(began))
            while not gate.exists():  # noqa: ASYNC110 the gate is another process's
                await asyncio.sleep(0.005)
            return "done"

        async def leave(self):
            burrow.exit_actor()

    leaves = {"async": Async, "threads": Threads}[kind].remote()
    work = leaves.work.remote()
    wait_until(began.exists, 10, "the call to run")
    leaving, queued = leaves.leave.remote(), leaves.work.remote()
    assert burrow.wait([leaving, queued], timeout=0.2)[0] == []
    gate.touch()

    assert burrow.get(work, timeout=20) == "done"
    dies(leaving, "exit_actor")
    dies(queued, "exit_actor")


def test_10_10_outside_an_actor_it_is_a_type_error():
    with pytest.raises(TypeError, match="actor"):
        burrow.exit_actor()
    with pytest.raises(TypeError, match="actor"):
        burrow.get(burrow.remote(burrow.exit_actor).remote())
