"""put, get and wait; refs; reference counting; shared memory."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import burrow
from burrow_jupyter.api import context
from burrow_jupyter.core import messages
from burrow_jupyter.engine import client, serialization
from helpers.gates import leave_trace, pass_gate
from helpers.wait import holds_for, wait_until

pytestmark = pytest.mark.usefixtures("two_cpus")


@burrow.remote
def same(value):
    return value


@burrow.remote
def hold(path):
    pass_gate(path)
    return "held"


def store_file_of(address: int) -> str:
    """Return the file that is mapped at an address of this process, "" if none is."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *rest = line.split()
        begin, end = (int(edge, 16) for edge in span.split("-"))
        if begin <= address < end:
            return rest[4] if len(rest) > 4 else ""
    return ""


def address_of(value) -> int:
    """Return where the numbers of an array, a frame or a table lie."""
    if isinstance(value, pa.Table):
        return value["n"].chunk(0).buffers()[1].address
    array = value["n"].to_numpy() if isinstance(value, pd.DataFrame) else value
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize(
    "value",
    [
        np.arange(1_000_000),
        pd.DataFrame({"n": np.arange(1_000_000)}),
        pa.table({"n": np.arange(1_000_000)}),
    ],
    ids=["NumPy", "pandas", "Arrow"],
)
def test_large_values_are_read_where_they_lie(value):
    @burrow.remote
    def look(value):
        return store_file_of(address_of(value))

    ref = burrow.put(value)
    kept = burrow.get(ref)
    here = store_file_of(address_of(kept))
    there = burrow.get(look.remote(ref))

    assert here == there
    assert "burrow" in here


class Burnt(Exception):
    """Its constructor wants a keyword, which pickle does not know of."""

    def __init__(self, what, *, minutes):
        super().__init__(what)
        self.minutes = minutes


def test_exceptions_are_values_whatever_their_constructors_want():
    class Cold(Burnt):
        """As one of a notebook: sent by value."""

    burnt = burrow.get(burrow.put(Burnt("soup", minutes=3)))
    pair = burrow.get(same.remote([Cold("soup", minutes=4), 1]))

    assert (type(burnt), burnt.args, burnt.minutes) == (Burnt, ("soup",), 3)
    assert (type(pair[0]), pair[0].args, pair[0].minutes) == (Cold, ("soup",), 4)


@pytest.mark.parametrize(
    "value", [None, True, 1, 1.5, "text", b"bytes", {"a": [1, (2, 3)]}, {1, 2}]
)
def test_values_come_back_as_they_went(value):
    assert burrow.get(burrow.put(value)) == value
    back = burrow.get(same.remote(value))
    assert back == value
    assert type(back) is type(value)


def test_large_arrays_are_shared_and_aligned():
    array = np.arange(1_000_000, dtype=np.float64)
    back = burrow.get(same.remote(burrow.put(array)))

    assert np.array_equal(back, array)
    assert back.ctypes.data % 64 == 0


def test_wait_gives_at_most_what_was_asked_in_order(tmp_path):
    held = hold.remote(str(tmp_path / "gate"))
    done = [same.remote(i) for i in range(4)]
    burrow.get(done)

    ready, rest = burrow.wait([held, *done], num_returns=2)
    assert ready == done[:2]
    assert rest == [held, *done[2:]]
    ready, rest = burrow.wait([held], timeout=0.01)
    assert (ready, rest) == ([], [held])
    (tmp_path / "gate").touch()
    assert burrow.wait([held], timeout=20) == ([held], [])
    assert burrow.wait([]) == ([], [])


def test_an_object_goes_when_its_last_ref_goes():
    kept = burrow.put(np.zeros(500_000))
    count = len(burrow.objects())
    ref = burrow.put(np.zeros(500_000))
    assert len(burrow.objects()) == count + 1
    del ref
    gc.collect()
    wait_until(lambda: len(burrow.objects()) == count, 5, "the object to be freed")
    assert burrow.get(kept)[0] == 0


def test_an_array_outlives_its_ref_and_its_segment_is_not_overwritten():
    arrays = []
    for number in range(8):
        arrays.append(burrow.get(same.remote(burrow.put(np.full(300_000, number)))))
        gc.collect()
    for _ in range(4):
        burrow.put(np.full(300_000, -1))

    assert [int(a[0]) for a in arrays] == list(range(8))
    assert all((a == a[0]).all() for a in arrays)


