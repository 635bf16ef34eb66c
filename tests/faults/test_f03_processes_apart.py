"""Sockets in one process, replies in another: two devices, a web process killed, Redis stopped, flushed or absent."""

import asyncio
import bisect
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.harness import Page, Site, eventually, measured
from tests.faults.harness.measured import SCHEDULING_S, percentile
from tests.postgres import free_port
from tests.redis import Server as Redis

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def frail(redis: Redis) -> Iterator[Redis]:
    """A Redis server that a test may stop or freeze."""
    yield redis
    redis.thaw()


async def apart(site: Any, redis: Any, webs: int = 2, **settings: Any) -> tuple[Site, list[Any], Any]:
    """A site whose web processes run nothing, and one runner."""
    own = site("postgresql", redis=redis, **settings)
    fronts = [own.web(runner=False, start=False) for _ in range(webs)]
    runner = own.run_turns(start=False)
    await asyncio.to_thread(own.start, *fronts, runner)
    return own, fronts, runner


def text_times(page: Page, turn: int) -> list[tuple[int, float]]:
    """When this page had how much of a reply: (end, time)."""
    seen = [*page.history.of("snapshot", page.session), *page.history.of("delta", page.session)]
    return sorted(((one.frame["end"], one.at) for one in seen if one.frame["turn"] == turn), key=lambda pair: pair[1])


def gaps(page: Page, turn: int, since: float, until: float) -> list[float]:
    """The pauses between two pieces of text, in seconds, within a span of time."""
    times = [at for end, at in text_times(page, turn) if end and since <= at <= until]
    return [after - before for before, after in itertools.pairwise([since, *times])]


def lags(first: Page, second: Page, turn: int) -> list[float]:
    """How much later the slower page had each piece of text, whichever of the two that was."""
    out = []
    for one, other in ((first, second), (second, first)):
        later = text_times(other, turn)
        ends = [end for end, _ in later]
        for end, at in text_times(one, turn):
            place = bisect.bisect_left(ends, end)
            if end and place < len(ends):
                out.append(later[place][1] - at)
    return out


@pytest.mark.parametrize("bus", ["over Redis", "without Redis"])
async def test_f03_a_second_device_on_another_process_sees_the_same_and_either_stops_both(
    site, pages, upstream, redis, bus
):
    with_redis = bus == "over Redis"
    own, (first, second), _ = await apart(site, redis if with_redis else None)
    upstream.settings(delay_ms=20)
    (page,) = await pages(own, first.url)
    # Apart, so that each page's frames can be told from the other's.
    (other,) = await pages(own, second.url, sessions=[page.session])
    asked = f"Write 150 words about two devices {bus}"
    call = await page.send(asked)
    one, two = await page.done(call.turn), await other.done(call.turn)
    assert one.text == two.text == own.turn(call.turn)["reply"]
    assert (one.done["sha256"], one.done["end"]) == (two.done["sha256"], two.done["end"])
    late = lags(page, other, call.turn)
    measured("F03", f"a second device on another process, {bus}: p95 of its lag", percentile(late, 0.95), "s")
    # Without Redis both read the row, each at its own moment of the second.
    assert percentile(late, 0.95) <= (0.3 if with_redis else 1.5) + SCHEDULING_S / 5
    for stops, watches in ((page, other), (other, page)):
        call = await page.send(f"Write 900 words, stopped {bus}")
        await asyncio.gather(*(each.text(call.turn, 50, 20) for each in (page, other)))
        began = time.monotonic()
        stops.stop(call.turn)
        replies = await asyncio.gather(stops.done(call.turn, 10), watches.done(call.turn, 10))
        slowest = max(reply.done_at for reply in replies) - began
        measured("F03", f"stop on either device, {bus}: both have stopped after", slowest, "s")
        # Without Redis: the runner looks for stops once a second, and the web processes for ends.
        assert slowest <= (1.0 if with_redis else 2.5) + SCHEDULING_S
        assert own.turn(call.turn)["status"] == "stopped"
        assert replies[0].text == replies[1].text == own.turn(call.turn)["reply"]


async def test_f04_a_killed_web_process_loses_no_turn_and_its_pages_come_back(site, pages, upstream, redis):
    own, (doomed, other), _ = await apart(site, redis, runner_slots=250)
    upstream.settings(delay_ms=150, first_ms=50)
    opened = await pages(own, [doomed.url, other.url], 200)
    live = opened[:40]
    calls = [page.post(f"Write 80 words about page {n}") for n, page in enumerate(live)]
    for page, call in zip(live, calls, strict=True):
        await page.until(lambda call=call: call.outcome == "ok", 30, "an acknowledgement")
        await page.text(call.turn, 1, 30)
    killed = time.monotonic()
    doomed.kill()
    assert not doomed.running
    await asyncio.gather(
        *(page.until(lambda page=page: len(page.welcomes) > 1, 30, "it to be back") for page in opened)
    )
    back = [page.welcomes[1] - killed for page in opened]
    measured("F04", "web process killed with 200 sockets: 95 % were back after", percentile(back, 0.95), "s")
    measured("F04", "the same: the last one", max(back), "s")
    assert percentile(back, 0.95) <= 5.0 + 4 * SCHEDULING_S, "the pages share the two cores with the site"
    assert max(back) <= 15.0
    for page, call in zip(live, calls, strict=True):
        reply = await page.done(call.turn, 60)
        row = own.turn(call.turn)
        assert (row["status"], row["attempt"]) == ("complete", 1)
        assert reply.text == row["reply"]
        assert reply.resets == 0
    resumed = [
        min(at for end, at in text_times(page, call.turn) if at > killed) - killed
        for page, call in zip(live, calls, strict=True)
    ]
    measured("F04", "the same: text goes on in 95 % of 40 live replies after", percentile(resumed, 0.95), "s")
    assert own.broken_invariants() == ""


