"""Decisions by POST: what changes, what a page gets back, and what a refusal says; with script and without."""

import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from chat.models import ChatSession, Fact, Job, Notice, Summary, Turn
from chat.store import branches, facts, integrity
from chat.web import remembered
from tests.store.building import compress, conversation, reread, turn

HX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def session(alice: Any, client: Client) -> ChatSession:
    """Twenty turns of 100 tokens, the first eight of them compressed."""
    client.force_login(alice)
    made = conversation(alice, 20)
    compress(made, (1, 8))
    return reread(made)


def path(session: ChatSession, rest: str = "") -> str:
    return f"/c/{session.pk}/{rest}"


def events(response: Any) -> dict[str, Any]:
    """What the answer has the page do, at once or later."""
    out: dict[str, Any] = {}
    for name in ("HX-Trigger", "HX-Trigger-After-Settle"):
        out |= json.loads(response.headers.get(name, "{}"))
    return out


def notice(session: ChatSession, kind: str = "compressed") -> Notice:
    return Notice.objects.get(session=session, kind=kind, ended_at=None)


class TestPinning:
    def test_a_pin_comes_back_with_the_turn_and_what_stands_around_it(
        self, client: Client, session: ChatSession
    ) -> None:
        one = turn(session, 3)
        response = client.post(path(session, f"turns/{one.pk}/pin/"), {"pinned": "1"}, **HX)
        html = response.content.decode()
        assert re.search(rf'<article class="turn pinned" id="turn-{one.pk}"', html)
        assert 'id="gauge"' in html
        assert events(response)["seen-from"] == {"value": 9, "again": []}
        assert turn(session, 3).pinned_since == reread(session).context_version
        client.post(path(session, f"turns/{one.pk}/pin/"), {"pinned": "0"}, **HX)
        assert turn(session, 3).pinned_since is None

    @pytest.mark.parametrize("deed", ["pin", "exclude"])
    def test_under_a_notice_that_is_not_there_nothing_is_marked(
        self, client: Client, session: ChatSession, bob: Any, deed: str
    ) -> None:
        his = conversation(bob, 20)
        compress(his, (1, 8))
        one = turn(session, 3)
        for chosen in (notice(his).pk, 987_654_321):
            response = client.post(path(session, f"turns/{one.pk}/{deed}/"), {"notice": str(chosen)}, **HX)
            assert response.status_code == 404
        assert (turn(session, 3).pinned_since, turn(session, 3).excluded_by) == (None, "")

    def test_what_has_no_room_is_refused_with_its_figures(self, client: Client, session: ChatSession) -> None:
        Turn.objects.filter(session=session, number__gte=3).update(tokens_upto=300_000)
        one = turn(session, 3)
        response = client.post(path(session, f"turns/{one.pk}/pin/"), {"pinned": "1"}, **HX)
        assert (response.content, response["HX-Reswap"]) == (b"", "none")
        said = events(response)["refused"]["text"]
        assert said.startswith("There is no room for this pin: it holds 299.8 k, and 0 of ")
        assert turn(session, 3).pinned_since is None

    def test_without_script_it_comes_back_to_the_page_that_says_so(self, client: Client, session: ChatSession) -> None:
        one = turn(session, 3)
        answer = client.post(path(session, f"turns/{one.pk}/pin/"), {"pinned": "1"})
        assert answer["Location"] == f"/c/{session.pk}/#turn-{one.pk}"
        branches.new_turn(reread(session), prompt="?", client_id=uuid.uuid4(), tokens=5)
        page = client.post(path(session, f"turns/{one.pk}/pin/"), {"pinned": "0"}, follow=True)
        assert "A reply is running. Wait until it has ended, or stop it." in page.content.decode()
        assert turn(session, 3).pinned_since is not None


class TestLeavingOut:
    def test_the_turn_says_so_and_the_summary_over_it_is_made_again(self, client: Client, session: ChatSession) -> None:
        one = turn(session, 3)
        response = client.post(path(session, f"turns/{one.pk}/exclude/"), {"excluded": "1"}, **HX)
        assert "Left out: the model does not see this turn." in response.content.decode()
        assert Summary.objects.get(session=session).state == "stale"
        assert Job.objects.filter(session=session, kind="compact", state="due").exists()
        assert events(response)["seen-from"] == {"value": 1, "again": []}
        response = client.post(path(session, f"turns/{one.pk}/exclude/"), {"excluded": "0"}, **HX)
        assert "Left out" not in response.content.decode()
        assert Summary.objects.get(session=session).state == "active"
        assert integrity.violations() == []

    def test_in_a_conversation_that_asks_nothing_is_made_unasked(self, client: Client, session: ChatSession) -> None:
        ChatSession.objects.filter(pk=session.pk).update(mode="ask")
        client.post(path(session, f"turns/{turn(session, 3).pk}/exclude/"), {"excluded": "1"}, **HX)
        assert not Job.objects.exists()


