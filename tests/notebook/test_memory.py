"""What holds objects, and how to let go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


def test_a_stream_that_was_only_shown_is_not_kept_with_its_items(cells: Kernel):
    before = count(cells)
    cells.run_ok("@burrow.remote\ndef bake(n):\n    for i in range(n): yield bytes(200_000)")
    cells.run_ok("bake.remote(3)")

    wait_until(lambda: count(cells) <= before, 10, "the items to go")
    cells.run_ok("loaves = bake.remote(3); burrow.get(loaves.completed())")
    assert "held by loaves" in cells.run_ok("%burrow mem").stdout
    assert "loaves is gone" in cells.run_ok("%burrow free loaves").stdout
    wait_until(lambda: count(cells) <= before, 10, "the items to go")


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


def test_free_deletes_nothing_that_holds_more_than_what_is_freed(cells: Kernel):
    cells.run_ok(
        "refs = [burrow.put(bytes([n])) for n in range(3)]; first = refs[0]; alone = [first]\n"
        "losses = {'best': refs[0], 'history': [0.5, 0.4]}"
    )

    said = cells.run_ok("%burrow free first").stdout

    assert "first is gone, and alone with it. Kept: refs[0], losses['best']" in said
    assert cells.run_ok("'first' in globals(), 'alone' in globals()").text == "(False, False)"
    assert cells.run_ok("burrow.get(refs[1:]), losses['history']").text == (
        "([b'\\x01', b'\\x02'], [0.5, 0.4])"
    )
    assert "ObjectFreedError" in cells.run("burrow.get(refs[0])").traceback
    cells.run_ok("del refs, losses")


def test_free_of_a_variable_with_more_in_it_gives_the_value_up_and_keeps_the_rest(cells: Kernel):
    cells.run_ok("losses = {'best': burrow.put(1), 'history': [0.5, 0.4]}")

    said = cells.run_ok("%burrow free losses").stdout

    assert "losses: 1 value given up" in said
    assert cells.run_ok("losses['history']").text == "[0.5, 0.4]"
    assert "ObjectFreedError" in cells.run("burrow.get(losses['best'])").traceback
    assert "no variable" in cells.run_ok("%burrow free no_such_name").stdout
    cells.run_ok("del losses")


def test_free_finds_what_a_variable_holds_under_a_longer_name_too(cells: Kernel):
    cells.run_ok(
        "class Model: pass\ncache = {'x': burrow.put(1), 'n': 1}; model = Model(); model.cache = cache"
    )

    said = cells.run_ok("%burrow free model").stdout

    assert "model: 1 value given up" in said
    cells.run_ok("del model, cache")


def test_a_result_that_is_more_than_futures_is_remembered(cells: Kernel):
    run = cells.run_ok("burrow.put(1), 'soup'")
    number = run.reply["content"]["execution_count"]

    assert cells.run_ok(f"Out[{number}][1]").text == "'soup'"
    assert f"Out[{number}][0]" in cells.run_ok("%burrow mem").stdout
    cells.run_ok(f"%burrow free Out[{number}]")
    cells.run_ok(f"del Out[{number}], _{number}")
    cells.run_ok("'soup'\n'and'\n'bread'")
    for _ in range(3):
        cells.run_ok("1")  # so that `_`, `__` and `___` are others


def test_what_wait_has_returned_is_not_kept_when_it_was_only_shown(cells: Kernel):
    before = count(cells)
    cells.run_ok("burrow.wait([burrow.put(1), burrow.put(2)])")

    wait_until(lambda: count(cells) <= before, 10, "the objects to go")


@pytest.mark.parametrize(
    "failing",
    [
        "burrow.get(refs)",
        "burrow.get(refs, timeout=0)",
        "burrow.wait([*refs, refs[0]])",
        "burrow.get([*refs, 1])",
        "square.remote(refs, 3)",
        "burrow.map(square, burrow.get(refs, timeout=0))",
        "try: burrow.get(refs)\nexcept Exception as error: kept = error",
        "async def ask(): return await refs[0]\nawait ask()",
    ],
)
def test_a_call_that_has_failed_does_not_keep_its_refs(cells: Kernel, failing: str):
    before = count(cells)
    cells.run_ok("refs = [burrow.put(1), wait_for.remote('no-such-file'), fail.remote('x')]")
    if "await" in failing:
        cells.run_ok("refs[0] = fail.remote('x')")

    cells.run(failing)
    cells.run_ok("burrow.cancel(refs[1]); del refs")

    wait_until(lambda: count(cells) <= before, 10, "the objects to go")


def test_a_get_that_was_stopped_does_not_keep_its_refs(cells: Kernel):
    before = count(cells)
    cells.run_ok("refs = [burrow.put(1), wait_for.remote('no-such-file')]")

    run = cells.submit("print('waits'); burrow.get(refs)")
    wait_until(lambda: "waits" in run.stdout, 10, "the get")
    cells.interrupt()
    cells.wait(run)
    cells.run_ok("burrow.cancel(refs[1]); del refs")

    wait_until(lambda: count(cells) <= before, 10, "the objects to go")


def test_mem_names_the_last_error_whose_frames_hold_an_object(cells: Kernel):
    before = count(cells)
    cells.run_ok("def bake():\n    dough = burrow.put(bytes(2_000_000))\n    1 / 0")
    cells.run("bake()")

    assert "held by the last error -> dough of bake()" in cells.run_ok("%burrow mem").stdout
    cells.run("burrow.get([1])")
    cells.run_ok("%burrow mem")
    wait_until(lambda: count(cells) <= before, 10, "the object to go")


HOLDERS = {
    "attribute": ("class K: r = REF", "K.r"),
    "of_method": ("class M:\n    def f(self, x=REF): pass", "M.f(x=…)"),
    "default": ("def f(a, x=REF, *, y=1): pass", "f(x=…)"),
    "keyword_default": ("def g(a, *, x=REF): pass", "g(x=…)"),
    "of_remote_function": ("@burrow.remote\ndef h(x=REF): pass", "h._function(x=…)"),
    "key": ("keys = {REF: 1}", "keys{…}"),
    "partial": ("import functools\npart = functools.partial(print, REF, end='')", "part.args[0]"),
    "array": ("import numpy\narr = numpy.array([[1, REF]], dtype=object)", "arr[0, 1]"),
    "column": ("import pandas\ntable = pandas.DataFrame({'r': [REF]})", "table['r'][0]"),
    "slot": ("class S: __slots__ = ('free', 'r')\nslots = S(); slots.r = REF", "slots.r"),
    "subclass": ("class D(dict): pass\nd = D(); d.r = REF", "d.r"),
    "queue": ("import queue\nq = queue.Queue(); q.put(REF)", "q.queue[0]"),
    "namespace": ("import types\nspace = types.SimpleNamespace(r=REF)", "space.r"),
    "generator": (
        "def make(r):\n    yield r\nrun = make(REF); next(run)\nNone",
        "run -> r of make()",
    ),
    "iterator": ("it = iter([REF])", "it[0]"),
    "cached": (
        "import functools\n@functools.lru_cache\ndef cached(n): return REF\ncached(1)\nNone",
        "cached",
    ),
    "bound": ("add = [REF].append", "add.__self__[0]"),
    "error": ("error = ValueError(REF)", "error.args[0]"),
    "frames": (
        "def f():\n    lost = REF\n    1 / 0\ntry: f()\nexcept Exception as e: kept = e",
        "kept -> lost of f()",
    ),
    "of_our_frames": (
        "try: burrow.get([REF, 1])\nexcept Exception as e: kept_too = e",
        "kept_too -> object_refs of get()[0]",
    ),
    "of_asyncio": (
        (
            "import asyncio\nasync def nap(r): await asyncio.sleep(60)\n"
            "asyncio.ensure_future(nap(REF)).set_name('nap'); await asyncio.sleep(0)\nNone"
        ),
        "asyncio nap -> r of nap()",
    ),
    "of_module": ("import pantry; pantry.jars['a'] = REF; del pantry", "pantry.jars['a']"),
    "local": (
        "gate = threading.Event(); rest = lambda r: gate.wait()\nthreading.Thread(target=rest, args=(REF,), name='resting').start()",
        "r of <lambda>() in resting",
    ),
}


def test_mem_finds_what_holds_an_object_wherever_that_is(cells: Kernel):
    cells.run_ok("Path('pantry.py').write_text('jars = {}')\nimport pantry")
    sizes = {name: 1_000_000 + 50_000 * n for n, name in enumerate(HOLDERS)}

    held = {}
    for name, (code, _) in HOLDERS.items():
        cells.run_ok(code.replace("REF", f"burrow.put(bytes({sizes[name]}))"))
        said = cells.run_ok("%burrow mem").stdout
        held[name] = said.splitlines()[1].partition("held by ")[2]

    assert held == {name: way for name, (_, way) in HOLDERS.items()}
    cells.run_ok("gate.set(); [t.cancel() for t in asyncio.all_tasks() if t.get_name() == 'nap']")


def test_mem_leaves_the_variables_of_running_functions_as_they_are(cells: Kernel):
    cells.run_ok(
        "begun, end, seen = threading.Event(), threading.Event(), []\n"
        "def rest(r):\n    mine = locals(); begun.set(); end.wait(); seen.append(dict(mine))\n"
        "thread = threading.Thread(target=rest, args=(burrow.put(bytes(2_800_000)),), name='resting')\n"
        "thread.start(); begun.wait()"
    )

    assert "r of rest() in resting" in cells.run_ok("%burrow mem").stdout
    assert cells.run_ok("end.set(); thread.join(); 'r' in seen[0]").text == "True"
    cells.run_ok("del seen, thread")


def test_mem_names_what_a_background_cell_has_made(cells: Kernel):
    cells.run_ok("%%burrow\nflour = bytes(2_900_000)")

    def told():
        return "held by flour of a background cell" in cells.run_ok("%burrow mem").stdout

    wait_until(told, 10, "the cell's end")
    cells.run_ok("flour = 1")


def test_mem_lists_what_arrays_use_of_objects_that_are_gone(cells: Kernel):
    cells.run_ok(
        "import numpy as np, pandas as pd\n"
        "@burrow.remote\ndef bake(n): return np.ones(n)\n"
        "@burrow.remote\nclass Oven:\n    def keep(self, bread): self.bread = bread"
    )
    run = cells.run_ok("loaf = burrow.get(bake.remote(1_500_000)); crumb = loaf[10:20]")
    number = run.reply["content"]["execution_count"]
    cells.run_ok(
        "table = burrow.get(burrow.put(pd.DataFrame({'a': np.ones(1_400_000)})))\n"
        "oven = Oven.remote(); burrow.get(oven.keep.remote(np.ones(1_300_000)))"
    )

    def rows():
        said = cells.run_ok("%burrow mem").stdout
        found = [line.split() for line in said.splitlines() if line.startswith("   array")]
        return len(found) == 3 and [" ".join(row[1:]) for row in found]

    assert wait_until(rows, 10, "three arrays") == [
        f"12 MB bake of In[{number}] held by loaf, crumb",
        "11.2 MB held by table['a']",
        "10.4 MB held by actor Oven",
    ]
    assert "but an array" in cells.run_ok("%burrow free crumb").stdout
    cells.run_ok("burrow.kill(oven); del loaf, crumb, table, oven")
    wait_until(lambda: " array " not in cells.run_ok("%burrow mem").stdout, 10, "them to go")
