"""What a task raises becomes a failure: bounded text of the user's frames, and the exception."""

from __future__ import annotations

import asyncio
import functools
import linecache
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import cloudpickle
import msgspec
import pytest

from burrow_jupyter.core.failures import Failure, UserError
from burrow_jupyter.core.limits import ERROR_TEXT_MAX_CHARS
from burrow_jupyter.engine import errors, sources

TASK = (3 << 40) + 128


def captured(function, **more):
    try:
        function()
    except BaseException as error:  # noqa: BLE001  # as a worker does
        return errors.capture(error, function=function.__name__, task_id=TASK, **more)
    raise AssertionError("it should have raised")


def raised(error, **more):
    def task():
        raise error

    return captured(task, **more)


class KeywordOnly(ValueError):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Prefixing(ValueError):
    """Its args are not what it was called with: calling it again would change the message."""

    def __init__(self, path):
        super().__init__(f"cannot read {path}")
        self.path = path


class OddOSError(OSError):
    def __init__(self, host, port):
        super().__init__(111, f"refused by {host}")
        self.port = port


class Slotted(Exception):
    __slots__ = ("field",)

    def __init__(self, field):
        self.field = field


class ReadOnlyArgs(Exception):
    @property
    def args(self):
        return ("mine",)


class Reducing(Exception):
    def __init__(self, left, right):
        super().__init__(left + right)
        self.both = (left, right)

    def __reduce__(self):
        return self.rebuild, self.both

    @classmethod
    def rebuild(cls, left, right):
        error = cls(left, right)
        error.how = "its own way"
        return error


class LyingReduce(ValueError):
    def __reduce__(self):
        return KeywordOnly, (1, 2)


class Counted(Exception):
    made = 0

    def __init__(self, text):
        super().__init__(text)
        Counted.made += 1


class BadStr(Exception):
    def __str__(self):
        raise RuntimeError("no text today")


class BadRepr:
    def __repr__(self):
        raise RuntimeError("no repr today")


# ---- text ----------------------------------------------------------------------------


def test_text_ends_with_the_message_and_shows_the_source_line():
    def task():
        raise ValueError("the very end")

    failure = captured(task)

    lines = failure.traceback.splitlines()
    assert lines[-1] == "ValueError: the very end"
    assert lines[-2].strip() == 'raise ValueError("the very end")'
    assert lines[-3].endswith("in task")


def test_failure_says_who_failed():
    failure = raised(KeyError("k"), actor_id=9, actor_repr="<A>", attempt=4)

    assert failure.type_name == "KeyError"
    assert failure.message == "'k'"
    assert failure.function == "task"
    assert (failure.pid, failure.task_id, failure.actor_id) == (os.getpid(), TASK, 9)
    assert (failure.actor_repr, failure.attempt) == ("<A>", 4)


def test_failure_travels_as_a_message():
    failure = raised(KeywordOnly(code=3))

    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(failure), type=Failure)

    assert decoded == failure


def make_function(module, source, filename=None):
    names = {"__name__": module}
    text = textwrap.dedent(source)
    filename = filename or f"/src/{module}.py"
    exec(compile(text, filename, "exec"), names)
    return names


def test_our_frames_are_left_out_wherever_they_are():
    inner = make_function("burrow_jupyter.engine.deep", "def get():\n    raise ValueError('x')")

    def task():
        inner["get"]()

    outer = make_function("burrow_jupyter.engine.worker", "def run(f):\n    f()")
    failure = captured(lambda: outer["run"](task))

    assert "in task" in failure.traceback
    assert "burrow_jupyter" not in failure.traceback


def test_a_module_whose_name_only_begins_like_ours_is_the_users():
    theirs = make_function("burrowing", "def dig():\n    raise ValueError('x')")

    assert "in dig" in captured(theirs["dig"]).traceback


