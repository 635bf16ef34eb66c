"""One slow database call holds up no other socket's text."""

import asyncio
import time

import psycopg
import pytest

from tests.faults.harness import measured, percentile

pytestmark = pytest.mark.timeout(120)

HELD_S = 2.0
ALLOWED_S = 0.050


async def test_a_database_call_of_two_seconds_delays_nobody_elses_text(site, pages, upstream, redis):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    upstream.settings(delay_ms=60)
    opened = await pages(own, web.url, 9)
    readers, writers = opened[:8], opened[8:9]
    calls = [await page.send(f"Write 2500 words about rivers {n}") for n, page in enumerate(readers)]
    await asyncio.gather(*(page.text(call.turn) for page, call in zip(readers, calls, strict=True)))
    await asyncio.sleep(1.0)
    async with await psycopg.AsyncConnection.connect(own.database.direct) as connection:
        await asyncio.sleep(1.0)
        quiet = time.monotonic()
        await asyncio.sleep(HELD_S)
        calm = time.monotonic() - 0.5
        for page in writers:
            await connection.execute("SELECT 1 FROM chat_chatsession WHERE id = %s FOR UPDATE", [page.session])
        held = time.monotonic()
        late = [page.post(f"Write 20 words about wells {n}") for n, page in enumerate(writers)]
        await asyncio.sleep(HELD_S)
        assert {call.outcome for call in late} == {"unknown"}, "the calls were held"
        await connection.rollback()
    freed = time.monotonic()
    assert [page.replies[call.turn].done for page, call in zip(readers, calls, strict=True)] == [None] * 8
    for page, call in zip(writers, late, strict=True):
        await page.until(lambda call=call: call.outcome == "ok", 20, "the held message")
    assert min(call.seconds for call in late) >= HELD_S
    before, during = [], []
    for page, call in zip(readers, calls, strict=True):
        before += page.history.gaps(page.session, call.turn, quiet, calm)
        during += page.history.gaps(page.session, call.turn, held, freed)
    worst, usual = percentile(during, 1.0), percentile(before, 1.0)
    measured("slow call", "a database call of 2 s: longest gap in eight others' text", worst * 1000, "ms")
    measured("slow call", "the same while nothing is slow", usual * 1000, "ms")
    assert worst <= max(usual, 0.060) + ALLOWED_S
