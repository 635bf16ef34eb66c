"""The bus: frames between processes as long as Redis is there, and nothing worse than silence while it is not."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from chat.stream import redisbus as buses
from chat.stream.bus import Bus, NoBus
from chat.stream.redisbus import RedisBus
from tests import redis
from tests.postgres import free_port

PATIENCE_S = 20.0


class Ear:
    """A receiver that writes down what it is told."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, list[Any]]] = []
        self.listens: list[str] = []
        self.unheard_on: list[str] = []
        self.states: list[bool] = []

    def received(self, channel: str, frame: list[Any]) -> None:
        self.frames.append((channel, frame))

    def listening(self, channel: str) -> None:
        self.listens.append(channel)

    def unheard(self, channel: str) -> None:
        self.unheard_on.append(channel)

    def changed(self, up: bool) -> None:
        self.states.append(up)


async def until(holds: Callable[[], Any]) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not holds():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


@pytest.fixture
def own_redis() -> Iterator[redis.Server]:
    """A server that a test may stop."""
    with redis.server() as server:
        yield server


Join = Callable[[str], Awaitable[tuple[RedisBus, Ear]]]


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """Makes a bus that is up, and its ear."""
    made: list[RedisBus] = []

    async def one(url: str) -> tuple[RedisBus, Ear]:
        bus, ear = RedisBus(url), Ear()
        made.append(bus)
        bus.start(ear)
        await until(lambda: bus.up)
        return bus, ear

    yield one
    for bus in made:
        await bus.stop()


async def test_a_frame_reaches_who_listens_and_nobody_else(redis_server: redis.Server, join: Join) -> None:
    a, own = await join(redis_server.url())
    b, near = await join(redis_server.url())
    c, far = await join(redis_server.url())
    for bus in (a, b):
        bus.listen("s:1")
    c.listen("s:2")
    await until(lambda: near.listens and own.listens and far.listens)
    frame = ["text", 7, 1, 0, "Grüße 👩‍🚀 \ud800 \u0000"]
    a.send("s:1", frame)
    await until(lambda: near.frames)
    assert near.frames == [("s:1", frame)]
    await asyncio.sleep(0.02)
    assert own.frames == far.frames == []


async def test_frames_of_one_sender_keep_their_order_over_channels(redis_server: redis.Server, join: Join) -> None:
    a, _ = await join(redis_server.url())
    b, ear = await join(redis_server.url())
    for channel in ("s:1", "t:1"):
        b.listen(channel)
    await until(lambda: len(ear.listens) == 2)
    for number in range(1_000):
        a.send("st"[number % 2] + ":1", ["text", number])
    await until(lambda: len(ear.frames) == 1_000)
    assert [frame[1] for _, frame in ear.frames] == list(range(1_000))


async def test_who_left_hears_no_more_and_the_sender_is_told(redis_server: redis.Server, join: Join) -> None:
    a, own = await join(redis_server.url())
    b, ear = await join(redis_server.url())
    b.listen("t:1")
    await until(lambda: ear.listens)
    a.send("t:1", ["one"])
    await until(lambda: ear.frames)
    assert own.unheard_on == []
    b.leave("t:1")
    await until(lambda: "t:1" not in redis_server.command("PUBSUB", "CHANNELS"))
    a.send("t:1", ["two"])
    await until(lambda: own.unheard_on)
    assert own.unheard_on == ["t:1"]
    assert ear.frames == [("t:1", ["one"])]


async def test_after_a_restart_of_redis_everything_is_listened_to_again(own_redis: redis.Server, join: Join) -> None:
    a, own = await join(own_redis.url())
    b, ear = await join(own_redis.url())
    for number in range(600):
        b.listen(f"s:{number}")
    await until(lambda: len(ear.listens) == 600)
    own_redis.stop()
    await until(lambda: not a.up and not b.up)
    a.send("s:5", ["nobody hears this"])
    own_redis.start()
    await until(lambda: a.up and b.up and len(ear.listens) == 1_200)
    a.send("s:5", ["again"])
    await until(lambda: ear.frames)
    assert ear.frames == [("s:5", ["again"])]
    assert own.states == ear.states == [True, False, True]


async def test_a_redis_that_says_nothing_is_taken_for_dead(own_redis: redis.Server, join: Join) -> None:
    bus, ear = await join(own_redis.url())
    own_redis.freeze()
    await until(lambda: not bus.up)
    # It accepts connections all the while.
    await asyncio.sleep(3 * buses.TIMEOUT_S)
    own_redis.thaw()
    await until(lambda: bus.up)
    assert ear.states == [True, False, True]


