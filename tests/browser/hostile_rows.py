"""Rows that a hostile hand left in every column that holds somebody's words. Run inside the site that shows them."""

import datetime
import hashlib
import json
import re
from typing import Any
from unittest import mock

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from chat.context.prompts import EXACT_HEADING, OPENING
from chat.models import ChatSession, Document, Fact, Preset, Thought, Turn
from chat.store import coverage, marks, sessions, sharing, summaries
from chat.store.summaries import Made
from chat.stream import rendering
from chat.surgery import memory
from tests.hostile import IMG, STRINGS, packed, shared_out
from tests.store.building import USAGE, extend, reread

TURNS, COVERED, THOUGHTS = 44, 36, 6
PASSWORD = "a long quiet river"
USERNAME = f'mallory"> {IMG}'
LONG_AGO = timezone.make_aware(datetime.datetime(2020, 1, 1))  # below everybody's rows, in the list of each owner

# PostgreSQL stores no NUL, and the door takes none in.
WORDS = [string.replace("\0", "\ufffd") for string in STRINGS]
PARTS = ["\n\n".join(part) for part in shared_out(WORDS, TURNS)]
TITLES, FILES, NAMES = packed(WORDS, 200), packed(WORDS, 200), packed(WORDS, 80)
FACTS, PEOPLE = packed(WORDS, 500), packed(WORDS, 150)
VALUES = [word for word in WORDS if len(word.splitlines()) == 1 and not re.search(r",|^`|`$|: \"", word)][:60]

UNSAFE = [
    IMG,
    "[a](javascript:canary(1))",
    "<p style='background:url(https://canary.example/p)'>x</p>",
    "<b hx-get=/canary>x</b>",
]
"""Harmful enough to be seen in three ways, and harmless to the page around it."""


def seed() -> None:
    """Everything, owned by one person; what a test has to know of it is printed as JSON."""
    names = {"first_name": f"<b>{IMG}", "last_name": "</title><script>canary(1)</script>"}
    owner = get_user_model().objects.create_superuser(USERNAME, f"{IMG}@canary.example", PASSWORD, **names)
    rows = titled(owner)
    titled(owner, archived_at=timezone.now())
    session = conversation(owner, rows[0])
    preset = Preset.objects.filter(owner=owner).earliest("pk")
    found = {
        "owner": owner.pk,
        "session": str(session.pk),
        "token": share(session),
        "preset": preset.pk,
        "thought": Thought.objects.filter(turn__session=session).earliest("pk").turn_id,
        "unsafe": str(unsafe(owner).pk),
    }
    people()
    print(json.dumps(found))


def conversation(owner: Any, origin: ChatSession) -> ChatSession:
    """Every string as prompt, reply, thought, file name, summary, fact and instructions of one conversation."""
    presets(owner)
    session = sessions.create(owner, title=TITLES[0], text="\n".join(WORDS), forked_from=origin)
    turns = extend(session, TURNS)
    for turn, part in zip(turns, PARTS, strict=True):
        turn.prompt = turn.reply = part
        turn.reply_html, turn.html_version = rendering.render(part).html, rendering.RENDERER_VERSION
        turn.digest = coverage.turn_digest(part, part, [])
    Turn.objects.bulk_update(turns, ["prompt", "reply", "reply_html", "html_version", "digest"])
    Document.objects.bulk_create(
        Document(
            session=session,
            turn=turns[at % TURNS],
            name=name,
            kind="text",
            text=name,
            digest=hashlib.sha256(name.encode()).hexdigest(),
            size=len(name),
            tokens=10,
        )
        for at, name in enumerate(FILES)
    )
    Fact.objects.bulk_create(
        Fact(session=session, kind="name", value=value, quote=value, turn=turns[-1]) for value in FACTS
    )
    Thought.objects.bulk_create(
        Thought(turn=turn, text="\n\n".join(part), tokens=10, seconds=2)
        for turn, part in zip(turns[-THOUGHTS:], shared_out(WORDS, THOUGHTS), strict=True)
    )
    summary(session)
    marks.pin(session.pk, turns[-1].pk, most=1_000_000)
    return reread(session)


