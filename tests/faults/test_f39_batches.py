"""A batch of surgery whose worker is killed: nothing is done twice, nothing is missed.

CHAT_F39_SESSIONS=847 CHAT_F39_ENGINE=postgresql asks for the whole night, and another database.
"""

import asyncio
import os
import time

import pytest

from tests.faults.harness import eventually, measured
from tests.faults.test_f35_compaction import SMALL, TOKENS, TURNS, WORDS

COUNT = int(os.environ.get("CHAT_F39_SESSIONS", "6"))
ENGINE = os.environ.get("CHAT_F39_ENGINE", "sqlite")

pytestmark = pytest.mark.timeout(120 + 4 * COUNT)

BEGIN = f"""
import sys
from django.conf import settings
from django.contrib.auth import get_user_model
from chat.surgery import batches
from tests.store.building import conversation
people = get_user_model().objects
alice, olga = people.get(username="alice"), people.get(username="olga")
many = {{"tokens": {TOKENS}, "words": sys.argv[1], "model": settings.CHAT_MODEL}}
ids = [conversation(alice, {TURNS}, **many).pk for _ in range({COUNT})]
batches.start(olga, ids, "compact", {{}}, "The pager rang.")
"""


async def test_f39_a_batch_outlives_two_kills_of_its_worker(site, upstream):
    own = site(ENGINE, **SMALL)
    await asyncio.to_thread(own.python, BEGIN, WORDS)
    # Slow enough to be killed at work, and with hundreds not slower than that takes.
    upstream.settings(summary_mode="slow", summary_delay=min(0.2, 2 / COUNT))
    worker = own.run_jobs(start=False)

    def done() -> int:
        return own.rows("SELECT count(*) FROM chat_batchitem WHERE state = 'done'")[0][0]

    def stands_at_work(least: int) -> bool:
        """Stop it where it has done enough and is at the next: between two it goes on, there is nothing to lose."""
        if done() < least:
            return False
        worker.freeze()
        if own.rows("SELECT 1 FROM chat_job WHERE state = 'running'"):
            return True
        worker.thaw()
        return False

    began = time.monotonic()
    for least in (COUNT // 6, COUNT // 2):
        await asyncio.to_thread(worker.start)
        await eventually(lambda least=least: stands_at_work(least), 30 + COUNT, f"{least} conversations")
        worker.kill()
        left = own.rows("UPDATE chat_job SET lease_until = '2026-01-01' WHERE state = 'running' RETURNING id")
        measured("F39", f"killed after {done()} of {COUNT}", f"{len(left)} at work")
        assert done() < COUNT
        assert left
    await asyncio.to_thread(worker.start)
    await eventually(lambda: own.rows("SELECT state FROM chat_batch") == [("done",)], 60 + COUNT, "the end")
    measured("F39", f"{COUNT} of {COUNT}", f"after {time.monotonic() - began:.0f} s")
    assert done() == COUNT
    assert own.rows("SELECT count(*), count(DISTINCT session) FROM chat_audit") == [(COUNT, COUNT)]
    assert own.rows("SELECT compactions, count(*) FROM chat_chatsession WHERE compactions > 0 GROUP BY 1") == [
        (1, COUNT)
    ]
