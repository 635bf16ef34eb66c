"""What the model sees, opened later, is what the upstream received: made again from rows, byte for byte."""

import json
import uuid
from typing import Any

from chat.context.tokens import Counter
from chat.models import ChatSession, Fact, Summary, Turn
from chat.store import branches, documents, facts, manifests, marks
from chat.store.manifests import Seen
from tests.flow.conftest import Chat, Start
from tests.flow.test_compaction import words
from tests.store.building import extend

ROOM = 1_000_000


def plain(body: dict[str, Any]) -> str:
    """A body as one text; the SDK writes its keys in an order of its own, and adds that it wants a stream."""
    told = {name: value for name, value in body.items() if name != "stream"}
    return json.dumps(told, ensure_ascii=False, sort_keys=True)


def received(chat: Chat) -> list[str]:
    """Every reply request that the upstream received, refused or not."""
    return [plain(one.body) for one in chat.sent()]


def seen(chat: Chat) -> list[Seen]:
    """The requests of all turns that have one, of every branch, as they are told now."""
    turns = Turn.objects.filter(session=chat.session, manifest__isnull=False).order_by("pk")
    found = [manifests.read(turn) for turn in turns]
    return [one for one in found if one]


def equal(chat: Chat) -> list[Seen]:
    """All of them, once each was found to be the very bytes that were received, and to add up."""
    bodies, all_seen = received(chat), seen(chat)
    for one in all_seen:
        states = [(piece.part.ref, piece.state) for piece in one.rebuilt.pieces if piece.state != "sent"]
        assert (states, one.rebuilt.verified) == ([], True), one.turn.number
        assert one.rebuilt.body
        assert plain(one.rebuilt.body) in bodies
        tokens = sum(part.tokens for part in one.parts) + one.rebuilt.frame_tokens
        assert tokens == one.manifest.estimated
    return all_seen


def states(one: Seen) -> dict[str, str]:
    return {piece.part.ref: piece.state for piece in one.rebuilt.pieces if piece.state != "sent"}


async def attach(chat: Chat, text: str, name: str, body: str) -> Turn:
    """A message with a document."""
    one = documents.keep(
        chat.owner.pk, chat.session.pk, name=name, kind="text", text=body, size=len(body),
        tokens=Counter().count(body), budget=ROOM, most=9,
    )  # fmt: skip
    opened = await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=chat.session.pk, client_id=uuid.uuid4(), text=text, documents=[one.pk]
    )
    return await chat.ended(opened.turn_id)


def count(text: str) -> int:
    return Counter().count(text)


async def test_a_summarised_conversation_with_all_that_belongs_to_one(start: Start) -> None:
    chat = await start(window=8_000, standin={"keep_bodies": True})
    await chat.say("My order number is A-7731, and I live in Kiel. </facts>")
    await attach(chat, "Here are the terms.", "<terms>.md", "Two years of warranty, § 4.2. </document> " * 20)
    for number in range(6):
        await chat.say(words(number, 30))
        await chat.settled()
    facts.add(chat.session.pk, "I like short answers.", count=count, most=ROOM)
    third = Turn.objects.get(session=chat.session, number=3, active=True)
    marks.pin(chat.session.pk, third.pk, most=ROOM)  # rides in the current message until the next commit
    await chat.say("What did you promise?")
    chat.standin.faults.add("status", status=413, purpose="reply")
    assert (await chat.say("This one gets no answer <turn>.")).status == "failed"
    await chat.say("And this one does.")
    corrected = Fact.objects.filter(session=chat.session, value__contains="A-7731").first()
    assert corrected
    facts.correct(chat.session.pk, corrected.pk, "A-7732", count=count, most=ROOM)
    last = await chat.say("", op="regenerate", of=chat.row.head_id)
    await chat.say(words(20, 30), op="edit", of=last.parent_id)
    branches.switch(chat.session.pk, last.pk)
    await chat.say("Back again.")
    marks.exclude(chat.session.pk, Turn.objects.get(session=chat.session, number=5, active=True).pk)
    ChatSession.objects.filter(pk=chat.session.pk).update(thinking=True)
    for number in range(30, 36):
        await chat.say(words(number, 30))
        await chat.settled()
    assert chat.row.compactions >= 2

    all_seen = equal(chat)
    assert len(all_seen) == len(received(chat))
    kinds = {str(part.recipe[0]) for one in all_seen for part in one.parts if part.recipe}
    assert kinds >= {"instructions", "note", "facts", "date", "unanswered", "recalled"}
    assert {part.component for one in all_seen for part in one.parts} >= {"documents", "summaries", "pins"}
    assert {"thinking" in one.manifest.frame for one in all_seen} == {True, False}
    # A reply was written anew: the old one's branch is told from its own rows.
    assert not all(one.turn.active for one in all_seen)


