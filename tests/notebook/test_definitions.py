"""A task runs what the notebook says now."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.kernels import Kernel

ENTRIES = textwrap.dedent(
    """
    factor = 2
    settings = {"extra": 0}

    def helper(x):
        return x * factor

    @burrow.remote
    def compute(x):
        return helper(x) + settings["extra"]

    @burrow.remote
    def outer(x):
        return burrow.get(compute.remote(x))

    @burrow.remote
    class Cook:
        def work(self, x):
            return helper(x)
    """
)


@pytest.fixture
def workshop(cells: Kernel) -> Kernel:
    """The module's kernel, with a function that reaches helpers, globals and a mutable one."""
    cells.run_ok(ENTRIES)
    assert cells.run_ok("burrow.get([compute.remote(10), outer.remote(10)])").text == "[20, 20]"
    return cells


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ("factor = 3", 30),
        ("def helper(x): return x + 1", 11),
        ("settings['extra'] = 5", 25),
        ("settings = {'extra': 7}", 27),
    ],
)
def test_what_a_function_uses_is_as_the_notebook_has_it_now(
    workshop: Kernel, change: str, result: int
):
    workshop.run_ok(change)

    for _ in range(2):
        code = "burrow.get([compute.remote(10) for _ in range(8)] + [outer.remote(10)])"
        assert workshop.run_ok(code).text == str([result] * 9)


def test_a_new_actor_has_the_helpers_of_now_and_an_old_one_its_own(workshop: Kernel):
    workshop.run_ok("old = Cook.remote(); burrow.get(old.work.remote(1))")
    workshop.run_ok("def helper(x): return 'new'")

    code = "burrow.get([old.work.remote(1), Cook.remote().work.remote(1)])"
    assert workshop.run_ok(code).text == "[2, 'new']"


def test_a_name_that_was_missing_is_found_once_it_is_defined(workshop: Kernel):
    workshop.run_ok("@burrow.remote\ndef late(): return defined_later()")
    failed = workshop.run("burrow.get(late.remote())")
    assert failed.error is not None
    assert "NameError" in failed.error["ename"]

    workshop.run_ok("def defined_later(): return 'here'")

    assert workshop.run_ok("burrow.get(late.remote())").text == "'here'"


def test_an_import_made_later_is_there(workshop: Kernel):
    workshop.run_ok("@burrow.remote\ndef root(): return math.sqrt(16)")
    assert workshop.run("burrow.get(root.remote())").status == "error"

    workshop.run_ok("import math")

    assert workshop.run_ok("burrow.get(root.remote())").text == "4.0"


def test_never_in_the_middle_of_a_run(workshop: Kernel):
    run = workshop.run_ok(
        "first = compute.remote(10); factor = 100; second = compute.remote(10)\n"
        "burrow.get([first, second])"
    )

    assert run.text == "[20, 20]"
    assert workshop.run_ok("burrow.get(compute.remote(10))").text == "1000"


def test_unchanged_code_is_not_sent_again(workshop: Kernel):
    count = "from burrow_jupyter.api import context; len(context.backend()._codes._ids)"
    before = workshop.run_ok(count).text

    for _ in range(5):
        workshop.run_ok("burrow.get([compute.remote(1), outer.remote(1)])")

    assert workshop.run_ok(count).text == before


def test_objects_of_notebook_classes_keep_their_class_through_a_round_trip(workshop: Kernel):
    workshop.run_ok(
        "import dataclasses, enum\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "class Colour(enum.Enum):\n    RED = 1\n"
        "@burrow.remote\ndef back(thing): return thing, type(thing) is Point or thing is Colour.RED"
    )

    for _ in range(2):
        run = workshop.run_ok(
            "pairs = burrow.get([back.remote(Point(3)), back.remote(Colour.RED)])\n"
            "isinstance(pairs[0][0], Point), pairs[1][0] is Colour.RED, pairs[0][1], pairs[1][1]"
        )
        assert run.text == "(True, True, True, True)"


