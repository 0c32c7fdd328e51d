"""Area 14: kill, crash, restart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import burrow
from burrow import exceptions
from conformance.calls import Counter, Mine, gated, lines, note, traced
from helpers.gates import count_runs, leave_trace, pass_gate, sleep_long
from helpers.wait import holds_for, wait_until

pytestmark = pytest.mark.usefixtures("shared")


def dies(ref):
    with pytest.raises(exceptions.RayActorError) as caught:
        burrow.get(ref, timeout=20)
    return caught.value


@burrow.remote
class Fragile:
    """Counts its lives in a folder."""

    def __init__(self, folder):
        self.life = count_runs(str(folder))
        self.value = 0

    def add(self):
        self.value += 1
        return self.value

    def lives(self):
        return self.life

    def crash_once(self, marker):
        if not Path(marker).exists():
            leave_trace(marker)
            os._exit(1)
        return "survived"

    def crash(self):
        os._exit(1)

    def noted(self, path, line):
        note(path, line)
        return line

    def reconstructed(self):
        return burrow.get_runtime_context().was_current_actor_reconstructed


def test_14_1_kill_is_immediate(tmp_path):
    trace, never = tmp_path / "trace", tmp_path / "never"

    @burrow.remote(max_restarts=5)
    class Hangs:
        def hang(self):
            leave_trace(str(trace))
            sleep_long()

        def leave_trace(self):
            leave_trace(str(never))

    hangs = Hangs.remote()
    running = hangs.hang.remote()
    wait_until(trace.exists, 10, "the call to run")
    burrow.kill(hangs)
    after = hangs.leave_trace.remote()

    assert "kill" in str(dies(running))
    dies(after)
    assert not never.exists()
    burrow.kill(hangs)


def test_14_1_kill_of_one_that_is_not_there_yet(tmp_path):
    @burrow.remote
    class Slow:
        def __init__(self):
            pass_gate(str(tmp_path / "never"))

        def ask(self):
            pass

    created, placed = Slow.remote(), Slow.options(num_cpus=2).remote()
    waits = Slow.options(num_cpus=2).remote()
    refs = [actor.ask.remote() for actor in (created, placed, waits)]
    for actor in (created, placed, waits):
        burrow.kill(actor)
    for ref in refs:
        dies(ref)


def test_14_1_only_handles_are_killed():
    for wrong in (1, burrow.put(1), Counter):
        with pytest.raises(ValueError, match="handle"):
            burrow.kill(wrong)


def test_14_1_killing_a_dead_one_is_nothing():
    counter = Counter.remote()
    burrow.kill(counter)
    burrow.kill(counter)
    burrow.kill(counter, no_restart=False)
    dies(counter.get.remote())


def test_14_1_a_kill_with_restart_counts_as_a_crash(tmp_path):
    fragile = Fragile.options(max_restarts=1, max_task_retries=-1).remote(tmp_path)
    assert burrow.get(fragile.lives.remote()) == 0
    burrow.kill(fragile, no_restart=False)
    assert burrow.get(fragile.lives.remote()) == 1
    burrow.kill(fragile, no_restart=False)
    dies(fragile.lives.remote())


def test_14_2_a_restarted_actor_begins_anew(tmp_path):
    folder, marker = tmp_path / "lives", tmp_path / "marker"
    folder.mkdir()
    fragile = Fragile.options(max_restarts=1, max_task_retries=1, name="phoenix").remote(folder)
    assert burrow.get([fragile.add.remote(), fragile.add.remote()]) == [1, 2]

    assert burrow.get(fragile.crash_once.remote(str(marker))) == "survived"
    assert burrow.get(fragile.lives.remote()) == 1
    assert burrow.get(burrow.get_actor("phoenix").add.remote()) == 1


def test_14_2_a_constructor_that_raises_is_not_repeated(tmp_path):
    @burrow.remote(max_restarts=3)
    class Stillborn:
        def __init__(self):
            count_runs(str(tmp_path))
            raise Mine("never")

        def ask(self):
            pass

    dies(Stillborn.remote().ask.remote())
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["serial", "threads", "async"])
def test_14_2_sys_exit_is_a_crash_unless_it_says_that_all_is_well(kind):
    class Serial:
        def leave(self, *code):
            sys.exit(*code)

        def ask(self):
            return burrow.get_runtime_context().was_current_actor_reconstructed

    class Async(Serial):
        async def leave(self, *code):
            sys.exit(*code)

    cls = burrow.remote(max_restarts=-1)(Async if kind == "async" else Serial)
    for code in ([1], [], ["no pan"]):
        leaves = cls.options(max_concurrency=2 if kind == "threads" else None).remote()
        with pytest.raises(exceptions.ActorUnavailableError):
            burrow.get(leaves.leave.remote(*code), timeout=20)
        assert burrow.get(leaves.ask.options(max_task_retries=-1).remote(), timeout=20)

    leaves = cls.options(max_concurrency=2 if kind == "threads" else None).remote()
    for ref in (leaves.leave.remote(0), leaves.ask.remote()):
        with pytest.raises(exceptions.ActorDiedError, match=r"sys\.exit\(0\)"):
            burrow.get(ref, timeout=20)


def test_14_2_sys_exit_in_the_constructor(tmp_path):
    @burrow.remote(max_restarts=-1)
    class Exits:
        def __init__(self, code):
            if count_runs(str(tmp_path)) == 0:
                sys.exit(code)

        def ask(self):
            return "alive"

    again = Exits.remote(1)
    assert burrow.get(again.ask.options(max_task_retries=-1).remote(), timeout=20) == "alive"
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(exceptions.ActorDiedError, match=r"sys\.exit\(0\)"):
        burrow.get(Exits.remote(0).ask.remote(), timeout=20)


def test_14_2_a_crash_in_the_constructor_is_a_crash(tmp_path):
    @burrow.remote(max_restarts=2, max_task_retries=-1)
    class Unlucky:
        def __init__(self):
            if count_runs(str(tmp_path)) < 2:
                os._exit(1)

        def ask(self):
            return "third life"

    assert burrow.get(Unlucky.remote().ask.remote()) == "third life"
    assert len(list(tmp_path.iterdir())) == 3


def test_14_3_without_retries_calls_in_flight_fail_once(tmp_path):
    gate, noted = tmp_path / "gate", tmp_path / "noted"
    folder = tmp_path / "lives"
    folder.mkdir()
    fragile = Fragile.options(max_restarts=1).remote(folder)
    burrow.get(fragile.noted.remote(noted, "before"))
    first = fragile.crash.remote()
    queued = [fragile.noted.remote(noted, f"q{n}") for n in range(5)]
    dies(first)
    for ref in queued:
        try:
            burrow.get(ref, timeout=20)
        except exceptions.RayActorError:
            continue

    wait_until(lambda: is_alive_again(fragile), 10, "the restart")
    seen = lines(noted)
    assert len(seen) == len(set(seen))
    assert not gate.exists()


def is_alive_again(fragile):
    try:
        return burrow.get(fragile.lives.remote(), timeout=10) == 1
    except exceptions.ActorUnavailableError:
        return False


def test_14_3_with_retries_they_are_sent_again_in_order(tmp_path):
    folder, marker, noted = tmp_path / "lives", tmp_path / "marker", tmp_path / "noted"
    folder.mkdir()
    fragile = Fragile.options(max_restarts=-1, max_task_retries=-1).remote(folder)
    before = fragile.noted.remote(noted, "first")
    crashes = fragile.crash_once.remote(str(marker))
    after = [fragile.noted.remote(noted, f"q{n}") for n in range(5)]

    assert burrow.get([before, crashes, *after]) == [
        "first",
        "survived",
        *(f"q{n}" for n in range(5)),
    ]
    assert lines(noted) == ["first", *(f"q{n}" for n in range(5))]


def test_14_3_options_of_method_and_call_win(tmp_path):
    @burrow.remote(max_restarts=-1)
    class Options:
        def crash_once(self, marker):
            if not Path(marker).exists():
                leave_trace(marker)
                os._exit(1)
            return "survived"

        @burrow.method(max_task_retries=2)
        def retried(self, marker):
            return self.crash_once(marker)

    actor = Options.remote()
    markers = [str(tmp_path / name) for name in "abc"]
    assert burrow.get(actor.retried.remote(markers[0])) == "survived"
    assert burrow.get(actor.crash_once.options(max_task_retries=1).remote(markers[1])) == "survived"
    dies(actor.retried.options(max_task_retries=0).remote(markers[2]))


def test_14_4_exceptions_are_retried_as_in_tasks(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()

    @burrow.remote(max_task_retries=2)
    class Raises:
        @burrow.method(retry_exceptions=[Mine])
        def listed(self, folder, times):
            if count_runs(folder) < times:
                raise Mine("not yet")
            return "at last"

        def plain(self, folder):
            count_runs(folder)
            raise Mine("once")

    raises = Raises.remote()
    a, b, c = map(str, folders)
    assert burrow.get(raises.listed.remote(a, 2)) == "at last"
    with pytest.raises(Mine):
        burrow.get(raises.listed.remote(b, 9))
    with pytest.raises(Mine):
        burrow.get(raises.plain.remote(c))
    assert [len(list(folder.iterdir())) for folder in folders] == [3, 3, 1]


def test_14_5_when_restarts_are_used_up_it_is_dead(tmp_path):
    fragile = Fragile.options(max_restarts=1, max_task_retries=0).remote(tmp_path)
    dies(fragile.crash.remote())
    wait_until(lambda: is_alive_again(fragile), 10, "the restart")
    dies(fragile.crash.remote())

    assert isinstance(dies(fragile.lives.remote()), exceptions.ActorDiedError)


def test_14_6_an_actor_knows_that_it_was_restarted(tmp_path):
    fragile = Fragile.options(max_restarts=1, max_task_retries=-1).remote(tmp_path)
    assert burrow.get(fragile.reconstructed.remote()) is False
    burrow.kill(fragile, no_restart=False)
    assert burrow.get(fragile.reconstructed.remote()) is True


def test_14_7_what_a_worker_started_ends_with_it(tmp_path):
    gate, trace = tmp_path / "gate", tmp_path / "trace"

    @burrow.remote
    class Maker:
        def make(self):
            self.child = Counter.options(name="child").remote()
            self.ref = traced.remote(trace, gated.remote(gate))
            return burrow.get(self.child.pid.remote())

    maker = Maker.remote()
    child = burrow.get(maker.make.remote())
    burrow.kill(maker)

    wait_until(lambda: not alive(child), 10, "the child actor to end")
    gate.touch()
    holds_for(lambda: not trace.exists(), 0.2, "its tasks do not go on")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_14_8_child_processes_die_with_their_worker():
    @burrow.remote
    class Spawns:
        def spawn(self):
            code = "import time; time.sleep(600)"
            return subprocess.Popen([sys.executable, "-c", code]).pid

    spawns = Spawns.remote()
    child = burrow.get(spawns.spawn.remote())
    assert alive(child)
    burrow.kill(spawns)
    wait_until(lambda: not alive(child), 10, "the child process to end")