async def test_a_sliding_window_a_reply_that_goes_on_and_every_rung_down_to_a_giant(start: Start) -> None:
    chat = await start(window=8_000, standin={"keep_bodies": True}, strategy="sliding_window", window_messages=6)
    for number in range(6):
        await chat.say(words(number, 10))
    chat.standin.faults.add("cut", purpose="reply")
    chat.standin.faults.add("overflow", times=2, purpose="reply")
    await chat.say("Where were we?")
    extend(chat.session, 1, tokens=60_000, words="error in module seven; " * 9_000)
    await chat.say("And this log?")
    await chat.say("Look at this. " + "error in module seven; " * 9_000)
    await chat.say("Well?")
    all_seen = equal(chat)
    assert {one.manifest.rung for one in all_seen} >= {"", "clamp_current"}
    cut = [part.recipe for one in all_seen for part in one.parts if part.recipe and part.recipe[0] == "prompt"]
    assert cut


async def test_it_says_which_part_was_edited_or_erased_since(start: Start) -> None:
    chat = await start(window=8_000, standin={"keep_bodies": True})
    await chat.say("My order number is A-7731.")
    await attach(chat, "Here are the terms.", "terms.md", "Two years. " * 20)
    for number in range(8):
        await chat.say(words(number, 30))
        await chat.settled()
    turn = chat.row.head
    assert turn

    def told() -> dict[str, str]:
        one = manifests.read(turn)
        assert one
        assert one.rebuilt.verified == (not states(one))
        return states(one)

    assert told() == {}
    # What a person takes back is gone from later requests; what was sent is still known.
    facts.forget(chat.session.pk, Fact.objects.filter(session=chat.session, turn__number=1)[0].pk)
    documents.remove(chat.owner.pk, chat.session.pk, chat.session.documents.get().pk)
    assert told() == {}
    before = Turn.objects.get(pk=turn.parent_id)
    Turn.objects.filter(pk=before.pk).update(prompt="Something else.")
    assert told() == {f"turn {before.number}": "changed"}
    Turn.objects.filter(pk=before.pk).update(prompt=before.prompt)
    one = manifests.read(turn)
    assert one
    refs = {part.ref for part in one.parts if part.component in ("summaries", "documents", "facts")}
    assert len(refs) >= 2
    Summary.objects.filter(session=chat.session).delete()
    chat.session.documents.all().delete()
    Fact.objects.filter(session=chat.session).delete()
    assert told() == dict.fromkeys(refs, "gone")
    ChatSession.objects.filter(pk=chat.session.pk).delete()


async def test_reading_one_back_costs_the_window_however_long_the_conversation(
    start: Start, django_assert_max_num_queries: Any
) -> None:
    chat = await start(window=16_000)
    extend(chat.session, 500, tokens=1_000, words="Plain words. " * 10)
    turn = await chat.say("Where were we?")
    with django_assert_max_num_queries(8):
        one = manifests.read(turn)
    assert one
    assert one.rebuilt.verified
    assert len(one.parts) < 60
