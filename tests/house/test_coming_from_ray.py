"""Every row of the table in docs/coming-from-ray.md is true."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import burrow
from burrow.util.multiprocessing import Pool
from helpers.checkout import ROOT
from helpers.gates import pass_gate, sleep_long
from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import Kernel

PAGE = ROOT / "docs" / "coming-from-ray.md"
ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


@pytest.fixture
def two():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


def parse(text):
    return int(text)


def test_every_row_has_a_test():
    rows = [int(number) for number in ROW.findall(PAGE.read_text())]
    tested = {int(m[1]) for name in globals() if (m := re.match(r"test_row_(\d+)_", name))}

    assert rows == list(range(1, len(rows) + 1))
    assert sorted(tested) == rows


def test_row_1_init_again(two):
    assert burrow.init(num_cpus=2)["session"] == burrow.init(num_cpus=2)["session"]


def test_row_2_no_cluster():
    with pytest.raises(ValueError, match="only this machine"):
        burrow.init("ray://elsewhere:10001")


def test_row_3_gpus_are_taken_at_their_word():
    with burrow.init(num_cpus=1, num_gpus=2):
        ids = burrow.remote(num_gpus=1)(burrow.get_gpu_ids)
        assert len(burrow.get(ids.remote())) == 1


def test_row_4_demands_that_are_never_met(two):
    with pytest.raises(burrow.exceptions.InfeasibleError):
        burrow.remote(num_cpus=99)(abs).remote(1)


def test_row_5_globals_as_the_notebook_has_them(kernel: Kernel):
    kernel.run_ok("import burrow\nx = 1\n@burrow.remote\ndef f(): return x")
    assert kernel.run_ok("burrow.get(f.remote())").text == "1"
    kernel.run_ok("x = 2")
    assert kernel.run_ok("burrow.get(f.remote())").text == "2"


def test_row_6_arrays_may_be_written_to(two):
    np = pytest.importorskip("numpy")
    shared = burrow.put(np.zeros(1_000_000))

    def write(array):
        array[0] = 1
        return array[0]

    assert burrow.get(burrow.remote(write).remote(shared)) == 1
    assert burrow.get(shared)[0] == 0


def test_row_7_a_sleeping_task_is_interrupted(two):
    ref = burrow.remote(sleep_long).remote()
    wait_until(lambda: burrow.tasks()[-1]["state"] == "running", 10, "the task to run")
    burrow.cancel(ref)

    with pytest.raises(burrow.exceptions.TaskCancelledError):
        burrow.get(ref, timeout=10)


def test_row_8_the_stop_button(kernel: Kernel):
    kernel.run_ok("import burrow, threading\n@burrow.remote\ndef hang(): threading.Event().wait()")
    run = kernel.submit("print('on', flush=True)\nburrow.get(hang.remote())")
    wait_until(lambda: run.stdout, 10, "the cell to run")
    kernel.interrupt()
    kernel.wait(run)

    states = "print([row['state'] for row in burrow.tasks()])"
    wait_until(lambda: "running" not in kernel.run_ok(states).stdout, 10, "the task to end")


def test_row_9_output_under_its_own_cell(kernel: Kernel):
    run = kernel.run_ok("import burrow\n@burrow.remote\ndef say(): print('hi')\nref = say.remote()")
    kernel.run_ok("burrow.get(ref)")

    wait_until(lambda: run.stdout == "hi\n", 10, "the line")


def test_row_10_generators_stream(two):
    def count():
        yield 1
        yield 2

    refs = burrow.remote(count).remote()
    assert isinstance(refs, burrow.ObjectRefGenerator)
    assert [burrow.get(ref) for ref in refs] == [1, 2]


def test_row_11_three_retries(two, tmp_path):
    def crash(folder):
        import os
        import pathlib

        count = len(list(pathlib.Path(folder).iterdir()))
        (pathlib.Path(folder) / str(count)).touch()
        os._exit(1)

    with pytest.raises(burrow.exceptions.WorkerCrashedError):
        burrow.get(burrow.remote(crash).remote(str(tmp_path)))
    assert len(list(tmp_path.iterdir())) == 4


def test_row_12_errors_are_of_their_own_type_too(two):
    with pytest.raises(ValueError, match="invalid literal") as caught:
        burrow.get(burrow.remote(parse).remote("x"))
    assert isinstance(caught.value, burrow.exceptions.RayTaskError)


def test_row_13_process_titles(two, tmp_path):
    gate = tmp_path / "gate"
    ref = burrow.remote(name="cook")(pass_gate).remote(str(gate))

    def title():
        return [
            (process / "comm").read_text().strip()
            for row in burrow.workers()
            if (process := __import__("pathlib").Path(f"/proc/{row['pid']}")).exists()
        ]

    wait_until(lambda: "burrow::cook" in title(), 10, "the title")
    gate.touch()
    burrow.get(ref)


def test_row_14_runtime_environments():
    with pytest.raises(ValueError, match="pip"):
        burrow.remote(runtime_env={"pip": ["requests"]})(abs)


def test_row_15_placement_groups(two):
    group = burrow.util.placement_group([{"CPU": 2}])

    assert group.wait(1)
    assert burrow.get(burrow.remote(num_cpus=2)(abs).remote(-1), timeout=20) == 1


def test_row_16_no_dashboard(two):
    assert "webui_url" not in burrow.init(
        num_cpus=2, include_dashboard=True, ignore_reinit_error=True
    )


def test_row_17_freed_objects_are_lost(two):
    ref = burrow.remote(abs).remote(-1)
    burrow.get(ref)
    burrow.free([ref])

    with pytest.raises(burrow.exceptions.ObjectLostError):
        burrow.get(ref)


def test_row_17_objects_are_lost_with_their_files():
    session = burrow.init(num_cpus=1)["session"]
    ref = burrow.put(bytes(1_000_000))
    for path in Path("/dev/shm", f"burrow-{os.getuid()}-{session}").iterdir():
        path.unlink()

    for ask in (ref, burrow.remote(len).remote(ref)):
        with pytest.raises(burrow.exceptions.ObjectLostError):
            burrow.get(ask, timeout=20)
    burrow.shutdown()


def test_row_18_breakpoints_open_in_the_notebook(kernel: Kernel):
    run = kernel.submit(
        "def stops():\n    breakpoint()\n    return 1\n"
        "import burrow; burrow.get(burrow.remote(stops).remote())",
        allow_stdin=True,
    )

    kernel.answer("c")
    assert kernel.wait(run).text == "1"


def test_row_19_calls_that_wait_for_each_other_are_told(two):
    @burrow.remote
    class Pot:
        def outer(self, own):
            return burrow.get(own.inner.remote())

        def inner(self):
            return 1

    pot = Pot.remote()
    with pytest.raises(burrow.exceptions.DeadlockError, match=r"Pot\.inner"):
        burrow.get(pot.outer.remote(pot), timeout=30)


@pytest.mark.parametrize("name", ["train", "tune", "serve", "data", "rllib", "workflow"])
def test_row_20_no_libraries(name):
    with pytest.raises(ImportError, match="Ray's libraries"):
        importlib.import_module(f"burrow.{name}")
    with pytest.raises(ImportError, match="Ray's libraries"):
        exec(f"from burrow import {name}")  # as a notebook writes it
    with pytest.raises(AttributeError, match="Ray's libraries"):
        getattr(burrow, name)


def test_row_21_a_pool_of_more_processes_than_cpus(two):
    with Pool(3) as pool:
        assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]


def test_row_22_what_a_pool_raises(two):
    with Pool(1) as pool, pytest.raises(ValueError, match="invalid literal") as caught:
        pool.map(parse, ["x"])
    assert type(caught.value) is ValueError
    assert "in parse" in str(caught.value.__cause__)


class Boiling(BaseException):
    """Of the user's own."""


