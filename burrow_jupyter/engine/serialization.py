"""User values to pickles and back. Never imported by the head or the Jupyter server.

Protocol 5: large buffers (NumPy, Arrow, pandas) stay out of the pickle, are written to
shared memory once and read in place. Plain `pickle` is tried first (0.5 us against 3.5
for cloudpickle); cloudpickle takes over where pickle fails or where the pickle would
name `__main__`, which a worker has not.

While a value is pickled, the refs and actor handles in it report themselves through
`note`; their ids travel beside the value, so that what they name stays alive.
"""

from __future__ import annotations

import errno
import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

from burrow_jupyter.core.limits import CAPTURED_MIN_BYTES, IDS_MAX, INLINE_MAX_BYTES
from burrow_jupyter.core.messages import Value
from burrow_jupyter.engine import by_value
from burrow_jupyter.engine.collecting import Collector
from burrow_jupyter.engine.store.segments import SegmentLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.engine.store.segments import SegmentReader, SegmentWriter

ALIGNMENT = 64
IN_BAND_MAX_BYTES = 1024
"""Buffers up to this size are copied into the pickle: a section of their own costs more."""

PLAIN_TYPES = frozenset({int, float, bool, str, type(None), complex})
"""Values of exactly these types contain nothing that needs a second look."""

_dumps = pickle.dumps
_MAIN = b"__main__"


_collector: Collector[int] = Collector()
collecting = _collector.collecting
"""Collects the refs and handles that are pickled meanwhile, by whomever."""


def note(any_id: int) -> bool:
    """A ref or handle is being pickled; say whether for one of our messages."""
    ids = _collector.found
    if ids is None:
        return False
    ids.append(any_id)
    return True


def dump(value: Any, writer: SegmentWriter | None) -> Value:
    """Pickle a value: inline when small, else into a segment of shared memory.

    Args:
        value: what to pickle.
        writer: makes segments; `None` keeps everything inline.

    Raises:
        Exception: whatever pickling raises (TypeError, PicklingError, the user's own).
        StoreFullError: neither shared memory nor disk has room.
        TooManyRefsError: it holds more refs than any value may.
    """
    if type(value) in PLAIN_TYPES:
        return dump_plain(value, writer)
    outer = _collector.found
    ids: list[int] = []
    _collector.found = ids  # as `collecting`, which would cost a microsecond
    try:
        data, buffers = _pickle(value, ids)
    finally:
        _collector.found = outer
    if outer is not None:
        outer.extend(ids)
    if not buffers and (len(data) <= INLINE_MAX_BYTES or writer is None):
        return Value(data, [], "", 0, ids)
    return _store(data, buffers, ids, writer)


def dump_plain(value: Any, writer: SegmentWriter | None) -> Value:
    """Pickle what is built of `PLAIN_TYPES`, dicts and tuples alone: 1 us less than `dump`."""
    data = _dumps(value, 5)
    if len(data) <= INLINE_MAX_BYTES or writer is None:
        return Value(data)
    return _store(data, [], [], writer)


class TooManyRefsError(OverflowError):
    """A value holds more refs than fit in the message that says so."""


class PickledCode(NamedTuple):
    """A function or class as it travels; the same for the same code."""

    data: bytes
    captured: list[memoryview]
    """Its large arrays, in the order of the pickle: every worker maps them, none copies them."""
    ids: list[int]
    """Of the refs in it."""

    @property
    def nbytes(self) -> int:
        """How much it is in all."""
        return len(self.data) + sum(buffer.nbytes for buffer in self.captured)


def pickle_code(value: Any, *, apart: bool = True) -> PickledCode:
    """Pickle a function or class, by value where it is not importable, with its cells' text.

    Large buffers stay apart, if they are to.
    """
    captured: list[memoryview] = []
    keep_out = _keep_out_of(captured, CAPTURED_MIN_BYTES) if apart else None
    with collecting() as ids:
        data = by_value.dumps(value, keep_out, of_code=True)
    return PickledCode(data, captured, ids)


def store_code(code: PickledCode, writer: SegmentWriter | None) -> Value:
    """Make a value of what `pickle_code` returned, but for what is captured."""
    return _store(code.data, [], code.ids, writer)


