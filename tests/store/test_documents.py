"""Rows of attached documents: whose they are, on which path they are seen, and what they do to the context version."""

from typing import Any

import pytest
from django.db import transaction

from chat.models import ChatSession, Document, Turn
from chat.store import branches, documents, loading
from chat.store.documents import Full, TooMany
from chat.store.loading import LoadLimits
from chat.store.portable import archive, dumping, storing
from tests.store.building import compress, conversation, extend, fork, reread, turn

pytestmark = pytest.mark.django_db
LIMITS = LoadLimits(turns=100, tokens=100_000)


def waiting(session: ChatSession, name: str = "a.txt", *, tokens: int = 100, **values: Any) -> Document:
    """A document beside the message box."""
    given = {"kind": "text", "text": f"Text of {name}", "size": 9, "budget": 1_000, "most": 9} | values
    kept = documents.keep(session.owner_id, session.pk, name=name, tokens=tokens, **given)
    assert isinstance(kept, Document), kept
    return kept


def send(session: ChatSession, *rows: Document) -> Turn:
    """A finished turn with these documents."""
    (made,) = extend(session, 1)
    with transaction.atomic():
        assert documents.attach(branches.locked(session.pk), made, [row.pk for row in rows]) == len(rows)
    return made


def seen(session: ChatSession) -> list[str]:
    return list(documents.seen(session.pk).values_list("name", flat=True))


def loaded(session: ChatSession) -> list[tuple[str, int, bool]]:
    """What the next request would hold: name, turn, and whether it stands in the first message."""
    session = reread(session)
    head = extend(session, 1)[0]
    found = loading.load(head.pk, lambda plan: LIMITS).history.documents
    with transaction.atomic():
        ChatSession.objects.filter(pk=session.pk).update(head=session.head, turns_active=session.turns_active)
        head.delete()
    return [(one.name, one.turn, one.settled) for one in found]


def test_a_document_waits_unseen_and_is_sent_from_its_message_on(alice: Any) -> None:
    session = conversation(alice, 2)
    one = waiting(session)
    assert (seen(session), loaded(session)) == ([], [])
    assert reread(session).context_version == session.context_version
    sent = send(session, one)
    assert seen(session) == ["a.txt"]
    with transaction.atomic():
        assert documents.attach(branches.locked(session.pk), sent, [one.pk]) == 0, "another tab sent it already"
    assert loaded(session) == [("a.txt", 3, False)]
    assert reread(session).context_version == session.context_version + 1
    extend(session, 5)
    compress(session, (1, 4))
    assert loaded(session) == [("a.txt", 3, True)]


def test_documents_are_read_in_the_order_in_which_they_came_whatever_their_ids_are(alice: Any) -> None:
    session = conversation(alice, 1)
    early, late = waiting(session, "early.txt"), waiting(session, "late.txt")
    send(session, late)
    send(session, early)
    assert seen(session) == ["late.txt", "early.txt"]
    assert [name for name, *_ in loaded(session)] == ["late.txt", "early.txt"]


def test_another_version_of_the_message_has_the_document_and_another_branch_before_it_has_not(alice: Any) -> None:
    session = conversation(alice, 2)
    with_it = send(session, waiting(session))
    extend(session, 1)
    edited = fork(session, 3)
    assert (seen(session), [name for name, *_ in loaded(session)]) == (["a.txt"], ["a.txt"])
    fork(session, 2)
    assert (seen(session), loaded(session)) == ([], [])
    branches.switch(session.pk, edited.pk)
    assert seen(session) == ["a.txt"]
    branches.switch(session.pk, with_it.pk)
    assert loaded(session)[0][:2] == ("a.txt", 3)


def test_the_document_of_the_first_message_stays_with_its_versions(alice: Any) -> None:
    session = conversation(alice)
    send(session, waiting(session))
    fork(session, 1)
    assert (seen(session), [name for name, *_ in loaded(session)]) == (["a.txt"], ["a.txt"])


def test_what_is_taken_out_is_not_sent_again_and_what_only_waited_is_gone(alice: Any) -> None:
    session = conversation(alice, 1)
    stays, goes, waits = waiting(session, "stays.txt"), waiting(session, "goes.txt"), waiting(session, "waits.txt")
    send(session, stays, goes)
    before = reread(session).context_version
    assert documents.remove(alice.pk, session.pk, goes.pk)
    assert reread(session).context_version == before + 1
    assert documents.remove(alice.pk, session.pk, waits.pk)
    assert reread(session).context_version == before + 1
    assert [name for name, *_ in loaded(session)] == ["stays.txt"]
    assert not documents.remove(alice.pk, session.pk, goes.pk)
    rows = documents.by_place(session.pk, 1, 9)[(2, turn(session, 1).pk)]
    assert [(row.name, row.removed_at is not None) for row in rows] == [("stays.txt", False), ("goes.txt", True)]
    assert not Document.objects.filter(pk=waits.pk).exists()


def test_all_that_is_seen_or_waits_shares_one_budget(alice: Any) -> None:
    session = conversation(alice, 1)
    send(session, waiting(session, tokens=600))
    waiting(session, "b.txt", tokens=300)
    values = {"name": "c", "kind": "text", "text": "t", "size": 1, "budget": 1_000}
    assert documents.keep(alice.pk, session.pk, tokens=101, most=9, **values) == Full(101, 100, 1_000)
    assert documents.keep(alice.pk, session.pk, tokens=5_000, most=9, **values) == Full(5_000, 100, 1_000)
    assert documents.keep(alice.pk, session.pk, tokens=100, most=2, **values) == TooMany(2)
    fork(session, 1)
    assert isinstance(documents.keep(alice.pk, session.pk, tokens=700, most=9, **values), Document)


def test_nothing_of_another_conversation_or_person_can_be_taken_sent_or_removed(alice: Any, bob: Any) -> None:
    mine, other, theirs = conversation(alice, 1), conversation(alice, 1), conversation(bob, 1)
    one = waiting(theirs)
    here = waiting(other)
    (made,) = extend(mine, 1)
    with transaction.atomic():
        assert documents.attach(branches.locked(mine.pk), made, [one.pk, here.pk, 10**9]) == 0
    assert not documents.remove(alice.pk, theirs.pk, one.pk)
    assert not documents.remove(alice.pk, mine.pk, here.pk)
    values = {"name": "c", "kind": "text", "text": "t", "size": 1, "tokens": 1, "budget": 9, "most": 9}
    assert documents.keep(alice.pk, theirs.pk, **values) is None
    assert documents.home(alice.pk, [one.pk]) is None
    assert documents.home(bob.pk, [one.pk]) is None, "something was said there already"
    empty = conversation(bob)
    assert documents.home(bob.pk, [waiting(empty).pk]) == empty.pk


def test_documents_leave_with_an_export_and_come_back_with_an_import(alice: Any, bob: Any) -> None:
    session = conversation(alice, 1)
    send(session, waiting(session), waiting(session, "b.pdf", kind="pdf", tokens=70))
    made = storing.store(bob, archive.parse(dumping.dump(reread(session)), "a file"))
    assert loaded(made) == loaded(session)
    again = documents.seen(made.pk).values_list("name", "kind", "text", "digest", "size", "tokens")
    assert list(again) == list(
        documents.seen(session.pk).values_list("name", "kind", "text", "digest", "size", "tokens")
    )
