"""What a cell shows of an error: the user's lines and few others."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.kernels import Kernel

COLOURS = re.compile(r"\x1b\[[\d;]*m")

LOCKED = """
import json, threading
state = {"cfg": {"lk": threading.Lock()}}
def use(): return state["cfg"]["lk"]
@burrow.remote
def bad(): return use()
@burrow.remote
def parse(text): return json.loads(text)
@burrow.remote
def compiles(text): return compile(text, "<text>", "exec")
"""


def shown(cells: Kernel, code: str) -> list[str]:
    """The lines of the error that a cell ends with."""
    return COLOURS.sub("", cells.run(code).traceback).splitlines()


def test_what_cannot_be_sent_is_said_in_at_most_eight_lines(cells: Kernel):
    cells.run_ok(LOCKED)

    lines = shown(cells, "bad.remote()")

    assert len(lines) <= 8
    assert any('bad -> use -> state["cfg"]["lk"]: _thread.lock (Cell In[' in line for line in lines)
    assert sum("Fix: " in line for line in lines) == 1
    assert "line 1: bad.remote()" in lines[1]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("square.remote(1, 2)", "TypeError: square"),
        ("square(1)", "TypeError: a remote function is not called directly"),
        ("burrow.get([1])", "TypeError: get() takes ObjectRefs"),
        ("square.options(num_cpu=2)", "ValueError: a task's .options() has no option"),
        ("Pan.remote(1)", "TypeError: "),
    ],
)
def test_a_wrong_call_is_shown_where_it_is(cells: Kernel, code: str, said: str):
    lines = shown(cells, f"x = 3\n{code}")

    assert lines[0].startswith(said)
    assert lines[1].endswith(f"line 2: {code}")
    assert "burrow_jupyter" not in "".join(lines)


@pytest.mark.parametrize(
    "code",
    [
        "list(burrow.map(burn, [1, 0]))",
        "list(burrow.map(burn, [1, 0], batch_size=2, num_cpus=2))",
        "with burrow.Executor() as e: e.submit(burn, 0).result()",
        "with burrow.Executor() as e: list(e.map(burn, [1, 0], chunksize=2))",
        "with Pool(1) as p: p.map(burn, [1, 0])",
        "with Pool(1) as p: p.apply(burn, (0,))",
        "burrow.get(apply_it.remote(lambda: burn(0)))",
    ],
)
def test_calls_in_batches_and_functions_as_arguments_show_the_cells_lines(cells: Kernel, code: str):
    cells.run_ok("from burrow.util.multiprocessing import Pool")
    cells.run_ok("@burrow.remote\ndef apply_it(f): return f()")
    line = f"return 1 / x  # {uuid.uuid4().hex}"  # of a cell that no worker knows yet
    cells.run_ok(f"def burn(x):\n    {line}")

    lines = shown(cells, code)

    assert len(lines) <= 10
    assert "ZeroDivisionError" in lines[0]
    assert re.fullmatch(rf"  Cell In\[\d+\], line 1: {re.escape(code)}", lines[1])
    assert re.search(r"^burrow::(burn|apply_it)\(\) \(pid=\d+, task \S+ of In\[\d+\]", lines[2])
    at = next(at for at, line in enumerate(lines) if "line 2, in burn" in line)
    assert re.fullmatch(r"  Cell In\[\d+\], line 2, in burn", lines[at])
    assert lines[at + 1 :] == [f"    {line}", "ZeroDivisionError: division by zero"]


@pytest.mark.parametrize(
    "code",
    [
        "list(burrow.map(pour, range(3)))",
        "with burrow.Executor() as e: list(e.map(pour, range(3)))",
        "with Pool(1) as p: p.map(pour, range(3))",
    ],
)
def test_what_cannot_be_sent_in_a_batch_is_called_as_its_user_calls_it(cells: Kernel, code: str):
    cells.run_ok("from burrow.util.multiprocessing import Pool")
    cells.run_ok(f"{LOCKED}\ndef pour(_): return use()")

    lines = shown(cells, code)

    assert re.match(
        "TypeError: Cannot pickle (pour|argument 1 of (pour|PoolProcess.run))[ :]", lines[0]
    )
    assert any('pour -> use -> state["cfg"]["lk"]: _thread.lock' in line for line in lines)
    assert "run_batch" not in "".join(lines)


def test_frames_of_installed_packages_are_one_line(cells: Kernel):
    cells.run_ok(LOCKED)

    lines = shown(cells, "burrow.get(parse.remote('{'))")

    assert len(lines) <= 7
    assert re.search(r"^burrow::parse\(\) \(pid=\d+, task \S+ of In\[\d+\], attempt 1\)$", lines[2])
    assert any("def parse(text): return json.loads(text)" in line for line in lines)
    assert any("frames in json, the last: decoder.py" in line for line in lines)


def test_a_syntax_error_of_a_task_is_shown_like_any_other(cells: Kernel):
    cells.run_ok(LOCKED)

    lines = shown(cells, "burrow.get(compiles.remote('a b'))")

    assert lines[0].startswith("RayTaskError(SyntaxError): invalid syntax")
    assert any("in compiles" in line for line in lines)
    assert "burrow_jupyter" not in "".join(lines)


def test_an_error_while_another_is_handled_shows_both(cells: Kernel):
    lines = shown(cells, "try: 1 / 0\nexcept ZeroDivisionError: square(1)")

    assert "ZeroDivisionError: division by zero" in lines
    assert lines[-1].startswith("TypeError: a remote function is not called directly")
    assert "burrow_jupyter" not in "".join(lines)


def test_errors_of_the_cell_itself_are_shown_as_ever(cells: Kernel):
    assert "----> 1 1 / 0" in shown(cells, "1 / 0")
    assert shown(cells, "a b")[-1] == "SyntaxError: invalid syntax"


def test_tasks_of_tasks_name_their_cells(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef inner(): return 1 / 0\n"
        "@burrow.remote\ndef outer(): return burrow.get(inner.remote())"
    )

    lines = shown(cells, "burrow.get(outer.remote())")

    assert len(lines) <= 10
    places = [line for line in lines if ", in " in line]
    assert [line.rpartition(" ")[2] for line in places] == ["outer", "inner"]
    assert all(re.match(r"  Cell In\[\d+\], line \d, in ", line) for line in places)


def test_a_group_of_errors_is_shown_like_any_other(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef several():\n"
        "    raise ExceptionGroup('several', [ValueError('one'), KeyError('two')])"
    )

    lines = shown(cells, "burrow.get(several.remote())")

    assert lines[0] == "RayTaskError(ExceptionGroup): several (2 sub-exceptions)"
    assert "| ValueError: one" in "".join(lines)
    assert len(lines) <= 10
    assert not any(name in "".join(lines) for name in ("burrow_jupyter", "interactiveshell"))


def test_what_we_raise_in_a_group_of_the_cell_is_shown_without_our_frames(cells: Kernel):
    lines = shown(
        cells,
        "try: square(1)\nexcept TypeError as error: raise ExceptionGroup('all', [error]) from None",
    )

    assert any("ExceptionGroup: all" in line for line in lines)
    assert any("a remote function is not called directly" in line for line in lines)
    assert not any(name in "".join(lines) for name in ("burrow_jupyter", "interactiveshell"))


BROKEN = """
class Broken:
    def __setstate__(self, state): raise RuntimeError("no flour")
    def __init__(self): self.flour = 0