def frames_of(call):
    """Return the names of the frames shown of what `call` raises, without this function's."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001  # as a worker does
        return [frame.name for frame in errors.user_frames(error.__traceback__.tb_next)]
    raise AssertionError("it should have raised")


def test_machinery_at_the_outer_end_is_left_out():
    async def task():
        raise ValueError("x")

    worker = make_function("burrow_jupyter.w", "def run(run, what): run(what)")
    call = functools.partial(worker["run"], asyncio.run)

    assert frames_of(functools.partial(call, task())) == ["task"]


def test_inner_frames_of_libraries_are_kept():
    def task():
        asyncio.run("no coroutine")

    assert frames_of(task)[:2] == ["task", "run"]


def test_unpickling_frames_are_left_out():
    class Explosive:
        def __reduce__(self):
            return exec, ("raise ValueError('in the pickle')",)

    failure = captured(lambda: cloudpickle.loads(cloudpickle.dumps(Explosive())))

    assert failure.message == "in the pickle"
    assert f"cloudpickle{os.sep}" not in failure.traceback


def test_cell_lines_are_shown_under_the_name_of_the_cell():
    filename = "/tmp/ipykernel_77/1234.py"
    source = "def f():\n    raise ValueError('in a cell')\n"
    try:
        sources.register(filename, source, "Cell In[3]")
        failure = captured(make_function("__main__", source, filename)["f"])
    finally:
        linecache.cache.pop(filename)
        sources.labels.pop(filename)

    assert "  Cell In[3], line 2, in f\n    raise ValueError('in a cell')\n" in failure.traceback
    assert "ipykernel" not in failure.traceback


def test_registered_source_survives_a_check_of_the_line_cache():
    filename = "/tmp/ipykernel_77/99.py"
    try:
        sources.register(filename, "one\ntwo\n")
        linecache.checkcache()
        line = linecache.getline(filename, 2)
    finally:
        linecache.cache.pop(filename, None)

    assert line == "two\n"


@pytest.mark.parametrize(
    ("filename", "label"),
    [
        ("<ipython-input-12-abc>", "Cell In[12]"),
        ("/tmp/ipykernel_1/2.py", "Cell"),
        ("/src/lib.py", ""),
    ],
)
def test_files_of_cells_are_known_without_being_registered(filename, label):
    assert errors.label_of(filename) == label


def test_causes_come_before_what_they_caused():
    def task():
        try:
            {}["first"]
        except KeyError as error:
            raise ValueError("last") from error

    text = captured(task).traceback

    assert text.index("KeyError: 'first'") < text.index("direct cause") < text.index("ValueError")
    assert text.endswith("ValueError: last")


def test_context_is_shown_unless_it_was_suppressed():
    def shown():
        try:
            {}["first"]
        except KeyError:
            raise ValueError("last")  # noqa: B904  # an implicit context is what is tested

    def hidden():
        try:
            {}["first"]
        except KeyError:
            raise ValueError("last") from None

    assert "During handling" in captured(shown).traceback
    assert "first" not in captured(hidden).traceback


def test_notes_are_shown():
    error = ValueError("x")
    error.add_note("look at line 7")

    assert raised(error).traceback.endswith("ValueError: x\nlook at line 7")


def test_a_group_shows_its_members():
    text = raised(ExceptionGroup("many", [ValueError("a"), KeyError("b")])).traceback

    assert "many (2 sub-exceptions)" in text
    assert "ValueError: a" in text
    assert "KeyError: 'b'" in text


def test_a_circle_of_causes_ends():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first

    failure = raised(first)

    assert failure.traceback.endswith("ValueError: first")
    assert failure.traceback.count("second") == 1
    assert failure.traceback.count("direct cause") == 1
    loaded = errors.load_error(failure.pickled)
    assert loaded.__cause__.__cause__ is loaded


def test_a_text_that_raises_is_replaced():
    failure = raised(BadStr())

    assert failure.message == "<its __str__ raised RuntimeError>"
    assert type(errors.load_error(failure.pickled)) is BadStr


def test_an_argument_whose_repr_raises_is_no_problem():
    failure = raised(ValueError(threading.Lock(), BadRepr()))

    assert "RuntimeError" in failure.message or "no repr today" in failure.message
    assert type(errors.load_error(failure.pickled)) is ValueError


def test_a_huge_message_is_cut_in_the_middle():
    failure = raised(ValueError("begin" + "x" * 50_000_000 + "end"))

    assert len(failure.traceback) <= ERROR_TEXT_MAX_CHARS
    assert len(failure.message) <= ERROR_TEXT_MAX_CHARS
    assert "characters left out" in failure.message
    assert failure.message.startswith("begin")
    assert failure.traceback.endswith("end")
    assert len(failure.pickled) <= errors.EXCEPTION_MAX_BYTES


def test_a_deep_recursion_is_shown_in_few_lines():
    def down(n):
        return down(n - 1) if n else 1 / 0

    def ping(n):
        return pong(n - 1) if n else 1 / 0

    def pong(n):
        return ping(n - 1) if n else 1 / 0

    assert len(captured(lambda: down(300)).traceback.splitlines()) < 20
    assert len(captured(lambda: ping(300)).traceback.splitlines()) < 2 * errors.FRAMES_MAX + 10


def test_a_thousand_causes_are_shown_bounded():
    error = ValueError("0")
    for number in range(3000):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following

    failure = raised(error)

    assert failure.traceback.endswith("ValueError: 2999")
    assert failure.traceback.count("direct cause") <= errors.CHAIN_MAX
    assert type(errors.load_error(failure.pickled)) is ValueError


def test_syntax_errors_point_at_the_mistake():
    failure = captured(lambda: compile("a b", "cell", "exec"))

    assert "    a b\n" in failure.traceback
    assert failure.traceback.endswith("SyntaxError: invalid syntax")


# ---- the exception itself ------------------------------------------------------------


def sent(error):
    """Return the exception as it arrives."""
    failure = raised(error)
    loaded = errors.load_error(failure.pickled)
    assert loaded is not None
    assert loaded is not error
    return loaded


def test_keyword_only_arguments_do_not_matter():
    loaded = sent(KeywordOnly(code=7))

    assert type(loaded) is KeywordOnly
    assert (loaded.code, loaded.args, str(loaded)) == (7, ("code 7",), "code 7")


def test_the_message_is_not_made_a_second_time():
    assert str(sent(Prefixing("/a"))) == "cannot read /a"


def test_init_is_not_run_a_second_time():
    error = Counted("x")
    before = Counted.made

    sent(error)

    assert Counted.made == before


def test_an_os_error_with_its_own_init_keeps_its_fields():
    loaded = sent(OddOSError("h", 80))

    assert (loaded.errno, loaded.strerror, loaded.port) == (111, "refused by h", 80)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (FileNotFoundError(2, "gone", "a.txt"), {"errno": 2, "filename": "a.txt"}),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), {"start": 0, "reason": "bad"}),
        (ModuleNotFoundError("no", name="m", path="p"), {"name": "m", "path": "p"}),
        (SyntaxError("bad", ("f", 1, 2, "a b")), {"lineno": 1, "text": "a b"}),
        (StopIteration(5), {"value": 5}),
    ],
)
def test_builtin_exceptions_keep_their_fields(error, fields):
    loaded = sent(error)

    assert type(loaded) is type(error)
    assert {name: getattr(loaded, name) for name in fields} == fields


def test_slots_are_kept():
    assert sent(Slotted("s")).field == "s"


def test_read_only_args_do_not_matter():
    assert type(sent(ReadOnlyArgs("x"))) is ReadOnlyArgs


def test_the_users_own_way_of_pickling_is_kept():
    loaded = sent(Reducing("a", "b"))

    assert (loaded.both, loaded.how) == (("a", "b"), "its own way")


def test_an_own_way_of_pickling_that_does_not_work_is_passed_over():
    loaded = sent(LyingReduce("x"))

    assert (type(loaded), loaded.args) == (LyingReduce, ("x",))


def test_what_cannot_be_pickled_becomes_its_repr():
    error = KeywordOnly(code=1)
    error.lock = threading.Lock()
    error.args = (threading.Lock(), "fine")
    error.good = [1, 2]

    loaded = sent(error)

    assert type(loaded) is KeywordOnly
    assert loaded.good == [1, 2]
    assert loaded.lock.startswith("<unlocked _thread.lock")
    assert loaded.args[0].startswith("<unlocked _thread.lock")
    assert loaded.args[1] == "fine"


def test_what_pickles_but_does_not_unpickle_becomes_its_repr():
    class OneWay:
        def __reduce__(self):
            return int, ("not a number",)

    error = ValueError("x")
    error.value = OneWay()

    assert "OneWay" in sent(error).value


def test_an_exception_that_holds_itself_arrives():
    error = ValueError("x")
    error.me = error
    error.lock = threading.Lock()
    error.good = 3

    loaded = sent(error)

    assert type(loaded) is ValueError
    assert loaded.good == 3


def test_a_large_attribute_is_left_behind_and_the_rest_arrives():
    error = KeywordOnly(code=3)
    error.data = bytes(5_000_000)
    error.rows = [[bytes(1000), number] for number in range(5000)]

    loaded = sent(error)

    assert loaded.code == 3
    assert len(loaded.data) < 1000
    assert isinstance(loaded.rows, str)


def test_a_class_that_cannot_be_pickled_arrives_as_its_base():
    class Holding(KeyError):
        lock = threading.Lock()

    failure = raised(Holding("k"))
    loaded = errors.load_error(failure.pickled)

    assert failure.type_name == "Holding"
    assert type(loaded) is KeyError
    assert loaded.args == ("k",)


def test_causes_and_notes_arrive_with_the_exception():
    error = ValueError("x")
    error.__cause__ = KeywordOnly(code=2)
    error.__cause__.__context__ = KeyError("deep")
    error.add_note("a note")

    loaded = sent(error)

    assert loaded.__cause__.code == 2
    assert loaded.__cause__.__context__.args == ("deep",)
    assert loaded.__suppress_context__
    assert loaded.__notes__ == ["a note"]


def test_members_of_a_group_arrive_whatever_they_are():
    holding = Prefixing("p")
    holding.lock = threading.Lock()
    group = ExceptionGroup("g", [KeywordOnly(code=1), holding, ExceptionGroup("i", [KeyError()])])

    loaded = sent(group)

    assert [type(e) for e in loaded.exceptions] == [KeywordOnly, Prefixing, ExceptionGroup]
    assert loaded.exceptions[1].path == "p"
    assert loaded.message == "g"


def test_a_reference_that_nobody_can_load_gives_none():
    assert errors.load_error(b"") is None
    assert errors.load_error(b"rubbish") is None
    assert errors.load_error(pickle.dumps(3)) is None


def test_a_task_error_that_was_not_caught_keeps_the_first_exception():
    inner = raised(KeywordOnly(code=5))
    arrived = RuntimeError("burrow::inner() (pid=1)\nKeywordOnly: code 5")
    vars(arrived).update({errors.FAILURE: inner, errors.CAUSE: errors.load_error(inner.pickled)})

    def outer():
        raise arrived

    failure = captured(outer)

    assert isinstance(failure, UserError)
    assert (failure.type_name, failure.message) == ("KeywordOnly", "code 5")
    assert failure.pickled == inner.pickled
    assert "in outer" in failure.traceback
    assert failure.traceback.endswith("burrow::inner() (pid=1)\nKeywordOnly: code 5")


# ---- classes of a notebook or script -------------------------------------------------

WORKER = """
import pickle, sys
import msgspec
from burrow_jupyter.engine import errors, sources

