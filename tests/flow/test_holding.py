"""Turns that run hold on to their rows together: one visit to the database a second, each row for itself."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.db import DataError, OperationalError

from chat.flow import holding
from chat.flow.holding import CHECKPOINT_CHARS, Holding
from chat.flow.running import Lost, Running, Stopped
from chat.store.leases import Claim
from chat.stream.live import Live


class Rows:
    """A database that keeps what it was told, and answers as it is set to: False unless said otherwise."""

    def __init__(self) -> None:
        self.visits: list[dict[int, str | None]] = []
        self.answers: dict[int, bool | None] = {}
        self.away = False
        self.poison = 0
        self.visited = asyncio.Condition()

    async def run(self, work: Any, beats: Sequence[tuple[Claim, str | None]], lease_s: float) -> list[bool | None]:
        self.visits.append({claim.id: text for claim, text in beats})
        async with self.visited:
            self.visited.notify_all()
        if self.away:
            raise OperationalError
        if any(claim.id == self.poison for claim, _ in beats):
            raise DataError
        return [self.answers.get(claim.id, False) for claim, _ in beats]


def a_turn(number: int, text: str = "", *, kept: str = "", beat_s: float = 60.0) -> Running:
    live = Live(number, number, 1)
    live.add(text)
    return Running(Claim(number, uuid.uuid4(), 1, 1, "me", kept), 15.0, beat_s, live=live)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    monkeypatch.setattr(holding, "CHECKPOINT_S", 0.01)
    return Rows()


async def visits(rows: Rows, so_many: int) -> None:
    async with asyncio.timeout(5), rows.visited:
        await rows.visited.wait_for(lambda: len(rows.visits) >= so_many)


async def test_all_that_grew_is_stored_in_one_visit_and_only_once(rows):
    held = Holding(rows)
    one, two, silent = a_turn(1, "One"), a_turn(2, "Two"), a_turn(3)
    with held.hold(one), held.hold(two), held.hold(silent):
        await visits(rows, 1)
        assert rows.visits == [{1: "One", 2: "Two"}]
        one.live.add(" more")
        await visits(rows, 2)
        assert rows.visits[1:] == [{1: "One more"}]


async def test_a_silent_turn_renews_its_lease_without_text(rows):
    with Holding(rows).hold(a_turn(1, beat_s=0.0)):
        await visits(rows, 2)
    assert rows.visits[:2] == [{1: None}] * 2


async def test_a_second_attempt_is_held_on_to_when_the_first_ends_after_it_began(rows):
    held = Holding(rows)
    first, second = a_turn(1), a_turn(1, "Again")
    second.claim = replace(second.claim, epoch=2)
    ending, going = held.hold(first), held.hold(second)
    ending.__enter__()
    with going:
        ending.__exit__(None, None, None)
        await visits(rows, 1)
    assert rows.visits == [{1: "Again"}]


async def test_what_an_earlier_attempt_said_stays_until_this_one_said_more(rows):
    held = Holding(rows)
    turn, other = a_turn(1, "Short", kept="Much longer"), a_turn(2, "Grows")
    with held.hold(turn), held.hold(other):
        await visits(rows, 1)
        assert rows.visits == [{2: "Grows"}]
        turn.live.add(", and now longer")
        await visits(rows, 2)
    assert rows.visits[1] == {1: "Short, and now longer"}


async def test_who_lost_a_turn_stops_it_and_no_other(rows):
    held = Holding(rows)
    rows.answers = {1: None, 2: True}
    lost, stopped, goes_on = a_turn(1, "a"), a_turn(2, "b"), a_turn(3, "c")
    with held.hold(lost), held.hold(stopped), held.hold(goes_on):
        await visits(rows, 1)
        await asyncio.sleep(0)
        with pytest.raises(Lost):
            lost.check()
        with pytest.raises(Stopped):
            stopped.check()
        goes_on.check()


async def test_a_database_that_is_away_ends_nothing_and_gets_the_text_later(rows):
    rows.away = True
    turn = a_turn(1, "Said meanwhile")
    with Holding(rows).hold(turn):
        await visits(rows, 1)
        rows.away = False
        await visits(rows, 2)
        turn.check()
    assert rows.visits[1] == {1: "Said meanwhile"}


async def test_much_text_is_not_kept_waiting_for_the_second(rows, monkeypatch):
    monkeypatch.setattr(holding, "CHECKPOINT_S", 60.0)
    held = Holding(rows)
    much, little = a_turn(1, "x" * CHECKPOINT_CHARS), a_turn(2, "y")
    with held.hold(much), held.hold(little):
        held.grew(much)
        await visits(rows, 1)
    assert list(rows.visits[0]) == [1]


async def test_a_row_that_can_t_be_written_costs_no_other_turn_its_lease(rows):
    rows.poison = 1
    held = Holding(rows)
    bad, good = a_turn(1, "bad"), a_turn(2, "good")
    with held.hold(bad), held.hold(good):
        await visits(rows, 3)
        good.live.add(" still")
        await visits(rows, 6)
    assert {2: "good"} in rows.visits
    assert {2: "good still"} in rows.visits
