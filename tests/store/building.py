"""Conversations for the tests of the store and the flow: rows as a run would have left them."""

import uuid
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from chat.models import ChatSession, Summary, Turn
from chat.store import branches, coverage, purging, sessions, summaries
from chat.store.summaries import Made

ROOM = 1_000_000
USAGE = {"input": 20, "cache_read": 50, "cache_write": 30, "output": 40}


def conversation(owner: Any, turns: int = 0, *, tokens: int = 100, words: str = "", **values: Any) -> ChatSession:
    """A session of `turns` finished turns of `tokens` tokens each. `words` are added to every prompt and reply."""
    session = sessions.create(owner, **values)
    if turns:
        extend(session, turns, tokens=tokens, words=words)
    return reread(session)


def extend(session: ChatSession, turns: int, *, tokens: int = 100, words: str = "") -> list[Turn]:
    """More finished turns below the head, as many runs would have closed them."""
    session = reread(session)
    head = session.head
    start, upto = (head.number, head.tokens_upto) if head else (0, 0)
    made: list[Turn] = []
    now = timezone.now()
    # Ids in advance, so that parents are known in one insert; far from those that the database hands out.
    row = (Turn.objects.aggregate(last=Max("pk"))["last"] or 0) + ROOM
    for number in range(start + 1, start + turns + 1):
        prompt, reply = f"Question {number}. {words}", f"Answer {number}. {words}"
        upto += tokens
        made.append(
            Turn(
                id=row + number,
                session=session,
                number=number,
                parent_id=made[-1].pk if made else (head.pk if head else None),
                prompt=prompt,
                reply=reply,
                status=Turn.Status.COMPLETE,
                stop_reason="end_turn",
                usage=USAGE,
                prompt_tokens=tokens - tokens // 2,
                reply_tokens=tokens // 2,
                tokens_upto=upto,
                digest=coverage.turn_digest(prompt, reply, []),
                closed_at=now,
            )
        )
    Turn.objects.bulk_create(made, batch_size=200)
    ChatSession.objects.filter(pk=session.pk).update(
        head=made[-1],
        turns_active=start + turns,
        turns_total=session.turns_total + turns,
        open_tokens=session.open_tokens + turns * tokens,
        input_tokens=session.input_tokens + turns * 100,
        output_tokens=session.output_tokens + turns * 40,
    )
    return made


def reread(session: ChatSession) -> ChatSession:
    """The row as it is now."""
    return ChatSession.objects.select_related("head").get(pk=session.pk)


def turn(session: ChatSession, number: int) -> Turn:
    """The active turn of this number."""
    return Turn.objects.get(session=session, number=number, active=True)


def numbers(session: ChatSession) -> list[int]:
    """The numbers of the active path."""
    return list(Turn.objects.path(session.pk).values_list("number", flat=True))


def draft(session: ChatSession, first: int, last: int, *, tier: int = 1, tokens: int = 40) -> Summary:
    """A summary that was made, not yet committed."""
    made = summaries.save(
        session.pk,
        first,
        last,
        coverage.source_hash(session.pk, first, last),
        tier=tier,
        source_tokens=coverage.range_tokens(session.pk, first, last),
        made=Made(text=f"Turns {first} to {last}.", tokens=tokens, model="small", made_by="model", gate={}),
    )
    assert made is not None
    return made


def compress(session: ChatSession, *ranges: tuple[int, int]) -> list[Summary]:
    """One commit of summaries over `ranges`, after which the window starts behind the last of them."""
    made = [draft(session, first, last) for first, last in ranges]
    assert summaries.commit(session.pk, [one.pk for one in made], window_from=ranges[-1][1] + 1)
    return made


def merge(session: ChatSession, first: int, last: int, *, tier: int = 2) -> Summary:
    """One summary in place of those within first..last."""
    made = draft(session, first, last, tier=tier)
    assert summaries.commit(session.pk, [made.pk], window_from=0, merge=True)
    return made


def active(session: ChatSession) -> list[tuple[int, int, int]]:
    """The active summaries as (first, last, tier)."""
    rows = Summary.objects.filter(session=session, state=Summary.State.ACTIVE).order_by("first")
    return list(rows.values_list("first", "last", "tier"))


def fork(session: ChatSession, number: int, prompt: str = "Something else.") -> Turn:
    """A finished sibling of turn `number`: an edit, and its answer."""
    with transaction.atomic():
        row = branches.locked(session.pk)
        of = Turn.objects.select_related("parent").get(session=session, number=number, active=True)
        made = branches.sibling(row, of, prompt=prompt, client_id=uuid.uuid4(), tokens=10)
    finish(made)
    return made


def finish(made: Turn) -> None:
    """End a queued turn as if it had been stopped before any answer."""
    with transaction.atomic():
        branches.locked(made.session_id)
        assert branches.stop_queued(made.pk)


def purged(undo_s: float) -> list[uuid.UUID]:
    """What was deleted over `undo_s` seconds ago, removed step by step: the sessions that are gone."""
    gone = []
    while step := purging.purge(undo_s):
        if step.gone:
            gone.append(step.session)
    return gone