def test_a_redefined_class_is_the_one_that_tasks_see(workshop: Kernel):
    workshop.run_ok(
        "class Recipe:\n    name = 'soup'\n@burrow.remote\ndef cook(): return Recipe.name"
    )
    assert workshop.run_ok("burrow.get(cook.remote())").text == "'soup'"

    workshop.run_ok("class Recipe:\n    name = 'stew'")
    assert workshop.run_ok("burrow.get(cook.remote())").text == "'stew'"

    workshop.run_ok("Recipe.name = 'broth'")
    assert workshop.run_ok("burrow.get([cook.remote() for _ in range(4)])").text == str(
        ["broth"] * 4
    )


# ---- modules and surroundings ------------------------------------------------------------


def write(kernel: Kernel, name: str, text: str) -> None:
    """Write a module where the kernel works, later than before, as an editor does."""
    kernel.run_ok(
        f"import os, pathlib\nfile = pathlib.Path({name!r}); "
        "at = file.stat().st_mtime_ns + 2_000_000_000 if file.exists() else None\n"
        f"file.write_text({text!r})\n"
        "at and os.utime(file, ns=(at, at))"
    )


def test_an_edited_module_is_the_same_in_every_worker(kernel: Kernel):
    write(kernel, "larder.py", "food = 'leek'")
    kernel.run_ok(
        "import burrow, time\nburrow.init(num_cpus=2)\n@burrow.remote\ndef look():\n"
        "    import larder, os; time.sleep(0.02); return larder.food, os.getpid()"
    )
    first = "foods, pids = zip(*burrow.get([look.remote() for _ in range(8)])); set(foods)"
    assert kernel.run_ok(first).text == "{'leek'}"

    write(kernel, "larder.py", "food = 'onion'")

    for _ in range(2):
        assert kernel.run_ok(first).text == "{'onion'}"


def test_a_module_that_the_notebook_has_in_an_older_version_is_refused(kernel: Kernel):
    write(kernel, "larder.py", "def food(): return 'leek'")
    kernel.run_ok("%load_ext burrow\nimport burrow, importlib, larder\nfrom larder import food")
    kernel.run_ok("@burrow.remote\ndef look(): return larder.food()")
    kernel.run_ok("@burrow.remote\ndef taste(): return food()")
    kernel.run_ok("@burrow.remote\ndef other(): return 1")
    assert kernel.run_ok("burrow.get([look.remote(), taste.remote()])").text == "['leek', 'leek']"

    write(kernel, "larder.py", "def food(): return 'onion'")

    for name in ("look", "taste"):
        failed = kernel.run(f"burrow.get({name}.remote())")
        assert "larder was edited after this notebook imported it" in failed.traceback
        assert "importlib.reload(larder)" in failed.traceback
    failed = kernel.run("def map_it(_): return food()\nlist(burrow.map(map_it, [1]))")
    assert "map_it uses larder, and larder was edited" in failed.traceback
    assert kernel.run_ok("burrow.get(other.remote())").text == "1"
    kernel.run_ok("importlib.reload(larder); from larder import food")
    assert kernel.run_ok("burrow.get([look.remote(), taste.remote()])").text == "['onion', 'onion']"


