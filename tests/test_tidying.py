"""Full collections wait for the replies, though not for ever, and are Python's own again afterwards."""

import asyncio
import gc

import pytest

from ctxsite import tidying


@pytest.mark.parametrize(
    ("rounds", "live", "due"),
    [(tidying.WORTH, 0, False), (tidying.WORTH + 1, 0, True), (tidying.TOO_MANY, 1, False),
     (tidying.TOO_MANY + 1, 1, True)],
)  # fmt: skip
def test_a_full_collection_waits_for_replies_until_too_much_has_come(rounds: int, live: int, due: bool) -> None:
    assert tidying.due(rounds, live) is due


async def test_python_makes_none_by_itself_while_they_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    before, collected, asked = gc.get_threshold(), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(tidying, "LOOK_S", 0.0)
    monkeypatch.setattr(tidying, "WORTH", -1)
    monkeypatch.setattr(gc, "collect", collected.set)
    running = 1

    def live() -> int:
        asked.set()
        return running

    task = asyncio.create_task(tidying.tidy(live))
    await asyncio.wait_for(asked.wait(), 20)
    assert not collected.is_set()
    assert gc.get_threshold() == (*before[:2], tidying.NEVER)
    running = 0
    await asyncio.wait_for(collected.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.get_threshold() == before
