"""The manifest: one run for every turn, by the first state that matches."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.context.manifest import ManifestGap, check, tile
from chat.context.values import How, Run, Summary


def summary(first: int, last: int, tokens: int = 30) -> Summary:
    return Summary(first=first, last=last, text="They spoke.", tokens=tokens, ref=f"S{first}")


hows: st.SearchStrategy[How] = st.sampled_from(["verbatim", "clamped", "recalled", "excluded", "omitted"])
known = st.dictionaries(
    st.integers(1, 60), st.tuples(hows, st.sampled_from(["", "user"]), st.integers(0, 9)), max_size=30
)
cuts = st.sets(st.integers(1, 60), max_size=12).map(sorted)
covers = cuts.map(lambda cut: [summary(a, b) for a, b in zip(cut[::2], cut[1::2], strict=False)])


@given(st.integers(1, 60), known, covers)
def test_each_turn_is_in_the_first_state_that_matches(
    number: int, known: dict[int, tuple[How, str, int]], covers: list[Summary]
) -> None:
    runs = tile(number, known, covers[::-1], "window")
    found = {turn: run for run in runs for turn in range(run.first, run.last + 1)}
    assert sorted(found) == list(range(1, number + 1))
    for turn, run in found.items():
        covering = [one for one in covers if one.first <= turn <= one.last]
        if turn in known:
            assert (run.how, run.by) == known[turn][:2]
        elif covering:
            assert (run.how, run.by) == ("summarised", covering[0].ref)
        else:
            assert (run.how, run.by) == ("omitted", "window")


@given(st.integers(1, 60), known, covers)
def test_neighbours_alike_are_one_run_and_tokens_are_counted_once(
    number: int, known: dict[int, tuple[How, str, int]], covers: list[Summary]
) -> None:
    runs = tile(number, known, covers, "window")
    assert all((left.how, left.by) != (right.how, right.by) for left, right in pairwise(runs))
    assert sum(run.tokens for run in runs if run.how == "verbatim") == sum(
        tokens for turn, (how, _, tokens) in known.items() if how == "verbatim" and turn <= number
    )
    for one in covers:
        assert sum(run.tokens for run in runs if run.by == one.ref) in (0, one.tokens)


def test_a_pin_inside_a_summarised_range_splits_it_and_nothing_is_counted_twice() -> None:
    assert tile(12, {5: ("verbatim", "", 9), 12: ("verbatim", "", 4)}, [summary(1, 10)], "window") == (
        Run(1, 4, "summarised", "S1", 30),
        Run(5, 5, "verbatim", "", 9),
        Run(6, 10, "summarised", "S1", 0),
        Run(11, 11, "omitted", "window", 0),
        Run(12, 12, "verbatim", "", 4),
    )


def test_a_turn_of_another_branch_beyond_the_request_is_not_looked_at() -> None:
    assert tile(2, {9: ("verbatim", "", 1)}, [summary(4, 8)], "window") == (Run(1, 2, "omitted", "window", 0),)


@pytest.mark.parametrize(
    ("runs", "number"),
    [
        ([], 1),
        ([Run(2, 3, "omitted")], 3),
        ([Run(1, 3, "omitted")], 4),
        ([Run(1, 3, "omitted"), Run(5, 6, "verbatim")], 6),
        ([Run(1, 3, "omitted"), Run(3, 6, "verbatim")], 6),
        ([Run(1, 3, "omitted"), Run(4, 3, "verbatim")], 3),
        ([Run(1, 3, "omitted"), Run(4, 9, "verbatim")], 8),
    ],
)
def test_a_manifest_with_a_gap_or_an_overlap_never_leaves(runs: list[Run], number: int) -> None:
    with pytest.raises(ManifestGap):
        check(runs, number)


def test_a_whole_manifest_passes() -> None:
    check([Run(1, 3, "omitted"), Run(4, 4, "verbatim")], 4)
