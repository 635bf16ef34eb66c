"""A runtime switch that is turned on a page of one process is in force in every other: soon, and without a restart."""

import asyncio
import time
from typing import Any

import pytest

from tests.faults.harness import eventually, field, measured, post_form
from tests.faults.harness.measured import SCHEDULING_S

pytestmark = pytest.mark.timeout(180)

WITHIN_S = 5.0
FORM = "/admin/chat/switches/"


async def test_a_switch_turned_in_one_process_is_in_force_in_every_other_within_five_seconds(
    site: Any, pages: Any
) -> None:
    own = site("postgresql")
    webs = [own.web(start=False), own.web(start=False)]
    workers = [own.run_turns(start=False), own.run_jobs(start=False)]
    await asyncio.to_thread(own.start, *webs, *workers)
    alice, olga = own.person(), own.person("olga")
    (page,) = await pages(own, webs[1].url)
    rename = f"/c/{own.conversation()}/rename/"

    async def turn(**switches: str) -> float:
        """At the first process, like an operator; when it was answered."""
        seen = await field(webs[0].url, olga.cookie, FORM, "seen")
        status = await post_form(webs[0].url, olga.cookie, FORM, reason="The pager rang.", seen=seen, **switches)
        assert status == 302
        return time.monotonic()

    async def answers(status: int, since: float) -> float:
        """The seconds until the second process answers a change by this status."""
        while await post_form(webs[1].url, alice.cookie, rename, title="Tides") != status:
            assert time.monotonic() - since < 60, f"never {status}"
        return time.monotonic() - since

    assert await post_form(webs[1].url, alice.cookie, rename, title="Tides") == 302
    refused = await answers(503, await turn(read_only="on"))
    measured("S04", "read-only, turned in one process: another refuses changes after", refused, "s")
    assert refused <= WITHIN_S + SCHEDULING_S
    late = page.post("Is it high tide?")
    await page.until(lambda: late.code == "unavailable", 20, "the refusal of a message")
    assert own.rows("SELECT count(*) FROM chat_turn") == [(0,)]
    taken = await answers(302, await turn())
    measured("S04", "turned back: another takes changes after", taken, "s")
    assert taken <= WITHIN_S + SCHEDULING_S
    await page.send_and_read("Is it low tide?")

    def paused(process: Any) -> bool:
        return any(told["compaction_paused"] for told in process.events("switches"))

    began = await turn(compaction_paused="on")
    others = [webs[1], *workers]
    await eventually(lambda: all(map(paused, others)), 60, "all of them to hear of it")
    everywhere = time.monotonic() - began
    measured("S04", "compaction paused in one process: so in all others after", everywhere, "s")
    assert everywhere <= WITHIN_S + SCHEDULING_S
    audited = own.rows("SELECT after FROM chat_audit WHERE operation = 'switch' ORDER BY id")
    assert audited == [({"read_only": True},), ({"read_only": False},), ({"compaction_paused": True},)]
    assert own.broken_invariants() == ""
