"""A notebook exported as a script, and scripts that never were notebooks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from frontends.test_runners import CELLS, run, write


def test_an_exported_notebook_runs_in_ipython(tmp_path: Path):
    cells = {
        **CELLS,
        "background": "%%burrow --name stock\nbroth = burrow.get(cook.remote('bones'))",
        "uses": "print('we have', broth)",
    }
    del cells["fails"]
    made = run(tmp_path, "jupyter", "nbconvert", "--to", "script", write(tmp_path, cells).name)
    assert made.returncode == 0, made.stderr
    assert "run_cell_magic('burrow'" in (tmp_path / "notebook.py").read_text()

    done = run(tmp_path, "IPython", "--colors=nocolor", "notebook.py")

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert sorted(lines[:2]) == ["cooking pie", "cooking soup"]
    assert lines[2:5] == ["cooking cake", "heating", "90"]
    assert lines[5].startswith("Burrow runs:")
    assert lines[-3:] == [
        "<IPython.core.display.HTML object>",
        "cooking bones",
        "we have hot bones",
    ]
    assert done.stderr == ""


def test_an_exported_notebook_ends_where_a_background_cell_fails(tmp_path: Path):
    cells = {"load": CELLS["load"], "background": "%%burrow\nbad = 1 / 0", "after": "print('on')"}
    run(tmp_path, "jupyter", "nbconvert", "--to", "script", write(tmp_path, cells).name)

    done = run(tmp_path, "IPython", "--colors=nocolor", "notebook.py")

    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "bad = 1 / 0" in done.stdout
    assert not re.search("^on$", done.stdout, re.MULTILINE)


SCRIPT = """\
import burrow as ray

@ray.remote
def cook(dish):
    print("cooking", dish)
    return dish

@ray.remote
class Pan:
    def heat(self):
        print("heating")
        return 90

print(ray.get([cook.remote("soup"), cook.remote("soup")]))
print(ray.get(Pan.remote().heat.remote()))
ray.wait([cook.remote("last")])
"""


def test_a_plain_script_prints_and_ends_by_itself(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "cooking soup",
        "cooking soup",
        "['soup', 'soup']",
        "heating",
        "90",
        "cooking last",
    ]
    assert done.stderr == ""


def test_a_plain_script_that_fails_names_its_line(tmp_path: Path):
    script = SCRIPT + "ray.get(ray.remote(lambda: {}['price']).remote())\n"
    (tmp_path / "script.py").write_text(script)
    for command in ([sys.executable], [sys.executable, "-m", "IPython", "--colors=nocolor"]):
        done = subprocess.run(
            [*command, "script.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 1
        told = done.stdout + done.stderr
        assert "ray.get(ray.remote(lambda: {}['price']).remote())" in told
        assert "KeyError: 'price'" in told


def test_a_file_of_cells_runs_in_ipython(tmp_path: Path):
    (tmp_path / "notes.ipy").write_text(
        "%load_ext burrow\nimport burrow, threading\n"
        + CELLS["define"]
        + "print(burrow.get(cook.remote('rice')))\n%burrow status\n"
    )

    done = run(tmp_path, "IPython", "--colors=nocolor", "notes.ipy")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("cooking rice\nhot rice\nBurrow runs:")
