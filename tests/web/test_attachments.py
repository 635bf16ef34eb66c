"""Files on their way in: whose conversation, what is said of each, and that nothing is lost by a refusal."""

import re
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from chat.context.budget import split
from chat.models import ChatSession, Document, Turn
from chat.web import attachments
from tests.documents.files import bare_word, body, word
from tests.web.conftest import add_manifest, add_turn

SCRIPT = {"HTTP_HX_REQUEST": "true"}
JSON = {"HTTP_ACCEPT": "application/json"}
HOSTILE = "<img src=x onerror=alert(1)>.svg"


@pytest.fixture(autouse=True)
def _fresh_rate(monkeypatch: Any) -> None:
    monkeypatch.setattr(attachments, "_rate", type(attachments._rate)())


@pytest.fixture
def page(client: Client, alice: Any) -> Client:
    client.force_login(alice)
    return client


def path(session: ChatSession, rest: str = "") -> str:
    return f"/c/{session.pk}/{rest}"


def upload(page: Client, address: str, name: str = "notes.txt", data: bytes = b"Order A-7731.", **extra: Any) -> Any:
    return page.post(address, {"files": SimpleUploadedFile(name, data)}, **(SCRIPT | extra))


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_a_file_waits_beside_the_box_goes_with_the_next_message_and_stands_on_its_turn(page, make_session) -> None:
    session = make_session(1)
    answer = upload(page, path(session, "documents/"), "../" + HOSTILE, b"Order A-7731 is late.")
    assert answer.status_code == 201
    row = Document.objects.get()
    assert (row.name, row.kind, row.text) == (HOSTILE, "code", "Order A-7731 is late.")
    assert f"Code · ~{row.tokens} tokens" in text_of(answer)
    shown = page.get(path(session)).content.decode()
    assert f'<input type="hidden" name="documents" value="{row.pk}">' in shown
    assert "<img src=x" not in shown
    before = session.context_version
    sent = page.post(path(session, "turns/"), {"text": "Read it.", "documents": [row.pk]}, **JSON)
    assert sent.status_code == 200
    row.refresh_from_db()
    session.refresh_from_db()
    assert (row.turn_id, row.since, session.context_version) == (sent.json()["turn"], before + 1, before + 1)
    shown = page.get(path(session, f"turns/{row.turn_id}/")).content.decode()
    assert "&lt;img src=x" in shown
    assert "Documents the model is sent" in shown
    assert "<img src=x" not in shown
    assert 'name="documents"' not in page.get(path(session)).content.decode()


def test_what_does_not_fit_is_refused_with_the_two_numbers_and_what_was_there_stays(page, make_session) -> None:
    session = make_session(1)
    budget = split(16_000, system_tokens=0).documents
    assert upload(page, path(session, "documents/")).status_code == 201
    answer = upload(page, path(session, "documents/"), "long.txt", b"word " * 40_000)
    assert answer.status_code == 422
    assert re.search(rf"~[\d,]{{6,}} tokens; {budget:,} is the documents budget of this conversation", text_of(answer))
    nearly = b"word " * int((budget - 60) * 0.6)
    assert upload(page, path(session, "documents/"), "half.txt", nearly).status_code == 201
    answer = upload(page, path(session, "documents/"), "half.txt", nearly)
    assert re.search(r"tokens; [\d,]+ of the [\d,]+ of this conversation’s documents budget are free", text_of(answer))
    assert [row.name for row in Document.objects.order_by("id")] == ["notes.txt", "half.txt"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("cat.png", b"\x89PNG\r\n\x1a\n" + bytes(99), "This kind of file can’t be read"),
        ("a.docx", bare_word(body(b"&x;", b'<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>')), "is damaged"),
        ("empty.docx", word(), "There is no text in this file"),
        ("big.txt", b"x" * 2_000_001, "2.0 MB; a file may have 1.9 MB."),
    ],
)
def test_a_refusal_says_why(page, make_session, settings, name: str, data: bytes, said: str) -> None:
    settings.CHAT_MAX_UPLOAD_BYTES = 2_000_000
    answer = upload(page, path(make_session(), "documents/"), name, data)
    assert (answer.status_code, Document.objects.count()) == (422, 0)
    assert said in text_of(answer)
    assert "/etc/" not in text_of(answer)


def test_the_first_message_of_a_conversation_may_have_files(page) -> None:
    answer = upload(page, "/documents/")
    row = Document.objects.get()
    assert f'data-attach="/c/{row.session_id}/documents/"' in answer.content.decode()
    begun = page.post("/new/", {"text": "Read it.", "documents": str(row.pk), "client_id": uuid.uuid4()}, **JSON)
    assert begun.json()["url"] == f"/c/{row.session_id}/"
    assert Turn.objects.get(documents=row).prompt == "Read it."