def test_values_of_a_module_that_the_notebook_has_in_an_older_version_are_refused(kernel: Kernel):
    write(kernel, "larder.py", "def food(): return 'leek'\nclass Leek: pass")
    kernel.run_ok("%load_ext burrow\nimport burrow, importlib, larder")
    kernel.run_ok(
        "@burrow.remote\ndef eat(*args, how=0): return str(args)\n"
        "@burrow.remote\nclass Cook:\n    def __init__(self, what=0): pass\n"
        "    def cook(self, what): pass\ncook = Cook.remote()"
    )
    calls = {
        "eat.remote(larder.Leek())": "argument 1 of eat",
        "eat.remote(1, [{'deep': larder.Leek()}])": "argument 2 of eat",
        "eat.remote(1, how=larder.food)": "argument how= of eat",
        "eat.remote(1, how=lambda: larder.food())": "argument how= of eat",
        "burrow.put([larder.Leek])": "the value given to put()",
        "Cook.remote(larder.Leek())": "argument 1 of Cook()",
        "cook.cook.remote(larder.Leek())": "argument 1 of Cook.cook",
    }
    kernel.run_ok("\n".join(calls))

    write(kernel, "larder.py", "def food(): return 'onion'\nclass Leek: pass")

    for call, named in calls.items():
        said = f"{named} uses larder, and larder was edited after"
        assert said in kernel.run(call).traceback, call
    assert kernel.run_ok("burrow.get(eat.remote({'larder': 1}))").text == "\"({'larder': 1},)\""
    kernel.run_ok("importlib.reload(larder)\n" + "\n".join(calls))


def test_a_module_within_a_module_is_no_exception(kernel: Kernel):
    write(kernel, "cellar.py", "def food(): return 'leek'")
    write(kernel, "larder.py", "from cellar import food\ndef meal(): return food()")
    write(kernel, "menu.py", "import larder\ndef dish(): return larder.meal()")
    kernel.run_ok("%load_ext burrow\nimport burrow, menu")
    kernel.run_ok("@burrow.remote\ndef look(): return menu.dish()")
    assert kernel.run_ok("burrow.get(look.remote())").text == "'leek'"

    write(kernel, "cellar.py", "def food(): return 'onion'")

    failed = kernel.run("burrow.get(look.remote())")
    assert "look uses menu, which uses cellar, and cellar was edited" in failed.traceback


def test_autoreload_reaches_the_workers(kernel: Kernel):
    write(kernel, "larder.py", "def food(): return 'leek'")
    kernel.run_ok("%load_ext burrow\n%load_ext autoreload\n%autoreload 2\nimport burrow, larder")
    kernel.run_ok("@burrow.remote\ndef look(): return larder.food()")
    assert kernel.run_ok("burrow.get([look.remote() for _ in range(6)])").text == str(["leek"] * 6)

    write(kernel, "larder.py", "def food(): return 'onion'")

    assert kernel.run_ok("burrow.get([look.remote() for _ in range(6)])").text == str(["onion"] * 6)


def test_workers_follow_directory_path_and_environment(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef here(): return os.path.basename(os.getcwd()), "
        "os.environ.get('SAUCE'), sys.path[-1], os.environ.get('HOME') is None\n"
        "@burrow.remote\nclass Here:\n    def look(self): return os.environ.get('SAUCE')"
    )
    cells.run_ok(
        "home, start = os.environ['HOME'], os.getcwd(); before = burrow.get(here.remote())"
    )
    cells.run_ok(
        "os.makedirs('cellar', exist_ok=True); os.chdir('cellar'); sys.path.append('/larder')\n"
        "os.environ['SAUCE'] = 'brown'; del os.environ['HOME']"
    )
    try:
        run = cells.run_ok("set(burrow.get([here.remote() for _ in range(6)]))")
        assert run.text == "{('cellar', 'brown', '/larder', True)}"
        assert cells.run_ok("burrow.get(Here.remote().look.remote())").text == "'brown'"
    finally:
        cells.run_ok(
            "os.chdir(start); sys.path.remove('/larder'); os.environ['HOME'] = home\n"
            "del os.environ['SAUCE']"
        )

    assert cells.run_ok("burrow.get(here.remote()) == before").text == "True"


