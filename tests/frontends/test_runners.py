"""Notebooks that programs run: nbconvert, nbclient's command and papermill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

CELLS = {
    "load": "%load_ext burrow\nimport burrow, threading",
    "define": """\
@burrow.remote
def cook(dish):
    print("cooking", dish)
    return f"hot {dish}"

@burrow.remote
def simmer(n):
    threading.Event().wait(0.9)
    return n

@burrow.remote
def fail(dish):
    return dish["price"]

@burrow.remote
class Pan:
    def heat(self):
        print("heating")
        return 90
""",
    "prints": "done = burrow.get([cook.remote('soup'), cook.remote('pie')])\ndone",
    "later": "late = cook.remote('cake')\nNone",
    "future": "burrow.get(late)\nlate",
    "futures": "[late, simmer.remote(0)]",
    "actor": "pan = Pan.remote()\nprint(burrow.get(pan.heat.remote()))\npan",
    "slow": "burrow.get([simmer.remote(n) for n in range(2)])",
    "fails": "burrow.get(fail.remote('burnt toast'))",
    "status": "%burrow status",
    "displays": """\
@burrow.remote
def show():
    from IPython.display import HTML, display
    display(HTML("<b>bold</b>"))

burrow.get(show.remote())""",
}

RUNNERS = {
    "nbconvert": [
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--allow-errors",
        "--output",
        "out",
    ],
    "nbclient": ["execute", "--allow-errors", "--output", "out"],
    "papermill": [],
}


def write(folder: Path, cells: dict[str, str], tags: dict[str, list[str]] | None = None) -> Path:
    """A notebook with these cells, by id."""
    found = tags or {}
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(source, id=name, metadata={"tags": found.get(name, [])})
            for name, source in cells.items()
        ],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {
                "name": "python",
                "file_extension": ".py",
                "nbconvert_exporter": "python",
            },
        },
    )
    path = folder / "notebook.ipynb"
    nbformat.write(notebook, path)
    return path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this interpreter, as a person does its command."""
    # IPython warns of an environment that was activated and is another's.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


class Executed:
    """What a runner has left in the file."""

    def __init__(self, path: Path) -> None:
        self.notebook = nbformat.read(path, as_version=4)
        nbformat.validate(self.notebook)

    def outputs(self, name: str) -> list[Any]:
        (found,) = [cell.outputs for cell in self.notebook.cells if cell.get("id") == name]
        return list(found)

    def stream(self, name: str) -> str:
        return "".join(o["text"] for o in self.outputs(name) if o["output_type"] == "stream")

    def plain(self, name: str) -> str:
        return "".join(o["data"]["text/plain"] for o in self.outputs(name) if "data" in o)


@pytest.mark.parametrize("name", ["nbconvert", "nbclient"])
def test_a_notebook_that_a_program_executes_reads_as_one_that_a_person_ran(
    tmp_path: Path, name: str
):
    written = write(tmp_path, CELLS)

    done = run(tmp_path, "jupyter", *RUNNERS[name], written.name)

    assert done.returncode == 0, done.stderr
    check(Executed(tmp_path / "out.ipynb"))


def check(executed: Executed) -> None:
    """What is to be found in the notebook above, whoever ran it."""
    assert sorted(executed.stream("prints").splitlines()) == ["cooking pie", "cooking soup"]
    assert executed.plain("prints") == "['hot soup', 'hot pie']"
    late = executed.stream("later") + executed.stream("future")
    assert late == "cooking cake\n", "a line that comes after its cell is shown once"
    assert "finished" in executed.plain("future")
    assert "'hot cake'" in executed.plain("future")
    assert "2 of 2 done" in executed.plain("futures"), "as they were in the end"
    assert executed.stream("actor") == "heating\n90\n"
    assert "Pan: idle" in executed.plain("actor")
    assert executed.plain("slow") == "[0, 1]"
    assert len(executed.outputs("slow")) == 1, "no line under cells where nobody looks"
    (error,) = executed.outputs("fails")
    assert "string indices must be integers" in error["evalue"]
    told = "\n".join(error["traceback"])
    assert 'return dish["price"]' in told
    assert "burrow_jupyter" not in told
    assert "Burrow runs:" in executed.stream("status")
    for cell in executed.notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            assert "application/vnd.jupyter.widget-view+json" not in data
            assert "text/plain" in data or not data


def test_displays_of_tasks_that_come_late_are_in_the_notebook(tmp_path: Path):
    cells = {
        "load": CELLS["load"],
        "define": """\
@burrow.remote
def show(go):
    from IPython.display import HTML, display
    burrow.get(go[0])
    display(HTML("<b>bold</b>"))

@burrow.remote
def bars():
    print("\\r50%", end="")
    print("\\r100%")

go = burrow.remote(lambda: None).options(num_cpus=0)""",
        "launch": "late = show.remote([go.remote()]); None",
        "wait": "burrow.get([late, bars.remote()]); None",
        "after": "1",
    }

    done = run(tmp_path, "jupyter", *RUNNERS["nbconvert"], write(tmp_path, cells).name)

    assert done.returncode == 0, done.stderr
    executed = Executed(tmp_path / "out.ipynb")
    found = executed.outputs("launch") + executed.outputs("wait") + executed.outputs("after")
    pages = [output["data"].get("text/html", "") for output in found if "data" in output]
    assert pages.count("<b>bold</b>") == 1
    assert sum("100%" in page for page in pages) == 1


def test_papermill_fills_in_parameters_and_names_the_line_that_failed(tmp_path: Path):
    cells = {"parameters": "dish = 'soup'", **CELLS, "uses": "burrow.get(cook.remote(dish))"}
    del cells["fails"]
    written = write(tmp_path, cells, {"parameters": ["parameters"]})
    done = run(tmp_path, "papermill", written.name, "out.ipynb", "-p", "dish", "goulash")

    assert done.returncode == 0, done.stderr
    executed = Executed(tmp_path / "out.ipynb")
    assert executed.plain("uses") == "'hot goulash'"
    assert executed.stream("uses") == "cooking goulash\n"

    cells["uses"] = CELLS["fails"]
    written = write(tmp_path, cells, {"parameters": ["parameters"]})
    failed = run(tmp_path, "papermill", written.name, "out.ipynb")

    assert failed.returncode == 1
    told = failed.stderr
    assert "burrow.get(fail.remote('burnt toast'))" in told
    assert 'return dish["price"]' in told
    assert "TypeError: string indices must be integers" in told
    assert "burrow_jupyter/" not in told
