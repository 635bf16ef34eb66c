"""Conversations to look at: rows as a runner would have left them."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from chat.models import ChatSession, Manifest, Notice, Summary, Turn
from chat.store import branches, sessions
from chat.stream import rendering

SUMMARY = """Previously in this conversation: Lena asks about her order.
## Goal and situation
Her Corvo Duo loses pressure; she wants a repair.
## Decisions and why
- The kit first, because the **valve** leaks.
## Commitments and open questions
- none
## Exact values
- A-7731, Corvo Duo: "the order A-7731, a Corvo Duo"
- EUR 1,849.00: "she paid EUR 1,849.00"
## Artefacts
- none
## Lookup hints
valve, courier"""


def add_turn(session: ChatSession, prompt: str = "Hello?", reply: str = "Hello.", **values: Any) -> Turn:
    """A finished turn at the end of the conversation; `values` are fields of the row.

    One transaction: a service that runs already must not find it waiting and answer it.
    """
    with transaction.atomic():
        return _add_turn(session, prompt, reply, values)


def _add_turn(session: ChatSession, prompt: str, reply: str, values: dict[str, Any]) -> Turn:
    session.refresh_from_db()
    turn = branches.new_turn(session, prompt=prompt, client_id=uuid.uuid4(), tokens=10)
    values.setdefault("status", Turn.Status.COMPLETE)
    if values["status"] not in Turn.LIVE:
        values = {"stop_reason": "end_turn", "usage": {"input": 1, "output": 1}, "closed_at": Now()} | values
    values = {
        "reply": reply,
        "reply_html": rendering.render(reply).html,
        "html_version": rendering.RENDERER_VERSION,
        "reply_tokens": 10,
        "tokens_upto": turn.number * 20,
    } | values
    Turn.objects.filter(pk=turn.pk).update(**values)
    session.refresh_from_db()
    turn.refresh_from_db()
    return turn


@pytest.fixture
def make_session(alice: Any) -> Callable[..., ChatSession]:
    """A conversation of alice's, with so many finished turns."""

    def make(turns: int = 0, owner: Any = None, **values: Any) -> ChatSession:
        session = sessions.create(owner or alice, **({"title": "About A-7731"} | values))
        for number in range(1, turns + 1):
            add_turn(session, f"Question {number}?", f"Answer **{number}**.")
        return session

    return make


@pytest.fixture
def compressed(make_session: Callable[..., ChatSession]) -> ChatSession:
    """A conversation of six turns, the first four of which are compressed."""
    session = make_session(6)
    until = Turn.objects.get(session=session, number=4)
    summary = Summary.objects.create(
        session=session,
        first=1,
        last=4,
        until=until,
        state=Summary.State.ACTIVE,
        text=SUMMARY,
        tokens=30,
        source_tokens=80,
        source_hash="a",
        input_hash="b",
        model="claude-haiku-4-5-20251001",
    )
    Notice.objects.create(
        session=session,
        kind=Notice.Kind.COMPRESSED,
        first=1,
        last=4,
        until=until,
        summary=summary,
        tokens_before=8_000,
        tokens_after=300,
        model="claude-haiku-4-5-20251001",
    )
    ChatSession.objects.filter(pk=session.pk).update(window_from=5, compactions=1)
    session.refresh_from_db()
    add_manifest(session)
    return session


def add_manifest(session: ChatSession, *, window: int = 16_000, measured: int | None = 5_000) -> Manifest:
    """What the newest turn's request was made of."""
    used = {"system": 60, "summaries": 30, "history": 4_000, "current": 500}
    return Manifest.objects.create(
        turn=Turn.objects.filter(session=session, active=True).order_by("-number").first(),
        context_version=session.context_version,
        model=session.model,
        window=window,
        window_from=session.window_from,
        ranges=[[1, session.turns_active, "verbatim", "", 0]],
        parts=[],
        budget=[[name, 9_999, tokens, tokens] for name, tokens in used.items()],
        estimated=4_590,
        measured=measured,
        body_sha256="0" * 64,
    )
