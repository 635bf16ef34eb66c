"""What one process tells the others to do, and what it does when it is told."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from chat.service import Service
from chat.stream.telling import WORKERS


@pytest.fixture
def bus() -> Mock:
    return Mock(name="bus")


def process(bus: Mock, **parts: Any) -> Service:
    """A service of which only the parts matter that tell and are told."""
    nothing: Any = SimpleNamespace()
    return Service(engine=nothing, hub=nothing, database=nothing, owner="me", bus=bus, pulse=nothing, **parts)


def test_a_process_without_a_runner_tells_those_that_have_one(bus: Mock) -> None:
    process(bus).wake_runner()
    bus.send.assert_called_once_with(WORKERS, ("queued",))


def test_a_process_with_a_runner_needs_no_other(bus: Mock) -> None:
    runner = Mock()
    process(bus, runner=runner).wake_runner()
    runner.wake.assert_called_once_with()
    bus.send.assert_not_called()


def test_jobs_are_announced_where_none_are_run(bus: Mock) -> None:
    process(bus).wake_jobs()
    bus.send.assert_called_once_with(WORKERS, ("job",))
    jobs = Mock()
    process(bus, jobs=jobs).wake_jobs()
    jobs.wake.assert_called_once_with()
    assert bus.send.call_count == 1


def test_who_is_told_wakes_what_it_runs(bus: Mock) -> None:
    runner, jobs = Mock(), Mock()
    works = process(bus, runner=runner, jobs=jobs)
    works.told(["queued"])
    runner.wake.assert_called_once_with()
    jobs.wake.assert_not_called()
    works.told(["job"])
    jobs.wake.assert_called_once_with()
    works.told(["stop", 12])
    runner.stop_turn.assert_called_once_with(12)


@pytest.mark.parametrize("frame", [["queued"], ["job"], ["stop", 12], ["stop", "12"], ["stop"], ["something", "newer"]])
def test_who_runs_nothing_and_what_nobody_knows_is_left_alone(bus: Mock, frame: list[Any]) -> None:
    process(bus).told(frame)
    runner, jobs = Mock(), Mock()
    process(bus, runner=runner, jobs=jobs).told(["stop", "12"])
    process(bus, runner=runner, jobs=jobs).told(["something", "newer"])
    assert runner.mock_calls == jobs.mock_calls == []


async def test_a_stop_of_what_runs_elsewhere_is_passed_on(bus: Mock) -> None:
    async def asked(*_: Any, **__: Any) -> str:
        return "asked"

    runner, following = Mock(), Mock()
    runner.stop_turn.return_value = False
    one = process(bus, runner=runner, following=following)
    one.database = Mock(run=asked)
    await one.stop_turn(owner_id=1, session_id=Mock(), turn_id=12)
    bus.send.assert_called_once_with(WORKERS, ("stop", 12))
    following.hurry.assert_called_once_with(12)
    runner.stop_turn.return_value = True
    await one.stop_turn(owner_id=1, session_id=Mock(), turn_id=12)
    assert bus.send.call_count == 1
