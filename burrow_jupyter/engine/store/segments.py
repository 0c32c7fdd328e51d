"""Segments: files in shared memory that hold one large object each. No pickle in here.

A segment is made by one process (`SegmentWriter`, one per process), sealed, and then
mapped by any process (`SegmentReader`). The head counts who looks into a segment and
owns its fate: when nobody does, it tells the maker to reuse it (`SegmentWriter.reuse`),
or unlinks it itself once the maker is gone (`SegmentFiles.unlink`).

Guarantees:

- Space is taken before it is written to. A full or tiny tmpfs is a fall-back to disk,
  then `StoreFullError`; never SIGBUS.
- A name reaches others only after `seal`, so nobody maps a half-written object.
- A mapping is private: what a reader writes into it is seen by nobody else.
- A writer overwrites a segment only after the head has returned it. **That nobody maps
  it then is the head's promise**, kept by counting `Unmapped`: a private mapping still
  shows the file in pages that its reader has not written to. (A process that user code
  forks shares the mappings of its parent; the parent alone is counted.)
- An open segment costs no file descriptor, mapped or not.

Any thread may call anything here, except that a `WritableSegment` belongs to the thread
that allocated it until it is sealed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import mmap
import os
import re
import stat
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

ALIGNMENT = 64
"""Buffers lie at multiples of this: a cache line, and what AVX-512 loads want."""

PAGE_BYTES = mmap.PAGESIZE

COPY_CHUNK_BYTES = 8 * 1024 * 1024
"""Copied at a time: 1-3 ms, so that other threads and Ctrl-C have their turn within a
large copy. Smaller chunks are no faster, a single one was 2 % faster."""

TAKE_CHUNK_BYTES = 256 * 1024 * 1024
"""Space taken at a time: 25 ms. A signal makes the kernel give up the whole call, and a
profiler's timer would else restart a very large one for ever."""

KEPT_MAX = 1024
"""Most segments that a process keeps for reuse, however small they are."""

REUSE_MAX_RATIO = 1.5
"""A kept segment serves an object of down to 1 / this of its size."""

FETCH_MIN_BYTES = 1 << 20
"""From this capacity on it pays to wait for a segment that is on its way back: 1 MB fresh costs
0.2 ms more than warm, and what was just let go comes back within that."""

MAPPINGS_MAX = 30_000
"""Most mappings that a reader holds. The kernel's bound is 65,530 a process, and at it even
`malloc` fails; half of them are left to the user's own."""

HELD_FDS_MAX = 64
"""Most mappings of a reader that hold a descriptor, which is the fastest way to map."""

_NAME = re.compile(r"[a-z0-9-]{1,40}")
_ON_DISK = "-d"  # how the name of a segment on disk ends
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EFBIG})
_MAP_FIXED = 0x10  # the mmap module does not name it


class StoreFullError(Exception):
    """There is no room for an object, in shared memory nor on disk."""

    def __init__(self, size_bytes: int, paths: Iterable[str]) -> None:
        self.size_bytes = size_bytes
        self.free_bytes = {path: free_bytes(path) for path in paths}
        free = ", ".join(f"{_human(free)} free in {path}" for path, free in self.free_bytes.items())
        super().__init__(f"no room for an object of {_human(size_bytes)}: {free}")


