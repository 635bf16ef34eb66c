"""Messages a minute: counted in Redis for all processes, in memory where there is none that answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from chat.store import redisrates
from chat.store.quotas import Over
from chat.store.rates import Rates, Window
from chat.store.redisrates import RedisRates
from tests.redis import Server

ALICE, BOB = 1, 2


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def make(settings: Any) -> AsyncIterator[Any]:
    """`make(redis_url, most)` is what a process would make."""
    made: list[Rates] = []

    def new(redis_url: str = "", most: int = 3) -> Rates:
        settings.CHAT_MESSAGES_PER_MINUTE = most
        made.append(Rates(RedisRates(redis_url) if redis_url else None))
        return made[-1]

    yield new
    for one in made:
        await one.close()


def test_a_window_gives_so_many_in_any_minute() -> None:
    window = Window(60)
    assert [window.take(ALICE, 2, now) for now in (100, 110)] == [0, 0]
    assert window.take(ALICE, 2, 130) == 30
    assert window.take(BOB, 2, 130) == 0
    assert window.take(ALICE, 2, 160) == 0
    assert window.take(ALICE, 2, 161) == 9


def test_a_window_forgets_those_who_have_gone() -> None:
    window = Window(60)
    for who in range(100):
        window.take(who, 2, 100)
    window.take(BOB, 2, 161)
    assert len(window) == 1


async def test_one_message_too_many_is_told_when_to_come_back(make: Any) -> None:
    mine = make(most=2)
    assert [await mine.take(ALICE) for _ in range(2)] == [None, None]
    over = await mine.take(ALICE)
    assert isinstance(over, Over)
    assert over.reason == "messages"
    assert 50_000 < over.retry_after_ms <= 60_000
    assert await mine.take(BOB) is None


async def test_zero_is_no_limit(make: Any) -> None:
    mine = make(most=0)
    assert [await mine.take(ALICE) for _ in range(200)] == [None] * 200


async def test_two_processes_count_together_in_redis(make: Any, redis: Server) -> None:
    first, second = make(redis.url(), 3), make(redis.url(), 3)
    answers = await asyncio.gather(*(one.take(ALICE) for one in [first, second] * 10))
    assert answers.count(None) == 3
    over = await second.take(ALICE)
    assert 50_000 < over.retry_after_ms <= 60_000
    assert await first.take(BOB) is None


async def test_while_redis_is_down_each_process_counts_for_itself(
    make: Any, redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make(redis.url(), 2)
    redis.command("FLUSHALL")
    assert await mine.take(ALICE) is None
    redis.stop()
    assert [await mine.take(ALICE) for _ in range(2)] == [None, None]
    assert (await mine.take(ALICE)).reason == "messages"
    redis.start()
    assert (await mine.take(ALICE)).reason == "messages"
    monkeypatch.setattr(redisrates, "REST_S", 0.0)
    mine._shared._rests_until = time.monotonic()
    assert await mine.take(ALICE) is None
