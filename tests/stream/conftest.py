"""What the tests of the live text between processes share: a real Redis, a bus of wires, and rows in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from chat.stream import following, ledger, reading
from chat.stream.bus import Bus, Frame, NoBus, Receiver
from chat.stream.following import Following
from chat.stream.hub import Hub
from chat.stream.protocol import Done
from chat.stream.redisbus import RedisBus
from chat.stream.rows import Change, Row
from tests import redis
from tests.postgres import free_port

LIVE = ("queued", "running")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[redis.Server]:
    """A Redis server of this run's own."""
    with redis.server() as server:
        yield server


class Exchange:
    """Wires between buses in one process. `loses(channel, frame)` says which frames never arrive."""

    def __init__(self) -> None:
        self.buses: list[WireBus] = []
        self.loses: Callable[[str, Frame], bool] = lambda channel, frame: False


class WireBus:
    """A bus without a Redis: frames arrive with the next step of the loop."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._channels: set[str] = set()
        self._receiver: Receiver | None = None
        self.up = True
        self.sent: list[tuple[str, Frame]] = []

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._exchange.buses.append(self)

    def send(self, channel: str, frame: Frame) -> None:
        if not self.up:
            return
        self.sent.append((channel, frame))
        hearers = [bus for bus in self._exchange.buses if bus is not self and bus.up and channel in bus._channels]
        if self._exchange.loses(channel, frame):
            return
        loop = asyncio.get_running_loop()
        for bus in hearers:
            loop.call_soon(bus._receiver.received, channel, list(frame))
        if not hearers:
            loop.call_soon(self._receiver.unheard, channel)

    def listen(self, channel: str) -> None:
        self._channels.add(channel)
        if self.up:
            asyncio.get_running_loop().call_soon(self._receiver.listening, channel)

    def leave(self, channel: str) -> None:
        self._channels.discard(channel)

    def turn(self, up: bool) -> None:
        """Cut it, or mend it."""
        self.up = up
        self._receiver.changed(up)
        if up:
            for channel in self._channels:
                self._receiver.listening(channel)

    def numbers(self) -> dict[str, int]:
        return {}

    async def stop(self) -> None:
        self.up = False


@dataclass
class Turn:
    """A turn's row in memory."""

    id: int
    session: UUID
    number: int
    epoch: int = 0
    status: str = "queued"
    reply: str = ""


@dataclass
class Table:
    """The rows, in memory; counts how often they were asked for."""

    turns: dict[int, Turn] = field(default_factory=dict)
    notices: list[tuple[UUID, str, int, int]] = field(default_factory=list)
    gone: list[UUID] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=lambda: {"news": 0, "rows": 0, "ends": 0})
    away: bool = False

    def reader(self) -> "Reading":
        return Reading(self)


class Reading:
    """One process's reader of the table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._from: tuple[int, int] | None = None

    def reset(self) -> None:
        self._from = None

    def _count(self, what: str) -> None:
        self._table.asked[what] += 1
        if self._table.away:
            raise ConnectionError

    async def news(self) -> Sequence[Change]:
        self._count("news")
        table = self._table
        newest = max(table.turns, default=0), len(table.notices)
        if self._from is None:
            self._from = newest
        turn, notice = self._from
        found = [
            Change("live", one.id, one.session, one.number, one.epoch, one.status)
            for one in table.turns.values()
            if one.status in LIVE
        ]
        found += [
            Change("ended", one.id, one.session, one.number, one.epoch, one.status)
            for one in table.turns.values()
            if one.status not in LIVE and one.id > turn
        ]
        found += [
            Change("notice", at + 1, session, first, last, kind)
            for at, (session, kind, first, last) in enumerate(table.notices)
            if at >= notice
        ]
        found += [Change("gone", 0, session, 0, 0, "") for session in table.gone]
        await asyncio.sleep(0)
        return found

    async def rows(self, known: dict[int, int]) -> Sequence[Row]:
        self._count("rows")
        turns = [self._table.turns[turn] for turn in known if turn in self._table.turns]
        found = [
            Row(
                one.id,
                one.session,
                one.number,
                one.epoch,
                one.status not in LIVE,
                len(one.reply),
                one.reply[known[one.id] :],
            )
            for one in turns
        ]
        await asyncio.sleep(0)
        return found

    async def ends(self, turns: Sequence[int]) -> Sequence[tuple[UUID, Done, str]]:
        self._count("ends")
        found = []
        for one in (self._table.turns[turn] for turn in turns if turn in self._table.turns):
            if one.status not in LIVE:
                digest = hashlib.sha256(one.reply.encode()).hexdigest()
                done = Done(
                    turn=one.id,
                    epoch=one.epoch,
                    number=one.number,
                    status=one.status,
                    end=len(one.reply),
                    sha256=digest,
                )
                found.append((one.session, done, one.reply))
        await asyncio.sleep(0)
        return found


@dataclass
class Process:
    """What one process has of the live text."""

    hub: Hub
    bus: Bus
    following: Following
    told: list[list[Any]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are looked at often: what takes a second in life takes hundredths here."""
    for name, seconds in (("AGAIN_S", 0.02), ("PAUSE_S", 0.05), ("TOGETHER_S", 0.01), ("REST_S", 0.005)):
        monkeypatch.setattr(reading, name, seconds)
    monkeypatch.setattr(reading, "SCAN_S", 0.05)
    monkeypatch.setattr(reading, "SCAN_WITH_BUS_S", 0.3)
    monkeypatch.setattr(ledger, "SILENCE_S", 0.05)
    monkeypatch.setattr(following, "SILENCE_S", 0.05)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture(params=["wires", "redis", "no bus", "redis away"])
def kind(request: pytest.FixtureRequest) -> str:
    """Every way in which processes may hear of each other, down to none."""
    return str(request.param)


def no_blocks(text: str) -> tuple[int, list[str]]:
    return 0, []


@pytest.fixture
async def process(
    kind: str, table: Table, exchange: Exchange, redis_server: redis.Server, quick: None
) -> AsyncIterator[Callable[..., Process]]:
    """Makes a process: a hub, a bus and what follows the others."""
    made: list[Process] = []

    def make(*, works: bool = True) -> Process:
        bus: Bus = {
            "wires": lambda: WireBus(exchange),
            "redis": lambda: RedisBus(redis_server.url()),
            "no bus": NoBus,
            "redis away": lambda: RedisBus(f"redis://127.0.0.1:{free_port()}/0"),
        }[kind]()
        hub = Hub(finished_blocks=no_blocks, flush_s=0.002, flush_chars=100)
        told: list[list[Any]] = []
        one = Process(hub, bus, Following(hub, bus, table.reader(), told.append), told)
        one.following.start()
        if works:
            bus.listen("workers")
        made.append(one)
        return one

    yield make
    for one in made:
        await one.following.stop()
        await one.bus.stop()