class SegmentLostError(Exception):
    """What lay in a segment is lost: somebody has removed its file, or cut it."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"its value lay in {path}, which was removed or damaged")


class SegmentFiles:
    """The two private directories where segments lie: shared memory, and disk for its overflow.

    Both belong to the burrow alone and have mode 0700. The one on disk is made when it
    is first needed.
    """

    def __init__(self, memory_dir: str, disk_dir: str) -> None:
        self.memory_dir = memory_dir
        self.disk_dir = disk_dir

    def path(self, name: str) -> str:
        """Return where the segment lies.

        Raises:
            ValueError: it is no name of a segment (so no path can be smuggled in).
        """
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"not the name of a segment: {name!r:.100}")
        return f"{self.disk_dir if name.endswith(_ON_DISK) else self.memory_dir}/{name}"

    def open(self, name: str, size_bytes: int, flags: int) -> int:
        """Open an existing segment and return its descriptor.

        Raises:
            FileNotFoundError: there is no such segment (any more).
            OSError: it is no regular file, or shorter than `size_bytes`: mapping it
                would end in SIGBUS.
        """
        path = self.path(name)
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size < size_bytes:
            os.close(fd)
            raise OSError(
                errno.EIO, f"segment has {status.st_size} bytes instead of {size_bytes}", path
            )
        return fd

    def create(self, name: str, size_bytes: int) -> int:
        """Make a segment with all its space taken and return its descriptor.

        Raises:
            OSError: with an errno of no space; nothing is left behind.
        """
        path = self.path(name)
        if name.endswith(_ON_DISK):
            os.makedirs(self.disk_dir, mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            _take_space(fd, size_bytes)
        except BaseException:  # also KeyboardInterrupt: nobody else knows of the file
            os.close(fd)
            os.unlink(path)
            raise
        return fd

    def unlink(self, name: str) -> None:
        """Remove a segment; whoever maps it keeps what it maps. Absent ones are fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def unlink_all(self) -> None:
        """Remove every segment, whoever made it; other files in the directories stay."""
        for directory in (self.memory_dir, self.disk_dir):
            with contextlib.suppress(FileNotFoundError):
                for name in os.listdir(directory):
                    if _NAME.fullmatch(name):
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(f"{directory}/{name}")