def test_what_a_task_changes_of_its_surroundings_does_not_hold_in_the_next_cell(cells: Kernel):
    cells.run_ok(
        "@burrow.remote\ndef stray(i):\n    os.chdir('/'); sys.path.insert(0, '/stray')\n"
        "    os.environ['STRAY'] = 'yes'; os.environ.pop('HOME', None)\n"
        "@burrow.remote\ndef here(i):\n"
        "    return os.getcwd(), sys.path[0] == '/stray', os.environ.get('STRAY'), os.environ['HOME']\n"
        "@burrow.remote\nclass Stray:\n    def go(self): os.chdir('/')\n"
        "    def look(self): return os.getcwd()\nown = Stray.remote()"
    )

    cells.run_ok("burrow.get([*(stray.remote(i) for i in range(8)), own.go.remote()])")

    assert (
        cells.run_ok(
            "set(burrow.get([here.remote(i) for i in range(20)])) == "
            "{(os.getcwd(), False, None, os.environ['HOME'])}"
        ).text
        == "True"
    )
    assert cells.run_ok("burrow.get(own.look.remote())").text == "'/'"


def test_what_a_cell_for_all_workers_sets_stays(cells: Kernel):
    cells.run_ok("@burrow.remote\ndef stray(i): os.environ['SALT'] = 'none'")
    cells.run_ok("%%burrow --all\nimport os\nos.environ['SALT'] = 'fine'")

    cells.run_ok("burrow.get([stray.remote(i) for i in range(8)])")

    salted = "set(burrow.get([salt.remote(i) for i in range(8)]))"
    cells.run_ok("@burrow.remote\ndef salt(i): return os.environ.get('SALT')")
    assert cells.run_ok(salted).text == "{'fine'}"
    cells.run_ok("%%burrow --all\nimport os\ndel os.environ['SALT']")
    assert cells.run_ok(salted).text == "{None}"


def test_what_was_asked_for_the_task_itself_comes_first(cells: Kernel):
    cells.run_ok("@burrow.remote\ndef sauce(): return os.environ.get('SAUCE')")
    cells.run_ok("os.environ['SAUCE'] = 'brown'")

    run = cells.run_ok(
        "own = sauce.options(runtime_env={'env_vars': {'SAUCE': 'green'}})\n"
        "burrow.get([own.remote(), sauce.remote()])"
    )

    assert run.text == "['green', 'brown']"
    cells.run_ok("del os.environ['SAUCE']")


def test_large_captures_are_named_in_one_line_and_shared(cells: Kernel):
    cells.run_ok(
        "import numpy as np\ntable = np.ones(1_000_000)\ndef total(): return table.sum()\n"
        "@burrow.remote\ndef use(): return total(), table.flags.owndata"
    )
    run = cells.run_ok("burrow.get([use.remote() for _ in range(4)])")

    assert run.text == str([(1000000.0, False)] * 4) or "1000000.0), False)" in run.text
    assert re.fullmatch(
        r"Cell In\[\d+\]:1: UserWarning: use is 8 MB when pickled: it captures table "
        r"\(8 MB, used in Cell In\[\d+\]\)\. Store that once with put\(\) [^\n]*\n",
        run.stderr,
    ), run.stderr
    again = cells.run_ok("burrow.get(use.remote())")
    assert "captures" not in again.stderr


SHELF = """
import re, numpy as np
shelf = np.ones(2_000_000)
def step(): return 0
@burrow.remote
def left(): return step() + shelf[0]
@burrow.remote
def right(): return step() + shelf[1]
def captured():
    return [row for row in burrow.objects() if row["captured_by"] and row["size_bytes"] > 15e6]
def maps_of(pid):
    try:
        with open(f"/proc/{pid}/maps") as maps: return maps.read().split("\\n")
    except (FileNotFoundError, ProcessLookupError): return []  # a worker that has ended since
def mapped():
    maps = [maps_of(row["pid"]) for row in burrow.workers()]
    of_ours = [line.split()[0].split("-") for lines in maps for line in lines if re.search(r"/c[0-9]+-[0-9]+", line)]
    return any(int(end, 16) - int(start, 16) > 15e6 for start, end in of_ours)
"""


