"""What recorded calls add up to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring import series
from monitoring.series import Counted, Mark, Prefix, Sample

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def sample(number: int, size: int, **given) -> Sample:
    values = {"at": NOON + timedelta(minutes=number), "model": "claude-opus-4-6", "window": 200_000, "input": size}
    return Sample(number=number, **values | given)


def counted(number: int, size: int, **given) -> Counted:
    return Counted(
        **{"number": number, "window": 200_000, "input": size, "cache_read": 0, "cache_write": 0, "output": 0} | given
    )


def mark(number: int, kind: str = "compaction", **given) -> Mark:
    return Mark(**{"kind": kind, "number": number, "at": NOON + timedelta(minutes=number)} | given)


# --- one call


def test_the_size_of_an_input_is_what_was_paid_read_and_written():
    call = sample(1, 100, cache_read=800, cache_write=100, output=50)
    assert call.size == 1_000
    assert call.utilisation == 0.005
    assert call.cached == 0.8


def test_a_window_that_nobody_knows_gives_no_utilisation():
    assert sample(1, 100, window=0).utilisation is None
    assert series.pressure(None) == "unknown"


@pytest.mark.parametrize(("share", "word"), [(0.699, "calm"), (0.70, "watch"), (0.799, "watch"), (0.80, "alert")])
def test_pressure_begins_at_the_two_alert_lines(share, word):
    assert series.pressure(share) == word


@given(
    st.dictionaries(st.sampled_from([*series.COMPONENTS, "pins", "zebra"]), st.integers(0, 10**6)),
    st.integers(0, 10**6),
)
def test_the_parts_of_a_bar_add_up_to_the_bar(components, total):
    parts = series.stack(components, total)
    assert sum(parts.values()) == (total if any(components.values()) else 0)
    assert all(tokens >= 0 for tokens in parts.values())
    assert set(parts) == {name for name, tokens in components.items() if tokens}


def test_parts_keep_their_proportion_and_the_drawing_order():
    parts = series.stack({"zebra": 10, "history": 60, "system": 30}, 50)
    assert list(parts.items()) == [("system", 15), ("history", 30), ("zebra", 5)]


# --- the cache


def test_reuse_tells_a_broken_prefix_from_a_grown_prompt():
    assert series.reuse(read=9_000, left_by_previous=9_000) == 1.0
    assert series.reuse(read=12_000, left_by_previous=9_000) == 1.0
    assert series.reuse(read=900, left_by_previous=9_000) == pytest.approx(0.1)
    assert series.reuse(read=0, left_by_previous=0) is None


BEFORE = Prefix(at=NOON, model="opus", cached=10_000, system="aa", tools="bb")
NEXT = {"at": NOON + timedelta(minutes=1), "model": "opus", "read": 0, "system": "aa", "tools": "bb"}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"read": 10_000}, ""),
        ({"read": 9_600}, ""),
        ({"model": "haiku", "system": "cc"}, "model"),
        ({"tools": "cc", "system": "cc"}, "tools"),
        ({"system": "cc", "changed": "compaction"}, "system"),
        ({"changed": "compaction", "read": 2_000}, "compaction"),
        ({"changed": "messages"}, "messages"),
        ({"at": NOON + timedelta(minutes=5, seconds=1)}, "ttl"),
        ({"at": NOON + timedelta(minutes=5)}, "unexplained"),
        ({"at": NOON + timedelta(hours=2), "changed": "compaction"}, "compaction"),
        ({"system": ""}, "unexplained"),
        ({"read": 10_000, "model": "haiku"}, ""),
    ],
)
def test_the_cause_of_a_miss_is_the_first_thing_in_the_prefix_that_changed(change, cause):
    assert series.cache_miss_cause(BEFORE, Prefix(**NEXT | change)) == cause


def test_a_first_call_and_one_after_an_uncached_call_miss_nothing():
    assert series.cache_miss_cause(None, Prefix(**NEXT)) == ""
    assert series.cache_miss_cause(Prefix(at=NOON, model="opus"), Prefix(**NEXT)) == ""


def test_an_entry_written_for_an_hour_is_not_too_old_after_ten_minutes():
    later = Prefix(**NEXT | {"at": NOON + timedelta(minutes=10)})
    long = Prefix(at=NOON, model="opus", cached=10_000, ttl="1h")
    assert series.cache_miss_cause(BEFORE, later) == "ttl"
    assert series.cache_miss_cause(long, later) == "unexplained"


# --- over the turns


def test_growth_averages_what_turns_add_and_ignores_a_compaction():
    growth = series.grow(0, 10_000, 12_000)
    assert growth == 2_000
    growth = series.grow(growth, 12_000, 15_000)
    assert growth == pytest.approx(2_300)
    assert series.grow(growth, 15_000, 4_000) == growth


def test_one_attached_document_is_not_a_trend():
    assert series.grow(1_000, 10_000, 90_000) == pytest.approx(1_600)


def test_growth_over_several_turns_is_by_turn():
    assert series.grow(0, 10_000, 16_000, turns=3) == 2_000


@pytest.mark.parametrize(
    ("tokens", "limit", "growth", "left"),
    [(10_000, 20_000, 3_000, 3), (20_000, 20_000, 3_000, 0), (10, 20, 0, None), (10, 0, 5, None), (30, 20, 0, 0)],
)
def test_the_forecast_counts_whole_turns_below_the_limit(tokens, limit, growth, left):
    assert series.turns_left(tokens, limit, growth) == left


def test_a_turn_is_drawn_by_its_newest_counted_call():
    early, late = sample(3, 500), sample(3, 900, at=NOON + timedelta(hours=1))
    failed = sample(3, 0, at=NOON + timedelta(hours=2), outcome="overloaded")
    assert series.by_turn([late, failed, early, sample(1, 10)]) == [sample(1, 10), late]
    assert series.by_turn([failed]) == [failed]


@pytest.mark.parametrize(
    ("count", "share", "rank"),
    [(1, 0.95, 1), (19, 0.95, 19), (20, 0.95, 19), (21, 0.95, 20), (100, 0.95, 95), (4, 0.5, 2), (5, 0.5, 3)],
)
def test_quantiles_are_by_nearest_rank(count, share, rank):
    assert series.nearest_rank(list(range(count, 0, -1)), share) == rank


def test_a_quantile_of_nothing_is_none():
    assert series.nearest_rank([], 0.95) is None


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300), st.integers(1, 100))
def test_a_nearest_rank_is_the_smallest_value_that_enough_values_do_not_exceed(values, percent):
    found = series.nearest_rank(values, percent / 100)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_statistics_count_only_what_the_api_counted():
    calls = [
        counted(1, 1_000, output=100, first_ms=400),
        counted(2, 500, cache_read=2_500, output=300, first_ms=900, miss_cause="ttl"),
        counted(3, 0),
        counted(4, 2_000, output=200, miss_cause="ttl"),
        counted(5, 2_000, output=200, miss_cause="model", window=2_000),
    ]
    found = series.statistics(calls)
    assert found.samples == 4
    assert found.average_input == 2_000
    assert found.p95_input == found.maximum_input == 3_000
    assert found.maximum_at == 2
    assert found.average_output == 200
    assert (found.total_input, found.total_output) == (8_000, 800)
    assert found.cached == 2_500 / 8_000
    assert (found.breaks, found.main_break) == (3, "ttl")
    assert (found.first_p50_ms, found.first_p95_ms) == (400, 900)
    assert (found.peak, found.peak_at) == (1.0, 5)


def test_statistics_of_no_call_know_nothing_and_say_so():
    assert series.statistics([]) == series.statistics([counted(1, 0)]) == series.Statistics()


def test_without_a_known_window_there_is_no_peak():
    found = series.statistics([counted(1, 10, window=0)])
    assert (found.samples, found.peak, found.peak_at) == (1, None, None)


# --- what is said


def test_the_lane_shows_what_took_effect_and_a_climb_down_the_ladder_once():
    rungs = [
        mark(3, "rung", tokens_before=210_000, tokens_after=140_000),
        mark(3, "rung", at=NOON + timedelta(minutes=4), tokens_before=140_000, tokens_after=70_000),
        mark(3, "recovery", at=NOON + timedelta(minutes=5), tokens_before=210_000, tokens_after=69_000),
    ]
    failed = mark(4, outcome="failed")
    rejected = mark(4, "gate_rejected", outcome="rejected")
    merge = mark(2, at=NOON + timedelta(minutes=2, seconds=1))
    drawn = series.lane([rejected, *rungs, failed, mark(2), mark(2, "trim"), merge, mark(1, "surgery")])
    assert [(each.number, each.kind) for each in drawn] == [
        (1, "surgery"), (2, "compaction"), (2, "trim"), (2, "compaction"), (3, "recovery"),
    ]  # fmt: skip
    assert (drawn[-1].tokens_before, drawn[-1].tokens_after) == (210_000, 69_000)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_the_headline_says_now_peak_and_last_compaction():
    turns = [sample(1, 20_000), sample(2, 168_600), sample(3, 56_000)]
    marks = series.lane([mark(2, tokens_before=1, tokens_after=0), mark(3, tokens_before=132_400, tokens_after=2_800)])
    assert plain(series.headline(turns, marks)) == (
        "28 % of the 200 k window at turn 3. Peak 84 % at turn 2, over the 80 % alert. "
        "Last compaction before turn 3: 132.4 k to 2.8 k."
    )
    assert "over the 70 % alert" in plain(series.headline([sample(1, 150_000), sample(2, 10)], []))
    assert plain(series.headline([sample(1, 50_000), sample(2, 10_000)], [])) == (
        "5 % of the 200 k window at turn 2. Peak 25 % at turn 1."
    )


def test_the_headline_of_nothing_and_of_an_unknown_window():
    assert series.headline([], []) == series.headline([sample(1, 0)], []) == "No calls yet."
    assert series.headline([sample(1, 10, window=0)], []) == "The window of this model is not known."


def test_a_headline_is_translated_before_its_figures_are_put_in():
    asked = []
    series.headline([sample(7, 50_000)], [], lambda text: asked.append(text) or text)
    assert "{now} of the {window} window at turn {turn}." in asked
