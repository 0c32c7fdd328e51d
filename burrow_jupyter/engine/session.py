"""Where a burrow lives on disk: its private directory, connection file, shared memory.

    <base>/burrow-<uid>/<session>/      0700: head.sock, head.log, burrow.json (0600), spill/,
                                        w<n>.sock, of each worker
    /dev/shm/burrow-<uid>-<session>/    0700: segments of the object store

`base` is the first of XDG_RUNTIME_DIR, TMPDIR, /tmp that is usable and short enough for
a socket's address (108 bytes). Where there is no shared memory, or it is full, the store
lies there as well. What a power cut left is removed by the next start: a
burrow whose head is not the process that its file names is dead.

Driver and head both wait for this module when a burrow starts, so it imports little:
pathlib, tempfile and shutil would cost each of them 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import stat

import msgspec

from burrow_jupyter.engine.processes import is_alive

SOCKET_PATH_MAX = 100
"""Bytes of a socket's address; the kernels allow 104 (macOS) to 108 (Linux)."""

FILE_NAME = "burrow.json"
HEAD_LOG = "head.log"
SHARED_MEMORY_MIN_BYTES = 8 * 1024 * 1024
"""With less room there, all of a burrow lies on disk: thirty workers need as much to start."""
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a tmpfs by its nature; the directory below is private


class BurrowFile(msgspec.Struct, frozen=True):
    """What a process of the same user needs to connect to a burrow; holds the key."""

    session: str
    kernel_id: str
    head_pid: int
    head_start: int
    driver_pid: int
    started_at: float
    socket: str
    key: str
    store: str
    path: str = ""


class Places(msgspec.Struct, frozen=True):
    """The directories of one session."""

    directory: str
    socket: str
    store: str
    spill: str
    log: str


def door_of(directory: str, worker_id: int) -> str:
    """Return where a worker listens to those that call it itself."""
    return f"{directory}/w{worker_id}.sock"


def bases() -> list[str]:
    """Return the directories that may hold burrows, best first."""
    seen: dict[str, None] = {}
    for text in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp"):  # noqa: S108
        if text and os.path.isabs(text):
            seen[os.path.join(os.path.normpath(text), f"burrow-{os.getuid()}")] = None
    return list(seen)


def make_private(directory: str) -> bool:
    """Make a directory that is ours alone; say whether that could be had."""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        status = os.lstat(directory)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return False  # somebody else's, or a planted link
    if status.st_mode & 0o077:
        os.chmod(directory, 0o700)
    return os.access(directory, os.W_OK | os.X_OK)


def _is_usable(shared_memory: str) -> bool:
    """Say whether shared memory is there, and has room for what each worker needs to start."""
    try:
        status = os.statvfs(shared_memory)
    except OSError:
        return False
    free = status.f_bavail * status.f_frsize
    return os.access(shared_memory, os.W_OK) and free >= SHARED_MEMORY_MIN_BYTES


def create(session: str) -> Places:
    """Make the directories of a new session.

    Raises:
        OSError: no directory could be had; the text names those that were tried.
    """
    for base in bases():
        directory = f"{base}/{session}"
        places = Places(
            directory=directory,
            socket=f"{directory}/head.sock",
            store=f"{SHARED_MEMORY}/burrow-{os.getuid()}-{session}",
            spill=f"{directory}/spill",
            log=f"{directory}/{HEAD_LOG}",
        )
        if len(os.fsencode(places.socket)) > SOCKET_PATH_MAX:
            continue
        if not make_private(base):
            continue
        os.mkdir(directory, 0o700)
        os.mkdir(places.spill, 0o700)
        if not (_is_usable(SHARED_MEMORY) and make_private(places.store)):
            places = msgspec.structs.replace(places, store=f"{directory}/store")
            os.mkdir(places.store, 0o700)
        return places
    tried = ", ".join(bases())
    msg = f"no private directory for the burrow could be made; tried {tried}; set TMPDIR"
    raise OSError(msg)


def write_file(places: Places, file: BurrowFile) -> None:
    """Publish the connection file, whole or not at all."""
    path = f"{places.directory}/{FILE_NAME}"
    partial = f"{path}.partial"
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(file))
    os.rename(partial, path)


def read_file(path: str) -> BurrowFile:
    """Read a connection file.

    Raises:
        ConnectionError: it is not there, not ours alone, or not one of these.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid != os.getuid() or status.st_mode & 0o077:
                msg = f"{path} is not private to this user"
                raise ConnectionError(msg)
            file = msgspec.json.decode(stream.read(65536), type=BurrowFile)
    except (OSError, msgspec.DecodeError) as error:
        if isinstance(error, ConnectionError):
            raise
        msg = f"cannot read {path}: {error}"
        raise ConnectionError(msg) from None
    return msgspec.structs.replace(file, path=path)


def list_burrows() -> list[BurrowFile]:
    """Return this user's burrows whose head lives."""
    return [file for file in _files() if is_alive(file.head_pid, file.head_start)]


def _files() -> list[BurrowFile]:
    """Read all connection files of this user that can be read."""
    found = []
    for base in bases():
        try:
            names = sorted(os.listdir(base))
        except OSError:
            continue  # nothing was ever started there
        for name in names:
            with contextlib.suppress(ConnectionError):
                found.append(read_file(f"{base}/{name}/{FILE_NAME}"))
    return found


def remove(directory: str, store: str) -> None:
    """Remove a session's directories and all that is in them."""
    import shutil  # noqa: PLC0415  # with three compression libraries, at the end

    for path in (store, directory):
        shutil.rmtree(path, ignore_errors=True)


def remove_dead() -> None:
    """Remove what burrows left whose head died without cleaning up."""
    for file in _files():
        if not is_alive(file.head_pid, file.head_start):
            remove(os.path.dirname(file.path), file.store)
