"""Calls made one after the other go to the worker itself, and mean what they always mean."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import burrow
from burrow.util import state
from burrow_jupyter.core import messages
from burrow_jupyter.engine import client, direct, transport
from helpers.burrows import burrow_of
from helpers.gates import count_runs, leave_trace, pass_gate, sleep_long
from helpers.wait import wait_until

WARM = 20
"""Calls in a row after which the next goes to the worker itself, wherever that may be."""


@burrow.remote
def echo(value: Any) -> Any:
    return value


@burrow.remote
def pid_of() -> int:
    return os.getpid()


@burrow.remote
def act(what: str, path: str = "") -> Any:
    if what == "die":
        count_runs(path)
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raise":
        raise KeyError(what)
    if what == "print":
        sys.stdout.write("said on the way\n")
    if what == "sleep":
        sleep_long()
    if what == "nest":
        return burrow.get([echo.remote(n) for n in range(3)])
    if what == "refs":
        return [burrow.put(7)]
    if what == "much":
        return bytes(1_000_000)
    return what


@burrow.remote
class Diary:
    def __init__(self) -> None:
        self.entries: list[int] = []

    def note(self, number: int) -> int:
        self.entries.append(number)
        return number

    def read(self) -> list[int]:
        return self.entries

    def act(self, what: str, path: str = "") -> Any:
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "wait":
            pass_gate(path)
        if what == "leave":
            burrow.exit_actor()
        if what == "raise":
            raise KeyError(what)
        return os.getpid()


def warm_tasks() -> None:
    for number in range(WARM):
        assert burrow.get(act.remote(f"{number}")) == f"{number}"


def warm(diary: Any) -> None:
    for number in range(WARM):
        assert burrow.get(diary.note.remote(number)) == number
        assert burrow.get(diary.act.remote("")) > 0


def head_wakes() -> int:
    return psutil.Process(burrow_of().head_pid).num_ctx_switches().voluntary


# ---- that they do --------------------------------------------------------------------------


@pytest.mark.usefixtures("two_cpus")
@pytest.mark.parametrize("kind", ["task", "actor"])
def test_the_head_sleeps_through_a_loop_of_single_calls(kind: str, monkeypatch: pytest.MonkeyPatch):
    # On a busy machine a call takes so long that the head would be told of it.
    for name in ("ROW_S", "TELL_AFTER_S", "KEEP_S"):
        monkeypatch.setattr(direct, name, 10.0)
    monkeypatch.setattr(client, "TICK_S", 0.2)  # what has returned is told this often
    diary = Diary.remote()
    call = echo.remote if kind == "task" else diary.note.remote

    def wakes_per_call() -> float:
        before = head_wakes()
        for number in range(500):
            assert burrow.get(call(number)) == number
        return (head_wakes() - before) / 500

    wait_until(lambda: wakes_per_call() < 0.5, 30, "a loop that the head sleeps through")


@pytest.mark.usefixtures("two_cpus")
def test_every_call_is_counted_and_listed():
    for number in range(300):
        burrow.get(echo.remote(number))

    summary = state.summarize_tasks()["cluster"]["summary"]
    assert summary["echo"]["state_counts"] == {"FINISHED": 300}
    assert {row["state"] for row in burrow.tasks()} == {"finished"}


# ---- that they mean the same ---------------------------------------------------------------


@pytest.mark.usefixtures("two_cpus")
def test_results_are_kept_for_as_long_as_their_refs():
    warm_tasks()
    refs = []
    for number in range(50):
        ref = echo.remote(number)
        assert burrow.get(ref) == number
        refs.append(ref)

    assert burrow.get([echo.remote(ref) for ref in refs]) == list(range(50))
    assert burrow.get(echo.remote([refs[3]]))[0] == refs[3]
    assert burrow.get(refs) == list(range(50))


@pytest.mark.usefixtures("two_cpus")
def test_a_result_is_passed_on_before_it_is_there():
    warm_tasks()

    for number in range(50):
        assert burrow.get(echo.remote(echo.remote(number))) == number


@pytest.mark.usefixtures("two_cpus")
@pytest.mark.parametrize("what", ["raise", "nest", "refs", "much", "print"])
def test_a_call_that_is_more_than_a_small_value(what: str, capfd: pytest.CaptureFixture[str]):
    for _ in range(5):
        warm_tasks()
        ref = act.remote(what)
        if what == "raise":
            with pytest.raises(KeyError):
                burrow.get(ref)
        elif what == "nest":
            assert burrow.get(ref) == [0, 1, 2]
        elif what == "refs":
            assert burrow.get(burrow.get(ref)[0]) == 7
        elif what == "much":
            assert len(burrow.get(ref)) == 1_000_000
        else:
            assert burrow.get(ref) == "print"

    assert capfd.readouterr().out.count("said on the way") == (5 if what == "print" else 0)


@pytest.mark.usefixtures("two_cpus")
def test_the_order_of_calls_is_kept_whichever_way_they_go():
    diary = Diary.remote()
    warm(diary)
    told = WARM
    expected = list(range(WARM))
    for round_ in range(60):
        refs = []
        for _ in range(round_ % 5 + 1):
            argument = echo.remote(told) if round_ % 3 == 0 else told
            refs.append(diary.note.remote(argument))
            expected.append(told)
            told += 1
        burrow.get(refs[-1] if round_ % 2 else refs)

    assert burrow.get(diary.read.remote()) == expected


@pytest.mark.usefixtures("two_cpus")
def test_order_is_kept_where_a_later_call_is_cancelled_while_an_earlier_one_waits(tmp_path: Path):
    diary = Diary.remote()
    warm(diary)
    gate = tmp_path / "gate"

    @burrow.remote
    def wait_for(path: str) -> int:
        pass_gate(path)
        return -1

    first = diary.note.remote(wait_for.remote(str(gate)))
    second = diary.note.remote(-2)
    burrow.cancel(second)
    with pytest.raises(burrow.exceptions.TaskCancelledError):
        burrow.get(second)
    third = diary.note.remote(-3)
    gate.touch()

    burrow.get([first, third])
    assert burrow.get(diary.read.remote())[WARM:] == [-1, -3]


@pytest.mark.usefixtures("two_cpus")
def test_threads_call_side_by_side():
    diary = Diary.remote()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(200):
                if number % 2:
                    assert burrow.get(diary.note.remote(step)) == step
                else:
                    assert burrow.get(echo.remote(step)) == step
        except BaseException as error:  # noqa: BLE001  # shown by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not failures
    assert len(burrow.get(diary.read.remote())) == 400


# ---- room ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ends")
def test_a_worker_that_is_lent_is_there_for_others_at_once():
    burrow.init(num_cpus=1)
    done = threading.Event()
    results: list[int] = []

    def other() -> None:
        results.extend(burrow.get([echo.options(name="other").remote(n) for n in range(100)]))
        diary = Diary.options(num_cpus=1).remote()
        results.append(burrow.get(diary.note.remote(100)))
        done.set()

    thread = threading.Thread(target=other)
    warm_tasks()
    thread.start()
    count = 0
    while not done.is_set() and count < 100_000:
        assert burrow.get(echo.remote(count)) == count
        count += 1
        if count % 50 == 0:
            assert burrow.get([echo.remote(n) for n in range(5)]) == list(range(5))
        if len(results) == 101:
            break
    thread.join(30)

    assert results == list(range(101))


@pytest.mark.usefixtures("two_cpus")
def test_a_worker_that_is_lent_is_there_for_the_tasks_of_others(tmp_path: Path):
    @burrow.remote
    def parent(path: str, begin: str) -> str:
        pass_gate(begin)
        child = burrow.remote(leave_trace).remote(path)
        pass_gate(path)  # it keeps its own CPU
        burrow.get(child)
        return "made"

    made = parent.remote(str(tmp_path / "made"), str(tmp_path / "begin"))

    for number in range(500_000):  # without a pause, in which the worker would be given back
        assert burrow.get(echo.remote(number)) == number
        if number == 5000:
            (tmp_path / "begin").touch()
        if (tmp_path / "made").exists():
            break
    else:
        pytest.fail("the child has not run beside a loop of calls")
    assert burrow.get(made) == "made"


@pytest.mark.usefixtures("two_cpus")
def test_all_is_free_when_it_is_asked():
    for _ in range(5):
        warm_tasks()

        assert burrow.available_resources()["CPU"] == 2


@pytest.mark.usefixtures("two_cpus")
def test_all_is_free_again_soon_also_if_nobody_asks():
    warm_tasks()

    def is_free() -> bool:
        rows = burrow.workers()
        return all(row["state"] != "busy" for row in rows)

    wait_until(is_free, 10, "no worker to be busy")


# ---- the end of things -----------------------------------------------------------------------


@pytest.mark.usefixtures("two_cpus")
def test_a_task_whose_worker_dies_is_tried_as_often_as_it_may_be(tmp_path: Path):
    for retries in (0, 2):
        runs = tmp_path / f"{retries}"
        runs.mkdir()
        dying = act.options(max_retries=retries)
        for number in range(WARM):
            burrow.get(dying.remote(f"{number}"))

        with pytest.raises(burrow.exceptions.WorkerCrashedError):
            burrow.get(dying.remote("die", str(runs)))

        assert len(list(runs.iterdir())) == 1 + retries
        assert burrow.get(dying.remote("on")) == "on"


@pytest.mark.usefixtures("two_cpus")
def test_a_worker_that_is_killed_between_calls_is_replaced():
    for _ in range(3):
        for _ in range(WARM):
            pid = burrow.get(pid_of.remote())
        os.kill(pid, signal.SIGKILL)

        assert burrow.get(pid_of.remote()) > 0


@pytest.mark.usefixtures("two_cpus")
def test_workers_are_killed_at_any_moment():
    count = 0
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.05):
            for row in burrow.workers():
                if row["state"] == "busy" and row["pid"]:
                    try:
                        os.kill(row["pid"], signal.SIGKILL)
                    except ProcessLookupError:
                        continue

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        task = echo.options(max_retries=-1)
        for count in range(1500):
            assert burrow.get(task.remote(count), timeout=30) == count
    finally:
        stop.set()
        thread.join()

    assert count == 1499


@pytest.mark.usefixtures("two_cpus")
def test_an_actor_that_dies_fails_the_call_and_the_next_ones():
    diary = Diary.remote()
    warm(diary)

    with pytest.raises(burrow.exceptions.RayActorError):
        burrow.get(diary.act.remote("die"))
    with pytest.raises(burrow.exceptions.RayActorError):
        burrow.get(diary.note.remote(1))


@pytest.mark.usefixtures("two_cpus")
def test_an_actor_that_restarts_is_called_again():
    diary = Diary.options(max_restarts=-1, max_task_retries=-1).remote()
    for round_ in range(4):
        warm(diary)
        pid = burrow.get(diary.act.remote(""))
        os.kill(pid, signal.SIGKILL)

        assert burrow.get(diary.note.remote(round_), timeout=30) == round_
        assert burrow.get(diary.act.remote("")) != pid
        diary.act.remote("")  # nobody looks
        assert burrow.get(diary.read.remote())[0] >= 0


@pytest.mark.usefixtures("two_cpus")
def test_nothing_runs_after_kill():
    diary = Diary.remote()
    warm(diary)

    burrow.kill(diary)

    with pytest.raises(burrow.exceptions.RayActorError):
        burrow.get(diary.note.remote(1))


@pytest.mark.usefixtures("two_cpus")
def test_an_actor_leaves_and_raises_as_ever():
    diary = Diary.remote()
    warm(diary)

    with pytest.raises(KeyError):
        burrow.get(diary.act.remote("raise"))
    warm(diary)
    with pytest.raises(burrow.exceptions.RayActorError):
        burrow.get(diary.act.remote("leave"))
    with pytest.raises(burrow.exceptions.RayActorError):
        burrow.get(diary.note.remote(1))


@pytest.mark.usefixtures("two_cpus")
def test_the_last_call_runs_though_the_handle_is_gone_before_it_ends(tmp_path: Path):
    for number in range(5):
        gate = tmp_path / f"{number}"
        diary = Diary.remote()
        warm(diary)
        ref = diary.act.remote("wait", str(gate))
        del diary
        burrow.get(echo.remote(0))
        gate.touch()

        assert burrow.get(ref) > 0


@pytest.mark.usefixtures("two_cpus")
def test_a_call_is_cancelled():
    for force in (False, True):
        warm_tasks()
        ref = act.remote("sleep")

        burrow.cancel(ref, force=force)

        expected = (burrow.exceptions.TaskCancelledError, burrow.exceptions.WorkerCrashedError)
        with pytest.raises(expected):
            burrow.get(ref, timeout=10)


@pytest.mark.usefixtures("two_cpus")
def test_a_call_is_cancelled_while_its_worker_gets_to_know_the_function():
    for _ in range(30):
        warm_tasks()

        @burrow.remote
        def sleeper() -> None:
            sleep_long()

        ref = sleeper.remote()
        burrow.cancel(ref)

        with pytest.raises(burrow.exceptions.TaskCancelledError):
            burrow.get(ref, timeout=10)


@pytest.mark.usefixtures("two_cpus")
def test_a_call_that_takes_its_time_is_seen():
    warm_tasks()
    ref = act.remote("sleep")

    def runs() -> bool:
        rows = burrow.tasks()
        return any(row["name"] == "act" and row["state"] == "running" for row in rows)

    wait_until(runs, 10, "the task to be listed as running")
    assert "runs in process" in ref.why()
    with pytest.raises(burrow.exceptions.GetTimeoutError):
        burrow.get(ref, timeout=0.01)
    burrow.cancel(ref)


@pytest.mark.usefixtures("two_cpus")
def test_nobody_comes_in_without_the_key_that_the_head_has_named(tmp_path: Path):
    warm_tasks()
    doors = list(Path(burrow_of().socket).parent.glob("w*.sock"))
    call = messages.Direct(1 << 50, 0, 0, 1, 1, method="note")
    assert doors

    for door in doors:
        assert door.stat().st_mode & 0o077 == 0
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(door))
            stranger.sendall(b"k" * 16 + transport.encode_frame([call]))
            warm_tasks()
            stranger.settimeout(0.1)
            with pytest.raises(TimeoutError):
                stranger.recv(1)


KILLED = """
import burrow, os, signal
burrow.init(num_cpus=2)
@burrow.remote
def echo(x): return x
for n in range(50): burrow.get(echo.remote(n))
print("warm", flush=True)
while True: burrow.get(echo.remote(1))
"""


def test_a_driver_that_is_killed_leaves_nothing_of_what_it_had_borrowed():
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "warm\n"
        driver.kill()
    # The rest is the leak check's.


@pytest.mark.usefixtures("two_cpus")
def test_calls_keep_their_order_also_of_a_method_that_an_earlier_process_had_been_sent():
    @burrow.remote(max_restarts=1)
    class Book:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def write(self, line: str, padding: bytes = b"") -> int:
            self.lines.append(line)
            return len(self.lines)

        def scribble(self, line: str) -> int:
            return self.write(line)

        def leave(self) -> None:
            os._exit(1)

        def read(self) -> list[str]:
            return self.lines

    book = Book.remote()
    burrow.get(book.scribble.remote("in the first process"))
    with pytest.raises(burrow.exceptions.ActorUnavailableError):
        burrow.get(book.leave.remote())
    for _ in range(WARM):
        with suppress(burrow.exceptions.ActorUnavailableError):  # while it restarts
            burrow.get(book.write.remote("-"))

    book.scribble.remote("first")
    book.write.remote("second", bytes(200_000))

    assert burrow.get(book.read.remote())[-2:] == ["first", "second"]
