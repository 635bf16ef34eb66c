"""A batch of surgery whose worker is killed: nothing is done twice, nothing is missed."""

import asyncio
import json

from tests.faults.harness import eventually, measured
from tests.faults.test_f35_compaction import FILL, SMALL, WORDS

COUNT = 6
BEGIN = (
    FILL
    + """
from django.contrib.auth import get_user_model
from chat.surgery import batches
olga = get_user_model().objects.get(username="olga")
batches.start(olga, [UUID(each) for each in ids], "compact", {}, "The pager rang.")
"""
)


async def test_f39_a_batch_outlives_two_kills_of_its_worker(site, upstream):
    own = site("sqlite", **SMALL)
    sessions = json.dumps([str(each) for each in own.conversations(COUNT)])
    await asyncio.to_thread(own.python, BEGIN, sessions, WORDS)
    upstream.settings(summary_mode="slow", summary_delay=0.2)
    worker = own.run_jobs(start=False)

    def done() -> int:
        return own.rows("SELECT count(*) FROM chat_batchitem WHERE state = 'done'")[0][0]

    for least in (1, 3):
        await asyncio.to_thread(worker.start)
        await eventually(lambda least=least: done() >= least, 30, f"{least} conversations")
        worker.kill()
        left = own.rows("UPDATE chat_job SET lease_until = '2026-01-01' WHERE state = 'running' RETURNING id")
        measured("F39", f"killed after {done()} of {COUNT}", f"{len(left)} at work")
        assert done() < COUNT
        assert left
    await asyncio.to_thread(worker.start)
    await eventually(lambda: own.rows("SELECT state FROM chat_batch") == [("done",)], 60, "the end of the batch")
    assert done() == COUNT
    assert own.rows("SELECT count(*), count(DISTINCT session) FROM chat_audit") == [(COUNT, COUNT)]
    assert own.rows("SELECT compactions, count(*) FROM chat_chatsession WHERE compactions > 0 GROUP BY 1") == [
        (1, COUNT)
    ]