def _keep_out_of(
    buffers: list[memoryview], in_band_max_bytes: int = IN_BAND_MAX_BYTES
) -> Callable[[pickle.PickleBuffer], bool]:
    """Return a callback that keeps large buffers out of a pickle, and in this list."""

    def keep_out(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes <= in_band_max_bytes:
            return True
        buffers.append(raw)
        return False

    return keep_out


def _pickle(value: Any, ids: list[int]) -> tuple[bytes, list[memoryview]]:
    buffers: list[memoryview] = []
    keep_out = _keep_out_of(buffers)
    if not isinstance(value, BaseException):  # pickle would call its class to make it again
        try:
            data = _dumps(value, 5, buffer_callback=keep_out)
            if _MAIN not in data:
                return data, buffers
        except Exception:  # noqa: BLE001, S110  # pickle fails in many ways; cloudpickle has the last word
            pass
        buffers.clear()
        ids.clear()
    return by_value.dumps(value, keep_out), buffers


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _store(
    data: bytes, buffers: list[memoryview], ids: list[int], writer: SegmentWriter | None
) -> Value:
    sizes = [len(data), *(b.nbytes for b in buffers)] if buffers else []
    total = sum(map(_aligned, sizes)) if buffers else len(data)
    if total <= INLINE_MAX_BYTES or writer is None:
        pieces: list[bytes | memoryview] = [data, bytes(_aligned(len(data)) - len(data))]
        for buffer in buffers:
            pieces += [buffer, bytes(_aligned(buffer.nbytes) - buffer.nbytes)]
        return Value(b"".join(pieces) if buffers else data, sizes, "", 0, ids)
    if len(ids) > IDS_MAX:
        msg = f"a value may hold {IDS_MAX:,} refs, this one holds {len(ids):,}: make it several"
        raise TooManyRefsError(msg)
    with writer.allocate(total) as segment:
        segment.write(0, data)
        at = _aligned(len(data))
        for buffer in buffers:
            segment.write(at, buffer)
            at += _aligned(buffer.nbytes)
    return Value(b"", sizes, segment.name, total, ids)


def load(value: Value, reader: SegmentReader, on_map: Callable[[str], None]) -> Any:
    """Return the user's value; its large buffers are views of a private mapping.

    Args:
        value: what travelled.
        reader: maps segments.
        on_map: told the name of a segment that is now mapped once more.

    Raises:
        SegmentLostError: its segment is not there any more.
        Exception: whatever unpickling raises.
    """
    if value.segment:
        view = _map(value, reader, on_map)
    elif value.sizes:
        view = memoryview(bytearray(value.data))  # writable, and nobody else's
    else:
        return pickle.loads(value.data)  # noqa: S301  # only drivers and workers come here
    if not value.sizes:
        return pickle.loads(view)  # noqa: S301
    sizes = value.sizes
    at = _aligned(sizes[0])
    buffers = []
    for size in sizes[1:]:
        buffers.append(view[at : at + size])
        at += _aligned(size)
    return pickle.loads(view[: sizes[0]], buffers=buffers)  # noqa: S301


def load_code(
    value: Value, captured: list[Value], reader: SegmentReader, on_map: Callable[[str], None]
) -> Any:
    """Return what `pickle_code` has pickled; raises as `load` does.

    Args:
        value: of `store_code`.
        captured: the large buffers, each dumped as a `PickleBuffer`.
        reader: as for `load`.
        on_map: likewise.
    """
    buffers = [load(one, reader, on_map) for one in captured]
    data = _map(value, reader, on_map) if value.segment else value.data
    return pickle.loads(data, buffers=buffers)  # noqa: S301  # only drivers and workers come here


def _map(value: Value, reader: SegmentReader, on_map: Callable[[str], None]) -> memoryview:
    on_map(value.segment)
    try:
        return reader.map(value.segment, value.size)
    except OSError as error:
        reader.unmapped.append(value.segment)
        if error.errno not in (errno.ENOENT, errno.EIO):
            raise
        raise SegmentLostError(reader.files.path(value.segment)) from None
