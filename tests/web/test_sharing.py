"""Share links: what a stranger sees, what nobody sees, and that a link which is over is as if it never was."""

import re

import pytest
from django.utils import timezone

from chat.models import ChatSession, Document, Notice, Share, Summary, Turn
from chat.store import branches, sharing
from tests.web.conftest import add_turn

pytestmark = pytest.mark.django_db


def path_of(link: Share) -> str:
    return f"/s/{link.token}/"


@pytest.fixture
def post(client, alice):
    client.force_login(alice)

    def send(session, action="share"):
        return client.post(f"/c/{session.pk}/share/", {"action": action}, headers={"HX-Request": "true"})

    return send


class TestTheLink:
    def test_is_made_updated_under_the_same_address_and_revoked_for_good(self, client, post, make_session):
        session = make_session(2)
        assert b"Create link" in client.get(f"/c/{session.pk}/share/").content
        post(session)
        first = sharing.standing(session)
        add_turn(session, "Question 3?", "Answer 3.")
        assert (first.until.number, b"Question 3?" in client.get(path_of(first)).content) == (2, False)
        assert b"+1" in client.get(f"/c/{session.pk}/share/").content
        post(session)
        assert sharing.standing(session).token == first.token
        assert b"Question 3?" in client.get(path_of(first)).content
        post(session, "revoke")
        assert sharing.standing(session) is None
        assert client.get(path_of(first)).status_code == 404
        post(session)
        assert sharing.standing(session).token != first.token
        assert client.get(path_of(first)).status_code == 404

    def test_a_reply_that_is_still_written_is_left_out(self, make_session):
        session = make_session(1)
        add_turn(session, "Live?", "", status="queued")
        assert sharing.share(session).until.number == 1

    def test_what_is_empty_or_temporary_or_deleted_cant_be_shared(self, post, make_session):
        for session in (make_session(), make_session(1, temporary=True), make_session(1)):
            if session.turns_total and not session.temporary:
                ChatSession.objects.filter(pk=session.pk).update(deleted_at=timezone.now())
            post(session)
        assert not Share.objects.exists()

    def test_without_script_the_form_comes_back_to_its_page(self, client, alice, make_session):
        client.force_login(alice)
        session = make_session(1)
        assert client.post(f"/c/{session.pk}/share/", {"action": "share"}).url == f"/c/{session.pk}/share/"
        assert b"Copy address" in client.get(f"/c/{session.pk}/share/").content


class TestWhatAStrangerSees:
    def test_the_branch_as_it_stood_with_its_notice_and_no_id_of_anybody(self, client, alice, compressed):
        link = sharing.share(compressed)
        shown = Turn.objects.get(session=compressed, number=6)
        Document.objects.create(
            session=compressed, turn=shown, name="plan.txt", kind="text", text="SECRET", digest="", size=1, tokens=1
        )
        # Later: another version of the last turn is the shown one, and more is compressed.
        branches.leave(compressed, 6)
        compressed.refresh_from_db()
        other = Turn.objects.create(
            session=compressed, number=6, parent_id=shown.parent_id, prompt="Another way?", status="stopped",
            digest="d", closed_at=timezone.now(),
        )  # fmt: skip
        branches.settle(compressed, 6, other.pk, 6)
        Notice.objects.create(session=compressed, kind="trimmed", first=5, last=5, until=shown.parent)
        response = client.get(path_of(link))
        page = response.content.decode()
        assert "Question 6?" in page
        assert "Another way?" not in page
        assert "Answer <strong>6</strong>." in page
        assert page.count('role="note"') == 1
        assert "compressed for length" in page
        assert "she wants a repair" in page
        assert "plan.txt" in page
        assert "SECRET" not in page
        for secret in (alice.username, alice.email, str(compressed.pk), "data-turn", "csrf", "<script", "<form"):
            assert secret not in page.replace("About A-7731", ""), secret
        assert response["Cache-Control"] == "no-store, private"
        assert "noindex" in response["X-Robots-Tag"]
        assert response["Referrer-Policy"] == "no-referrer"
        assert 'name="referrer" content="no-referrer"' in page
        assert not response.cookies

    def test_what_is_over_looks_like_what_never_was(self, client, alice, make_session):
        answers = []
        for change in ({"deleted_at": timezone.now()}, {"temporary": True}, None, "revoked"):
            session = make_session(1)
            link = sharing.share(session)
            if change == "revoked":
                sharing.revoke(session)
            elif change:
                ChatSession.objects.filter(pk=session.pk).update(**change)
            answers.append(client.get(path_of(link) if change else "/s/never-was/"))
        link = sharing.share(make_session(1))
        alice.is_active = False
        alice.save()
        answers.append(client.get(path_of(link)))
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1

    def test_a_long_one_is_read_page_by_page_and_each_turn_once(self, client, make_session, monkeypatch):
        monkeypatch.setattr("chat.web.sharing.PAGE", 2)
        link = sharing.share(make_session(5))
        path, seen = path_of(link), []
        while path:
            page = client.get(path).content.decode()
            seen += re.findall(r"Question (\d)\?", page)
            later = re.search(r'href="(\?from=\d+)">Later', page)
            path = path_of(link) + later[1] if later else ""
        assert seen == ["1", "2", "3", "4", "5"]
        assert client.get(path_of(link) + "?from=6").status_code == 404

    def test_a_notice_has_all_its_summaries_on_whatever_page_it_stands(self, client, compressed, monkeypatch):
        monkeypatch.setattr("chat.web.sharing.PAGE", 2)
        late = Turn.objects.get(session=compressed, number=4)
        early = Turn.objects.get(session=compressed, number=2)
        told = {"session": compressed, "state": "active", "source_hash": "c", "input_hash": "d"}
        Summary.objects.filter(session=compressed).delete()
        Summary.objects.create(first=1, last=2, until=early, text="Previously: she bought a pump.", **told)
        Summary.objects.create(first=3, last=4, until=late, text="Previously: it came broken.", **told)
        page = client.get(path_of(sharing.share(compressed)) + "?from=3").content.decode()
        assert page.count('role="note"') == 1
        assert "it came broken" in page
        assert "she bought a pump" in page

    def test_a_reply_made_by_an_older_renderer_is_rendered_by_this_one(self, client, make_session):
        session = make_session(1)
        Turn.objects.update(reply="<b onclick=x>**hi**</b>", reply_html="<script>old</script>", html_version=0)
        page = client.get(path_of(sharing.share(session))).content.decode()
        assert "<script" not in page
        assert "&lt;b onclick=x&gt;<strong>hi</strong>" in page
