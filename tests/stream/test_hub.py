"""The hub: one growing text, read by every socket at its own speed, in frames that always fit together."""

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from chat.stream.hub import Hub
from chat.stream.live import Live
from chat.stream.protocol import Block, Delta, Done, Gone, Notice, Outbound, Reset, Snapshot, Status
from chat.stream.watcher import Watcher

SESSION = UUID(int=1)


def paragraphs(text: str) -> tuple[int, list[str]]:
    """Finished blocks for the tests: what ends with a blank line."""
    used = text.rfind("\n\n") + 2 if "\n\n" in text else 0
    return used, [f"<p>{part}</p>" for part in text[:used].split("\n\n") if part]


@pytest.fixture
def hub() -> Hub:
    return Hub(finished_blocks=paragraphs, flush_s=0.01, flush_chars=100)


def ready(watcher: Watcher) -> list[Outbound]:
    """The frames that a socket would get now without waiting."""
    frames = []
    while (frame := watcher.next()) is not None:
        frames.append(frame)
    return frames


async def settle() -> None:
    """Let timers and threads come to rest."""
    await asyncio.sleep(0.05)


def page(frames: list[Outbound]) -> str:
    """The text that a page shows, by the rules of the protocol; what doesn't fit together fails."""
    text, epoch = "", None
    for frame in frames:
        if isinstance(frame, Snapshot):
            text, epoch = frame.text, frame.epoch
            assert frame.end == len(text)
        elif isinstance(frame, Delta):
            assert frame.epoch == epoch
            assert frame.start == len(text)
            text += frame.text
            assert frame.end == len(text)
        elif isinstance(frame, Reset):
            text, epoch = "", None
        elif isinstance(frame, Done):
            assert hashlib.sha256(text.encode()).hexdigest() == frame.sha256
            assert frame.end == len(text)
    return text


def kinds(frames: list[Outbound]) -> list[type]:
    return [type(frame) for frame in frames]


async def test_a_reply_is_a_snapshot_deltas_and_an_end(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    frames = ready(watcher)
    for word in ("One ", "two ", "three"):
        hub.append(SESSION, live, word)
        await asyncio.sleep(0.02)
        frames += ready(watcher)
    hub.finish(SESSION, live, status="complete", stop_reason="end_turn", usage={"input": 1}, gauge={"tokens": 2})
    frames += ready(watcher)
    assert kinds(frames) == [Snapshot, Delta, Delta, Delta, Done]
    assert page(frames) == "One two three"
    done = frames[-1]
    assert (done.turn, done.epoch, done.number, done.status, done.stop_reason) == (7, 1, 1, "complete", "end_turn")
    assert (done.usage, done.gauge) == ({"input": 1}, {"tokens": 2})
    assert hub.live(SESSION) is None


async def test_the_first_delta_is_seen_at_once_and_the_next_ones_together(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "First")
    assert page(ready(watcher)) == "First"
    for _ in range(20):
        hub.append(SESSION, live, ".")
    assert ready(watcher) == []
    assert live.size == 25
    assert live.end == 5
    await settle()
    assert kinds(ready(watcher)) == [Delta]
    assert live.end == 25


async def test_text_that_comes_a_little_early_needs_no_timer_and_the_next_is_due_as_if_it_had_not() -> None:
    hub = Hub(finished_blocks=paragraphs, flush_s=1_000)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "First")
    due = live.flushed_at + 1_000
    live.flushed_at -= 900
    hub.append(SESSION, live, " second")
    assert (live.end, live.timer) == (12, None)
    assert live.flushed_at == pytest.approx(due - 900, abs=1e-6)  # seconds of a clock whose floats round
    hub.append(SESSION, live, " third")
    assert live.end == 12
    assert live.timer is not None


async def test_many_characters_don_t_wait_for_the_timer(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "First")
    ready(watcher)
    hub.append(SESSION, live, "x" * 99)
    assert ready(watcher) == []
    hub.append(SESSION, live, "x")
    assert kinds(ready(watcher)) == [Delta]


async def test_after_a_pause_the_next_delta_is_again_seen_at_once(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "First")
    await settle()
    ready(watcher)
    hub.append(SESSION, live, "Second")
    assert kinds(ready(watcher)) == [Delta]