class WritableSegment:
    """A segment that is being written, in a `with` block: sealed at its end, else discarded.

    Args:
        name: what others will map it by.
        size_bytes: what was asked for; what may be written.
        capacity_bytes: what the file has.
        warm: a mapping of touched pages, if there is one.
    """

    __slots__ = ("_fd", "_mapping", "_writer", "capacity_bytes", "name", "size_bytes")

    def __init__(
        self,
        writer: SegmentWriter,
        name: str,
        size_bytes: int,
        capacity_bytes: int,
        *,
        fd: int = -1,
        warm: mmap.mmap | None = None,
    ) -> None:
        self._writer = writer
        self._fd = fd
        self._mapping = warm
        self.name = name
        self.size_bytes = size_bytes
        self.capacity_bytes = capacity_bytes

    @property
    def on_disk(self) -> bool:
        """Whether it had to go to disk because shared memory was full."""
        return self.name.endswith(_ON_DISK)

    @property
    def view(self) -> memoryview:
        """The segment's bytes, for writing in place; slower than `write` if it is fresh."""
        if self._mapping is None:
            self._mapping = _map_fd(self._fd, self.capacity_bytes, mmap.MAP_SHARED)
        return memoryview(self._mapping)[: self.size_bytes]

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data`, contiguous, to `offset`.

        Of 100 MB, fresh: `pwrite` 3.1 GB/s, mapping it and copying 1.7 (each page is
        zeroed first), two threads copying 2.7, two threads in `pwrite` 3.0 (it locks the
        file). Warm: copying to the mapping 6.9, `pwrite` 4.5.

        Raises:
            ValueError: it does not fit.
            StoreFullError: the file system took the space back (a few do).
        """
        source = memoryview(data).cast("B")
        if offset < 0 or offset + source.nbytes > self.size_bytes:
            raise ValueError(
                f"{source.nbytes} bytes at {offset} do not fit into {self.size_bytes} bytes"
            )
        if self._mapping is not None:
            target = memoryview(self._mapping)
            for start in range(0, source.nbytes, COPY_CHUNK_BYTES):
                chunk = source[start : start + COPY_CHUNK_BYTES]
                target[offset + start : offset + start + chunk.nbytes] = chunk
            return
        try:
            written = 0
            while written < source.nbytes:
                chunk = source[written : written + COPY_CHUNK_BYTES]
                written += os.pwrite(self._fd, chunk, offset + written)
        except OSError as error:
            if error.errno in _NO_SPACE:
                directory = os.path.dirname(self._writer.files.path(self.name))
                raise StoreFullError(self.size_bytes, [directory]) from error
            raise

    def seal(self) -> str:
        """End the writing and return the name; from now on others may map it."""
        self._close()
        self._writer._sealed(self.name, self.capacity_bytes, self._mapping)  # noqa: SLF001 one module, one pair
        return self.name

    def discard(self) -> None:
        """Give the space back: there will be no object."""
        self._close()
        self._writer._discarded(self.name, self.capacity_bytes)  # noqa: SLF001 as in seal

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.seal()
        else:
            self.discard()


class SegmentWriter:
    """Makes this process's segments and keeps warm those that the head has returned.

    Args:
        files: where segments lie.
        prefix: begins the names, such as `c3`; no two processes may share one.
        keep_bytes: most shared memory kept warm for reuse.
        capacity_bytes: most shared memory that this process's objects may take before
            the next ones go to disk; `None`: as much as the file system has.
        on_fallback: called once, with a sentence for the user, when an object first goes
            to disk.
        fetch_due: called with a capacity, before space for a large object is taken anew, to
            wait a moment for segments that are on their way back (`is_due`).

    Pages are not touched in the background before they are needed: that would help a
    process's first objects only (3.1 GB/s fresh, 6.9 warm), and take a core from its tasks.
    """

    def __init__(
        self,
        files: SegmentFiles,
        prefix: str,
        *,
        keep_bytes: int,
        capacity_bytes: int | None = None,
        on_fallback: Callable[[str], None] | None = None,
        fetch_due: Callable[[int], None] | None = None,
    ) -> None:
        self.files = files
        self._keep_bytes = keep_bytes
        self._capacity_bytes = capacity_bytes
        self._on_fallback = on_fallback
        self._fetch_due = fetch_due
        self.after_fork(prefix)

    def after_fork(self, prefix: str) -> None:
        """Start empty in a forked child: what the parent made and keeps is the parent's."""
        if not prefix or len(prefix) > 16 or _NAME.fullmatch(prefix) is None:
            raise ValueError(f"not a prefix for names of segments: {prefix!r:.100}")
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # guards all below; nothing is called under it that waits
        self._made: dict[str, int] = {}  # capacity of each segment that holds an object
        self._mapped: dict[str, mmap.mmap] = {}  # warm mappings, of made and kept ones
        self._kept: dict[str, int] = {}  # capacity of each kept segment, first freed first
        self._due: dict[str, int] = {}  # capacity of those that may come back at any moment
        self._memory_bytes = 0  # capacities of made (or being made) segments in memory
        self._kept_bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Shared memory that is kept warm and holds no object."""
        return self._kept_bytes

    @property
    def memory_bytes(self) -> int:
        """Shared memory that holds this process's objects."""
        return self._memory_bytes

    def allocate(self, size_bytes: int) -> WritableSegment:
        """Return a segment for an object of `size_bytes`: a warm one, a new one, or one on disk.

        Raises:
            StoreFullError: neither shared memory nor the disk has the space.
        """
        if size_bytes <= 0:
            raise ValueError(f"a segment holds at least one byte, not {size_bytes}")
        capacity_bytes = size_class(size_bytes)
        warm = self._allocate_kept(size_bytes, capacity_bytes)
        if warm is None and self._fetch_due is not None and capacity_bytes >= FETCH_MIN_BYTES:
            # A loop that puts and drops would else pay for a fresh one now and then.
            self._fetch_due(capacity_bytes)
            warm = self._allocate_kept(size_bytes, capacity_bytes)
        if warm is not None:
            return warm
        segment, why = self._allocate_fresh(size_bytes, capacity_bytes)
        if segment is None and self._drop_kept():
            segment, why = self._allocate_fresh(size_bytes, capacity_bytes)
        if segment is None:
            segment = self._allocate_on_disk(size_bytes, why)
        return segment

    def expect(self, name: str) -> None:
        """The head hears that this process lets go of the segment: if it is ours, it may return."""
        with self._lock:
            capacity_bytes = self._made.get(name, 0)
            if capacity_bytes >= FETCH_MIN_BYTES:
                self._due[name] = capacity_bytes

    def is_due(self, capacity_bytes: int) -> bool:
        """Say whether a segment that would serve may come back, and none is kept yet."""
        with self._lock:
            return not any(_serves(kept, capacity_bytes) for kept in self._kept.values()) and any(
                _serves(due, capacity_bytes) for due in self._due.values()
            )

    def expect_none(self) -> None:
        """What was due has not come in time: others still look into it."""
        with self._lock:
            self._due.clear()

    def reuse(self, names: Iterable[str]) -> None:
        """Keep these segments of ours, which the head says nobody looks into any more.

        Those over the bound are unlinked, first freed first. Names that are not ours (from
        before a fork) are left alone.
        """
        unlinked: list[str] = []
        with self._lock:
            for name in names:
                self._due.pop(name, None)
                capacity_bytes = self._made.pop(name, 0)
                if not capacity_bytes:
                    continue
                if name.endswith(_ON_DISK) or capacity_bytes > self._keep_bytes:
                    if not name.endswith(_ON_DISK):
                        self._memory_bytes -= capacity_bytes
                    self._mapped.pop(name, None)
                    unlinked.append(name)
                    continue
                self._memory_bytes -= capacity_bytes
                self._kept[name] = capacity_bytes
                self._kept_bytes += capacity_bytes
            while self._kept_bytes > self._keep_bytes or len(self._kept) > KEPT_MAX:
                unlinked.append(self._forget_oldest())
        for name in unlinked:
            self.files.unlink(name)

    def unlink(self, name: str) -> None:
        """Remove one of our segments at once; whoever maps it keeps what it maps."""
        with self._lock:
            self._due.pop(name, None)
            capacity_bytes = self._made.pop(name, 0)
            if not name.endswith(_ON_DISK):
                self._memory_bytes -= capacity_bytes
            self._kept_bytes -= self._kept.pop(name, 0)
            self._mapped.pop(name, None)
        self.files.unlink(name)

    def unlink_all(self) -> None:
        """Remove everything that this process made and still has."""
        for name in [*self._made, *self._kept]:
            self.unlink(name)

    def _allocate_kept(self, size_bytes: int, capacity_bytes: int) -> WritableSegment | None:
        """Return a kept segment of the size, or a little larger, the warmest first."""
        with self._lock:
            best, best_bytes = "", sys.maxsize
            for name, kept_bytes in reversed(self._kept.items()):
                if kept_bytes < best_bytes and _serves(kept_bytes, capacity_bytes):
                    best, best_bytes = name, kept_bytes
                    if kept_bytes == capacity_bytes:
                        break
            if not best:
                return None
            del self._kept[best]
            self._kept_bytes -= best_bytes
            self._memory_bytes += best_bytes
            mapping = self._mapped.get(best)
        if mapping is not None and not os.path.exists(self.files.path(best)):
            self._discarded(best, best_bytes)  # what is written there nobody could read
            return None
        if mapping is None:
            # Populated at once: 5.9 GB/s with the copy that follows, 2.3 page by page.
            try:
                fd = self.files.open(best, best_bytes, os.O_RDWR)
                try:
                    mapping = _map_fd(fd, best_bytes, mmap.MAP_SHARED | _POPULATE)
                finally:
                    os.close(fd)
            except OSError:  # removed behind our back, or no mapping left: a fresh one then
                self._discarded(best, best_bytes)
                return None
        return WritableSegment(self, best, size_bytes, best_bytes, warm=mapping)

    def _allocate_fresh(
        self, size_bytes: int, capacity_bytes: int
    ) -> tuple[WritableSegment | None, str]:
        """Return a new segment in shared memory, or why there is none."""
        with self._lock:
            limit = self._capacity_bytes
            if limit is not None and self._memory_bytes + self._kept_bytes + capacity_bytes > limit:
                return None, f"the object store's {_human(limit)} are used up"
            self._memory_bytes += capacity_bytes
        name = f"{self._prefix}-{next(self._numbers)}"
        try:
            # Asked first because a failing posix_fallocate fills the whole rest and undoes it.
            if free_bytes(self.files.memory_dir) >= capacity_bytes:
                fd = self.files.create(name, capacity_bytes)
                return WritableSegment(self, name, size_bytes, capacity_bytes, fd=fd), ""
        except OSError as error:
            if error.errno not in _NO_SPACE:
                self._unaccount(capacity_bytes)
                if isinstance(error, FileNotFoundError):
                    return None, f"{self.files.memory_dir} was removed"
                raise
        except BaseException:
            self._unaccount(capacity_bytes)
            raise
        self._unaccount(capacity_bytes)
        free = _human(free_bytes(self.files.memory_dir))
        return None, f"shared memory is full ({free} free in {self.files.memory_dir})"

    def _allocate_on_disk(self, size_bytes: int, why: str) -> WritableSegment:
        name = f"{self._prefix}-{next(self._numbers)}{_ON_DISK}"
        capacity_bytes = -(-size_bytes // PAGE_BYTES) * PAGE_BYTES  # not reused: no size class
        try:
            fd = self.files.create(name, capacity_bytes)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise StoreFullError(
                    size_bytes, [self.files.memory_dir, self.files.disk_dir]
                ) from error
            raise
        segment = WritableSegment(self, name, size_bytes, capacity_bytes, fd=fd)
        tell, self._on_fallback = self._on_fallback, None
        if tell is not None:
            try:
                tell(f"{why}: objects go to disk, in {self.files.disk_dir}, and are slower there")
            except BaseException:
                segment.discard()
                raise
        return segment

    def _drop_kept(self) -> bool:
        """Unlink all that is kept; say whether there was any."""
        with self._lock:
            dropped = [self._forget_oldest() for _ in range(len(self._kept))]
        for name in dropped:
            self.files.unlink(name)
        return bool(dropped)

    def _forget_oldest(self) -> str:
        """Take the first freed segment off the books (under the lock); the caller unlinks it."""
        name = next(iter(self._kept))
        self._kept_bytes -= self._kept.pop(name)
        self._mapped.pop(name, None)
        return name

    def _unaccount(self, capacity_bytes: int) -> None:
        with self._lock:
            self._memory_bytes -= capacity_bytes

    def _sealed(self, name: str, capacity_bytes: int, mapping: mmap.mmap | None) -> None:
        with self._lock:
            self._made[name] = capacity_bytes
            if mapping is not None and not name.endswith(_ON_DISK):
                self._mapped[name] = mapping

    def _discarded(self, name: str, capacity_bytes: int) -> None:
        with self._lock:
            self._mapped.pop(name, None)
            if not name.endswith(_ON_DISK):
                self._memory_bytes -= capacity_bytes
        self.files.unlink(name)


class SegmentReader:
    """Maps segments, whoever made them, and notes when nothing looks into a mapping any more.

    Args:
        files: where segments lie.
        unmapped: gets a segment's name for each of its mappings that has ended. Appended to
            from wherever the last view dies, also inside garbage collection; whoever owns
            the connection to the head empties it from the other end.
    """

    def __init__(self, files: SegmentFiles, unmapped: deque[str] | None = None) -> None:
        self.files = files
        self.unmapped: deque[str] = deque() if unmapped is None else unmapped
        self._live: dict[int, tuple[str, int]] = {}

    def map(self, name: str, size_bytes: int) -> memoryview:
        """Return the segment's first `size_bytes`, mapped anew: 10 us, whatever the size.

        The view is writable: what is written to is copied, page by page, and seen by nobody
        else, not even by another mapping in this process. It begins at a page, so buffers at
        multiples of 64 in it are aligned so. It lives as long as any view of it, such as a
        numpy array, and counts as ended then. Past `MAPPINGS_MAX` it is a copy, and counts
        as ended at once.

        Raises:
            FileNotFoundError: there is no such segment (any more).
            OSError: it is damaged (shorter than that).
            ValueError: it is no name of a segment.
        """
        fd = self.files.open(name, size_bytes, os.O_RDONLY)
        try:
            if len(self._live) >= MAPPINGS_MAX:
                copy = _read_fd(fd, size_bytes)
                self.unmapped.append(name)
                return copy
            few = len(self._live) < HELD_FDS_MAX
            mapping = _map_fd(fd, size_bytes, mmap.MAP_PRIVATE, may_hold_fd=few)
        finally:
            os.close(fd)
        self._live[id(mapping)] = (name, size_bytes)
        mapping.segment = name
        mapping.reader = self
        return memoryview(mapping)

    def mapped(self) -> dict[str, int]:
        """Return the segments into which something looks, with their sizes in bytes."""
        return dict(self._live.copy().values())  # a copy is one step: any may end meanwhile

    def _ended(self, mapping: Mapping) -> None:
        """Note the end of a mapping. Runs inside `__del__`: single steps of dicts and deques only."""
        self._live.pop(id(mapping), None)
        self.unmapped.append(mapping.segment)


def _serves(kept_bytes: int, capacity_bytes: int) -> bool:
    """Say whether a kept segment may hold an object for which this capacity is right."""
    return capacity_bytes <= kept_bytes <= int(capacity_bytes * REUSE_MAX_RATIO)


def size_class(size_bytes: int) -> int:
    """Return the capacity of a segment for an object of this size.

    Eight classes to each power of two, whole pages: at most an eighth is wasted, and objects
    of about one size fit into each other's segments.
    """
    step = max(PAGE_BYTES, 1 << max(0, (size_bytes - 1).bit_length() - 4))
    return -(-size_bytes // step) * step


def free_bytes(path: str) -> int:
    """Return what may still be written below `path`; 0 if it does not exist."""
    while True:
        try:
            status = os.statvfs(path)
        except FileNotFoundError:
            parent = os.path.dirname(path)
            if parent == path:
                return 0
            path = parent  # the directory on disk is made when it is needed
            continue
        except OSError:
            return 0
        return status.f_bavail * status.f_frsize


_POPULATE: int = getattr(mmap, "MAP_POPULATE", 0)  # Linux only


class Mapping(mmap.mmap):
    """A mapping that tells its reader when it ends."""

    segment: str = ""
    reader: SegmentReader | None = None

    def __del__(self) -> None:
        if self.reader is not None:
            self.reader._ended(self)  # noqa: SLF001 one module, one pair


def _map_fd(fd: int, size_bytes: int, flags: int, *, may_hold_fd: bool = False) -> Mapping:
    """Map a file, readable and writable, without holding a descriptor unless it may.

    `mmap.mmap` keeps a duplicate of the descriptor it is given, so that a thousand mapped
    objects would meet the usual limit of 1024 (`trackfd=False` came with Python 3.13). So
    it reserves the addresses, and the file is mapped over them: 12 instead of 9 us, and 35
    instead of 10 where a large copy has just emptied the caches.
    """
    access = mmap.PROT_READ | mmap.PROT_WRITE
    if may_hold_fd or not sys.platform.startswith("linux"):
        return Mapping(fd, size_bytes, flags, access)
    mapping = Mapping(-1, size_bytes, mmap.MAP_PRIVATE, access)
    address = _address(mapping)
    if _libc_mmap()(address, size_bytes, access, flags | _MAP_FIXED, fd, 0) != address:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return mapping


def _address(buffer: mmap.mmap | bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _libc_mmap() -> Callable[[int, int, int, int, int, int], int | None]:
    """Return the C library's `mmap`, looked up once."""
    global _mmap_function  # noqa: PLW0603 looked up once, the same each time
    if _mmap_function is None:
        function = ctypes.CDLL(None, use_errno=True).mmap
        function.restype = ctypes.c_void_p
        function.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_long,
        ]
        _mmap_function = function
    return _mmap_function


_mmap_function: Callable[[int, int, int, int, int, int], int | None] | None = None


def _read_fd(fd: int, size_bytes: int) -> memoryview:
    """Read a file into memory of our own that is aligned like a mapping's buffers."""
    memory = bytearray(size_bytes + ALIGNMENT)
    start = -_address(memory) % ALIGNMENT
    view = memoryview(memory)[start : start + size_bytes]
    done = 0
    while done < size_bytes:
        count = os.preadv(fd, [view[done : done + COPY_CHUNK_BYTES]], done)
        if count == 0:
            raise OSError(errno.EIO, "segment became shorter while it was read")
        done += count
    return view


def _take_space(fd: int, size_bytes: int) -> None:
    """Take all the space of a file now, so that no later write fails or raises SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        for start in range(0, size_bytes, TAKE_CHUNK_BYTES):
            os.posix_fallocate(fd, start, min(TAKE_CHUNK_BYTES, size_bytes - start))
        return
    zeros = memoryview(bytes(COPY_CHUNK_BYTES))  # macOS has no posix_fallocate
    done = 0
    while done < size_bytes:
        done += os.pwrite(fd, zeros[: size_bytes - done], done)


def _human(count_bytes: int) -> str:
    """Return a size for people: 1.5 GB."""
    amount = float(count_bytes)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"
