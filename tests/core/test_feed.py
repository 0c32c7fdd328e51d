"""The feed's structs: a delta makes one snapshot of another, or says that it does not fit."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burrow_jupyter.core import feed

TABLES = ("workers", "functions", "tasks", "actors", "runs")
ROWS = {
    "resources": feed.ResourceRow,
    "workers": feed.WorkerRow,
    "functions": feed.FunctionRow,
    "tasks": feed.TaskRow,
    "actors": feed.ActorRow,
    "runs": feed.RunRow,
}


def rows(kind, most=5):
    """Return tables with few different ids, so that rows replace each other."""
    row = st.builds(kind, id=st.sampled_from("abcdefg"))
    return st.lists(row, max_size=most, unique_by=lambda made: made.id)


snapshots = st.builds(
    feed.Snapshot, seq=st.integers(1, 5), **{table: rows(kind) for table, kind in ROWS.items()}
)


def between(before, after):
    """Return the delta that leads from one snapshot to another."""
    changed, gone = {}, {}
    for table in ROWS:
        known = {row.id: row for row in getattr(before, table)}
        there = {row.id: row for row in getattr(after, table)}
        changed[table] = [row for key, row in there.items() if known.get(key) != row]
        gone[table] = [key for key in known if key not in there]
    return feed.Delta(
        seq=before.seq + 1,
        at=after.at,
        burrow=after.burrow,
        machine=None if after.machine == before.machine else after.machine,
        objects=after.objects,
        gone=feed.Gone(**{table: gone[table] for table in TABLES}),
        **changed,
    )


def as_tables(snapshot):
    return {table: {row.id: row for row in getattr(snapshot, table)} for table in TABLES}


@given(st.lists(snapshots, min_size=2, max_size=5))
def test_deltas_lead_from_the_first_snapshot_to_the_last(history):
    seen = history[0]

    for after in history[1:]:
        seen = feed.apply(seen, between(seen, after))
        assert as_tables(seen) == as_tables(after)
        assert (seen.at, seen.burrow, seen.objects) == (after.at, after.burrow, after.objects)
        assert seen.machine == after.machine

    assert seen.seq == history[0].seq + len(history) - 1


@given(snapshots, st.integers(0, 10))
def test_a_gap_is_seen(snapshot, seq):
    if seq == snapshot.seq + 1:
        assert feed.apply(snapshot, feed.Delta(seq, 0.0)).seq == seq
    else:
        with pytest.raises(ValueError, match="does not follow"):
            feed.apply(snapshot, feed.Delta(seq, 0.0))


@given(snapshots)
def test_what_is_not_in_a_delta_stays(snapshot):
    after = feed.apply(snapshot, feed.Delta(snapshot.seq + 1, snapshot.at))

    assert after == msgspec.structs.replace(snapshot, seq=snapshot.seq + 1)
