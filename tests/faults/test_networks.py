"""Bad networks: half-open, cut, slow; between the page and the site, the site and the model, the site and its rows.

Half-open means that the connection stands, every byte is acknowledged by the kernel, and none of them arrives: no
timeout of TCP can see that, only those of the site. The rows N1 to N7 are ours.
"""

import asyncio
import time
from typing import Any

import pytest

from tests.faults.harness import History, Page, eventually, measured
from tests.faults.harness.measured import SCHEDULING_S

pytestmark = pytest.mark.timeout(240)

PAGE_SILENT_S = 45.0
SERVER_SILENT_S = 60.0
"""After so many seconds without a frame, at the latest, each side takes the other one for dead (stream/protocol.py);
the server that carries the sockets pings by itself, and may know sooner."""

SILENT_S = 20.0
"""For so long the database says nothing: longer than a lease."""


def all_is_well(own: Any, opened: list[Page]) -> None:
    """What was shown is what is stored, all of it complete, nothing lost, nothing twice."""
    for page in opened:
        for turn, reply in page.replies.items():
            row = own.turn(turn)
            assert (row["status"], row["reply"]) == ("complete", reply.text)
    assert opened[0].history.judge(own.rows("SELECT client_id, session_id, prompt FROM chat_turn")) == []
    assert own.broken_invariants() == ""


async def stored(own: Any, client_id: Any) -> int:
    """The number of rows of one message."""
    sql = "SELECT count(*) FROM chat_turn WHERE client_id = %s"
    return int((await asyncio.to_thread(own.rows, sql, str(client_id)))[0][0])


class TestBetweenThePageAndTheSite:
    async def test_n1_a_half_open_page_comes_back_reads_on_and_sends_what_it_could_not_and_n2_the_site_lets_go_of_it(
        self, site, pages, upstream, redis, proxy
    ):
        own = site("postgresql", redis=redis)
        web = await asyncio.to_thread(own.web)
        upstream.settings(delay_ms=100)
        network, grave = proxy(web.port), proxy(web.port)
        ways = [f"http://127.0.0.1:{network.port}", web.url]
        reader, writer = await pages(own, ways, 2, jitter=0.1)
        (other,) = await pages(own, web.url, sessions=[reader.session], history=History())
        lost = await pages(own, f"http://127.0.0.1:{grave.port}", 5, reconnect=False)
        call = await reader.send("Write 560 words about a lighthouse")
        shown = await reader.text(call.turn, 200)
        began = time.monotonic()
        for line in (network, grave):
            await asyncio.to_thread(line.freeze)
        late = writer.post("Write 20 words about a harbour")
        assert web.sockets() == 8

        await reader.until(lambda: len(reader.welcomes) == 2, PAGE_SILENT_S + 15, "the reader to come back")
        back = reader.welcomes[1] - began
        await writer.until(lambda: late.outcome == "ok", PAGE_SILENT_S + 15, "the writer's message to be stored")
        assert network.open == 2, "both connections stand, and nobody hears the other one"
        assert (late.tries, late.duplicates) == (2, 0)
        assert reader.replies[call.turn].text.startswith(shown)
        # What was held back reaches the server now, the message among it.
        came = network.up
        await asyncio.to_thread(network.thaw)
        await eventually(lambda: network.up > came, 10, "the held message to reach the server")
        # The lost pages gave up after 45 s, and their goodbye does not arrive. Those who came back stay.
        await eventually(lambda: web.sockets() == 3, SERVER_SILENT_S - PAGE_SILENT_S + 25, "the site to let five go")
        gone = time.monotonic() - began
        assert grave.open == 5
        assert not any(page.up for page in lost)
        for page, asked in ((reader, call), (other, call), (writer, late)):
            await page.done(asked.turn, 90)
        assert await stored(own, late.client_id) == 1
        gaps = other.history.gaps(other.session, call.turn, began, began + 40)
        assert other.close_codes == []
        measured("N1", "a page whose network is half-open reads on after", back, "s")
        measured("N1", "its message that never arrived: sent again, and stored once, after", late.seconds, "s")
        measured("N2", "sockets of pages that are half-open: closed by the site after", gone, "s")
        measured("N1", "longest pause of another tab meanwhile", max(gaps), "s")
        assert back <= PAGE_SILENT_S + 5
        assert max(gaps) <= 0.5 + SCHEDULING_S
        all_is_well(own, [reader, writer])

    async def test_n3_a_slow_network_makes_a_reply_later_but_not_slower(self, site, pages, upstream, redis, proxy):
        own = site("postgresql", redis=redis)
        web = await asyncio.to_thread(own.web)
        upstream.settings(delay_ms=1)
        network = proxy(web.port)
        network.delay(0.4)
        (near,) = await pages(own, web.url)
        (far,) = await pages(own, f"http://127.0.0.1:{network.port}", sessions=[near.session], history=History())
        call = await near.send("Write 6000 words about a canal")
        for page in (near, far):
            await page.done(call.turn, 60)
        behind = far.replies[call.turn].done_at - near.replies[call.turn].done_at
        assert far.close_codes == []
        assert far.replies[call.turn].text == near.replies[call.turn].text == own.turn(call.turn)["reply"]
        measured("N3", "400 ms each way: the end of a reply of 6,000 words comes later by", behind, "s")
        # Its acknowledgements come 800 ms after the text: they must not hold back the rest.
        assert behind <= 1.0 + SCHEDULING_S


