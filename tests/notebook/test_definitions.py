"""A task runs what the notebook says now."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from helpers.wait import wait_until

if TYPE_CHECKING:
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
    assert kernel.run_ok("burrow.get(other.remote())").text == "1"
    kernel.run_ok("importlib.reload(larder); from larder import food")
    assert kernel.run_ok("burrow.get([look.remote(), taste.remote()])").text == "['onion', 'onion']"


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
