"""Full collections wait for the replies, though not for ever, and are Python's own again afterwards."""

import asyncio
import gc

import pytest

from ctxsite import tidying

LONG_S = 2 * tidying.BRIEF_S


@pytest.mark.parametrize(
    ("rounds", "live", "took", "due"),
    [
        (0, 0, 0.0, False),
        (1, 0, LONG_S, True),
        (1, 1, LONG_S, False),
        (1, 1, tidying.BRIEF_S, True),
        (tidying.TOO_MANY, 1, LONG_S, False),
        (tidying.TOO_MANY + 1, 1, LONG_S, True),
    ],
)
def test_a_full_collection_that_is_not_brief_waits_for_replies_until_too_much_has_come(
    rounds: int, live: int, took: float, due: bool
) -> None:
    assert tidying.due(rounds, live, took) is due


async def test_python_makes_none_by_itself_while_they_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    before, collected, asked = gc.get_threshold(), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(tidying, "LOOK_S", 0.0)
    monkeypatch.setattr(tidying, "BRIEF_S", -1.0)
    monkeypatch.setattr(tidying.gc, "get_count", lambda: (0, 0, 1))
    monkeypatch.setattr(gc, "collect", collected.set)
    running = 1

    def live() -> int:
        asked.set()
        return running

    task = asyncio.create_task(tidying.tidy(live))
    await asyncio.wait_for(asked.wait(), 20)
    assert not collected.is_set()
    assert gc.get_threshold() == (tidying.YOUNG, before[1], tidying.NEVER)
    running = 0
    await asyncio.wait_for(collected.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.get_threshold() == before