async def test_what_waits_is_flushed_by_the_end(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "First")
    hub.append(SESSION, live, " and last")
    assert live.whole() == "First and last"
    hub.finish(SESSION, live, status="stopped")
    assert page(ready(watcher)) == "First and last"


async def test_a_slow_socket_catches_up_in_one_frame(hub: Hub) -> None:
    slow, quick = hub.watch(SESSION), hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    assert kinds(ready(slow)) == [Snapshot]
    seen = ready(quick)
    for number in range(100):
        hub.append(SESSION, live, f"{number} " * 30)
        seen += ready(quick)
    await settle()
    late = ready(slow)
    assert kinds(late) == [Delta]
    assert late[0].text == page(seen + ready(quick)) == live.text


async def test_a_socket_that_comes_late_gets_a_snapshot(hub: Hub) -> None:
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "So far")
    late = hub.watch(SESSION)
    frames = ready(late)
    assert kinds(frames) == [Snapshot]
    assert page(frames) == "So far"
    hub.append(SESSION, live, ", so good")
    hub.finish(SESSION, live, status="complete")
    assert page(frames + ready(late)) == "So far, so good"


async def test_a_socket_that_comes_after_the_end_gets_nothing(hub: Hub) -> None:
    live = hub.begin(SESSION, 7, 1, 1)
    hub.finish(SESSION, live, status="complete")
    assert ready(hub.watch(SESSION)) == []


async def test_a_page_that_has_the_beginning_gets_only_the_rest(hub: Hub) -> None:
    live = hub.begin(SESSION, 7, 1, 3)
    hub.append(SESSION, live, "Hello, Lena")
    back = hub.watch(SESSION)
    back.resume(7, 3, 7)
    frames = ready(back)
    assert kinds(frames) == [Delta]
    assert (frames[0].start, frames[0].text) == (7, "Lena")


@pytest.mark.parametrize(("turn", "epoch", "end"), [(7, 2, 5), (8, 3, 5), (7, 3, 500)])
async def test_what_a_page_can_t_have_is_answered_with_a_snapshot(hub: Hub, turn: int, epoch: int, end: int) -> None:
    live = hub.begin(SESSION, 7, 1, 3)
    hub.append(SESSION, live, "Hello, Lena")
    back = hub.watch(SESSION)
    back.resume(turn, epoch, end)
    restarted = [Reset] if (turn, epoch) == (7, 2) else []
    assert kinds(ready(back)) == [*restarted, Snapshot]


async def test_another_attempt_resets_what_the_page_has(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    first = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, first, "Half a sen")
    frames = ready(watcher)
    hub.drop(SESSION, first)
    assert hub.live(SESSION) is None
    second = hub.begin(SESSION, 7, 1, 2)
    hub.append(SESSION, second, "The whole.")
    hub.finish(SESSION, second, status="complete")
    frames += ready(watcher)
    assert [one for one in kinds(frames) if one is not Delta] == [Snapshot, Reset, Snapshot, Done]
    assert page(frames) == "The whole."
    assert frames[-1].epoch == 2


async def test_the_same_attempt_found_again_goes_on_where_the_page_is(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    lost = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, lost, "Half a sen")
    frames = ready(watcher)
    hub.drop(SESSION, lost)
    found = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, found, "Half a sentence.")
    frames += ready(watcher)
    assert kinds(frames) == [Snapshot, Delta]
    assert page(frames) == "Half a sentence."


