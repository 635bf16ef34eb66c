"""Ranges of turns: what stands word for word has one form, and loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.store import ranges

pairs = st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@pytest.mark.parametrize(
    ("first", "last", "given", "gaps"),
    [
        (1, 9, [], [(1, 9)]),
        (1, 9, [(1, 9)], []),
        (1, 9, [(3, 4)], [(1, 2), (5, 9)]),
        (1, 9, [(5, 20), (1, 2)], [(3, 4)]),
        (1, 9, [(2, 6), (4, 5)], [(1, 1), (7, 9)]),
        (4, 3, [(1, 9)], []),
        (5, 9, [(1, 5), (9, 9)], [(6, 8)]),
    ],
)
def test_gaps_are_what_no_range_covers(first: int, last: int, given: list, gaps: list) -> None:
    assert ranges.gaps(first, last, given) == gaps


@given(st.integers(1, 45), st.lists(pairs, max_size=4), st.lists(pairs, max_size=4))
def test_what_is_placed_stands_word_for_word_but_for_what_is_covered(start: int, older: list, covered: list) -> None:
    window_from, kept = ranges.place(start, older, covered)
    for number in range(1, 60):
        wanted = (number >= start or ranges.hold(older, number)) and not ranges.hold(covered, number)
        assert (number >= window_from or ranges.hold(kept, number)) is wanted, number
    assert kept == ranges.join(kept)
    assert all(last < window_from - 1 for _, last in kept), "what touches the window is part of it"


@pytest.mark.parametrize("stored", [None, {}, "x", [[2, 1]], [[0, 3]], [[True, 2]], [["a", 2]], [[1]]])
def test_what_is_no_range_is_none(stored: object) -> None:
    assert ranges.read(stored) == []


def test_stored_ranges_are_read_in_order_and_joined() -> None:
    assert ranges.read([[5, 6], [1, 2], [3, 4], [9, 9]]) == [(1, 6), (9, 9)]
