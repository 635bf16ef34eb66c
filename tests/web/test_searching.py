"""The page of results: escaped, owned, and without a word of anybody in an address or a log."""

import logging
from typing import Any

import pytest
from django.test import Client

from chat.models import ChatSession, Turn
from tests.store.building import fork
from tests.web.conftest import add_turn

HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def session(make_session: Any) -> ChatSession:
    made = make_session(title="The <i>pump</i>")
    add_turn(made, "My <b>zeppelin</b> & I", "A *reply* about the valve")
    add_turn(made, "Another question", "The zeppelin again")
    return made


@pytest.fixture
def page(client: Client, alice: Any) -> Client:
    client.force_login(alice)
    return client


def found(page: Client, query: str, **fields: Any) -> str:
    answer = page.post("/search/", {"query": query, **fields}, **HTMX)
    assert answer.status_code == 200
    return answer.content.decode()


def test_results_are_grouped_marked_escaped_and_lead_to_their_turn(page: Client, session: ChatSession) -> None:
    html = found(page, "zeppelin")
    first = Turn.objects.get(session=session, number=1)
    assert "2 turns in 1 conversation" in html
    assert "My &lt;b&gt;<mark>zeppelin</mark>&lt;/b&gt; &amp; I" in html
    assert "The &lt;i&gt;pump&lt;/i&gt;" in html
    assert f'href="/c/{session.pk}/?turn=1#turn-{first.pk}"' in html
    assert html.index("turn 2") < html.index("turn 1")
    assert page.get(f"/c/{session.pk}/?turn=1").status_code == 200


def test_nothing_found_says_so_and_nothing_asked_says_nothing(page: Client, session: ChatSession) -> None:
    assert "Nothing found." in found(page, "carburettor")
    assert found(page, "  ").strip() == ""
    assert found(page, "\x00").strip() == ""


def test_within_one_conversation_only(page: Client, session: ChatSession, make_session: Any) -> None:
    other = make_session(title="Other")
    add_turn(other, "zeppelin")
    assert "2 conversations" in found(page, "zeppelin")
    for fields in ({"within": session.pk}, {"scope": "here", "here": session.pk}):
        html = found(page, "zeppelin", **fields)
        assert "2 turns in 1 conversation" in html
        assert "Other" not in html
    assert "2 conversations" in found(page, "zeppelin", scope="", here=session.pk)


def test_the_archive_is_searched_alone(page: Client, session: ChatSession) -> None:
    assert "Nothing found." in found(page, "zeppelin", scope="archive")
    page.post(f"/c/{session.pk}/archive/")
    assert "2 turns" in found(page, "zeppelin", scope="archive")
    assert "Archived" in found(page, "zeppelin")


def test_a_hit_on_another_branch_leads_to_that_branch(page: Client, session: ChatSession) -> None:
    old = Turn.objects.get(session=session, number=2)
    fork(session, 2)
    html = found(page, "again")
    assert "another version" in html
    show = f"/c/{session.pk}/turns/{old.pk}/show/"
    assert f'action="{show}"' in html
    assert page.post(show).url == f"/c/{session.pk}/?turn=2#turn-{old.pk}"
    old.refresh_from_db()
    assert old.active
    assert "another version" not in found(page, "again")


def test_another_ones_are_not_found_nor_shown(page: Client, client: Client, bob: Any, session: ChatSession) -> None:
    turn = Turn.objects.filter(session=session).first()
    client.force_login(bob)
    assert "Nothing found." in found(client, "zeppelin")
    assert client.post("/search/", {"query": "zeppelin", "within": session.pk}).status_code == 404
    assert client.post(f"/c/{session.pk}/turns/{turn.pk}/show/").status_code == 404


def test_without_script_it_is_a_page(page: Client, session: ChatSession) -> None:
    html = page.post("/search/", {"query": "zeppelin"}).content.decode()
    assert "<h1>Search</h1>" in html
    assert 'value="zeppelin"' in html
    assert "2 turns in 1 conversation" in html
    assert "<h1>Search</h1>" in page.get("/search/").content.decode()


def test_what_is_looked_for_is_in_no_log(page: Client, session: ChatSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found(page, "zeppelin valve")
    page.post("/search/", {"query": "zeppelin valve"})
    told = " ".join(
        record.getMessage() + str(record.__dict__) for record in caplog.records if record.name != "django.db.backends"
    )
    assert "request_finished" in told
    assert "zeppelin" not in told
    assert "valve" not in told
