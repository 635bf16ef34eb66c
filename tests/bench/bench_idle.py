"""What our server costs while nobody writes: the process, a connection, and its processor time with 1,000 of them.

Each of the sockets is signed in, has said hello on a conversation of its own, and pings as a page does.
"""

import asyncio
import os
import sys
import time

from tests.bench.load import machine, site
from tests.bench.load.crowd import allow, crowd

SOCKETS = 1_000
SETTLE_S = 5.0
WATCH_S = 20.0


async def watch(place: site.Place, pid: int, port: int) -> None:
    """Open the sockets, let them be, print the figures."""
    await asyncio.sleep(SETTLE_S)
    alone, begun, cpu = machine.rss_mb(pid), time.monotonic(), machine.cpu_s(pid)
    await asyncio.sleep(SETTLE_S)
    empty = (machine.cpu_s(pid) - cpu) / (time.monotonic() - begun)
    begun, cpu = time.monotonic(), machine.cpu_s(pid)
    async with crowd(place.fresh(SOCKETS), port) as clients:
        opening = (machine.cpu_s(pid) - cpu) / SOCKETS
        took = time.monotonic() - begun
        await asyncio.sleep(SETTLE_S)
        full = machine.rss_mb(pid)
        cpu, begun = machine.cpu_s(pid), time.monotonic()
        await asyncio.sleep(WATCH_S)
        share = (machine.cpu_s(pid) - cpu) / (time.monotonic() - begun)
        lost = [client.socket.closed for client in clients if client.socket.closed]
    print(f"process: {alone:.0f} MB, {empty:.1%} of a core")
    print(
        f"{SOCKETS} connections: {(full - alone) * 1e3 / SOCKETS:.0f} KB each, {share:.1%} of a core, {len(lost)} lost"
    )
    print(f"opening one: {opening * 1e3:.1f} ms of processor time, {SOCKETS / took:.0f} a second")


def main() -> int:
    """The command."""
    allow(3 * SOCKETS)
    if (os.cpu_count() or 1) > machine.OTHER_CORE:
        os.sched_setaffinity(0, {machine.OTHER_CORE})
    print(machine.describe())
    with site.upstream() as (_, url), site.database("sqlite") as env:
        place = site.furnish(env, url, SOCKETS)
        with site.ours(place) as (pid, port):
            asyncio.run(watch(place, pid, port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
