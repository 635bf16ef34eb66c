"""Ten thousand open sockets on ten thousand conversations, one in a hundred streaming: memory, processor, latency.

`make bench-scale [SOCKETS]`. Server on core 0; upstream and all clients on core 1. Several loopback addresses, because
one pair of addresses has only some 28,000 ports.
"""

import asyncio
import os
import sys
import time

from tests.bench.load import machine, site
from tests.bench.load.client import Turn
from tests.bench.load.crowd import allow, crowd
from tests.bench.load.rounds import percentile
from tests.bench.load.words import TOKENS, WHOLE_S

SOCKETS = 10_000
STREAMING = 0.01
WATCH_S = 30.0
SETTLE_S = 20.0
ROUNDS = 8


async def measure(place: site.Place, sockets: int, pid: int, port: int) -> int:
    """Open everything, watch it idle, let some stream. Returns how many replies were wrong."""
    await asyncio.sleep(3)
    alone, begun, cpu = machine.rss_mb(pid), time.monotonic(), machine.cpu_s(pid)
    async with crowd(place.fresh(sockets), port) as clients:
        took = time.monotonic() - begun
        print(
            f"opened {sockets} in {took:.0f} s ({sockets / took:.0f} a second, "
            f"{(machine.cpu_s(pid) - cpu) / sockets * 1e3:.1f} ms of processor time each)",
            flush=True,
        )
        await asyncio.sleep(SETTLE_S)
        full, cpu, begun = machine.rss_mb(pid), machine.cpu_s(pid), time.monotonic()
        await asyncio.sleep(WATCH_S)
        idle = (machine.cpu_s(pid) - cpu) / (time.monotonic() - begun)
        print(
            f"memory {full:.0f} MB: {alone:.0f} MB for the process, {(full - alone) * 1e3 / sockets:.0f} KB a socket; "
            f"idle {idle:.1%} of a core, load {machine.load()}",
            flush=True,
        )
        streaming = max(1, int(sockets * STREAMING))
        cpu, begun = machine.cpu_s(pid), time.monotonic()
        turns: list[Turn] = []

        async def talk(index: int) -> None:
            await asyncio.sleep(index / streaming * WHOLE_S)
            # Somebody else each time: whoever wakes up has been idle.
            turns.extend([await one.ask("scale") for one in clients[index : index + ROUNDS * streaming : streaming]])

        await asyncio.gather(*(talk(index) for index in range(streaming)))
        share = (machine.cpu_s(pid) - cpu) / (time.monotonic() - begun)
        first = [turn.first_plus for turn in turns]
        total = [turn.total_plus for turn in turns]
        wrong = [turn.wrong for turn in turns if turn.wrong]
        lost = sum(1 for client in clients if client.socket.closed)
        print(
            f"{streaming} streaming, {len(turns)} replies: first+ p50 {percentile(first, 0.5) * 1e3:.0f} "
            f"p95 {percentile(first, 0.95) * 1e3:.0f} ms, total+ p50 {percentile(total, 0.5) * 1e3:.0f} "
            f"p95 {percentile(total, 0.95) * 1e3:.0f} ms; {share:.0%} of a core, "
            f"{(share - idle) * (time.monotonic() - begun) / (len(turns) * TOKENS) * 1e6:.0f} ms a 1,000 tokens over "
            f"idle; memory {machine.rss_mb(pid):.0f} MB; intact {len(turns) - len(wrong)} of {len(turns)}; "
            f"{lost} sockets lost; load {machine.load()}" + (f"; first wrong: {wrong[0]}" if wrong else ""),
            flush=True,
        )
        return len(wrong)


def main() -> int:
    """The command. Returns the exit code."""
    sockets = int(sys.argv[1]) if len(sys.argv) > 1 else SOCKETS
    allowed = allow(sockets + 2_000)
    if allowed < sockets + 500:
        sockets = allowed - 500
        print(f"this user may open {allowed} files: {sockets} sockets instead")
    if (os.cpu_count() or 1) > machine.OTHER_CORE:
        os.sched_setaffinity(0, {machine.OTHER_CORE})
    print(machine.describe(), flush=True)
    with site.upstream() as (_, url), site.database("sqlite") as env:
        place = site.furnish(env, url, sockets)
        with site.ours(place) as (pid, port):
            return 1 if asyncio.run(measure(place, sockets, pid, port)) else 0


if __name__ == "__main__":
    sys.exit(main())
