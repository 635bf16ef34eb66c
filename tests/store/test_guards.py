"""What the database itself refuses, on both engines, whatever the code above it believes."""

import uuid
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from chat.models import ChatSession, Job, Notice, Summary, Turn, guards
from tests.store.building import compress, conversation, draft, reread, turn


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 20)


def refused(work: Any) -> bool:
    """Whether the database refuses; nothing of it stays."""
    try:
        with transaction.atomic():
            work()
    except IntegrityError:
        return True
    return False


def summary(session: ChatSession, first: int, last: int, state: str = "active") -> Summary:
    return Summary.objects.create(
        session=session, first=first, last=last, until=turn(session, last), state=state, source_hash="", input_hash=""
    )


@pytest.mark.parametrize(("first", "last"), [(5, 10), (1, 5), (10, 12), (6, 7), (1, 20), (5, 5)])
def test_active_summaries_that_overlap_are_refused(session: ChatSession, first: int, last: int) -> None:
    compress(session, (5, 10))
    assert refused(lambda: summary(session, first, last))


@pytest.mark.parametrize(("first", "last"), [(1, 4), (11, 20)])
def test_active_summaries_side_by_side_are_not(session: ChatSession, first: int, last: int) -> None:
    compress(session, (5, 10))
    assert not refused(lambda: summary(session, first, last))


def test_a_summary_that_becomes_active_may_not_overlap_either(session: ChatSession) -> None:
    compress(session, (5, 10))
    rests = summary(session, 8, 12, state="resting")
    assert refused(lambda: Summary.objects.filter(pk=rests.pk).update(state="active"))
    assert refused(lambda: Summary.objects.filter(pk=rests.pk).update(state="active", first=10))
    assert not refused(lambda: Summary.objects.filter(pk=rests.pk).update(state="active", first=11))


def test_active_summaries_of_two_sessions_don_t_meet(session: ChatSession, alice: Any) -> None:
    compress(session, (5, 10))
    assert not refused(lambda: summary(conversation(alice, 20), 5, 10))


@pytest.mark.parametrize("status", Turn.TERMINAL)
def test_a_terminal_turn_never_changes_its_state(session: ChatSession, status: str) -> None:
    whole = {"status": status, "stop_reason": "end_turn", "closed_at": timezone.now(), "usage": {}}
    made = Turn.objects.create(session=session, number=21, parent=session.head, **whole)
    row = Turn.objects.filter(pk=made.pk)
    for other in Turn.Status:
        assert refused(partial(row.update, status=other)) is (other != status)
    # What is not its state may still be written: a leaf, a pin, rendered text.
    assert not refused(lambda: row.update(active=False, reply_html="<p>"))


def test_a_live_turn_may_change_its_state(session: ChatSession) -> None:
    live = Turn.objects.create(session=session, number=21, parent=session.head)
    for status in ("running", "queued", "running", "failed"):
        assert not refused(lambda status=status: Turn.objects.filter(pk=live.pk).update(status=status))


def test_guards_come_back_after_a_table_was_remade(session: ChatSession) -> None:
    names = guards.missing()
    assert names == []
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER chat_turn_terminal")
        else:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("DROP TRIGGER chat_turn_terminal ON chat_turn")
    assert guards.missing() == ["chat_turn_terminal"]
    guards.install()
    guards.install()
    assert guards.missing() == []
    assert refused(lambda: Turn.objects.filter(session=session, number=3).update(status="failed"))


@pytest.mark.postgresql
def test_postgresql_names_the_check(session: ChatSession) -> None:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Turn.objects.filter(session=session, number=3).update(status="failed")
    assert caught.value.__cause__.sqlstate == "23514"


def test_one_turn_lives_at_a_time(session: ChatSession) -> None:
    Turn.objects.create(session=session, number=21, parent=session.head)
    assert refused(lambda: Turn.objects.create(session=session, number=21, parent=session.head, active=False))
    assert refused(lambda: Turn.objects.create(session=session, number=22, parent=turn(session, 21), status="running"))


def test_one_active_turn_a_number(session: ChatSession) -> None:
    done = {"status": "stopped", "parent": turn(session, 19), "number": 20, "session": session}
    assert refused(lambda: Turn.objects.create(**done))
    assert not refused(lambda: Turn.objects.create(**done, active=False))


def test_one_row_a_client_id(session: ChatSession, alice: Any) -> None:
    again = {"number": 21, "client_id": turn(session, 4).client_id, "status": "stopped"}
    assert refused(lambda: Turn.objects.create(session=session, parent=session.head, **again))
    other = conversation(alice, 20)
    assert not refused(lambda: Turn.objects.create(session=other, parent=reread(other).head, **again))


def test_only_the_first_turn_has_no_parent(session: ChatSession) -> None:
    done = {"session": session, "status": "stopped", "active": False}
    assert refused(lambda: Turn.objects.create(number=2, **done))
    assert refused(lambda: Turn.objects.create(number=1, parent=session.head, **done))


def test_a_live_turn_is_active(session: ChatSession) -> None:
    assert refused(lambda: Turn.objects.create(session=session, number=21, parent=session.head, active=False))


@pytest.mark.parametrize("lacks", ["stop_reason", "closed_at", "usage"])
def test_complete_means_whole(session: ChatSession, lacks: str) -> None:
    values = {"stop_reason": "end_turn", "closed_at": timezone.now(), "usage": {"input": 1}}
    values[lacks] = "" if lacks == "stop_reason" else None
    assert refused(
        lambda: Turn.objects.create(session=session, number=21, parent=session.head, status="complete", **values)
    )


def test_a_summary_stands_for_a_range(session: ChatSession) -> None:
    assert refused(lambda: summary(session, 6, 5, state="draft"))
    made = draft(session, 1, 3)
    assert refused(lambda: Summary.objects.filter(pk=draft(session, 1, 3).pk).update(version=made.version))


def test_one_notice_a_range_while_it_stands(session: ChatSession) -> None:
    same = {"session": session, "kind": "trimmed", "first": 1, "last": 4, "until": turn(session, 4)}
    Notice.objects.create(**same)
    assert refused(lambda: Notice.objects.create(**same))
    Notice.objects.update(ended_at=timezone.now())
    assert not refused(lambda: Notice.objects.create(**same))


def test_one_open_job_of_a_kind_a_session(session: ChatSession) -> None:
    Job.objects.create(kind="compact", session=session)
    assert refused(lambda: Job.objects.create(kind="compact", session=session))
    Job.objects.update(state="done")
    assert not refused(lambda: Job.objects.create(kind="compact", session=session))
    assert refused(lambda: Job.objects.update(state="running", lease_until=None, kind="other"))


def test_a_client_id_is_a_uuid() -> None:
    assert isinstance(Turn().client_id, uuid.UUID)
