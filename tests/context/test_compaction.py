"""When to compact and what: marks, landings, chunks, merges, and that compaction comes before trimming."""

import math
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.context.budget import split
from chat.context.compaction import (
    FRAME_TOKENS,
    Chunk,
    Plan,
    Policy,
    Span,
    chunk_limit,
    compressible,
    level,
    marks,
    marks_table,
    plan_compaction,
    plan_merge,
)
from chat.context.values import Extra, Fact, Summary, Turn
from chat.context.window import Size, WindowLimits
from tests.context import strategies
from tests.context.conversation import Conversation, text_of

TURN_FRAME = 2 * FRAME_TOKENS
CONFIGURATION = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text()
ROOMS = st.integers(1, 200_000)


def uncovered(sizes: list[Size], covered: list[tuple[int, int]]) -> list[Size]:
    return [size for size in sizes if not any(first <= size.number <= last for first, last in covered)]


def loose(sizes: list[Size], covered: list[tuple[int, int]]) -> list[Size]:
    return [size for size in uncovered(sizes, covered) if not size.pinned and not size.excluded]


def plain(count: int, tokens: int) -> list[Size]:
    return [Size(number, tokens) for number in range(1, count + 1)]


# --- the marks ---------------------------------------------------------------------------------------------


@given(st.integers(100, 10**6), st.integers(0, 10**6))
def test_a_mark_is_reached_exactly_at_its_share_of_room(room: int, tokens: int) -> None:
    policy = Policy()
    share = tokens / room
    expected = "hard" if share >= 0.9 else "high" if share >= 0.75 else "soft" if share >= 0.6 else "none"
    assert level(tokens, 0, room=room, policy=policy) == expected


def test_the_frames_of_many_short_turns_count() -> None:
    assert level(500, 0, room=1_000, policy=Policy()) == "none"
    assert level(500, 2 * 20, room=1_000, policy=Policy()) == "high"


def test_without_room_anything_at_all_is_over_the_hard_mark() -> None:
    assert level(1, 0, room=0, policy=Policy()) == "hard"
    assert level(0, 0, room=0, policy=Policy()) == "none"


def test_an_empty_window_of_200_k_is_compacted_at_about_50_62_and_74_percent_utilisation() -> None:
    found = marks(split(200_000))
    shares = [found.utilisation(mark) for mark in (found.soft, found.high, found.hard)]
    assert shares == pytest.approx([0.50, 0.62, 0.74], abs=0.01)


def test_the_marks_of_the_windows_in_the_docs() -> None:
    rows = [(row.window, row.room, row.soft, row.high, row.hard) for row in marks_table()]
    assert rows == [
        (8_000, 6_475, 3_885, 4_856, 5_827),
        (200_000, 164_001, 98_400, 123_000, 147_600),
        (1_000_000, 820_001, 492_000, 615_000, 738_000),
    ]
    for row in rows:
        assert f"| {' | '.join(f'{tokens:,}' for tokens in row)} |" in CONFIGURATION


def test_what_other_components_hold_lowers_the_marks() -> None:
    assert marks(split(200_000), held=64_001).soft == 60_000


def test_a_window_of_20_messages_is_compacted_in_batches_of_10_and_before_it_slides() -> None:
    policy = Policy(max_messages=20)
    levels = {messages: level(0, messages, room=10**6, policy=policy) for messages in range(2, 24, 2)}
    assert [messages for messages, reached in levels.items() if reached == "none"] == list(range(2, 18, 2))
    assert levels[18] == "high"
    assert levels[20] == "hard"
    plan = plan_compaction(plain(9, 1_000), room=10**6, policy=policy)
    assert plan is not None
    assert (plan.first, plan.last, plan.keep_from) == (1, 5, 6)


# --- the plan ----------------------------------------------------------------------------------------------


def planned(sizes: list[Size], covered: list[tuple[int, int]], room: int, policy: Policy, force: bool) -> Plan | None:
    plan = plan_compaction(sizes, room=room, policy=policy, covered=covered, force=force)
    if plan is not None:
        assert plan.chunks
    return plan


cases = given(strategies.outlines(), ROOMS, strategies.policies, st.booleans())
Outline = tuple[list[Size], list[tuple[int, int]]]


