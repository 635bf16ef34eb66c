"""Many open sockets that do nothing but what an open page does: a ping every 15 seconds."""

import asyncio
import contextlib
import random
import resource
from collections.abc import AsyncIterator, Sequence

from tests.bench.load.client import PING_S, Client
from tests.bench.load.site import Person

AT_ONCE = 32
PORTS_A_SOURCE = 20_000
"""Connections from one address: the kernel has about 28,000 ports for each pair of addresses."""


def allow(files: int) -> int:
    """Let this process, and those that it starts, open so many files; returns how many it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if most == resource.RLIM_INFINITY else min(files, most)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, wanted), max(files, most)))
        return files
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted


@contextlib.asynccontextmanager
async def crowd(people: Sequence[Person], port: int) -> AsyncIterator[list[Client]]:
    """Open a socket for each of these people, from several loopback addresses; close them all afterwards."""
    clients = [
        Client(
            number, port, session=person.session, cookie=person.cookie, source=f"127.0.0.{2 + number // PORTS_A_SOURCE}"
        )
        for number, person in enumerate(people)
    ]
    waiting = iter(clients)

    async def open_some() -> None:
        for client in waiting:
            await client.open()

    await asyncio.gather(*(open_some() for _ in range(AT_ONCE)))
    pings = asyncio.create_task(_ping(clients))
    try:
        yield clients
    finally:
        pings.cancel()
        for client in clients:
            client.close()


async def _ping(clients: list[Client]) -> None:
    order = random.sample(clients, len(clients))
    while True:
        started = asyncio.get_running_loop().time()
        for index, client in enumerate(order):
            if client.socket.closed:
                continue
            client.ping()
            ahead = started + PING_S * (index + 1) / len(order) - asyncio.get_running_loop().time()
            if ahead > 0.005:
                await asyncio.sleep(ahead)
        await asyncio.sleep(max(0.0, started + PING_S - asyncio.get_running_loop().time()))
