"""Files with the recorded outputs of cells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from burrow_jupyter.core.outputs import CellOutputs, OutputMessage
from burrow_jupyter.engine import recording

if TYPE_CHECKING:
    from pathlib import Path

HEAD = CellOutputs("cell", 7, "request", "client")


def message(name: str, kind: str = "stream", size: int = 10) -> OutputMessage:
    content = {"text": "x" * size, "transient": {"display_id": "d"}}
    return OutputMessage(name, kind, msgspec.Raw(msgspec.json.encode(content)))


def ids(folder: Path) -> list[str]:
    (found,) = recording.read_all(folder, 0)
    return [row.id for row in found.messages or []]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of one file, in a folder of its own."""
    return tmp_path / "cell-000001.jsonl"


def test_a_file_is_the_users_alone_also_when_it_was_written_anew(path: Path):
    record = recording.Recording(HEAD, 10_000_000)
    record.open(path)
    record.add(message("1"))
    assert path.stat().st_mode & 0o777 == 0o600

    for number in range(30):
        record.add(message(str(number), "update_display_data", 100_000), "d")

    assert path.stat().st_size < 3_000_000
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_came_before_there_was_a_file_is_in_it(path: Path):
    record = recording.Recording(HEAD, 1000)
    record.add(message("1"))
    assert recording.read_all(path.parent, 0) == []

    record.open(path)
    record.add(message("2"))

    assert ids(path.parent) == ["1", "2"]


def test_what_is_older_is_told_without_its_messages(path: Path):
    record = recording.Recording(HEAD, 1000)
    record.open(path)
    os.utime(path, (100, 100))

    assert recording.read_all(path.parent, 101) == [HEAD]
    assert recording.read_all(path.parent, 99)[0].messages == []


def test_a_line_that_is_being_written_is_left_out(path: Path):
    record = recording.Recording(HEAD, 1000)
    record.open(path)
    record.add(message("1"))
    with path.open("ab") as file:
        file.write(b'{"id":"2","type":"str')
    path.with_name("cell-000002.jsonl").write_bytes(b'{"cell"')

    assert ids(path.parent) == ["1"]


def test_beyond_its_bound_there_is_no_record(path: Path):
    record = recording.Recording(HEAD, 1000)
    record.open(path)
    record.add(message("1", size=2000))

    record.add(message("2"))

    assert record.size == 0
    assert not path.exists()


def test_of_many_updates_of_a_display_few_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "STALE_MAX_BYTES", 1000)
    record = recording.Recording(HEAD, 100_000)
    record.open(path)
    record.add(message("made", "display_data"))
    for number in range(500):
        record.add(message(str(number), "update_display_data"), "d")

    found = ids(path.parent)

    assert (found[0], found[-1]) == ("made", "499")
    assert len(found) < 30
    assert record.size < 3000
