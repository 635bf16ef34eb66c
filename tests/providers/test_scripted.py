"""The double says what it was told to say."""

import asyncio
from contextlib import aclosing

import pytest

from chat.context.values import Request
from chat.providers.base import Completion, Misconfigured, Overloaded, TextDelta, Usage
from chat.providers.scripted import ScriptedProvider
from tests.providers.building import collect, request, said, until_failure


class TestScripts:
    async def test_each_call_plays_the_next_script(self) -> None:
        provider = ScriptedProvider([["One"], ["Two"]])
        assert [await said(provider, "a"), await said(provider, "b")] == ["One", "Two"]
        assert [asked.messages[0].blocks[0].text for asked in provider.requests] == ["a", "b"]

    async def test_the_default_plays_when_none_is_left(self) -> None:
        provider = ScriptedProvider([["One"]], default=["Other"])
        assert [await said(provider, "a") for _ in range(3)] == ["One", "Other", "Other"]

    async def test_without_a_script_the_call_is_misconfigured(self) -> None:
        with pytest.raises(Misconfigured):
            await collect(ScriptedProvider().stream(request("a")))

    async def test_a_script_may_be_made_from_the_request(self) -> None:
        def echo(asked: Request) -> list[str]:
            return [asked.messages[-1].blocks[-1].text.upper()]

        assert await said(ScriptedProvider(default=echo), "hello") == "HELLO"

    async def test_an_error_comes_after_what_was_said(self) -> None:
        events, error = await until_failure(ScriptedProvider([["Half", Overloaded("x")]]).stream(request("a")))
        assert (events, type(error)) == ([TextDelta("Half")], Overloaded)

    async def test_a_completion_of_ones_own_is_the_end(self) -> None:
        last = Completion("refusal", Usage(input=3, output=1))
        assert await collect(ScriptedProvider([["No", last, "more"]]).stream(request("a"))) == [TextDelta("No"), last]

    async def test_an_event_holds_the_stream_until_it_is_set(self) -> None:
        gate = asyncio.Event()
        provider = ScriptedProvider([["One", gate, "Two"]])
        async with aclosing(provider.stream(request("a"))) as events:
            assert await anext(events) == TextDelta("One")
            waiting = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            assert not waiting.done()
            gate.set()
            assert await waiting == TextDelta("Two")

    async def test_a_stream_closed_early_is_counted(self) -> None:
        provider = ScriptedProvider([["One", "Two"], ["One"]])
        async with aclosing(provider.stream(request("a"))) as events:
            await anext(events)
        await said(provider, "b")
        assert provider.closed == 1

    async def test_an_unknown_window_is_said_to_be_unknown(self) -> None:
        found = await ScriptedProvider(window=0).window("m")
        assert (found.known, found.window) == (False, 0)
