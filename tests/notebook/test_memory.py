"""What holds objects, and how to let go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.wait import wait_until

if TYPE_CHECKING:
    from helpers.kernels import Kernel


def count(cells: Kernel) -> int:
    """How many objects there are."""
    return int(cells.run_ok("print(len(burrow.objects()), end='')").stdout)


def test_mem_lists_sizes_and_names(cells: Kernel):
    cells.run_ok("big = burrow.put(bytes(3_000_000)); also = [big]; small = burrow.put(1)")

    said = cells.run_ok("%burrow mem").stdout

    line = next(line for line in said.splitlines() if "3 MB" in line and "held" in line)
    assert "held by big, also" in line
    assert "small" in said
    cells.run_ok("del big, also, small")


def test_mem_says_when_others_hold_an_object(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\nclass Shelf:\n    def keep(self, refs): self.refs = refs\n"
        "shelf = Shelf.remote(); big = burrow.put(bytes(2_000_000))\n"
        "burrow.get(shelf.keep.remote([big]))"
    )
    wait_until(
        lambda: "big, actor Shelf.refs[0]" in cells.run_ok("%burrow mem").stdout, 10, "the actor"
    )
    cells.run_ok("del big")
    said = cells.run_ok("%burrow mem").stdout
    assert "2 MB" in said
    cells.run_ok("burrow.kill(shelf); del shelf")


def test_mem_names_what_holds_an_object_deep_inside(cells: Kernel):
    cells.run_ok(
        "class Model: pass\nmodel = Model(); model.cache = {'x': [burrow.put(bytes(2_000_000))]}\n"
        "def keep(ref): return lambda: ref\nkept = keep(burrow.put(bytes(3_000_000)))\n"
        "@burrow.remote\nclass Shelf:\n"
        "    def __init__(self): self.items = {'a': burrow.put(bytes(4_000_000))}\n"
        "    def wait(self, path):\n        while not os.path.exists(path): time.sleep(0.005)\n"
        "shelf = Shelf.remote(); burrow.get(shelf.__ray_ready__.remote()); shelf.wait.remote('no-gate')"
    )

    def told():
        said = cells.run_ok("%burrow mem").stdout
        return "actor Shelf.items['a']" in said and said

    said = wait_until(told, 10, "the actor's")  # which on a slow machine tells it late
    held = {line.split()[1]: line.partition("held by ")[2] for line in said.splitlines()[1:4]}

    assert held == {"4": "actor Shelf.items['a']", "3": "kept -> ref", "2": "model.cache['x'][0]"}
    number = next(line.split()[0] for line in said.splitlines() if "actor Shelf" in line)
    for what in ("model", "kept", number):
        assert "1 value given up" in cells.run_ok(f"%burrow free {what}").stdout
    assert "MB" not in cells.run_ok("%burrow mem").stdout
    assert "ObjectFreedError" in cells.run("burrow.get(model.cache['x'])").traceback
    cells.run_ok("burrow.kill(shelf); del shelf, model, kept")


def test_free_lets_go_of_every_name(cells: Kernel):
    before = count(cells)
    cells.run_ok("big = burrow.put(bytes(2_000_000)); also = {'x': big}")

    said = cells.run_ok("%burrow free big").stdout

    assert "also" in said
    wait_until(lambda: count(cells) <= before, 10, "the object to go")
    assert "no future" in cells.run_ok("%burrow free Path").stdout
    assert "mem" in cells.run_ok("%burrow free").stdout


def test_what_was_only_shown_is_not_kept(cells: Kernel):
    before = count(cells)
    cells.run_ok("burrow.put(bytes(2_000_000))")
    cells.run_ok("[burrow.put(n) for n in range(3)]")
    cells.run_ok("1 + 1")

    wait_until(lambda: count(cells) <= before, 10, "the objects to go")
    assert cells.run_ok("_").text == "2"


def test_other_results_are_remembered_as_ever(cells: Kernel):
    run = cells.run_ok("'soup'")
    number = run.reply["content"]["execution_count"]

    assert cells.run_ok(f"Out[{number}], _{number}").text == "('soup', 'soup')"


def test_mem_says_which_cell_has_made_an_object(cells: Kernel):
    cells.run_ok("@burrow.remote\ndef bake(): return bytes(2_500_000)")
    run = cells.run_ok("loaf = bake.remote(); burrow.wait([loaf])")
    number = run.reply["content"]["execution_count"]

    assert f"bake of In[{number}]" in cells.run_ok("%burrow mem").stdout
    cells.run_ok("del loaf")
