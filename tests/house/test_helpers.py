"""The tools that other tests rely on: a leak is found, a wait ends, output lands where it belongs."""

import os
import subprocess
import sys
import threading

import pytest

from helpers import leaks
from helpers.wait import NotInTimeError, holds_for, wait_until


@pytest.fixture
def sleeper():
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


def test_a_wait_returns_what_it_waited_for():
    answers = iter([0, "", "now"])

    assert wait_until(lambda: next(answers), 1, "an answer") == "now"


def test_a_wait_ends_at_its_bound_and_says_what_it_waited_for():
    with pytest.raises(NotInTimeError, match="rain"):
        wait_until(lambda: False, 0.01, "rain")


def test_what_must_hold_is_seen_to_break():
    answers = iter([True, False])

    with pytest.raises(AssertionError, match="peace"):
        holds_for(lambda: next(answers), 1, "peace")


def test_a_process_of_the_test_is_found(sleeper):
    baseline = leaks.take_baseline()

    wait_until(  # between fork and exec a process still shows its parent's environment
        lambda: leaks.find_leftovers(leaks.MARK, os.environ[leaks.MARK], baseline).processes,
        1,
        "the process to be found",
    )

    found = leaks.find_leftovers(leaks.MARK, os.environ[leaks.MARK], baseline)
    assert list(found.processes) == [sleeper.pid]


def test_a_process_of_another_test_is_not_blamed_on_this_one(sleeper):
    assert leaks.marked_processes(leaks.MARK, "another") == {}


def test_a_file_in_the_runtime_directory_is_found():
    baseline = leaks.take_baseline()
    leaks.runtime_directory().mkdir(exist_ok=True)
    socket = leaks.runtime_directory() / "socket"
    socket.touch()

    found = leaks.find_leftovers(leaks.MARK, "none", baseline)

    socket.unlink()
    assert socket in found.files


@pytest.fixture
def segment():
    path = leaks.SHARED_MEMORY / f"burrow-{os.getuid()}-test{os.getpid()}"
    yield path
    path.unlink()


def test_shared_memory_is_found(segment):
    baseline = leaks.take_baseline()
    segment.touch()

    assert segment in leaks.find_leftovers(leaks.MARK, "none", baseline).files


def test_shared_memory_of_somebody_elses_burrow_is_not_blamed_on_the_test(segment, monkeypatch):
    (leaks.runtime_directory() / f"test{os.getpid()}").mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    baseline = leaks.take_baseline()
    segment.touch()

    found = leaks.find_leftovers(leaks.MARK, "none", baseline)

    monkeypatch.undo()
    (leaks.runtime_directory() / f"test{os.getpid()}").rmdir()
    assert segment not in found.files


@pytest.mark.parametrize("run", ["another", ""])
def test_shared_memory_is_its_processes_wherever_their_runtime_directory_is(segment, run):
    variables = {**os.environ, "BURROW_SESSION": segment.name.split("-")[-1]}
    if run:
        variables[leaks.SESSION_MARK] = run
    baseline = leaks.take_baseline()
    segment.touch()

    def is_found() -> bool:
        return segment in leaks.find_leftovers(leaks.MARK, "none", baseline).files

    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=variables,
    ) as process:
        assert process.stdout.readline() == b"\n"
        assert is_found() == (not run)
        process.communicate(b"\n")
    assert is_found()


def test_a_thread_with_our_name_is_found():
    baseline = leaks.take_baseline()
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="burrow-forgotten")
    thread.start()

    found = leaks.find_leftovers(leaks.MARK, "none", baseline)

    over.set()
    thread.join()
    assert found.threads == {"burrow-forgotten"}


def test_a_kernel_shows_output_under_its_cell_also_when_that_is_over(kernel):
    early = kernel.run_ok(
        "import threading\n"
        "shell, gate = get_ipython(), threading.Event()\n"
        "parent = shell.get_parent()\n"
        "def speak():\n"
        "    gate.wait()\n"
        "    shell.set_thread_parent(parent)\n"
        "    print('late')\n"
        "thread = threading.Thread(target=speak)\n"
        "thread.start()"
    )
    other = kernel.run_ok("gate.set(); thread.join(); 6 * 7", cell_id="an-id")

    wait_until(lambda: early.stdout, 5, "late output")

    assert early.stdout == "late\n"
    assert (other.stdout, other.text) == ("", "42")


def test_a_display_is_updated_where_it_stands(kernel):
    shown = kernel.run_ok("handle = display('before', display_id=True)")
    kernel.run_ok("handle.update('after')")

    wait_until(lambda: shown.displays == [{"text/plain": "'after'"}], 5, "the update")


def test_a_kernel_can_be_interrupted_and_killed(kernel):
    endless = kernel.submit(
        "print('begun', flush=True)\nimport threading\nthreading.Event().wait()"
    )
    wait_until(lambda: endless.stdout, 10, "the cell to begin")

    kernel.interrupt()
    kernel.wait(endless, 10)
    assert endless.error["ename"] == "KeyboardInterrupt"

    kernel.kill()
    wait_until(lambda: not kernel.is_alive, 10, "the kernel's death")
