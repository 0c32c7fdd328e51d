"""IPython in a terminal: text instead of HTML, and the prompt stays readable."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from helpers.wait import wait_until

SETUP = (
    "%load_ext burrow",
    "import burrow, os, threading, time",
    "cook = burrow.remote(lambda dish: print('cooking', dish) or f'hot {dish}')",
    "fail = burrow.remote(lambda: 1 / 0)",
    (
        "wait_for = burrow.remote(lambda door: print('at the', door) or [None for _ in"
        " iter(lambda: os.path.exists(door), True) if time.sleep(0.005)] or print('open') or door)"
    ),
    "Pan = burrow.remote(type('Pan', (), {'heat': lambda self: 90}))",
)


class Terminal:
    """IPython on a pty, spoken to as by keyboard."""

    def __init__(self, folder: Path, *options: str, end_of_line: str = "\n") -> None:
        self.number = 0
        self.end_of_line = end_of_line
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", "--no-banner", "--colors=nocolor", *options],
            cwd=str(folder),
            encoding="utf-8",
            timeout=30,
            dimensions=(50, 160),
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
            # Whoever started the tests may have had hang-ups ignored, which is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        self.shown()

    def shown(self) -> str:
        """Wait for the next prompt; return what came before it."""
        self.number += 1
        self.child.expect(rf"In \[{self.number}\]: ?")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", str(self.child.before))

    def type(self, text: str) -> None:
        """Enter a line, without waiting for its end."""
        self.child.send(text + self.end_of_line)

    def run(self, text: str) -> str:
        """Enter a line and wait for the next prompt; return what it shows."""
        self.type(text)
        return self.shown()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal with Burrow loaded and a few definitions made."""
    opened = Terminal(tmp_path, "--simple-prompt")
    for line in SETUP:
        assert "Traceback" not in opened.run(line)
    yield opened
    opened.type("exit")
    opened.child.expect(pexpect.EOF)
    opened.child.close()
    assert opened.child.exitstatus == 0


def test_prints_results_and_states_are_text(terminal: Terminal):
    shown = terminal.run("burrow.get(cook.remote('soup'))")
    assert "cooking soup\n" in shown
    assert shown.endswith("'hot soup'\n\n")

    terminal.run("done = cook.remote('pie'); burrow.wait([done])")
    assert "<lambda>: finished in" in terminal.run("done")
    assert "2 of 2 done" in terminal.run("[done, done]")
    assert re.search(r"Out\[\d+\]: \(1, ObjectRef\([\d.]+\)\)", terminal.run("(1, done)"))
    assert "['plain', 'list']" in terminal.run("['plain', 'list']")
    terminal.run("pan = Pan.remote(); burrow.get(pan.heat.remote())")
    assert "Pan: idle · 1 call done" in terminal.run("pan")
    status = terminal.run("%burrow")
    assert "Burrow runs:" in status
    assert "<div" not in status


def test_a_line_that_comes_behind_the_prompt_has_a_line_of_its_own(
    terminal: Terminal, tmp_path: Path
):
    terminal.run("late = wait_for.remote('door')")
    (tmp_path / "door").touch()

    terminal.child.expect("\r\nopen\r\n")


def test_a_line_that_comes_while_a_result_is_shown_has_a_line_of_its_own(terminal: Terminal):
    shown = terminal.run("[cook.remote('soup')]")

    assert re.search(r"Out\[\d+\]: \ncooking soup\n\n?<lambda>: 1 of 1 done", shown)


def test_failures_show_the_users_lines(terminal: Terminal):
    shown = terminal.run("burrow.get(fail.remote())")

    assert "fail = burrow.remote(lambda: 1 / 0)" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert "burrow_jupyter" not in shown
    assert "failed after" in terminal.run("fail.remote()")


def test_ctrl_c_ends_the_tasks_of_the_input_and_nothing_else(terminal: Terminal, tmp_path: Path):
    terminal.run("other = wait_for.remote('door')")
    terminal.type("burrow.get(wait_for.remote('never'))")
    terminal.child.expect("at the never\r\n")

    terminal.child.sendintr()

    assert "KeyboardInterrupt" in terminal.shown()
    states = "print(sorted(t['state'] for t in burrow.tasks()))"
    wait_until(lambda: "'cancelled'" in terminal.run(states), 10, "the task to be cancelled")
    (tmp_path / "door").touch()
    assert "'door'" in terminal.run("burrow.get(other)")


def test_a_background_cell_brings_its_names(terminal: Terminal):
    terminal.run("%%burrow\ndish = burrow.get(cook.remote('stew'))\nprint('served')\n\n")

    assert "'hot stew'" in terminal.run("dish")
    assert "Options: --name" in terminal.run("%%burrow --what\npass\n\n")


def test_a_terminal_that_is_closed_leaves_nothing(tmp_path: Path):
    opened = Terminal(tmp_path, "--simple-prompt")
    for line in SETUP:
        opened.run(line)
    opened.type("burrow.get(wait_for.remote('never'))")
    opened.child.expect("at the never\r\n")

    opened.child.close(force=False)  # a hang-up, as when its window goes
