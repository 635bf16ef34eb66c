"""What the real provider does beside the contract: deadlines, closing, secrecy, one client a loop."""

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing

import anthropic
import httpx2
import pytest

from chat.context.values import Message
from chat.providers.anthropic import AnthropicProvider, Timeouts
from chat.providers.base import Completion, ContextOverflow, Misconfigured, Refused, TextDelta, Unavailable
from chat.providers.standin import StandIn
from chat.providers.steady import Steady
from tests.providers.building import MODEL, collect, request, said, text, until_failure

ENDED = [
    {
        "type": "message_start",
        "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}},
    },
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
LONG = "Write a long answer about gardens."


def impatient(standin: StandIn, **timeouts: float) -> AnthropicProvider:
    return AnthropicProvider(api_key="k", base_url=standin.base_url, timeouts=Timeouts(**timeouts))


async def until(condition: object, *, tries: int = 200) -> None:
    """Wait until a callable is true."""
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


class TestDeadlines:
    async def test_a_late_first_event_is_unavailable(self, standin: StandIn) -> None:
        standin.faults.add("slow_first", seconds=30)
        provider = impatient(standin, first=0.1)
        events, error = await until_failure(provider.stream(request("Hello")))
        assert (events, type(error)) == ([], Unavailable)
        await provider.close()

    async def test_pings_are_no_content(self, standin: StandIn) -> None:
        standin.faults.add("pings", after=2)
        provider = impatient(standin, content=0.5)
        events, error = await until_failure(provider.stream(request(LONG)))
        assert events
        assert type(error) is Unavailable
        assert error.partial is not None
        await provider.close()

    async def test_content_puts_the_deadline_off(self, standin: StandIn) -> None:
        standin.delay_ms = 60
        standin.faults.add("reply", text="word " * 40)
        provider = impatient(standin, content=0.6)
        assert isinstance((await collect(provider.stream(request("Hello"))))[-1], Completion)
        await provider.close()

    async def test_no_reply_takes_longer_than_the_whole(self, standin: StandIn) -> None:
        standin.delay_ms = 60
        provider = impatient(standin, whole=1.5)
        events, error = await until_failure(provider.stream(request(LONG)))
        assert events
        assert type(error) is Unavailable
        await provider.close()

    async def test_a_slow_reader_is_not_the_upstreams_fault(self, standin: StandIn) -> None:
        provider = impatient(standin, content=0.2, first=5)
        seen = 0
        async for _ in provider.stream(request("My order number is A-7731.")):
            seen += 1
            if seen == 1:
                await asyncio.sleep(0.3)
        assert seen > 2
        await provider.close()

    async def test_nobody_listening_is_unavailable(self) -> None:
        provider = AnthropicProvider(api_key="k", base_url="http://127.0.0.1:9")
        with pytest.raises(Unavailable):
            await collect(provider.stream(request("Hello")))
        with pytest.raises(Unavailable):
            await provider.window(MODEL)
        await provider.close()


class TestClosing:
    async def test_closing_the_stream_closes_the_call_and_is_no_error_of_the_server(
        self, standin: StandIn, provider: Steady, caplog: pytest.LogCaptureFixture
    ) -> None:
        standin.delay_ms = 20
        async with aclosing(provider.stream(request(LONG))) as events:
            async for _ in events:
                break
        await until(lambda: standin.log[0].outcome == "closed")
        assert standin.log[0].deltas < 20
        await asyncio.sleep(0.05)
        assert not [one for one in caplog.records if one.name.startswith("aiohttp")]

    async def test_cancelling_the_reader_closes_the_call(self, standin: StandIn, provider: Steady) -> None:
        standin.delay_ms = 20
        reader = asyncio.create_task(collect(provider.stream(request(LONG))))
        await until(lambda: standin.log and standin.log[0].outcome == "open")
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await until(lambda: standin.log[0].outcome == "closed")

    async def test_the_client_opens_again_after_close(self, provider: Steady) -> None:
        assert await said(provider, "Hello")
        await provider.close()
        assert await said(provider, "Hello")

    def test_a_second_loop_gets_a_client_of_its_own(self) -> None:
        made = []

        def client() -> httpx2.AsyncClient:
            made.append(asyncio.get_running_loop())
            answer = httpx2.Response(200, json={"input_tokens": 7})
            return anthropic.DefaultAsyncHttpxClient(transport=httpx2.MockTransport(lambda asked: answer))

        provider = AnthropicProvider(api_key="k", base_url="http://mock.invalid", http_client=client)

        async def twice() -> int:
            return await provider.count(request("a")) + await provider.count(request("b"))

        assert asyncio.run(twice()) == asyncio.run(twice()) == 14
        assert len(set(made)) == len(made) == 2

    async def test_a_finished_stream_is_read_to_its_end(self) -> None:
        exhausted = []

        class Body(httpx2.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for event in ENDED:
                    yield f"data: {json.dumps(event)}\n\n".encode()
                yield b": nothing more\n\n"
                exhausted.append(True)

        transport = httpx2.MockTransport(lambda asked: httpx2.Response(200, stream=Body()))
        provider = AnthropicProvider(
            api_key="k",
            base_url="http://mock.invalid",
            http_client=lambda: anthropic.DefaultAsyncHttpxClient(transport=transport),
        )
        *_, last = await collect(provider.stream(request("a")))
        assert isinstance(last, Completion)
        assert exhausted
        await provider.close()

    async def test_a_finished_stream_leaves_its_connection_for_the_next(
        self, standin: StandIn, provider: Steady
    ) -> None:
        for _ in range(5):
            await said(provider, "Hello")
        # The transport keeps one connection: the SDK's client holds the aiohttp session.
        connector = provider.inner._client._client._transport.client.connector
        assert sum(len(kept) for kept in connector._conns.values()) == 1


class TestSecrecy:
    @pytest.mark.parametrize("kind", ["status", "stream_error", "template"])
    async def test_no_error_shows_the_key_or_the_users_words(
        self, standin: StandIn, provider: Steady, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="chat")
        canary = "canary-4711"
        standin.faults.add(kind, times=3, status=500, message=f"could not read {canary}")
        _, error = await until_failure(provider.stream(request(f"My secret is {canary}.")))
        shown = "".join(traceback.format_exception(error)) + caplog.text
        assert canary not in shown
        assert "sk-test-secret" not in shown
        assert error.__cause__ is None
        assert error.__context__ is None

    async def test_a_refused_request_names_its_place(self, standin: StandIn, provider: Steady) -> None:
        standin.faults.add(
            "status", status=400, message="messages.3.content.0.text.colour: Extra inputs are not permitted"
        )
        _, error = await until_failure(provider.stream(request("Hello")))
        assert type(error) is Misconfigured
        assert "at messages.3.content.0.text.colour" in str(error)


class TestCalls:
    async def test_an_empty_key_is_refused(self, standin: StandIn) -> None:
        provider = AnthropicProvider(api_key="", base_url=standin.base_url)
        with pytest.raises(Refused):
            await collect(provider.stream(request("Hello")))
        await provider.close()

    async def test_what_is_sent_is_what_the_manifest_remembers(self, standin: StandIn, provider: Steady) -> None:
        asked = request("Grüße, 你好", system="Be brief.")
        await collect(provider.stream(asked))
        assert standin.log[0].request_sha256 == asked.sha256()
        assert standin.log[0].body == asked.body() | {"stream": True}

    async def test_counting_equals_the_usage_of_the_reply(self, standin: StandIn, provider: Steady) -> None:
        asked = request("One", "Two", "Three")
        counted = await provider.count(asked)
        *_, last = await collect(provider.stream(asked))
        assert last.usage.total_input == counted

    async def test_an_unknown_model_has_no_window(self, provider: Steady) -> None:
        found = await provider.window("claude-never-was")
        assert (found.known, found.window) == (False, 0)

    async def test_a_window_is_asked_for_each_time_because_models_get_larger_ones(
        self, standin: StandIn, provider: Steady
    ) -> None:
        before = await provider.window(MODEL)
        standin.window = 2 * before.window
        assert (await provider.window(MODEL)).window == 2 * before.window

    async def test_an_estimate_over_the_window_explains_a_nameless_400(
        self, standin: StandIn, provider: Steady
    ) -> None:
        await provider.window(MODEL)
        large = request(messages=(Message(role="user", blocks=(text("Hello", tokens=16_001),)),))
        standin.faults.add("status", status=400, message="something is off", times=2)
        _, error = await until_failure(provider.stream(large))
        assert type(error) is ContextOverflow

    async def test_a_reply_of_many_blocks_keeps_their_order(self, standin: StandIn, provider: Steady) -> None:
        standin.faults.add(
            "reply",
            blocks=[
                {"type": "thinking", "thinking": "Let me see.", "signature": "sig"},
                {"type": "text", "text": "I look it up."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
            ],
            stop_reason="tool_use",
        )
        events = await collect(provider.stream(request("Look it up.")))
        kinds = ["text" if isinstance(event, TextDelta) else type(event).__name__ for event in events]
        assert list(dict.fromkeys(kinds)) == ["StepEvent", "text", "Completion"]
        assert [event.step.call_id for event in events if type(event).__name__ == "StepEvent"] == ["", "t1", "t2"]

    async def test_fifty_streams_at_once_keep_apart(self, provider: Steady) -> None:
        replies = await asyncio.gather(*(said(provider, f"My ticket is T-{number}.") for number in range(50)))
        assert all(f"**T-{number}**" in reply for number, reply in enumerate(replies))


@pytest.mark.parametrize(
    ("supported", "adaptive", "enabled", "kind"),
    [(True, True, True, "adaptive"), (True, False, True, "enabled"), (False, False, False, "none"), (None, 0, 0, "")],
)
async def test_how_a_model_thinks_is_what_the_models_api_says(supported, adaptive, enabled, kind) -> None:
    types = {name: {"supported": bool(can)} for name, can in (("adaptive", adaptive), ("enabled", enabled))}
    told = None if supported is None else {"thinking": {"supported": supported, "types": types}}
    entry = {"id": MODEL, "max_input_tokens": 200_000, "max_tokens": 64_000, "capabilities": told}
    answers = httpx2.MockTransport(lambda request: httpx2.Response(200, json=entry))
    provider = AnthropicProvider(api_key="k", http_client=lambda: httpx2.AsyncClient(transport=answers))
    assert (await provider.window(MODEL)).thinking == kind
    await provider.close()