def test_a_captured_array_is_stored_and_told_of_once_and_goes_with_its_last_function(cells: Kernel):
    number = cells.run_ok(SHELF).reply["content"]["execution_count"]
    told = []
    for edit in range(4):
        cells.run_ok(f"def step(): return {edit}")
        run = cells.run_ok("[float(x) for x in burrow.get([left.remote(), right.remote()])]")
        assert run.text == str([edit + 1.0] * 2)
        told.append(run.stderr.count("captures shelf"))
    assert told == [1, 0, 0, 0]
    rows = "[(row['size_bytes'] // 10**6, row['captured_by'], row['run']) for row in captured()]"
    assert cells.run_ok(rows).text == f"[(16, ['left', 'right'], 'In[{number + 2}]')]"
    assert "captured by left, right" in cells.run_ok("%burrow mem").stdout
    name = cells.run_ok("print(captured()[0]['id'], end='')").stdout
    assert "is captured by left and right" in cells.run_ok(f"%burrow free {name}").stdout

    cells.run_ok(
        "del right, shelf\n@burrow.remote\ndef left(): return 5\nburrow.get(left.remote())"
    )

    wait_until(lambda: cells.run_ok("captured()").text == "[]", 10, "the end of the array")
    wait_until(lambda: cells.run_ok("mapped()").text == "False", 10, "the end of its mappings")


def test_calls_and_actors_keep_the_definition_that_they_were_made_of(cells: Kernel, tmp_path: Path):
    cells.run_ok(
        "import os\n"
        "@burrow.remote\ndef wait(path):\n    while not os.path.exists(path): time.sleep(0.005)\n"
        "    return 'old'\n"
        "@burrow.remote(num_cpus=0, max_restarts=1, max_task_retries=1)\n"
        "class Vase:\n    def says(self): return 'old', os.getpid()\n"
        f"vase = Vase.remote(); before = burrow.get(vase.says.remote())\n"
        f"waiting = [wait.remote({str(tmp_path / 'gate')!r}) for _ in range(6)]"
    )

    cells.run_ok(
        "@burrow.remote\ndef wait(path): return 'new'\n"
        "@burrow.remote(num_cpus=0)\nclass Vase:\n    def says(self): return 'new', os.getpid()\n"
        "burrow.get(Vase.remote().says.remote())[0]"
    )
    cells.run_ok("os.kill(before[1], 9)")

    (tmp_path / "gate").touch()
    assert cells.run_ok("burrow.get(waiting)").text == str(["old"] * 6)
    after = cells.run_ok("after = burrow.get(vase.says.remote()); after[0], after[1] != before[1]")
    assert after.text == "('old', True)"
    assert cells.run_ok("burrow.get(wait.remote(''))").text == "'new'"


def test_a_cell_that_is_run_again_does_not_store_anew_what_it_captures(cells: Kernel):
    cells.run_ok(SHELF)
    cell = SHELF.partition("def step")[2].partition("def captured")[0]
    cell = f"def step{cell}burrow.get([left.remote(), right.remote()])\ncaptured()[0]['id']"
    first = cells.run_ok(cell)

    again = [cells.run_ok(cell) for _ in range(3)]

    assert {run.text for run in again} == {first.text}
    assert "captures" in first.stderr
    assert not any("captures" in run.stderr for run in again)
    assert cells.run_ok("len(captured())").text == "1"
    cells.run_ok("del left, right")


POT = """
@burrow.remote
class Pot:
    def __init__(self): self.litres = 1
    def fill(self):
        self.litres += {more}
        return self.litres
"""


def test_an_actor_of_an_older_definition_says_so_until_it_is_moved(cells: Kernel):
    first = cells.run_ok(POT.format(more=1) + "pot = Pot.remote(); burrow.get(pot.fill.remote())")
    number = first.reply["content"]["execution_count"]

    assert "older" not in cells.run_ok("pot").displays[0]["text/plain"]
    cells.run_ok("# another comment" + POT.format(more=1))
    assert "older" not in cells.run_ok("pot").displays[0]["text/plain"]  # it says the same
    cells.run_ok(POT.format(more=10))
    assert f"older definition (In[{number}])" in cells.run_ok("pot").displays[0]["text/plain"]
    assert cells.run_ok("burrow.get(pot.fill.remote())").text == "3"

    assert cells.run_ok("burrow.get([pot.upgrade(), pot.fill.remote()])").text == "[None, 13]"
    assert "older" not in cells.run_ok("pot").displays[0]["text/plain"]


