"""Ids: made without asking, unique, and written as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burrow_jupyter.core.ids import IdMint, client_of, parse_short, short

ids = st.builds(
    lambda client, major, minor: (client << 40) + major * 64 + minor,
    st.integers(0, 2**23 - 1),
    st.integers(0, 2**34 - 1),
    st.integers(0, 63),
)


@given(ids)
def test_what_people_see_of_an_id_leads_back_to_it(any_id):
    assert parse_short(short(any_id)) == any_id


@given(st.text(max_size=20))
def test_what_people_type_is_an_id_or_an_error(text):
    try:
        parsed = parse_short(text)
    except ValueError:
        return
    assert 0 <= parsed < 2**63


@pytest.mark.parametrize("text", ["", "5", "1.2.3.4", "1.x", "-1.2", "1.²", "8388608.1", "1.2.64"])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="not an id"):
        parse_short(text)


def test_an_id_says_who_made_it():
    mint = IdMint(12)

    assert {client_of(mint.next()) for _ in range(100)} == {12}
    assert short(IdMint(12).next()) == "12.1"


@given(st.lists(st.integers(1, 500), max_size=20))
def test_blocks_do_not_overlap(sizes):
    mint = IdMint(1)

    blocks = [(mint.block(size), size) for size in sizes]
    taken = [first + n for first, size in blocks for n in range(size)]

    assert len(set(taken)) == len(taken)
    assert mint.next() not in taken


def test_a_block_that_another_thread_broke_into_starts_over():
    mint = IdMint(1)
    take, calls = mint.next, []

    def interrupted() -> int:
        calls.append(1)
        if len(calls) == 2:
            take()  # what another thread takes in between
        return take()

    mint.next = interrupted
    first = mint.block(200)

    assert len(calls) == 5  # one for nothing, four in a row
    assert mint.next() == first + 256
