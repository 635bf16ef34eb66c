"""What every provider keeps: one class, run over the double, the SDK without a socket, and real HTTP."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anthropic
import httpx2
import pytest

from chat.context.values import Message, Step
from chat.providers.anthropic import AnthropicProvider
from chat.providers.base import (
    Completion,
    ContextOverflow,
    Misconfigured,
    Overloaded,
    Provider,
    RateLimited,
    Refused,
    Started,
    StepEvent,
    TextDelta,
    TooLarge,
    Unavailable,
    Usage,
)
from chat.providers.retry import RetryPolicy
from chat.providers.scripted import ScriptedProvider
from chat.providers.standin import StandIn, start_standin
from chat.providers.steady import Steady
from chat.providers.tally import Tally
from tests.providers.building import collect, request, text, until_failure

WORDS = ["Dear", " reader", ", ", "good day."]
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"id": 7, "tags": ["ä"]}}


class Stage:
    """One way to reach a model, told what to do next. Each subclass arranges the same courses in its own way."""

    provider: Provider

    async def say(self, *words: str, stop_reason: str = "end_turn") -> None:
        raise NotImplementedError

    async def call_tool(self) -> None:
        raise NotImplementedError

    async def fail(self, error: type[Exception]) -> None:
        raise NotImplementedError

    async def break_off(self, *words: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        await self.provider.close()


class ScriptedStage(Stage):
    def __init__(self) -> None:
        self.provider: Provider = ScriptedProvider(window=16_000, counter=lambda request: 42)
        self.scripts = self.provider.scripts

    async def say(self, *words: str, stop_reason: str = "end_turn") -> None:
        self.scripts.append([*words, Completion(stop_reason, Usage(input=42, output=len(words)), "m", "msg_1")])

    async def call_tool(self) -> None:
        step = Step(kind="tool_use", body=json.dumps(CALL["input"]), call_id=CALL["id"], name=CALL["name"])
        self.scripts.append([StepEvent(step), Completion("tool_use", Usage(input=42, output=9), "m", "msg_1")])

    async def fail(self, error: type[Exception]) -> None:
        self.scripts.append([ERRORS[error][1]()])

    async def break_off(self, *words: str) -> None:
        self.scripts.append([*words, Unavailable("cut")])


class TalliedStage(ScriptedStage):
    """The double behind the provider that only counts."""

    def __init__(self) -> None:
        super().__init__()
        self.provider = Tally(self.provider)


class SteadyStage(ScriptedStage):
    """The double behind the policy, whose own further attempts are off."""

    def __init__(self) -> None:
        super().__init__()
        self.provider = Steady(self.provider, retry=RetryPolicy(attempts=1))


class MockedStage(Stage):
    """The SDK's own request and error code over a transport without a socket."""

    def __init__(self) -> None:
        self.answers: list[httpx2.Response] = []
        transport = httpx2.MockTransport(self._answer)
        self.provider = AnthropicProvider(
            api_key="k",
            base_url="http://mock.invalid",
            http_client=lambda: anthropic.DefaultAsyncHttpxClient(transport=transport),
        )

    def _answer(self, asked: httpx2.Request) -> httpx2.Response:
        if asked.url.path.endswith("/count_tokens"):
            return httpx2.Response(200, json={"input_tokens": 42})
        if "/models/" in asked.url.path:
            known = asked.url.path.endswith("/claude-opus-4-6")
            body = {"type": "model", "id": "claude-opus-4-6", "max_input_tokens": 16_000, "max_tokens": 64_000}
            return httpx2.Response(200, json=body) if known else httpx2.Response(404, json=_error("not_found_error"))
        return self.answers.pop(0)

    async def say(self, *words: str, stop_reason: str = "end_turn") -> None:
        self.answers.append(_stream(*_opening(), *_spoken(words), *_ending(stop_reason)))

    async def call_tool(self) -> None:
        text = json.dumps(CALL["input"])
        events = [
            {"type": "content_block_start", "index": 0, "content_block": CALL | {"input": {}}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}}
                for part in (text[:5], text[5:])
            ),
            {"type": "content_block_stop", "index": 0},
        ]
        self.answers.append(_stream(*_opening(), *events, *_ending("tool_use")))

    async def fail(self, error: type[Exception]) -> None:
        status, _ = ERRORS[error]
        kind, message = WORDINGS.get(error, ("", "no"))
        headers = {"retry-after": "7"} if status == 429 else {}
        self.answers.append(httpx2.Response(status, json=_error(kind, message), headers=headers))

    async def break_off(self, *words: str) -> None:
        self.answers.append(_stream(*_opening(), *_spoken(words)))


