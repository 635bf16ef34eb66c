"""Attached documents on the wire: answered from, read from the cache, moved once by a commit, gone when taken out."""

import uuid

from chat.flow.opening import Opened
from chat.models import Document, Manifest, Notice, Turn
from chat.store import documents, sessions
from tests.flow.conftest import Chat, Start
from tests.flow.test_compaction import words
from tests.flow.test_prefix import MODEL, bodies, breaks

TEXT = "Delivery note. The order number is B-4410. The courier is Hermine Vogel. " + "She rings twice. " * 40


async def attach(chat: Chat, text: str = TEXT, *, name: str = "note.txt", tokens: int = 500) -> int:
    kept = await chat.service.database.run(
        documents.keep, chat.owner.pk, chat.session.pk, name=name, kind="text", text=text, size=len(text),
        tokens=tokens, budget=10_000, most=9,
    )  # fmt: skip
    assert isinstance(kept, Document)
    return kept.pk


async def say(chat: Chat, text: str, *ids: int) -> Turn:
    opened = await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=chat.session.pk, client_id=uuid.uuid4(), text=text, documents=ids
    )
    assert isinstance(opened, Opened), opened
    return await chat.ended(opened.turn_id)


def refs(turn: Turn) -> list[tuple[str, str, bool]]:
    """The documents of the request of a turn: role, reference, breakpoint."""
    parts = Manifest.objects.get(turn=turn).parts
    return [(role, ref, cache) for role, component, ref, _, cache, *_ in parts if component == "documents"]


async def test_a_question_is_answered_from_the_document_until_it_is_taken_out(start: Start) -> None:
    chat = await start(standin={"keep_bodies": True}, model=MODEL)
    number = await attach(chat)
    asked = await say(chat, "What is the order number?", number)
    assert "B-4410" in asked.reply
    assert refs(asked) == [("user", f"document:{number}", False)]
    assert "B-4410" in (await chat.say("And once more: what is the order number?")).reply
    again = await chat.say(op="regenerate", of=asked.pk)
    assert "B-4410" in again.reply, "another version of the message has what was attached to it"
    assert await chat.service.database.run(documents.remove, chat.owner.pk, chat.session.pk, number)
    after = await chat.say("What is the name of the courier?")
    assert refs(after) == []
    assert "Hermine" not in str(bodies(chat)[-1])


async def test_a_document_is_written_to_the_cache_once_and_only_a_commit_moves_it(start: Start) -> None:
    chat = await start(window=24_000, standin={"keep_bodies": True}, model=MODEL)
    for turn in range(6):
        await chat.say(words(turn, 20))
    number = await attach(chat, "The password is Tulip. " + "Nothing else is said here. " * 300, tokens=3_000)
    asked = await say(chat, "What is the password?", number)
    assert refs(asked) == [("user", f"document:{number}", True)]
    wrote = chat.sent()[-1].usage
    assert wrote["cache_read_input_tokens"] > 0, "the history before it was not read in vain"
    assert wrote["cache_creation_input_tokens"] > 1_500
    await chat.say("And now?")
    read = chat.sent()[-1].usage
    assert read["cache_read_input_tokens"] >= wrote["cache_read_input_tokens"] + wrote["cache_creation_input_tokens"]
    turn = 10
    while not chat.row.compactions:
        await chat.say(words(turn, 30))
        await chat.settled()
        turn += 1
    last = await chat.say("What is the password?")
    assert "Tulip" in last.reply
    assert bodies(chat)[-1]["messages"][0]["content"][0]["text"].startswith('<document name="note.txt">')
    assert breaks(chat)[1] == 0
    assert Notice.objects.filter(session=chat.session, kind=Notice.Kind.LEFT_OUT).count() == 0


async def test_a_document_that_fits_no_more_is_cut_with_a_mark_and_a_notice(start: Start) -> None:
    chat = await start(window=8_000, standin={"keep_bodies": True}, model=MODEL)
    number = await attach(chat, "Line. " * 4_000, tokens=9_000)
    asked = await say(chat, "What does it say?", number)
    assert asked.status == "complete"
    assert "[... truncated to fit the documents budget (" in str(bodies(chat)[-1])
    await chat.say("And now?")
    await chat.say("And then?")
    told = Notice.objects.filter(session=chat.session, kind=Notice.Kind.LEFT_OUT)
    assert list(told.values_list("first", flat=True)) == [1], "once, not with every turn"


async def test_what_a_call_may_cost_is_set_aside_with_its_documents(start: Start) -> None:
    chat = await start(window=24_000, turns=False)
    without = chat.session
    number = await attach(chat, tokens=3_000)
    opened = await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=without.pk, client_id=uuid.uuid4(), text="Read it.", documents=[number]
    )
    other = sessions.create(chat.owner)
    plain = await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=other.pk, client_id=uuid.uuid4(), text="Read it."
    )
    assert isinstance(opened, Opened)
    assert isinstance(plain, Opened)
    assert chat.turn(opened.turn_id).reserved == (chat.turn(plain.turn_id).reserved or 0) + 3_000
