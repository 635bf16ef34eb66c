"""Loops that wait for work end when they are told to, also when work is announced in the same instant."""

import asyncio
from typing import Any

import pytest

from chat.flow.jobs import JobRunner
from chat.flow.runner import Runner
from chat.store import leases

PATIENCE_S = 5.0


class Idle:
    """A database and an engine with nothing in them."""

    def __init__(self) -> None:
        self.database = self

    async def run(self, work: Any, *_: Any, **__: Any) -> Any:
        return None if work is leases.claim_job else []


def job_runner() -> JobRunner:
    return JobRunner(Idle(), "me", {})


def turn_runner() -> Runner:
    return Runner(Idle(), None, "me", slots=1, lease_s=15, beat_s=5, reap_s=5)


@pytest.mark.parametrize("made", [job_runner, turn_runner])
async def test_a_runner_stops_although_it_is_woken_in_the_same_instant(made: Any) -> None:
    runner = made()
    runner.start()
    await asyncio.sleep(0.05)
    runner.wake()
    async with asyncio.timeout(PATIENCE_S):
        await runner.stop()