@burrow.remote
def bake(): return Broken()
@burrow.remote
def taste(cake, more=0): return cake
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("burrow.get(bake.remote())", "the result of bake cannot be unpickled here"),
        ("await bake.remote()", "the result of bake cannot be unpickled here"),
        ("burrow.get(burrow.put(Broken()))", "the value cannot be unpickled here"),
        (
            "burrow.get(taste.remote(Broken()))",
            "an argument of taste cannot be unpickled in the worker",
        ),
        (
            "burrow.get(taste.remote(1, more=burrow.put(Broken())))",
            "argument more= of taste cannot be unpickled in the worker",
        ),
    ],
)
def test_what_cannot_be_unpickled_says_whose_it_is(cells: Kernel, code: str, said: str):
    cells.run_ok(BROKEN)

    lines = shown(cells, code)

    assert lines[0] == f"RayTaskError(RuntimeError): {said}: no flour"
    assert len(lines) <= 7
    assert any(line.endswith("in __setstate__") for line in lines)
    assert "burrow_jupyter" not in "".join(lines)


def test_a_callback_is_told_that_a_result_cannot_be_unpickled(cells: Kernel):
    cells.run_ok(BROKEN)

    run = cells.run_ok("repr(bake.remote().future().exception(20).cause)")

    assert run.text == repr("RuntimeError('no flour')")
