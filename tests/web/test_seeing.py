"""What was seen on screens is stored together, the newest of each conversation, and none is lost on the way."""

import asyncio
from uuid import UUID

import pytest
from django.db import OperationalError

from chat.web import attaching, seeing

FIRST, SECOND = UUID(int=1), UUID(int=2)
ALICE, BOB = 1, 2


@pytest.fixture
def stored(monkeypatch):
    """What was handed to the database, a list a statement; an error in `answers` is raised instead, once."""

    class Stored(list):
        answers: list[Exception] = []
        during = staticmethod(lambda: None)

    made = Stored()

    async def write(work, rows):
        assert work is attaching.seen
        during, made.during = made.during, staticmethod(lambda: None)
        await asyncio.sleep(0)
        during()
        if made.answers:
            raise made.answers.pop()
        made.append(sorted(rows))

    monkeypatch.setattr(seeing.sending, "write", write)
    monkeypatch.setattr(seeing, "WAIT_S", 0)
    return made


async def settled(noted: seeing.Seeing) -> None:
    async with asyncio.timeout(5):
        await noted._storing


async def test_many_replies_are_one_statement_with_the_newest_of_each(stored):
    noted = seeing.Seeing()
    for owner, session, number in ((ALICE, FIRST, 3), (BOB, SECOND, 9), (ALICE, FIRST, 5), (ALICE, FIRST, 4)):
        noted.note(owner, session, number)
    await settled(noted)
    assert stored == [[(ALICE, FIRST, 5), (BOB, SECOND, 9)]]


async def test_what_is_seen_while_others_are_stored_goes_with_the_next_statement(stored):
    noted = seeing.Seeing()
    stored.during = lambda: noted.note(ALICE, FIRST, 2)
    noted.note(ALICE, FIRST, 1)
    await settled(noted)
    assert stored == [[(ALICE, FIRST, 1)], [(ALICE, FIRST, 2)]]


async def test_a_database_that_is_away_costs_that_dot_and_no_later_one(stored):
    noted = seeing.Seeing()
    stored.answers = [OperationalError()]
    noted.note(ALICE, FIRST, 1)
    await settled(noted)
    noted.note(ALICE, FIRST, 2)
    await settled(noted)
    assert stored == [[(ALICE, FIRST, 2)]]
