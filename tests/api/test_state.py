"""What runs, as plain data: rows, their summary, the timeline."""

from __future__ import annotations

import json
import time

import pytest

import burrow
from burrow_jupyter.backends.ledger import Ledger
from conformance.calls import Counter, add, fail
from helpers.wait import wait_until


@pytest.fixture(autouse=True, params=["local", "inline"])
def session(request):
    """The same of what ran in processes and of what ran in this one."""
    burrow.init(num_cpus=2, mode=request.param)
    yield
    burrow.shutdown()


def test_rows_are_summed_up_by_name_and_state():
    counter = Counter.remote()
    failed = fail.remote()
    burrow.get([counter.add.remote(), *(add.remote(n) for n in range(3))])
    with pytest.raises(burrow.exceptions.RayTaskError):
        burrow.get(failed)

    summary = burrow.tasks().summary()
    assert summary["add"] == {"finished": 3}
    assert summary["fail"] == {"failed": 1}
    assert burrow.actors().summary() == {"Counter": {"alive": 1}}
    assert [row["state"] for row in burrow.objects()] == ["failed"]


def test_rows_become_a_data_frame():
    pytest.importorskip("pandas")
    burrow.get([add.remote(n) for n in range(3)])

    frame = burrow.tasks().to_pandas()
    assert list(frame["name"]) == ["add"] * 3
    assert {"id", "state", "started_at"} <= set(frame.columns)


def test_the_timeline_is_a_chrome_trace(tmp_path):
    before = time.time()
    burrow.get([add.remote(n) for n in range(3)])

    events = burrow.timeline()
    assert [event["name"] for event in events] == ["add"] * 3
    for event in events:
        assert event["ph"] == "X"
        assert event["dur"] >= 0
        assert before - 5 <= event["ts"] / 1e6 <= time.time() + 5
    assert {event["tid"] for event in events} <= {f"worker {w['id']}" for w in burrow.workers()}
    assert burrow.timeline(tmp_path / "trace.json") is None
    assert len(json.loads((tmp_path / "trace.json").read_text())) == 3


def test_more_than_a_panel_shows_is_remembered():
    burrow.get([add.remote(n) for n in range(500)])

    assert len(burrow.tasks()) == 500
    assert len(burrow.timeline()) == 500


def test_actors_say_their_namespace_and_whether_they_are_detached():
    plain = Counter.remote()
    lasting = Counter.options(name="lasting", namespace="larder", lifetime="detached").remote()
    burrow.get([plain.add.remote(), lasting.add.remote()])

    rows = {row["name"]: (row["namespace"], row["detached"]) for row in burrow.actors()}
    assert rows == {
        "": (burrow.get_runtime_context().namespace, False),
        "lasting": ("larder", True),
    }
    burrow.kill(lasting)


def test_calls_are_told_in_the_order_of_their_end_with_how_they_went():
    @burrow.remote(max_retries=1, retry_exceptions=True)
    def again():
        raise ValueError("still raw")

    @burrow.remote
    def parent():
        return burrow.get(add.remote(1))

    burrow.get(parent.remote())
    bad = again.remote()
    after = add.remote(bad)
    burrow.wait([bad, after], num_returns=2)

    rows = burrow.tasks()
    told = [(row["name"], row["state"], row["attempt"], row["error"]) for row in rows]
    assert told == [
        ("add", "finished", 1, ""),
        ("parent", "finished", 1, ""),
        ("again", "failed", 2, "ValueError: still raw"),
        ("add", "failed", 1, "ValueError: still raw"),
    ]
    assert rows[0]["parent"] == rows[1]["id"]
    assert rows[-1]["started_at"] == 0
    assert rows[1]["submitted_at"] <= rows[1]["started_at"] <= rows[1]["ended_at"]
    assert "still raw" in bad.why()


def test_only_the_last_ended_calls_are_remembered(monkeypatch):
    monkeypatch.setattr("burrow_jupyter.core.limits.HISTORY_TASKS", 20)
    ledger = Ledger()
    for task_id in range(64, 64 * 101, 64):
        ledger.enter(task_id, "add", 0, 0, 0)
        ledger.begin(task_id, 1)
        ledger.end(task_id, None)

    assert [row["id"] for row in ledger.tasks()] == [f"0.{n}" for n in range(81, 101)]
    assert ledger.functions()[0]["finished"] == 100


def test_a_dead_actor_is_told_with_its_reason():
    counter = Counter.remote()
    burrow.get(counter.add.remote())
    burrow.kill(counter)
    wait_until(lambda: burrow.actors()[-1]["state"] == "dead", 20, "its death")

    [row] = burrow.actors()
    assert "kill" in row["reason"]
    del counter
    assert burrow.actors() == [row]