@cases
def test_a_plan_covers_only_uncovered_turns_below_those_that_stay(
    outline: Outline, room: int, policy: Policy, force: bool
) -> None:
    sizes, covered = outline
    plan = planned(sizes, covered, room, policy, force)
    if plan is None:
        return
    known = {size.number for size in uncovered(sizes, covered)}
    numbers = [number for chunk in plan.chunks for number in range(chunk.first, chunk.last + 1)]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= known
    assert plan.last < plan.keep_from
    # Nothing that could be covered is forgotten below the kept turns.
    assert {size.number for size in loose(sizes, covered) if size.number < plan.keep_from} <= set(numbers)
    assert plan.tokens == sum(size.tokens for size in loose(sizes, covered) if size.number < plan.keep_from)


@cases
def test_a_chunk_fits_the_summariser_unless_it_is_a_single_turn(
    outline: Outline, room: int, policy: Policy, force: bool
) -> None:
    sizes, covered = outline
    plan = planned(sizes, covered, room, policy, force)
    for chunk in plan.chunks if plan else ():
        inside = [size for size in sizes if chunk.first <= size.number <= chunk.last and not size.excluded]
        assert chunk.tokens == sum(size.tokens for size in inside)
        assert chunk.tokens <= policy.chunk_tokens or len(inside) == 1


@cases
def test_a_plan_exists_only_at_a_mark_or_when_asked_for(
    outline: Outline, room: int, policy: Policy, force: bool
) -> None:
    sizes, covered = outline
    plan = planned(sizes, covered, room, policy, force)
    left = loose(sizes, covered)
    reached = level(compressible(sizes, covered), 2 * len(left), room=room, policy=policy)
    if plan is not None:
        assert plan.level == reached
        assert reached != "none" or force
        assert plan.tokens >= policy.summary_tokens // (1 if reached in ("none", "soft") else 4)


@cases
def test_it_keeps_the_last_turns_and_lands_low(outline: Outline, room: int, policy: Policy, force: bool) -> None:
    sizes, covered = outline
    plan = planned(sizes, covered, room, policy, force)
    if plan is None:
        return
    left = loose(sizes, covered)
    kept = [size for size in left if size.number >= plan.keep_from]
    tokens = sum(size.tokens + TURN_FRAME for size in kept)
    assert kept
    # Never over half of room, unless a single turn is.
    assert tokens <= room * policy.keep_share or len(kept) == 1
    # The last turns stay, unless they hold more than that or messages are bounded.
    wanted = left[max(0, len(left) - policy.keep_turns) :]
    if policy.max_messages is None and sum(size.tokens + TURN_FRAME for size in wanted) <= room * policy.keep_share:
        assert plan.keep_from <= wanted[0].number
    # Beyond the last turns only what lies below a third of the high mark stays.
    if len(kept) > policy.keep_turns:
        assert tokens <= room * policy.high / 3


@cases
def test_a_plan_that_was_carried_out_is_never_made_again(
    outline: Outline, room: int, policy: Policy, force: bool
) -> None:
    sizes, covered = outline
    plan = planned(sizes, covered, room, policy, force)
    if plan is None:
        return
    after = sorted([*covered, *((chunk.first, chunk.last) for chunk in plan.chunks)])
    assert compressible(sizes, after) == compressible(sizes, covered) - plan.tokens
    assert planned(sizes, after, room, policy, False) is None


@given(strategies.outlines(), ROOMS, strategies.policies)
def test_a_plan_depends_on_nothing_but_its_input(outline: Outline, room: int, policy: Policy) -> None:
    sizes, covered = outline
    first = plan_compaction(sizes, room=room, policy=policy, covered=covered)
    assert first == plan_compaction(sizes, room=room, policy=policy, covered=covered)
    assert first == plan_compaction(sizes, room=room, policy=policy, covered=covered[::-1])


def test_after_a_compaction_the_next_is_far_away() -> None:
    plan = plan_compaction(plain(100, 1_000), room=164_000, policy=Policy())
    assert plan is not None
    kept = 100 - plan.last
    assert kept * (1_000 + TURN_FRAME) <= 164_000 * 0.25
    assert (kept + 1) * (1_000 + TURN_FRAME) > 164_000 * 0.25


def test_a_paste_of_60_000_tokens_is_not_one_message_among_others() -> None:
    """Split by tokens, at turns: the giant is a chunk of its own, its neighbours are not thrown in with it."""
    sizes = [*plain(3, 500), Size(4, 60_000), *(Size(number, 500) for number in range(5, 12))]
    plan = plan_compaction(sizes, room=90_000, policy=Policy())
    assert plan is not None
    assert Chunk(4, 4, 60_000) in plan.chunks
    assert plan.keep_from > 4


