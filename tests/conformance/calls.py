"""What the tests submit: functions and classes that workers import, without pytest."""

from __future__ import annotations

import os
from pathlib import Path

import burrow
from helpers.gates import leave_trace, pass_gate


class Mine(Exception):
    """An error of the user's own, with a field."""

    def __init__(self, text, code=0):
        super().__init__(text, code)
        self.code = code


@burrow.remote
def add(a, b=1, *rest, c=0, **more):
    return a + b + sum(rest) + c + sum(more.values())


@burrow.remote
def same(value):
    return value


@burrow.remote
def pid():
    return os.getpid()


@burrow.remote
def fail(text="burnt", code=7):
    raise Mine(text, code)


@burrow.remote
def gated(gate, value=None):
    """Returns its value once the file `gate` exists."""
    pass_gate(str(gate))
    return value


@burrow.remote
def traced(trace, value=None):
    """Leaves a file behind, so that one can see that it ran."""
    leave_trace(str(trace))
    return value


@burrow.remote
def crash(code=3):
    os._exit(code)


@burrow.remote
def get_inside(refs):
    """Gets refs in a task."""
    return burrow.get(refs)


@burrow.remote
class Counter:
    """Counts, says who it is, waits, fails, crashes."""

    def __init__(self, start=0):
        self.value = start
        self.kept = None

    def add(self, amount=1):
        self.value += amount
        return self.value

    def get(self):
        return self.value

    def pid(self):
        return os.getpid()

    def keep(self, value):
        self.kept = value

    def kept_value(self):
        return self.kept

    def drop(self):
        self.kept = None

    def gated(self, gate, amount=1):
        pass_gate(str(gate))
        return self.add(amount)

    def traced(self, trace):
        leave_trace(str(trace))

    def fail(self, text="burnt"):
        raise Mine(text, 5)

    def crash(self, code=3):
        os._exit(code)

    def leave(self):
        burrow.exit_actor()


def note(path, line):
    """Appends a line to a file, in one system call."""
    with Path(path).open("a") as file:
        file.write(f"{line}\n")


def lines(path):
    """Returns the lines of a file that may not be there yet."""
    path = Path(path)
    return path.read_text().split() if path.exists() else []
