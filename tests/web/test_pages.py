"""The pages: whose they are, what they are called, what they do, and what they never do."""

import re
import uuid
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver, reverse
from django.urls.converters import UUIDConverter
from django.utils import timezone

from chat.models import ChatSession, SignIn, Turn
from chat.stream.protocol import TEXT_BYTES
from tests.web.conftest import add_manifest, add_turn

JSON = {"HTTP_ACCEPT": "application/json"}


class Page(HTMLParser):
    """The elements of a page, each as (tag, attributes, text), void of any depth."""

    VOID = ("meta", "link", "input", "br", "hr", "path", "circle", "rect", "use")

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self._open: list[tuple[str, dict, list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for element in self._open:
            element[2].append(data)

    def find(self, tag: str, **attrs: str) -> list[tuple[dict, str]]:
        wanted = {name.replace("_", "-"): value for name, value in attrs.items()}
        return [
            (found, " ".join("".join(words).split()))
            for name, found, words in self.elements
            if name == tag and all(found.get(key) == value for key, value in wanted.items())
        ]

    def button(self, name: str) -> list[dict]:
        return [found for found, text in self.find("button") if found.get("aria-label", text) == name]


@pytest.fixture
def page(client, alice):
    """Fetch a page as alice and take it apart."""
    client.force_login(alice)

    def fetch(path: str, **headers) -> Page:
        response = client.get(path, **headers)
        assert response.status_code == 200, response.status_code
        return Page(response.content.decode())

    return fetch


def path_of(session: ChatSession, rest: str = "") -> str:
    return f"/c/{session.pk}/{rest}"


class TestWhoseItIs:
    def addresses(self, session_id, turn_id=1):
        """Every address of the chat, from the URLconf itself."""
        found = get_resolver("chat.web.urls").reverse_dict
        for name in sorted(key for key in found if isinstance(key, str)):
            (_path, names), *_ = found[name][0]
            kinds = found[name][3]
            ids = {key: session_id if isinstance(kinds[key], UUIDConverter) else turn_id for key in names}
            yield name, reverse(f"chat:{name}", kwargs=ids)

    def test_nobody_sees_anything_without_signing_in(self, client, make_session):
        session = make_session(1)
        for name, path in self.addresses(session.pk):
            if name == "theme":
                continue  # anybody's own cookie
            for method in (client.get, client.post):
                response = method(path)
                assert response.status_code in (302, 405), path
                if response.status_code == 302:
                    assert response.url.startswith("/accounts/login/")

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_what_is_somebody_elses_looks_like_what_never_was(self, client, bob, make_session, method):
        session = make_session(2)
        turn = Turn.objects.filter(session=session).first()
        before = list(Turn.objects.values()), list(ChatSession.objects.values())
        client.force_login(bob)
        SignIn.objects.all().delete()  # it is bob's, and its number could be that of the turn
        seen = 0
        for (name, theirs), (_, nobodys) in zip(
            self.addresses(session.pk, turn.pk), self.addresses(uuid.uuid4(), 10**6), strict=True
        ):
            if theirs == nobodys:
                continue
            answers = [getattr(client, method)(path, {"text": "x", "title": "x"}) for path in (theirs, nobodys)]
            assert answers[0].status_code == answers[1].status_code in (404, 405), name
            assert answers[0].content == answers[1].content
            seen += answers[0].status_code == 404
        assert seen >= 4
        assert (list(Turn.objects.values()), list(ChatSession.objects.values())) == before

    def test_a_deleted_conversation_is_gone(self, client, alice, make_session):
        session = make_session(1)
        client.force_login(alice)
        assert client.post(path_of(session, "delete/")).url == f"/?undo={session.pk}"
        assert client.get(path_of(session)).status_code == 404
        session.refresh_from_db()
        assert session.deleted_at is not None

    def test_a_get_writes_nothing(self, client, alice, compressed):
        client.force_login(alice)
        turn = compressed.head
        Turn.objects.filter(pk=turn.pk)
        for path in ("/", "/c/", path_of(compressed), path_of(compressed, "earlier/?before=3"),
                     path_of(compressed, f"turns/{turn.pk}/"), path_of(compressed, "turns/around/")):  # fmt: skip
            with CaptureQueriesContext(connection) as queries:
                client.get(path)
            written = [q["sql"] for q in queries if re.match(r"\s*(INSERT|UPDATE|DELETE)", q["sql"])]
            assert written == []

    @pytest.mark.parametrize("rest", ["rename/", "options/", "delete/", "turns/1/stop/"])
    def test_what_changes_something_takes_no_get(self, client, alice, make_session, rest):
        client.force_login(alice)
        assert client.get(path_of(make_session(1), rest)).status_code == 405

    def test_a_post_needs_the_token(self, alice, make_session):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(alice)
        assert strict.post(path_of(make_session(1), "turns/"), {"text": "x"}).status_code == 403


class TestTheContract:
    """Accessible names that tests outside of this repository rely on."""

    def test_names_of_a_conversation(self, page, compressed):
        shown = page(path_of(compressed))
        assert shown.find("label", **{"for": "message"})[0][1] == "Message"
        assert shown.find("textarea", id="message")
        for name in ("Send", "New chat", "Copy", "Stop"):
            assert shown.button(name), name
        assert "hidden" in shown.button("Stop")[0]
        assert shown.find("nav", aria_label="Conversations")
        assert [found["aria-label"] for found, _ in shown.find("div", role="log")] == ["Conversation"]
        assert len([found for found, _ in shown.find("article") if found["id"] != "turn-0"]) == 6
        meter = shown.find("span", role="meter")[0][0]
        assert meter["aria-label"] == "Context used"
        assert 0 <= int(meter["aria-valuenow"]) <= int(meter["aria-valuemax"]) == 16_000
        notes = shown.find("div", role="note")
        assert len(notes) == 1
        assert "Earlier parts of this conversation were compressed for length" in notes[0][1]

    def test_login_fields_are_named_as_django_names_them(self, client):
        shown = Page(client.get("/accounts/login/").content.decode())
        assert shown.find("input", name="username")
        assert shown.find("input", name="password", type="password")

    def test_a_failed_login_says_so_and_keeps_the_name(self, client, alice):
        shown = Page(client.post("/accounts/login/", {"username": "alice", "password": "wrong"}).content.decode())
        assert "don’t match" in shown.find("p", role="alert")[0][1]
        assert shown.find("input", name="username", value="alice")

    def test_the_gauge_is_absent_until_there_are_numbers(self, page, make_session):
        assert not page(path_of(make_session(1))).find("span", role="meter")

    def test_the_page_says_plainly_that_it_is_the_stand_in(self, page, make_session, settings):
        session = make_session(1)
        assert "local stand-in" in page(path_of(session)).find("aside", **{"class": "banner"})[0][1]
        settings.CHAT_STANDIN = False
        assert not page(path_of(session)).find("aside", **{"class": "banner"})

    def test_no_page_holds_a_style_or_a_script_of_its_own(self, client, alice, compressed):
        """The policy would stop them; then something would be broken without a word."""
        client.force_login(alice)
        add_turn(compressed, "x", "| a |\n|:-:|\n| 1 |\n\n```py\nx = 1\n```", status="failed", error="unavailable")
        for path in ("/accounts/login/", path_of(compressed), "/c/", path_of(compressed, "turns/around/"), "/nothing/"):
            response = client.get(path, follow=True)
            html = response.content.decode()
            assert "default-src 'none'" in response["Content-Security-Policy"]
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html), path
            assert not re.search(r"<script(?![^>]*\ssrc=)", html), path
            assert not re.search(r"hx-(on|vars|vals=.js)", html), path


class TestTheStart:
    def test_the_first_visit_is_a_welcome(self, page):
        shown = page("/")
        assert "Hello, alice" in [text for _, text in shown.find("h2")]
        assert shown.find("form", id="composer", action="/new/")

    def test_afterwards_it_is_the_newest_conversation(self, client, alice, make_session):
        make_session(1)
        newest = make_session(1)
        client.force_login(alice)
        assert client.get("/").url == path_of(newest)

    def test_new_chat_opens_one_and_clicking_again_opens_no_other(self, client, alice):
        client.force_login(alice)
        first = client.post("/new/").url
        assert client.post("/new/").url == first
        assert ChatSession.objects.filter(owner=alice).count() == 1

    def test_new_chat_takes_no_empty_one_that_was_put_away_or_came_from_elsewhere(self, client, alice, make_session):
        client.force_login(alice)
        other = make_session(1)
        for values in (
            {"archived_at": timezone.now()},
            {"deleted_at": timezone.now()},
            {"imported_at": timezone.now()},
            {"forked_from": other},
            {"temporary": True},
        ):
            empty = make_session(0, title="", **values)
            assert client.post("/new/").url != path_of(empty), values
            ChatSession.objects.filter(owner=alice).exclude(pk=other.pk).delete()

    def test_a_first_message_whose_answer_was_lost_is_stored_once_and_answered_with_its_conversation(
        self, client, alice, bob
    ):
        client.force_login(alice)
        sent = {"text": "My order number is A-7731.", "client_id": uuid.uuid4()}
        address = client.post("/new/", sent, **JSON).json()
        assert client.post("/new/", sent, **JSON).json() == address
        assert client.post("/new/", sent).url == address["url"]
        assert (Turn.objects.count(), ChatSession.objects.count()) == (1, 1)
        # The same id of somebody else, other words, and the same one after its conversation was deleted begin anew.
        client.force_login(bob)
        assert client.post("/new/", sent, **JSON).json() != address
        client.force_login(alice)
        assert client.post("/new/", sent | {"client_id": uuid.uuid4()}, **JSON).json() != address
        ChatSession.objects.filter(owner=alice).update(deleted_at=timezone.now())
        assert client.post("/new/", sent, **JSON).json() != address
        assert Turn.objects.count() == 4

    def test_new_chat_with_a_first_message(self, client, alice):
        client.force_login(alice)
        address = client.post("/new/", {"text": "My order number is A-7731.", "client_id": uuid.uuid4()}, **JSON).json()
        turn = Turn.objects.get()
        assert address == {"url": path_of(turn.session)}
        assert (turn.prompt, turn.status) == ("My order number is A-7731.", "queued")


class TestMessages:
    @pytest.fixture
    def send(self, client, alice):
        client.force_login(alice)

        def post(session, **fields):
            fields.setdefault("client_id", uuid.uuid4())
            return client.post(path_of(session, "turns/"), fields, **JSON)

        return post

    def test_a_message_by_post_is_the_same_turn_as_by_socket(self, send, make_session):
        session = make_session(1)
        client_id = uuid.uuid4()
        answer = send(session, text="And now?\r\nReally", client_id=client_id).json()
        turn = Turn.objects.get(pk=answer["turn"])
        assert answer == {"client_id": str(client_id), "turn": turn.pk, "number": 2, "duplicate": False}
        assert turn.prompt == "And now?\nReally"
        again = send(session, text="And now?\nReally", client_id=client_id).json()
        assert again["duplicate"] is True
        assert Turn.objects.filter(session=session).count() == 2

    def test_a_large_text_goes_by_post(self, send, make_session):
        text = "wörd " * TEXT_BYTES
        answer = send(make_session(), text=text)
        assert Turn.objects.get(pk=answer.json()["turn"]).prompt == text

    def test_a_second_message_while_one_runs_is_refused_as_busy(self, send, make_session):
        session = make_session()
        assert send(session, text="one").status_code == 200
        refused = send(session, text="two")
        assert (refused.status_code, refused.json()["code"]) == (409, "busy")
        assert refused.json()["retry_after_ms"] > 0

    def test_a_client_id_with_other_words_is_refused(self, send, make_session):
        session, client_id = make_session(), uuid.uuid4()
        send(session, text="one", client_id=client_id)
        assert send(session, text="two", client_id=client_id).json()["code"] == "client_id_reuse"

    @pytest.mark.parametrize(
        "fields", [{"text": "  \n"}, {"text": "x", "op": "delete"}, {"text": "x", "client_id": "7"}]
    )
    def test_what_is_no_message_is_refused_and_stores_nothing(self, send, make_session, fields):
        assert send(make_session(), **fields).status_code == 400
        assert not Turn.objects.exists()

    def test_text_that_no_database_takes_is_cleaned(self, send, make_session):
        answer = send(make_session(), text="a\0b")
        assert Turn.objects.get(pk=answer.json()["turn"]).prompt == "a\ufffdb"

    def test_without_script_a_form_comes_back_to_the_page(self, client, alice, make_session):
        session = make_session()
        client.force_login(alice)
        assert client.post(path_of(session, "turns/"), {"text": "plain"}).url == path_of(session)
        assert Turn.objects.get().prompt == "plain"

    def test_a_queued_turn_is_stopped_by_post(self, send, client, make_session):
        session = make_session()
        turn = send(session, text="one").json()["turn"]
        assert client.post(path_of(session, f"turns/{turn}/stop/")).status_code == 204
        assert Turn.objects.get(pk=turn).status == Turn.Status.STOPPED

    def test_deleting_stops_what_runs(self, send, client, make_session):
        session = make_session()
        turn = send(session, text="one").json()["turn"]
        client.post(path_of(session, "delete/"))
        assert Turn.objects.get(pk=turn).status == Turn.Status.STOPPED

    def test_retry_opens_a_sibling_in_the_place_of_the_failed_turn(self, send, make_session):
        session = make_session(1)
        failed = add_turn(session, "Again?", "", status="failed", error="overloaded")
        answer = send(session, op="retry", of=failed.pk).json()
        turn = Turn.objects.get(pk=answer["turn"])
        assert (turn.number, turn.prompt, turn.active) == (2, "Again?", True)
        failed.refresh_from_db()
        assert not failed.active


class TestTheTranscript:
    def test_a_page_holds_the_newest_turns_and_a_way_to_the_older_ones(self, page, make_session):
        session = make_session(120)
        shown = page(path_of(session))
        numbers = [int(found["data-number"]) for found, _ in shown.find("article") if found["id"] != "turn-0"]
        assert numbers == list(range(91, 121))
        older = page(path_of(session, "earlier/?before=91"))
        assert [int(found["data-number"]) for found, _ in older.find("article")] == list(range(41, 91))
        assert "before=41" in older.find("div", **{"class": "earlier"})[0][0]["data-more"]
        first = page(path_of(session, "earlier/?before=41"))
        assert not first.find("div", **{"class": "earlier"})

    def test_a_long_conversation_costs_no_more_queries(
        self, client, alice, make_session, django_assert_max_num_queries
    ):
        session = make_session(60)
        add_manifest(session)
        client.force_login(alice)
        with django_assert_max_num_queries(13):
            client.get(path_of(session))

    def test_stored_html_is_shown_and_an_older_renderers_is_not(self, page, make_session):
        session = make_session()
        add_turn(session, reply="**new**", reply_html="<p>stored</p>")
        add_turn(session, reply="**fresh**", reply_html="<p>outdated</p>", html_version=0)
        html = str(page(path_of(session)).find("article"))
        assert "stored" in html
        assert "outdated" not in html
        assert "fresh" in html

    def test_what_a_user_writes_is_text(self, client, alice, make_session):
        session = make_session(title="<script>t()</script>")
        add_turn(session, "<script>alert(1)</script> **not bold**", "<img src=x onerror=alert(1)>")
        client.force_login(alice)
        html = client.get(path_of(session)).content.decode()
        assert "<script>alert" not in html
        assert "<script>t()" not in html
        assert "<img" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt; **not bold**" in html

    @pytest.mark.parametrize(
        ("values", "words", "retry"),
        [
            ({"status": "failed", "error": "unavailable"}, "Interrupted. The connection to the model broke.", True),
            ({"status": "failed", "error": "rate_limited", "reply": ""}, "Your message is kept.", True),
            ({"status": "failed", "error": "no such code"}, "Something went wrong on our side.", True),
            ({"status": "stopped"}, "Stopped. The text above is kept.", False),
            ({"status": "stopped", "reply": ""}, "Nothing had been written yet.", False),
            ({"status": "truncated"}, "Cut off.", False),
            ({"status": "refused"}, "Declined.", False),
        ],
    )
    def test_a_turn_that_did_not_complete_says_what_was_kept(self, page, make_session, values, words, retry):
        session = make_session()
        add_turn(session, **values)
        shown = page(path_of(session))
        assert words in shown.find("article")[0][1]
        assert bool(shown.button("Retry")) is retry

    def test_a_running_turn_is_busy_and_offers_to_stop(self, page, make_session):
        session = make_session()
        add_turn(session, reply="So far", status="running")
        shown = page(path_of(session))
        assert shown.find("article", aria_busy="true")[0][1].endswith("So far")
        assert "hidden" not in shown.button("Stop")[0]

    def test_originals_of_what_is_compressed_are_marked_and_still_there(self, page, compressed):
        shown = page(path_of(compressed))
        past = [found["data-number"] for found, _ in shown.find("article") if "past" in found["class"].split()]
        assert past == ["1", "2", "3", "4"]
        assert "Question 1?" in shown.find("article")[0][1]

    def test_the_notice_opens_to_the_summary(self, page, compressed):
        shown = page(path_of(compressed))
        text = shown.find("div", role="note")[0][1]
        assert "turns 1–4 · 8 k → 0.3 k tokens" in text
        assert "By claude-haiku-4-5" in text
        assert "Her Corvo Duo loses pressure" in text
        codes = [words for _, words in shown.find("code")]
        assert codes == ["A-7731", "Corvo Duo", "EUR 1,849.00"]
        assert shown.find("details")

    def test_a_settled_turn_brings_what_stands_around_it(self, client, alice, compressed):
        client.force_login(alice)
        response = client.get(path_of(compressed, f"turns/{compressed.head_id}/"))
        shown = Page(response.content.decode())
        assert [found["id"] for found, _ in shown.find("article")] == [f"turn-{compressed.head_id}"]
        assert {found["id"] for _, found, _ in shown.elements if "hx-swap-oob" in found} == {
            "after-4", "ask", "documents", "gauge", "model-name", "remembered-count", f"row-{compressed.pk}", "title",
        }  # fmt: skip
        assert '"value": 5' in response["HX-Trigger"]


class TestOptions:
    def test_the_strategy_and_the_window_of_a_conversation(self, client, alice, make_session):
        session = make_session(1)
        client.force_login(alice)
        client.post(path_of(session, "options/"), {"strategy": "sliding_window", "window_messages": "20"})
        session.refresh_from_db()
        assert (session.strategy, session.window_messages) == ("sliding_window", 20)
        client.post(path_of(session, "options/"), {"strategy": "summary", "window_messages": ""})
        session.refresh_from_db()
        assert (session.strategy, session.window_messages) == ("summary", None)

    @pytest.mark.parametrize(
        "fields",
        [
            {"strategy": "forget"},
            {"strategy": "provider"},
            {"strategy": "summary", "window_messages": "1"},
            {"strategy": "summary", "window_messages": "x"},
            {"strategy": "summary", "owner": "2", "window_messages": "-4"},
        ],
    )
    def test_a_refused_value_changes_nothing(self, client, alice, make_session, fields):
        session = make_session(1, strategy="sliding_window", window_messages=20)
        client.force_login(alice)
        client.post(path_of(session, "options/"), fields)
        session.refresh_from_db()
        assert (session.strategy, session.window_messages, session.owner) == ("sliding_window", 20, alice)

    def test_a_conversation_gets_another_title(self, client, alice, make_session):
        session = make_session(1)
        client.force_login(alice)
        client.post(path_of(session, "rename/"), {"title": "  Corvo \n Duo "})
        session.refresh_from_db()
        assert session.title == "Corvo Duo"
        client.post(path_of(session, "rename/"), {"title": "   "})
        session.refresh_from_db()
        assert session.title == "Corvo Duo"

    def test_times_are_in_the_zone_of_the_browser(self, client, alice, make_session):
        session = make_session()
        add_turn(session, closed_at=datetime(2026, 11, 22, 22, 30, tzinfo=UTC))
        client.force_login(alice)
        client.cookies["zone"] = "Asia%2FTokyo"
        assert "Nov. 23, 2026, 7:30 a.m." in client.get(path_of(session)).content.decode()
        client.cookies["zone"] = "../../etc/passwd"
        assert "Nov. 22, 2026, 10:30 p.m." in client.get(path_of(session)).content.decode()