def test_a_live_view_of_an_actor_hears_of_a_newer_definition(cells: Kernel):
    cells.run_ok(POT.format(more=2) + "pan = Pot.remote(); burrow.get(pan.fill.remote())")
    run = cells.run_ok("pan")

    cells.run_ok(POT.format(more=3))

    wait_until(lambda: "older definition" in run.displays[0]["text/html"], 10, "the mark")


def test_helpers_that_remember_their_results_come_along(workshop: Kernel):
    workshop.run_ok("""
import functools
factor = 2
@functools.lru_cache(maxsize=10)
def scaled(x): return factor * x
class Scale:
    @functools.cache
    def of(self, x): return factor * x
@burrow.remote
def both(x): return scaled(x), Scale().of(x), scaled.cache_parameters()["maxsize"]
""")
    before = workshop.run_ok("burrow.get(both.remote(5))")

    workshop.run_ok("factor = 3")

    assert before.text == "(10, 10, 10)"
    assert workshop.run_ok("burrow.get(both.remote(5))").text == "(15, 15, 10)"


PANTRY = """
@burrow.remote
class Shelf:
    def __init__(self): self.looks = 0
    {kind} look(self):
        self.looks += 1
        return larder.meal(), self.looks
shelf = Shelf.options({options}).remote()
"""


def shows_older(kernel: Kernel) -> bool:
    return "older definition" in kernel.run_ok("shelf").displays[0]["text/plain"]


@pytest.mark.parametrize(
    ("kind", "options"), [("def", ""), ("def", "max_concurrency=2"), ("async def", "")]
)
def test_an_actor_with_an_older_module_says_so_until_it_is_moved(
    kernel: Kernel, kind: str, options: str
):
    write(kernel, "cellar.py", "def food(): return 'leek'")
    write(kernel, "larder.py", "from cellar import food\ndef meal(): return food()")
    kernel.run_ok("%load_ext burrow\nimport burrow, importlib, cellar, larder")
    kernel.run_ok(PANTRY.format(kind=kind, options=options))
    assert kernel.run_ok("burrow.get(shelf.look.remote())").text == "('leek', 1)"
    assert not shows_older(kernel)

    write(kernel, "cellar.py", "def food(): return 'onion'")
    kernel.run_ok("importlib.reload(cellar), importlib.reload(larder)")

    assert kernel.run_ok("burrow.get(shelf.look.remote())").text == "('leek', 2)"
    assert shows_older(kernel)
    kernel.run_ok("burrow.get(shelf.upgrade())")  # a call that is made now may run beside it
    assert kernel.run_ok("burrow.get(shelf.look.remote())").text == "('onion', 3)"
    assert not shows_older(kernel)


def test_an_actor_says_that_its_module_is_older_before_it_is_called(kernel: Kernel):
    write(kernel, "larder.py", "def meal(): return 'leek'")
    kernel.run_ok("%load_ext burrow\nimport burrow, larder\n@burrow.remote\ndef other(): pass")
    kernel.run_ok("%load_ext autoreload\n%autoreload 2")
    kernel.run_ok(PANTRY.format(kind="def", options=""))
    kernel.run_ok("burrow.get(shelf.look.remote())")

    write(kernel, "larder.py", "def meal(): return 'onion'")
    kernel.run_ok("burrow.get(other.remote())")

    wait_until(lambda: shows_older(kernel), 10, "the mark")