class StandInStage(Stage):
    """Real HTTP to the stand-in."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        self.provider = AnthropicProvider(api_key="k", base_url=server.base_url)

    async def say(self, *words: str, stop_reason: str = "end_turn") -> None:
        self.server.faults.add("reply", text="".join(words), stop_reason=stop_reason)

    async def call_tool(self) -> None:
        self.server.faults.add("reply", blocks=[CALL], stop_reason="tool_use")

    async def fail(self, error: type[Exception]) -> None:
        status, _ = ERRORS[error]
        if error is ContextOverflow:
            self.server.faults.add("overflow")
        else:
            self.server.faults.add("status", status=status, retry_after=7 if status == 429 else None)

    async def break_off(self, *words: str) -> None:
        # An endless reply, so that the text does not end before the fault.
        self.server.faults.add("eof", after=1)

    async def close(self) -> None:
        await super().close()
        await self.server.close()


ERRORS: dict[type[Exception], tuple[int, Callable[[], Exception]]] = {
    ContextOverflow: (400, lambda: ContextOverflow(actual=24_656, limit=16_000)),
    TooLarge: (413, TooLarge),
    RateLimited: (429, lambda: RateLimited(wait=7.0)),
    Overloaded: (529, Overloaded),
    Unavailable: (500, Unavailable),
    Refused: (401, Refused),
    Misconfigured: (404, Misconfigured),
}
WORDINGS = {
    ContextOverflow: ("invalid_request_error", "prompt is too long: 24656 tokens > 16000 maximum"),
    Refused: ("authentication_error", "invalid x-api-key"),
}


def _error(kind: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _opening() -> list[dict[str, Any]]:
    usage = {"input_tokens": 42, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
    message = {"id": "msg_1", "model": "m", "role": "assistant", "content": [], "usage": usage, "stop_reason": None}
    return [{"type": "message_start", "message": message}, {"type": "ping"}]


def _spoken(words: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words),
        {"type": "content_block_stop", "index": 0},
    ]


def _ending(stop_reason: str) -> list[dict[str, Any]]:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}}, {"type": "message_stop"}]


def _stream(*events: dict[str, Any]) -> httpx2.Response:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return httpx2.Response(200, content=body.encode(), headers={"content-type": "text/event-stream"})


async def _scripted() -> Stage:
    return ScriptedStage()


async def _tallied() -> Stage:
    return TalliedStage()


async def _steady() -> Stage:
    return SteadyStage()


async def _mocked() -> Stage:
    return MockedStage()


async def _over_http() -> Stage:
    return StandInStage(await start_standin(window=16_000, delay_ms=0, first_ms=0))


@pytest.fixture(
    params=[_scripted, _tallied, _steady, _mocked, _over_http],
    ids=["scripted", "tallied", "steady", "mock transport", "stand-in over http"],
)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    make: Callable[[], Awaitable[Stage]] = request.param
    found = await make()
    yield found
    await found.close()


class TestEveryProvider:
    async def test_text_comes_in_order_and_one_completion_ends_it(self, stage: Stage) -> None:
        await stage.say(*WORDS)
        events = await collect(stage.provider.stream(request("Hello?")))
        assert all(isinstance(event, TextDelta) for event in events[:-1])
        assert "".join(event.text for event in events[:-1]) == "".join(WORDS)
        assert isinstance(events[-1], Completion)
        assert events[-1].stop_reason == "end_turn"
        assert events[-1].message_id

    async def test_what_the_input_cost_is_told_before_any_text_or_not_at_all(self, stage: Stage) -> None:
        await stage.say(*WORDS)
        events = [event async for event in stage.provider.stream(request("Hello?"))]
        told = [index for index, event in enumerate(events) if isinstance(event, Started)]
        assert told in ([], [0])
        for event in events[: len(told)]:
            assert event.usage.total_input == events[-1].usage.total_input > 0

    async def test_the_completion_carries_the_usage(self, stage: Stage) -> None:
        await stage.say(*WORDS)
        *_, last = await collect(stage.provider.stream(request("Hello?")))
        assert last.usage.total_input > 0
        assert last.usage.output > 1

    @pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded", "stop_sequence"])
    async def test_a_stop_reason_passes_as_it_is(self, stage: Stage, reason: str) -> None:
        await stage.say("Well", stop_reason=reason)
        *_, last = await collect(stage.provider.stream(request("Hello?")))
        assert last.stop_reason == reason

    async def test_a_tool_call_is_one_step_with_its_input_as_json(self, stage: Stage) -> None:
        await stage.call_tool()
        step, last = await collect(stage.provider.stream(request("Look it up.")))
        assert isinstance(step, StepEvent)
        assert (step.step.kind, step.step.call_id, step.step.name) == ("tool_use", "toolu_1", "look_up")
        assert json.loads(step.step.body) == CALL["input"]
        assert last.stop_reason == "tool_use"

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
    async def test_a_failure_is_its_leaf_of_the_error_tree(self, stage: Stage, error: type[Exception]) -> None:
        await stage.fail(error)
        with pytest.raises(error) as caught:
            await collect(stage.provider.stream(request("Hello?")))
        assert type(caught.value) is error
        if error is ContextOverflow:
            assert (caught.value.actual, caught.value.limit) == (24_656, 16_000)
        if error is RateLimited:
            assert caught.value.wait == 7.0

    async def test_a_reply_cut_off_is_never_complete(self, stage: Stage) -> None:
        await stage.break_off("Half a", " thought")
        events, error = await until_failure(stage.provider.stream(request("Tell me more about the garden.")))
        assert type(error) is Unavailable
        assert events
        assert not any(isinstance(event, Completion) for event in events)

    async def test_a_closed_stream_leaves_the_provider_usable(self, stage: Stage) -> None:
        await stage.say(*WORDS)
        await stage.say("Again.")
        async with aclosing(stage.provider.stream(request("Hello?"))) as events:
            async for _ in events:
                break
        assert len(await collect(stage.provider.stream(request("Hello?")))) >= 2

    async def test_tokens_are_counted_without_a_reply(self, stage: Stage) -> None:
        assert await stage.provider.count(request("How long is this?")) > 0

    async def test_the_window_of_a_model_is_known(self, stage: Stage) -> None:
        found = await stage.provider.window("claude-opus-4-6")
        assert found.known
        assert found.window == 16_000

    async def test_a_request_of_a_wrong_shape_never_leaves(self, stage: Stage) -> None:
        twice = (Message(role="user", blocks=(text("One"),)), Message(role="user", blocks=(text("Two"),)))
        with pytest.raises(Misconfigured):
            await collect(stage.provider.stream(request(messages=twice)))
        with pytest.raises(Misconfigured):
            await stage.provider.count(request(messages=twice))