async def test_it_ends_although_a_connection_breaks_in_that_moment(
    redis_server: redis.Server, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: RedisBus, listener: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None

    monkeypatch.setattr(RedisBus, "_listen", breaks)
    bus, _ = await join(redis_server.url())
    ends = asyncio.create_task(bus.stop())
    await until(ends.done)


async def test_flushing_redis_costs_nothing(own_redis: redis.Server, join: Join) -> None:
    a, own = await join(own_redis.url())
    b, ear = await join(own_redis.url())
    b.listen("s:1")
    await until(lambda: ear.listens)
    own_redis.flush()
    a.send("s:1", ["still there"])
    await until(lambda: ear.frames)
    assert own.states == [True]


async def test_a_bus_leaves_nothing_in_redis_and_two_connections(own_redis: redis.Server, join: Join) -> None:
    a, _ = await join(own_redis.url())
    b, ear = await join(own_redis.url())
    b.listen("s:1")
    await until(lambda: ear.listens)
    for _ in range(100):
        a.send("s:1", ["text", "words"])
    await until(lambda: len(ear.frames) == 100)
    assert ":0" in own_redis.command("DBSIZE")
    clients = own_redis.command("INFO", "clients")
    # Two a process, and the one that asks.
    assert "connected_clients:5\r" in clients
    await a.stop()
    await b.stop()
    assert "connected_clients:1\r" in own_redis.command("INFO", "clients")


@pytest.mark.parametrize("junk", ["x", "", "[]", '{"a":1}', "[1]", "[[]]", "[" * 200, "\ud83d"])
async def test_what_is_no_frame_is_counted_and_left(
    redis_server: redis.Server, join: Join, junk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = await join(redis_server.url())
    b, ear = await join(redis_server.url())
    b.listen("s:1")
    await until(lambda: ear.listens)
    with monkeypatch.context() as patch:
        patch.setattr(buses, "_encode", lambda frame: junk)
        a.send("s:1", [junk])
    a.send("s:1", ["sense"])
    await until(lambda: ear.frames)
    assert ear.frames == [("s:1", ["sense"])]
    assert b.numbers()["malformed"] == 1
    assert ear.states == [True]


async def test_a_receiver_that_fails_costs_neither_the_connection_nor_a_word(
    redis_server: redis.Server,
    join: Join,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, _ = await join(redis_server.url())
    b, ear = await join(redis_server.url())
    b.listen("s:1")
    await until(lambda: ear.listens)
    take = ear.received

    def fails(channel: str, frame: list[Any]) -> None:
        take(channel, frame)
        if len(ear.frames) == 1:
            raise ValueError(f"the words: {frame}")

    monkeypatch.setattr(ear, "received", fails)
    with caplog.at_level(logging.DEBUG):
        a.send("s:1", ["text", "canary"])
        a.send("s:1", ["text", "second"])
        await until(lambda: len(ear.frames) == 2)
    assert ear.states == [True]
    assert "canary" not in caplog.text
    assert "ValueError" in caplog.text


async def test_more_than_may_wait_is_dropped(redis_server: redis.Server, join: Join) -> None:
    a, _ = await join(redis_server.url())
    for _ in range(buses.QUEUE_FRAMES + 50):
        a.send("s:1", ["x"])
    assert a.numbers()["dropped"] == 50
    await until(lambda: a.numbers()["sent"] == buses.QUEUE_FRAMES)
    for _ in range(200):
        a.send("s:1", ["x" * 100_000])
    dropped = a.numbers()["dropped"]
    assert dropped - 50 == 200 - buses.QUEUE_BYTES // 100_000 - 1
    a.send("s:1", ["x" * buses.FRAME_BYTES])
    assert a.numbers()["dropped"] == dropped + 1


def no_bus() -> Bus:
    return NoBus()


def redis_away() -> Bus:
    return RedisBus(f"redis://127.0.0.1:{free_port()}/0")


@pytest.mark.parametrize("make", [no_bus, redis_away])
async def test_without_redis_every_call_returns_and_nothing_is_heard(make: Callable[[], Bus]) -> None:
    bus, ear = make(), Ear()
    bus.start(ear)
    for number in range(10):
        bus.listen(f"s:{number}")
        bus.send(f"s:{number}", ["text", number])
        bus.leave(f"s:{number}")
        await asyncio.sleep(0.01)
    assert not bus.up
    assert (ear.frames, ear.listens, ear.states) == ([], [], [])
    bus.numbers()
    await bus.stop()


async def test_stopping_lets_the_last_frames_go(redis_server: redis.Server, join: Join) -> None:
    a, _ = await join(redis_server.url())
    b, ear = await join(redis_server.url())
    b.listen("s:1")
    await until(lambda: ear.listens)
    for number in range(600):
        a.send("s:1", ["done", number])
    await a.stop()
    await until(lambda: len(ear.frames) == 600)


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="scheme"):
        RedisBus("localhost:6379")
