"""`%load_ext burrow`, `%burrow`, and the end of the kernel."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import Kernel


def test_load_ext_starts_a_burrow_and_may_be_repeated(kernel: Kernel):
    kernel.run_ok("%load_ext burrow")
    kernel.run_ok("%load_ext burrow\n%reload_ext burrow")
    kernel.run_ok("import burrow\n@burrow.remote\ndef one(): print('once'); return 1")

    run = kernel.run_ok("burrow.get(one.remote())")

    assert run.stdout == "once\n"
    assert "CPUs busy" in kernel.run_ok("%burrow").stdout


def test_the_magic_stops_starts_and_restarts(kernel: Kernel):
    kernel.run_ok("%load_ext burrow\nimport burrow; burrow.put(1)")

    assert "ended" in kernel.run_ok("%burrow stop").stdout
    assert "No burrow runs" in kernel.run_ok("%burrow status").stdout
    assert "3 CPUs" in kernel.run_ok("%burrow start --cpus 3").stdout
    assert "3 CPUs" in kernel.run_ok("%burrow restart").stdout
    assert "4 GPUs" in kernel.run_ok("%burrow restart --gpus 4").stdout
    assert "start" in kernel.run_ok("%burrow help").stdout


def test_a_wrong_command_is_named_with_those_there_are(kernel: Kernel):
    kernel.run_ok("%load_ext burrow")
    run = kernel.run_ok("%burrow staart")

    assert "staart" in run.stdout
    assert "restart" in run.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%burrow 'unbalanced", "No closing quotation"),
        ("%burrow start more", "start takes nothing more: more"),
        ("%burrow start --resources gold", """as in '{"license": 2}'"""),
        ("%burrow --help", "%burrow stop"),
    ],
)
def test_what_is_no_command_is_explained_without_a_traceback(kernel: Kernel, line, said):
    kernel.run_ok("%load_ext burrow")

    assert said in kernel.run_ok(line).stdout


def test_what_can_not_be_done_is_an_error_of_one_line(kernel: Kernel):
    kernel.run_ok("%load_ext burrow\nimport burrow\nburrow.init(num_cpus=1)")

    for line, said in (
        ("%burrow start --cpus 3", "a burrow runs already, started by init(num_cpus=1)"),
        ("%burrow restart --cpus -1", "num_cpus must not be negative"),
    ):
        run = kernel.run(line)
        assert run.status == "error"
        (text,) = run.stderr.splitlines()
        assert text.startswith("UsageError: ")
        assert said in text
    assert kernel.run_ok("burrow.is_initialized()").text == "True"


def test_the_log_of_the_burrow_is_where_it_is_said_to_be(kernel: Kernel):
    kernel.run_ok("%load_ext burrow\nimport burrow, pathlib\nburrow.init(num_cpus=1)")
    path = kernel.run_ok("%burrow logs").stdout.splitlines()[-1].split()[-1]

    assert kernel.run_ok(f"pathlib.Path({path!r}).exists()").text == "True"


def test_a_start_cell_may_be_run_again(kernel: Kernel):
    first = kernel.run_ok("import burrow; burrow.init(num_cpus=2)").text
    again = kernel.run_ok("import burrow; burrow.init(num_cpus=2)").text

    assert first == again
    assert "2 CPUs" in first


def test_kill_9_of_the_kernel_leaves_nothing(kernel: Kernel):
    kernel.run_ok("%load_ext burrow\nimport burrow, threading")
    kernel.run_ok(
        "@burrow.remote\nclass Pan:\n    def pid(self): import os; return os.getpid()\n"
        "@burrow.remote\ndef hang(): threading.Event().wait()\n"
        "big = burrow.put(bytes(5_000_000)); pan = Pan.remote(); stuck = hang.remote()"
    )
    kernel.run_ok("burrow.get(pan.pid.remote())")

    kernel.kill()  # that nothing is left is what `leaves_nothing` checks of every test

    wait_until(lambda: not kernel.is_alive, 10, "the kernel's end")


def test_a_plain_interpreter_loads_neither_ipython_nor_the_notebook_layer():
    code = (
        "import burrow, sys\nburrow.init(num_cpus=1); burrow.shutdown()\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('IPython', 'ipykernel', 'ipywidgets') or m.startswith('burrow_jupyter.notebook')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"


def in_a_terminal(code: str) -> subprocess.CompletedProcess[str]:
    """What IPython says where these lines are typed."""
    return subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        input=code,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_an_ipython_terminal_shows_text():
    done = in_a_terminal(
        "import burrow\nref = burrow.put('soup')\nref\n"
        "@burrow.remote\ndef say(): print('from a task')\n\nburrow.get(say.remote())\n"
        "burrow.shutdown()\n"
    )

    assert "ObjectRef: stored\n'soup'" in done.stdout
    assert "from a task" in done.stdout


def test_an_ipython_terminal_counts_failures_of_a_cell_beyond_its_first():
    fails = "for n in range(50): fail.remote(n)\n\nburrow.get(last.remote('abc'))\n"

    done = in_a_terminal(
        "import burrow; burrow.init(num_cpus=1); last = burrow.remote(len)\n"
        f"@burrow.remote\ndef fail(n): return {{}}[n]\n\n{fails}{fails}"
    )

    told = done.stderr.splitlines()
    assert told.count("fail failed: KeyError: 0") == 2, "once in each cell"
    assert done.stderr.count(" failed: ") == 2
    counts = [int(line.split()[0]) for line in told if " failed like this: fail: KeyError" in line]
    assert sum(counts) == 98
