"""Two web processes over one, with PostgreSQL and Redis: processor time a 1,000 tokens at the same number of clients.

Both processes stand on core 0, so that the figure says what the second one costs and not what a second core gives.
"""

import asyncio
import os
import statistics
import sys

from tests import redis
from tests.bench.load import machine, site
from tests.bench.load.rounds import TURNS, round_of
from tests.bench.load.words import TOKENS

CLIENTS = 24
ROUNDS = 5


async def together(place: site.Place, upstream: int, servers: list[tuple[int, int]]) -> float:
    """Seconds of processor time a 1,000 tokens, over all these servers."""
    share = CLIENTS // len(servers)
    rounds = await asyncio.gather(
        *(
            round_of(share, server=pid, port=port, upstream=upstream, people=place.fresh(share), name=f"{index}")
            for index, (pid, port) in enumerate(servers)
        )
    )
    wrong = [what for done in rounds for what in done.wrong]
    assert not wrong, wrong[:3]
    return sum(done.server_cpu for done in rounds) / (CLIENTS * TURNS * TOKENS) * 1000


def main() -> int:
    """The command."""
    if (os.cpu_count() or 1) > machine.OTHER_CORE:
        os.sched_setaffinity(0, {machine.OTHER_CORE})
    with site.upstream() as (upstream, url), site.database("postgresql") as env, redis.server() as bus:
        place = site.furnish(env | {"REDIS_URL": bus.url()}, url, CLIENTS * (ROUNDS + 1) * 2)
        with site.ours(place) as one:
            asyncio.run(together(place, upstream, [one]))
            alone = [asyncio.run(together(place, upstream, [one])) for _ in range(ROUNDS)]
            with site.ours(place) as two:
                asyncio.run(together(place, upstream, [one, two]))
                both = [asyncio.run(together(place, upstream, [one, two])) for _ in range(ROUNDS)]
    ratio = statistics.median(both) / statistics.median(alone)
    print(
        f"web processes, N={CLIENTS}: CPU a 1,000 tokens of one {statistics.median(alone) * 1e3:.0f} ms, of two "
        f"{statistics.median(both) * 1e3:.0f} ms: x {ratio:.2f} (load {machine.load()})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
