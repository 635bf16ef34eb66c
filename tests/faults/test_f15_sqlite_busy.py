"""SQLite with six processes that write as fast as they can: nobody is told that it is locked, nobody waits long."""

import asyncio
import json
import time

import pytest

from tests.faults.harness import eventually, measured, percentile

pytestmark = pytest.mark.timeout(120)

WRITERS = 5
SECONDS = 12.0
SEND_S = 0.250

# What a message costs when it is stopped before anybody answers it: two transactions of the product's own.
WRITE = """
import json, pathlib, sys, time, uuid
from django.db import OperationalError
from chat.flow import opening
owner, sessions = int(sys.argv[1]), [uuid.UUID(each) for each in json.loads(sys.argv[2])]
pause = float(sys.argv[3])
print("ready", flush=True)
go = pathlib.Path(sys.argv[5])
while not go.exists():
    time.sleep(0.01)
count, worst, locked = 0, 0.0, 0
end = time.monotonic() + float(sys.argv[4])
while time.monotonic() < end:
    session = sessions[count % len(sessions)]
    began = time.monotonic()
    try:
        opened = opening.open_turn(
            owner_id=owner, session_id=session, client_id=uuid.uuid4(), text=f"Message {count}.", runner="writer"
        )
        opening.ask_stop(owner_id=owner, session_id=session, turn_id=opened.turn_id)
    except OperationalError as error:
        locked += "locked" in str(error)
    worst = max(worst, time.monotonic() - began)
    count += 1
    time.sleep(pause)
print(json.dumps({"written": count * 2, "worst": worst, "locked": locked}), flush=True)
"""


async def test_f15_six_processes_that_write_hard_never_meet_a_lock(site, pages, upstream):
    own = site("sqlite")
    web = own.web(start=False)
    writers, go = [], own.scratch / "go"
    for _ in range(WRITERS):
        sessions = json.dumps([str(each) for each in own.conversations(8)])
        writers.append(own.script("writer", WRITE, str(own.person().id), sessions, "0.05", str(SECONDS), str(go)))
    await asyncio.to_thread(own.start, web, *writers)
    for writer in writers:
        await asyncio.to_thread(writer.wait_for_line, "ready")
    upstream.settings(delay_ms=5, first_ms=5)
    opened = await pages(own, web.url, 4)
    go.touch()
    began = time.monotonic()

    async def converse(page) -> None:
        while time.monotonic() < began + SECONDS - 2:
            call, _ = await page.send_and_read("Write 20 words about queues " + str(time.monotonic()))
            assert call.outcome == "ok"
            # People read what they were answered.
            await asyncio.sleep(0.5)

    await asyncio.gather(*(converse(page) for page in opened))
    await eventually(lambda: not any(writer.running for writer in writers), 30, "the writers to end")
    said = [json.loads(writer.output().splitlines()[-1]) for writer in writers]
    written = sum(each["written"] for each in said)
    seconds = [call.seconds for call in opened[0].history.calls.values()]
    measured("F15", "five writers beside the site on SQLite: transactions a second", written / SECONDS)
    measured("F15", "the same: their longest wait", max(each["worst"] for each in said), "s")
    measured("F15", f"the same: p99 of {len(seconds)} sends", percentile(seconds, 0.99) * 1000, "ms")
    measured("F15", "the same: 'database is locked'", sum(each["locked"] for each in said))
    assert written / SECONDS > 50, "they did write"
    assert len(seconds) >= 30
    assert {each["locked"] for each in said} == {0}
    assert web.events("database_retry") == [], "no unit of work had to be run again"
    assert percentile(seconds, 0.99) <= SEND_S
    assert own.broken_invariants() == ""