def test_an_actor_whose_module_cannot_be_reloaded_says_so_and_can_be_moved_later(kernel: Kernel):
    write(kernel, "larder.py", "def meal(): return 'leek'")
    kernel.run_ok("%load_ext burrow\nimport burrow, importlib, os, larder")
    kernel.run_ok(PANTRY.format(kind="def", options=""))
    kernel.run_ok("burrow.get(shelf.look.remote())")
    write(
        kernel,
        "larder.py",
        "import os\nif os.path.exists('spoilt'): raise OSError('spoilt')\n"
        "def meal(): return 'onion'",
    )
    kernel.run_ok("importlib.reload(larder); open('spoilt', 'w').close()")

    failed = kernel.run("burrow.get(shelf.upgrade())")

    assert "the module larder cannot be reloaded here (OSError: spoilt)" in failed.traceback
    assert kernel.run_ok("burrow.get(shelf.look.remote())").text == "('leek', 2)"
    assert shows_older(kernel)
    kernel.run_ok("os.remove('spoilt'); burrow.get(shelf.upgrade())")
    assert kernel.run_ok("burrow.get(shelf.look.remote())").text == "('onion', 3)"
    assert not shows_older(kernel)


SLOTTED = """
import abc, dataclasses, enum
from typing import Generic, NamedTuple, TypeVar
T = TypeVar("T")
class Plain:
    __slots__ = ("x", "__hidden")
    def __init__(self, x): self.x = self.__hidden = x
    def hidden(self): return self.__hidden
class Child(Plain):
    __slots__ = "y"
@dataclasses.dataclass(slots=True)
class Data:
    x: int
    y: int = 2
@dataclasses.dataclass(slots=True, frozen=True)
class Frozen:
    x: int
@dataclasses.dataclass(slots=True, weakref_slot=True)
class Weak:
    x: int
class Box(Generic[T]):
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
class Base(abc.ABC):
    __slots__ = ()
    @abc.abstractmethod
    def get(self): ...
class Made(Base):
    __slots__ = {"x": "documented"}
    def __init__(self, x): self.x = x
    def get(self): return self.x
class Pair(NamedTuple):
    x: int
class Level(enum.IntEnum):
    LOW = 1
    @property
    def x(self): return self.value
kinds = [Plain, Child, Data, Frozen, Weak, Box, Made, Pair, Level]
@burrow.remote
def back(thing): return thing, hasattr(thing, "__dict__"), thing.x
@burrow.remote
def make(kind): return kind(1)
"""


def test_instances_of_classes_with_slots_come_back_and_have_only_these(cells: Kernel):
    cells.run_ok(SLOTTED)

    for things in ("[kind(1) for kind in kinds]", "burrow.get([make.remote(k) for k in kinds])"):
        run = cells.run_ok(
            f"things = {things}; news = burrow.get([back.remote(thing) for thing in things])\n"
            "for old, (new, has_dict, x) in zip(things, news, strict=True):\n"
            "    assert type(new) is type(old) and new.x == x == 1, new\n"
            "    assert has_dict == hasattr(old, '__dict__'), (new, has_dict)\n"
            "assert news[0][0].hidden() == 1\n"
            "[type(thing).__name__ for thing in things if hasattr(thing, '__dict__')]"
        )
        assert run.text == "['Level']"


def test_an_instance_that_a_task_returns_leaves_its_class_as_the_notebook_has_it(workshop: Kernel):
    workshop.run_ok("""
spice = "salt"
class Jar:
    size = 1
    def look(self): return spice
@burrow.remote
def fill(): return Jar()
""")
    workshop.run_ok("jars = [fill.remote()]; burrow.wait(jars)")

    workshop.run_ok("Jar.size = 2; spice = 'dill'")

    shown = workshop.run_ok("jar = burrow.get(jars[0]); type(jar) is Jar, jar.size, jar.look()")
    assert shown.text == "(True, 2, 'dill')"
    assert workshop.run_ok("Jar().look()").text == "'dill'"