class TestRestoring:
    def test_the_price_stands_there_before_the_click(self, client: Client, session: ChatSession) -> None:
        html = client.get(path(session, f"notices/{notice(session).pk}/"), **HX).content.decode()
        assert "Restoring adds 760" in html  # 800 of the turns less 40 of their summary
        assert html.count(">Pin</button>") == 8
        assert "disabled" not in html.partition("</button>")[0]
        page = client.get(path(session, f"notices/{notice(session).pk}/"))
        assert b"Back to the conversation" in page.content

    def test_what_does_not_fit_says_so_before_the_click_and_after(self, client: Client, session: ChatSession) -> None:
        Turn.objects.filter(session=session, number__gte=8).update(tokens_upto=30_000)
        address = path(session, f"notices/{notice(session).pk}/")
        html = client.get(address, **HX).content.decode()
        assert "disabled" in html.partition("</button>")[0]
        assert "It does not fit: 31.2 k would stand word for word, and there is room for" in html
        response = client.post(address + "restore/", **HX)
        assert events(response)["refused"]["text"].startswith("It does not fit: 31.2 k")
        assert Summary.objects.get(session=session).state == "active"

    def test_restored_the_notice_says_so_and_offers_the_way_back(self, client: Client, session: ChatSession) -> None:
        response = client.post(path(session, f"notices/{notice(session).pk}/restore/"), **HX)
        html = response.content.decode()
        assert "Earlier parts are back in the model’s view" in html
        assert "compressed for length" not in html
        assert events(response) == {"seen-from": {"value": 1, "again": []}, "look-at": {"id": "after-8"}}
        gone = client.post(path(session, f"notices/{Notice.objects.first().pk}/restore/"), **HX)
        assert events(gone)["refused"]["text"].startswith("This has changed meanwhile")
        again = path(session, f"notices/{notice(session, 'restored').pk}/restore/")
        response = client.post(again, {"again": "1"}, **HX)
        assert "compressed for length" in response.content.decode()
        assert events(response)["seen-from"] == {"value": 9, "again": []}
        assert integrity.violations() == []

    def test_in_the_middle_the_page_is_told_which_turns_are_back(self, client: Client, session: ChatSession) -> None:
        compress(session, (9, 12))
        first = Notice.objects.filter(session=session, kind="compressed").order_by("first")[0]
        response = client.post(path(session, f"notices/{first.pk}/restore/"), **HX)
        assert events(response)["seen-from"] == {"value": 13, "again": [[1, 8]]}
        html = client.get(path(session)).content.decode()
        assert re.search(r'class="turn past" [^>]*data-number="9"', html)
        assert not re.search(r'class="turn past" [^>]*data-number="8"', html)

    def test_from_its_list_turns_are_pinned_one_after_the_other(self, client: Client, session: ChatSession) -> None:
        one = notice(session)
        response = client.post(
            path(session, f"turns/{turn(session, 3).pk}/pin/"), {"pinned": "1", "notice": str(one.pk)}, **HX
        )
        html = response.content.decode()
        assert html.count(">Pin</button>") == 7
        assert '<details class="choose" open>' in html
        assert events(response)["turn-changed"] == {"number": 3}


