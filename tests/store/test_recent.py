"""The cache of windows: exactly what was put under exactly its name, and never an error."""

import json
from collections.abc import Iterator

import pytest
from redis import Redis

from chat.store.recent import Key, Window
from chat.store.rediswindows import RedisRecent
from tests import redis
from tests.postgres import free_port

KEY = Key("5e55", 7, 41, 400, 16_000)
WINDOW = Window(
    turns=[[41, 3, "Wo ist A-7731? 🙂", "Unterwegs.", 9, 4, None, "", 1, 130]],
    marked=0,
    steps={41: [["tool_use", "{}", "c1", "find", 5, False]]},
    excluded=[[1, "user"]],
    summaries=[[1, 1, 2, "Before.", 3, 1]],
    facts=[[1, "id", "A-7731", "my number is A-7731", 1, False, 0, None]],
    documents=[[3, "order.csv", "number,state", 12, 7, 2]],
)


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Server]:
    with redis.server() as running:
        yield running


@pytest.fixture
def cache(server: redis.Server) -> Iterator[RedisRecent]:
    server.command("FLUSHALL")
    made = RedisRecent(server.url())
    yield made
    made.close()


def test_what_was_put_comes_back_in_every_process(cache: RedisRecent, server: redis.Server) -> None:
    cache.put(KEY, WINDOW)
    other = RedisRecent(server.url())
    assert other.get(KEY) == WINDOW
    assert (other.hits, other.misses) == (1, 0)
    other.close()


@pytest.mark.parametrize("field", ["session", "version", "head", "turns", "tokens"])
def test_another_name_is_a_miss(cache: RedisRecent, field: str) -> None:
    cache.put(KEY, WINDOW)
    assert cache.get(KEY._replace(**{field: "5e56" if field == "session" else 8})) is None
    assert cache.misses == 1


def test_a_session_has_one_window(cache: RedisRecent) -> None:
    cache.put(KEY, WINDOW)
    cache.put(KEY._replace(head=42), WINDOW)
    assert cache.get(KEY) is None
    assert cache.get(KEY._replace(head=42)) == WINDOW


def test_it_lives_ten_minutes_and_no_longer(cache: RedisRecent, server: redis.Server) -> None:
    cache.put(KEY, WINDOW)
    left = int(server.command("TTL", "chat:window:5e55").strip().lstrip(":"))
    assert 590 <= left <= 600


def test_what_is_forgotten_is_gone(cache: RedisRecent, server: redis.Server) -> None:
    cache.put(KEY, WINDOW)
    cache.forget("5e55")
    assert cache.get(KEY) is None
    assert server.command("DBSIZE").strip() == ":0"


def test_what_somebody_else_wrote_there_is_a_miss(cache: RedisRecent, server: redis.Server) -> None:
    for wrong in ("", "{}", "[1, 2]", json.dumps({"turns": 1})):
        cache.put(KEY, WINDOW)
        Redis.from_url(server.url()).hset("chat:window:5e55", "window", wrong)
        assert cache.get(KEY) is None


def test_a_server_that_is_not_there_costs_a_miss_and_then_rests() -> None:
    cache = RedisRecent(f"redis://127.0.0.1:{free_port()}/0")
    cache.put(KEY, WINDOW)
    assert cache.get(KEY) is None
    assert cache.resting
    cache.close()


def test_a_turn_more_needs_no_database_until_an_older_one_would_leave() -> None:
    row = (42, 4, "And now?", "There.", 3, 2, None, "", 0, 135)
    longer = WINDOW.followed_by(row, [], KEY._replace(head=42), 135)
    assert longer is not None
    assert longer.turns == [*WINDOW.turns, row]
    assert longer.steps == WINDOW.steps
    assert WINDOW.followed_by(row, [], KEY._replace(turns=1), 135) is None
    assert WINDOW.followed_by(row, [], KEY._replace(tokens=5), 135) is None
    assert len(WINDOW.turns) == 1, "the window before is left as it was"
