"""What is done to a conversation from the list: each thing can be taken back, and none touches another's."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from chat.models import ChatSession, Turn
from chat.store import search
from chat.web import listing, transcript
from tests.store.building import extend, purged
from tests.web.conftest import add_turn

HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def session(make_session: Any) -> ChatSession:
    return make_session(2, title="About the pump")


@pytest.fixture
def page(client: Client, alice: Any) -> Client:
    client.force_login(alice)
    return client


def path(session: ChatSession, rest: str) -> str:
    return f"/c/{session.pk}/{rest}"


def again(session: ChatSession) -> ChatSession:
    session.refresh_from_db()
    return session


def titles(user: Any) -> list[str]:
    return [row.title for group in listing.page(user).groups for row in group.rows]


def test_a_title_by_its_owner_is_one(page: Client, session: ChatSession) -> None:
    answer = page.post(path(session, "rename/"), {"title": " My  pump ", "current": str(session.pk)}, **HTMX)
    assert (again(session).title, session.titled_by) == ("My pump", "user")
    html = answer.content.decode()
    assert f'id="row-{session.pk}"' in html
    assert '<h1 id="title" dir="auto" hx-swap-oob="true">My pump</h1>' in html
    answer = page.post(path(session, "rename/"), {"title": "\u200b"}, **HTMX)
    assert again(session).title in answer.content.decode()
    assert page.post(path(session, "rename/"), {"title": "Plain"}).url == path(session, "")


def test_pinned_ones_come_first_until_they_are_not(
    page: Client, alice: Any, session: ChatSession, make_session: Any
) -> None:
    make_session(1, title="Newer")
    assert titles(alice) == ["Newer", "About the pump"]
    html = page.post(path(session, "pin/"), {"pinned": "1"}, **HTMX).content.decode()
    assert html.index("Pinned") < html.index("About the pump") < html.index("Newer")
    assert titles(alice) == ["About the pump", "Newer"]
    page.post(path(session, "pin/"), {"pinned": "0"})
    assert titles(alice) == ["Newer", "About the pump"]


def test_what_is_archived_leaves_the_list_and_comes_back(page: Client, alice: Any, session: ChatSession) -> None:
    html = page.post(path(session, "archive/"), **HTMX).content.decode()
    assert "Archived “About the pump”." in html
    assert titles(alice) == []
    assert page.get(path(session, "")).status_code == 200
    shown = page.get("/archive/").content.decode()
    assert "About the pump" in shown
    assert "2 turns" in shown
    html = page.post(path(session, "archive/"), {"archived": "0"}, **HTMX).content.decode()
    assert f'id="row-{session.pk}"' in html
    assert titles(alice) == ["About the pump"]
    open_one = page.post(path(session, "archive/"), {"current": str(session.pk)}, **HTMX)
    assert open_one["HX-Redirect"] == path(session, "")
    assert "Back to the list" in page.get(path(session, "")).content.decode()


def test_what_is_deleted_comes_back_whole_while_it_is_there(page: Client, alice: Any, session: ChatSession) -> None:
    html = page.post(path(session, "delete/"), **HTMX).content.decode()
    assert "Deleted “About the pump”." in html
    assert f'action="{path(session, "restore/")}"' in html
    assert titles(alice) == []
    assert page.get(path(session, "")).status_code == 404
    assert search.find(alice, "question").hits == 0
    assert "Deleted a moment ago" in page.get("/archive/").content.decode()
    html = page.post(path(session, "restore/"), **HTMX).content.decode()
    assert f'id="row-{session.pk}"' in html
    assert page.get(path(session, "")).status_code == 200
    assert search.find(alice, "question").hits == 2
    ChatSession.objects.filter(pk=session.pk).update(deleted_at=timezone.now() - timedelta(hours=1))
    assert purged(600) == [session.pk]
    assert page.post(path(session, "restore/")).status_code == 404


def test_deleting_the_open_one_leads_away_and_offers_it_there(
    page: Client, session: ChatSession, make_session: Any
) -> None:
    other = make_session(1, title="Other")
    answer = page.post(path(session, "delete/"), {"current": str(session.pk)}, **HTMX)
    assert answer["HX-Redirect"] == f"/?undo={session.pk}"
    shown = page.get(answer["HX-Redirect"], follow=True)
    assert shown.redirect_chain[0][0] == path(other, f"?undo={session.pk}")
    html = shown.content.decode()
    assert "Deleted “About the pump”." in html
    assert '<form method="post" action="' + path(session, "restore/") in html


def test_nobody_brings_back_anothers(page: Client, client: Client, bob: Any, session: ChatSession) -> None:
    page.post(path(session, "delete/"))
    client.force_login(bob)
    for address in (path(session, "restore/"), f"/c/{uuid.uuid4()}/restore/"):
        assert client.post(address).status_code == 404
    assert "About the pump" not in client.get(f"/?undo={session.pk}", follow=True).content.decode()
    assert "About the pump" not in client.get("/archive/").content.decode()
    assert again(session).deleted_at


class TestTemporary:
    def test_it_is_made_from_the_welcome_or_an_empty_one(self, page: Client, alice: Any, make_session: Any) -> None:
        address = page.post("/new/", {"temporary": "1"}).url
        session = ChatSession.objects.get()
        assert (session.temporary, address) == (True, path(session, ""))
        html = page.get(address).content.decode()
        assert "It is deleted 24 hours after its last message." in html
        page.post(path(session, "keep/"), {"temporary": "0"})
        assert not again(session).temporary
        page.post(path(session, "keep/"), {"temporary": "1"})
        assert again(session).temporary

    def test_one_with_words_in_it_can_only_become_a_lasting_one(self, page: Client, session: ChatSession) -> None:
        page.post(path(session, "keep/"), {"temporary": "1"})
        assert not again(session).temporary
        ChatSession.objects.update(temporary=True)
        page.post(path(session, "keep/"))
        assert not again(session).temporary

    def test_it_is_nowhere_but_at_its_address(self, page: Client, alice: Any, session: ChatSession) -> None:
        ChatSession.objects.update(temporary=True)
        assert titles(alice) == []
        assert listing.one(alice, session.pk) is None
        assert listing.changed(alice, None, [session.pk]).rows == []
        assert page.get("/").status_code == 200
        assert search.find(alice, "question").hits == 0
        html = page.get(path(session, "")).content.decode()
        assert f'id="row-{session.pk}"' not in html
        assert "Temporary chat." in html

    def test_new_chat_is_never_a_temporary_one(self, page: Client) -> None:
        page.post("/new/", {"temporary": "1"})
        address = page.post("/new/").url
        assert ChatSession.objects.filter(temporary=False).count() == 1
        assert page.post("/new/").url == address


class TestStates:
    """What the list asks for while something runs."""

    def asked(self, page: Client, **query: Any) -> Any:
        return page.get("/c/states/", query)

    def test_rows_that_changed_since_a_moment_are_told(
        self, page: Client, session: ChatSession, make_session: Any
    ) -> None:
        make_session(1, title="Old")
        ChatSession.objects.filter(title="Old").update(updated_at=timezone.now() - timedelta(hours=1))
        since = (timezone.now() - timedelta(minutes=1)).isoformat()
        html = self.asked(page, since=since).content.decode()
        assert "About the pump" in html
        assert "Old" not in html
        later = (timezone.now() + timedelta(minutes=1)).isoformat()
        assert self.asked(page, since=later).status_code == 204
        assert self.asked(page).status_code == 204

    def test_rows_that_stand_as_running_or_unread_are_told_as_they_are(
        self, page: Client, session: ChatSession
    ) -> None:
        later = (timezone.now() + timedelta(minutes=1)).isoformat()
        assert "New reply" in self.asked(page, since=later, row=str(session.pk)).content.decode()
        ChatSession.objects.update(seen=2)
        assert "New reply" not in self.asked(page, since=later, row=str(session.pk)).content.decode()
        add_turn(session, status=Turn.Status.RUNNING)
        assert "Reply running" in self.asked(page, since=later, row=str(session.pk)).content.decode()

    @pytest.mark.parametrize("how", ["deleted_at", "archived_at"])
    def test_what_left_the_list_is_told_too(self, page: Client, session: ChatSession, how: str) -> None:
        since = timezone.now().isoformat()
        ChatSession.objects.update(**{how: timezone.now()})
        html = self.asked(page, since=since).content.decode()
        assert f'data-gone="{session.pk} "' in html
        assert "About the pump" not in html

    def test_nobody_is_told_of_anothers(self, page: Client, client: Client, bob: Any, session: ChatSession) -> None:
        client.force_login(bob)
        assert self.asked(client, row=str(session.pk), since="2020-01-01T00:00:00Z").status_code == 204

    def test_it_costs_two_queries(self, page: Client, session: ChatSession, django_assert_max_num_queries: Any) -> None:
        with django_assert_max_num_queries(4):  # with the session and the user
            self.asked(page, since=timezone.now().isoformat(), row=str(session.pk))


class TestAt:
    """A conversation opened at a turn."""

    def numbers(self, shown: transcript.Transcript) -> list[int]:
        return [turn.number for turn in shown.turns]

    def test_the_turns_around_it_with_a_way_up_and_down(self, make_session: Any) -> None:
        session = make_session()
        extend(session, 200)
        shown = transcript.about(again(session), 80)
        assert (self.numbers(shown)[0], self.numbers(shown)[-1]) == (75, 124)
        assert (shown.earlier, shown.later, shown.head) == (75, 124, 200)
        following = transcript.later(session, 124)
        assert (self.numbers(following)[0], following.earlier, following.later) == (125, None, 174)
        last = transcript.later(session, 174)
        assert (self.numbers(last)[-1], last.later) == (200, None)

    @pytest.mark.parametrize("number", [1, 3, 171, 200, 999_999])
    def test_at_either_end(self, make_session: Any, number: int) -> None:
        session = make_session()
        extend(session, 200)
        shown = transcript.about(again(session), number)
        assert min(number, 200) in self.numbers(shown)
        assert shown.earlier == (None if number < 10 else 171)
        assert shown.later == (50 if number < 10 else None)

    def test_the_page_loads_what_is_newer_as_it_loads_what_is_older(self, page: Client, make_session: Any) -> None:
        session = make_session()
        extend(session, 200)
        html = page.get(path(session, "?turn=80")).content.decode()
        assert f'data-more="{path(session, "later/")}?after=124"' in html
        assert f'data-more="{path(session, "earlier/")}?before=75"' in html
        part = page.get(path(session, "later/?after=124")).content.decode()
        assert 'data-number="125"' in part
        assert "after=174" in part
        assert "before=" not in part