def test_row_23_a_base_exception_of_ones_own_arrives(two):
    def boil():
        raise Boiling

    with pytest.raises(Boiling) as caught:
        burrow.get(burrow.remote(boil).remote())
    assert isinstance(caught.value, burrow.exceptions.RayTaskError)


def test_row_24_no_graphs_by_bind(two):
    with pytest.raises(NotImplementedError, match="remote"):
        burrow.remote(abs).bind(1)


def test_row_25_metrics_are_exported_nowhere(two):
    from burrow.util.metrics import Counter

    def count():
        Counter("orders").inc()
        return True

    assert burrow.get(burrow.remote(count).remote())


def test_row_26_stop_iteration_ends_no_loop(two):
    def stop():
        raise StopIteration("enough")

    stops = burrow.remote(stop)
    with pytest.raises(RuntimeError, match="enough") as caught:
        list(map(burrow.get, [stops.remote(), stops.remote()]))
    assert isinstance(caught.value, burrow.exceptions.RayTaskError)
    assert isinstance(caught.value.cause, StopIteration)


def test_row_27_how_long_an_actor_that_exits_waits_for_its_calls(two, monkeypatch, tmp_path):
    @burrow.remote(max_concurrency=2)
    class Leaves:
        def wait(self, seconds, gate):
            side_by_side.LEAVE_WITHIN_S = seconds
            pass_gate(gate)
            return "done"

        def leave(self):
            burrow.exit_actor()

    from burrow_jupyter.engine import side_by_side

    assert side_by_side.LEAVE_WITHIN_S == 5
    hung, patient = Leaves.remote(), Leaves.remote()
    cut = hung.wait.remote(0.1, str(tmp_path / "never"))
    kept = patient.wait.remote(20, str(tmp_path / "soon"))
    for actor in (hung, patient):
        burrow.get(actor.__ray_ready__.remote())
        actor.leave.remote()
    with pytest.raises(burrow.exceptions.ActorDiedError, match="exit_actor"):
        burrow.get(cut, timeout=20)
    (tmp_path / "soon").touch()
    assert burrow.get(kept, timeout=20) == "done"
