"""The walks over all connections: nobody is forgotten, and nobody is looked at for nothing."""

import asyncio
from typing import Any

import pytest
from daphne import server as daphne

from ctxsite import rounds


class Connection:
    """What the server sees of a connection."""

    def __init__(self) -> None:
        self.looks = 0
        self.failures: list[BaseException] = []

    def check_timeouts(self) -> None:
        self.looks += 1

    def handle_exception(self, error: BaseException) -> None:
        self.failures.append(error)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for."""
    asked: list[float] = []

    class Later:
        def callLater(self, seconds: float, work: Any) -> None:
            asked.append(seconds)

    monkeypatch.setattr(rounds, "reactor", Later())
    monkeypatch.setattr(daphne, "reactor", Later())
    return asked


def serving(application: Any = None) -> Any:
    site = rounds.Rounds(application, endpoints=["tcp:1"])
    site.connections = {}
    return site


def test_everybody_is_looked_at_once_in_the_same_time(waits: list[float]) -> None:
    site, everybody = serving(), [Connection() for _ in range(3 * rounds.SLICE + 1)]
    for one in everybody:
        site.protocol_connected(one)
    for _ in range(4):
        site.timeout_checker()
    assert [one.looks for one in everybody] == [1] * len(everybody)
    assert sum(waits) == pytest.approx(rounds.LOOK_S)
    for one in everybody[1:]:
        del site.connections[one]
    for _ in range(5):
        site.timeout_checker()
    assert everybody[0].looks >= 2
    assert {one.looks for one in everybody[1:]} == {1}


async def test_who_has_ended_is_let_go_whichever_end_came_first(waits: list[float]) -> None:
    gates = [asyncio.Event() for _ in range(4)]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await gates[scope["number"]].wait()
        if scope["number"] == 2:
            raise ValueError

    site, four = serving(application), [Connection() for _ in range(4)]
    for number, one in enumerate(four):
        site.protocol_connected(one)
        site.create_application(one, {"number": number})
    gates[0].set()
    gates[2].set()
    site.protocol_disconnected(four[1])
    await asyncio.sleep(0.01)
    site.application_checker()
    # The application has ended: the connection stays until it is gone. And the other way round.
    assert set(site.connections) == set(four)
    assert [len(one.failures) for one in four] == [0, 0, 1, 0]
    gates[1].set()
    site.protocol_disconnected(four[0])
    await asyncio.sleep(0.01)
    site.application_checker()
    assert set(site.connections) == {four[2], four[3]}
    site.protocol_disconnected(four[2])
    site.application_checker()
    assert set(site.connections) == {four[3]}
    # An application that does not end by itself is cancelled, some time after its connection has gone.
    site.application_close_timeout = -1
    site.protocol_disconnected(four[3])
    site.application_checker()
    await asyncio.sleep(0.01)
    site.application_checker()
    assert site.connections == {}
