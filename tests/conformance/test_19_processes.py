"""Area 19: processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import burrow
from conformance.calls import add, pid
from helpers.wait import wait_until

pytestmark = pytest.mark.usefixtures("shared")


def title():
    return "".join(psutil.Process().cmdline())


def test_19_1_titles_name_what_runs():
    task = burrow.remote(title)

    @burrow.remote
    class Named:
        def title(self):
            return title()

    assert "burrow::title" in burrow.get(task.remote())
    assert "burrow::mine" in burrow.get(task.options(name="mine").remote())
    assert "burrow::Named" in burrow.get(Named.remote().title.remote())


def test_19_2_output_reaches_the_driver(capfd):
    @burrow.remote
    def speak():
        print("from python")  # noqa: T201 what is tested
        print("to stderr", file=sys.stderr)  # noqa: T201 what is tested
        os.write(1, b"from below\n")
        subprocess.run(["echo", "from a child"], check=True)

    burrow.get(speak.remote())
    said = []

    def told():
        captured = capfd.readouterr()
        said.extend([captured.out, captured.err])
        text = "".join(said)
        wanted = ("from python", "to stderr", "from below", "from a child")
        return all(text.count(part) == 1 for part in wanted)

    wait_until(told, 10, "all output")


def test_19_2_lines_are_whole_and_all_there(capfd):
    @burrow.remote
    def many(name):
        for n in range(200):
            print(f"<{name}", n, end=">\n")  # noqa: T201 what is tested

    burrow.get([many.remote(name) for name in "abc"])
    said = []

    def told():
        said.append(capfd.readouterr().out)
        found = "".join(said).split("\n")
        return {line for line in found if line} == {
            f"<{name} {n}>" for name in "abc" for n in range(200)
        }

    wait_until(told, 10, "600 whole lines")


def test_19_3_an_idle_worker_that_dies_is_not_noticed():
    pids = set(burrow.get([pid.remote() for _ in range(10)]))
    for one in pids:
        os.kill(one, signal.SIGKILL)

    assert burrow.get([add.remote(n) for n in range(20)]) == list(range(1, 21))


def test_19_4_idle_workers_are_few_after_a_burst():
    @burrow.remote
    def depth(n):
        return 0 if n == 0 else 1 + burrow.get(depth.remote(n - 1))

    assert burrow.get(depth.remote(30)) == 30
    wait_until(lambda: len(burrow.workers()) <= 6, 20, "the extra workers to end")


def test_19_4_a_hundred_parents_on_two_cpus_are_not_a_hundred_processes():
    @burrow.remote
    def pids(depth):
        below = burrow.get(pids.remote(depth - 1)) if depth else set()
        return below | {os.getpid()}

    seen = burrow.get([pids.remote(2) for _ in range(100)])

    assert len(set().union(*seen)) < 30


def variables(*names):
    return [os.environ.get(name) for name in names]


def test_19_5_variables_of_tasks_and_actors():
    task = burrow.remote(variables)
    given = {"env_vars": {"CONF_A": "task"}}

    @burrow.remote(runtime_env={"env_vars": {"CONF_A": "actor"}})
    class Has:
        def ask(self):
            return variables("CONF_A")

    assert burrow.get(task.options(runtime_env=given).remote("CONF_A", "CONF_B")) == ["task", None]
    other = {"env_vars": {"CONF_B": "other"}}
    assert burrow.get(task.options(runtime_env=other).remote("CONF_A", "CONF_B")) == [None, "other"]
    assert burrow.get(task.remote("CONF_A", "CONF_B")) == [None, None]
    assert burrow.get(Has.remote().ask.remote()) == ["actor"]


def test_19_5_what_a_task_submits_inherits_its_variables():
    task = burrow.remote(variables)

    @burrow.remote
    class Has:
        def ask(self):
            return variables("CONF_A", "CONF_B")

    @burrow.remote(runtime_env={"env_vars": {"CONF_A": "above"}})
    def above():
        own = task.options(runtime_env={"env_vars": {"CONF_B": "below"}})
        calls = [task.remote("CONF_A", "CONF_B"), own.remote("CONF_A", "CONF_B")]
        return burrow.get([*calls, Has.remote().ask.remote()])

    assert burrow.get(above.remote()) == [["above", None], ["above", "below"], ["above", None]]


def test_19_5_values_may_name_other_variables():
    given = {"CONF_A": "$HOME/a:${HOME}/b", "CONF_B": "${CONF_NONE}b$CONF_NONE"}
    home = os.environ["HOME"]

    task = burrow.remote(runtime_env={"env_vars": given})(variables)

    expected = [f"{home}/a:{home}/b", "b$CONF_NONE"]
    assert burrow.get(task.remote("CONF_A", "CONF_B")) == expected


def test_19_5_a_directory_of_ones_own(tmp_path):
    (tmp_path / "conf_dir_module.py").write_text("WHERE = 'there'\n")
    where = burrow.remote(lambda: (str(Path.cwd()), __import__("conf_dir_module").WHERE))

    found = burrow.get(where.options(runtime_env={"working_dir": str(tmp_path)}).remote())
    assert found == (str(tmp_path), "there")


def test_19_5_other_fields_are_refused():
    with pytest.raises(ValueError, match="pip"):
        add.options(runtime_env={"pip": ["nope"]})
    with pytest.raises(TypeError, match="env_vars"):
        add.options(runtime_env={"env_vars": {"A": 1}})
