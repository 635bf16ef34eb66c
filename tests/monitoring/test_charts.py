"""The charts over time: picture, table, CSV and sentence out of the same points; and what the sentences say."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from monitoring import cards, filters, histograms, saying, timecharts, workcharts
from monitoring.filters import SPANS, Filter
from monitoring.folding import Figures
from monitoring.points import Full, Happened, Point, Today

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALL = Filter()
CAUSES = {"system": "system prompt changed", "ttl": "cache entry expired"}


def rate(read: int, misses: dict[str, int] | None = None, calls: int = 10) -> Figures:
    """Calls of 100,000 tokens in all, `read` thousand of them out of the cache."""
    return Figures(
        calls=calls, counted=calls, input=100_000 - read * 1_000, cache_read=read * 1_000, misses=misses or {}
    )


def by_step(*each: Figures | None, minutes: int = 15) -> list[tuple[datetime, Figures | None]]:
    return [(START + timedelta(minutes=minutes * index), one) for index, one in enumerate(each)]


def points(*each: Figures | None, events: dict[int, Happened] | None = None) -> list[Point]:
    known = events or {}
    return [Point(at, one, one, None, known.get(index, Happened())) for index, (at, one) in enumerate(by_step(*each))]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_fall_is_blamed_on_what_broke_more_caches_than_it_used_to():
    found = saying.fall(
        by_step(rate(90, {"ttl": 5}), rate(90, {"ttl": 5}), rate(40, {"ttl": 5, "system": 4}), rate(90))
    )
    assert (found.cause, found.breaks, found.all) == ("system", 4, 9)
    assert (found.at, found.back) == (START + timedelta(minutes=30), START + timedelta(minutes=45))
    assert plain(saying.of_cache(by_step(rate(90)), found, CAUSES)) == (
        "Fell from 90 % to 40 % at 12:30: system prompt changed (4 of 9 breaks); back since 12:45."
    )


@pytest.mark.parametrize(
    "each",
    [
        (rate(90), rate(86, {"ttl": 1})),
        (rate(90), None, rate(10)),
        (rate(10, {"ttl": 9}),),
        (),
    ],
    ids=["not deep enough", "new sessions break nothing", "nothing before it", "nothing"],
)
def test_what_is_no_fall_is_told_as_none(each):
    assert saying.fall(by_step(*each)) is None


def test_a_gap_in_the_data_is_a_gap_in_the_chart_and_an_empty_cell_in_the_csv():
    drawn = timecharts.cache(points(rate(90), None, rate(80)), ALL, None)
    assert [row[0] for row in json.loads(drawn.data)["rows"]] == [0.9, None, 0.8]
    assert [line[:2] for line in drawn.lines] == [
        ["2026-11-22T12:00Z", 0.9],
        ["2026-11-22T12:15Z", ""],
        ["2026-11-22T12:30Z", 0.8],
    ]
    assert [(at, values[0].replace("\u00a0", " ")) for at, values in drawn.written] == [
        ("Sun 22 Nov 12:30", "80.0 %"), ("Sun 22 Nov 12:15", "–"), ("Sun 22 Nov 12:00", "90.0 %"),
    ]  # fmt: skip
    assert drawn.header[:2] == ["start_utc", "hit_rate_share"]


@pytest.mark.parametrize("code", workcharts.CHARTS)
def test_every_chart_of_nothing_says_so_and_draws_nothing(code):
    given = (points(None, None), ALL) + ((None,) if code == "cache" else ())
    drawn = workcharts.CHARTS[code](*given)
    assert drawn.empty
    assert json.loads(drawn.data)["nothing"]
    assert drawn.say in ("No calls yet.", "None; 0 refused by the gate, 0 failed.")


def test_parts_are_fitted_to_what_the_api_counted_and_the_largest_is_named():
    one = rate(90)
    one.components = {"history": 30, "system": 10}
    drawn = timecharts.components(points(one), ALL)
    assert drawn.rows[0][1] == (25_000, 75_000, 100_000)
    assert plain(drawn.say) == "100.0 k sent; history is the largest part, 75 %."
    assert drawn.parts == (("history", 75_000, 0.75), ("system", 25_000, 0.25))


def test_a_list_of_parts_begins_with_the_largest_since_its_bars_are_measured_by_it():
    one = rate(90)
    one.components = {"history": 10, "system": 30}
    assert [part[0] for part in timecharts.components(points(one), ALL).parts] == ["system", "history"]


def test_the_cause_of_every_break_stands_in_its_line():
    before, after = rate(90), rate(10, {"system": 7, "ttl": 2})
    drawn = timecharts.cache(points(before, after), ALL, None)
    line = dict(zip(drawn.header, drawn.lines[1], strict=True))
    assert (line["breaks_n"], line["broken_by_system_n"], line["broken_by_ttl_n"]) == (9, 7, 2)


def test_compaction_saves_less_what_its_summaries_cost_and_below_nothing_is_shown():
    calls = Figures(
        calls=2, priced=1, cost=Decimal(3), saved=Decimal(4), spared_cost=Decimal("1.25"), rewrite_cost=Decimal("0.25")
    )
    made = Figures(calls=1, priced=1, cost=Decimal("1.5"))
    assert workcharts.spared(calls, made) == Decimal("-0.5")
    assert workcharts.says_money(calls, made) == (
        "$3.00; caching saved $4.00, compaction −$0.500 after $1.50 for its summaries and $0.250 for caching"
        " anew; 1 calls without a price are not in it."
    )


def test_compactions_say_count_ratio_time_and_what_came_to_nothing():
    happened = Happened(before=60_000, after=2_000, seconds=8.4, timed=2)
    happened.counts.update({("compaction", "ok", "summary"): 2, ("gate_rejected", "rejected", "values_missing"): 1})
    drawn = workcharts.compactions(points(rate(90), events={0: happened}), ALL)
    assert plain(drawn.say) == "2: 60.0 k to 2.0 k (3.3 %), 4.2 s each; 1 refused by the gate, 0 failed."
    assert drawn.rows[0][1] == (2, 1, 0, 2_000 / 60_000, 4_200.0, 58_000)


def test_sessions_are_shown_by_bins_whose_limits_stand_between_them():
    drawn = timecharts.fullness([5, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 2, 0, 0, 1], 0.2)
    assert [upright[0] for upright in drawn.uprights] == [14, 16]
    assert plain(drawn.say) == "15 sessions; 6 over 70 %, 3 of them over 80 %."
    assert drawn.rows[14] == ("70–75 %", (0, 3, 0))
    assert drawn.rows[19] == ("≥ 95 %", (0, 0, 1))
    assert drawn.header[0] == "bin"


@pytest.mark.parametrize(
    ("given", "failing", "says"),
    [
        ((0, 0, {}, 0, {}, 0), False, "Not failing: it was not needed."),
        ((10, 1, {"overloaded": 1}, 0, {}, 9), False,
         "Not failing: 10 calls, 9 compactions; 1 of 10 calls failed, most: overloaded."),
        ((10, 2, {"rate_limited": 2}, 0, {}, 8), True, "Failing: 2 of 10 calls failed, most: rate limited."),
        ((4, 0, {}, 2, {"values_missing": 2}, 2), True, "Failing: the gate refused 2, most: values missing."),
    ],
)  # fmt: skip
def test_the_summariser_fails_by_a_fifth_of_its_calls_or_by_the_gate(given, failing, says):
    one = saying.Summariser(*given)
    assert one.failing is failing
    assert saying.of_summariser(one) == says


def test_a_queue_that_stands_is_a_failing_summariser():
    one = saying.Summariser(0, 0, {}, 0, {}, 0, backlog=9, oldest_s=1_560)
    assert saying.of_summariser(one) == "Failing: 9 compactions wait, the oldest for 26 min."


def test_a_card_says_what_figure_trend_and_what_is_bad():
    first = {histograms.MS.bucket(600): 10}
    known = points(*[rate(90, calls=10) for _ in range(8)])
    for point in known:
        point.replies.first_hit = first
    full = Full(all=9, live=4, mean=0.72, watch=2, alert=1, failing=1, soon=3, newest=None, bins=[])
    found = {
        one.code: one
        for one in cards.cards(
            ALL, known, full, Today(Figures(), Figures(), Figures()), {"backlog": 3, "oldest_s": 700}, (2, 1)
        )
    }
    assert all(one.name and one.figure and one.trend and one.bad for one in found.values())
    assert (found["mean"].state, found["backlog"].state, found["overflow"].state) == ("watch", "alert", "alert")
    assert plain(found["backlog"].trend) == "oldest 11 min 40 s"
    assert plain(found["cache"].trend) == "= 0.0 points on the 24 h"
    assert found["over"].figure == "2 / 1"


def test_a_spark_line_leaves_gaps_and_ends_in_a_dot():
    path, dot = cards.spark([1.0, None, 3.0, 2.0])
    assert path.count("M") == 2
    assert path.endswith(f"{dot[0]} {dot[1]}")
    assert cards.spark([None, 1.0]) == ("", None)


@pytest.mark.parametrize(
    ("given", "query", "name"),
    [
        ({}, {}, "24h"),
        ({"span": "7d", "model": "claude-opus-4-6", "user": "7"},
         {"span": "7d", "model": "claude-opus-4-6", "user": "7"}, "7d-claude-opus-4-6-user-7"),
        ({"span": "9y", "model": "a b", "strategy": "<x>", "user": "x"}, {}, "24h"),
        ({"user": "9" * 40}, {}, "24h"),
    ],
)  # fmt: skip
def test_the_address_holds_the_filter_and_what_nobody_offers_is_left_out(given, query, name):
    found = filters.read(given)
    assert (found.query, found.name) == (query, name)


def test_points_lie_on_round_times_and_the_last_holds_now():
    now = START + timedelta(minutes=7, seconds=3)
    for span in SPANS.values():
        since = Filter(span).since(now)
        assert since == filters.floor(since, span.step)
        assert since + span.length - span.step <= now < since + span.length
