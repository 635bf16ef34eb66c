"""An afternoon with a cause behind each of the eight questions that an operator asks; or the same one without any.

It is 14:40 UTC, Sunday 22 November 2026. Each cause can be left out by its name.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from monitoring import recording

NOW = datetime(2026, 11, 22, 14, 40, 30, tzinfo=UTC)
CAUSES = ("full", "saved", "cache", "fills", "summariser", "costs", "overflow", "forgot")

FULL = UUID("f0110000-0000-4000-8000-000000000001")
FILLED = UUID("f1110000-0000-4000-8000-000000000002")
FORGETFUL = UUID("f0490000-0000-4000-8000-000000000003")
LOST = UUID("10570000-0000-4000-8000-000000000004")
DEAR = 44
"""The user who costs most."""


def call(session: UUID, number: int | None, ago: timedelta, **given: Any) -> None:
    """An ordinary reply `ago` before NOW: 20,000 tokens of 200,000, nearly all out of the cache."""
    values: dict[str, Any] = {
        "call": uuid4(),
        "session": session,
        "user": 7,
        "turn": None,
        "number": number,
        "purpose": "reply",
        "model": "claude-opus-4-6",
        "strategy": "summary",
        "window": 200_000,
        "input": 500,
        "cache_read": 19_000,
        "cache_write": 500,
        "output": 400,
        "components": {"system": 3_000, "history": 16_500, "current": 500},
        "estimate": 20_400,
        "first_ms": 700,
        "total_ms": 4_000,
        "stop_reason": "end_turn",
        "outcome": "ok",
        "miss_cause": "",
        "compacts_at": 104_000,
        "reserve": 16_000,
        "at": NOW - ago,
    }
    recording.record_call(**values | given)


def event(session: UUID, number: int, ago: timedelta, kind: str = "compaction", **given: Any) -> None:
    """An event `ago` before NOW; by default a compaction that took effect."""
    values: dict[str, Any] = {
        "session": session,
        "user": 7,
        "kind": kind,
        "number": number,
        "model": "claude-haiku-4-5-20251001",
        "tokens_before": 60_000,
        "tokens_after": 2_000,
        "seconds": 4.0,
        "outcome": "ok",
        "code": "summary",
        "at": NOW - ago,
    }
    recording.record_event(**values | given)


def afternoon(without: Collection[str] = ()) -> None:
    """Everything that happened, except the causes named."""
    minute = timedelta(minutes=1)
    causes = set(CAUSES) - set(without)
    calm = uuid4()
    for index in range(14):
        broken = "cache" in causes and index == 7  # 14:05 and the minutes after it
        ago = (70 - index * 5) * minute - 10 * timedelta(seconds=1)
        found = {"cache_read": 2_000, "cache_write": 17_500, "miss_cause": "system"} if broken else {}
        call(calm, index + 1, ago, **found)
    if "full" in causes:
        call(FULL, 1, 50 * minute, cache_read=159_000)
        call(FULL, 2, 40 * minute, cache_read=163_000)
    # As much as before either way, so that nothing but its parts tells the two apart.
    parts = {"documents": 50_000, "history": 7_000} if "fills" in causes else {"history": 57_000}
    call(FILLED, 1, 30 * minute, cache_read=57_000, cache_write=2_500, components={"system": 3_000} | parts)
    if "saved" in causes:
        # 100,000 tokens not read from the cache at $0.50 a million: 5 cents; the summary cost 1.2 cents.
        call(calm, 20, 4 * minute, spared=100_000)
        call(calm, None, 5 * minute, purpose="summary", model="claude-haiku-4-5-20251001", input=2_000, cache_read=0,
             cache_write=0, output=2_000, components={})  # fmt: skip
    if "summariser" in causes:
        for index in range(3):
            call(calm, None, (20 - index) * minute, purpose="summary", model="claude-haiku-4-5-20251001",
                 input=0, cache_read=0, cache_write=0, output=0, components={}, outcome="overloaded")  # fmt: skip
    if "costs" in causes:
        call(uuid4(), 1, 15 * minute, user=DEAR, input=0, cache_read=0, cache_write=0, output=40_000)
    if "overflow" in causes:
        for session, reply in ((LOST, "context_overflow"), (calm, "ok")):
            event(session, 9, 660 * minute, "rung", tokens_before=210_000, tokens_after=140_000, code="drop_recall")
            call(session, 9, 659 * minute, outcome=reply, **({} if reply == "ok" else _NOTHING))
    call(FORGETFUL, 12, 61 * minute)
    call(FORGETFUL, 24, 26 * minute)
    if "forgot" in causes:
        event(FORGETFUL, 20, 45 * minute)


_NOTHING = {"input": 0, "cache_read": 0, "cache_write": 0, "output": 0, "first_ms": None}
