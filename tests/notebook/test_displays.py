"""Futures, lists of futures and actors as the last expression of a cell."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import CellRun, Kernel


def gate() -> str:
    """A name of a file that no other test makes."""
    return f"gate-{uuid.uuid4().hex}"


def text(run: CellRun) -> str:
    """What the one display under a cell says now."""
    assert len(run.displays) == 1, run.displays
    return str(run.displays[0]["text/plain"])


def page(run: CellRun) -> str:
    """The same as HTML."""
    return str(run.displays[0]["text/html"])


def wait_for_text(run: CellRun, part: str) -> str:
    """Waits until the display says something."""
    wait_until(lambda: part in text(run), 20, f"{part!r} in the display, not {text(run)!r}")
    return text(run)


def test_a_future_that_is_done_shows_its_value_at_once(cells: Kernel):
    run = cells.run_ok("ref = square.remote(7); burrow.wait([ref])\nref")

    assert text(run).startswith("square: finished in ")
    assert text(run).endswith("\n49")
    assert ">49<" in page(run)
    assert not [m for m in run.messages if m["msg_type"] == "update_display_data"]


def test_a_future_shows_its_state_and_then_its_value_although_the_cell_is_over(cells: Kernel):
    door = gate()
    run = cells.run_ok(f"ref = wait_for.remote({door!r}, 'soup'); ref")

    wait_for_text(run, "wait_for: running")
    cells.run_ok(f"Path({door!r}).touch()")

    assert wait_for_text(run, "finished").endswith("'soup'")
    assert "soup" in page(run)


def test_a_future_that_waits_says_for_what(cells: Kernel):
    door = gate()
    run = cells.run_ok(
        f"first = wait_for.remote({door!r}, 3); second = square.remote(first)\nsecond"
    )

    assert text(run) == "square: waits for its arguments"
    cells.run_ok(f"Path({door!r}).touch()")
    assert wait_for_text(run, "finished").endswith("\n9")


def test_a_call_of_a_busy_actor_waits_for_the_actor_and_for_no_worker(cells: Kernel):
    door = gate()
    run = cells.run_ok(
        "@burrow.remote\nclass Busy:\n    def work(self, refs): return burrow.get(refs)\n"
        f"busy = Busy.remote(); held = busy.work.remote([wait_for.remote({door!r}, 1)])\n"
        "busy.work.remote([])"
    )

    wait_for_text(run, "Busy.work: waits for its actor")
    cells.run_ok(f"Path({door!r}).touch()")
    wait_for_text(run, "finished")


def test_a_failed_future_shows_its_error_in_one_line(cells: Kernel):
    run = cells.run_ok("fail.remote('no salt')")

    shown = wait_for_text(run, "fail: failed after ")
    assert shown.startswith("fail: failed after ")
    assert shown.endswith("\nValueError: no salt")


def test_a_cancelled_future_says_so(cells: Kernel):
    run = cells.run_ok(f"ref = wait_for.remote({gate()!r}); ref")
    wait_for_text(run, "running")

    cells.run_ok("burrow.cancel(ref)")

    assert "cancelled" in wait_for_text(run, "cancelled")


def test_what_was_put_shows_its_value(cells: Kernel):
    assert text(cells.run_ok("burrow.put([1, 2])")) == "ObjectRef: stored\n[1, 2]"


def test_a_large_result_is_not_fetched_to_be_shown(cells: Kernel):
    run = cells.run_ok("burrow.put(bytes(20_000_000))")

    assert "20 MB, get() fetches it" in text(run)


def test_a_value_with_html_of_its_own_is_shown_as_in_a_cell(cells: Kernel):
    cells.run_ok("class Pot:\n    def _repr_html_(self): return '<b>a pot</b>'")

    assert "<b>a pot</b>" in page(cells.run_ok("burrow.put(Pot())"))


def test_a_value_whose_repr_raises_does_not_break_the_display(cells: Kernel):
    cells.run_ok("class Odd:\n    def __repr__(self): raise OSError('no')")

    assert "Odd" in text(cells.run_ok("burrow.put(Odd())"))


def test_text_of_the_users_is_text_and_never_markup(cells: Kernel):
    nasty = "<img src=x onerror=alert(1)>"
    cells.run_ok(
        f"class Evil:\n    def __repr__(self): return {nasty!r}\n"
        f"evil = square.options(name={nasty!r})\n"
        "@burrow.remote\nclass Named: pass\n"
        f"named = Named.options(name={nasty!r}).remote()"
    )

    shown = [
        cells.run_ok(f"fail.remote({nasty!r})"),
        cells.run_ok("burrow.put(Evil())"),
        cells.run_ok("evil.remote(2)"),
        cells.run_ok("[burrow.put(Evil())] * 2"),
        cells.run_ok(f"[fail.remote({nasty!r})] * 2"),
        cells.run_ok("named"),
    ]

    for run in shown:
        assert "&lt;img" in page(run)
        assert "<img" not in page(run)


def test_a_list_of_futures_shows_progress_and_then_the_values(cells: Kernel):
    door = gate()
    run = cells.run_ok(f"many = [wait_for.remote({door!r}, n) for n in range(12)]; many")

    wait_for_text(run, "0 of 12 done · ")
    assert "running" in text(run)
    cells.run_ok(f"Path({door!r}).touch()")

    assert wait_for_text(run, "12 of 12 done").endswith("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]")
    assert "running" not in text(run)


@pytest.mark.parametrize("shape", ["tuple(many)", "dict(enumerate(many))"])
def test_other_collections_of_futures_show_progress_too(cells: Kernel, shape: str):
    run = cells.run_ok(f"many = [square.remote(n) for n in range(3)]; {shape}")

    assert "3 of 3 done" in text(run)


def test_a_list_with_failures_counts_them_and_shows_the_first(cells: Kernel):
    run = cells.run_ok("[fail.remote('no salt'), square.remote(1), fail.remote('no salt')]")

    said = wait_for_text(run, "1 of 3 done")
    assert "2 failed" in said
    assert said.endswith("\nValueError: no salt")


def test_other_lists_are_shown_as_ever(cells: Kernel):
    for code, shown in [("[1, 2]", "[1, 2]"), ("[]", "[]"), ("[square.remote(1), 2][1:]", "[2]")]:
        run = cells.run_ok(code)
        assert run.text == shown
        assert not run.displays
    mixed = cells.run_ok("[square.remote(1), 2]")
    assert mixed.text.startswith("[ObjectRef(")


def test_a_list_type_with_a_display_of_its_own_keeps_it(cells: Kernel):
    run = cells.run_ok(
        "class Mine(list):\n    def _ipython_display_(self): print('my own')\nMine([1])"
    )

    assert run.stdout == "my own\n"
    assert not run.text


def test_an_actor_shows_class_state_queue_and_process(cells: Kernel):
    door = gate()
    run = cells.run_ok("pan = Pan.remote(); burrow.get(pan.heat.remote()); pan")
    assert "Pan: idle · 1 call done · process " in text(run)

    cells.run_ok(f"calls = [pan.heat.remote({door!r}) for _ in range(3)]")
    wait_for_text(run, "runs heat() · 2 queued · 1 call done")
    cells.run_ok(f"Path({door!r}).touch()")
    wait_for_text(run, "idle · 4 calls done")

    cells.run_ok("burrow.kill(pan)")
    assert wait_for_text(run, "dead").startswith("Pan: dead · 4 calls done")


def test_a_list_of_actors_shows_one_line_each(cells: Kernel):
    run = cells.run_ok("pans = [Pan.options(num_cpus=0).remote() for _ in range(2)]; pans")

    wait_until(lambda: text(run).count("idle") == 2, 20, "both pans to be idle")
    assert len(text(run).splitlines()) == 2
    cells.run_ok("del pans")


def test_showing_a_future_does_not_keep_its_object(cells: Kernel):
    cells.run_ok("ref = burrow.put('held'); name = str(ref)[10:-1]; ref")
    cells.run_ok("del ref")
    gone = "any(row['id'] == name for row in burrow.objects())"

    wait_until(lambda: cells.run_ok(f"print({gone})").stdout == "False\n", 10, "the object to go")


def test_the_end_of_the_burrow_ends_what_is_shown(kernel: Kernel):
    kernel.run_ok("%load_ext burrow")
    kernel.run_ok(
        "import burrow, threading\n@burrow.remote\ndef hang(): threading.Event().wait()\n"
        "@burrow.remote\nclass Pan: pass\npan = Pan.remote()"
    )
    future = kernel.run_ok("ref = hang.remote(); ref")
    many = kernel.run_ok("refs = [hang.remote() for _ in range(3)]; refs")
    actor = kernel.run_ok("pan")

    kernel.run_ok("burrow.shutdown()")

    assert wait_for_text(future, "cancelled").endswith("the burrow has ended")
    assert wait_for_text(many, "cancelled").endswith("the burrow has ended")
    wait_for_text(actor, "ended with the burrow")


def test_a_ref_of_an_ended_session_is_shown_without_an_error(kernel: Kernel):
    kernel.run_ok("import burrow; ref = burrow.put(1); burrow.shutdown(); burrow.init()")

    assert kernel.run_ok("ref").displays


def test_displays_need_no_load_ext(kernel: Kernel):
    kernel.run_ok("import burrow\n@burrow.remote\ndef one(): return 1")

    assert wait_for_text(kernel.run_ok("one.remote()"), "finished").endswith("\n1")


def test_unload_ext_takes_everything_back(kernel: Kernel):
    kernel.run_ok("%load_ext burrow\nimport burrow")
    assert kernel.run_ok("burrow.put(1)").displays
    kernel.run_ok("%unload_ext burrow")

    assert kernel.run_ok("burrow.put(1)").text.startswith("ObjectRef(")
    assert not kernel.run_ok("burrow.put(1)").displays
    assert kernel.run("%burrow").status == "error" or "not found" in kernel.run("%burrow").stderr


def test_a_saved_notebook_has_the_final_state_as_html_and_text(tmp_path):
    sources = [
        "%load_ext burrow\nimport burrow, os, time",
        """@burrow.remote
