"""Marks of a conversation's own: what they make of the settings', and that everything that decides goes by them."""

import uuid
from typing import Any

import pytest

from chat.flow import control, engine
from chat.models import ChatSession
from chat.store import branches, loading, outline
from chat.store.portable.storing import counter_of
from tests.store.building import conversation, reread
from tests.surgery.conftest import LIMITS


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ((None, None), (0.60, 0.75, 0.90)),
        ((30, None), (0.30, 0.75, 0.90)),
        ((85, None), (0.85, 0.85, 0.90)),
        ((None, 70), (0.60, 0.70, 0.70)),
        ((20, 40), (0.20, 0.40, 0.40)),
    ],
)
def test_the_high_mark_stays_between_those_that_are_its_own(
    own: tuple[int | None, int | None], found: tuple[float, float, float]
) -> None:
    marks = engine.marks(*own)
    assert (marks.soft, marks.high, marks.hard) == found


def test_a_reply_a_plan_and_a_gauge_go_by_the_sessions_own_marks(alice: Any) -> None:
    session = conversation(alice, 3)
    ChatSession.objects.filter(pk=session.pk).update(soft_mark=20, hard_mark=40)
    session = reread(session)
    turn = branches.new_turn(session, prompt="?", client_id=uuid.uuid4(), tokens=5)
    for plan in (session, outline.read(session.pk), loading.load(turn.pk, lambda plan: LIMITS)):
        found = engine.policy(plan, chunk_tokens=100)
        assert (found.soft, found.hard, found.chunk_tokens) == (0.20, 0.40, 100)
    known = control.figures(session, counter_of(session.model))
    assert known
    assert known.reached(int(known.room * 0.3), 1) == "soft"
    assert known.reached(int(known.room * 0.5), 1) == "hard"
