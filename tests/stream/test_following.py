"""Replies written in one process and watched in another: whole, in order, once, whatever the bus does."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from chat.stream import following, ledger, reading, telling
from chat.stream.bus import Frame
from chat.stream.followed import Followed
from chat.stream.live import Live
from chat.stream.protocol import Branch, Delta, Done, Gone, Notice, Outbound, Reset, Snapshot, Status
from chat.stream.watcher import Watcher
from tests.stream.conftest import Exchange, Process, Table, Turn

SESSION = UUID(int=7)
PATIENCE_S = 20.0
ROUND_TRIP_S = 0.3  # what is said to another process by the bus has long arrived


class Page:
    """What a page has of a session, by the rules of the protocol; what doesn't fit together fails."""

    def __init__(self, process: Process, session: UUID = SESSION) -> None:
        self.watcher: Watcher = process.hub.watch(session)
        self.frames: list[Outbound] = []
        self.text = ""
        self.epoch: int | None = None
        self.turn = 0
        self.ended: dict[int, str] = {}

    def look(self) -> "Page":
        while (frame := self.watcher.next()) is not None:
            self.frames.append(frame)
            if isinstance(frame, Snapshot):
                assert frame.turn not in self.ended
                self.text, self.epoch, self.turn = frame.text, frame.epoch, frame.turn
            elif isinstance(frame, Delta):
                assert (frame.turn, frame.epoch, frame.start) == (self.turn, self.epoch, len(self.text))
                self.text += frame.text
            elif isinstance(frame, Reset):
                self.text, self.epoch = "", None
            elif isinstance(frame, Done):
                assert frame.turn not in self.ended
                self.ended[frame.turn] = self.text
        return self

    def of(self, kind: type) -> list[Any]:
        return [frame for frame in self.look().frames if isinstance(frame, kind)]


class Writer:
    """A runner of one process: what it shows and what it stores."""

    def __init__(self, process: Process, table: Table, turn: int = 1, session: UUID = SESSION, epoch: int = 1) -> None:
        self.process = process
        self.row = table.turns.setdefault(turn, Turn(turn, session, number=turn))
        self.row.epoch, self.row.status = epoch, "running"
        self.live: Live = process.hub.begin(session, turn, turn, epoch)

    def say(self, text: str) -> None:
        self.process.hub.append(self.row.session, self.live, text)

    def checkpoint(self) -> None:
        self.row.reply = self.live.whole()

    def end(self, status: str = "complete", text: str | None = None) -> None:
        self.row.reply, self.row.status = self.live.whole() if text is None else text, status
        self.process.hub.finish(self.row.session, self.live, status=status, text=text)


