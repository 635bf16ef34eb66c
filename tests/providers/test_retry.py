"""When a call is made again, and when not."""

import pytest

from chat.providers.anthropic import AnthropicProvider
from chat.providers.base import (
    ContextOverflow,
    Misconfigured,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    TextDelta,
    TooLarge,
    Unavailable,
)
from chat.providers.retry import Retry, RetryPolicy
from chat.providers.standin import StandIn
from chat.providers.steady import Steady
from tests.providers.building import collect, request, said, until_failure

POLICY = RetryPolicy()


def decide(error: ProviderError, *, failed: int = 1, elapsed: float = 0.0, chance: float = 1.0) -> Retry | None:
    return POLICY.decide(error, failed=failed, elapsed=elapsed, chance=lambda: chance)


class TestPolicy:
    @pytest.mark.parametrize("error", [RateLimited(), Overloaded(), Unavailable()])
    def test_what_passes_is_tried_again_three_times_in_all(self, error: ProviderError) -> None:
        assert decide(error, failed=1)
        assert decide(error, failed=2)
        assert decide(error, failed=3) is None

    @pytest.mark.parametrize("error", [ContextOverflow(), TooLarge(), Refused(), Misconfigured()])
    def test_what_stays_is_not(self, error: ProviderError) -> None:
        assert decide(error) is None

    def test_the_jitter_is_full_and_grows(self) -> None:
        assert decide(Overloaded(), chance=0.0) == Retry(0.0)
        assert decide(Overloaded(), failed=1) == Retry(1.0)
        assert decide(Overloaded(), failed=2) == Retry(2.0)

    def test_the_longer_of_jitter_and_what_was_asked_wins(self) -> None:
        assert decide(RateLimited(wait=3.0)) == Retry(3.0)
        assert decide(RateLimited(wait=0.1)) == Retry(1.0)

    def test_a_longer_wait_than_the_cap_fails_at_once(self) -> None:
        assert decide(RateLimited(wait=20.0)) == Retry(20.0)
        assert decide(RateLimited(wait=20.1)) is None

    def test_no_wait_is_begun_that_ends_too_late(self) -> None:
        assert decide(RateLimited(wait=10.0), elapsed=35.0)
        assert decide(RateLimited(wait=10.1), elapsed=35.0) is None

    def test_no_wait_is_longer_than_the_cap(self) -> None:
        many = RetryPolicy(attempts=99, whole=1e9)
        assert many.decide(Overloaded(), failed=50, elapsed=0, chance=lambda: 1.0) == Retry(20.0)


class TestCalls:
    async def test_two_failures_are_hidden_by_the_third_call(
        self, standin: StandIn, provider: Steady, naps: list[float]
    ) -> None:
        standin.faults.add("status", status=529, times=2)
        assert await said(provider, "Hello")
        assert [record.status for record in standin.log] == [529, 529, 200]
        assert naps == [0.5, 1.0]

    async def test_the_third_failure_is_told(self, standin: StandIn, provider: Steady) -> None:
        standin.faults.add("status", status=500, times=5)
        events, error = await until_failure(provider.stream(request("Hello")))
        assert (events, type(error), len(standin.log)) == ([], Unavailable, 3)

    async def test_a_short_retry_after_is_waited_for(
        self, standin: StandIn, provider: Steady, naps: list[float]
    ) -> None:
        standin.faults.add("status", status=429, retry_after=3)
        assert await said(provider, "Hello")
        assert naps == [3.0]

    async def test_a_long_retry_after_fails_at_once_and_is_named(
        self, standin: StandIn, provider: Steady, naps: list[float]
    ) -> None:
        standin.faults.add("status", status=429, retry_after=7200)
        _, error = await until_failure(provider.stream(request("Hello")))
        assert type(error) is RateLimited
        assert error.wait == 7200
        assert (len(standin.log), naps) == (1, [])

    @pytest.mark.parametrize("kind", ["stream_error", "reset", "eof"])
    async def test_nothing_is_sent_again_once_text_was_delivered(
        self, standin: StandIn, provider: Steady, kind: str
    ) -> None:
        standin.faults.add(kind, after=2)
        events, error = await until_failure(provider.stream(request("Write a long answer.")))
        assert events
        assert all(isinstance(event, TextDelta) for event in events)
        assert error.transient
        assert error.partial is not None
        assert error.partial.total_input > 0
        assert len(standin.log) == 1

    @pytest.mark.parametrize("kind", ["stream_error", "reset", "eof"])
    async def test_a_stream_that_broke_before_any_text_is_begun_anew(
        self, standin: StandIn, provider: Steady, kind: str
    ) -> None:
        standin.faults.add(kind, after=0)
        assert await said(provider, "Hello")
        assert len(standin.log) == 2

    @pytest.mark.parametrize("status", [400, 401, 402, 404, 413])
    async def test_what_cannot_pass_is_asked_once(self, standin: StandIn, provider: Steady, status: int) -> None:
        standin.faults.add("status", status=status, times=5)
        await until_failure(provider.stream(request("Hello")))
        assert len(standin.log) == 1

    async def test_counting_is_tried_again_too(self, standin: StandIn, provider: Steady) -> None:
        standin.faults.add("status", status=529, times=2, endpoint="count_tokens")
        assert await provider.count(request("Hello")) > 0

    async def test_time_that_has_passed_counts(self, standin: StandIn, client: AnthropicProvider) -> None:
        now = iter([0.0, 0.0])

        async def nap(seconds: float) -> None:
            raise AssertionError("a wait was begun")

        late = Steady(client, clock=lambda: next(now, 44.9), sleep=nap, chance=lambda: 1.0)
        standin.faults.add("status", status=529)
        with pytest.raises(Overloaded):
            await collect(late.stream(request("Hello")))
