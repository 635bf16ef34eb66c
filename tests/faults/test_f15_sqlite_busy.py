"""SQLite with six processes that write as fast as they can: nobody is told that it is locked, nobody waits long."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.faults.harness import Page, Process, eventually, measured, percentile

pytestmark = pytest.mark.timeout(120)

WRITERS = 5
SECONDS = 9.0
SEND_S = 0.250
USUAL_S = 0.005
"""What one uncontended send takes on a machine of its own; a slower moment of a shared one scales the bound."""

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
count, sends, locked = 0, [], 0
end = time.monotonic() + float(sys.argv[4])
while time.monotonic() < end:
    session = sessions[count % len(sessions)]
    began = time.monotonic()
    try:
        opened = opening.open_turn(
            owner_id=owner, session_id=session, client_id=uuid.uuid4(), text=f"Message {count}.", runner="writer"
        )
        sends.append(time.monotonic() - began)
        opening.ask_stop(owner_id=owner, session_id=session, turn_id=opened.turn_id)
    except OperationalError as error:
        locked += "locked" in str(error)
    count += 1
    time.sleep(pause)
print(json.dumps({"written": count * 2, "sends": sends, "locked": locked}), flush=True)
"""


async def test_f15_six_processes_that_write_hard_never_meet_a_lock(site, pages, upstream):
    own = site("sqlite")
    web = own.web(start=False)
    go, now = own.scratch / "go", own.scratch / "now"
    now.touch()

    def writer(seconds: float, gate: Path) -> Process:
        sessions = json.dumps([str(each) for each in own.conversations(8)])
        return own.script("writer", WRITE, str(own.person().id), sessions, "0.1", str(seconds), str(gate))

    writers, single = [writer(SECONDS, go) for _ in range(WRITERS)], writer(3.0, now)
    await asyncio.to_thread(own.start, web, *writers)
    for writer in writers:
        await asyncio.to_thread(writer.wait_for_line, "ready")
    upstream.settings(delay_ms=5, first_ms=5)
    opened = await pages(own, web.url, 4)

    async def converse(page: Page, until: float) -> None:
        while time.monotonic() < until:
            call, _ = await page.send_and_read("Write 20 words about queues " + str(time.monotonic()))
            assert call.outcome == "ok"
            # People read what they were answered.
            await asyncio.sleep(0.5)

    await asyncio.to_thread(single.start)
    await asyncio.to_thread(single.wait)
    usual = percentile(json.loads(single.output().splitlines()[-1])["sends"], 0.5)
    quiet = time.monotonic() + 4.0
    await asyncio.gather(*(converse(page, quiet) for page in opened))
    alone = [call.seconds for call in opened[0].history.calls.values()]
    go.touch()
    busy = time.monotonic() + SECONDS - 2
    await asyncio.gather(*(converse(page, busy) for page in opened))
    await eventually(lambda: not any(writer.running for writer in writers), 30, "the writers to end")
    said = [json.loads(writer.output().splitlines()[-1]) for writer in writers]
    written = sum(each["written"] for each in said)
    seconds = [call.seconds for call in opened[0].history.calls.values()][len(alone) :]
    measured("F15", "five writers beside the site on SQLite: transactions a second", written / SECONDS)
    everybody = seconds + [each for one in said for each in one["sends"]]
    measured("F15", f"the same: p99 of {len(everybody)} sends by all six", percentile(everybody, 0.99) * 1000, "ms")
    measured("F15", "the same: the longest of them", max(everybody), "s")
    measured(
        "F15",
        f"the same: p90 of {len(seconds)} sends through the site's sockets",
        percentile(seconds, 0.9) * 1000,
        "ms",
    )
    measured("F15", "the same: 'database is locked'", sum(each["locked"] for each in said))
    measured("F15", "one send with nobody else writing, half of them", usual * 1000, "ms")
    measured("F15", "p99 of the same before the writers began", percentile(alone, 0.99) * 1000, "ms")
    assert written / SECONDS > 20, "they did write"
    assert len(seconds) >= 10
    assert {each["locked"] for each in said} == {0}
    assert web.events("database_retry") == [], "no unit of work had to be run again"
    assert percentile(everybody, 0.99) <= SEND_S * max(1.0, usual / USUAL_S)
    assert own.broken_invariants() == ""
