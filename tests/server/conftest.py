"""A real Jupyter server inside the test, by pytest-jupyter, and burrows that are played.

pytest-jupyter's fixtures are imported here and not loaded as a plugin for all tests: some of them
act on every test that sees them, by making a server application and an event loop of their own.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403 fixtures and hooks, found by their names

from burrow_jupyter.core import feed
from burrow_jupyter.engine import observer, session

KERNEL = "5c0a4f5e-0000-4000-8000-000000000001"
SESSION = "00112233445566ff"


def make_snapshot(seq=1, **changes) -> feed.Snapshot:
    """A small burrow."""
    fields = {
        "seq": seq,
        "at": 1000.0 + seq,
        "burrow": feed.BurrowRow(SESSION, KERNEL, 10, 11, 990.0, "3.11.9", "0.1.0", "running"),
        "machine": feed.MachineRow(20.0, 2.0, "both of the machine", 10**9, 8 * 10**9, 10**8, []),
        "objects": feed.ObjectTotals(3, 100, 1, 10**6, 0, 0, 10**9),
        "resources": [feed.ResourceRow("CPU", 2.0, 1.0)],
        "workers": [feed.WorkerRow("2", 12, "busy", "", "f", "1.2", 10**7, 97.0, 4, 991.0, [])],
        "functions": [feed.FunctionRow("f", 0, 3, 1, 4, 0, 0)],
        "tasks": [],
        "actors": [],
        "runs": [feed.RunRow("1.1", "In[7]", "cell-7", 991.0, 4, 0, 0, 1, 3)],
    }
    return feed.Snapshot(**{**fields, **changes})


class FakeHead:
    """The head of a played burrow, and all observers that are connected to it."""

    def __init__(self, file: session.BurrowFile) -> None:
        self.file = file
        self.model = make_snapshot()
        self.observers: list[FakeObserver] = []
        self.connects = 0
        self.calls: list[tuple] = []
        self.answers = True
        self.breaks = False

    def send(self, update: feed.Snapshot | feed.Delta) -> None:
        """What the head publishes, in the thread that calls."""
        self.model = update if isinstance(update, feed.Snapshot) else feed.apply(self.model, update)
        for one in self.observers:
            for callback in list(one.callbacks):
                callback(update)

    def send_from_thread(self, *updates: feed.Snapshot | feed.Delta) -> None:
        """The same from a thread of its own, as observers do."""
        thread = threading.Thread(target=lambda: [self.send(update) for update in updates])
        thread.start()
        thread.join()

    def tick(self) -> feed.Delta:
        """The delta that follows."""
        return feed.Delta(seq=self.model.seq + 1, at=self.model.at + 1)

    def end(self) -> None:
        """The head is gone."""
        for one in self.observers[:]:
            one.end()


class FakeObserver:
    """`burrow_jupyter.engine.observer.Observer`, connected to a played head."""

    def __init__(self, head: FakeHead) -> None:
        self.head = head
        self.callbacks: list = []
        self.on_close: list = []
        self.closed = False
        head.observers.append(self)
        head.connects += 1

    def snapshot(self):
        return self.head.model

    def subscribe(self, callback):
        self.callbacks.append(callback)
        callback(self.head.model)
        return lambda: self.callbacks.remove(callback)

    def cancel_task(self, task_id, *, force=False):
        self.head.calls.append(("cancel_task", task_id, force))

    def cancel_run(self, run_id):
        self.head.calls.append(("cancel_run", run_id))

    def why(self, task_id):
        if self.head.breaks:
            raise ConnectionError
        return f"{task_id} waits"

    def kill_actor(self, actor_id):
        self.head.calls.append(("kill_actor", actor_id))

    def stop_burrow(self):
        if self.head.breaks:
            raise BrokenPipeError
        self.head.calls.append(("stop_burrow",))

    def close(self):
        if not self.closed:
            self.end()

    def end(self):
        self.closed = True
        self.head.observers.remove(self)
        for callback in self.on_close:
            callback()


class Burrows:
    """The burrows that this user has, as the engine finds them."""

    def __init__(self) -> None:
        self.heads: dict[str, FakeHead] = {}

    def add(self, session_id: str = SESSION, kernel_id: str = KERNEL, started_at=1.0) -> FakeHead:
        file = session.BurrowFile(
            session=session_id,
            kernel_id=kernel_id,
            head_pid=10,
            head_start=0,
            driver_pid=11,
            started_at=started_at,
            socket="",
            key="",
            store="",
            path=f"/played/{session_id}/burrow.json",
        )
        head = self.heads[session_id] = FakeHead(file)
        return head

    def connect(self, path: Path, timeout_s: float = 5.0) -> FakeObserver:
        head = self.heads[path.parent.name]
        if not head.answers:
            raise ConnectionError("nobody answers")
        return FakeObserver(head)


@pytest.fixture
def until():
    """Waits on the event loop for a condition, with a bound."""

    async def until(condition, within_s=5.0):
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 of things that know no events, as wait_until
                await asyncio.sleep(0.005)

    return until


@pytest.fixture
def burrows(monkeypatch) -> Burrows:
    """The played burrows; none at first."""
    played = Burrows()
    monkeypatch.setattr(observer, "list_burrows", lambda: [h.file for h in played.heads.values()])
    monkeypatch.setattr(observer.Observer, "connect", played.connect)
    return played


@pytest.fixture
def jp_server_config():
    """No route is open by accident, and an extension that fails fails the test."""
    return {
        "ServerApp": {
            # The terminals' socket is not marked as authenticated, and would warn.
            "jpserver_extensions": {"burrow_jupyter": True, "jupyter_server_terminals": False},
            "allow_unauthenticated_access": False,
            "reraise_server_extension_failures": True,
        }
    }


@pytest.fixture
def head(burrows, jp_serverapp):
    """A played burrow of a kernel that the server runs."""
    # Undone before the server ends, which looks for kernels to stop.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jp_serverapp.kernel_manager, "list_kernel_ids", lambda: [KERNEL])
        yield burrows.add()