def test_one_turn_that_fills_the_window_stays_and_nothing_is_planned_over_and_over() -> None:
    assert plan_compaction([Size(1, 500_000)], room=100_000, policy=Policy()) is None
    assert plan_compaction([Size(1, 90), Size(2, 500_000)], room=100_000, policy=Policy()) is None


def test_a_small_rest_does_not_become_a_summary_of_its_own() -> None:
    plan = plan_compaction(plain(42, 1_000), room=50_000, policy=Policy(keep_turns=1, high=0.1, hard=0.1))
    assert plan is not None
    assert [chunk.tokens for chunk in plan.chunks] == [14_000, 14_000, 13_000]


def test_a_summary_stands_for_about_20_turns_and_is_a_quarter_of_them_at_most() -> None:
    plan = plan_compaction(plain(400, 300), room=150_000, policy=Policy())
    assert plan is not None
    turns = [chunk.last - chunk.first + 1 for chunk in plan.chunks]
    assert 10 <= min(turns) <= max(turns) <= 21
    short = plan_compaction(plain(200, 40), room=8_000, policy=Policy())
    assert short is not None
    assert min(chunk.tokens for chunk in short.chunks) >= 4 * 400


def test_asked_for_by_a_person_all_but_the_last_turns_are_compacted() -> None:
    assert plan_compaction(plain(20, 300), room=150_000, policy=Policy()) is None
    plan = plan_compaction(plain(20, 300), room=150_000, policy=Policy(), force=True)
    assert plan is not None
    assert (plan.level, plan.last, plan.keep_from) == ("none", 16, 17)


def test_a_window_full_of_very_short_messages_is_compacted_rather_than_trimmed() -> None:
    policy = Policy(max_messages=20)
    plan = plan_compaction(plain(9, 30), room=6_000, policy=policy)
    assert plan is not None
    assert (plan.first, plan.last, plan.tokens) == (1, 5, 150)
    assert plan_compaction(plain(9, 10), room=6_000, policy=policy) is None


def test_pinned_turns_stand_in_the_source_but_fill_no_mark() -> None:
    """So that a summary speaks for a turn whose pin is taken off later."""
    sizes = [Size(number, 1_000, pinned=number == 5) for number in range(1, 31)]
    assert compressible(sizes) == 29_000
    plan = plan_compaction(sizes, room=40_000, policy=Policy())
    assert plan is not None
    assert sum(chunk.tokens for chunk in plan.chunks) == plan.tokens + 1_000


def test_a_summariser_gets_40_percent_of_its_window_and_20_000_tokens_at_most() -> None:
    assert chunk_limit(8_000) == 3_200
    assert chunk_limit(200_000) == 20_000


# --- before trimming ---------------------------------------------------------------------------------------


@st.composite
def growing(draw: st.DrawFn) -> Conversation:
    """A conversation whose other components are filled somehow, by as much as their budgets allow."""
    budget = split(draw(st.sampled_from([4_000, 8_000, 16_000, 200_000])), system_tokens=0)
    share = st.sampled_from([0.0, 0.1, 0.5, 1.0])
    pinned = int(budget.pins * draw(share) * 0.9)
    summary = int(budget.summaries * draw(share))
    facts = int(budget.facts * draw(share)) // 40
    conversation = Conversation(
        budget=budget,
        instructions=text_of(int(budget.system * draw(share))),
        facts=tuple(Fact(kind="id", value=f"A-{number}", quote="order") for number in range(facts)),
        model="a-model",
    )
    before = 0
    if summary > 10:
        conversation.summaries.append(Summary(first=1, last=9, text=text_of(summary), tokens=summary, ref="S1"))
        conversation.turns += [Turn(number=number, prompt="old", reply="old") for number in range(1, 10)]
        before = 9
    if pinned > 10:
        conversation.turns.append(
            Turn(number=before + 1, prompt=text_of(pinned), prompt_tokens=pinned, reply="ok", pinned=True)
        )
    conversation.window_from = before + 1
    return conversation


