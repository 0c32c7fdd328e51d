"""What runs, as plain data: rows, their summary, the timeline."""

from __future__ import annotations

import json
import time

import pytest

import burrow
from conformance.calls import Counter, add, fail

pytestmark = pytest.mark.usefixtures("two_cpus")


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
    assert burrow.objects().summary() == {"": {"failed": 1}}


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
