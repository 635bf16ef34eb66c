"""Which process serves a turn makes no difference: neither to the bytes that are sent, nor to what is in a window."""

import asyncio
from typing import Any

from tests.faults.harness import measured

TURNS = 20


def message(number: int) -> str:
    """A message with a value to remember, and long enough for the cache to matter."""
    filler = " ".join(f"In case {number} the crew of harbour {number * at} waited for the tide." for at in range(1, 30))
    return f"Note {number}: the berth is B-{1000 + number * 37}. {filler}"


def requests(upstream: Any, since: int) -> list[str]:
    """The hashes of the requests for replies since then, over all their bytes."""
    return [call["sha256"] for call in upstream.calls(since=since)]


def found(redis: Any) -> int:
    """How often something was asked for in Redis and was there: only windows are asked for."""
    lines = redis.command("INFO", "stats").splitlines()
    return next(int(line.split(":")[1]) for line in lines if line.startswith("keyspace_hits"))


async def test_turns_served_alternately_by_two_processes_are_requested_in_the_same_bytes(
    site: Any, pages: Any, upstream: Any, redis: Any
) -> None:
    upstream.settings(delay_ms=0, first_ms=0)
    settings = {"context_window": 200_000, "tokens_per_day": 0, "spend_per_day": 0}

    alone = site("postgresql", redis=redis, **settings)
    since, before = len(upstream.log()), found(redis)
    (page,) = await pages(alone, alone.web().url)
    for number in range(TURNS):
        await page.send_and_read(message(number))
    expected = requests(upstream, since)
    hits = found(redis) - before
    alone.processes[0].kill()

    redis.flush()
    both = site("postgresql", redis=redis, **settings)
    first, second = both.web(start=False), both.web(start=False)
    await asyncio.to_thread(both.start, first, second)
    since = len(upstream.log())
    session = both.conversation()
    left, right = [(await pages(both, process.url, sessions=[session], jitter=0.1))[0] for process in (first, second)]
    for number in range(TURNS):
        if number == TURNS // 2:
            for process in (first, second):
                await asyncio.to_thread(process.kill)
            await asyncio.to_thread(both.start, first, second)
            await asyncio.gather(left.opened(), right.opened())
        await (left, right)[number % 2].send_and_read(message(number))
    got = requests(upstream, since)
    same = sum(one == two for one, two in zip(expected, got, strict=True))
    measured("P01", "requests of 20 turns by two processes in turn, restarted after 10: the same bytes", same, "of 20")
    measured("P01", "windows found in Redis by one process doing all 20", hits, "of 20")
    assert len(expected) == TURNS
    assert got == expected
    owners = both.rows("SELECT DISTINCT owner FROM chat_turn WHERE session_id = %s", session)
    assert len(owners) == 4, "each process had its share"
    assert hits >= TURNS - 2
    assert both.broken_invariants() == ""
