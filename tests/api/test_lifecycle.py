"""init, shutdown and what is left of a session that has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import burrow
from burrow_jupyter.engine import session
from burrow_jupyter.engine.processes import is_alive
from helpers.burrows import burrow_of
from helpers.gates import sleep_long
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("ends")


@burrow.remote
def same(value):
    return value


def test_the_same_arguments_give_the_same_session_and_others_an_error():
    first = burrow.init(num_cpus=1)
    assert burrow.init(num_cpus=1)["session"] == first["session"]
    with pytest.raises(RuntimeError, match="shutdown"):
        burrow.init(num_cpus=2)
    assert burrow.init(num_cpus=2, ignore_reinit_error=True)["session"] == first["session"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"cpus": 2}, RuntimeError, "cpus"),
        ({"num_cpu": 2}, RuntimeError, r"'num_cpu'\. Did you mean num_cpus\? Arguments: address, "),
        ({"num_cpus": -1}, ValueError, "num_cpus"),
        ({"num_cpus": "2"}, TypeError, "num_cpus"),
        ({"num_gpus": 0.5}, ValueError, "num_gpus"),
        ({"namespace": ""}, ValueError, "namespace"),
        ({"namespace": 3}, TypeError, "namespace"),
        ({"resources": {"CPU": 2}}, ValueError, "num_cpus"),
    ],
)
def test_bad_arguments_are_named(arguments, error, text):
    with pytest.raises(error, match=text):
        burrow.init(**arguments)
    assert not burrow.is_initialized()


def test_rays_local_mode_is_the_inline_mode():
    pid = burrow.remote(os.getpid)
    burrow.init(local_mode=True)
    assert burrow.get(pid.remote()) == os.getpid()
    burrow.shutdown()

    burrow.init(num_cpus=1, local_mode=False)
    assert burrow.get(pid.remote()) != os.getpid()


def test_keywords_of_rays_init_that_mean_nothing_here_are_accepted():
    burrow.init(
        num_cpus=1,
        include_dashboard=False,
        object_spilling_directory="/nowhere",
        enable_resource_isolation=False,
        _node_ip_address="127.0.0.1",
        _system_config={"max_direct_call_object_size": 100},
    )

    assert burrow.get(same.remote(1)) == 1


def test_ten_sessions_in_a_row():
    for _ in range(10):
        burrow.init(num_cpus=1)
        assert burrow.get(same.remote(1)) == 1
        burrow.shutdown()
        burrow.shutdown()


def test_shutdown_ends_workers_that_ignore_sigterm_and_their_children(tmp_path):
    burrow.init(num_cpus=2)

    @burrow.remote
    def stubborn(path):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(path).write_text(f"{os.getpid()} {child.pid}")
        Path(path).rename(path + ".done")
        child.wait()

    done = tmp_path / "pids.done"
    _ref = stubborn.remote(str(tmp_path / "pids"))
    wait_until(done.exists, 20, "the task to have begun")
    pids = [int(p) for p in done.read_text().split()]
    burrow.shutdown()

    wait_until(lambda: not any(is_alive(p) for p in pids), 5, "both processes to be gone")


@pytest.mark.parametrize("ending", ["kill", "exit", "raise"])
def test_nothing_is_left_of_a_driver_that_ends(ending, tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        "import os, sys, time, subprocess, burrow\n"
        "@burrow.remote\n"
        "def work(path):\n"
        "    child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    open(path, 'w').write(f'{os.getpid()} {child.pid}')\n"
        "    os.rename(path, path + '.done')\n"
        "    time.sleep(600)\n"
        "context = burrow.init(num_cpus=1)\n"
        "ref = work.remote(sys.argv[1])\n"
        "while not os.path.exists(sys.argv[1] + '.done'):\n"
        "    burrow.wait([ref], timeout=0.01)\n"
        "print(context['session_dir'], flush=True)\n"
        "if sys.argv[2] == 'kill': os.kill(os.getpid(), 9)\n"
        "if sys.argv[2] == 'exit': sys.exit(3)\n"
        "raise RuntimeError('the end')\n"
    )
    done = tmp_path / "pids.done"
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "pids"), ending],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    directory = result.stdout.strip()
    pids = [int(p) for p in done.read_text().split()]

    assert directory
    wait_until(lambda: not any(is_alive(p) for p in pids), 5, "the processes to be gone")
    wait_until(lambda: not Path(directory).exists(), 5, "the directory to be gone")


def test_output_that_cannot_be_written_ends_nobody(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        "import io, sys, burrow\n"
        "@burrow.remote\n"
        "def say(text):\n"
        "    print(text, flush=True)\n"
        "    return text\n"
        "class Odd:\n"
        "    def write(self, text): raise RuntimeError(text)\n"
        "burrow.init(num_cpus=1)\n"
        "own, closed = sys.stdout, io.StringIO()\n"
        "closed.close()\n"
        "for sys.stdout in (None, closed, Odd()):\n"
        "    assert burrow.get(say.remote('lost')) == 'lost'\n"
        "sys.stdout = own\n"
        "sys.stdout.reconfigure(encoding='ascii')\n"
        "burrow.get(say.remote('Zo\u00eb'))\n"
        "burrow.get(say.remote('shown'))\n",
        encoding="utf-8",
    )
    result = subprocess.run(
        [sys.executable, "-X", "utf8", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "Zo\\xeb\nshown\n"


def test_a_script_tells_the_first_failure_of_a_kind_in_full_and_counts_the_others(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        "import burrow\n"
        "@burrow.remote\n"
        "def cook(dish): return {}[dish]\n"
        "@burrow.remote\n"
        "def wash(dish): return 1 / 0\n"
        "burrow.init(num_cpus=1)\n"
        "for n in range(100): cook.remote(n)\n"
        "for n in range(10): wash.remote(n)\n"
        "burrow.get(burrow.remote(len).remote('abc'))\n"
    )

    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )

    told = done.stderr.splitlines()
    assert done.returncode == 0
    assert [line for line in told if " failed: " in line] == [
        "cook failed: KeyError: 0",
        "wash failed: ZeroDivisionError: division by zero",
    ]
    assert [line.rpartition(", in ")[2] for line in told if "line " in line] == ["cook", "wash"]
    assert told[-3:] == [
        "108 more tasks failed",
        "99 x cook: KeyError: …",
        "9 x wash: ZeroDivisionError: division by zero",
    ]


class OneAtATime:
    """An output that notes whether two threads write to it at once, for which it waits once."""

    def __init__(self, meanwhile):
        self.meanwhile = meanwhile
        self.text = ""
        self.writers = set()
        self.met = threading.Event()

    def write(self, text):
        self.writers.add(threading.get_ident())
        if len(self.writers) > 1:
            self.met.set()
        if not self.text:
            self.meanwhile.start()
            self.met.wait(0.5)
        self.text += text
        self.writers.discard(threading.get_ident())

    def flush(self):
        pass


def test_failures_that_several_threads_come_upon_are_told_one_after_the_other(monkeypatch):
    burrow.init(num_cpus=1)

    @burrow.remote
    def cook(dish):
        return {}[dish]

    @burrow.remote
    def wash(dish):
        return 1 / 0

    refs = [cook.remote(1), wash.remote(1)]
    burrow.wait(refs, num_returns=2)

    def let_go():
        refs.pop()
        burrow.get(same.remote(1))

    other = threading.Thread(target=let_go)
    out = OneAtATime(other)
    monkeypatch.setattr(sys, "stderr", out)
    let_go()
    wait_until(lambda: other.ident, 20, "the first to be told")
    other.join(20)

    wait_until(lambda: out.text.count(" failed: ") == 2, 20, "both to be told")
    assert not out.met.is_set()


def test_a_dead_head_is_an_error_and_not_a_hang():
    burrow.init(num_cpus=1)
    ref = same.remote(1)
    burrow.get(ref)
    head = burrow_of().head_pid
    os.kill(head, signal.SIGKILL)

    forever = burrow.remote(sleep_long)
    with pytest.raises(Exception, match=r"head|ended"):
        burrow.get(forever.remote(), timeout=20)
    burrow.shutdown()
    assert burrow.get(same.remote(2)) == 2


def test_a_burrow_that_started_by_itself_gives_way_to_an_explicit_one_until_it_is_used():
    assert burrow.cluster_resources().get("GPU", 0) == 0
    burrow.init(num_gpus=3)
    assert burrow.cluster_resources()["GPU"] == 3
    burrow.shutdown()

    burrow.get(same.remote(1))
    with pytest.raises(RuntimeError, match="shutdown"):
        burrow.init(num_gpus=3)


def test_what_tasks_print_can_be_hidden(capfd):
    def cook():
        from IPython.display import display

        print("steam", flush=True)  # noqa: T201  # what is tested
        display("dish")

    said = []
    with burrow.init(num_cpus=1, log_to_driver=False):
        burrow.get(burrow.remote(cook).remote())
        wait_until(
            lambda: said.append(capfd.readouterr().out) or "dish" in "".join(said), 20, "the dish"
        )
        assert burrow.init(num_cpus=1, log_to_driver=False)["session"]

    assert "steam" not in "".join(said)


def test_where_shared_memory_is_full_the_store_lies_on_disk(monkeypatch):
    monkeypatch.setattr(session, "SHARED_MEMORY_MIN_BYTES", 1 << 60)
    burrow.init(num_cpus=1)

    values = [bytes([n]) * 1_000_000 for n in range(3)]

    assert burrow.get([burrow.put(value) for value in values]) == values
    place = burrow_of()
    assert Path(place.store).parent == Path(place.path).parent
    burrow.shutdown()


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (
            # Of every file, also of what a worker needs to begin.
            "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))",
            "RaySystemError: worker processes cannot start: the last 3 died before they were",
        ),
        (
            "import os, tempfile; os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
            "FileNotFoundError: the working directory of this process has been removed",
        ),
        (
            "import os, burrow; os.environ['CUDA_VISIBLE_DEVICES'] = ''; burrow.init(num_gpus=2)",
            "ValueError: num_gpus=2, but CUDA_VISIBLE_DEVICES='' names 0: ask for at most 0, or",
        ),
    ],
    ids=["no room for workers", "no working directory", "more GPUs than are named"],
)
def test_what_keeps_a_burrow_from_working_is_said_and_does_not_hang(trouble, said):
    code = f"{trouble}\nimport burrow\nburrow.get(burrow.remote(len).remote('abc'))"

    done = subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]


def test_a_call_on_a_worker_that_was_stopped_can_be_cancelled_by_force():
    burrow.init(num_cpus=1)
    pid = burrow.remote(os.getpid)
    stopped = burrow.get(pid.remote())
    os.kill(stopped, signal.SIGSTOP)
    never_begun = pid.remote()
    # One that is cancelled before it is sent takes no worker with it.
    wait_until(lambda: burrow.tasks()[-1]["state"] == "running", 20, "the call to be sent")

    burrow.cancel(never_begun, force=True)

    with pytest.raises(burrow.exceptions.TaskCancelledError):
        burrow.get(never_begun, timeout=20)
    assert burrow.get(pid.remote(), timeout=20) != stopped
    burrow.shutdown()
