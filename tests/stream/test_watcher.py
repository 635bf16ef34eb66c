"""A socket's view: what it gets after a pause, after a break, and when it lags behind."""

import asyncio
from itertools import pairwise

import pytest

from chat.stream.live import Live, end_of, ended
from chat.stream.protocol import Block, Bye, Close, Delta, Done, Gone, Notice, Reset, Snapshot
from chat.stream.watcher import MOST_EVENTS, PIECE_CHARS, Watcher

SESSION = "8e9a6b1e-6a53-4c51-9a51-1d8f7f0a5b01"


def a_reply(text: str = "", turn: int = 7, epoch: int = 1, blocks: tuple[tuple[int, str], ...] = ()) -> Live:
    live = Live(turn, turn, epoch)
    grow(live, text)
    live.blocks += blocks
    return live


def grow(live: Live, text: str) -> None:
    live.add(text)
    live.flush()


def finish(live: Live) -> None:
    live.done = end_of(live, status="complete", stop_reason="end_turn")


def ready(watcher: Watcher) -> list:
    frames = []
    while (frame := watcher.next()) is not None:
        frames.append(frame)
    return frames


def watch(live: Live | None = None) -> Watcher:
    return Watcher(live, lambda watcher: None)


def kinds(frames: list) -> list[type]:
    return [type(frame) for frame in frames]


class TestALongReply:
    def test_comes_in_pieces_of_a_bounded_size_and_whole(self):
        live = a_reply("ä" * (3 * PIECE_CHARS + 5))
        finish(live)
        frames = ready(watch(live))
        assert kinds(frames) == [Snapshot, Delta, Delta, Delta, Done]
        assert max(len(frame.text) for frame in frames[:-1]) == PIECE_CHARS
        assert "".join(frame.text for frame in frames[:-1]) == live.text
        for before, after in pairwise(frames[:-1]):
            assert after.start == before.end

    def test_its_blocks_come_once_their_text_is_there(self):
        text = "x" * (2 * PIECE_CHARS)
        ends = (100, PIECE_CHARS, PIECE_CHARS + 1, 2 * PIECE_CHARS)
        frames = ready(watch(a_reply(text, blocks=tuple((end, f"<p>{end}</p>") for end in ends))))
        assert frames[0].blocks == ((100, "<p>100</p>"), (PIECE_CHARS, f"<p>{PIECE_CHARS}</p>"))
        assert kinds(frames) == [Snapshot, Delta, Block, Block]
        assert [frame.index for frame in frames[2:]] == [2, 3]

    def test_a_snapshot_is_bounded_by_its_html_too(self):
        blocks = tuple((10 * (n + 1), "<p>" + "x" * PIECE_CHARS) for n in range(5))
        frames = ready(watch(a_reply("x" * 100, blocks=blocks)))
        assert len(frames[0].blocks) == 1
        assert [frame.index for frame in frames[1:]] == [1, 2, 3, 4]


class TestAPause:
    def test_nothing_is_made_while_it_lasts_and_everything_comes_afterwards(self):
        live = a_reply("One ")
        watcher = watch(live)
        ready(watcher)
        watcher.pause()
        grow(live, "two ")
        watcher.tell(Notice(kind="trimmed"))
        assert ready(watcher) == []
        grow(live, "three")
        finish(live)
        watcher.proceed()
        frames = ready(watcher)
        assert kinds(frames) == [Notice, Delta, Done]
        assert frames[1].text == "two three"

    async def test_a_waiting_socket_wakes_when_it_may_go_on(self):
        live = a_reply("One ")
        watcher = watch(live)
        ready(watcher)
        watcher.pause()
        grow(live, "two")
        waiting = asyncio.ensure_future(anext(watcher))
        await asyncio.sleep(0)
        watcher.wake()
        await asyncio.sleep(0)
        assert not waiting.done()
        watcher.proceed()
        assert (await asyncio.wait_for(waiting, 5)).text == "two"

    @pytest.mark.parametrize("last", [Gone(session=SESSION), Bye(code=Close.RESTART, reconnect_after_ms=5)])
    def test_what_ends_the_socket_gets_through(self, last):
        watcher = watch(a_reply("One "))
        watcher.pause()
        watcher.tell(Notice(kind="trimmed"))
        watcher.tell(last)
        assert ready(watcher) == [last]

    def test_who_lets_too_much_wait_is_sent_away_and_not_left_with_a_gap(self):
        watcher = watch()
        watcher.pause()
        for number in range(3 * MOST_EVENTS):
            watcher.tell(Notice(kind="trimmed", range=(number, number)))
        assert [frame.code for frame in ready(watcher)] == [Close.SLOW]
        watcher.proceed()
        assert [frame.range[0] for frame in ready(watcher)] == list(range(MOST_EVENTS))


class TestComingBack:
    def test_with_blocks_that_are_ours_only_the_rest_comes(self):
        live = a_reply("One\n\ntwo\n\nthree", blocks=((5, "<p>One</p>"), (10, "<p>two</p>")))
        watcher = watch(live)
        watcher.resume(7, 1, 12, blocks=1, block_end=5)
        frames = ready(watcher)
        assert kinds(frames) == [Block, Delta]
        assert (frames[0].index, frames[1].start) == (1, 12)

    @pytest.mark.parametrize(("blocks", "block_end"), [(1, 4), (2, 5), (3, 10)])
    def test_with_blocks_that_another_process_made_everything_comes(self, blocks, block_end):
        live = a_reply("One\n\ntwo\n\nthree", blocks=((5, "<p>One</p>"), (10, "<p>two</p>")))
        watcher = watch(live)
        watcher.resume(7, 1, 12, blocks=blocks, block_end=block_end)
        assert kinds(ready(watcher)) == [Snapshot]

    def test_after_a_restart_the_page_is_told_so(self):
        watcher = watch(a_reply("New", epoch=3))
        watcher.resume(7, 2, 12)
        frames = ready(watcher)
        assert kinds(frames) == [Reset, Snapshot]
        assert (frames[0].epoch, frames[1].epoch) == (3, 3)

    def test_an_ended_reply_comes_from_where_the_page_stopped_and_before_what_runs_now(self):
        watcher = watch(a_reply("Now", turn=8))
        values = {"turn": 7, "number": 7, "epoch": 2, "status": "complete", "stop_reason": "end_turn", "usage": None}
        watcher.recall(ended(text="All of it.", **values))
        assert watcher.holds(7)
        assert watcher.holds(8)
        watcher.resume(7, 2, 4, blocks=3, block_end=2)
        frames = ready(watcher)
        assert [(type(frame), frame.turn) for frame in frames] == [(Delta, 7), (Done, 7), (Snapshot, 8)]
        assert (frames[0].start, frames[0].text, frames[1].end) == (4, "of it.", 10)

    def test_whoever_says_nothing_of_its_place_gets_it_from_the_beginning(self):
        watcher = watch()
        watcher.recall(
            ended(turn=7, number=7, epoch=2, text="All.", status="stopped", stop_reason="", usage={"input": 1})
        )
        frames = ready(watcher)
        assert kinds(frames) == [Snapshot, Done]
        assert (frames[0].text, frames[1].status, frames[1].usage) == ("All.", "stopped", {"input": 1})

    def test_a_place_in_another_reply_changes_nothing(self):
        watcher = watch(a_reply("Text", turn=8))
        watcher.resume(7, 1, 2)
        assert kinds(ready(watcher)) == [Snapshot]
