"""The rows behind the live text: what changed in any session, read by its indices, and texts from where one stands."""

import hashlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from chat.models import ChatSession, Notice, Turn
from chat.store import branches, following
from chat.store.database import Database
from chat.store.following import NEWS, Rows
from chat.stream.rows import Change
from tests.store.building import conversation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rows() -> Iterator[Rows]:
    database = Database(1)
    yield Rows(database)
    database.close()


def queued(session: ChatSession, prompt: str = "A question") -> Turn:
    return branches.new_turn(session, prompt=prompt, client_id=uuid4(), tokens=3)


def set_turn(turn: Turn, **values: Any) -> None:
    Turn.objects.filter(pk=turn.pk).update(**values)


def finish(turn: Turn, reply: str) -> None:
    ended = {"status": "complete", "stop_reason": "end_turn", "usage": {"input": 1}, "closed_at": timezone.now()}
    set_turn(turn, reply=reply, **ended)


async def of(rows: Rows, session: ChatSession) -> list[Change]:
    return [change for change in await rows.news() if change.session == session.pk]


async def test_live_turns_are_told_each_time_and_ends_for_a_while(rows: Rows, alice: Any) -> None:
    session = await rows._database.run(conversation, alice)
    assert await of(rows, session) == []
    turn = await rows._database.run(queued, session)
    live = Change("live", turn.pk, session.pk, 1, 0, "queued")
    assert await of(rows, session) == [live]
    await rows._database.run(set_turn, turn, status="running", epoch=3)
    live = Change("live", turn.pk, session.pk, 1, 3, "running")
    assert [await of(rows, session), await of(rows, session)] == [[live], [live]]
    await rows._database.run(finish, turn, "An answer")
    assert await of(rows, session) == [Change("ended", turn.pk, session.pk, 1, 3, "complete")]


async def test_what_ended_before_anybody_asked_is_no_news(rows: Rows, alice: Any) -> None:
    session = await rows._database.run(conversation, alice, 3)
    assert await of(rows, session) == []
    await rows._database.run(conversation, alice, 3)
    rows.reset()
    assert await rows.news() == []


async def test_notices_and_deletions_are_told(rows: Rows, alice: Any) -> None:
    session = await rows._database.run(conversation, alice, 3)
    await rows.news()

    def note() -> Notice:
        head = ChatSession.objects.get(pk=session.pk).head_id
        return Notice.objects.create(session=session, kind="compressed", first=1, last=2, until_id=head)

    notice = await rows._database.run(note)
    assert await of(rows, session) == [Change("notice", notice.pk, session.pk, 1, 2, "compressed")]
    await rows._database.run(lambda: ChatSession.objects.filter(pk=session.pk).update(deleted_at=timezone.now()))
    assert Change("gone", 0, session.pk, 0, 0, "") in await of(rows, session)
    long_ago = timezone.now() - 2 * following.DELETED_WITHIN
    await rows._database.run(lambda: ChatSession.objects.filter(pk=session.pk).update(deleted_at=long_ago))
    assert "gone" not in [change.kind for change in await of(rows, session)]


async def test_texts_come_from_where_one_stands_in_characters(rows: Rows, alice: Any) -> None:
    text = "Grüße 👩‍🚀, und mehr"
    made = []
    for number in range(3):
        session = await rows._database.run(conversation, alice)
        turn = await rows._database.run(queued, session)
        await rows._database.run(set_turn, turn, reply=text, status="running", epoch=1)
        made.append((turn, (0, 7, len(text))[number]))
    known = {turn.pk: end for turn, end in made}
    found = {row.turn: row for row in await rows.rows({**known, 999_999_999: 3})}
    assert {turn: row.piece for turn, row in found.items()} == {turn: text[end:] for turn, end in known.items()}
    assert {row.length for row in found.values()} == {len(text)}
    assert not any(row.finished for row in found.values())
    assert all(isinstance(row.session, UUID) for row in found.values())


async def test_more_texts_than_fit_one_statement_come_all_the_same(
    rows: Rows, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "AT_ONCE", 2)
    session = await rows._database.run(conversation, alice, 5)
    turns = await rows._database.run(lambda: list(Turn.objects.filter(session=session).values_list("pk", flat=True)))
    assert sorted(row.turn for row in await rows.rows(dict.fromkeys(turns, 0))) == sorted(turns)


async def test_an_end_names_what_is_stored(rows: Rows, alice: Any) -> None:
    session = await rows._database.run(conversation, alice)
    turn = await rows._database.run(queued, session)
    assert await rows.ends([turn.pk]) == []
    await rows._database.run(set_turn, turn, status="running", epoch=2)
    await rows._database.run(finish, turn, "Fertig ✓")
    [(where, done, reply)] = await rows.ends([turn.pk])
    assert (where, reply, done.number, done.epoch, done.status) == (session.pk, "Fertig ✓", 1, 2, "complete")
    assert (done.stop_reason, done.usage, done.end) == ("end_turn", {"input": 1}, 8)
    assert done.sha256 == hashlib.sha256("Fertig ✓".encode()).hexdigest()


@pytest.mark.sqlite
def test_every_part_of_the_news_is_one_index_on_sqlite(alice: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {NEWS}", [0, 0, "2026-01-01"])
        plan = [row[3] for row in cursor.fetchall()]
    reads = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
    assert len(reads) == 4
    assert "chat_turn_live" in reads[0]
    assert "INTEGER PRIMARY KEY" in reads[1]
    assert "INTEGER PRIMARY KEY" in reads[2]
    assert "chat_session_deleted" in reads[3]


@pytest.mark.postgresql
def test_every_part_of_the_news_is_one_index_on_postgresql(alice: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("SET enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {NEWS}", [0, 0, timezone.now()])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
        cursor.execute("RESET enable_bitmapscan")
    assert "Seq Scan" not in plan
    assert "chat_turn_live" in plan or "one_live_turn" in plan
    assert "chat_session_deleted" in plan