class TestBetweenTheSiteAndTheModel:
    @pytest.mark.parametrize("fault", ["reset", "half-open"])
    async def test_n4_a_reply_that_breaks_is_begun_again_and_never_passes_for_complete(
        self, site, pages, upstream, proxy, fault
    ):
        network = proxy(upstream.port)
        own = site("sqlite", base_url=upstream.url(port=network.port), model_content_s=3, model_first_s=3)
        web = await asyncio.to_thread(own.web)
        (page,) = await pages(own, web.url)
        call = await page.send(f"Write 200 words about a {fault} line")
        shown = await page.text(call.turn, 100)
        broken = time.monotonic()
        if fault == "reset":
            assert await asyncio.to_thread(network.reset_all) >= 1
        else:
            await asyncio.to_thread(network.freeze)
        await page.until(
            lambda: any(frame["phase"] == "restarting" for _, frame in page.statuses), 20, "the word that it restarts"
        )
        said = time.monotonic() - broken
        await asyncio.to_thread(network.thaw)
        reply = await page.done(call.turn, 60)
        assert len(reply.epochs) == 2
        row = own.turn(call.turn)
        assert (row["status"], row["attempt"], row["reply"]) == ("complete", 2, reply.text)
        assert len(reply.text) > len(shown)
        assert [record["status"] for record in upstream.calls(f"Write 200 words about a {fault}")][:2] == [200, 200]
        bound = 3.0 if fault == "half-open" else 0.0
        measured("N4", f"the line to the model is {fault}: the page is told that it restarts after", said, "s")
        assert bound - 0.5 <= said <= bound + 2 + SCHEDULING_S
        all_is_well(own, [page])


