"""Breakpoints of tasks, in a script: its main thread talks to them where it waits."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio
import burrow

async def wait_for(ref):
    return await ref

def taste(dish):
    salt = 1
    breakpoint()
    return f"{dish} with {salt} of salt"

if __name__ == "__main__":
    burrow.init(num_cpus=1)
    ref = burrow.remote(taste).remote("soup")
    print("got", {waiting})
"""


def run_script(
    tmp_path, lines: str, waiting: str = "burrow.get(ref, timeout=60)"
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "kitchen.py"
    path.write_text(SCRIPT.replace("{waiting}", waiting))
    return subprocess.run(
        [sys.executable, str(path)],
        check=False,
        input=lines,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_script_answers_from_its_input(tmp_path):
    done = run_script(tmp_path, "p dish\nsalt = 5\nw\nc\n")

    assert "'soup'" in done.stdout
    assert "kitchen.py, line 11, in taste" in done.stdout
    assert "got soup with 5 of salt" in done.stdout
    assert "<module>" not in done.stdout
    assert "kitchen.py, line 10" in done.stderr


@pytest.mark.parametrize("waiting", ["asyncio.run(wait_for(ref))", "ref.future().result(60)"])
def test_a_script_answers_whatever_way_it_waits(tmp_path, waiting: str):
    done = run_script(tmp_path, "p dish\nsalt = 5\nc\n", waiting)

    assert "'soup'" in done.stdout
    assert "got soup with 5 of salt" in done.stdout


def test_at_the_end_of_its_input_the_task_goes_on(tmp_path):
    done = run_script(tmp_path, "")

    assert "nobody can answer here" in done.stdout
    assert "got soup with 1 of salt" in done.stdout
