"""An answer that its reader stops, a stop that races the end, and a conversation deleted while it is answered."""

import asyncio
import time
from typing import Any

import pytest

from tests.faults.harness import Page, eventually, measured, post_form

pytestmark = pytest.mark.timeout(120)


async def hung_up(upstream: Any, asked: str, since: float) -> float:
    """Wait until the stand-in's call with these words was closed by the caller; seconds after `since`."""
    await eventually(lambda: not upstream.open(asked), 10, "the call to be hung up")
    (record,) = upstream.calls(asked)
    assert record["outcome"] == "closed", "the answer was cut, not finished"
    return record["ended"] - since


@pytest.mark.parametrize("where", ["inside the web process", "in a process of its own"])
async def test_f21_a_stopped_answer_ends_at_once_and_its_part_is_kept_and_used(site, pages, upstream, redis, where):
    own = site("postgresql", redis=redis)
    inside = where.startswith("inside")
    web = own.web(runner=inside, start=False)
    others = [] if inside else [own.run_turns(start=False)]
    await asyncio.to_thread(own.start, web, *others)
    upstream.settings(delay_ms=50, keep_bodies=True)
    (page,) = await pages(own, web.url)
    asked = f"Write 900 words about bridges {where}"
    call = await page.send(asked)
    await page.text(call.turn, 200, 20)
    assert len(upstream.open(asked)) == 1
    began = time.monotonic()
    page.stop(call.turn)
    reply = await page.done(call.turn, 10)
    closed = await hung_up(upstream, asked, began)
    shown = reply.text
    measured("F21", f"stop, runner {where}: end shown after", reply.done_at - began, "s")
    measured("F21", f"stop, runner {where}: upstream call closed after", closed, "s")
    assert reply.done_at - began <= 1.0 + (0.0 if inside else 1.0), "plus the scan for stops, once a second"
    assert closed <= 2.0
    await asyncio.sleep(1.5)
    late = [seen for seen in page.history.of("delta", page.session) if seen.at > began + (1.0 if inside else 2.0)]
    assert late == [], "nothing comes after"
    row = own.turn(call.turn)
    assert (row["status"], row["attempt"]) == ("stopped", 1)
    assert row["reply"] == shown
    assert len(shown) >= 200
    upstream.settings(delay_ms=1)
    following, _ = await page.send_and_read("Write 20 words about tunnels")
    assert own.turn(following.turn)["status"] == "complete"
    (record,) = [each for each in upstream.calls("Write 20 words about tunnels") if each["body"]][-1:]
    said = [block["text"] for message in record["body"]["messages"] for block in message["content"] if "text" in block]
    assert any(text.startswith(shown[:150]) for text in said), "the part that was kept is context for the next turn"
    assert own.broken_invariants() == ""


async def test_f22_a_stop_that_races_the_end_leaves_one_end(site, pages, upstream, redis):
    own = site("postgresql", redis=redis)
    web = await asyncio.to_thread(own.web)
    upstream.settings(delay_ms=20, first_ms=20)
    opened = await pages(own, web.url, 24)
    _, reply = await opened[0].send_and_read("Write 30 words about tides")
    usual = reply.done_at - reply.first_at
    ended: dict[str, int] = {}

    async def race(page: Page, n: int) -> None:
        call = await page.send(f"Write 30 words about tides {n}")
        await page.text(call.turn)
        # From before the end of the reply to after it.
        await asyncio.sleep(usual * (0.7 + n * 0.6 / 24))
        page.stop(call.turn)
        reply = await page.done(call.turn, 20)
        await asyncio.sleep(0.5)
        status = own.turn(call.turn)["status"]
        assert reply.done["status"] == status
        assert own.turn(call.turn)["reply"] == reply.text
        done = [seen for seen in page.history.of("done", page.session) if seen.frame["turn"] == call.turn]
        assert len(done) == 1, "one end"
        ended[status] = ended.get(status, 0) + 1

    rounds = 0
    # How long 24 replies take at once is not known from one: once more, where all stops came on one side.
    while set(ended) != {"stopped", "complete"} and rounds < 3:
        await asyncio.gather(*(race(page, n) for n, page in enumerate(opened)))
        rounds += 1
    what = f"{24 * rounds} stops around the end: one end each"
    measured("F22", what, f"{ended.get('stopped', 0)} stopped, {ended.get('complete', 0)} complete")
    assert set(ended) == {"stopped", "complete"}, "the stops came on both sides of the end"
    assert own.broken_invariants() == ""


OF = {
    "chat_turn": " WHERE session_id = %s",
    "chat_manifest": " WHERE turn_id IN (SELECT id FROM chat_turn WHERE session_id = %s)",
    "chat_fact": " WHERE session_id = %s",
    "chat_notice": " WHERE session_id = %s",
    "chat_chatsession": " WHERE id = %s",
}


async def test_f23_deleting_a_conversation_while_it_is_answered_ends_everything_about_it(site, pages, upstream, redis):
    own = site("postgresql", redis=redis, undo_s=6, sweep_s=1)
    first, second = own.web(start=False), own.web(start=False)
    await asyncio.to_thread(own.start, first, second)
    upstream.settings(delay_ms=50)
    (page,) = await pages(own, first.url)
    (elsewhere,) = await pages(own, second.url, sessions=[page.session])
    asked = "Write 900 words about a garden"
    call = await page.send(asked)
    await page.text(call.turn, 100, 20)
    assert len(upstream.open(asked)) == 1
    began = time.monotonic()
    assert await post_form(first.url, page.cookie, f"/c/{page.session}/delete/") in (200, 204, 302)
    closed = await hung_up(upstream, asked, began)
    measured("F23", "deleted while it is answered: upstream call closed after", closed, "s")
    assert closed <= 2.0
    for each in (page, elsewhere):
        await each.until(lambda each=each: bool(each.history.of("gone", each.session)), 10, "gone")
        await each.until(lambda each=each: 4404 in each.close_codes, 10, "the close")
    told = elsewhere.history.of("gone", page.session)[0].at - began
    measured("F23", "the same: the other tab, on another process, is told after", told, "s")
    rows = own.rows("SELECT count(*) FROM chat_turn WHERE session_id = %s", page.session)
    await asyncio.sleep(2.0)
    assert own.rows("SELECT count(*) FROM chat_turn WHERE session_id = %s", page.session) == rows == [(1,)]
    assert own.turn(call.turn)["status"] == "stopped"
    status, _ = first.get(f"/c/{page.session}/", cookie=page.cookie)
    assert status == 404

    def left() -> int:
        """Rows of this conversation in any table that can hold one of its words."""
        tables = ("chat_turn", "chat_manifest", "chat_fact", "chat_notice", "chat_chatsession")
        return sum(own.rows(f"SELECT count(*) FROM {table}{OF[table]}", page.session)[0][0] for table in tables)

    assert left() > 0
    await eventually(lambda: left() == 0, 20, "the undo window (6 s here) and the sweep after it to pass")
    measured("F23", "the same: rows left after the undo window", left(), "")
    assert own.broken_invariants() == ""