class TestBetweenTheSiteAndItsRows:
    async def test_n5_a_database_that_is_silent_for_longer_than_a_lease_stops_no_reply_and_loses_no_message(
        self, site, pages, upstream, redis, postgresql, proxy
    ):
        network = proxy(postgresql.cluster.port)
        own = site("postgresql", redis=redis, database_port=network.port)
        web = await asyncio.to_thread(own.web)
        upstream.settings(delay_ms=100)
        opened = await pages(own, web.url, 11)
        writer = opened[10]
        calls = [
            await page.send(f"Write {250 if n < 5 else 400} words about island {n}")
            for n, page in enumerate(opened[:10])
        ]
        await asyncio.gather(*(page.text(call.turn) for page, call in zip(opened, calls, strict=False)))
        came = network.down
        await asyncio.to_thread(network.freeze)
        began = time.monotonic()
        late = writer.post("Write 20 words about patience")
        await asyncio.sleep(SILENT_S)
        assert network.down == came, "not a byte came from the database"
        assert late.outcome != "ok"
        await asyncio.to_thread(network.thaw)
        back = time.monotonic()
        await writer.until(lambda: late.outcome == "ok", 40, "the late message to be stored")
        took = time.monotonic() - back
        for page, call in zip(opened, [*calls, late], strict=True):
            await page.done(call.turn, 90)
        worst = max(
            max(page.history.gaps(page.session, call.turn, began, back))
            for page, call in zip(opened[5:10], calls[5:], strict=True)
        )
        assert [page.close_codes for page in opened] == [[]] * 11
        assert all(len(page.replies[call.turn].epochs) == 1 for page, call in zip(opened, calls, strict=False))
        measured("N5", "PostgreSQL half-open for 20 s while 10 stream: longest gap between two pieces", worst, "s")
        measured("N5", "a message sent meanwhile: stored, once, after its return within", took, "s")
        assert worst <= 1.5 + SCHEDULING_S
        all_is_well(own, opened)

    async def test_n6_connections_to_the_database_that_are_reset_are_replaced_unseen(
        self, site, pages, upstream, redis, postgresql, proxy
    ):
        network = proxy(postgresql.cluster.port)
        own = site("postgresql", redis=redis, database_port=network.port)
        web = await asyncio.to_thread(own.web)
        upstream.settings(delay_ms=50)
        opened = await pages(own, web.url, 10)
        cuts = 0
        calls = [page.post(f"Write 150 words about bay {n}") for n, page in enumerate(opened)]
        for _ in range(5):
            await asyncio.sleep(0.7)
            cuts += await asyncio.to_thread(network.reset_all)
        for page, call in zip(opened, calls, strict=True):
            await page.until(lambda call=call: call.outcome == "ok", 40, "the message to be stored")
            await page.done(call.turn, 60)
        assert cuts >= 5
        assert [page.close_codes for page in opened] == [[]] * 10
        worst = max(page.replies[call.turn].done_at - call.began for page, call in zip(opened, calls, strict=True))
        measured("N6", "connections to PostgreSQL that were reset while 10 were answered", cuts)
        measured("N6", "the same: the last answer whole after", worst, "s")
        all_is_well(own, opened)

    async def test_n7_a_bus_that_is_cut_again_and_again_costs_no_word_of_a_reply_read_elsewhere(
        self, site, pages, upstream, redis, proxy
    ):
        network = proxy(redis.port)
        own = site("postgresql", redis=redis, redis_url=redis.url().replace(str(redis.port), str(network.port)))
        web, runner = own.web(runner=False, start=False), own.run_turns(start=False)
        await asyncio.to_thread(own.start, web, runner)
        upstream.settings(delay_ms=20)
        opened = await pages(own, web.url, 4)
        calls = [await page.send(f"Write 400 words about a bridge {n}") for n, page in enumerate(opened)]
        await asyncio.gather(*(page.text(call.turn) for page, call in zip(opened, calls, strict=True)))
        began, cuts = time.monotonic(), 0
        for _ in range(4):
            cuts += await asyncio.to_thread(network.reset_all)
            await asyncio.sleep(1.0)
        for page, call in zip(opened, calls, strict=True):
            await page.done(call.turn, 60)
        worst = max(
            max(page.history.gaps(page.session, call.turn, began, began + 5))
            for page, call in zip(opened, calls, strict=True)
        )
        assert cuts >= 8, "each time both processes were cut off"
        assert [page.close_codes for page in opened] == [[]] * 4
        measured("N7", "connections to Redis that were reset while 4 replies were read elsewhere", cuts)
        measured("N7", "the same: longest pause", worst, "s")
        assert worst <= 1.5 + SCHEDULING_S
        all_is_well(own, opened)
