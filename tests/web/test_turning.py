"""What one does with a turn on the page: versions, an editor without script, a menu, a fork, a thumb down."""

import uuid

import pytest
from django.test import Client

from chat.models import ChatSession, Feedback, Turn
from chat.store import branches, integrity
from tests.store.building import conversation, fork, numbers, reread, turn
from tests.web.conftest import add_manifest
from tests.web.test_pages import JSON, Page, path_of


@pytest.fixture
def session(alice) -> ChatSession:
    return conversation(alice, 4)


@pytest.fixture
def client(client: Client, alice) -> Client:
    client.force_login(alice)
    return client


def articles(client: Client, path: str) -> list[dict]:
    response = client.get(path)
    assert response.status_code == 200
    return [found for found, _ in Page(response.content.decode()).find("article", **{"class": "turn"})]


class TestVersions:
    def test_a_turn_with_other_versions_says_which_one_it_is(self, client, session):
        old = turn(session, 2)
        fork(session, 2)
        fork(session, 2)
        page = Page(client.get(path_of(session)).content.decode())
        assert [text for _, text in page.find("span", **{"class": "num"}) if "/" in text] == ["3/3"]
        assert "disabled" in page.button("Next version")[0]
        branches.switch(session.pk, old.pk)
        page = Page(client.get(path_of(session)).content.decode())
        assert [text for _, text in page.find("span", **{"class": "num"}) if "/" in text] == ["1/3"]
        assert "disabled" in page.button("Previous version")[0]
        assert Turn.objects.get(pk=page.button("Next version")[0]["value"]).number == 2

    def test_a_switch_brings_back_what_followed(self, client, session):
        old = turn(session, 2)
        made = fork(session, 2)
        answer = client.post(path_of(session, "turns/switch/"), {"to": old.pk}, **JSON)
        assert answer.json() == {"code": "switched", "first": 2, "turn": session.head_id, "head": 4}
        assert numbers(session) == [1, 2, 3, 4]
        # Without script one comes back to where one was.
        answer = client.post(path_of(session, "turns/switch/"), {"to": made.pk})
        assert (answer.status_code, answer.url) == (302, path_of(session) + f"#turn-{made.pk}")
        assert numbers(session) == [1, 2]
        assert integrity.violations() == []

    def test_none_while_a_reply_runs_and_none_to_what_is_not_there(self, client, session, bob):
        old = turn(session, 2)
        fork(session, 2)
        foreign = conversation(bob, 1).head
        for to in (foreign.pk, 10**17, "x", ""):
            assert client.post(path_of(session, "turns/switch/"), {"to": to}, **JSON).status_code == 404
        branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=1)
        answer = client.post(path_of(session, "turns/switch/"), {"to": old.pk}, **JSON)
        assert (answer.status_code, answer.json()["code"]) == (409, "busy")
        assert numbers(session) == [1, 2, 3]

    def test_what_follows_a_version_is_fetched_from_its_number_on(self, client, session):
        shown = articles(client, path_of(session, "turns/rest/?from=3"))
        assert [int(one["data-number"]) for one in shown] == [3, 4]
        assert len(articles(client, path_of(session, "turns/rest/"))) == 4


class TestTheEditor:
    def test_without_script_the_message_stands_in_a_box_of_the_page(self, client, session):
        two = turn(session, 2)
        page = Page(client.get(path_of(session, f"?edit={two.pk}")).content.decode())
        boxes = [text for found, text in page.find("textarea") if found.get("aria-label") == "Edit message"]
        # The other one is the template's.
        assert boxes == [two.prompt.strip(), ""]
        assert str(two.pk) in [found["value"] for found, _ in page.find("input", name="of")]

    def test_none_for_a_turn_that_runs(self, client, session):
        live = branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=1)
        page = Page(client.get(path_of(session, f"?edit={live.pk}")).content.decode())
        # The one of the template alone.
        assert len([1 for found, _ in page.find("textarea") if found.get("aria-label") == "Edit message"]) == 1


class TestTheMenu:
    @pytest.mark.parametrize("headers", [{}, {"HTTP_HX_REQUEST": "true"}], ids=["page", "panel"])
    def test_it_is_a_panel_and_without_script_a_page(self, client, session, headers):
        response = client.get(path_of(session, f"turns/{turn(session, 2).pk}/menu/"), **headers)
        html = response.content.decode()
        assert ("<html" in html) == (not headers)
        assert Page(html).find("form", action=path_of(session, f"turns/{turn(session, 2).pk}/fork/"))

    def test_a_fork_opens_a_copy_under_a_name_of_its_own(self, client, session):
        ChatSession.objects.filter(pk=session.pk).update(title="About A-7731")
        answer = client.post(path_of(session, f"turns/{turn(session, 3).pk}/fork/"))
        made = ChatSession.objects.exclude(pk=session.pk).get()
        assert (answer.status_code, answer.url) == (302, path_of(made))
        assert (made.title, made.turns_active) == ("Fork of About A-7731", 3)
        page = Page(client.get(answer.url).content.decode())
        (link,) = [found for found, _ in page.find("a") if found.get("aria-label") == "Forked from About A-7731"]
        assert link["href"] == path_of(session)
        assert integrity.violations() == []

    def test_there_is_nothing_to_fork_before_it_is_done(self, client, session):
        live = branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=1)
        assert client.post(path_of(session, f"turns/{live.pk}/fork/")).status_code == 404
        assert ChatSession.objects.count() == 1


class TestAThumbDown:
    def test_it_is_given_changed_and_taken_back(self, client, session, alice):
        two = turn(session, 2)
        path = path_of(session, f"turns/{two.pk}/feedback/")
        for reason in ("forgot", "wrong"):
            assert client.post(path, {"reason": reason}, **JSON).json() == {"reason": reason}
            assert list(Feedback.objects.values_list("turn", "user", "reason")) == [(two.pk, alice.pk, reason)]
        page = Page(client.get(path_of(session)).content.decode())
        assert [found["aria-pressed"] for found in page.button("Bad reply")] == ["false", "true", "false", "false"]
        assert [found["value"] for found in Page(client.get(path).content.decode()).button("Take it back")] == [""]
        assert client.post(path, {"reason": ""}).status_code == 302
        assert not Feedback.objects.exists()

    def test_it_leads_to_what_the_model_saw_when_it_wrote_the_reply(self, client, session):
        manifest = add_manifest(session)
        client.post(path_of(session, f"turns/{manifest.turn_id}/feedback/"), {"reason": "forgot"}, **JSON)
        given = Feedback.objects.select_related("turn__manifest").get()
        assert given.turn.manifest.ranges == manifest.ranges != []

    def test_a_reason_that_is_none_is_not_kept(self, client, session):
        path = path_of(session, f"turns/{turn(session, 2).pk}/feedback/")
        assert client.post(path, {"reason": "<script>"}, **JSON).json() == {"reason": ""}
        assert not Feedback.objects.exists()
