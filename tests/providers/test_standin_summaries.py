"""The stand-in as a summariser: lossy but valid, and broken when told to be."""

import pytest

from chat.context import gate, prompts
from chat.context.tokens import Counter
from chat.context.values import Summary, Turn
from chat.providers.base import Completion, Overloaded, TextDelta
from chat.providers.standin import StandIn
from chat.providers.steady import Steady
from tests.providers.building import QUICK, collect, said, until_failure

TALK = [
    ("I want to plan a trip to the coast with my two brothers.", "Lovely. When do you want to go?"),
    ("We decided on May because the house is free then.", "Then I will look at trains for May."),
    ("My order number is A-7731 and the house costs 1,240 EUR.", "Noted: both are in your list."),
    ("The agency is at desk@example.org, phone 030-5551234.", "I will keep that at hand."),
    ("One of us cannot walk far, so the station should be near.", "I will look for a short way."),
    ("We should also write a packing list, see packing.md for the last one.", "I can draft one tomorrow."),
    ("The weather was terrible last year and we left early.", "Then a plan for rain makes sense."),
    ("Our landlord there is Dana Ruiz, very friendly.", "Good to know."),
]
TURNS = [Turn(number=number, prompt=asked, reply=said) for number, (asked, said) in enumerate(TALK, 1)]
ASKED = prompts.summary_request(turns=TURNS, model=QUICK, max_tokens=1500)
COUNTER = Counter()


def verdict(text: str, stop_reason: str) -> gate.Verdict:
    source = prompts.source_text(TURNS)
    return gate.check_summary(
        text=text, stop_reason=stop_reason, source=source, source_tokens=COUNTER.count(source), counter=COUNTER
    )


async def summarised(provider: Steady) -> tuple[str, str]:
    *deltas, last = await collect(provider.stream(ASKED))
    assert isinstance(last, Completion)
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)), last.stop_reason


class TestLossy:
    async def test_it_has_every_section_and_passes_the_gate(self, standin: StandIn, provider: Steady) -> None:
        text, stop_reason = await summarised(provider)
        assert standin.log[0].purpose == "summary"
        assert text.startswith(prompts.OPENING)
        assert [line for line in text.splitlines() if line.startswith("#")] == list(prompts.HEADINGS)
        assert verdict(text, stop_reason).ok

    async def test_it_loses_most_exact_values(self, provider: Steady) -> None:
        text, _ = await summarised(provider)
        values = ["A-7731", "1,240", "desk@example.org", "030-5551234"]
        assert sum(value in text for value in values) <= 1

    async def test_it_says_what_was_said_and_repeats_no_orders(self, provider: Steady) -> None:
        text, _ = await summarised(provider)
        body = [line for line in text.splitlines() if line and not line.startswith(("#", "Previously"))]
        assert any(asked in text for asked, _ in TALK)
        assert "transcript" not in " ".join(body).lower()
        assert "Write the summary" not in text

    async def test_merging_summaries_works_too(self, standin: StandIn, provider: Steady) -> None:
        text, _ = await summarised(provider)
        parts = [Summary(first=n, last=n, text=text, tokens=100, tier=1) for n in (1, 2)]
        *deltas, _ = await collect(provider.stream(prompts.merge_request(summaries=parts, model=QUICK, max_tokens=900)))
        merged = "".join(delta.text for delta in deltas)
        assert merged.count(prompts.OPENING) == 1
        assert [line for line in merged.splitlines() if line.startswith("#")] == list(prompts.HEADINGS)


class TestModes:
    @pytest.mark.parametrize("mode", ["blank", "garbage", "huge", "cut"])
    async def test_no_broken_summary_passes_the_gate(self, standin: StandIn, provider: Steady, mode: str) -> None:
        standin.summary_mode = mode
        assert not verdict(*await summarised(provider)).ok

    async def test_an_error_is_one(self, standin: StandIn, provider: Steady) -> None:
        standin.summary_mode = "error"
        _, error = await until_failure(provider.stream(ASKED))
        assert type(error) is Overloaded

    async def test_a_slow_one_comes_late_but_whole(self, standin: StandIn, provider: Steady) -> None:
        standin.summary_mode, standin.summary_delay = "slow", 0.05
        assert verdict(*await summarised(provider)).ok

    async def test_replies_are_not_touched(self, standin: StandIn, provider: Steady) -> None:
        standin.summary_mode = "error"
        assert await said(provider, "Hello")
