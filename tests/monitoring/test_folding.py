"""Adding up all calls, and adding up parts of them, is the same; and quantiles stay near the truth."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring import folding, histograms, series, times
from monitoring.folding import Call, Figures
from monitoring.histograms import MS, OFF, SHARE

MOMENT = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)
tokens = st.integers(0, 300_000)
milliseconds = st.none() | st.integers(0, 700_000)
calls = st.builds(
    Call,
    at=st.just(MOMENT),
    model=st.sampled_from(["claude-opus-4-6", "claude-haiku-4-5", "somebody-elses"]),
    purpose=st.just("reply"),
    strategy=st.just("summary"),
    user=st.just(7),
    outcome=st.sampled_from(["ok", "ok", "overloaded"]),
    window=st.sampled_from([0, 16_000, 200_000]),
    input=tokens,
    cache_read=tokens,
    cache_write=tokens,
    output=tokens,
    left=st.none() | tokens,
    spared=st.none() | tokens,
    rewritten=st.none() | tokens,
    cut=st.none() | st.dictionaries(st.sampled_from(["history", "facts"]), tokens),
    cost=st.none() | st.decimals(0, 100, places=6),
    saved=st.none() | st.decimals(-5, 100, places=6),
    estimate=st.none() | tokens,
    first_ms=milliseconds,
    total_ms=milliseconds,
    miss_cause=st.sampled_from(["", "ttl", "system"]),
    components=st.dictionaries(st.sampled_from(["system", "history"]), tokens),
    system_digest=st.sampled_from(
        ["", *(f"{number * 0x0F2D_3A51_77C1_9E0B % 16**16:016x}" for number in range(1, 60))]
    ),
)


def folded(of):
    figures = Figures()
    for call in of:
        figures.add(call)
    return figures


def stored(figures):
    """Through JSON, as a database has it."""
    values = [getattr(figures, name) for name in folding.COLUMNS]
    return folding.of_row(json.loads(json.dumps(value)) if isinstance(value, dict) else value for value in values)


def plain(figures):
    return {name: getattr(figures, name) for name in folding.COLUMNS} | {"share_sum": round(figures.share_sum, 9)}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(calls, max_size=5), max_size=4))
def test_stored_parts_add_up_to_what_all_calls_add_up_to(parts):
    whole = folded(call for part in parts for call in part)
    assert plain(folding.total(stored(folded(part)) for part in parts)) == plain(whole)


def test_a_call_counts_where_it_belongs(call):
    figures = folded(
        [
            call(left=9_000, spared=40_000, cost=Decimal("0.01"), saved=Decimal("0.02"), estimate=9_500),
            call(cache_read=0, cache_write=0, input=150_000, miss_cause="ttl", left=9_000, model="somebody-elses"),
            call(input=0, cache_read=0, cache_write=0, output=0, outcome="overloaded", first_ms=None),
        ]
    )
    assert (figures.calls, figures.failed, figures.counted, figures.unpriced) == (3, 1, 2, 2)
    assert (figures.size, figures.hit_rate, figures.reuse) == (160_000, 8_000 / 160_000, 8_000 / 18_000)
    assert (figures.watch, figures.alert, figures.peak, figures.mean_utilisation) == (1, 0, 0.75, 0.4)
    assert (figures.outcomes, figures.misses) == ({"ok": 2, "overloaded": 1}, {"ttl": 1})
    # 40,000 tokens that would have been read from the cache, at a tenth of 5 dollars a million.
    assert (figures.spared, figures.spared_cost, figures.cost) == (40_000, Decimal("0.02"), Decimal("0.01"))
    assert [histograms.count(one) for one in (figures.first_hit, figures.first_partial, figures.first_miss)] == [
        1,
        0,
        1,
    ]
    assert histograms.quantile(figures.estimate, OFF, 0.5) == pytest.approx(-0.045)


def test_the_number_of_system_prompts_is_exact_for_few_and_near_for_many(call):
    digests = [f"{number * 0x9E37_79B9_7F4A_7C15 % 16**16:016x}" for number in range(1, 1_001)]
    assert folded(call(system_digest=digest) for digest in digests[:20] * 2).system_prompts == 20
    many = folded(call(system_digest=digest) for digest in digests)
    assert len(many.systems) == folding.SYSTEMS
    assert 700 < many.system_prompts < 1_400


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 600_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_of_milliseconds_is_within_two_and_a_half_percent(values, share):
    found = histograms.quantile(histograms.merge({MS.bucket(value): 1} for value in values), MS, share)
    assert found == pytest.approx(series.nearest_rank(values, share), rel=0.026)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1.2), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_quantile_of_shares_is_within_half_a_point(values, share):
    found = histograms.quantile(histograms.merge({SHARE.bucket(value): 1} for value in values), SHARE, share)
    exact = sorted(values)[series.nearest_rank(range(1, len(values) + 1), share) - 1]
    assert found == pytest.approx(exact, abs=0.0051)


def test_the_line_at_eighty_percent_is_the_start_of_a_bucket():
    assert [SHARE.bucket(value) for value in (0.29, 0.7, 0.7999, 0.8)] == [29, 70, 79, 80]
    assert histograms.quantile({}, SHARE, 0.5) is None


# --- what a span of time is read from


moments = st.integers(0, 3_000_000).map(lambda seconds: times.EPOCH + timedelta(days=20_000, seconds=seconds))


@settings(max_examples=60, deadline=None)
@given(
    moments, moments, st.none() | moments, st.sampled_from([None, times.FIVE, times.HOUR, 6 * times.HOUR, times.DAY])
)
def test_the_pieces_of_a_span_are_the_span_and_no_row_reaches_over_its_end(start, end, until, step):
    rolled = until and {name: times.floor(until, length) for name, length in times.LENGTHS.items()}
    pieces = times.pieces(start, end, rolled or {}, step)
    assert [piece.start for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    if start < end:
        assert (pieces[0].start, pieces[-1].end) == (start, end)
    for piece in pieces:
        if not piece.size:
            continue
        length = times.LENGTHS[piece.size]
        assert times.floor(piece.start, length) == piece.start
        assert times.floor(piece.end, length) == piece.end <= rolled[piece.size]
        assert step is None or not step % length
    assert len(pieces) <= 9
    # Calls are read where rows can't be: at unaligned ends, and after what is rolled up.
    loose = sum((piece.end - piece.start for piece in pieces if not piece.size and rolled), timedelta())
    if rolled and step in (None, times.FIVE) and rolled["5m"] > end:
        assert loose < 2 * times.FIVE