def slow(path):
    while not os.path.exists(path): time.sleep(0.005)
    return 'soup'""",
        "ref = slow.remote('gate'); ref",
        "refs = [slow.remote('gate') for _ in range(2)]; refs",
        "open('gate', 'w').close(); burrow.get([ref, *refs])",
        "import time; time.sleep(1.5)",
        "burrow.shutdown()",
    ]
    written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])

    NotebookClient(written, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()

    for index, part in [(2, "slow: finished"), (3, "2 of 2 done")]:
        (output,) = written.cells[index].outputs
        assert part in output["data"]["text/plain"]
        assert "soup" in output["data"]["text/html"]
        assert set(output["data"]) == {"text/plain", "text/html"}


def test_a_future_without_a_name_is_shown_to_its_end(cells: Kernel):
    door = gate()
    one = cells.run_ok(f"wait_for.remote({door!r}, 'soup')")
    many = cells.run_ok(f"[wait_for.remote({door!r}, n) for n in range(2)]")
    wait_for_text(one, "running")
    cells.run_ok("1 + 1")

    cells.run_ok(f"Path({door!r}).touch()")

    assert wait_for_text(one, "finished").endswith("'soup'")
    assert wait_for_text(many, "2 of 2 done").endswith("[0, 1]")


def test_a_failure_that_was_shown_is_not_told_again(cells: Kernel):
    run = cells.run_ok("fail.remote('no salt')")
    wait_for_text(run, "failed")
    for code in ("1", "2", "burrow.get(square.remote(1))"):
        later = cells.run_ok(code)
        assert "no salt" not in later.stderr

    assert run.stderr == ""


def test_a_future_keeps_its_name_when_many_others_have_ended_since(cells: Kernel):
    door = gate()
    run = cells.run_ok(f"named = wait_for.options(name='pan').remote({door!r}, 5); named")
    assert "pan: " in run.displays[0]["text/plain"]

    cells.run_ok(
        f"Path({door!r}).touch(); burrow.get(named)\n"
        "burrow.get([square.remote(n) for n in range(300)])"
    )

    wait_until(lambda: run.displays[0]["text/plain"].endswith("\n5"), 20, "the value")
    assert run.displays[0]["text/plain"].startswith("pan: finished")
