"""A day of a site as numbers, for pictures: sessions that grow and are compressed, one hour in which the system prompt
changed and requests overflowed, one strategy that fails. The same every time, up to this minute."""

import random
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from monitoring import recording

SEED = 847
SESSIONS = 45
PICTURED = UUID("2b71f4aa-0000-4000-8000-000000000847")
WINDOW, DUE, RESERVE = 200_000, 104_000, 16_000
SUMMARISER = "claude-haiku-4-5-20251001"


@transaction.atomic
def record() -> None:
    """Record it. About a thousand calls."""
    dice, now = random.Random(SEED), timezone.now()
    for index in range(SESSIONS):
        _session(dice, now, index)


def _session(dice: random.Random, now: datetime, index: int) -> None:
    session = UUID(int=dice.getrandbits(128), version=4) if index else PICTURED
    user, fails = dice.choice((1, 2, 3, 7, 12, 44)), index == 1
    model = "claude-opus-4-6" if index % 4 else "claude-sonnet-4-6"
    at, tokens, spared = now - timedelta(hours=24 * dice.random() if index else 7), 3_000, 0
    turns, grows = (46, 6_000) if not index else (dice.randint(8, 40), dice.choice((1_500, 3_000, 5_200)))
    for number in range(1, turns + 1):
        at += timedelta(minutes=dice.choice((2, 4, 7)) if index else 9)
        if at > now:
            return
        tokens += int(dice.expovariate(1 / grows)) + 300
        cause = ""
        if tokens > DUE and not fails:
            before, tokens = tokens - 30_000, 34_000
            spared += before - 3_000
            cause = "compaction"
            _event(session, user, number - 1, at - timedelta(seconds=20), tokens=(before, 3_000), seconds=4.0)
            _call(session, user, at - timedelta(seconds=22), SUMMARISER, purpose="summary", input=before, output=2_400)
        hours = (now - at).total_seconds() / 3_600
        if 2.0 < hours < 2.4 and dice.random() < 0.9:
            cause = "system"
        if 6.5 < hours < 7.0 and dice.random() < 0.15:
            event = {"kind": "rung", "code": "drop_recall", "tokens": (tokens * 2, tokens)}
            _event(session, user, number, at - timedelta(seconds=4), **event)
        read = 0 if number == 1 or cause == "system" else int(tokens * (0.3 if cause else 0.93))
        _call(
            session, user, at, model, number=number, input=200, cache_read=read, cache_write=tokens - read - 200,
            output=int(dice.expovariate(1 / 600)) + 80, miss_cause=cause, spared=spared,
            components=_parts(tokens, index, number, spared), estimate=int(tokens * dice.gauss(1, 0.03)),
            first_ms=int(dice.gauss(2_100 if not read else 640, 90)), total_ms=int(dice.gauss(11_000, 2_500)),
            strategy="sliding_window" if fails else "summary",
            outcome="overloaded" if dice.random() < 0.004 else "ok",
            system_digest="ab12cd34ef567890" if not 2.0 < hours < 2.4 else "ff12cd34ef567890",
        )  # fmt: skip


def _parts(tokens: int, index: int, number: int, spared: int) -> dict[str, int]:
    parts = {"system": 3_000, "facts": 900, "current": 500, "summaries": 3_000 if spared else 0}
    parts |= {"documents": 9_000 if index % 3 == 0 else 0, "recall": 2_000 if number > 20 else 0}
    return parts | {"history": max(800, tokens - sum(parts.values()))}


def _call(session: UUID, user: int, at: datetime, model: str, **given: object) -> None:
    values = {
        "call": uuid4(), "turn": None, "number": None, "purpose": "reply", "strategy": "summary", "window": WINDOW,
        "input": 0, "cache_read": 0, "cache_write": 0, "output": 0, "components": {}, "estimate": None,
        "first_ms": 900, "total_ms": 9_000, "stop_reason": "end_turn", "outcome": "ok", "compacts_at": DUE,
        "reserve": RESERVE,
    }  # fmt: skip
    recording.record_call(session=session, user=user, at=at, model=model, **values | given)


def _event(session: UUID, user: int, number: int, at: datetime, **given: object) -> None:
    values = {"kind": "compaction", "code": "summary", "seconds": None, "tokens": (0, 0)} | given
    before, after = values.pop("tokens")
    recording.record_event(
        session=session, user=user, number=number, at=at, model=SUMMARISER, tokens_before=before, tokens_after=after,
        outcome="ok", **values,
    )  # fmt: skip
