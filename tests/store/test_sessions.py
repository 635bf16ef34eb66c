"""What is left of a conversation that its owner has deleted."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from chat.models import ChatSession, Fact, Job, Preference, Turn
from chat.store import branches, integrity, sessions
from tests.store.building import compress, conversation, fork, merge, purged, reread, turn


@pytest.fixture
def session(alice: Any) -> ChatSession:
    made = conversation(alice, 12, words="My number is A-7731.")
    compress(made, (1, 3), (4, 6))
    merge(made, 1, 6)
    fork(made, 9)
    Fact.objects.create(session=made, kind="id", value="A-7731", turn=turn(made, 2))
    Job.objects.create(kind="compact", session=made)
    return reread(made)


def delete(session: ChatSession, seconds: float) -> None:
    at = timezone.now() - timedelta(seconds=seconds)
    ChatSession.objects.filter(pk=session.pk).update(deleted_at=at)


def rows() -> dict[str, int]:
    """How many rows each of our tables has."""
    return {model.__name__: model.objects.count() for model in apps.get_app_config("chat").get_models()}


def test_after_the_undo_window_no_row_is_left(session: ChatSession, bob: Any) -> None:
    kept = conversation(bob, 3)
    before = rows()
    assert all(before[name] for name in ("Turn", "Summary", "Notice", "Fact", "Job"))
    delete(session, 601)
    assert purged(600) == [session.pk]
    left = {name for name, count in rows().items() if count}
    assert left == {"ChatSession", "Turn", "Instructions"}
    assert set(Turn.objects.values_list("session_id", flat=True)) == {kept.pk}
    assert integrity.violations() == []


def test_within_it_everything_is_kept(session: ChatSession) -> None:
    before = rows()
    delete(session, 590)
    assert purged(600) == []
    assert rows() == before


def test_what_was_not_deleted_stays_for_ever(session: ChatSession) -> None:
    ChatSession.objects.update(updated_at=timezone.now() - timedelta(days=900))
    assert purged(0) == []


def test_a_reply_that_is_still_being_written_ends_first(session: ChatSession) -> None:
    live = branches.new_turn(session, prompt="And now?", client_id=uuid.uuid4(), tokens=3)
    delete(session, 900)
    assert purged(600) == []
    branches.stop_queued(live.pk)
    assert purged(600) == [session.pk]


class TestExpiry:
    """What goes by itself: temporary conversations, and those of people who chose so."""

    def left_alone(self, session: ChatSession, **before: float) -> None:
        ChatSession.objects.filter(pk=session.pk).update(updated_at=timezone.now() - timedelta(**before))

    def test_a_temporary_one_goes_so_long_after_its_last_message(self, alice: Any) -> None:
        old, new, kept = (conversation(alice, 1, temporary=each) for each in (True, True, False))
        self.left_alone(old, hours=25)
        self.left_alone(new, hours=23)
        self.left_alone(kept, hours=25)
        assert sessions.expire(86_400) == [old.pk]
        assert sessions.expire(86_400) == []
        assert reread(old).deleted_at
        assert purged(0.0) == [old.pk]

    def test_all_of_whoever_chose_days_go_without_a_message_for_so_long(self, alice: Any, bob: Any) -> None:
        old, new = conversation(alice, 1), conversation(alice, 1)
        theirs = conversation(bob, 1)
        for session, days in ((old, 31), (new, 29), (theirs, 900)):
            self.left_alone(session, days=days)
        assert sessions.expire(86_400) == []
        Preference.objects.create(user=alice, delete_after_days=30)
        Preference.objects.create(user=bob)
        assert sessions.expire(86_400) == [old.pk]
        assert ChatSession.objects.filter(deleted_at=None).count() == 2

    def test_none_in_which_a_reply_is_being_written(self, alice: Any) -> None:
        session = conversation(alice, 1, temporary=True)
        live = branches.new_turn(session, prompt="And now?", client_id=uuid.uuid4(), tokens=3)
        self.left_alone(session, days=3)
        assert sessions.expire(86_400) == []
        branches.stop_queued(live.pk)
        self.left_alone(session, days=3)
        assert sessions.expire(86_400) == [session.pk]
