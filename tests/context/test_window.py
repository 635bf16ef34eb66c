"""The sliding window: whole turns, batches, and its statistics."""

from hypothesis import given
from hypothesis import strategies as st

from chat.context.window import Size, WindowLimits, newest, slide, statistics
from tests.context import strategies


def plain(first: int, last: int, tokens: int = 100) -> list[Size]:
    return [Size(number, tokens) for number in range(first, last + 1)]


def kept(sizes: list[Size], start: int) -> list[int]:
    return [size.number for size in sizes if size.number >= start and not size.excluded]


limits = st.builds(WindowLimits, max_messages=st.integers(2, 60), batch_messages=st.integers(2, 20))


@given(strategies.sizes(least=1), limits)
def test_the_window_holds_the_newest_turns_and_the_message_within_its_bound(
    sizes: list[Size], limits: WindowLimits
) -> None:
    start = slide(sizes, window_from=sizes[0].number, limits=limits)
    inside = kept(sizes, start)
    everything = kept(sizes, 0)
    assert inside == everything[len(everything) - len(inside) :]
    assert limits.max_messages is not None
    assert 2 * len(inside) + 1 <= limits.max_messages or len(inside) == 1
    assert inside or not everything


@given(strategies.sizes(least=1), limits)
def test_the_start_never_moves_back_and_stays_where_everything_fits(sizes: list[Size], limits: WindowLimits) -> None:
    start = slide(sizes, window_from=sizes[0].number, limits=limits)
    assert start >= sizes[0].number
    assert slide(sizes, window_from=start, limits=limits) == start
    if limits.max_messages and 2 * len(kept(sizes, 0)) + 1 <= limits.max_messages:
        assert start == sizes[0].number


def test_over_its_bound_the_window_lets_ten_messages_go_at_once() -> None:
    starts = []
    start = 1
    for last in range(26):
        start = slide(plain(1, last), window_from=start, limits=WindowLimits(max_messages=20))
        starts.append(start)
    assert starts == [1] * 10 + [6] * 5 + [11] * 5 + [16] * 5 + [21]


def test_a_window_smaller_than_a_batch_lets_half_of_itself_go() -> None:
    assert slide(plain(1, 4), window_from=1, limits=WindowLimits(max_messages=8)) == 3


def test_without_a_bound_the_window_never_slides() -> None:
    assert slide(plain(1, 500), window_from=3, limits=WindowLimits()) == 3


def test_where_loading_stopped_short_the_start_moves_a_batch_beyond() -> None:
    """So that the next load does not stop a turn later, and the next, each breaking the cache."""
    assert slide(plain(21, 40), window_from=1, limits=WindowLimits()) == 26
    assert slide(plain(26, 41), window_from=26, limits=WindowLimits()) == 26
    assert slide([Size(7, 9_000)], window_from=1, limits=WindowLimits()) == 7


def test_nothing_loaded_moves_nothing() -> None:
    assert slide([], window_from=4, limits=WindowLimits(max_messages=2)) == 4
    assert slide([Size(2, 100, pinned=True)], window_from=4, limits=WindowLimits()) == 4


@given(strategies.sizes(), st.integers(0, 100_000), st.integers(1, 5))
def test_newest_is_the_longest_newest_run_within_the_limit(sizes: list[Size], limit: int, at_least: int) -> None:
    start = newest(sizes, limit, at_least=at_least)
    inside = [size for size in sizes if size.number >= start]
    tokens = sum(size.tokens for size in inside if not size.excluded)
    turns = [size for size in inside if not size.excluded]
    assert tokens <= limit or len(turns) <= at_least
    assert len(turns) >= min(at_least, len(kept(sizes, 0)))
    if start > (sizes[0].number if sizes else start):
        before = next(size for size in reversed(sizes) if size.number < start)
        assert tokens + before.tokens > limit


def test_newest_of_nothing_is_the_first_turn() -> None:
    assert newest([], 100) == 1


def test_statistics_count_whole_turns_and_both_roles() -> None:
    found = statistics(last=25, window_from=16, limits=WindowLimits(max_messages=20))
    assert (found.active, found.total, found.dropped) == (20, 50, 30)
    assert found.utilisation == 1.0


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.one_of(st.none(), st.integers(1, 100)))
def test_statistics_never_go_below_nothing(last: int, window_from: int, most: int | None) -> None:
    found = statistics(last=last, window_from=window_from, limits=WindowLimits(max_messages=most))
    assert found.dropped >= 0
    assert found.active + found.dropped == found.total == 2 * last
    assert (found.utilisation is None) == (most is None)
