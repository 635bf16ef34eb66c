"""One process's runner: which runs it knows of, and which of them it ends."""

import asyncio
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from chat.flow import runner as runners
from chat.flow.runner import Runner
from chat.flow.running import Interrupted, Lost, Running, Stopped
from chat.store import leases
from chat.store.leases import Claim
from chat.store.switches import Switches
from tests.flow.conftest import eventually

TURN, SESSION = 7, uuid.uuid4()


class World:
    """A database that gives out what waits, runs that end when they are told to, and what became of them."""

    def __init__(self) -> None:
        self.database, self.switches = self, Switches()
        self.waiting: list[Claim] = []
        self.put_back: list[Claim] = []
        self.ends = {1: asyncio.Event(), 2: asyncio.Event()}
        self.began: set[int] = set()
        self.told: dict[int, type[Interrupted]] = {}
        self.ended: set[int] = set()

    async def run(self, work: Any, *_: Any, **__: Any) -> Any:
        if work is leases.claim_turns:
            given, self.waiting = self.waiting, []
            return given
        if work is leases.reap_turns and self.put_back:
            # Put back, and taken by our own claim before the last of the rows has been looked at.
            self.waiting, self.put_back = self.put_back, []
            await eventually(lambda: 2 in self.began)
            return [(TURN, SESSION, "queued")]
        return []

    read = run

    async def save_counters(self) -> None:
        """Nothing was learnt."""

    async def play(self, running: Running, *_: Any) -> None:
        """In the place of `run_turn`."""
        epoch = running.claim.epoch
        self.began.add(epoch)
        try:
            await running.interruptible(self.ends[epoch].wait())
        except Interrupted as why:
            self.told[epoch] = type(why)
            await self.ends[epoch].wait()
        self.ended.add(epoch)


def claim(epoch: int) -> Claim:
    return Claim(TURN, SESSION, epoch, epoch, "me")


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(runners, "run_turn", made.play)
    monkeypatch.setattr(runners, "IDLE_S", 0.005)
    return made


def a_runner(world: World) -> Runner:
    hub = SimpleNamespace(status=lambda *_: None)
    return Runner(world, hub, "me", slots=4, lease_s=15.0, beat_s=60.0, reap_s=0.005)


async def test_a_turn_taken_again_before_its_first_run_has_ended_is_still_known(world: World) -> None:
    runner = a_runner(world)
    runner.start()
    world.waiting = [claim(1)]
    await eventually(lambda: 1 in world.began)
    world.waiting = [claim(2)]
    await eventually(lambda: 2 in world.began)
    world.ends[1].set()
    await eventually(lambda: 1 in world.ended)
    await asyncio.sleep(0)
    assert runner.live == 1
    assert runner.stop_turn(TURN)
    await eventually(lambda: world.told == {2: Stopped})
    world.ends[2].set()
    await runner.stop()


async def test_a_turn_that_is_put_back_and_taken_again_at_once_is_lost_to_its_old_run_alone(world: World) -> None:
    runner = a_runner(world)
    runner.start()
    world.waiting = [claim(1)]
    await eventually(lambda: 1 in world.began)
    world.put_back = [claim(2)]
    await eventually(lambda: 2 in world.began)
    await eventually(lambda: world.told)
    world.ends[2].set()
    await eventually(lambda: 2 in world.ended)
    assert world.told == {1: Lost}
    world.ends[1].set()
    await runner.stop()