def summary(session: ChatSession) -> None:
    """Commit one whose headings, text, values and model are all hostile."""
    sections = [f"## {' '.join(part.split())[:80]}\n{part}" for part in PARTS]
    values = "\n".join(f"- {value}" for value in VALUES)
    text = "\n".join([f"{OPENING} {WORDS[0]}", *sections, EXACT_HEADING, values])
    made = summaries.save(
        session.pk,
        1,
        COVERED,
        coverage.source_hash(session.pk, 1, COVERED),
        tier=1,
        source_tokens=coverage.range_tokens(session.pk, 1, COVERED),
        made=Made(text=other(text), tokens=200, model=IMG, made_by="model", gate={}),
    )
    assert made is not None
    assert summaries.commit(session.pk, [made.pk], window_from=COVERED + 1)
    memory.put_in_place(reread(session), made, Made(text=text, tokens=200, model=IMG, made_by="user", gate={}))


def other(text: str) -> str:
    """The version before: of three lines one is missing in it, one is another, one is the same."""
    lines = text.splitlines()
    return "\n".join(f"Not yet: {line}" if at % 3 else line for at, line in enumerate(lines) if at % 3 != 2)


def titled(owner: Any, **values: Any) -> list[ChatSession]:
    """A conversation of one turn for each title."""
    instructions = sessions.instructions("Answer.")
    totals = {"turns_active": 1, "turns_total": 1, "open_tokens": 100, "input_tokens": 100, "output_tokens": 40}
    rows = ChatSession.objects.bulk_create(
        ChatSession(
            owner=owner,
            title=title,
            instructions=instructions,
            model=settings.CHAT_MODEL,
            seen=1,
            updated_at=LONG_AGO,
            **totals,
            **values,
        )
        for title in TITLES
    )
    digest = coverage.turn_digest("Hello?", "Hello.", [])
    turns = Turn.objects.bulk_create(
        Turn(
            session=row,
            number=1,
            prompt="Hello?",
            reply="Hello.",
            status=Turn.Status.COMPLETE,
            stop_reason="end_turn",
            usage=USAGE,
            prompt_tokens=50,
            reply_tokens=50,
            tokens_upto=100,
            digest=digest,
            closed_at=LONG_AGO,
        )
        for row in rows
    )
    for row, turn in zip(rows, turns, strict=True):
        row.head = turn
    ChatSession.objects.bulk_update(rows, ["head"])
    return rows


def presets(owner: Any) -> None:
    """Instructions under every name."""
    row = sessions.instructions("\n".join(WORDS))
    Preset.objects.bulk_create(Preset(owner=owner, name=name, instructions=row) for name in dict.fromkeys(NAMES))


def people() -> None:
    """Users by every name: what the admin lists."""
    model = get_user_model()
    names = [PEOPLE[at : at + 3] for at in range(0, len(PEOPLE), 3)]
    model.objects.bulk_create(
        model(username=first, first_name=second, last_name=third, email="x@canary.example", is_active=False)
        for first, second, third in (three + [""] * (3 - len(three)) for three in names)
    )


def share(session: ChatSession) -> str:
    """The token of a link to all of it."""
    made = sharing.share(session)
    assert made is not None
    return made.token


def unsafe(owner: Any) -> ChatSession:
    """A conversation whose replies went through a renderer with two mistakes: it takes HTML, and nobody sanitises."""
    raw = rendering._make_markdown()
    raw.options["html"] = True
    raw.enable(["html_block", "html_inline"])
    session = sessions.create(owner, title="Unsafe", updated_at=LONG_AGO)
    (turn,) = extend(session, 1)
    with (
        mock.patch.object(raw, "validateLink", return_value=True),
        mock.patch.object(rendering, "_MARKDOWN", raw),
        mock.patch.object(rendering, "sanitise", str),
    ):
        html = rendering.render("\n\n".join(UNSAFE)).html
    Turn.objects.filter(pk=turn.pk).update(reply_html=html, html_version=rendering.RENDERER_VERSION)
    return session
