"""A runner that dies or stands still while it answers: its turns are taken over, once, and nothing is said twice."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.faults.harness import Page, eventually, measured, offered, percentile

TAKEOVER_S = 25.0
# A lease for the rows whose figure is not about the lease; the default one is 15 / 5 / 5 s.
SHORT = {"lease_s": 3, "beat_s": 1, "reap_s": 1}


def lengths(own: Any) -> dict[int, int]:
    """How long each turn's stored reply is, in characters."""
    return dict(own.rows("SELECT id, length(reply) FROM chat_turn"))


def told(page: Page, turn: int) -> bool:
    """Whether this page was told that the answer starts again."""
    phases = {frame["phase"] for _, frame in page.statuses if frame["turn"] == turn}
    return page.replies[turn].resets > 0 or "restarting" in phases


async def test_f05_turns_of_a_killed_runner_are_taken_over_once_and_completed(site, pages, upstream, redis):
    own = site("postgresql", redis=redis, runner_slots=64)
    web, first, second = own.web(runner=False, start=False), own.run_turns(start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, first)
    upstream.settings(delay_ms=150)
    opened = await pages(own, web.url, 50)
    calls = [page.post(f"Write 900 words about harbour number {n}") for n, page in enumerate(opened)]
    await eventually(lambda: len(upstream.open("Write 900 words about harbour")) == 50, 60, "50 answers being written")
    await eventually(lambda: min(lengths(own).values()) > 0, 30, "a first part of each of them stored")
    await asyncio.to_thread(second.start)
    # Attempt 2 need not be slow.
    upstream.settings(delay_ms=1)
    await asyncio.to_thread(first.kill)
    killed = time.monotonic()
    before = lengths(own)
    assert own.statuses() == {"running": 50}, "the fault came too late"

    shrunk: list[int] = []

    def taken_over() -> bool:
        now = lengths(own)
        shrunk.extend(turn for turn, size in before.items() if now[turn] < size)
        return len(upstream.calls("Write 900 words about harbour")) >= 100

    await eventually(taken_over, TAKEOVER_S + 5, "50 second attempts")
    replies = await asyncio.gather(*(page.done(call.turn, 60) for page, call in zip(opened, calls, strict=True)))
    records = upstream.calls("Write 900 words about harbour")
    seconds = [record["began"] - killed for record in records if record["began"] > killed]
    measured(
        "F05",
        "kill -9 of a runner with 50 answers, another one on the same machine: taken over, half of them",
        percentile(seconds, 0.5),
        "s",
    )
    measured("F05", "the same, the last of them", max(seconds), "s")
    assert len(records) == 100, "each turn is answered by exactly two calls"
    assert {record["outcome"] for record in records if record["began"] < killed} == {"closed"}
    assert max(seconds) <= TAKEOVER_S
    assert shrunk == [], "the first part stays until the second attempt has said more"
    assert own.statuses() == {"complete": 50}
    assert {own.turn(call.turn)["attempt"] for call in calls} == {2}
    for page, call, reply in zip(opened, calls, replies, strict=True):
        assert own.turn(call.turn)["reply"] == reply.text
        assert told(page, call.turn), "the page says that the answer starts again"
    assert opened[0].history.judge(own.rows("SELECT client_id, session_id, prompt FROM chat_turn")) == []
    assert own.broken_invariants() == ""


@contextlib.contextmanager
def held(own: Any, session: Any) -> Iterator[psycopg.Connection]:
    """Hold the row of a conversation, so that a commit about it waits."""
    with psycopg.connect(own.database.direct) as connection:
        connection.execute("SELECT 1 FROM chat_chatsession WHERE id = %s FOR UPDATE", [session])
        yield connection
        connection.rollback()


async def test_f06_a_runner_killed_between_the_last_word_and_the_commit_leaves_one_reply(site, pages, upstream, redis):
    own = site("postgresql", redis=redis, **SHORT)
    web, first, second = own.web(runner=False, start=False), own.run_turns(start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, first)
    (page,) = await pages(own, web.url)
    call = await page.send("Write 40 words about a lighthouse")
    with held(own, page.session):
        await eventually(
            lambda: [record["outcome"] for record in upstream.calls("Write 40 words about a lighthouse")] == ["sent"],
            30,
            "the whole answer to have come",
        )
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        await eventually(lambda: own.rows(waiting)[0][0] > 0, 10, "the closing transaction to wait for the row")
        await asyncio.to_thread(first.kill)
        killed = time.monotonic()
    assert own.turn(call.turn)["status"] == "running", "the closing commit never came"
    await asyncio.to_thread(second.start)
    reply = await page.done(call.turn, 30)
    measured(
        "F06", "kill -9 before the closing commit (lease 3 s): answered again after", time.monotonic() - killed, "s"
    )
    assert [record["outcome"] for record in upstream.calls("Write 40 words about a lighthouse")] == ["sent", "sent"]
    row = own.turn(call.turn)
    assert (row["status"], row["attempt"], row["reply"]) == ("complete", 2, reply.text)
    assert own.rows("SELECT count(*) FROM chat_turn WHERE session_id = %s", page.session) == [(1,)]
    done = [seen for seen in page.history.of("done") if seen.frame["turn"] == call.turn]
    assert len(done) <= 1, "never two ends"
    assert own.broken_invariants() == ""


