"""What a scrape of /metrics costs: while nobody writes, and while 100 replies are being written.

From outside: the time until the whole answer has come. Inside: processor time, of many scrapes one after the other.
"""

import asyncio
import os
import sys
import time
import urllib.request

from tests.bench.load import machine, site
from tests.bench.load.rounds import percentile, round_of

STREAMS = 100
SCRAPES = 40
PAUSE_S = 0.1
TOKEN = "bench"


def scrape(port: int) -> float:
    """Seconds that one takes."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Accept": "text/plain"}
    )
    begun = time.perf_counter()
    with urllib.request.urlopen(asked, timeout=30) as answer:
        text = answer.read()
    took = time.perf_counter() - begun
    assert b"chat_calls_total" in text
    return took


async def scrapes(port: int, pause_s: float) -> list[float]:
    """Some scrapes, with a pause between them."""
    took = []
    for _ in range(SCRAPES):
        took.append(await asyncio.to_thread(scrape, port))
        await asyncio.sleep(pause_s)
    return took


def told(what: str, took: list[float]) -> None:
    print(f"{what}: p50 {percentile(took, 0.5) * 1e3:.1f} ms, p95 {percentile(took, 0.95) * 1e3:.1f} ms")


async def watch(place: site.Place, pid: int, port: int, upstream: int) -> None:
    """One round of talk, so that there is something to tell; then scrapes beside another, and alone."""
    people = place.fresh(STREAMS)
    await round_of(STREAMS, server=pid, port=port, upstream=upstream, people=people, name="first")
    talk = asyncio.create_task(
        round_of(STREAMS, server=pid, port=port, upstream=upstream, people=people, name="second")
    )
    await asyncio.sleep(2.5)  # all of them write now
    told(f"a scrape at {STREAMS} live replies", await scrapes(port, PAUSE_S / 4))
    await talk
    told("a scrape while nobody writes", await scrapes(port, PAUSE_S))
    cpu = machine.cpu_s(pid)
    await scrapes(port, 0)
    print(f"processor time of a scrape: {(machine.cpu_s(pid) - cpu) / SCRAPES * 1e3:.1f} ms")


def main() -> int:
    """The command."""
    if (os.cpu_count() or 1) > machine.OTHER_CORE:
        os.sched_setaffinity(0, {machine.OTHER_CORE})
    print(machine.describe())
    with site.upstream() as (other, url), site.database("sqlite") as env:
        place = site.furnish(env, url, STREAMS)
        with site.ours(place, more={"MONITORING_METRICS_TOKEN": TOKEN}) as (pid, port):
            asyncio.run(watch(place, pid, port, other))
    return 0


if __name__ == "__main__":
    sys.exit(main())