async def until(holds: Callable[[], Any], what: str = "") -> None:
    """Wait until something holds; a shared machine is no stopwatch."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"never came: {what}"
        await asyncio.sleep(0.005)


async def settled(process: Process, kind: str) -> None:
    """Wait until a bus that can go up is up."""
    if kind in ("wires", "redis"):
        await until(lambda: process.bus.up, "the bus")


@pytest.fixture
async def two(process: Callable[..., Process], kind: str) -> tuple[Process, Process]:
    """A process that writes and one that only has sockets."""
    writes, watches = process(), process(works=False)
    await settled(writes, kind)
    await settled(watches, kind)
    return writes, watches


async def test_a_reply_of_another_process_comes_whole_and_once(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    writer = Writer(writes, table)
    for number in range(40):
        writer.say(f"word {number}, ")
        if number % 5 == 0:
            writer.checkpoint()
        await asyncio.sleep(0.003)
        page.look()
    writer.end()
    await until(lambda: page.look().ended, "the end")
    assert page.ended[1] == writer.row.reply
    done = page.of(Done)[0]
    assert (done.end, done.sha256) == (len(page.text), hashlib.sha256(page.text.encode()).hexdigest())
    assert Reset not in [type(frame) for frame in page.frames]
    assert watches.hub.live(SESSION) is None


async def test_who_attaches_in_the_middle_has_what_was_said_before(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    writer = Writer(writes, table)
    writer.say("Said before anybody watched. ")
    writer.checkpoint()
    writer.say("Not yet in the row. ")
    page = Page(watches)
    await until(lambda: page.look().text.startswith("Said before"), "the beginning")
    writer.say("Said after.")
    writer.checkpoint()
    await until(lambda: page.look().text.endswith("Said after."), "the rest")
    writer.end()
    await until(lambda: page.look().ended, "the end")
    assert page.ended[1] == "Said before anybody watched. Not yet in the row. Said after."


async def test_an_end_in_the_row_is_told_although_nothing_was_heard(two: tuple[Process, Process], table: Table) -> None:
    _, watches = two
    table.turns[1] = Turn(1, SESSION, 1, epoch=1, status="running", reply="Half")
    page = Page(watches)
    await until(lambda: page.look().text == "Half", "the text of the row")
    table.turns[1].reply, table.turns[1].status = "Half and the other half.", "complete"
    await until(lambda: page.look().ended, "the end")
    assert page.ended[1] == "Half and the other half."


async def test_a_page_that_expects_a_turn_hears_that_it_has_ended(two: tuple[Process, Process], table: Table) -> None:
    _, watches = two
    table.turns[5] = Turn(5, SESSION, 2, epoch=1, status="complete", reply="All of it.")
    page = Page(watches)
    watches.hub.expect(SESSION, 5)
    await until(lambda: page.look().ended, "the end")
    assert page.ended[5] == "All of it."
    assert page.of(Done)[0].number == 2


async def test_a_page_that_has_just_come_hears_of_the_turn_it_waits_for_and_of_no_older_one(
    two: tuple[Process, Process], table: Table
) -> None:
    _, watches = two
    Page(watches, UUID(int=8))
    await until(lambda: table.asked["news"] >= 2, "a look")
    table.turns[5] = Turn(5, SESSION, 1, epoch=1, status="complete", reply="It is in the page already.")
    table.turns[6] = Turn(6, SESSION, 2, epoch=1, status="complete", reply="It ended just now.")
    page = Page(watches)
    watches.hub.expect(SESSION, 6)
    await until(lambda: page.look().ended, "the end")
    looks = table.asked["news"]
    await until(lambda: table.asked["news"] >= looks + 3, "more looks")
    assert page.look().ended == {6: "It ended just now."}


async def test_a_turn_opened_and_ended_between_two_looks_is_told(two: tuple[Process, Process], table: Table) -> None:
    _, watches = two
    page = Page(watches)
    await until(lambda: table.asked["news"] >= 3, "a look")
    table.turns[9] = Turn(9, SESSION, 1, epoch=1, status="complete", reply="Quick.")
    await until(lambda: page.look().ended, "the end")
    assert page.ended == {9: "Quick."}


async def test_a_turn_opened_elsewhere_shows_as_queued(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    table.turns[1] = Turn(1, SESSION, 1)
    writes.hub.status(SESSION, 1, "queued")
    await until(lambda: page.of(Status), "the status")
    looks = table.asked["news"]
    await until(lambda: table.asked["news"] >= looks + 3, "more looks")
    assert [(frame.turn, frame.phase) for frame in page.of(Status)] == [(1, "queued")]


@pytest.mark.parametrize("kind", ["wires", "redis"], indirect=True)
async def test_a_turn_that_the_rows_showed_as_queued_is_not_told_again(
    two: tuple[Process, Process], table: Table
) -> None:
    writes, watches = two
    page = Page(watches)
    table.turns[1] = Turn(1, SESSION, 1)
    await until(lambda: page.of(Status), "the status")
    await until(lambda: table.asked["news"] >= 3, "more looks")
    writes.hub.status(SESSION, 1, "queued")
    writes.hub.notice(SESSION, kind="title", first=1, last=1)
    await until(lambda: page.of(Notice), "what was said after it")
    assert [(frame.turn, frame.phase) for frame in page.of(Status)] == [(1, "queued")]


async def test_a_later_attempt_elsewhere_starts_again_from_nothing(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    first = Writer(writes, table)
    first.say("Half a sentence that is lo")
    first.checkpoint()
    await until(lambda: page.look().text.startswith("Half"), "the first attempt")
    writes.hub.drop(SESSION, first.live)
    # The row keeps what the first attempt had said until the second has said more.
    second = Writer(writes, table, epoch=2)
    second.say("The whole ")
    await until(lambda: page.of(Reset), "the reset")
    second.say("sentence, which is longer now.")
    second.checkpoint()
    await until(lambda: page.look().text == second.live.whole(), "the second attempt")
    second.end()
    await until(lambda: page.look().ended, "the end")
    assert page.ended[1] == second.row.reply


async def test_who_comes_in_a_later_attempt_never_sees_the_one_before(
    two: tuple[Process, Process], table: Table
) -> None:
    writes, watches = two
    table.turns[1] = Turn(1, SESSION, 1, reply="Words of the attempt before.")
    writer = Writer(writes, table, epoch=2)
    writer.say("New ")
    page = Page(watches)
    await until(lambda: page.look().epoch == 2, "the reply")
    for _ in range(30):
        await asyncio.sleep(0.005)
        assert not page.look().text.startswith("Words")
    writer.say("words, and more of them than there were.")
    writer.checkpoint()
    await until(lambda: page.look().text == writer.live.whole(), "the text")


@pytest.mark.parametrize("heard", [True, False])
async def test_a_later_attempt_that_says_nothing_yet_shows_nothing(
    two: tuple[Process, Process], table: Table, heard: bool
) -> None:
    writes, watches = two
    table.turns[1] = Turn(1, SESSION, 1, status="running", reply="Words of the attempt before.")
    if heard:
        page = Page(watches)
        await until(lambda: table.asked["news"], "a look")
    writer = Writer(writes, table, epoch=2)
    if not heard:
        page = Page(watches)
    await until(lambda: page.look().epoch == 2, "the reply")
    rows = table.asked["rows"]
    await until(lambda: table.asked["rows"] >= rows + 4, "the row to be read")
    assert page.look().text == ""
    writer.say("Now there is more than the attempt before had.")
    writer.checkpoint()
    await until(lambda: page.look().text == writer.live.whole(), "the text")


async def test_a_reply_that_ends_with_other_words_says_so(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    writer = Writer(writes, table, epoch=2)
    writer.say("Short")
    await until(lambda: page.look().epoch == 2, "the beginning")
    writer.end("failed", text="What the attempt before had said.")
    await until(lambda: page.of(Done), "the end")
    done = page.of(Done)[0]
    assert done.end == len("What the attempt before had said.")
    assert done.sha256 == hashlib.sha256(b"What the attempt before had said.").hexdigest()


async def test_who_wants_a_reply_to_end_sees_its_end_although_the_rows_are_seldom_read(
    two: tuple[Process, Process], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, watches = two
    page = Page(watches)
    writer = Writer(writes, table)
    writer.say("Before. ")
    writer.checkpoint()
    await until(lambda: page.look().text == "Before. ", "the text")
    for module, name in ((ledger, "SILENCE_S"), (reading, "PAUSE_S"), (reading, "SCAN_S")):
        monkeypatch.setattr(module, name, 600.0)
    await asyncio.sleep(0.3)
    watches.following.hurry(1)
    await asyncio.sleep(0.1)
    writer.say("After.")
    writer.end("stopped")
    await until(lambda: page.look().ended, "the end")
    assert page.ended == {1: "Before. After."}


async def test_two_replies_in_a_row_come_one_after_the_other(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    await until(lambda: table.asked["news"], "a look")
    for turn in (1, 2, 3):
        writer = Writer(writes, table, turn=turn)
        writer.say(f"Reply {turn}.")
        writer.end()
        await asyncio.sleep(0.002)
    await until(lambda: len(page.look().ended) == 3, "three ends")
    assert page.ended == {turn: f"Reply {turn}." for turn in (1, 2, 3)}


async def test_notices_come_once_without_a_reload(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page, own = Page(watches), Page(writes)
    await until(lambda: table.asked["news"] >= 4, "a look")
    table.notices.append((SESSION, "compressed", 1, 9))
    writes.hub.notice(SESSION, kind="compressed", first=1, last=9)
    await until(lambda: page.of(Notice), "the notice")
    looks = table.asked["news"]
    await until(lambda: table.asked["news"] >= looks + 4, "more looks")
    assert [frame.range for frame in page.of(Notice)] == [(1, 9)]
    assert [frame.range for frame in own.of(Notice)] == [(1, 9)]


async def test_a_conversation_deleted_elsewhere_is_gone_here(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page, other = Page(watches), Page(watches, UUID(int=8))
    table.gone.append(SESSION)
    writes.hub.gone(SESSION)
    await until(lambda: page.of(Gone), "gone")
    assert other.of(Gone) == []


async def test_another_branch_is_told_to_every_process_that_a_bus_reaches(two: tuple[Process, Process]) -> None:
    here, there = two
    own, page, other = Page(here), Page(there), Page(there, UUID(int=8))

    def told() -> list[Any]:
        # Again and again: nobody knows when a subscription is in force.
        here.hub.branch(SESSION, first=3, turn=9, head=5)
        return page.of(Branch) if there.bus.up else own.of(Branch)

    await until(told, "the branch")
    for one in (own, page) if there.bus.up else (own,):
        assert one.of(Branch)[0] == Branch(first=3, turn=9, head=5)
    assert other.of(Branch) == []


async def test_a_followed_reply_is_no_live_turn_of_this_process(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    writer = Writer(writes, table)
    writer.checkpoint()
    await until(lambda: isinstance(watches.hub.live(SESSION), Followed), "following")
    assert (writes.hub.live_turns, watches.hub.live_turns) == (1, 0)
    page.watcher.close()
    assert watches.hub.live(SESSION) is None
    assert watches.hub._channels == {}


async def test_a_reply_that_is_taken_over_here_is_followed_no_more(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    first = Writer(writes, table)
    first.say("Elsewhere ")
    first.checkpoint()
    await until(lambda: page.look().text, "the text")
    writes.hub.drop(SESSION, first.live)
    second = Writer(watches, table, epoch=2)
    second.say("Here.")
    second.end()
    await until(lambda: page.look().ended, "the end")
    assert page.ended == {1: "Here."}
    assert watches.following.numbers()["followed"] == 0


async def test_a_reply_that_was_lost_to_another_process_is_followed_there(
    two: tuple[Process, Process], table: Table
) -> None:
    writes, watches = two
    page = Page(watches)
    lost = Writer(watches, table)
    lost.say("Mine at fir")
    await until(lambda: page.look().text == "Mine at fir", "the text")
    taken = Writer(writes, table, epoch=2)
    taken.say("Theirs")
    taken.checkpoint()
    watches.hub.drop(SESSION, lost.live)
    await until(lambda: page.look().epoch == 2, "the other one's attempt")
    taken.say(" now.")
    taken.checkpoint()
    await until(lambda: page.look().text == "Theirs now.", "the other one's text")
    taken.end()
    await until(lambda: page.look().ended, "the end")
    assert page.ended == {1: "Theirs now."}


async def test_while_nobody_watches_no_row_is_read(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    writer = Writer(writes, table)
    writer.say("Nobody hears this.")
    await asyncio.sleep(0.1)
    assert table.asked == {"news": 0, "rows": 0, "ends": 0}
    page = Page(watches)
    await until(lambda: table.asked["news"], "a look")
    page.watcher.close()
    await asyncio.sleep(0.05)
    before = dict(table.asked)
    await asyncio.sleep(0.3)
    assert table.asked == before


async def test_many_followed_replies_cost_one_query(two: tuple[Process, Process], table: Table) -> None:
    _, watches = two
    pages = []
    for number in range(1, 101):
        session = UUID(int=1000 + number)
        table.turns[number] = Turn(number, session, 1, epoch=1, status="running", reply=f"Reply {number}")
        pages.append(Page(watches, session))
    await until(lambda: all(page.look().text for page in pages), "all texts")
    assert [page.text for page in pages] == [f"Reply {number}" for number in range(1, 101)]
    assert table.asked["rows"] <= 5


async def test_while_the_database_is_away_following_waits_and_goes_on(
    two: tuple[Process, Process], table: Table
) -> None:
    writes, watches = two
    table.away = True
    page = Page(watches)
    await until(lambda: table.asked["news"], "a try")
    writer = Writer(writes, table)
    writer.say("Later.")
    table.away = False
    writer.checkpoint()
    await until(lambda: page.look().text == "Later.", "the text")


async def test_a_wake_reaches_who_works_and_nobody_else(process: Callable[..., Process], kind: str) -> None:
    web, works, idle = process(works=False), process(), process(works=False)
    for one in (web, works, idle):
        await settled(one, kind)
    web.bus.send("workers", ("queued",))
    web.bus.send("workers", ("stop", 12))
    if kind in ("no bus", "redis away"):
        await asyncio.sleep(0.05)
        assert works.told == []
        return
    await until(lambda: len(works.told) == 2, "the wakes")
    assert works.told == [["queued"], ["stop", 12]]
    assert web.told == idle.told == []


# --- with a bus, and what it may do to a frame ---

wires = pytest.mark.parametrize("kind", ["wires"], indirect=True)
buses = pytest.mark.parametrize("kind", ["wires", "redis"], indirect=True)


@buses
async def test_text_is_sent_only_while_somebody_elsewhere_follows(
    two: tuple[Process, Process], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, watches = two
    own = Page(writes)
    sent: list[str] = []
    send = writes.bus.send

    def noted(channel: str, frame: Frame) -> None:
        sent.append(frame[0])
        send(channel, frame)

    monkeypatch.setattr(writes.bus, "send", noted)
    writer = Writer(writes, table)
    for _ in range(20):
        writer.say("Only here. ")
        await asyncio.sleep(0.003)
    assert own.look().text
    assert sent == ["begin"]
    page = Page(watches)
    await until(lambda: page.look().text == writer.live.text, "what was said before")
    assert "text" in sent
    page.watcher.close()
    await asyncio.sleep(ROUND_TRIP_S)
    writer.say("Nobody elsewhere. ")
    await asyncio.sleep(ROUND_TRIP_S)
    sent.clear()
    for _ in range(10):
        writer.say("Still nobody. ")
        await asyncio.sleep(0.003)
    assert sent == []


@buses
async def test_with_a_bus_text_does_not_wait_for_the_row(
    two: tuple[Process, Process], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (following, ledger):
        monkeypatch.setattr(module, "SILENCE_S", 600.0)
    monkeypatch.setattr(reading, "SCAN_WITH_BUS_S", 600.0)
    writes, watches = two
    page = Page(watches)
    await asyncio.sleep(ROUND_TRIP_S)
    writer = Writer(writes, table)
    for number in range(50):
        writer.say(f"{number} 👩‍🚀\n")
        await asyncio.sleep(0.002)
    await until(lambda: page.look().text == writer.live.whole(), "the text")
    assert table.asked["rows"] == 0
    writer.end()
    await until(lambda: page.look().ended, "the end")
    assert table.asked["ends"] == 0


@wires
async def test_a_lost_frame_is_asked_for_again(two: tuple[Process, Process], table: Table, exchange: Exchange) -> None:
    writes, watches = two
    page = Page(watches)
    writer = Writer(writes, table)
    await until(lambda: watches.following._ledger._hears, "listening")
    await asyncio.sleep(0.02)
    exchange.loses = lambda channel, frame: frame[0] == "text"
    writer.say("This is lost. ")
    await asyncio.sleep(0.01)
    exchange.loses = lambda channel, frame: False
    writer.say("This comes.")
    await until(lambda: page.look().text == "This is lost. This comes.", "both")
    assert watches.following.numbers()["gaps"] >= 1


@wires
async def test_who_asks_for_an_attempt_that_is_over_gets_the_new_one(
    two: tuple[Process, Process], table: Table
) -> None:
    writes, _ = two
    writer = Writer(writes, table, epoch=2)
    writer.say("The second attempt.")
    writes.bus.sent.clear()
    writes.following.received("workers", ["want", str(SESSION), 1, 1, 9])
    assert writes.bus.sent == [
        (f"s:{SESSION}", ("begin", 1, 1, 2)),
        (f"t:{SESSION}", ("text", 1, 2, 0, "The second attempt.")),
    ]
    writes.bus.sent.clear()
    for turn, epoch, end in ((2, 1, 0), (1, 3, 0)):
        writes.following.received("workers", ["want", str(SESSION), turn, epoch, end])
    assert writes.bus.sent == []


@wires
async def test_a_long_text_goes_out_in_pieces_and_a_very_long_one_is_read_from_its_row(
    two: tuple[Process, Process], table: Table
) -> None:
    writes, watches = two
    page = Page(watches)
    await until(lambda: table.asked["news"], "a look")
    writer = Writer(writes, table)
    await until(lambda: watches.following._ledger._hears, "listening")
    writer.say("x" * 100_000)
    await until(lambda: len(page.look().text) == 100_000, "the text")
    pieces = [frame for _, frame in writes.bus.sent if frame[0] == "text"]
    assert max(len(frame[4]) for frame in pieces) == telling.PIECE_CHARS
    writer.say("y" * telling.TAIL_CHARS * 2)
    late = Page(watches, SESSION)
    writer.checkpoint()
    await until(lambda: late.look().text == writer.live.whole(), "all of it")


@wires
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_bus_loses_every_page_gets_everything(
    process: Callable[..., Process], table: Table, exchange: Exchange, seed: int
) -> None:
    dice = random.Random(seed)
    writes, watches = process(), process(works=False)
    share = dice.choice([0.1, 0.5, 0.9])
    exchange.loses = lambda channel, frame: dice.random() < share
    page = Page(watches)
    expected: dict[int, str] = {}
    for turn in range(1, 5):
        writer = Writer(writes, table, turn=turn)
        for step in range(dice.randint(1, 30)):
            writer.say(dice.choice("abcdefgh ") * dice.randint(1, 60))
            if dice.random() < 0.3:
                writer.checkpoint()
            if dice.random() < 0.1:
                watches.bus.turn(not watches.bus.up)
            if dice.random() < 0.1:
                writer.checkpoint()
                writes.hub.drop(SESSION, writer.live)
                writer = Writer(writes, table, turn=turn, epoch=writer.row.epoch + 1)
            if step % 7 == 0:
                await asyncio.sleep(0.005)
            page.look()
        writer.end()
        expected[turn] = writer.row.reply
        await until(lambda: len(page.look().ended) == len(expected), f"the end of turn {turn}")
    assert page.ended == expected


@wires
async def test_frames_that_make_no_sense_cost_nothing(two: tuple[Process, Process], table: Table) -> None:
    writes, watches = two
    page = Page(watches)
    writer = Writer(writes, table)
    writer.say("Sense.")
    await until(lambda: page.look().text == "Sense.", "the text")
    for frame in (["text", 1, 1, 3], ["text", 1, 1, "x", 4], ["begin"], ["done", {}], ["status", 1]):
        # The bus takes it: a receiver that fails costs one line in the log.
        with pytest.raises((TypeError, ValueError, LookupError)):
            watches.following.received(f"s:{SESSION}", frame)
    watches.following.received(f"s:{SESSION}", ["something", "newer"])
    writer.say(" And more.")
    await until(lambda: page.look().text == "Sense. And more.", "more text")
