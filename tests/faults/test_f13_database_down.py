"""PostgreSQL restarted, and away for a minute, while answers are being written."""

import asyncio
import time
from typing import Any

import psycopg
import pytest

from tests.faults.harness import Page, eventually, measured
from tests.faults.harness.measured import SCHEDULING_S

pytestmark = pytest.mark.timeout(240)


def refused(own: Any) -> bool:
    """Whether the database takes no connection."""
    try:
        psycopg.connect(own.database.direct, connect_timeout=2).close()
    except psycopg.OperationalError:
        return True
    return False


def nothing_went_wrong(own: Any, opened: list[Page], calls: list[Any]) -> None:
    """No error reached anybody, everything finished is stored, nothing twice."""
    history = opened[0].history
    assert history.of("error") == []
    assert [page.close_codes for page in opened[:20]] == [[]] * 20, "nobody who reads along is disconnected"
    assert own.statuses() == {"complete": len(calls)}
    for page, call in zip(opened, calls, strict=True):
        row = own.turn(call.turn)
        assert row["reply"] == page.replies[call.turn].text
        assert page.replies[call.turn].done["status"] == "complete"
    assert history.judge(own.rows("SELECT client_id, session_id, prompt FROM chat_turn")) == []
    assert own.broken_invariants() == ""


async def test_f13_a_restart_of_the_database_is_not_seen_by_twenty_who_read_along(
    site, pages, upstream, redis, postgresql
):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    upstream.settings(delay_ms=100)
    opened = await pages(own, web.url, 20)
    calls = [await page.send(f"Write 250 words about island {n}") for n, page in enumerate(opened)]
    await asyncio.gather(*(page.text(call.turn) for page, call in zip(opened, calls, strict=True)))
    stopped = time.monotonic()
    await asyncio.to_thread(postgresql.stop)
    assert await asyncio.to_thread(refused, own)
    await asyncio.to_thread(postgresql.start)
    for page, call in zip(opened, calls, strict=True):
        await page.done(call.turn, 60)
    worst = max(
        max(page.history.gaps(page.session, call.turn, stopped, stopped + 5))
        for page, call in zip(opened, calls, strict=True)
    )
    measured("F13", "PostgreSQL restarted while 20 stream: longest gap between two pieces", worst, "s")
    assert worst <= 1.5 + SCHEDULING_S
    nothing_went_wrong(own, opened, calls)


async def test_f14_a_minute_without_the_database_loses_nothing_and_shows_no_error(
    site, pages, upstream, redis, postgresql
):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    upstream.settings(delay_ms=180)
    opened = await pages(own, web.url, 21)
    writer = opened[20]
    # Half of them end while the database is away, half after it is back.
    calls = [
        await page.send(f"Write {250 if n < 10 else 1200} words about island {n}") for n, page in enumerate(opened[:20])
    ]
    await asyncio.gather(*(page.text(call.turn) for page, call in zip(opened, calls, strict=False)))
    stopped = time.monotonic()
    await asyncio.to_thread(postgresql.stop)
    assert await asyncio.to_thread(refused, own)
    late = writer.post("Write 20 words about patience")
    await eventually(
        lambda: all(record["outcome"] == "sent" for record in upstream.calls("Write 250 words about island")),
        45,
        "ten answers to end while the database is away",
    )
    await asyncio.sleep(max(0.0, stopped + 60 - time.monotonic()))
    assert late.outcome == "unknown", "nobody could have stored it"
    assert await asyncio.to_thread(refused, own)
    await asyncio.to_thread(postgresql.start)
    back = time.monotonic()
    worst = max(
        max(page.history.gaps(page.session, call.turn, stopped, back))
        for page, call in zip(opened[10:20], calls[10:], strict=True)
    )
    await writer.until(lambda: late.outcome == "ok", 30, "the late message to be stored")
    took = time.monotonic() - back
    for page, call in zip(opened, [*calls, late], strict=True):
        await page.done(call.turn, 60)
    stored = max(page.replies[call.turn].done_at - back for page, call in zip(opened[:10], calls[:10], strict=True))
    measured("F14", "PostgreSQL away for 60 s while 20 stream: longest gap between two pieces", worst, "s")
    measured("F14", "answers that ended meanwhile: all stored after its return within", stored, "s")
    measured("F14", "a message sent meanwhile: stored, once, after its return within", took, "s")
    assert worst <= 1.5 + SCHEDULING_S
    nothing_went_wrong(own, opened, [*calls, late])
