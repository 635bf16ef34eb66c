"""No room for another byte: messages are refused with `storage`, nothing is half done, and readiness says so.

The fault is RLIMIT_FSIZE, set on the running process: the kernel refuses every write behind that size, as a full
disk would, and it needs no root.
"""

import asyncio
import json
import resource
import time
from typing import Any

from tests.faults.harness import eventually, measured

READY_S = 6.0  # a beat, and a little


def ready(web: Any) -> tuple[int, str]:
    """The status of /readyz and what it says of storage."""
    status, text = web.get("/readyz")
    return status, json.loads(text)["storage"]


def fill(web: Any, own: Any) -> None:
    """From now on the database's files can't grow, nor be written behind what they hold."""
    own.rows("SELECT 1")
    resource.prlimit(web.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def free(web: Any) -> None:
    """Room again."""
    resource.prlimit(web.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_f16_a_full_disk_refuses_messages_whole_and_readiness_tells(site, pages):
    own = site("sqlite")
    # What can't be stored of its own doing it logs with a traceback: that is the fault, not a fault.
    own.allowed = ("OperationalError",)
    web = own.web()
    (page,) = await pages(own, web.url)
    await page.send_and_read("Write 50 words about a mill")
    assert ready(web) == (200, "ok")
    before = own.rows("SELECT count(*), max(id) FROM chat_turn"), own.rows("SELECT * FROM chat_chatsession ORDER BY id")

    fill(web, own)
    full = time.monotonic()
    refused = page.post("And a second one")
    await page.until(lambda: refused.code != "", 10, "an answer")
    assert (refused.code, refused.outcome) == ("storage", "unknown"), "the page keeps the text and may send it again"
    answered = time.monotonic() - full
    told = await eventually(lambda: ready(web) == (503, "failing"), READY_S, "readiness to tell")
    after = own.rows("SELECT count(*), max(id) FROM chat_turn"), own.rows("SELECT * FROM chat_chatsession ORDER BY id")
    assert after == before, "no half turn"
    measured("F16", "disk full: a message is refused with storage after", answered, "s")
    measured("F16", "disk full: readiness is 503 after", told, "s")
    assert web.get("/healthz")[0] == 200, "it is up, and not to be killed for this"

    free(web)
    back = await eventually(lambda: ready(web) == (200, "ok"), READY_S, "readiness to be back")
    measured("F16", "room again: readiness is 200 after", back, "s")
    await page.until(lambda: refused.outcome == "ok", 15, "the same message to be taken")
    await page.done(refused.turn)
    assert own.rows("SELECT count(*) FROM chat_turn WHERE session_id = %s", page.session.hex) == [(2,)]
    assert own.broken_invariants() == ""


async def test_f16_the_pulse_finds_a_full_disk_that_nobody_wrote_to(site):
    own = site("sqlite", beat_s=1)
    own.allowed = ("OperationalError",)
    web = own.web()
    await eventually(lambda: ready(web) == (200, "ok"), READY_S, "readiness")
    fill(web, own)
    told = await eventually(lambda: ready(web) == (503, "failing"), READY_S, "readiness to tell")
    measured("F16", "disk full, nobody writes (beat 1 s): readiness is 503 after", told, "s")
    free(web)
    await eventually(lambda: ready(web) == (200, "ok"), READY_S, "readiness to be back")
    await asyncio.to_thread(web.terminate)


async def test_f16_a_reply_that_is_being_written_when_the_disk_fills_ends_whole(site, pages, upstream):
    own = site("sqlite")
    own.allowed = ("OperationalError",)
    web = own.web()
    upstream.settings(delay_ms=20)
    (page,) = await pages(own, web.url)
    call = await page.send("Write 300 words about a weir")
    await page.text(call.turn)
    fill(web, own)
    await asyncio.sleep(2.0)
    shown = page.replies[call.turn].text
    assert own.turn(call.turn)["status"] == "running"
    assert len(shown) > len(own.turn(call.turn)["reply"]), "it goes on from memory"
    free(web)
    reply = await page.done(call.turn)
    row = own.turn(call.turn)
    assert (row["status"], row["attempt"], row["reply"]) == ("complete", 1, reply.text)
    measured(
        "F16", "disk full for 2 s while a reply is written: characters shown that were not stored then", len(shown)
    )
    assert own.broken_invariants() == ""
