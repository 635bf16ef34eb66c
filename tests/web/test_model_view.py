"""What the model sees, as a page: for its owner alone, with or without script, and honest about what it can't tell."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from chat.context import rebuilding, recipes
from chat.context.values import Part, body_sha256
from chat.models import ChatSession, Manifest, Turn
from chat.store import manifests
from tests.web.conftest import add_manifest, add_turn

pytestmark = pytest.mark.django_db

FRAME = {"ttl": "5m", "max_tokens": 512}


def recorded(turn: Turn) -> Manifest:
    """What closing a turn stores of the request that held all turns up to it."""
    session = turn.session
    text = session.instructions.text
    named = ("instructions", recipes.digest(text))
    parts = [Part("system", "system", "instructions", 50, True, recipes.check(text), named)]
    for one in Turn.objects.path(session.pk).filter(number__lt=turn.number):
        parts.append(Part("user", "history", f"turn {one.number}", 10, False, recipes.check(one.prompt), ()))
        last = one.number == turn.number - 1
        parts.append(Part("assistant", "history", f"turn {one.number}", 20, last, recipes.check(one.reply), ()))
    day = "2026-11-22"
    parts.append(Part("user", "current", "date", 9, False, recipes.check(f"Today is {day}."), ("date", day)))
    parts.append(Part("user", "current", f"turn {turn.number}", 11, False, recipes.check(turn.prompt), ()))
    row = Manifest.objects.create(
        turn=turn,
        context_version=0,
        model=session.model,
        window=16_000,
        window_from=1,
        ranges=[[1, turn.number, "verbatim", "", 30]],
        parts=[rebuilding.write_part(part) for part in parts],
        budget=[],
        frame=FRAME,
        estimated=70 + 30 * (turn.number - 1) + 8 + 5 * (2 * turn.number - 1),
        measured=400,
        body_sha256="",
        layout=Manifest.LAYOUT,
    )
    seen = manifests.read(turn)
    assert seen
    assert seen.rebuilt.body
    row.body_sha256 = body_sha256(seen.rebuilt.body)
    row.save()
    return row


@pytest.fixture
def talked(make_session: Callable[..., ChatSession]) -> ChatSession:
    """A conversation of four turns, each with its request."""
    session = make_session(4)
    for turn in Turn.objects.path(session.pk):
        recorded(turn)
    return session


def turn_of(session: ChatSession, number: int) -> Turn:
    return Turn.objects.get(session=session, number=number, active=True)


def address(session: ChatSession, number: int, name: str = "view") -> str:
    return reverse(f"chat:{name}", args=[session.pk, turn_of(session, number).pk])


def test_a_turn_is_shown_in_segments_that_add_up(client: Client, alice: Any, talked: ChatSession) -> None:
    client.force_login(alice)
    page = client.get(address(talked, 4)).content.decode()
    for words in ("What the model sees", "400 tokens", "4 of 4 turns", "byte for byte", "Instructions", "Turns 1–3",
                  "cache breakpoint 2", "the API counted 400"):  # fmt: skip
        assert words in page
    assert "~203" in page  # 50 + 3 x 30 + 9 + 11 of texts, 8 + 7 x 5 around them
    chosen = client.get(address(talked, 4) + "?segment=2").content.decode()
    assert "Answer **2**." in chosen
    assert "Go to turn 3" in chosen


def test_a_segment_is_fetched_alone_for_the_dialog(client: Client, alice: Any, talked: ChatSession) -> None:
    client.force_login(alice)
    htmx = {"HX-Request": "true"}
    whole = client.get(address(talked, 4), headers=htmx).content.decode()
    assert "<table" in whole
    assert "<html" not in whole
    part = client.get(
        address(talked, 4) + "?segment=1", headers=htmx | {"HX-Target": "model-view-preview"}
    ).content.decode()
    assert "<table" not in part
    assert talked.instructions.text[:30] in part


def test_two_turns_are_compared_down_to_the_tokens(client: Client, alice: Any, talked: ChatSession) -> None:
    client.force_login(alice)
    page = client.get(address(talked, 4) + "?with=3").content.decode()
    assert "since 3" in page
    assert "+40" in page  # one turn more, and two frames
    assert "the same bytes as in turn 3" in page
    back = client.get(address(talked, 3) + "?with=4").content.decode()
    assert "only in turn 4" in back
    assert "−40" in back
    assert "no stored request of turn 9" in client.get(address(talked, 4) + "?with=9").content.decode()


def test_the_body_is_the_one_that_was_sent_or_says_that_it_is_not(
    client: Client, alice: Any, talked: ChatSession
) -> None:
    client.force_login(alice)
    body = json.loads(client.get(address(talked, 4, "view-body")).content)
    assert body_sha256(body) == turn_of(talked, 4).manifest.body_sha256
    assert [one["role"] for one in body["messages"]] == ["user", "assistant"] * 3 + ["user"]
    Turn.objects.filter(session=talked, number=2).update(reply="Rewritten.")
    page = client.get(address(talked, 4)).content.decode()
    assert "not what was sent any more" in page
    assert "edited since" in page
    assert "byte for byte" not in page
    told = json.loads(client.get(address(talked, 4, "view-body")).content)
    assert told["verified"] is False
    assert told["differs"] == [{"role": "assistant", "part": "turn 2", "state": "changed"}]
    Turn.objects.filter(session=talked, number=2).update(redacted_at=talked.created_at)
    assert "erased since" in client.get(address(talked, 4)).content.decode()


def test_nobody_else_learns_that_it_is_there(client: Client, bob: Any, talked: ChatSession) -> None:
    client.force_login(bob)
    for name in ("view", "view-body"):
        theirs = client.get(address(talked, 4, name))
        assert theirs.status_code == 404
        missing = client.get(reverse(f"chat:{name}", args=["0" * 8 + "-0000-4000-8000-" + "0" * 12, 1]))
        assert (missing.status_code, missing.content) == (404, theirs.content)
    assert client.get(reverse("chat:view-newest", args=[talked.pk])).status_code == 404
    client.logout()
    assert client.get(address(talked, 4)).status_code == 302


def test_a_turn_of_another_conversation_is_not_shown_through_ones_own(
    client: Client, alice: Any, bob: Any, talked: ChatSession, make_session: Callable[..., ChatSession]
) -> None:
    theirs = make_session(1, owner=bob)
    client.force_login(alice)
    for name in ("view", "view-body"):
        assert client.get(reverse(f"chat:{name}", args=[talked.pk, turn_of(theirs, 1).pk])).status_code == 404


@pytest.mark.parametrize(
    ("status", "words"),
    [("queued", "nothing has been sent yet"), ("failed", "failed before anything was sent"),
     ("stopped", "stopped before anything was sent"), ("complete", "no request was stored with it")],
)  # fmt: skip
def test_a_turn_without_a_request_says_why(
    client: Client, alice: Any, make_session: Callable[..., ChatSession], status: str, words: str
) -> None:
    session = make_session(1)
    add_turn(session, "And now?", "", status=status, usage={"input": 1, "output": 1})
    client.force_login(alice)
    assert words in client.get(address(session, 2)).content.decode()
    assert client.get(address(session, 2, "view-body")).status_code == 404


def test_an_older_layout_is_shown_as_it_reads_now(
    client: Client, alice: Any, make_session: Callable[..., ChatSession]
) -> None:
    session = make_session(2)
    row = add_manifest(session)
    client.force_login(alice)
    assert "older layout" in client.get(address(session, 2)).content.decode()
    row.parts = [["system", "system", "instructions", 50, False], ["user", "current", "turn 2", 10, False]]
    row.save()
    page = client.get(address(session, 2)).content.decode()
    assert "Question 2?" in page
    assert "did not store how it was made" in page
    assert "byte for byte" not in page


def test_from_the_gauge_and_a_notice_it_opens_at_the_newest_request(
    client: Client, alice: Any, talked: ChatSession
) -> None:
    client.force_login(alice)
    add_turn(talked, "Waits.", "", status="queued")
    answer = client.get(reverse("chat:view-newest", args=[talked.pk]) + "?about=2", follow=True)
    assert answer.redirect_chain[-1][0] == address(talked, 4) + "?about=2"
    assert "Segment 2" in answer.content.decode()


def test_a_conversation_of_ten_thousand_turns_is_drawn_in_runs(
    client: Client, alice: Any, talked: ChatSession, django_assert_max_num_queries: Any
) -> None:
    Manifest.objects.filter(turn=turn_of(talked, 4)).update(
        ranges=[
            [1, 9_000, "summarised", "S1", 90],
            [9_001, 9_990, "omitted", "trimmed", 0],
            [9_991, 10_000, "verbatim", "", 30],
        ]
    )
    client.force_login(alice)
    with django_assert_max_num_queries(22):
        page = client.get(address(talked, 4) + "?with=3").content.decode()
    assert page.count("<rect") < 40
    assert "10,000 of 10,000 turns" in page
    assert "990 left out" in page


def test_hostile_words_stay_words(client: Client, alice: Any, make_session: Callable[..., ChatSession]) -> None:
    session = make_session(0)
    turn = add_turn(session, "<script>alert(1)</script>", "</pre><img src=x onerror=alert(2)>")
    recorded(turn)
    client.force_login(alice)
    page = client.get(address(session, 1)).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
