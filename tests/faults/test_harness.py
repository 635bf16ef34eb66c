"""The harness itself: what the fault tests stand on must not be what fails."""

import pytest

from tests.faults.harness import measured


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
async def test_a_page_sends_a_message_and_reads_its_whole_answer(site, pages, upstream, redis, engine):
    own = site(engine, redis=redis)
    web = own.web()
    (page,) = await pages(own, web.url)
    call, reply = await page.send_and_read(f"Write 60 words about harbours in {engine}")
    assert call.outcome == "ok"
    assert reply.done["status"] == "complete"
    row = own.turn(call.turn)
    assert row["reply"] == reply.text != ""
    (record,) = upstream.calls(f"Write 60 words about harbours in {engine}")
    assert record["outcome"] == "sent"
    assert own.broken_invariants() == ""
    assert web.terminate() < 6
    measured("harness", f"from send to the last word on {engine}", reply.done_at - call.began, "s")
