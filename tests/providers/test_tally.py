"""What goes through a tally is unchanged, and counted."""

import pytest

from chat.providers.base import Completion, ContextOverflow, Overloaded, TextDelta, Usage
from chat.providers.scripted import ScriptedProvider
from chat.providers.tally import KEPT, Tally
from tests.providers.building import collect, request

DONE = Completion("end_turn", Usage(input=10, cache_read=5, cache_write=2, output=3))


async def test_events_pass_unchanged_and_usage_adds_up() -> None:
    tally = Tally(ScriptedProvider([["Hello", DONE], ["again", DONE]]))
    assert await collect(tally.stream(request("Hi"))) == [TextDelta("Hello"), DONE]
    assert await collect(tally.stream(request("Hi"))) == [TextDelta("again"), DONE]
    assert (tally.calls, tally.largest, tally.refused) == (2, 17, 0)
    assert (tally.used.total_input, tally.used.output) == (34, 6)


async def test_only_what_the_api_refused_counts_as_refused() -> None:
    tally = Tally(ScriptedProvider([[ContextOverflow("too long")], [Overloaded("busy")]]))
    with pytest.raises(ContextOverflow):
        await collect(tally.stream(request("Hi")))
    with pytest.raises(Overloaded):
        await collect(tally.stream(request("Hi")))
    assert (tally.calls, tally.refused) == (2, 1)


async def test_the_last_requests_are_kept_when_asked_to() -> None:
    tally = Tally(ScriptedProvider(default=["ok"]))
    await collect(tally.stream(request("before")))
    tally.keeping = True
    sent = [request(f"message {number}") for number in range(KEPT + 2)]
    for one in sent:
        await collect(tally.stream(one))
    assert list(tally.kept.values()) == sent[2:]
    assert list(tally.kept) == [one.sha256() for one in sent[2:]]


async def test_counting_and_windows_are_the_inner_providers() -> None:
    tally = Tally(ScriptedProvider(window=9_000, counter=lambda _: 41))
    assert await tally.count(request("Hi")) == 41
    assert (await tally.window("m")).window == 9_000
    await tally.close()
