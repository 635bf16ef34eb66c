"""Other versions of a turn in a conversation that was compressed: each branch is answered from what it says itself."""

from typing import Any

from chat.models import ChatSession, Manifest, Notice, Summary, Turn
from chat.store import branches, forking
from tests.flow.conftest import Chat, Start
from tests.flow.test_compaction import WINDOW, fill, words

OLD, NEW = "My order number is A-7731.", "My order number is B-2209."
QUESTION = "What is my order number?"


async def compressed(start: Start) -> tuple[Chat, Turn]:
    """A conversation whose first turn, which says something to be kept, is summarised by now."""
    chat = await start(window=WINDOW)
    first = await chat.say(OLD)
    number = 2
    while chat.row.window_from < 3:
        await fill(chat, 1, start=number)
        await chat.settled()
        number += 1
    return chat, first


def covered(session: ChatSession) -> list[tuple[int, int]]:
    rows = Summary.objects.filter(session=session, state="active")
    return list(rows.order_by("first").values_list("first", "last"))


def standing(session: ChatSession) -> set[int]:
    return set(Summary.objects.filter(session=session, state="active").values_list("pk", flat=True))


def said(session: ChatSession) -> list[tuple[str, int]]:
    rows = Notice.objects.filter(session=session, ended_at=None, until__active=True)
    return list(rows.order_by("first").values_list("kind", "first"))


async def test_an_edit_below_a_summary_is_answered_without_a_word_of_the_other_branch(start: Start) -> None:
    chat, first = await compressed(start)
    assert (await chat.say(QUESTION)).reply == "Your order number is **A-7731**."
    before = covered(chat.session)
    await chat.say(NEW, op="edit", of=first.pk)
    # The summary spoke of turns that this branch does not have.
    assert (covered(chat.session), said(chat.session)) == ([], [])
    answer = await chat.say(QUESTION)
    assert answer.reply == "Your order number is **B-2209**."
    assert "A-7731" not in str(chat.sent()[-1].body)
    assert answer.manifest.ranges == [[1, 2, "verbatim", "", answer.manifest.ranges[0][4]]]

    branches.switch(chat.session.pk, first.pk)
    assert covered(chat.session) == before
    assert said(chat.session)[0] == ("compressed", 1)
    again = await chat.say(QUESTION)
    assert again.reply == "Your order number is **A-7731**."
    assert "B-2209" not in str(chat.sent()[-1].body)
    assert again.manifest.ranges[0][2] == "summarised"


async def test_a_branch_that_lost_its_summary_to_an_edit_gets_one_of_its_own(start: Start) -> None:
    chat, _ = await compressed(start)
    while len(covered(chat.session)) < 2:
        await fill(chat, 1, start=chat.row.turns_active + 1)
        await chat.settled()
    # The last turn of the last summary is edited: for those before it nothing stands now.
    last = Turn.objects.get(session=chat.session, active=True, number=covered(chat.session)[-1][1])
    known = set(Summary.objects.filter(session=chat.session).values_list("pk", flat=True))
    await chat.say(words(last.number, length=40), op="edit", of=last.pk)
    assert covered(chat.session)[-1][1] < last.number
    while not standing(chat.session) - known:
        await fill(chat, 1, start=chat.row.turns_active + 1)
        await chat.settled()
    assert (await chat.say(QUESTION)).reply == "Your order number is **A-7731**."
    branches.switch(chat.session.pk, last.pk)
    # What was made there of turns that both have in common may stand here, too.
    assert all(one.until.active for one in Summary.objects.filter(pk__in=standing(chat.session)))
    assert (await chat.say(QUESTION)).reply == "Your order number is **A-7731**."


async def test_a_continuation_of_a_forked_conversation_is_answered_from_its_summary(start: Start) -> None:
    chat, _ = await compressed(start)
    made: Any = forking.fork(chat.owner.pk, chat.session.pk, chat.row.head_id, title="A copy")
    assert covered(made) == covered(chat.session)
    chat.close()
    chat.session = made
    chat.attend()
    answer = await chat.say(QUESTION)
    assert answer.reply == "Your order number is **A-7731**."
    assert Manifest.objects.get(turn=answer).ranges[0][2] == "summarised"
