"""The model's service fails where another process runs the turn: the page is told all the same."""

import asyncio

import pytest

from tests.faults.harness import measured

pytestmark = pytest.mark.timeout(120)


async def test_f24_a_page_hears_from_a_runner_elsewhere_that_it_is_still_tried(site, pages, upstream, redis):
    own = site("postgresql", redis=redis)
    web, runner = own.web(runner=False, start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, runner)
    (page,) = await pages(own, web.url)
    upstream.fault("status", status=529, times=2, retry_after=2.5)
    call, reply = await page.send_and_read("Write 60 words about a distant ferry")
    assert [record["status"] for record in upstream.calls("Write 60 words about a distant")] == [529, 529, 200]
    assert reply.done["status"] == "complete"
    (said, frame) = next((at, frame) for at, frame in page.statuses if frame["phase"] == "retrying")
    measured("F24", 'the same with the runner in another process: "still trying" after', said - call.began, "s")
    assert 2.9 <= said - call.began <= 5.0
    assert frame["since_ms"] >= 2900