async def test_f07_a_runner_that_stood_still_for_40_seconds_writes_nothing_and_hangs_up(site, pages, upstream, redis):
    own = site("postgresql", redis=redis)
    web, first, second = own.web(runner=False, start=False), own.run_turns(start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, first)
    upstream.settings(delay_ms=150)
    opened = await pages(own, web.url, 5)
    calls = [await page.send(f"Write 2400 words about glacier {n}") for n, page in enumerate(opened)]
    await eventually(lambda: min(lengths(own).values()) > 0, 30, "a first part of each of them stored")
    upstream.settings(delay_ms=1)
    await asyncio.to_thread(first.freeze)
    frozen = time.monotonic()
    await asyncio.to_thread(second.start)
    for page, call in zip(opened, calls, strict=True):
        await page.done(call.turn, TAKEOVER_S + 10)
    stored = {call.turn: own.turn(call.turn) for call in calls}
    assert {row["attempt"] for row in stored.values()} == {2}
    await asyncio.sleep(max(0.0, frozen + 40 - time.monotonic()))
    stale = [record for record in upstream.calls("Write 2400 words about glacier") if record["began"] < frozen]
    assert [record["outcome"] for record in stale] == ["open"] * 5, "the frozen runner's calls are still being answered"
    await asyncio.to_thread(first.thaw)
    took = await eventually(
        lambda: not upstream.open("Write 2400 words about glacier"), 15, "the thawed runner to hang up its calls"
    )
    measured("F07", "a runner that stood still for 40 s hangs up its calls after", took, "s")
    assert took <= 5.0
    await asyncio.sleep(3.0)
    assert {call.turn: own.turn(call.turn) for call in calls} == stored, "nothing that it wrote counted"
    assert own.broken_invariants() == ""


async def test_f08_a_turn_whose_runner_is_killed_twice_fails_with_its_part_kept_and_can_be_retried(
    site, pages, upstream, redis
):
    own = site("postgresql", redis=redis, **SHORT)
    web, first, second = own.web(runner=False, start=False), own.run_turns(start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, first)
    upstream.settings(delay_ms=100)
    (page,) = await pages(own, web.url)
    asked = "Write 900 words about a volcano"
    call = await page.send(asked)
    await eventually(lambda: lengths(own)[call.turn] > 0, 30, "a first part")
    await asyncio.to_thread(first.kill)
    first_part = own.turn(call.turn)["reply"]
    await asyncio.to_thread(second.start)
    await eventually(
        lambda: own.turn(call.turn)["attempt"] == 2 and len(upstream.open(asked)) == 1, 20, "a second attempt"
    )
    await asyncio.to_thread(second.kill)
    killed = time.monotonic()
    third = own.run_turns(start=False)
    await asyncio.to_thread(third.start)
    await eventually(lambda: own.turn(call.turn)["status"] == "failed", 20, "the turn to fail")
    measured("F08", "the second kill -9 (lease 3 s): said to have failed after", time.monotonic() - killed, "s")
    row = own.turn(call.turn)
    assert (row["error"], row["prompt"]) == ("owner_lost", asked)
    assert row["reply"].startswith(first_part[: len(first_part) // 2])
    assert len(row["reply"]) >= len(first_part), "the longer part is kept"
    reply = await page.done(call.turn, 10)
    assert reply.done["status"] == "failed"
    status, text = web.get(f"/c/{page.session}/", cookie=page.cookie)
    assert status == 200
    assert offered(text, "retry", call.turn), "Retry is offered"
    upstream.settings(delay_ms=1)
    again, whole = await page.send_and_read(asked, op="retry", of=call.turn)
    assert own.turn(again.turn)["status"] == "complete"
    assert whole.text.startswith(first_part[:40])
    assert own.broken_invariants() == ""


pytestmark = pytest.mark.timeout(180)
