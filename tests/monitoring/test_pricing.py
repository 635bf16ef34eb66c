"""What tokens cost."""

from decimal import Decimal

import pytest

from monitoring import pricing

MILLION = 1_000_000


def test_each_kind_of_token_has_its_price():
    def million(**kind):
        counts = {"input": 0, "cache_read": 0, "cache_write": 0, "output": 0} | kind
        return pricing.cost("claude-opus-4-6", **counts)

    assert million(input=MILLION) == Decimal("5")
    assert million(output=MILLION) == Decimal("25")
    assert million(cache_read=MILLION) == Decimal("0.5")
    assert million(cache_write=MILLION) == Decimal("6.25")
    assert million(cache_write=MILLION, ttl="1h") == Decimal("10")
    assert million() == 0


@pytest.mark.parametrize(
    ("model", "input_price"),
    [
        ("claude-opus-4-6", "5"),
        ("claude-opus-4-6-20260115", "5"),
        ("claude-opus-4-1-20250805", "15"),
        ("claude-opus-4-20250514", "15"),
        ("claude-opus-5-5", "4"),
        ("claude-opus-5", "5"),
        ("claude-haiku-4-5-20251001", "1"),
        ("anthropic.claude-sonnet-4-6-v1:0", "3"),
        ("eu.anthropic.claude-sonnet-4-6-v1:0", "3"),
        ("claude-sonnet-4-5@20250929", "3"),
        ("anthropic/claude-3-5-haiku-latest", "0.8"),
    ],
)
def test_a_model_is_priced_by_the_longest_name_that_it_begins_with(model, input_price):
    assert pricing.price_of(model).input == Decimal(input_price)


@pytest.mark.parametrize("model", ["", "gpt-x", "claude", "claude-opus-46", "my-claude-opus-4-6"])
def test_an_unknown_model_costs_none_and_not_nothing(model):
    assert pricing.price_of(model) is None
    assert pricing.cost(model, input=10, cache_read=0, cache_write=0, output=10) is None
    assert pricing.saved_by_caching(model, input=10, cache_read=5, cache_write=0) is None


def test_a_price_may_depend_on_the_size_of_the_whole_input():
    small = pricing.cost("claude-haiku-5-5", input=40_000, cache_read=60_000, cache_write=0, output=0)
    large = pricing.cost("claude-haiku-5-5", input=40_001, cache_read=60_000, cache_write=0, output=0)
    assert small == Decimal("0.0046")
    assert large == Decimal("0.0230")  # 0.02300050, to six decimals


def test_every_family_has_a_price_for_every_size():
    for family, bands in pricing.PRICES.items():
        assert bands[-1][0] is None, family
        assert pricing.price_of(family, 10**9) is not None


def test_reading_the_cache_saves_and_only_writing_it_costs():
    read = pricing.saved_by_caching("claude-opus-4-6", input=0, cache_read=MILLION, cache_write=0)
    written = pricing.saved_by_caching("claude-opus-4-6", input=0, cache_read=0, cache_write=MILLION)
    long = pricing.saved_by_caching("claude-opus-4-6", input=0, cache_read=0, cache_write=MILLION, ttl="1h")
    assert (read, written, long) == (Decimal("4.5"), Decimal("-1.25"), Decimal("-5"))


def test_what_is_saved_is_the_price_without_the_cache_less_the_price_with_it():
    counts = {"input": 700, "cache_read": 81_234, "cache_write": 4_321}
    with_cache = pricing.cost("claude-sonnet-4-6", **counts, output=0)
    without = pricing.cost("claude-sonnet-4-6", input=sum(counts.values()), cache_read=0, cache_write=0, output=0)
    assert pricing.saved_by_caching("claude-sonnet-4-6", **counts) == pytest.approx(
        without - with_cache, abs=Decimal("0.000002")
    )