def test_without_a_script_the_form_goes_back_to_the_page_and_says_what_was_refused(page, make_session) -> None:
    session = make_session(1)
    files = [SimpleUploadedFile("a.txt", b"Text"), SimpleUploadedFile("b.png", b"\x89PNG\r\n" + bytes(9))]
    answer = page.post(path(session, "documents/"), {"files": files}, follow=True)
    assert answer.redirect_chain == [(path(session), 302)]
    shown = answer.content.decode()
    assert "b.png: This kind of file can’t be read" in shown
    row = Document.objects.get()
    removed = page.post(path(session, f"documents/{row.pk}/remove/"))
    assert (removed.status_code, removed["Location"]) == (302, path(session))
    assert not Document.objects.exists()


def test_whoever_is_not_the_owner_finds_nothing_and_changes_nothing(page, bob, make_session) -> None:
    theirs = make_session(1, owner=bob)
    row = Document.objects.create(session=theirs, name="a.txt", kind="text", text="t", digest="", size=1, tokens=1)
    strange = [path(theirs, "documents/"), f"/c/{uuid.uuid4()}/documents/"]
    first, second = [upload(page, address) for address in strange]
    assert (first.status_code, first.content) == (404, second.content)
    for address in (path(theirs, f"documents/{row.pk}/remove/"), path(theirs, "documents/9/remove/")):
        assert page.post(address).status_code == 404
    mine = make_session(1)
    assert page.post(path(mine, f"documents/{row.pk}/remove/")).status_code == 404
    sent = page.post(path(mine, "turns/"), {"text": "Hello", "documents": [row.pk]}, **JSON)
    assert sent.status_code == 200
    row.refresh_from_db()
    assert (row.turn_id, row.removed_at) == (None, None)
    assert page.get(path(mine, "documents/")).status_code == 405
    guarded = Client(enforce_csrf_checks=True)
    guarded.force_login(mine.owner)
    assert upload(guarded, path(mine, "documents/")).status_code == 403
    assert Client().post(path(mine, "documents/")).status_code == 302


def test_files_come_no_faster_than_is_allowed_and_no_more_than_a_conversation_may_have(
    page, make_session, settings
) -> None:
    settings.CHAT_UPLOADS_PER_MINUTE, settings.CHAT_MAX_DOCUMENTS = 2, 1
    session = make_session()
    assert upload(page, path(session, "documents/")).status_code == 201
    answer = upload(page, path(session, "documents/"))
    assert (answer.status_code, "as many as it may have" in text_of(answer)) == (422, True)
    answer = upload(page, path(session, "documents/"))
    assert (answer.status_code, "Try again in a minute" in text_of(answer)) == (429, True)
    assert Document.objects.count() == 1


def test_a_text_is_counted_before_it_is_sent(page, alice, client) -> None:
    answer = page.post("/count/", {"text": "word " * 3_000})
    assert answer.json()["shown"] == f"~{answer.json()['tokens']:,} tokens"
    assert 2_500 < answer.json()["tokens"] < 6_000


def test_a_document_taken_out_is_said_to_be_on_its_turn(page, make_session) -> None:
    session = make_session(1)
    turn = add_turn(session)
    row = Document.objects.create(
        session=session, turn=turn, name="plan.pdf", kind="pdf", text="t", digest="", size=1, tokens=1_240
    )
    assert "Remove plan.pdf" in page.get(path(session)).content.decode()
    assert page.post(path(session, f"documents/{row.pk}/remove/"), **SCRIPT).status_code == 204
    shown = page.get(path(session))
    assert "plan.pdf PDF · ~1,240 tokens removed from the context" in text_of(shown)
    assert "Remove plan.pdf" not in shown.content.decode()


def test_the_gauge_counts_what_is_attached_and_no_more_what_was_taken_out(page, make_session) -> None:
    session = make_session(1)
    add_manifest(session)
    rows = [
        Document.objects.create(
            session=session, turn=session.head, name=name, kind="text", text="t", digest="", size=1, tokens=tokens
        )
        for name, tokens in (("a.txt", 700), ("b.txt", 500))
    ]
    ChatSession.objects.filter(pk=session.pk).update(context_version=5)
    legend = re.compile(r"Documents (\d files?|none) ~?([\d.]+) k")
    manifest = session.head.manifest
    manifest.budget.append(["documents", 3_200, 0, 0])
    manifest.save()
    assert legend.search(text_of(page.get(path(session)))).groups() == ("2 files", "1.2")
    page.post(path(session, f"documents/{rows[0].pk}/remove/"))
    assert legend.search(text_of(page.get(path(session)))).groups() == ("1 file", "0.5")
