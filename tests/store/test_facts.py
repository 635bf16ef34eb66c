"""What is remembered: added, corrected and taken away by a person, and never learnt again against their word."""

from typing import Any

import pytest

from chat.context.exact import Exact
from chat.context.tokens import Counter
from chat.models import ChatSession, Fact, Turn
from chat.store import facts, integrity, marks
from tests.store.building import conversation, fork, reread, turn

COUNT = Counter().count
ROOM = {"count": COUNT, "most": 1_000}
FOUND = Exact(kind="order", value="A-7731", quote="My order number is A-7731.", start=0)


@pytest.fixture
def session(alice: Any) -> ChatSession:
    """Six turns; the second told an order number."""
    made = conversation(alice, 6)
    facts.keep(turn(made, 2), [FOUND], since=0)
    return made


def values(session: ChatSession) -> list[str]:
    return [one.value for one in facts.current(session.pk)[0]]


def only(session: ChatSession) -> facts.Known:
    (one,), count = facts.current(session.pk)
    assert count == 1
    return one


def test_a_fact_stands_with_its_sentence_and_its_turn(session: ChatSession) -> None:
    one = only(session)
    assert (one.value, one.quote, one.number, one.turn) == ("A-7731", FOUND.quote, 2, turn(session, 2).pk)
    assert (one.pinned, one.made_by, one.before) == (False, "code", "")


def test_a_correction_takes_its_place_and_keeps_where_it_came_from(session: ChatSession) -> None:
    old = only(session)
    facts.correct(session.pk, old.id, " A-7732 ", **ROOM)
    new = only(session)
    assert (new.value, new.before, new.quote, new.number) == ("A-7732", "A-7731", FOUND.quote, 2)
    assert (new.made_by, new.pinned, new.since) == ("user", True, 1)
    told = new.as_context(prefix_version=0)
    assert (told.turn, told.settled, "before it was A-7731" in told.quote) == (None, False, True)
    # Corrected once more, it still rests on the same sentence.
    facts.correct(session.pk, new.id, "A-7733", **ROOM)
    again = only(session)
    assert (again.value, again.before, again.number) == ("A-7733", "A-7731", 2)
    assert reread(session).context_version == 2
    assert integrity.violations() == []


def test_what_is_taken_away_takes_what_it_corrected_along(session: ChatSession) -> None:
    facts.correct(session.pk, only(session).id, "A-7732", **ROOM)
    assert facts.forget(session.pk, only(session).id)
    assert values(session) == []
    gone = Fact.objects.values_list("pk", flat=True)[0]
    assert facts.forget(session.pk, gone) is False
    assert reread(session).context_version == 2


def test_what_a_person_corrected_or_took_away_is_not_learnt_again(session: ChatSession) -> None:
    facts.forget(session.pk, only(session).id)
    assert facts.keep(turn(session, 5), [FOUND], since=1) == 0
    facts.add(session.pk, "R-2209", **ROOM)
    assert facts.keep(turn(session, 5), [Exact(kind=facts.TOLD, value="R-2209", quote="", start=0)], since=2) == 0
    assert values(session) == ["R-2209"]


def test_what_only_an_excluded_turn_said_is_learnt_again_when_it_is_said_again(session: ChatSession) -> None:
    marks.exclude(session.pk, turn(session, 2).pk)
    assert facts.keep(turn(session, 5), [FOUND], since=1) == 1
    assert facts.keep(turn(session, 6), [FOUND], since=1) == 0
    first = Fact.objects.get(turn__number=2)
    facts.correct(session.pk, Fact.objects.get(turn__number=5).pk, "A-7732", **ROOM)
    facts.forget(session.pk, first.pk)
    for number in (2, 5):
        Turn.objects.filter(session=session, number=number).update(excluded_by="user")
    assert facts.keep(turn(session, 6), [FOUND], since=3) == 0, "a person's word stands"


def test_the_same_words_are_remembered_once_and_empty_ones_never(session: ChatSession) -> None:
    one = facts.add(session.pk, "Lena prefers  repair", **ROOM)
    assert facts.add(session.pk, "Lena prefers repair\n", **ROOM) == one
    assert reread(session).context_version == 1
    with pytest.raises(facts.EmptyFact):
        facts.add(session.pk, " \n ", **ROOM)
    assert values(session) == ["Lena prefers repair", "A-7731"]


def test_a_person_is_told_when_there_is_no_room_for_more(session: ChatSession) -> None:
    facts.add(session.pk, "one " * 20, **ROOM)
    with pytest.raises(facts.FactsFull) as refused:
        facts.add(session.pk, "two " * 20, count=COUNT, most=60)
    assert refused.value.most == 60
    assert refused.value.tokens > 60
    assert reread(session).context_version == 1


def test_a_fact_of_another_branch_or_session_is_not_there(session: ChatSession, bob: Any) -> None:
    one = only(session)
    with pytest.raises(facts.UnknownFact):
        facts.forget(conversation(bob, 1).pk, one.id)
    fork(session, 2)
    assert values(session) == []
    with pytest.raises(facts.UnknownFact):
        facts.correct(session.pk, one.id, "A-7732", **ROOM)