task = pickle.loads(sys.stdin.buffer.read())
try:
    task()
except BaseException as error:
    failure = errors.capture(error, function="task", task_id=64)
sys.stdout.buffer.write(msgspec.msgpack.encode(failure))
"""

DRIVER = f"""
import subprocess, sys
import cloudpickle, msgspec
from burrow_jupyter.core.failures import Failure
from burrow_jupyter.engine import errors, sources

class Mine(Exception):
    made = []
    def __init__(self, *, code):
        self.code = code
        self.made.append(code)
    def told(self):
        return TEXT

def task():
    raise Mine(code=8)

TEXT = "before"
done = subprocess.run(
    [sys.executable, "-c", {WORKER!r}], input=cloudpickle.dumps(task), stdout=-1, check=True
)
TEXT = "after"
method, made = Mine.told, Mine.made
failure = msgspec.msgpack.decode(done.stdout, type=Failure)
error = errors.load_error(failure.pickled)
print(type(error) is Mine, error.code, Mine.told is method, Mine.made is made, error.told())
del task
"""


def test_a_class_of_the_main_module_is_met_again_as_it_is(tmp_path, root):
    script = tmp_path / "script.py"
    script.write_text(DRIVER)

    ran = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stdout.split() == ["True", "8", "True", "True", "after"], ran.stderr
