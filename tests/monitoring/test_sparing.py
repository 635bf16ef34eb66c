"""What compaction saved equals what a cache that keeps its rules would have cost without it."""

import random
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from monitoring import pricing, reading, rolled, rollups, sparing
from monitoring.folding import ZERO
from monitoring.models import ModelCall
from tests.monitoring.conftest import START

MODEL = "claude-opus-4-6"
MINUTE = timedelta(minutes=1)


class Cache:
    """The prompt cache of one conversation: all but the prompt is read, as far as it was there, or written."""

    def __init__(self) -> None:
        self.held, self.until, self.dollars = 0, START, ZERO

    def call(self, prefix, prompt, at, kept=None):
        """One call; `kept` is how much of what the cache holds is still the beginning of the request."""
        there = self.held if at <= self.until else 0
        read = min(prefix, there if kept is None else min(kept, there))
        sizes = {"input": prompt, "cache_read": read, "cache_write": prefix - read}
        self.held, self.until = prefix, at + 5 * MINUTE
        self.dollars += pricing.cost(MODEL, output=0, **sizes)
        return sizes


@pytest.mark.django_db
def test_spared_less_cached_anew_is_what_the_cache_would_have_cost_append_only(tell, happen):
    dice, session = random.Random(847), uuid4()
    whole, actual = Cache(), Cache()
    at, history, spared = START, 6_000, 0
    for number in range(1, 41):
        # Two pauses outlive the cache, one of them with a compaction in it.
        at += 30 * MINUTE if number in (11, 27) else MINUTE
        kept = None
        if number in (9, 20, 27, 33):
            spared += (history - spared) // 2
            kept = 1_000
            happen(number - 1, session=session, at=at - timedelta(seconds=20))
        prompt = dice.randint(50, 400)
        whole.call(history, prompt, at)
        sizes = actual.call(history - spared, prompt, at, kept)
        tell(number, session=session, at=at, spared=spared, output=0, **sizes)
        history += prompt + dice.randint(100, 4_000)
    told = reading.spared(session)
    assert told.rewritten > 0
    assert told.dollars == pytest.approx(whole.dollars - actual.dollars, abs=Decimal("0.0002"))
    assert told.tokens == sum(ModelCall.objects.values_list("spared", flat=True))
    causes = ModelCall.objects.filter(miss_cause="compaction").values_list("number", "rewritten")
    assert {number: more is None for number, more in causes} == {9: False, 20: False, 27: True, 33: False}
    # The rollups say the same.
    rollups.roll(at + timedelta(hours=30))
    figures = rolled.over(START, at + MINUTE)
    assert (figures.spared, figures.rewritten) == (told.tokens, told.rewritten)
    assert figures.spared_dollars == pytest.approx(told.dollars, abs=Decimal("0.0002"))


def test_what_is_not_known_or_would_have_been_gone_is_no_rewriting():
    known = {"miss_cause": "compaction", "left": 9_000, "read": 1_000, "spared": 5_000, "spared_before": 0}
    times = {"age": MINUTE, "life": 5 * MINUTE}
    assert sparing.rewritten(**known, **times) == 3_000
    assert sparing.rewritten(**known | {"spared": 9_000}, **times) == 0
    for change in ({"miss_cause": "ttl"}, {"left": None}, {"spared": None}, {"spared_before": None}):
        assert sparing.rewritten(**known | change, **times) is None
    assert sparing.rewritten(**known, age=6 * MINUTE, life=5 * MINUTE) is None
    assert [sparing.paid_as(read=read, write=write, rewritten=more) for read, write, more in (
        (1, 1, None), (0, 9, 5), (0, 9, None), (0, 0, None))] == ["read", "read", "write", "full"]  # fmt: skip