class TestByHand:
    def test_first_it_shows_what_goes_what_stays_and_what_it_costs(self, client: Client, session: ChatSession) -> None:
        html = client.get(path(session, "compact/"), **HX).content.decode()
        text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
        assert "Goes turns 9–16 800 tokens, into 1 summary" in text
        assert "Stays word for word turns 17–20" in text
        assert re.search(r"Price ~0\.\d{4}–0\.\d{4} US\$ once, by claude-haiku-4-5", text)
        german = client.get(path(session, "compact/"), headers={"accept-language": "de"}, **HX).content.decode()
        assert re.search(r"~0,\d{4}–0,\d{4} US\$", german)
        assert not Job.objects.exists()

    def test_what_must_be_kept_is_kept_as_words_of_the_session(self, client: Client, session: ChatSession) -> None:
        response = client.post(path(session, "compact/"), {"keep": "  the   order number\x00 "}, **HX)
        job = Job.objects.get()
        assert (job.state, job.args) == ("due", {"force": True})
        assert reread(session).keep == "the order number\ufffd"
        assert f"compact/{job.pk}/" in response.content.decode()
        client.post(path(session, "compact/"), {"keep": ""}, **HX)
        assert Job.objects.count() == 1, "one at a time"

    @pytest.mark.parametrize(
        ("state", "progress", "said"),
        [
            ("due", None, "Waiting for its turn"),
            ("running", {"made": 1, "of": 3}, "Part 2 of 3"),
            ("done", {"code": "committed", "first": 9, "last": 16, "before": 4200, "after": 310},
             "Done. Turns 9–16: 4.2 k became 310 tokens."),
            ("done", {"code": "nothing"}, "Nothing to do"),
            ("done", {"code": "refused"}, "no summary could be made that keeps what was said"),
            ("failed", None, "something went wrong. Every turn stays as it is"),
            ("done", None, "something else was done first. Every turn stays as it is"),
            ("done", {"made": 1, "of": 3}, "something else was done first. Every turn stays as it is"),
        ],
    )  # fmt: skip
    def test_it_says_how_it_stands(
        self, client: Client, session: ChatSession, state: str, progress: Any, said: str
    ) -> None:
        lease = "2100-01-01T00:00Z" if state == "running" else None
        job = Job.objects.create(kind="compact", session=session, state=state, progress=progress, lease_until=lease)
        html = client.get(path(session, f"compact/{job.pk}/"), **HX).content.decode()
        assert said in html
        assert ("hx-trigger" in html) is (state in ("due", "running"))

    @pytest.mark.parametrize("state", ["done", "failed"])
    def test_what_another_way_has_compressed_meanwhile_is_not_called_a_failure(
        self, client: Client, session: ChatSession, state: str
    ) -> None:
        job = Job.objects.create(kind="compact", session=session, state=state, progress={"made": 1, "of": 2})
        until = Turn.objects.get(session=session, number=12, active=True)
        Summary.objects.create(
            session=session, first=9, last=12, until=until, state="active", source_hash="b", input_hash="b",
            source_tokens=4_200, tokens=310, committed_at=timezone.now(),
        )  # fmt: skip
        html = client.get(path(session, f"compact/{job.pk}/"), **HX).content.decode()
        assert "Done. Turns 9–12: 4.2 k became 310 tokens." in html
        Summary.objects.filter(first=9).update(tier=2)
        html = client.get(path(session, f"compact/{job.pk}/"), **HX).content.decode()
        assert "Done. The summaries were brought together." in html
        # What was there before it was asked for is none of its doing.
        Summary.objects.update(committed_at=job.created_at - timedelta(minutes=1))
        assert "Not compressed" in client.get(path(session, f"compact/{job.pk}/"), **HX).content.decode()

    def test_with_nothing_to_do_there_is_no_button(self, client: Client, alice: Any) -> None:
        client.force_login(alice)
        html = client.get(path(conversation(alice, 3), "compact/"), **HX).content.decode()
        assert "Nothing to compress" in html
        assert "<button" not in html


class TestAsking:
    def test_nothing_is_asked_before_the_mark_and_by_itself_nothing_is_done(self, client: Client, session) -> None:
        ChatSession.objects.filter(pk=session.pk).update(mode="ask")
        assert "data-ask" not in client.get(path(session)).content.decode()
        ChatSession.objects.filter(pk=session.pk).update(open_tokens=9_000)
        assert 'data-ask="soft"' in client.get(path(session)).content.decode()
        ChatSession.objects.filter(pk=session.pk).update(mode="auto")
        assert "data-ask" not in client.get(path(session)).content.decode()

    def test_always_is_the_mode_of_the_menu(self, client: Client, session: ChatSession) -> None:
        version = session.context_version
        for mode in ("ask", "never", "ask"):
            client.post(path(session, "options/"), {"strategy": "summary", "mode": mode})
            assert reread(session).mode == mode
        assert not Job.objects.exists()
        response = client.post(path(session, "compact/always/"), **HX)
        assert b'id="ask"' in response.content
        row = reread(session)
        assert (row.mode, row.context_version) == ("auto", version + 4)
        assert Job.objects.filter(state="due").count() == 1


