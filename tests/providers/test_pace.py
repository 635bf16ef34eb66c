"""A stream is read in moments, not event by event; nothing of it is lost or kept for longer than that."""

import asyncio
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from aiohttp.client_proto import ResponseHandler

from chat.providers import pace
from chat.providers.anthropic import AnthropicProvider
from chat.providers.base import Started, StepEvent, TextDelta, Unavailable
from chat.providers.body import Body
from chat.providers.reply import Reply, StreamError
from chat.providers.standin import start_standin
from tests.providers.building import collect, request, said
from tests.providers.test_sse import payload

HELD_S = 0.2


def delta(text: str) -> bytes:
    return payload(type="content_block_delta", index=0, delta={"type": "text_delta", "text": text})


class Transport:
    """What the pace needs of aiohttp's connection."""

    def __init__(self) -> None:
        self.transport: Transport | None = self
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


def paced() -> tuple[pace.Pace, Transport]:
    found = Transport()
    return pace.Pace(found), found


class Loop:
    """What the pace needs of a loop, with a clock that moves only when told: a stall of the machine changes nothing."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.timers: list[tuple[asyncio.TimerHandle, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        timer = Mock(spec=asyncio.TimerHandle, **{"when.return_value": when})
        timer.cancel.side_effect = lambda: self.timers.remove((timer, callback))
        self.timers.append((timer, callback))
        return timer

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for timer, callback in sorted(self.timers, key=lambda waiting: waiting[0].when()):
            if timer.when() <= self.now:
                callback()


class TestPace:
    @pytest.fixture(autouse=True)
    def loop(self, monkeypatch) -> Loop:
        loop = Loop()
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        return loop

    def test_after_a_small_chunk_the_connection_rests(self, loop: Loop) -> None:
        held, transport = paced()
        held.rest(150)
        assert transport.calls == ["pause"]
        loop.pass_by(pace.PACE_S + pace.TICK_S)
        assert transport.calls == ["pause", "resume"]

    def test_after_a_large_one_it_does_not(self) -> None:
        held, transport = paced()
        held.rest(pace.SMALL_BYTES)
        assert transport.calls == []

    def test_nor_when_the_reader_was_slow_itself(self, loop: Loop) -> None:
        held, transport = paced()
        loop.pass_by(pace.PACE_S + pace.TICK_S)
        held.rest(150)
        assert transport.calls == []

    def test_the_end_of_a_call_leaves_the_connection_open_for_reading(self, loop: Loop) -> None:
        held, transport = paced()
        held.rest(150)
        held.close()
        assert (transport.calls, loop.timers) == (["pause", "resume"], [])

    def test_a_process_that_reads_many_streams_takes_longer_steps(self, monkeypatch) -> None:
        monkeypatch.setattr(pace.Pace, "streams", 120)
        held, _ = paced()
        steps = []
        for _ in range(2):
            held.rest(150)
            assert held._resting
            steps.append(held._resting[0].when())
        held.close()
        assert steps[1] - steps[0] == pytest.approx(121 * pace.CROWD_S, abs=pace.TICK_S)

    @pytest.mark.parametrize("clock", [50.0, 5_000.0, 66_223.0, 9_000_000.0])
    def test_a_step_is_as_long_on_a_machine_of_any_age(self, loop: Loop, clock: float) -> None:
        held, _ = paced()
        held._next = loop.now = clock
        reads = []
        for _ in range(100):
            held.rest(150)
            loop.now = held._next
            reads.append(loop.now)
        held.close()
        assert reads[-1] - reads[0] == pytest.approx(99 * pace.PACE_S, abs=1e-4)

    @pytest.mark.parametrize("since_a_tick", [0.0, 0.001, 0.005, 0.0099])
    def test_streams_that_begin_together_are_read_in_turns(self, loop: Loop, since_a_tick: float) -> None:
        loop.now += since_a_tick
        streams = [paced()[0] for _ in range(pace.TURNS)]
        for held in streams:
            held.rest(150)
        dues = sorted(held._resting[0].when() for held in streams if held._resting)
        for held in streams:
            held.close()
        assert len(dues) == pace.TURNS
        assert all(later - due > pace.TICK_S / 2 for due, later in itertools.pairwise(dues))

    def test_streams_are_counted_while_they_are_read(self) -> None:
        before = pace.Pace.streams
        held, _ = paced()
        assert pace.Pace.streams == before + 1
        held.close()
        assert pace.Pace.streams == before

    def test_a_connection_that_was_given_back_is_left_alone(self) -> None:
        held, transport = paced()
        transport.transport = None
        held.rest(150)
        assert transport.calls == []


class TestOnTheWire:
    async def test_it_is_found_below_the_client_of_the_sdk(self, monkeypatch) -> None:
        """Fails when a new SDK has moved it: then every event would wake the loop again."""
        monkeypatch.setattr(pace, "PACE_S", HELD_S)
        started_again = Mock(side_effect=ResponseHandler.resume_reading, autospec=True)
        monkeypatch.setattr(ResponseHandler, "resume_reading", lambda *given: started_again(*given))
        standin = await start_standin(window=20_000, delay_ms=1)
        provider = AnthropicProvider(api_key="test", base_url=standin.base_url)
        try:
            texts = [event for event in await collect(provider.stream(request("Hi"))) if isinstance(event, TextDelta)]
            pieces = len(texts)
            words = sum(len(event.text.split()) for event in texts)
            assert pieces <= 4, "read as it came"
            assert words > 10 * pieces
            assert started_again.call_count <= 2 * pieces, "started again after every chunk"
            assert await said(provider, "Hi") == "".join(event.text for event in texts)
        finally:
            await provider.close()
            await standin.close()


class TestBody:
    async def test_compressed_bytes_come_by_the_public_way(self) -> None:
        answer = SimpleNamespace(headers={"Content-Encoding": "gzip"}, connection=None)
        response = SimpleNamespace(stream=SimpleNamespace(_aiohttp_response=answer), aiter_bytes=lambda: "unpacked")
        assert Body(response).chunks() == "unpacked"

    async def test_so_do_those_of_another_client(self) -> None:
        response = SimpleNamespace(stream=object(), aiter_bytes=lambda: "public")
        assert (Body(response).chunks(), Body(response).connection) == ("public", None)


class TestWhatAChunkTells:
    def test_neighbouring_text_is_one_event(self) -> None:
        heard = Reply().read_all([delta("Hel"), payload(type="ping"), delta("lo")])
        assert (heard.events, heard.content, heard.text) == ([TextDelta("Hello")], True, True)

    def test_text_keeps_its_place_between_other_events(self) -> None:
        tool = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
        heard = Reply().read_all(
            [
                delta("before"),
                payload(type="content_block_start", index=1, content_block=tool),
                payload(type="content_block_stop", index=1),
                delta("after"),
            ]
        )
        assert [type(event) for event in heard.events] == [TextDelta, StepEvent, TextDelta]

    def test_what_came_before_an_error_counts(self) -> None:
        heard = Reply().read_all([delta("half"), payload(type="error", error={"type": "overloaded_error"}), delta("x")])
        assert heard.events == [TextDelta("half")]
        assert isinstance(heard.failure, StreamError)

    def test_what_came_before_nonsense_counts_too(self) -> None:
        heard = Reply().read_all([delta("half"), b"{nonsense"])
        assert heard.events == [TextDelta("half")]
        assert isinstance(heard.failure, Unavailable)

    def test_a_ping_is_no_content(self) -> None:
        heard = Reply().read_all([payload(type="ping")])
        assert not heard.content
        assert not [event for event in heard.events if isinstance(event, Started)]
