"""Segments: shared memory that never shows a reader what a writer does, and never ends in SIGBUS."""

# Names of segments are strings, and so are the paths here:
# ruff: noqa: PTH116, PTH208

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from burrow_jupyter.engine.store.segments import (
    ALIGNMENT,
    HELD_FDS_MAX,
    KEPT_MAX,
    REUSE_MAX_RATIO,
    SegmentFiles,
    SegmentReader,
    SegmentWriter,
    free_bytes,
    size_class,
)

MB = 1024 * 1024


@pytest.fixture
def files(tmp_path):
    base = "/dev/shm" if Path("/dev/shm").is_dir() else str(tmp_path)
    memory = Path(base) / f"burrow-test-{os.getpid()}"
    memory.mkdir(mode=0o700)
    made = SegmentFiles(str(memory), str(tmp_path / "disk"))
    yield made
    made.unlink_all()
    memory.rmdir()


@pytest.fixture
def reader(files):
    return SegmentReader(files)


def make_writer(files, prefix="c1", **options):
    return SegmentWriter(files, prefix, **{"keep_bytes": 64 * MB, **options})


def put(writer, data):
    with writer.allocate(len(data)) as segment:
        segment.write(0, data)
    return segment.name


def run_python(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_what_is_written_is_what_another_process_maps(files):
    data = os.urandom(MB + 7)
    name = put(make_writer(files), data)

    child = os.fork()
    if child == 0:
        view = SegmentReader(files).map(name, len(data))
        os._exit(0 if view == data and view.nbytes == len(data) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_reader_writes_into_its_array_and_nobody_sees_it(files, reader):
    numpy = pytest.importorskip("numpy")
    name = put(make_writer(files), numpy.arange(1000.0).tobytes())

    mine = numpy.frombuffer(reader.map(name, 8000))
    mine[0] = -1.0
    child = os.fork()
    if child == 0:
        os._exit(int(numpy.frombuffer(SegmentReader(files).map(name, 8000))[0] != 0.0))

    assert mine[0] == -1.0
    assert mine[1] == 1.0
    assert numpy.frombuffer(reader.map(name, 8000))[0] == 0.0
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_buffers_at_multiples_of_64_are_aligned(files, reader):
    numpy = pytest.importorskip("numpy")
    name = put(make_writer(files), bytes(1000))

    view = reader.map(name, 1000)

    for offset in range(0, 960, ALIGNMENT):
        assert numpy.frombuffer(view[offset:]).ctypes.data % ALIGNMENT == 0


def test_each_mapping_is_reported_when_its_last_view_dies(files, reader):
    name = put(make_writer(files), b"x" * 5000)
    first = reader.map(name, 5000)
    second = reader.map(name, 5000)
    part = second[10:20]

    del second
    assert not reader.unmapped
    del part
    assert list(reader.unmapped) == [name]
    del first
    assert list(reader.unmapped) == [name, name]


def test_a_mapping_in_a_garbage_cycle_is_reported_when_it_is_collected(files, reader):
    name = put(make_writer(files), b"x" * 5000)
    cycle = [reader.map(name, 5000)]
    cycle.append(cycle)

    del cycle
    gc.collect()

    assert list(reader.unmapped) == [name]


def test_writes_go_to_their_offset_and_no_further(files, reader):
    with make_writer(files).allocate(300) as segment:
        segment.write(128, b"b" * 172)
        segment.write(0, memoryview(b"a" * 128))
        with pytest.raises(ValueError, match="do not fit"):
            segment.write(200, b"c" * 101)
        with pytest.raises(ValueError, match="do not fit"):
            segment.write(-1, b"c")

    assert reader.map(segment.name, 300) == b"a" * 128 + b"b" * 172


def test_a_segment_can_be_written_in_place(files, reader):
    with make_writer(files).allocate(5000) as segment:
        segment.view[:] = b"v" * 5000

    assert reader.map(segment.name, 5000) == b"v" * 5000


def test_arrays_of_any_type_are_written_as_their_bytes(files, reader):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(2000, dtype="int32").reshape(20, 100)

    with make_writer(files).allocate(array.nbytes) as segment:
        segment.write(0, memoryview(array))

    assert reader.map(segment.name, array.nbytes) == array.tobytes()


def test_a_returned_segment_is_used_again(files, reader):
    writer = make_writer(files)
    name = put(writer, b"1" * MB)

    writer.reuse([name])
    assert writer.kept_bytes == size_class(MB)
    again = put(writer, b"2" * (MB - 5))

    assert again == name
    assert writer.kept_bytes == 0
    assert reader.map(again, MB - 5) == b"2" * (MB - 5)


def test_a_returned_segment_keeps_serving_through_its_mapping(files, reader):
    writer = make_writer(files)
    name = put(writer, b"0" * MB)

    for turn in range(1, 5):
        writer.reuse([name])
        data = bytes([turn]) * MB
        assert put(writer, data) == name
        assert reader.map(name, MB) == data


def test_a_segment_much_larger_than_the_object_is_not_used_for_it(files):
    writer = make_writer(files)
    large = put(writer, bytes(8 * MB))
    writer.reuse([large])

    assert put(writer, bytes(int(8 * MB / REUSE_MAX_RATIO / 1.2))) != large
    assert put(writer, bytes(int(8 * MB / REUSE_MAX_RATIO * 1.01))) == large


def test_a_segment_still_mapped_shows_its_object_while_others_are_reused(files, reader):
    writer = make_writer(files)
    held, free = put(writer, b"h" * MB), put(writer, b"f" * MB)
    view = reader.map(held, MB)

    writer.reuse([free])  # the head returns only what nobody maps
    put(writer, b"n" * MB)
    put(writer, b"m" * MB)

    assert view == b"h" * MB


def test_kept_segments_stay_below_their_bound_and_the_oldest_go_first(files):
    writer = make_writer(files, keep_bytes=3 * MB)
    names = [put(writer, bytes(MB)) for _ in range(4)]

    writer.reuse(names)

    assert writer.kept_bytes == 3 * MB
    assert sorted(os.listdir(files.memory_dir)) == sorted(names[1:])


def test_a_segment_larger_than_the_bound_is_not_kept_and_drives_none_out(files):
    writer = make_writer(files, keep_bytes=3 * MB)
    small, large = put(writer, bytes(MB)), put(writer, bytes(4 * MB))

    writer.reuse([small, large])

    assert os.listdir(files.memory_dir) == [small]
    assert writer.memory_bytes == 0


def test_the_number_of_kept_segments_is_bounded(files):
    writer = make_writer(files)

    writer.reuse([put(writer, b"x") for _ in range(KEPT_MAX + 10)])

    assert len(os.listdir(files.memory_dir)) == KEPT_MAX


def test_names_that_are_not_ours_are_left_alone(files):
    other = put(make_writer(files, "c2"), b"x")

    writer = make_writer(files)
    writer.reuse([other, "c9-9"])

    assert writer.kept_bytes == 0
    assert os.listdir(files.memory_dir) == [other]


def test_a_large_object_waits_for_what_is_due_and_small_ones_do_not(files):
    asked = []

    def fetch(capacity_bytes):
        asked.append(writer.is_due(capacity_bytes))
        if asked[-1]:
            writer.reuse([large])

    writer = make_writer(files, fetch_due=fetch)
    large = put(writer, b"1" * MB)
    small = put(writer, b"1" * 1000)
    assert asked == [False]  # asked for the first large one, and nothing was due

    writer.expect(large)
    writer.expect(small)
    assert not writer.is_due(1000)  # it costs less than to wait for it
    assert not writer.is_due(2 * MB)
    assert put(writer, b"2" * 1000) != small
    assert put(writer, b"2" * MB) == large
    assert asked == [False, True]
    assert not writer.is_due(MB)

    writer.expect(large)
    writer.expect_none()
    assert not writer.is_due(MB)
    writer.expect(large)
    writer.unlink(large)
    assert not writer.is_due(MB)


def test_a_kept_segment_removed_behind_our_back_is_replaced(files, reader):
    writer = make_writer(files)
    name = put(writer, b"1" * MB)
    writer.reuse([name])
    files.unlink(name)

    again = put(writer, b"2" * MB)

    assert again != name
    assert reader.map(again, MB) == b"2" * MB
    assert writer.memory_bytes == MB


def test_an_object_that_fails_to_be_written_leaves_nothing(files):
    writer = make_writer(files)

    with pytest.raises(KeyboardInterrupt), writer.allocate(MB):
        raise KeyboardInterrupt

    assert os.listdir(files.memory_dir) == []
    assert writer.memory_bytes == 0


def test_unlinking_leaves_what_is_mapped_readable(files, reader):
    writer = make_writer(files)
    name = put(writer, b"x" * MB)
    view = reader.map(name, MB)

    writer.unlink(name)
    writer.unlink(name)

    assert view == b"x" * MB
    assert writer.memory_bytes == 0
    with pytest.raises(FileNotFoundError):
        reader.map(name, MB)


def test_unlink_all_of_a_writer_leaves_other_processes_segments(files):
    one, other = make_writer(files, "c1"), make_writer(files, "c2")
    stays = put(other, b"x")
    put(one, b"x")
    one.reuse([put(one, b"x")])

    one.unlink_all()

    assert os.listdir(files.memory_dir) == [stays]
    assert one.kept_bytes == one.memory_bytes == 0


@pytest.mark.parametrize(
    "name", ["", "../secret", "/etc/passwd", "a/b", "a.b", "A", "a" * 41, "c1-1\n", "c1\0"]
)
def test_only_names_of_segments_become_paths(files, reader, name):
    with pytest.raises(ValueError, match="name of a segment"):
        reader.map(name, 1)
    with pytest.raises(ValueError, match="name of a segment"):
        files.unlink(name)


@pytest.mark.parametrize("prefix", ["", "../x", "a/b", "x" * 17])
def test_only_short_plain_prefixes_are_taken(files, prefix):
    with pytest.raises(ValueError, match="prefix"):
        make_writer(files, prefix)


def test_a_planted_link_is_not_followed(files, reader, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 100)
    Path(files.memory_dir, "c1-1").symlink_to(secret)

    with pytest.raises(OSError, match="symbolic link") as caught:
        reader.map("c1-1", 100)
    with pytest.raises(FileExistsError):
        put(make_writer(files, "c1"), b"x" * 100)

    assert caught.value.errno == errno.ELOOP
    assert secret.read_bytes() == b"s" * 100


def test_a_shortened_segment_is_an_error_and_not_a_signal(files, reader):
    name = put(make_writer(files), b"x" * 10_000)
    os.truncate(f"{files.memory_dir}/{name}", 100)

    with pytest.raises(OSError, match="100 bytes instead of 10000"):
        reader.map(name, 10_000)


def test_segments_are_for_this_user_only(files):
    name = put(make_writer(files), b"x")

    assert os.stat(f"{files.memory_dir}/{name}").st_mode & 0o777 == 0o600


def test_mapped_and_kept_segments_hold_few_descriptors(files, reader):
    writer = make_writer(files)
    before = len(os.listdir("/proc/self/fd"))

    names = [put(writer, bytes(5000)) for _ in range(200)]
    views = [reader.map(name, 5000) for name in names]
    assert len(os.listdir("/proc/self/fd")) <= before + HELD_FDS_MAX
    del views
    writer.reuse(names)
    for _ in range(100):
        put(writer, bytes(5000))

    assert len(os.listdir("/proc/self/fd")) == before


def test_beyond_the_bound_of_mappings_a_view_is_a_copy():
    code = """
import tempfile
from burrow_jupyter.engine.store.segments import *
with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
    files = SegmentFiles(directory, directory)
    with SegmentWriter(files, "c1", keep_bytes=0).allocate(9000) as segment:
        segment.write(0, b"s" * 9000)
    reader = SegmentReader(files)
    views = [reader.map(segment.name, 9000) for _ in range(MAPPINGS_MAX + 100)]
    assert len(reader.unmapped) == 100
    assert all(view[8999] == 115 and len(view) == 9000 for view in views)
    views[-1][0] = 1
    assert views[-2][0] == 115
    del views
    assert len(reader.unmapped) == MAPPINGS_MAX + 100
    mapped_again = reader.map(segment.name, 9000)
    assert len(reader.unmapped) == MAPPINGS_MAX + 100
"""
    run = run_python(code)

    assert run.returncode == 0, run.stderr


def test_threads_share_a_writer(files, reader):
    writer = make_writer(files, keep_bytes=2 * MB)
    failures = []

    def work(number):
        try:
            for turn in range(50):
                data = bytes([number]) * (100_000 + 1000 * turn)
                name = put(writer, data)
                if reader.map(name, len(data)) != data:
                    failures.append((number, turn))
                writer.reuse([name])
        except BaseException as error:  # noqa: BLE001 reported by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert writer.memory_bytes == 0
    on_disk = sum(os.stat(f"{files.memory_dir}/{n}").st_size for n in os.listdir(files.memory_dir))
    assert writer.kept_bytes == on_disk <= 2 * MB


def test_a_forked_child_starts_with_nothing_of_its_parents(files, reader):
    writer = make_writer(files, "c1")
    kept, held = put(writer, b"k" * MB), put(writer, b"h" * MB)
    writer.reuse([kept])
    down, up = os.pipe()
    child = os.fork()
    if child == 0:
        writer.after_fork("c2")
        writer.reuse([held])
        name = put(writer, b"c" * MB)
        writer.unlink_all()
        os.write(up, json.dumps([name, writer.kept_bytes]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(up)
    with os.fdopen(down) as stream:
        name, child_kept = json.load(stream)

    assert name.startswith("c2-")
    assert child_kept == 0
    assert sorted(os.listdir(files.memory_dir)) == sorted([kept, held])
    assert put(writer, b"p" * MB) == kept
    assert reader.map(held, MB) == b"h" * MB


def test_past_the_stores_capacity_objects_go_to_disk_and_the_user_is_told_once(files, reader):
    told = []
    writer = make_writer(files, capacity_bytes=3 * MB, on_fallback=told.append)

    names = [put(writer, bytes([number]) * MB) for number in range(5)]

    assert sorted(os.listdir(files.memory_dir)) == sorted(names[:3])
    assert sorted(os.listdir(files.disk_dir)) == sorted(names[3:])
    assert [reader.map(name, MB)[0] for name in names] == [0, 1, 2, 3, 4]
    assert len(told) == 1
    assert files.disk_dir in told[0]
    assert os.stat(files.disk_dir).st_mode & 0o777 == 0o700


def test_memory_is_used_again_after_objects_went(files):
    writer = make_writer(files, capacity_bytes=2 * MB)
    names = [put(writer, bytes(MB)) for _ in range(3)]

    writer.reuse(names)
    assert os.listdir(files.disk_dir) == []
    after = put(writer, bytes(2 * MB))  # the kept ones make room

    assert os.listdir(files.memory_dir) == [after]


def test_size_classes_waste_an_eighth_at_most():
    for size in [*range(1, 70_000, 77), *(2**n + k for n in range(16, 40) for k in (-1, 0, 1))]:
        capacity = size_class(size)
        assert size <= capacity
        assert capacity % 4096 == 0
        assert capacity <= max(size + 4096, size * 1.125 + 1)
        assert size_class(capacity) == capacity


def test_an_empty_segment_is_refused(files):
    with pytest.raises(ValueError, match="at least one byte"):
        make_writer(files).allocate(0)


def test_free_space_of_a_directory_to_come_is_that_of_its_parent(tmp_path):
    assert free_bytes(str(tmp_path / "not" / "yet")) > 0


# ---- full file systems: real ones, small, in a mount namespace of the child's own ----

SMALL_MOUNTS = """
import ctypes, errno, os, signal, sys, tempfile
from burrow_jupyter.engine.store.segments import *

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, 0x4000 | 0x40000
def mount(kind, target, flags, data):
    if libc.mount(kind, target.encode(), kind, ctypes.c_ulong(flags), data) != 0:
        print("cannot mount:", os.strerror(ctypes.get_errno())); sys.exit(77)
if libc.unshare(CLONE_NEWNS) != 0:
    print("cannot unshare:", os.strerror(ctypes.get_errno())); sys.exit(77)
mount(b"none", "/", MS_REC_PRIVATE, None)
base = sys.argv[1]
shm, disk = base + "/shm", base + "/disk"
for path, size in ((shm, sys.argv[2]), (disk, sys.argv[3])):
    os.mkdir(path)
    mount(b"tmpfs", path, 0, b"size=" + size.encode())
MB = 1024 * 1024
files = SegmentFiles(shm, disk + "/spill")
told = []
writer = SegmentWriter(files, "c1", keep_bytes=64 * MB, on_fallback=told.append)
reader = SegmentReader(files)
def put(data):
    with writer.allocate(len(data)) as segment:
        segment.write(0, data)
    return segment.name
"""


def run_with_small_mounts(code, tmp_path, shm, disk):
    run = run_python(SMALL_MOUNTS + code, tmp_path, shm, disk)
    if run.returncode == 77:
        pytest.skip(run.stdout.strip())
    assert run.returncode == 0, run.stderr


def test_a_64_mb_shared_memory_falls_back_to_disk(tmp_path):
    code = """
names = [put(bytes([number]) * (10 * MB)) for number in range(12)]
for number, name in enumerate(names):
    view = reader.map(name, 10 * MB)
    assert view[0] == view[-1] == number
    view[0] = 99
on_disk = [name for name in names if name in os.listdir(disk + "/spill")]
assert len(names) - len(on_disk) == 6, on_disk
assert len(told) == 1 and "64 MB" not in told[0] and shm in told[0], told
whole = put(b"w" * (100 * MB))  # larger than all of shared memory
assert reader.map(whole, 100 * MB)[-1] == ord("w")
del view
writer.reuse(names)  # room again: back to memory
assert put(b"z" * MB) in os.listdir(shm)
"""
    run_with_small_mounts(code, tmp_path, "64m", "400m")


def test_kept_segments_make_room_before_an_object_goes_to_disk(tmp_path):
    code = """
writer.reuse([put(bytes(10 * MB)) for _ in range(6)])
assert put(bytes(40 * MB)) in os.listdir(shm)
assert not told
"""
    run_with_small_mounts(code, tmp_path, "64m", "64m")


def test_everything_full_is_an_error_with_paths_and_space_and_is_over_when_space_returns(tmp_path):
    code = """
names = []
try:
    while True:
        names.append(put(bytes([len(names)]) * (10 * MB)))
except StoreFullError as error:
    text = str(error)
    assert "10.5 MB" in text and shm in text and disk + "/spill" in text and "free" in text, text
    assert set(error.free_bytes) == {shm, disk + "/spill"}
    assert all(free < 10 * MB for free in error.free_bytes.values())
assert len(names) == 12, len(names)
assert sorted(os.listdir(shm) + os.listdir(disk + "/spill")) == sorted(names)
for number, name in enumerate(names):  # nothing is corrupt
    assert reader.map(name, 10 * MB)[-1] == number
writer.unlink(names[0])
assert reader.map(put(b"n" * (10 * MB)), 10 * MB)[0] == ord("n")
"""
    run_with_small_mounts(code, tmp_path, "64m", "64m")


def test_space_taken_by_others_meanwhile_is_an_error_and_not_a_signal(tmp_path):
    code = """
segment = writer.allocate(30 * MB)  # its space is taken now
with open(shm + "/other", "wb") as other:
    try:
        while True:
            other.write(bytes(MB)); other.flush()
    except OSError as error:
        assert error.errno == errno.ENOSPC
segment.write(0, b"s" * (30 * MB))
view = reader.map(segment.seal(), 30 * MB)
assert view[-1] == ord("s")
view[:: 4096] = b"x" * len(view[:: 4096])  # copies are the reader's own memory
"""
    run_with_small_mounts(code, tmp_path, "64m", "64m")


def test_a_file_size_limit_counts_as_no_space(files):
    code = """
import resource, signal, sys
from burrow_jupyter.engine.store.segments import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    SegmentWriter(SegmentFiles(*sys.argv[1:3]), "c1", keep_bytes=0).allocate(1_000_000)
except StoreFullError:
    sys.exit(5)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY

    run = run_python(code, files.memory_dir, files.disk_dir)

    assert run.returncode == 5, run.stderr
    assert os.listdir(files.memory_dir) == []
