"""Streams a core, latency and processor time of our server beside a plain relay, in the same run. `make bench-relay`

Server on core 0, upstream and clients on core 1, loopback. Ratios are what counts: single milliseconds are the
machine's.
"""

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence

from tests.bench.load import machine, site
from tests.bench.load.rounds import Round, round_of

LADDER = (10, 17, 25, 31, 37, 43, 50, 56, 62, 75, 87, 100, 112, 125, 137, 150, 175, 200, 225, 250, 300, 350, 400)
SHOWN = (10, 25, 50, 100)
AT_N = 25
PEOPLE = 3_000
PAST = 1.5

Run = Callable[[int], Awaitable[Round]]


class Measured:
    """The rounds of one system."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rounds: dict[int, list[Round]] = {}
        self.capacities: list[int] = []

    def add(self, done: Round) -> Round:
        """Keep a round and show it."""
        self.rounds.setdefault(done.clients, []).append(done)
        print(done.line(self.name), flush=True)
        return done

    def median(self, clients: int, figure: Callable[[Round], float]) -> float:
        """The median of a figure over the rounds with so many clients."""
        return statistics.median(figure(done) for done in self.rounds[clients])

    @property
    def capacity(self) -> float:
        """The median of what the runs found."""
        return statistics.median(self.capacities)


async def capacity(run: Run, measured: Measured, start: int) -> int:
    """The largest rung of the ladder that the server keeps up with: up or down from `start`. A rung that fails is
    tried once more, since somebody else may have taken the core for a moment."""

    async def holds(index: int) -> bool:
        return measured.add(await run(LADDER[index])).keeps_up or measured.add(await run(LADDER[index])).keeps_up

    index = LADDER.index(start)
    if await holds(index):
        while index + 1 < len(LADDER) and await holds(index + 1):
            index += 1
        return LADDER[index]
    while index > 0:
        index -= 1
        if await holds(index):
            return LADDER[index]
    return 0


async def measure(kind: str, runs: int, starts: Sequence[int]) -> tuple[Measured, Measured]:
    """All rounds of the plain relay and of ours on one kind of database, in turns."""
    relay, product = Measured("plain"), Measured(f"ours/{kind}")
    with site.upstream() as (upstream, url), site.database(kind) as env:
        place = site.furnish(env, url, PEOPLE * runs)
        for _ in range(runs):
            with site.plain(url) as (pid, port):

                async def plainly(clients: int, pid: int = pid, port: int = port) -> Round:
                    return await round_of(clients, server=pid, port=port, upstream=upstream)

                await plainly(5)
                for clients in SHOWN[:3]:
                    relay.add(await plainly(clients))
                relay.capacities.append(await capacity(plainly, relay, starts[0]))
            with site.ours(place) as (pid, port):

                async def ourselves(clients: int, pid: int = pid, port: int = port) -> Round:
                    people = place.fresh(clients)
                    return await round_of(clients, server=pid, port=port, upstream=upstream, people=people)

                await ourselves(5)
                for clients in SHOWN:
                    product.add(await ourselves(clients))
                product.capacities.append(await capacity(ourselves, product, starts[1]))
                past = int(product.capacities[-1] * PAST) or 10
                product.add(await ourselves(min(past, max(LADDER))))
    return relay, product


def report(relay: Measured, product: Measured) -> None:
    """The figures of the table of goals."""
    rows = (("plain relay", relay), (product.name, product))
    print(f"\n{machine.describe()}; medians of {len(relay.capacities)} runs")
    for name, measured in rows:
        print(f"{name}: streams a core {measured.capacity:g} (runs: {measured.capacities})")
    ratio = product.capacity / relay.capacity if relay.capacity else float("inf")
    print(f"streams a core, x plain: {ratio:.2f}")
    cpu = [measured.median(AT_N, lambda done: done.cpu_1000) for _, measured in rows]
    print(
        f"CPU a 1,000 tokens at N={AT_N}: plain {cpu[0] * 1e3:.0f} ms, ours {cpu[1] * 1e3:.0f} ms, "
        f"x {cpu[1] / cpu[0]:.2f}"
    )
    for clients in (10, 25):
        first = [measured.median(clients, lambda done: done.first(0.95)) * 1e3 for _, measured in rows]
        print(
            f"first+ p95 at N={clients}: plain {first[0]:.1f} ms, ours {first[1]:.1f} ms, {first[1] - first[0]:+.1f} ms"
        )
    for clients in (50, 100):
        print(f"first+ p95 at N={clients}: {product.median(clients, lambda done: done.first(0.95)) * 1e3:.0f} ms")
    print(f"total+ p50 at N=50: {product.median(50, lambda done: done.total(0.5)) * 1e3:.0f} ms")
    for name, measured in rows:
        every = [turn for rounds in measured.rounds.values() for done in rounds for turn in done.turns]
        wrong = [turn.wrong for turn in every if turn.wrong]
        print(
            f"replies intact, {name}: {len(every) - len(wrong)} of {len(every)}" + (f" ({wrong[:3]})" if wrong else "")
        )


def main() -> int:
    """The command. Returns the exit code: 1 when a reply of ours was not intact."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--start", type=int, nargs=2, default=(112, 150), help="where the search begins: plain, ours")
    parser.add_argument("--at", type=int, action="append", help="only these N, ours and plain, without the search")
    parser.add_argument("--only", choices=("plain", "ours"))
    parser.add_argument("--realtime", action="store_true", help="before everybody else on this machine (needs root)")
    chosen = parser.parse_args()
    if (os.cpu_count() or 1) > machine.OTHER_CORE:
        os.sched_setaffinity(0, {machine.OTHER_CORE})
    if chosen.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    print(machine.describe(), flush=True)
    broken = 0
    for kind in chosen.database or ("sqlite", "postgresql"):
        if chosen.at:
            asyncio.run(glance(kind, chosen.at, chosen.only, chosen.runs))
            continue
        relay, product = asyncio.run(measure(kind, chosen.runs, chosen.start))
        report(relay, product)
        broken += sum(len(done.wrong) for rounds in product.rounds.values() for done in rounds)
    return 1 if broken else 0


async def glance(kind: str, sizes: list[int], only: str | None, runs: int) -> None:
    """A few rounds for orientation."""
    with site.upstream() as (upstream, url), site.database(kind) as env:
        if only != "ours":
            with site.plain(url) as (pid, port):
                await round_of(5, server=pid, port=port, upstream=upstream)
                for clients in sizes * runs:
                    print((await round_of(clients, server=pid, port=port, upstream=upstream)).line("plain"), flush=True)
        if only != "plain":
            place = site.furnish(env, url, sum(sizes) * runs + 5)
            with site.ours(place) as (pid, port):
                await round_of(5, server=pid, port=port, upstream=upstream, people=place.fresh(5))
                for clients in sizes * runs:
                    done = await round_of(
                        clients, server=pid, port=port, upstream=upstream, people=place.fresh(clients)
                    )
                    print(done.line(f"ours/{kind}") + f"  rss {done.rss_mb:.0f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