async def test_a_later_attempt_stands_where_the_one_before_stood(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    hub.begin(SESSION, 7, 1, 1)
    ready(watcher)
    following = hub.begin(SESSION, 8, 2, 1)
    hub.finish(SESSION, following, status="complete")
    again = hub.begin(SESSION, 7, 1, 2)
    hub.finish(SESSION, again, status="complete")
    assert [frame.turn for frame in ready(watcher) if isinstance(frame, Done)] == [7, 8]


async def test_a_page_that_saw_nothing_needs_no_reset(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    hub.begin(SESSION, 7, 1, 1)
    live = hub.begin(SESSION, 7, 1, 2)
    hub.append(SESSION, live, "Whole.")
    frames = ready(watcher)
    assert Reset not in kinds(frames)
    assert page(frames) == "Whole."


async def test_a_reply_that_went_on_elsewhere_does_not_hide_the_next_one(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    gone = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, gone, "Half")
    frames = ready(watcher)
    hub.drop(SESSION, gone)
    live = hub.begin(SESSION, 8, 2, 1)
    hub.append(SESSION, live, "Next.")
    hub.finish(SESSION, live, status="complete")
    frames = ready(watcher)
    assert kinds(frames)[0] is Snapshot
    assert frames[-1].turn == 8
    assert page(frames) == "Next."


async def test_a_socket_that_waits_hears_what_stood_behind_a_reply_that_went_elsewhere(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    gone = hub.begin(SESSION, 7, 1, 1)
    ready(watcher)
    live = hub.begin(SESSION, 8, 2, 1)
    hub.finish(SESSION, live, status="stopped")
    waiting = asyncio.ensure_future(anext(watcher))
    await asyncio.sleep(0)
    hub.drop(SESSION, gone)
    assert (await asyncio.wait_for(waiting, 5)).turn == 8


async def test_two_replies_in_a_row_come_one_after_the_other(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    for turn in (7, 8):
        live = hub.begin(SESSION, turn, turn, 1)
        hub.append(SESSION, live, f"Reply {turn}")
        hub.finish(SESSION, live, status="complete")
    frames = ready(watcher)
    assert [(type(frame), frame.turn) for frame in frames] == [(Snapshot, 7), (Done, 7), (Snapshot, 8), (Done, 8)]
    assert frames[2].text == "Reply 8"


async def test_finished_blocks_are_rendered_once_and_in_order() -> None:
    rendered: list[str] = []

    def count(text: str) -> tuple[int, list[str]]:
        rendered.append(text)
        return paragraphs(text)

    hub = Hub(finished_blocks=count, flush_s=0.005, flush_chars=10)
    watchers = [hub.watch(SESSION) for _ in range(3)]
    live = hub.begin(SESSION, 7, 1, 1)
    frames: list[list[Outbound]] = [[], [], []]
    for number in range(4):
        hub.append(SESSION, live, f"Block {number}\n\n")
        await settle()
        for own, watcher in zip(frames, watchers, strict=True):
            own += ready(watcher)
    for own in frames:
        snapshot = next(frame for frame in own if isinstance(frame, Snapshot))
        blocks = [frame for frame in own if isinstance(frame, Block)]
        told = [*enumerate(html for _, html in snapshot.blocks), *((block.index, block.html) for block in blocks)]
        assert told == [(n, f"<p>Block {n}</p>") for n in range(4)]
        assert len(blocks) >= 3
        assert [block.end for block in blocks] == sorted(block.end for block in blocks)
        assert blocks[-1].end == live.end
    # Each paragraph once, whoever watches.
    assert sum("Block 2" in text for text in rendered) == 1
    late = ready(hub.watch(SESSION))
    assert late[0].blocks == tuple(live.blocks)


async def test_nothing_is_rendered_while_nobody_watches() -> None:
    calls: list[str] = []

    def count(text: str) -> tuple[int, list[str]]:
        calls.append(text)
        return paragraphs(text)

    hub = Hub(finished_blocks=count, flush_s=0.005)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "Done\n\nand more")
    await settle()
    assert calls == []
    watcher = hub.watch(SESSION)
    await settle()
    assert calls == ["Done\n\nand more"]
    assert ready(watcher)[0].blocks == ((6, "<p>Done</p>"),)


async def test_a_renderer_that_fails_costs_no_text() -> None:
    def broken(text: str) -> tuple[int, list[str]]:
        raise ValueError

    hub = Hub(finished_blocks=broken, flush_s=0.005)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "One\n\n")
    await settle()
    hub.append(SESSION, live, "two")
    hub.finish(SESSION, live, status="complete")
    assert page(ready(watcher)) == "One\n\ntwo"


async def test_phases_are_told_and_the_last_one_to_who_comes_late(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.status(SESSION, 7, "compacting")
    assert [frame.phase for frame in ready(watcher) if isinstance(frame, Status)] == ["compacting"]
    assert [frame.phase for frame in ready(hub.watch(SESSION)) if isinstance(frame, Status)] == ["compacting"]
    hub.append(SESSION, live, "Text.")
    assert Status not in kinds(ready(hub.watch(SESSION)))


async def test_notices_and_the_end_of_a_conversation_reach_everybody(hub: Hub) -> None:
    watchers = [hub.watch(SESSION) for _ in range(5)]
    hub.notice(SESSION, kind="compressed", first=1, last=9)
    hub.gone(SESSION)
    for watcher in watchers:
        frames = ready(watcher)
        assert kinds(frames) == [Notice, Gone]
        assert frames[0].range == (1, 9)


async def test_nobody_hears_of_another_session(hub: Hub) -> None:
    stranger = hub.watch(uuid4())
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "Secret")
    hub.notice(SESSION, kind="trimmed", first=1, last=2)
    hub.finish(SESSION, live, status="complete")
    assert ready(stranger) == []


async def test_the_end_names_what_was_stored_where_it_is_not_what_was_streamed(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 2)
    hub.append(SESSION, live, "Short")
    hub.finish(SESSION, live, status="failed", text="The longer text of before")
    done = ready(watcher)[-1]
    assert done.end == 25
    assert done.sha256 == hashlib.sha256(b"The longer text of before").hexdigest()


async def test_a_socket_waits_without_work_and_wakes(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    waiting = asyncio.create_task(anext(watcher))
    await asyncio.sleep(0)
    assert not waiting.done()
    hub.notice(SESSION, kind="trimmed", first=1, last=1)
    assert isinstance(await asyncio.wait_for(waiting, 1), Notice)


async def test_closing_ends_a_wait_and_leaves_nothing_behind(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    waiting = asyncio.create_task(anext(watcher, None))
    await asyncio.sleep(0)
    watcher.close()
    watcher.close()
    assert await asyncio.wait_for(waiting, 1) is None
    assert [frame async for frame in watcher] == []
    assert hub.watchers == 0
    assert hub._channels == {}


@pytest.mark.parametrize("end", [Hub.drop, lambda hub, session, live: hub.finish(session, live, status="complete")])
async def test_a_reply_that_nobody_watches_leaves_nothing_behind(hub: Hub, end: Callable[..., Any]) -> None:
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "Text")
    assert hub.live_turns == 1
    end(hub, SESSION, live)
    await settle()
    assert hub.live_turns == 0
    assert hub._channels == {}
    assert live.timer is None


async def test_a_socket_that_never_reads_holds_a_bounded_number_of_events(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    for _ in range(10_000):
        hub.notice(SESSION, kind="trimmed", first=1, last=1)
    assert len(watcher._events) <= 256


async def test_a_thousand_sockets_share_one_text(hub: Hub) -> None:
    watchers = [hub.watch(SESSION) for _ in range(1_000)]
    live = hub.begin(SESSION, 7, 1, 1)
    for number in range(20):
        hub.append(SESSION, live, f"{number} " * 60)
    hub.finish(SESSION, live, status="complete")
    assert {page(ready(watcher)) for watcher in watchers} == {live.text}
    assert hub.watchers == 1_000


async def test_ends_count_characters_not_bytes_nor_utf_16(hub: Hub) -> None:
    watcher = hub.watch(SESSION)
    live = hub.begin(SESSION, 7, 1, 1)
    hub.append(SESSION, live, "👩‍🚀 ä")
    hub.finish(SESSION, live, status="complete")
    assert ready(watcher)[-1].end == len("👩‍🚀 ä")


def test_the_hub_knows_no_database() -> None:
    code = "import sys, chat.stream.hub; print([name for name in sys.modules if name.startswith('django')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_live_reply_flushes_what_it_holds() -> None:
    live = Live(7, 1, 1)
    assert live.flush() is False
    assert (live.add("ab"), live.add("c")) == (2, 3)
    assert (live.end, live.size, live.whole()) == (0, 3, "abc")
    assert live.flush() is True
    assert (live.text, live.end, live.size) == ("abc", 3, 3)
