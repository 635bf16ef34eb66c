"""What became of a turn, told from nothing but the manifests of the requests that came after it."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat.context.forgetting import Seen, Stretch, at, fate
from chat.context.manifest import check, tile
from chat.context.values import How, Run, Summary


def seen(number: int, *runs: tuple[int, int, How, str], window: int = 16_000, rung: str = "") -> Seen:
    """A request whose other turns stand word for word."""
    return Seen(number=number, runs=[Run(*run) for run in runs], model="large", window=window, rung=rung)


def told(stretches: Sequence[Stretch]) -> list[tuple[int, int, str, str, str]]:
    """The stretches in short."""
    return [(one.first, one.last, one.how, one.by, one.why) for one in stretches]


def test_the_story_of_a_turn_is_told_from_its_own_request_to_the_newest() -> None:
    requests = [
        *(seen(n, (1, n, "verbatim", "")) for n in range(10, 15)),
        *(seen(n, (1, 12, "summarised", "S3"), (13, n, "verbatim", "")) for n in range(15, 22)),
        seen(22, (1, 11, "summarised", "S3"), (12, 12, "recalled", "words"), (13, 22, "verbatim", "")),
        seen(23, (1, 12, "summarised", "S3"), (13, 23, "verbatim", "")),
        seen(24, (1, 18, "summarised", "S9"), (19, 24, "verbatim", "")),
    ]
    assert told(fate(12, requests)) == [
        (12, 12, "verbatim", "", "said"),
        (13, 14, "verbatim", "", "recent"),
        (15, 21, "summarised", "S3", "compacted"),
        (22, 22, "recalled", "words", "recalled"),
        (23, 23, "summarised", "S3", "not_recalled"),
        (24, 24, "summarised", "S9", "compacted_again"),
    ]


def test_what_was_left_out_has_the_cause_that_the_request_shows() -> None:
    whole = seen(5, (1, 5, "verbatim", ""))

    def left_out(by: str, **values: int | str) -> list[str]:
        late = Seen(number=6, runs=[Run(1, 4, "omitted", by), Run(5, 6, "verbatim")], **{"window": 16_000} | values)
        return [one.why for one in fate(2, [whole, late])]

    assert left_out("window") == ["recent", "window"]
    assert left_out("trimmed") == ["recent", "trimmed"]
    assert left_out("trimmed", rung="trim") == ["recent", "ladder"]
    assert left_out("trimmed", window=4_000) == ["recent", "model"]


def test_what_people_did_to_a_turn_is_told_as_theirs() -> None:
    requests = [
        seen(3, (1, 3, "verbatim", "")),
        seen(4, (1, 1, "verbatim", ""), (2, 2, "excluded", "user"), (3, 4, "verbatim", "")),
        seen(5, (1, 5, "verbatim", "")),
        seen(6, (1, 3, "summarised", "S1"), (4, 6, "verbatim", "")),
        seen(7, (1, 1, "summarised", "S1"), (2, 2, "recalled", "pin"), (3, 3, "summarised", "S1"),
             (4, 7, "verbatim", "")),
        seen(8, (1, 8, "verbatim", "")),
    ]  # fmt: skip
    story = fate(2, requests)
    assert [one.why for one in story] == ["recent", "excluded", "included", "compacted", "pinned", "restored"]
    assert [one.lost for one in story] == [False, True, False, False, False, False]
    assert [one.words_seen for one in story] == [True, False, True, False, True, True]


def test_requests_without_a_manifest_are_gaps_and_not_guesses() -> None:
    story = fate(1, [seen(1, (1, 1, "verbatim", "")), seen(2, (1, 2, "verbatim", "")), seen(9, (1, 9, "verbatim", ""))])
    assert [(one.first, one.last, one.requests) for one in story] == [(1, 1, 1), (2, 9, 2)]
    assert at(story, 9) is story[1]
    assert at(story, 10) is None
    assert fate(4, [seen(3, (1, 3, "verbatim", ""))]) == ()
    assert fate(4, [seen(4, (1, 3, "verbatim", ""))]) == ()  # a damaged manifest says nothing of it


@given(
    st.integers(2, 30).flatmap(
        lambda number: st.tuples(
            st.just(number),
            st.integers(1, number),
            st.lists(st.integers(1, number), max_size=4, unique=True),
            st.integers(0, number - 1),
        )
    )
)
def test_every_request_after_a_turn_is_in_exactly_one_stretch(drawn: tuple[int, int, list[int], int]) -> None:
    last, turn, excluded, covered = drawn
    summaries = [Summary(first=1, last=covered, text="", tokens=9, ref="S1")] if covered else []
    requests = []
    for number in range(1, last + 1):
        known: dict[int, tuple[How, str, int]] = {n: ("excluded", "user", 0) for n in excluded if n <= number}
        known |= {number: ("verbatim", "", 5)}
        runs = tile(number, known, [one for one in summaries if one.last < number], "trimmed")
        check(runs, number)
        requests.append(Seen(number=number, runs=runs))
    story = fate(turn, requests)
    assert story[0].first == turn
    assert story[-1].last == last
    assert sum(one.requests for one in story) == last - turn + 1
    assert all(before.last + 1 == after.first for before, after in pairwise(story))