def test_a_loop_that_puts_and_drops_writes_into_one_segment(monkeypatch):
    monkeypatch.setattr(client, "REUSE_MAX_WAIT_S", 20)
    monkeypatch.setattr(client, "FRESH_BYTES_PER_S", 1)
    value = np.zeros(1_000_000)
    memory = Path(context.current_or_none().client.files.memory_dir)
    segments = set()
    for _ in range(10):
        ref = burrow.put(value)
        segments |= {path.name for path in memory.glob("c*-*")}
        del ref
    assert len(segments) == 1


def test_what_others_still_look_into_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(client, "REUSE_MAX_WAIT_S", 0.01)
    held = hold.remote(str(tmp_path / "gate"))
    ref = burrow.put(np.ones(1_000_000))
    later = same.options(num_cpus=2).remote(ref)  # waits behind the held task, with the object
    del ref
    for _ in range(3):
        burrow.put(np.zeros(1_000_000))
    (tmp_path / "gate").touch()
    assert burrow.get(held) == "held"
    assert burrow.get(later).sum() == 1_000_000


def test_refs_that_a_task_returns_stay_alive():
    @burrow.remote
    def make(n):
        return [burrow.put(i) for i in range(n)]

    refs = burrow.get([make.remote(20) for _ in range(10)])
    gc.collect()
    assert [burrow.get(r) for r in refs] == [list(range(20))] * 10


def test_a_ref_can_be_awaited_and_gathered():
    async def main():
        one = await same.remote(1)
        many = await asyncio.gather(*[same.remote(i) for i in range(50)])
        return one, many

    assert asyncio.run(main()) == (1, list(range(50)))


def test_a_future_has_result_exception_and_callbacks():
    called = []
    future = same.remote("v").future()
    future.add_done_callback(lambda f: called.append(f.result()))
    assert future.result(20) == "v"
    wait_until(lambda: called == ["v"], 5, "the callback")

    @burrow.remote
    def fail():
        raise KeyError("x")

    assert isinstance(fail.remote().future().exception(20), KeyError)


def test_more_refs_than_a_message_holds_are_refused_in_a_value_and_dropped_in_pieces(monkeypatch):
    monkeypatch.setattr(serialization, "IDS_MAX", 1000)
    monkeypatch.setattr(client, "IDS_MAX", 7)
    refs = [same.remote(number) for number in range(8000)]  # more than 100 KB of them
    burrow.get(refs)

    with pytest.raises(OverflowError, match="a value may hold 1,000 refs, this one holds 8,000"):
        burrow.put(refs)
    with pytest.raises(OverflowError, match="make it several"):
        same.remote([refs])
    assert len(burrow.objects()) >= 8000
    del refs
    gc.collect()

    wait_until(lambda: len(burrow.objects()) < 100, 20, "the head to hear that nobody has them")
    assert burrow.get(same.remote(1)) == 1


def test_more_refs_than_a_message_can_name_are_got_waited_for_and_freed(monkeypatch, tmp_path):
    gates = [str(tmp_path / "first"), str(tmp_path / "second")]
    refs = [
        *(hold.options(num_cpus=0).remote(gate) for gate in gates),
        *(same.remote(n) for n in range(33)),
    ]
    burrow.get(refs[2:])

    @burrow.remote
    def reads(refs, gates):
        client.IDS_MAX = 10
        try:
            some, rest = burrow.wait(refs, num_returns=25)
            leave_trace(gates[1])
            lent = same.options(num_cpus=2).remote(1)  # runs on the CPU that this task lends
            got = burrow.get([*refs[1:], lent])
            leave_trace(gates[0])
            return len(some), len(rest), len(got), len(burrow.get(refs))
        finally:
            client.IDS_MAX = 1_000_000

    sent = []
    encode = client.transport.encode_frame
    monkeypatch.setattr(
        client.transport, "encode_frame", lambda batch: sent.extend(batch) or encode(batch)
    )
    monkeypatch.setattr(client, "IDS_MAX", 10)

    assert burrow.get(reads.remote(refs, gates)) == (25, 10, 35, 35)
    made = burrow.get(burrow.remote(lambda: [burrow.put(n) for n in range(35)]).remote())
    assert burrow.wait(made, num_returns=35) == (made, [])
    assert burrow.get(made) == list(range(35))
    burrow.free(made)
    unreadable = burrow.get(burrow.remote(lambda refs: refs).remote(made))
    with pytest.raises(burrow.exceptions.ObjectFreedError):
        burrow.get(unreadable)
    asked = [len(message.object_ids) for message in sent if type(message) is messages.Get]
    freed = [len(message.object_ids) for message in sent if type(message) is messages.Free]
    assert max(asked) == max(freed) == 10


