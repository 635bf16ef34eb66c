"""The policy around a provider: waits that are told, and a service in trouble that is left alone."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.context.values import Request
from chat.providers.alarm import Alarm
from chat.providers.anthropic import AnthropicProvider
from chat.providers.base import (
    Completion,
    Event,
    Misconfigured,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    Started,
    TextDelta,
    Unavailable,
    Usage,
    Waiting,
)
from chat.providers.breaker import Rule
from chat.providers.retry import RetryPolicy
from chat.providers.scripted import ScriptedProvider
from chat.providers.standin import StandIn
from chat.providers.steady import BREAKER, Steady
from tests.providers.building import MODEL, QUICK, collect, request

ONCE = RetryPolicy(attempts=1)


class World:
    """A service that does what it is told, a clock that moves only while somebody sleeps, and an operator."""

    def __init__(self, **options: object) -> None:
        self.now = 0.0
        self.naps: list[float] = []
        self.told: list[tuple[str, str, str]] = []
        self.key = "k1"
        self.service = ScriptedProvider(default=["fine"])
        self.alarm = Alarm(lambda *what: self.told.append(what))
        self.provider = self.steady(**options)

    def steady(self, **options: object) -> Steady:
        values: dict[str, object] = {"label": lambda: self.key, "chance": lambda: 0.5, "alarm": self.alarm} | options
        return Steady(self.service, sleep=self.nap, clock=lambda: self.now, **values)

    async def nap(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def call(self, model: str = MODEL, provider: Steady | None = None) -> list[Event]:
        return [event async for event in (provider or self.provider).stream(request("Hello", model=model))]

    async def fail(self, times: int, error: Exception | None = None, **details: object) -> None:
        self.service.scripts += [[error or Overloaded()]] * times
        while self.service.scripts:
            with pytest.raises(type(error or Overloaded())):
                await self.call(**details)


@pytest.fixture
def world() -> World:
    return World(retry=ONCE)


class TestWaits:
    async def test_every_wait_is_told_before_it_begins(self) -> None:
        world = World()
        world.service.scripts += [[Overloaded()], [RateLimited(wait=3.0)]]
        events = await world.call()
        assert events[:2] == [Waiting(0.5, "overloaded"), Waiting(3.0, "rate_limited")]
        assert [type(event) for event in events[2:]] == [TextDelta, Completion]
        assert world.naps == [0.5, 3.0]

    async def test_no_wait_is_told_that_is_not_waited(self) -> None:
        world = World()
        world.service.scripts.append([RateLimited(wait=7200.0)])
        with pytest.raises(RateLimited) as limited:
            await world.call()
        assert (limited.value.wait, world.naps) == (7200.0, [])

    async def test_what_the_input_cost_is_told_for_each_attempt(self, standin: StandIn, provider: Steady) -> None:
        standin.faults.add("eof", after=0)
        events = [type(event) async for event in provider.stream(request("Hello"))]
        assert events[:3] == [Started, Waiting, Started]


class TestBreaker:
    async def test_after_five_failures_no_call_is_made(self, world: World) -> None:
        await world.fail(5)
        assert world.provider.refusal(MODEL) == 15.0
        assert len(world.service.requests) == 5
        with pytest.raises(Unavailable):
            await world.provider.count(request("Hello"))
        assert world.service.counted == []

    async def test_each_attempt_of_a_call_counts(self) -> None:
        world = World()
        world.service.scripts += [[Overloaded()]] * 5
        with pytest.raises(Overloaded):
            await world.call()
        # The fifth is the second call's second; its third attempt waits for the breaker, and is the probe.
        events = await world.call()
        assert [event for event in events if isinstance(event, Waiting)][-1] == Waiting(14.0, BREAKER)
        assert isinstance(events[-1], Completion)

    async def test_a_call_that_was_begun_waits_for_the_probe_and_is_answered(self, world: World) -> None:
        await world.fail(5)
        events = await world.call()
        assert events[0] == Waiting(15.0, BREAKER)
        assert isinstance(events[-1], Completion)
        assert world.provider.refusal(MODEL) == 0

    async def test_it_waits_no_longer_than_its_patience(self, world: World) -> None:
        await world.fail(5)
        world.provider._patience = 14.9
        with pytest.raises(Unavailable) as refused:
            await world.call()
        assert (refused.value.wait, str(refused.value), world.naps) == (15.0, BREAKER, [])

    async def test_one_call_probes_while_the_others_wait(self, world: World) -> None:
        await world.fail(5)
        world.now, world.provider._patience = 15.0, 1e9
        answer = asyncio.Event()
        world.service.scripts.append([answer, "slow"])
        calls = [asyncio.create_task(world.call()) for _ in range(5)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(world.service.requests) == 6
        assert world.provider.refusal(MODEL) == 1.0
        answer.set()
        replies = await asyncio.gather(*calls)
        assert len(world.service.requests) == 10
        assert all(isinstance(events[-1], Completion) for events in replies)

    async def test_a_probe_that_is_stopped_leaves_its_place(self, world: World) -> None:
        await world.fail(5)
        world.now = 15.0
        world.service.scripts.append([asyncio.Event()])
        probe = asyncio.create_task(world.call())
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.provider.refusal(MODEL) == 1.0
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert world.provider.refusal(MODEL) == 0.0
        assert isinstance((await world.call())[-1], Completion)

    async def test_a_stream_closed_by_its_reader_leaves_its_place(self, world: World) -> None:
        await world.fail(5)
        world.now = 15.0
        world.service.scripts.append(["a", "b"])
        async with aclosing(world.provider.stream(request("Hello"))) as events:
            await anext(events)
        assert world.provider.refusal(MODEL) == 0.0

    async def test_the_first_event_closes_it_before_the_reply_has_ended(self, world: World) -> None:
        await world.fail(5)
        world.now = 15.0
        world.service.scripts.append(["a", "b"])
        async with aclosing(world.provider.stream(request("Hello"))) as events:
            await anext(events)
            assert isinstance((await world.call())[-1], Completion)

    @pytest.mark.parametrize("error", [Misconfigured(), Refused()])
    async def test_what_is_wrong_with_us_is_no_trouble_of_the_service(self, world: World, error: Exception) -> None:
        await world.fail(20, error)
        assert world.provider.refusal(MODEL) == 0.0

    async def test_a_break_after_text_counts_too(self, world: World) -> None:
        world.service.scripts += [["text", Unavailable("cut")]] * 5
        for _ in range(5):
            with pytest.raises(Unavailable):
                await world.call()
        assert world.provider.refusal(MODEL) == 15.0

    async def test_another_model_and_another_key_have_their_own(self, world: World) -> None:
        await world.fail(5)
        assert world.provider.refusal(QUICK) == 0.0
        world.key = "k2"
        assert world.provider.refusal(MODEL) == 0.0
        assert isinstance((await world.call())[-1], Completion)


class TestBackground:
    async def test_it_gives_way_while_replies_are_in_trouble(self, world: World) -> None:
        background = world.steady(yields_to=world.provider, patience=0.0)
        await world.fail(5)
        assert background.refusal(QUICK) == 15.0
        with pytest.raises(Unavailable) as refused:
            await world.call(QUICK, background)
        assert str(refused.value) == BREAKER
        world.now = 15.0
        assert isinstance((await world.call(QUICK, background))[-1], Completion)

    async def test_its_failures_never_count_against_replies(self, world: World) -> None:
        background = world.steady(
            yields_to=world.provider, patience=0.0, retry=ONCE, rule=Rule(failures=3), purpose="background"
        )
        await world.fail(3, provider=background)
        assert background.refusal(MODEL) == 15.0
        assert world.provider.refusal(MODEL) == 0.0
        assert isinstance((await world.call())[-1], Completion)


class TestOperator:
    async def test_an_outage_is_told_once_and_its_end_is_logged(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        await world.fail(5)
        for _ in range(3):
            world.now += 15.0
            world.service.scripts.append([Overloaded()])
            with pytest.raises(Overloaded):
                await world.call()
        world.now += 15.0
        await world.call()
        assert world.told == [("breaker_opened", MODEL, "overloaded")]
        names = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
        assert names == ["breaker_opened", *["breaker_reopened"] * 3, "breaker_closed"]

    async def test_a_refusal_is_told_once_until_it_worked_again(self, world: World) -> None:
        refused = Refused("401 (req_1)", cause="401:authentication_error")
        await world.fail(3, refused)
        await world.fail(1, refused, model=QUICK)
        assert world.told == [("upstream_refused", MODEL, "401:authentication_error")]
        await world.fail(1, Refused(cause="402:billing_error"))
        assert len(world.told) == 2
        await world.call()
        await world.fail(2, refused)
        assert len(world.told) == 3

    async def test_a_refused_key_is_told_with_its_label_alone(
        self, standin: StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        client = AnthropicProvider(api_key="sk-canary-4711", base_url=standin.base_url)
        standin.keys = ["another"]
        steady = Steady(client, label=lambda: client.label)
        for _ in range(3):
            with pytest.raises(Refused):
                await collect(steady.stream(request("Hello")))
            with pytest.raises(Refused):
                await steady.window(MODEL)
        await client.close()
        assert caplog.text.count("upstream_refused") == 1
        assert client.label in caplog.text
        assert "canary" not in caplog.text


OUTCOMES = st.one_of(
    st.just(["fine"]),
    st.sampled_from([Overloaded, Unavailable, RateLimited, Refused, Misconfigured]).map(lambda leaf: [leaf()]),
    st.sampled_from([1.0, 19.0, 20.0, 21.0, 7200.0]).map(lambda wait: [RateLimited(wait=wait)]),
    st.sampled_from([Overloaded, Unavailable, Refused]).map(lambda leaf: ["half", leaf()]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(OUTCOMES, max_size=40), st.lists(st.floats(0, 20), max_size=12))
def test_whatever_comes_no_call_is_made_too_often_too_late_or_twice(scripts: list[Any], gaps: list[float]) -> None:
    async def course() -> None:
        world = World()
        world.service.scripts += scripts
        for gap in [0.0, *gaps]:
            world.now += gap
            began, asked, events = world.now, len(world.service.requests), []
            keep = events.append
            try:
                async for event in world.provider.stream(request("Hello")):
                    keep(event)
            except ProviderError as error:
                keep(error)
            made = len(world.service.requests) - asked
            told = sum(event.seconds for event in events if isinstance(event, Waiting))
            assert told == pytest.approx(world.now - began)
            assert told <= 45.001
            assert made <= 3
            texts = [event for event in events if isinstance(event, TextDelta)]
            assert len(texts) <= 1, "what was delivered is never followed by another attempt"
            assert isinstance(events[-1], Completion | ProviderError)
            if made == 0:
                assert events[-1].cause == BREAKER
            assert world.provider.refusal(MODEL) <= 15.001

    asyncio.run(course())


class Endless:
    """A provider whose stream ends without a Completion: what `turns` must not take for an answer."""

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        yield Started(Usage())
        yield TextDelta("half")


async def test_it_adds_no_end_that_the_service_did_not_send() -> None:
    events = await collect(Steady(Endless()).stream(request("Hello")))
    assert events == [TextDelta("half")]
