"""What one person may use: the message after the last is refused with its end, and no call is made past a cap."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.faults.harness import eventually, measured

MANY = 20


def refusals(page, call):
    """The refusals that this message got."""
    frames = (seen.frame for seen in page.history.of("rejected"))
    return [frame for frame in frames if frame["client_id"] == str(call.client_id)]


async def at_once(opened, words):
    """A message from every page in one instant; those that were taken, and the refusals of the others."""
    calls = [page.post(f"{words} {number}") for number, page in enumerate(opened)]
    for page, call in zip(opened, calls, strict=True):
        await page.until(lambda page=page, call=call: call.outcome == "ok" or refusals(page, call), 30, "an answer")
    taken = [(page, call) for page, call in zip(opened, calls, strict=True) if call.outcome == "ok"]
    refused = [refusals(page, call)[0] for page, call in zip(opened, calls, strict=True) if call.outcome != "ok"]
    return taken, refused


def money(own):
    """Millionths of a US dollar spent today, and set aside."""
    return own.rows("SELECT cost, reserved_cost FROM chat_allowance")[0]


def used(own):
    """Tokens used today, and set aside."""
    return own.rows("SELECT used, reserved FROM chat_allowance")[0]


async def test_a12_the_message_after_the_last_of_a_minute_waits(site, pages, redis):
    own = site("postgresql", redis=redis, messages_per_minute=5)
    web, second = own.web(start=False), own.web(start=False, runner=False)
    await asyncio.to_thread(own.start, web, second)
    first = await pages(own, web.url, 4)
    rest = await pages(own, second.url, 4, history=first[0].history)
    taken, refused = await at_once([*first, *rest], "Write 50 words about a gate")
    assert len(taken) == 5, "two processes count together"
    assert {frame["code"] for frame in refused} == {"quota"}
    assert {frame["reason"] for frame in refused} == {"messages"}
    waits = [frame["retry_after_ms"] / 1000 for frame in refused]
    assert all(50 < wait <= 60 for wait in waits)
    measured("A12", "5 messages a minute, 8 at once over two processes: taken", len(taken))
    page, call = taken[0]
    await page.done(call.turn)
    again = page.post(call.text, client_id=call.client_id)
    await page.until(lambda: again.duplicates > 0, 10, "the duplicate")
    assert own.broken_invariants() == ""


async def test_a12_the_third_reply_at_once_waits_for_one_to_end(site, pages, upstream):
    own = site("sqlite", live_turns=2)
    web = own.web()
    upstream.settings(delay_ms=20)
    opened = await pages(own, web.url, 3)
    taken, refused = await at_once(opened, "Write 50 words about a moor")
    assert len(taken) == 2
    assert [(frame["code"], frame["reason"]) for frame in refused] == [("quota", "live")]
    assert 0 < refused[0]["retry_after_ms"] <= 2_000
    third = next(page for page in opened if page not in [page for page, _ in taken])
    waiting = next(
        iter(third.history.calls[call] for call in third.history.calls if third.history.calls[call].outcome != "ok")
    )
    await third.until(lambda: waiting.outcome == "ok", 30, "its turn")
    await third.done(waiting.turn)
    measured("A12", "two replies at once: the third is taken after", waiting.seconds, "s")
    assert own.broken_invariants() == ""


# Refusals come fast enough to be a flood of frames.
PAUSE_S = 0.2


def seconds_to_midnight():
    """Until the day of the allowances ends."""
    now = datetime.now(UTC)
    return (now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) - now).total_seconds()


async def until_the_day_is_full(page, words):
    """Message after message, until one is refused for the rest of the day; the reason of that refusal."""
    for number in range(60):
        call = page.post(f"{words} {number}")
        await page.until(lambda call=call: call.outcome == "ok" or refusals(page, call), 30, "an answer")
        if call.outcome == "ok":
            await page.done(call.turn)
        elif (refusal := refusals(page, call)[-1])["retry_after_ms"] > 60_000:
            assert abs(refusal["retry_after_ms"] / 1000 - seconds_to_midnight()) < 60, "it goes on at 00:00 UTC"
            return refusal["reason"]
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("the day was never full")


async def test_a12_no_call_is_made_past_a_days_tokens_with_twenty_at_once(site, pages, upstream):
    own = site("postgresql", tokens_per_day=12_000, context_window=16_000)
    web, runner = own.web(runner=False, start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, runner)
    upstream.settings(delay_ms=2)
    opened = await pages(own, web.url, MANY)
    before = len(upstream.log())
    taken, refused = await at_once(opened, "Write 50 words about a weir")
    assert taken
    assert refused
    assert {(frame["code"], frame["reason"]) for frame in refused} == {("quota", "tokens")}
    for page, call in taken:
        await page.done(call.turn)
    # Those that were refused come again as the others give back what they did not use; then the day is full.
    assert await until_the_day_is_full(opened[0], "Write 50 words about a weir again") == "tokens"
    await eventually(lambda: used(own)[1] == 0, 30, "nothing to be set aside any more")
    calls = [record for record in upstream.log(before) if record["purpose"] == "reply"]
    tokens = sum(sum(usage.values()) for (usage,) in own.rows("SELECT usage FROM chat_turn WHERE usage IS NOT NULL"))
    assert used(own) == (tokens, 0)
    assert tokens <= 12_000
    assert len(calls) == own.statuses().get("complete", 0) + own.statuses().get("truncated", 0)
    measured("A12", f"12,000 tokens a day, {MANY} at once and more after: tokens used", tokens)
    measured("A12", "the same: calls made", len(calls))
    assert own.broken_invariants() == ""


async def test_a12_no_call_is_made_past_a_days_money_with_twenty_at_once(site, pages, upstream):
    own = site("postgresql", spend_per_day=0.1, response_tokens=1_024, context_window=16_000)
    web, second = own.web(start=False), own.web(start=False, runner=False)
    await asyncio.to_thread(own.start, web, second)
    upstream.settings(delay_ms=20)
    first = await pages(own, web.url, MANY // 2)
    rest = await pages(own, second.url, MANY // 2, history=first[0].history)
    before = len(upstream.log())
    taken, refused = await at_once([*first, *rest], "Write 50 words about a dyke")
    assert taken
    assert refused
    assert {(frame["code"], frame["reason"]) for frame in refused} == {("quota", "spend")}
    assert all(frame["retry_after_ms"] > 0 for frame in refused), "each says when it ends"
    ((most,),) = own.rows("SELECT max(cost + reserved_cost) FROM chat_allowance")
    assert most <= 100_000
    for page, call in taken:
        await page.done(call.turn)
    upstream.settings(delay_ms=2)
    assert await until_the_day_is_full(first[0], "Write 200 words about a dyke again") == "spend"
    await eventually(lambda: money(own)[1] == 0, 30, "nothing to be set aside any more")
    calls = [record for record in upstream.log(before) if record["purpose"] == "reply"]
    assert 0 < money(own)[0] <= 100_000
    assert len(calls) == own.statuses()["complete"] == sum(own.statuses().values())
    ((paid,),) = own.rows("SELECT round(sum(cost) * 1000000) FROM monitoring_modelcall WHERE purpose = 'reply'")
    assert abs(money(own)[0] - paid) <= len(calls), "each call is rounded up"
    measured("A12", f"0.10 US$ a day, {MANY} at once and more after: millionths of a US$ spent", money(own)[0])
    measured("A12", "the same: calls made", len(calls))
    assert own.broken_invariants() == ""


async def test_a12_what_was_set_aside_comes_back_when_a_runner_is_killed(site, pages, upstream):
    own = site("postgresql", lease_s=2, beat_s=1, reap_s=1, live_turns=2, spend_per_day=5)
    web, first, second = own.web(runner=False, start=False), own.run_turns(start=False), own.run_turns(start=False)
    await asyncio.to_thread(own.start, web, first)
    upstream.settings(delay_ms=20)
    (page,) = await pages(own, web.url)
    call = await page.send("Write 300 words about a sluice")
    await page.text(call.turn)
    assert own.rows("SELECT live, reserved > 0, reserved_cost > 0 FROM chat_allowance") == [(1, True, True)]
    await asyncio.to_thread(first.kill)
    assert own.broken_invariants() == "" or "runs without a lease" in own.broken_invariants()
    upstream.settings(delay_ms=1)
    await asyncio.to_thread(second.start)
    await page.done(call.turn)
    rows = own.rows("SELECT live, reserved, reserved_cost, used > 0, cost > 0 FROM chat_allowance")
    assert rows == [(0, 0, 0, True, True)]
    assert own.broken_invariants() == ""
