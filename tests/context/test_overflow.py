"""The ladder: its order, that each rung holds all that the ones above gave, and that it always ends in an answer."""

from dataclasses import fields
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.context.budget import BudgetError
from chat.context.overflow import LADDER, Cut, at, below
from chat.context.values import Assembled, Extra, Run, Step
from chat.providers.validate import validate
from tests.context.stories import lower, make, state, states, story, words
from tests.context.strategies import Case, cases, mark, turn, turns


def gave_way(cut: Cut) -> set[str]:
    """What differs from a cut of nothing; the share of history only when it is the last one."""
    return {field.name for field in fields(cut) if getattr(cut, field.name) != field.default} - {"rung"}


def test_the_ladder_goes_down_in_the_declared_order() -> None:
    assert [rung.name for rung in LADDER] == [
        "recall",
        "documents",
        "half",
        "quarter",
        "tool_results",
        "clamp",
        "summaries",
        "pins",
        "alone",
        "clamp_current",
    ]


def test_every_rung_holds_all_that_those_above_it_gave() -> None:
    cuts = [Cut(), *below(Cut())]
    for above, under in pairwise(cuts):
        assert gave_way(above) <= gave_way(under)
        assert under != above
    shares = [cut.history for cut in cuts if cut.history is not None]
    assert shares == sorted(shares, reverse=True)
    assert gave_way(cuts[-1]) == {field.name for field in fields(Cut)} - {"rung"}


def test_a_rung_is_found_by_its_name_and_what_lies_below_it_goes_on_from_there() -> None:
    assert at("") == Cut()
    for cut in below(Cut()):
        assert at(cut.rung) == cut
    cuts = list(below(Cut()))
    for number, cut in enumerate(cuts, start=1):
        assert list(below(cut)) == cuts[number:]


def test_an_unknown_rung_is_an_error() -> None:
    with pytest.raises(KeyError):
        at("sideways")


# --- any request, climbed down -----------------------------------------------------------------------------


@given(cases())
@settings(max_examples=40)
def test_every_rung_makes_a_strictly_smaller_request_and_the_ladder_ends(case: Case) -> None:
    names = ["", *(rung.name for rung in LADDER)]
    above: Assembled | None = make(case)
    for _ in range(100):
        assert above is not None
        built = lower(case, above)
        if built is None:
            return
        validate(built.request)
        assert built.manifest.estimated < above.manifest.estimated
        assert names.index(built.rung) > names.index(above.rung) or built.rung == above.rung == names[-1]
        above = built
    raise AssertionError("the ladder has no end")


@given(cases(), st.integers(101, 1_000))
@settings(max_examples=40)
def test_the_numbers_of_the_error_are_respected(case: Case, percent: int) -> None:
    """The estimate is taken to be wrong by as much as the error says: what comes next would have fitted."""
    assembled = make(case)
    estimated = assembled.manifest.estimated
    actual = estimated * percent // 100 + case.budget.response
    allowed = estimated
    built = lower(case, assembled, actual=actual, allowed=allowed)
    if built is not None:
        assert built.manifest.estimated * actual // estimated <= allowed - case.budget.response


def test_an_error_without_numbers_costs_one_rung() -> None:
    extra = Extra(component="recall", text="[recalled-1] old words " * 20, tokens=1, ref="turn 1", turn=1)
    case = story(*turns(2, 9), extras=(extra,), window_from=2)
    built = lower(case, make(case))
    assert built is not None
    assert built.rung == "recall"


def test_a_history_ten_times_the_window_is_answered_from_its_newest_turns() -> None:
    case = story(*turns(1, 800, tokens=1_000), window=80_000)
    assembled = make(case)
    assert assembled.rung == "half"
    sent = [number for number, how in states(assembled).items() if how == "verbatim"]
    assert 25 <= len(sent) <= 40
    assert sent == list(range(801 - len(sent) + 1, 802))
    assert state(assembled, 1) == Run(1, 801 - len(sent), "omitted", "half")
    assert assembled.manifest.trimmed
    assert assembled.manifest.window_from == 801 - len(sent) + 1


def test_a_message_of_a_million_characters_is_clamped_around_a_marker() -> None:
    text = "BEGIN " + "lorem ipsum dolor " * 55_555 + " END"
    case = story(*turns(1, 3), text=text, window=16_000)
    assembled = make(case)
    assert assembled.rung == "clamp_current"
    last = assembled.request.messages[-1].blocks[-1].text
    assert last.startswith("BEGIN")
    assert last.endswith("END")
    assert "truncated to fit the message budget" in last
    assert assembled.manifest.estimated > case.budget.input_limit * 0.9
    assert states(assembled) == {1: "omitted", 2: "omitted", 3: "omitted", 4: "clamped"}
    below = lower(case, assembled, actual=30_000, allowed=16_000)
    assert below is not None
    assert below.manifest.estimated < assembled.manifest.estimated * 16 // 30


def test_a_finished_turn_larger_than_the_window_is_clamped_and_the_message_stands() -> None:
    giant = turn(3, "x9 " * 60_000, answer="Thank you.")
    case = story(*turns(1, 2), giant, window=16_000)
    assembled = make(case)
    assert assembled.rung == "clamp"
    assert state(assembled, 3).how == "clamped"
    assert state(assembled, 4).how == "verbatim"
    assert mark("prompt", 3) in words(assembled.request)
    assert "the whole of turn 3 is stored" in words(assembled.request)


def test_turns_are_clamped_until_they_fit_before_anything_below_gives_way() -> None:
    """Whatever the message leaves: the notes and frames around the turns are part of the sum."""
    giant = turn(1, "x9 " * 4_000, answer="Thank you.")
    for length in range(12_500, 16_800, 30):
        assembled = make(story(giant, text="x" * length, window=8_000))
        assert assembled.rung == "clamp", length


def test_a_clamped_turn_has_the_same_bytes_whatever_little_the_next_message_adds() -> None:
    giant = turn(3, "x9 " * 60_000, answer="Thank you.")
    one = make(story(*turns(1, 2), giant, text="Short.", window=16_000)).request
    other = make(story(*turns(1, 2), giant, text="A good deal longer. " * 20, window=16_000)).request
    assert one.messages[:-1] == other.messages[:-1]


def test_tool_results_give_way_before_words_do_and_say_where_they_are() -> None:
    steps: tuple[Step, ...] = ()
    for call in ("c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"):
        steps += (
            Step(kind="tool_use", body="{}", call_id=call, name="read_file"),
            Step(kind="tool_result", body="data " * 1_100, call_id=call),
        )
    case = story(turn(1, "hello"), turn(2, "read them", steps=steps), window=16_000)
    assembled = make(case)
    assert assembled.rung == "tool_results"
    assert words(assembled.request).count("[the result of read_file, 1,834 tokens, is stored with turn 2]") == 8
    assert mark("reply", 2) in words(assembled.request)
    assert state(assembled, 2).how == "clamped"
    assert next(line for line in assembled.manifest.report if line.component == "tool_results").truncated


def test_instructions_larger_than_the_limit_are_a_typed_error() -> None:
    case = story(turn(1, "hello"), instructions="Be brief. " * 4_000, window=4_000)
    with pytest.raises(BudgetError, match="leave no room") as caught:
        make(case)
    assert caught.value.least > 4_000