def test_a_sentence_from_a_table_or_a_quotation_reads_as_it_is_drawn():
    told = {"| **Together** | | **€ 283.00** |": "Together · € 283.00", "> ## Dear Ms Brandt": "Dear Ms Brandt"}
    assert {quote: remembered.without_marks(quote) for quote in told} == told


class TestRemembered:
    def add(self, client: Client, session: ChatSession, value: str) -> str:
        return client.post(path(session, "remembered/"), {"value": value}, **HX).content.decode()

    def test_empty_it_says_what_will_stand_there(self, client: Client, session: ChatSession) -> None:
        html = client.get(path(session, "remembered/"), **HX).content.decode()
        assert "Nothing yet." in html
        assert "None. The pin under a turn" in html

    def test_a_fact_is_added_corrected_and_forgotten(self, client: Client, session: ChatSession) -> None:
        html = self.add(client, session, "Lena prefers repair")
        assert "Lena prefers repair" in html
        assert "you said so" in html
        assert "sent with every message" in html
        assert '<span class="num" id="remembered-count" hx-swap-oob="true">1</span>' in html
        one = Fact.objects.get()
        html = client.post(
            path(session, f"remembered/{one.pk}/"), {"value": "Lena wants repair"}, **HX
        ).content.decode()
        assert "corrected, before: Lena prefers repair" in html
        new = Fact.objects.latest("pk")
        html = client.post(path(session, f"remembered/{new.pk}/forget/"), **HX).content.decode()
        assert "Nothing yet." in html
        assert client.post(path(session, "remembered/999/forget/"), **HX).status_code == 404

    @pytest.mark.parametrize(
        ("number", "change", "state"),
        [
            (2, {}, "sent with every message"),
            (12, {}, "its turn is sent word for word"),
            (2, {"excluded_by": "operator"}, "not sent: its turn is left out"),
        ],
    )
    def test_each_says_where_it_came_from_and_how_it_is_sent(
        self, client: Client, session: ChatSession, number: int, change: dict, state: str
    ) -> None:
        source = turn(session, number)
        Fact.objects.create(session=session, kind="id", value="A-7731", quote="The order is A-7731.", turn=source)
        Turn.objects.filter(pk=source.pk).update(**change)
        html = client.get(path(session, "remembered/"), **HX).content.decode()
        assert "The order is A-7731." in html
        assert f"#turn-{source.pk}" in html
        assert state in html

    def test_what_finds_no_room_says_so(self, client: Client, session: ChatSession) -> None:
        Fact.objects.bulk_create(
            Fact(session=session, kind="id", value=f"A-{n} " + "word " * 60, turn=turn(session, 2)) for n in range(9)
        )
        html = client.get(path(session, "remembered/"), **HX).content.decode()
        assert 0 < html.count("not sent: no room") < 9
        said = self.add(client, session, "word " * 99)
        assert Fact.objects.filter(made_by="user").exists()
        assert "There is no room for this" not in said
        for n in range(9):
            said = self.add(client, session, f"{n} " + "word " * 99)
        assert "There is no room for this: what you told would hold" in said

    def test_pinned_turns_stand_there_with_their_cost(self, client: Client, session: ChatSession) -> None:
        one = turn(session, 3)
        client.post(path(session, f"turns/{one.pk}/pin/"), {"pinned": "1"})
        html = client.get(path(session, "remembered/"), **HX).content.decode()
        assert re.search(r"Pinned turns <small[^>]*>100 of [\d.]+", html)
        assert "Question 3." in html
        html = client.post(path(session, f"remembered/turns/{one.pk}/"), **HX).content.decode()
        assert "Question 3." not in html
        assert facts.count(session.pk) == 0


def test_the_menu_of_a_turn_leaves_it_out_and_takes_it_back(client: Client, session: ChatSession) -> None:
    address = path(session, f"turns/{turn(session, 12).pk}/menu/")
    assert "Leave out" in client.get(address, **HX).content.decode()
    client.post(path(session, f"turns/{turn(session, 12).pk}/exclude/"), {"excluded": "1"})
    assert "Include again" in client.get(address, **HX).content.decode()
