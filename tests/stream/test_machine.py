"""Five hundred steps of everything at once: writers that die, a bus that comes and goes, rows that are away, pages that
reconnect anywhere. Whatever is shown is always the beginning of what its attempt says, and in the end everybody has
what is stored."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.stream.conftest import Exchange, Process, Table
from tests.stream.test_following import Page, Writer, until

STEPS = 500


class Crowd:
    """Three processes, one conversation, one turn at a time, and pages everywhere."""

    def __init__(self, processes: list[Process], table: Table, dice: random.Random) -> None:
        self.processes = processes
        self.table = table
        self.dice = dice
        self.pages = [(process, Page(process)) for process in processes]
        self.writer: Writer | None = None
        self.said: dict[tuple[int, int], str] = {}
        self.number = 0

    def begin(self) -> None:
        """A new turn, in any process; it is a row first."""
        if self.writer is None and not self.table.away:
            self.number += 1
            self.writer = Writer(self.dice.choice(self.processes), self.table, turn=self.number)
            self.note()

    def note(self) -> None:
        assert self.writer
        self.said.setdefault((self.writer.row.id, self.writer.live.epoch), "")

    def say(self) -> None:
        """More text; perhaps a checkpoint."""
        if self.writer:
            text = self.dice.choice(["a", "word ", "\n\n", "Zürich 🙂 ", "x" * 150])
            self.writer.say(text)
            self.said[(self.writer.row.id, self.writer.live.epoch)] += text
            # What an earlier attempt had said stays until this one has said more.
            if (
                not self.table.away
                and self.dice.random() < 0.3
                and len(self.writer.live.whole()) > len(self.writer.row.reply)
            ):
                self.writer.checkpoint()

    def die(self) -> None:
        """The writer's process drops the turn; another attempt begins somewhere."""
        if self.writer and not self.table.away:
            old = self.writer
            old.process.hub.drop(old.row.session, old.live)
            self.writer = Writer(
                self.dice.choice(self.processes), self.table, turn=old.row.id, epoch=old.live.epoch + 1
            )
            self.note()

    def end(self) -> None:
        """It is complete, or was stopped."""
        if self.writer and not self.table.away:
            self.writer.end(self.dice.choice(["complete", "stopped", "truncated"]))
            self.writer = None

    def cut(self) -> None:
        """A bus goes down, or comes back."""
        bus: Any = self.dice.choice(self.processes).bus
        bus.turn(not bus.up)

    def rows_away(self) -> None:
        """The database goes away, or comes back."""
        self.table.away = not self.table.away

    def reconnect(self) -> None:
        """A page comes back to any process, and says where it stopped."""
        at = self.dice.randrange(len(self.pages))
        _, old = self.pages[at]
        process = self.dice.choice(self.processes)
        new = Page(process)
        if old.epoch is not None and old.turn not in old.ended and self.dice.random() < 0.7:
            new.watcher.resume(old.turn, old.epoch, len(old.text))
            new.text, new.epoch, new.turn = old.text, old.epoch, old.turn
        old.watcher.close()
        self.pages[at] = (process, new)
        # As the socket does when the row says that a turn is live.
        live = next((turn for turn in self.table.turns.values() if turn.status in ("queued", "running")), None)
        if live:
            process.hub.expect(live.session, live.id)

    def check(self) -> None:
        """Nobody sees anything but the beginning of what an attempt said."""
        for _, page in self.pages:
            page.look()
            if page.epoch is not None and page.turn not in page.ended:
                said = self.said[(page.turn, page.epoch)]
                assert said.startswith(page.text), (page.turn, page.epoch)


@pytest.mark.parametrize("kind", ["wires"], indirect=True)
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_every_page_ends_with_what_is_stored(
    process: Callable[..., Process], table: Table, exchange: Exchange, kind: str, seed: int
) -> None:
    dice = random.Random(seed)
    crowd = Crowd([process(), process(), process()], table, dice)
    steps = {crowd.begin: 8, crowd.say: 40, crowd.die: 3, crowd.end: 4, crowd.cut: 2, crowd.rows_away: 2,
             crowd.reconnect: 6}  # fmt: skip
    exchange.loses = lambda channel, frame: dice.random() < 0.05
    for _ in range(STEPS):
        dice.choices(list(steps), weights=list(steps.values()))[0]()
        await asyncio.sleep(0.002 if dice.random() < 0.2 else 0)
        crowd.check()
    table.away = False
    for one in crowd.processes:
        if not one.bus.up:
            one.bus.turn(True)
    # A process in which somebody has just begun to watch looks at the rows first; no turn is as short as that.
    scans = [one.following.numbers()["scans"] for one in crowd.processes]
    await until(
        lambda: all(
            one.following.numbers()["scans"] > at
            for one, at in zip(crowd.processes, scans, strict=True)
            if any(process is one for process, _ in crowd.pages)
        ),
        "a look at the rows",
    )
    crowd.begin()
    crowd.say()
    last = crowd.number
    crowd.end()
    for _, page in crowd.pages:
        await until(lambda page=page: last in page.look().ended, f"the end of turn {last}")
        for turn, text in page.ended.items():
            assert text == table.turns[turn].reply, turn