class Streams:
    """Four replies that are written all the while, and two pages at rest."""

    def __init__(self, own: Site, opened: list[Page], row: str) -> None:
        self.own, self.row = own, row
        self.live, self.resting = opened[:4], opened[4:]
        self.turns: list[int] = []

    async def begin(self) -> None:
        for number, page in enumerate(self.live):
            call = await page.send(f"Write 3000 words about page {number}")
            self.turns.append(call.turn)
        await asyncio.gather(*(page.text(turn, 30, 20) for page, turn in self.pairs))

    @property
    def pairs(self) -> list[tuple[Page, int]]:
        return list(zip(self.live, self.turns, strict=True))

    async def watch(self, seconds: float, what: str, share: float = 1.0) -> float:
        """Let them go on for so long; the longest pause of any, or what a share of the pauses does not exceed."""
        began = time.monotonic()
        await asyncio.sleep(seconds)
        assert not any(page.replies[turn].done for page, turn in self.pairs), "they are written all the time"
        ended = time.monotonic()
        worst = max(percentile(gaps(page, turn, began, ended), share) for page, turn in self.pairs)
        measured(self.row, f"{what}: {'longest pause' if share == 1 else 'p90 of the pauses'} in 4 replies", worst, "s")
        return worst

    async def use(self, what: str) -> None:
        """A message with its answer, and a stop."""
        _, reply = await self.resting[0].send_and_read(f"Write 20 words while Redis is {what}", 30)
        assert reply.text == self.own.turn(reply.turn)["reply"]
        call = await self.resting[1].send(f"Write 900 words while Redis is {what}")
        await self.resting[1].text(call.turn, 10, 20)
        stopped = time.monotonic()
        self.resting[1].stop(call.turn)
        await self.resting[1].done(call.turn, 10)
        measured(self.row, f"Redis {what}: a stop is shown after", time.monotonic() - stopped, "s")
        assert self.own.turn(call.turn)["status"] == "stopped"

    async def end(self) -> None:
        for page, turn in self.pairs:
            page.stop(turn)
        for page, turn in self.pairs:
            reply = await page.done(turn, 20)
            assert reply.text == self.own.turn(turn)["reply"]
            assert reply.resets == 0
        assert [code for page in [*self.live, *self.resting] for code in page.close_codes] == []
        assert self.own.broken_invariants() == ""


async def test_f11_while_redis_is_flushed_silent_or_stopped_replies_go_on(site, pages, upstream, frail):
    own, (web,), runner = await apart(site, frail, webs=1)
    upstream.settings(delay_ms=100)
    streams = Streams(own, await pages(own, web.url, 6), "F11")
    await streams.begin()
    frail.flush()
    assert await streams.watch(2, "Redis flushed") <= 1.5 + SCHEDULING_S
    for what, fault, cure in (("silent", frail.freeze, frail.thaw), ("stopped", frail.stop, frail.start)):
        ups = {process: len(process.events("bus_up")) for process in (web, runner)}
        downs = {process: len(process.events("bus_down")) for process in (web, runner)}
        fault()
        assert await streams.watch(6, f"Redis {what}") <= 1.5 + SCHEDULING_S
        await streams.use(what)
        for process in (web, runner):
            assert len(process.events("bus_down")) > downs[process], "the fault happened"
            assert len(process.events("bus_up")) == ups[process]
        await asyncio.to_thread(cure)

        def back(ups: dict[Any, int] = ups) -> bool:
            return all(len(each.events("bus_up")) > count for each, count in ups.items())

        await eventually(back, 15, "the bus to be used again")
        assert await streams.watch(2, f"Redis {what}, then back", 0.9) <= 0.5
    await streams.end()


async def test_f12_where_redis_never_was_replies_come_from_their_rows(site, pages, upstream):
    own, (web,), _ = await apart(site, None, webs=1, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    upstream.settings(delay_ms=100)
    streams = Streams(own, await pages(own, web.url, 6), "F12")
    await streams.begin()
    assert await streams.watch(6, "Redis never there") <= 1.5 + SCHEDULING_S
    await streams.use("never there")
    assert web.events("bus_down"), "it was looked for"
    assert not web.events("bus_up")
    await streams.end()
