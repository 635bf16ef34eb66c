"""What staff remove for good is nowhere: in no table, no index, no request, no page, and nothing brings it back."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from chat.context import prompts, rebuilding, recipes, titling
from chat.context.values import Part
from chat.flow import opening
from chat.models import ChatSession, Document, Fact, Notice, Step, Summary, Thought, Turn
from chat.service import Service
from chat.store import branches, coverage, integrity, marks, redacting, search, sharing, summaries
from chat.store.portable import dumping, markdown
from chat.store.redacting import MARKER
from chat.store.summaries import Made
from chat.surgery import operating, registry, telling
from chat.surgery.values import Refused
from tests.store.building import active, compress, conversation, draft, extend, fork, merge, reread, turn
from tests.store.test_portable_storing import rich, taken_in
from tests.surgery.conftest import Start, next_body
from tests.web.test_erasing import tables
from tests.web.test_model_view import address, recorded

CANARY = "quetzalcoatlus"
WHY = "A ticket asks for it."
Commits = Callable[..., Any]


@pytest.fixture
def session(alice: Any) -> ChatSession:
    """Twelve turns whose first says the canary in every way there is, in two versions; 1-8 merged, 9-10 summarised."""
    session = conversation(alice, 12, title=f"Is the {CANARY} there", titled_by="code")
    first = turn(session, 1)
    Turn.objects.filter(pk=first.pk).update(
        prompt=f"Is the {CANARY} there?", reply=f"The **{CANARY}** is.", reply_html=f"<b>{CANARY}</b>", step_count=1
    )
    Step.objects.create(turn=first, index=0, kind="tool_use", call_id="c", name="look", body=f'{{"for": "{CANARY}"}}')
    Thought.objects.create(turn=first, text=f"A {CANARY}?")
    Document.objects.create(
        session=session, turn=first, name=f"{CANARY}.txt", kind="text", text=CANARY, digest="", size=9, tokens=9,
        since=1,
    )  # fmt: skip
    found = Fact.objects.create(session=session, kind="name", value=CANARY, quote=f"a {CANARY}", turn=first)
    Fact.objects.create(
        session=session, kind="name", value="a heron", quote=f"before it was {CANARY}", supersedes=found, pinned=True,
        made_by="user",
    )  # fmt: skip
    compress(session, (1, 4), (5, 8), (9, 10))
    merge(session, 1, 8)
    Summary.objects.filter(session=session, first=1).update(text=f"They saw a {CANARY}.")
    other = fork(session, 1, prompt=f"Another {CANARY}?")
    branches.switch(session.pk, first.pk)
    assert not Turn.objects.get(pk=other.pk).active
    return reread(session)


@pytest.fixture
def redact(surgeon: Any, django_capture_on_commit_callbacks: Commits) -> Callable[[ChatSession, str], Any]:
    """`redact(session, turns)`: as a page of the administration does it."""

    def work(session: ChatSession, turns: str) -> Any:
        stamp = operating.plan(session.pk, "redact", {"turns": turns}).stamp
        with django_capture_on_commit_callbacks(execute=True):
            return operating.apply(surgeon, session.pk, "redact", {"turns": turns}, WHY, stamp)

    return work


def states(session: ChatSession) -> dict[tuple[int, int], str]:
    rows = Summary.objects.filter(session=session).order_by("tier").values_list("first", "last", "state")
    return {(first, last): state for first, last, state in rows}


def test_what_was_redacted_is_in_no_table_and_in_no_later_request(session: ChatSession, redact: Any) -> None:
    assert {
        "chat_turn",
        "chat_step",
        "chat_thought",
        "chat_summary",
        "chat_fact",
        "chat_document",
        "chat_chatsession",
    } < {*tables(CANARY)}
    assert CANARY in json.dumps(next_body(session))
    before = integrity.violations()
    shown = operating.plan(session.pk, "redact", {"turns": "1"})
    assert shown.says == (
        "Summaries that spoke of them are out of date; what they stood for is summarised anew.",
        "Other versions of them go, too: 1.",
        "Documents that came with them are removed: 1.",
        "Remembered facts that rest on them are removed: 1.",
    )
    result = redact(session, "1")
    assert (shown.before, shown.after) == (result.before, result.after)
    assert tables(CANARY) == []
    body = json.dumps(next_body(session))
    assert CANARY not in body
    assert body.count(MARKER) == 2
    assert not search.find(session.owner, CANARY).conversations
    # The summaries over it are out of date; those that never spoke of it stand in where they can.
    assert states(session) == {(1, 4): "stale", (5, 8): "active", (9, 10): "active", (1, 8): "stale"}
    assert Fact.objects.get(session=session).value == "a heron"
    assert before == integrity.violations() == []
    turns = Turn.objects.filter(session=session, number=1)
    assert [bool(one.redacted_at) for one in turns] == [True, True]
    assert [one.step_count for one in turns] == [0, 0]
    assert all(one.digest == coverage.turn_digest(one.prompt, one.reply, []) for one in turns)
    # Again there is nothing to do, and new words make a new title.
    assert operating.plan(session.pk, "redact", {"turns": "1"}).refused.startswith("Nothing would change")
    assert reread(session).title == ""


def test_the_sums_of_every_branch_below_follow(alice: Any, redact: Any) -> None:
    session = conversation(alice, 6)
    fork(session, 4)
    extend(session, 2)
    redact(session, "2")
    assert integrity.violations() == []
    assert turn(session, 2).tokens < 100
    assert turn(session, 5).tokens_upto < 500 - 80


def test_one_that_had_no_reply_has_none_afterwards_and_is_not_tried_again(alice: Any, redact: Any) -> None:
    session = conversation(alice, 2)
    stopped = fork(session, 2)
    redact(session, "2")
    row = Turn.objects.get(pk=stopped.pk)
    assert (row.prompt, row.reply, row.status) == (MARKER, "", "stopped")
    assert Turn.objects.get(session=session, number=2, active=False).reply == MARKER
    for op in ("regenerate", "retry"):
        told = opening.open_turn(
            owner_id=alice.pk, session_id=session.pk, client_id=uuid.uuid4(), text="", op=op, of=stopped.pk
        )
        assert getattr(told, "code", "") == "bad_op"
    assert integrity.violations() == []


def test_taking_something_older_back_brings_no_emptied_summary_back(alice: Any, surgeon: Any, redact: Any) -> None:
    session = conversation(alice, 20)
    compress(session, (1, 8))
    excluded = operating.apply(surgeon, session.pk, "exclude", {"turns": "3"}, WHY, None)
    redact(session, "5")
    with pytest.raises(Refused, match="changed again since"):
        operating.undo(surgeon, excluded.audit, WHY)
    assert active(session) == []
    operating.apply(surgeon, session.pk, "include", {"turns": "3"}, WHY, None)
    assert active(session) == []
    assert integrity.violations() == []


def test_a_compression_that_was_taken_back_is_not_given_again_without_its_text(
    alice: Any, surgeon: Any, redact: Any
) -> None:
    session = conversation(alice, 20)
    compress(session, (1, 8))
    restored = operating.apply(surgeon, session.pk, "restore", {"turns": "5"}, WHY, None)
    redact(session, "5")
    assert states(session) == {(1, 8): "stale"}
    with pytest.raises(Refused, match="changed again since"):
        operating.undo(surgeon, restored.audit, WHY)
    assert integrity.violations() == []


def test_a_summary_that_a_model_was_writing_meanwhile_is_not_stored(alice: Any, redact: Any) -> None:
    session = conversation(alice, 20)
    begun = draft(session, 1, 8)
    redact(session, "5")
    made = Made(text=f"A {CANARY}.", tokens=9, model="m", made_by="model", gate={})
    values = {"tier": 1, "source_tokens": 800, "made": made}
    assert summaries.save(session.pk, 1, 8, begun.source_hash, **values) is None
    assert summaries.commit(session.pk, [begun.pk], window_from=9) is None


def test_its_owner_and_who_has_the_link_read_that_it_was_removed(
    session: ChatSession, redact: Any, client: Client
) -> None:
    client.force_login(session.owner)
    link = sharing.share(session)
    assert link
    redact(session, "1")
    page = client.get(f"/c/{session.pk}/").content.decode()
    shared = client.get(f"/s/{link.token}/").content.decode()
    for shown in (page, shared):
        assert shown.count(str(redacting.MESSAGE)) == 1
        assert shown.count(str(redacting.REPLY)) == 1
        assert CANARY not in shown
        assert MARKER not in shown
    # Nothing of it can be copied, edited or asked again; the other turns keep that.
    first = client.get(f"/c/{session.pk}/turns/{turn(session, 1).pk}/").content.decode()
    second = client.get(f"/c/{session.pk}/turns/{turn(session, 2).pk}/").content.decode()
    # One box is the pattern of all.
    boxes = [
        client.get(f"/c/{session.pk}/?edit={turn(session, number).pk}").content.decode().count('name="text"')
        for number in (1, 2)
    ]
    assert boxes[1] == boxes[0] + 1
    for act in ("data-edit", "data-copy", 'data-op="regenerate"', 'id="pin-'):
        assert (act in first, act in second) == (False, True)


def test_lists_of_turns_say_it_too_and_offer_none_to_pin(alice: Any, redact: Any, client: Client) -> None:
    session = conversation(alice, 20)
    marks.pin(session.pk, turn(session, 3).pk, most=10_000)
    redact(session, "3, 5")
    compress(session, (1, 8))
    client.force_login(alice)
    kept = client.get(f"/c/{session.pk}/remembered/").content.decode()
    assert str(redacting.MESSAGE) in kept
    notice = Notice.objects.get(session=session, kind="compressed", ended_at=None)
    offered = client.get(f"/c/{session.pk}/notices/{notice.pk}/").content.decode()
    assert "Question 4." in offered
    assert MARKER not in kept + offered


def test_what_the_model_saw_says_that_it_was_erased_since(
    alice: Any, redact: Any, client: Client, settings: Any
) -> None:
    session = conversation(alice, 4)
    (made,) = compress(session, (1, 3))
    manifest = recorded(turn(session, 4))
    told = prompts.wrap_summary(text=made.text, first=1, last=3)
    part = Part("user", "summaries", f"S{made.pk}", 9, False, recipes.check(told), ())
    manifest.parts.insert(1, rebuilding.write_part(part))
    manifest.save()
    client.force_login(alice)
    assert (
        "since" not in client.get(address(session, 4)).content.decode().partition("<table")[2].partition("</table")[0]
    )
    redact(session, "2")
    page = client.get(address(session, 4)).content.decode()
    assert page.count("erased since") == 2, "the summary, and the turns"
    assert "edited since" not in page
    assert "changed since" not in page
    assert "Question 2." not in client.get(address(session, 4) + "?segment=2").content.decode()


def test_the_preview_says_which_words_the_model_sees_no_more_and_which_do_not_come_back(
    alice: Any, redact: Any
) -> None:
    session = conversation(alice, 12)
    compress(session, (1, 8))
    summarised = operating.plan(session.pk, "redact", {"turns": "3"})
    assert (summarised.leaves, summarised.returns) == ((), ((1, 2), (4, 8)))
    recent = operating.plan(session.pk, "redact", {"turns": "10"})
    assert (recent.leaves, recent.returns) == (((10, 10, "redacted"),), ())
    redact(session, "10")
    # What is gone already is nothing that a trim takes away.
    assert operating.plan(session.pk, "trim", {"turns": "2"}).leaves == ((9, 9, "omitted"),)


def test_the_page_of_the_turn_says_that_and_when_and_offers_no_words(
    surgeon: Any, alice: Any, redact: Any, client: Client
) -> None:
    session = conversation(alice, 4)
    recorded(turn(session, 3))
    client.force_login(surgeon)
    address = f"/admin/chat/chatsession/{session.pk}/"
    assert "Read turn 2" in client.get(f"{address}turn/2/").content.decode()
    redact(session, "2")
    page = client.get(f"{address}turn/2/").content.decode()
    assert "Its words were removed for good on " in page
    assert "a marker in the place of its words" in page
    assert "Read turn 2" not in page
    rows = client.get(f"{address}change/").content.decode().partition('id="turns"')[2]
    assert rows.count("<td>redacted</td>") == 1
    other = client.get(f"{address}turn/3/").content.decode()
    assert "removed for good" not in other
    assert "Read turn 3" in other


def test_an_export_says_it_and_comes_back_equal(tmp_path: Path, alice: Any, bob: Any, redact: Any) -> None:
    session = rich(alice)
    words = turn(session, 1).prompt
    redact(session, "1")
    session.refresh_from_db()
    text = markdown.render(session)
    assert str(redacting.MESSAGE) in text
    assert str(redacting.REPLY) in text
    out = dumping.dump(session)
    assert words not in json.dumps(out) + text
    assert out["turns"][0]["redacted_at"]
    copy = taken_in(tmp_path, bob, out)
    assert dumping.dump(copy) == out
    assert turn(copy, 1).redacted_at
    assert integrity.violations() == []


def test_a_title_of_its_words_goes_and_its_owners_own_stays(alice: Any, redact: Any) -> None:
    session = conversation(alice, 3)
    for by, title_of, number, stays in (("user", 1, 1, True), ("code", 2, 3, True), ("code", 2, 2, False)):
        title = titling.by_code(turn(session, title_of).prompt)
        ChatSession.objects.filter(pk=session.pk).update(title=title, titled_by=by)
        redact(session, str(number))
        assert reread(session).title == (title if stays else "")


async def test_the_window_that_was_kept_for_the_next_turn_is_dropped(
    transactional_db: None,
    alice: Any,
    start: Start,
) -> None:
    class Kept:
        """Which sessions are to be forgotten."""

        def __init__(self) -> None:
            self.gone: list[str] = []

        def forget(self, session: str) -> None:
            self.gone.append(session)

    running: Service = await start()
    session = conversation(alice, 2)
    kept: Any = Kept()
    running.engine.recent = kept
    await telling.tell(session.pk, registry.get("redact"), {"turns": [1]}, running.engine, running.hub)
    running.engine.recent = None
    assert kept.gone == [str(session.pk)]