@given(growing(), st.integers(2, 15), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
@settings(max_examples=60)
def test_compaction_comes_before_trimming_for_any_fill_of_the_other_components(
    conversation: Conversation, percent: int, fresh: float, bounded: bool
) -> None:
    budget = conversation.budget
    if bounded:
        conversation.policy = Policy(max_messages=20)
        conversation.limits = WindowLimits(max_messages=20)
    fresh_ones: tuple[Literal["recall", "documents"], ...] = ("recall", "documents") if fresh else ()
    extras = [
        Extra(component=name, text=text_of(int(budget.of(name) * fresh * 0.9)), tokens=1, ref=name)
        for name in fresh_ones
    ]
    side = max(4, budget.input_limit * percent // 200)
    for _ in range(200):
        assembled = conversation.ask(text_of(side // 2), text_of(side - side // 2), extras=extras)
        assert not assembled.manifest.trimmed
        if conversation.level() != "none":
            break
    else:
        raise AssertionError("nothing ever happens")


@pytest.mark.parametrize("window", [4_000, 8_000, 200_000])
@pytest.mark.parametrize("max_messages", [None, 20])
def test_a_conversation_that_is_compacted_in_time_is_never_trimmed(window: int, max_messages: int | None) -> None:
    conversation = Conversation(
        budget=split(window), policy=Policy(max_messages=max_messages), limits=WindowLimits(max_messages=max_messages)
    )
    side = window // 60
    compactions = 0
    for _ in range(150):
        assembled = conversation.ask(text_of(side), text_of(side))
        assert not assembled.manifest.trimmed
        assert {run.how for run in assembled.manifest.runs} <= {"verbatim", "summarised"}
        compactions += conversation.compact() is not None
        while conversation.merge():
            pass
    assert 3 <= compactions <= 30


# --- merging -----------------------------------------------------------------------------------------------


def adjacent(tiers: list[int], tokens: int = 400) -> list[Span]:
    return [Span(at * 10 + 1, at * 10 + 10, tier, tokens) for at, tier in enumerate(tiers)]


def test_nothing_is_merged_within_the_budget() -> None:
    assert plan_merge(adjacent([1] * 10), budget=4_000) is None


def test_the_oldest_four_neighbours_of_the_fullest_tier_are_merged() -> None:
    merge = plan_merge(adjacent([2, 2, 1, 1, 1, 1, 1, 1]), budget=2_000)
    assert merge is not None
    assert [span.first for span in merge.spans] == [21, 31, 41, 51]
    assert merge.tier == 2


def test_a_merge_never_spans_a_gap() -> None:
    spans = [Span(1, 10, 1, 400), Span(12, 20, 1, 400), Span(21, 30, 1, 400)]
    merge = plan_merge(spans, budget=100)
    assert merge is not None
    assert [span.first for span in merge.spans] == [12, 21]
    assert plan_merge(spans[:2], budget=100) is None


def test_without_equal_neighbours_the_oldest_summary_is_not_written_again() -> None:
    merge = plan_merge(adjacent([5, 3, 2, 1]), budget=100)
    assert merge is not None
    assert [span.tier for span in merge.spans] == [2, 1]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(0, 5_000))
def test_merging_ends_within_the_budget_or_at_one_summary(tiers: list[int], budget: int) -> None:
    spans = adjacent(tiers)
    while merge := plan_merge(spans, budget=budget):
        assert 2 <= len(merge.spans) <= 4
        at = spans.index(merge.spans[0])
        assert tuple(spans[at : at + len(merge.spans)]) == merge.spans
        spans[at : at + len(merge.spans)] = [Span(merge.spans[0].first, merge.spans[-1].last, merge.tier, 400)]
    assert sum(span.tokens for span in spans) <= budget or len(spans) == 1
    assert (spans[0].first, spans[-1].last) == (1, 10 * len(tiers))


@pytest.mark.parametrize("window", [8_000, 16_000, 200_000])
def test_over_10_000_turns_each_is_summarised_again_a_logarithm_of_times(window: int) -> None:
    """Ten turns a summary, each as long as it may be."""
    budget = split(window).summaries
    spans: list[Span] = []
    times = dict.fromkeys(range(1, 1_001), 0)  # by tier-1 summary: how often its turns were summarised again
    for at in range(1, 1_001):
        spans.append(Span(at, at, 1, 400))
        while merge := plan_merge(spans, budget=budget):
            first, last = merge.spans[0].first, merge.spans[-1].last
            for one in range(first, last + 1):
                times[one] += 1
            spans = [span for span in spans if span.last < first or span.first > last]
            spans.append(Span(first, last, merge.tier, 400))
            spans.sort(key=lambda span: span.first)
        assert sum(span.tokens for span in spans) <= budget
    assert max(times.values()) <= 1.5 * math.log2(10_000)