def test_a_ref_that_comes_back_before_the_head_has_heard_that_it_went_holds_its_object():
    @burrow.remote
    def box():
        return [burrow.put("jam")]

    backend = context.backend()
    for _ in range(20):
        boxed = box.remote()
        inner = burrow.get(boxed)[0]
        backend.flush()
        del inner
        backend.client._send_news()  # as a wait does that begins just then
        inner = burrow.get(boxed)[0]
        del boxed
        backend.flush()
        burrow.get(same.remote(1))

        assert burrow.get(inner, timeout=20) == "jam"


def test_what_is_interrupted_while_it_is_sent_is_not_held(monkeypatch):
    @burrow.remote
    class Pot:
        def stir(self):
            return 1

    @burrow.remote
    def items():
        yield 1

    pot = Pot.remote()
    burrow.get(pot.stir.remote())
    backend = context.backend()
    flush = backend.client.flush

    def interrupted():
        flush()
        raise KeyboardInterrupt

    for send in (
        lambda: same.remote(1),
        lambda: same.options(num_returns=3).remote((1, 2, 3)),
        lambda: pot.stir.options(num_returns=2).remote(),
        lambda: items.remote(),  # noqa: PLW0108  # as the others
        lambda: burrow.put(1),
        lambda: Pot.remote(),  # noqa: PLW0108  # as the others
    ):
        holds_for(lambda: True, 0.003, "what was sent before, so that this is sent at once")
        monkeypatch.setattr(backend.client, "flush", interrupted)
        with pytest.raises(KeyboardInterrupt):
            send()
        monkeypatch.setattr(backend.client, "flush", flush)

    wait_until(lambda: not burrow.objects(), 20, "the results to be let go")
    wait_until(lambda: len(living()) == 1, 20, "the actor to be let go")


def living():
    return [row for row in burrow.actors() if row["state"] == "alive"]


# ---- what functions capture ------------------------------------------------------------


def captured():
    return sorted(name for row in burrow.objects() for name in row["captured_by"])


def definition_of(array, number):
    """Return a remote function of its own that captures an array."""

    @burrow.remote
    def first_of():
        return float(array[0]) + number

    return first_of


def test_arrays_of_functions_that_were_dropped_do_not_pile_up():
    for number in range(5):
        assert burrow.get(definition_of(np.full(50_000, number), 0).remote()) == number

        wait_until(lambda: len(captured()) == 1, 10, "the end of the one before")


def test_functions_that_capture_the_same_share_it():
    array = np.ones(50_000)
    functions = [definition_of(array, number) for number in range(3)]

    assert burrow.get([function.remote() for function in functions]) == [1, 2, 3]

    [row] = [row for row in burrow.objects() if row["captured_by"]]
    assert row["where"] == "shared memory"


def test_a_function_that_was_dropped_runs_the_calls_that_were_made(tmp_path):
    gates = [tmp_path / "gate", tmp_path / "second"]

    def begin(gate):
        array = np.ones(50_000)

        @burrow.remote
        def wait():
            pass_gate(gate)
            return array.sum()

        return [wait.remote() for _ in range(4)]

    refs = begin(gates[0])
    later = begin(gates[1])
    wait_until(lambda: captured() == ["wait"], 10, "both, of which one array is stored")
    for gate in gates:
        gate.touch()

    assert burrow.get(refs + later) == [50_000] * 8


def test_tasks_forget_the_functions_that_they_have_defined():
    @burrow.remote
    def define(count):
        arrays = [np.full(50_000, n) for n in range(count)]
        return burrow.get([definition_of(array, 1).remote() for array in arrays])

    assert burrow.get(define.remote(6)) == [1, 2, 3, 4, 5, 6]

    wait_until(lambda: len(captured()) <= 1, 10, "the end of all but the last")


def test_equal_arrays_of_a_function_are_writable_or_not_as_they_were():
    locked, open_one = np.ones(50_000), np.ones(50_000)
    locked.flags.writeable = False

    @burrow.remote
    def are_writable():
        return locked.flags.writeable, open_one.flags.writeable

    assert burrow.get(are_writable.remote()) == (False, True)
