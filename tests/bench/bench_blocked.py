"""What one database call of two seconds does to the frames of everybody else, on both databases.

While ten conversations stream, somebody else holds a lock that every write of the site has to wait for. Text comes
from memory: only the ends of replies, which are stored first, may wait.
"""

import asyncio
import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator

import psycopg

from tests.bench.load import machine, site
from tests.bench.load.client import Client
from tests.bench.load.rounds import percentile

CLIENTS = 10
HELD_S = 2.0
ROUNDS = 3


@contextlib.contextmanager
def held(place: site.Place) -> Iterator[None]:
    """Hold the lock that writers wait for."""
    if url := place.env.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE chat_turn, chat_chatsession IN EXCLUSIVE MODE")
            yield
    else:
        connection = sqlite3.connect(f"{place.env['CHAT_VAR_DIR']}/db.sqlite3", isolation_level=None, timeout=20)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
        connection.close()


async def gaps(place: site.Place, port: int, *, block: bool) -> list[float]:
    """Seconds between the frames of each reply; with `block` while the lock is held from their middle on."""
    clients = [
        Client(number, port, session=person.session, cookie=person.cookie)
        for number, person in enumerate(place.fresh(CLIENTS))
    ]
    for client in clients:
        await client.open()
    asking = [asyncio.create_task(client.ask("blocked", limit_s=30)) for client in clients]
    await asyncio.sleep(0.6)
    if block:
        with held(place):
            await asyncio.sleep(HELD_S)
    turns = await asyncio.gather(*asking)
    for client in clients:
        client.close()
    assert not [turn.wrong for turn in turns if turn.wrong], [turn.wrong for turn in turns]
    # The last frame of a reply is its end, which had to wait for the lock; what counts here is its text.
    return [gap for turn in turns for gap in turn.gaps]


def main() -> int:
    """The command."""
    if (os.cpu_count() or 1) > machine.OTHER_CORE:
        os.sched_setaffinity(0, {machine.OTHER_CORE})
    for kind in ("sqlite", "postgresql"):
        with site.upstream() as (_, url), site.database(kind) as env:
            place = site.furnish(env, url, CLIENTS * ROUNDS * 2 + CLIENTS)
            with site.ours(place) as (_, port):
                asyncio.run(gaps(place, port, block=False))
                free, blocked = [], []
                for _ in range(ROUNDS):
                    free += asyncio.run(gaps(place, port, block=False))
                    blocked += asyncio.run(gaps(place, port, block=True))
                    time.sleep(0.5)
        told = [
            f"p50 {percentile(of, 0.5) * 1e3:.0f} p99 {percentile(of, 0.99) * 1e3:.0f} ms" for of in (blocked, free)
        ]
        more = percentile(blocked, 0.99) - percentile(free, 0.99)
        print(
            f"a database call of {HELD_S:.0f} s, {kind}: gap between two frames of others {told[0]}, without it "
            f"{told[1]}: {more * 1e3:+.0f} ms (load {machine.load()})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
