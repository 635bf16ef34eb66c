"""One round of load: N clients, two turns each in one conversation, starts spread over one reply."""

import asyncio
import os
import time
from dataclasses import dataclass, field

from tests.bench.load import machine, words
from tests.bench.load.client import Client, Turn
from tests.bench.load.site import Person

TURNS = 2
LIMIT_S = 0.250
"""A server keeps up with N clients while the p95 of both first+ and total+ is below this."""


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))] if ordered else float("inf")


@dataclass(slots=True)
class Round:
    """What one round showed. Seconds; processor time in seconds, or as a share of a core."""

    clients: int
    turns: list[Turn] = field(default_factory=list)
    server_cpu: float = 0.0
    other_cpu: float = 0.0
    seconds: float = 0.0
    rss_mb: float = 0.0

    def first(self, share: float) -> float:
        """first+ at this percentile."""
        return percentile([turn.first_plus if turn.first else 60.0 for turn in self.turns], share)

    def total(self, share: float) -> float:
        """total+ at this percentile."""
        return percentile([turn.total_plus if turn.done else 60.0 for turn in self.turns], share)

    @property
    def wrong(self) -> list[str]:
        """What was wrong with replies that were not whole, their own, and made from the right history."""
        return [turn.wrong for turn in self.turns if turn.wrong]

    @property
    def keeps_up(self) -> bool:
        """Whether the server kept up, with every reply intact."""
        return not self.wrong and self.first(0.95) < LIMIT_S and self.total(0.95) < LIMIT_S

    @property
    def cpu_1000(self) -> float:
        """Seconds of processor time a 1,000 tokens."""
        return self.server_cpu / (len(self.turns) * words.TOKENS) * 1000

    def line(self, name: str) -> str:
        """The round in one line."""
        return (
            f"{name:<11} N={self.clients:<4}"
            f" first+ p50 {self.first(0.5) * 1e3:6.1f} p95 {self.first(0.95) * 1e3:7.1f} ms"
            f"  total+ p50 {self.total(0.5) * 1e3:6.1f} p95 {self.total(0.95) * 1e3:7.1f} ms"
            f"  CPU/1,000 {self.cpu_1000 * 1e3:6.1f} ms  server {self.server_cpu / self.seconds:4.0%}"
            f"  upstream+driver {self.other_cpu / self.seconds:4.0%}  intact {len(self.turns) - len(self.wrong)}"
            f"/{len(self.turns)}  load {machine.load()}" + (f"  WRONG: {self.wrong[0]}" if self.wrong else "")
        )


async def round_of(
    clients: int, *, server: int, port: int, upstream: int, people: list[Person] | None = None, name: str = ""
) -> Round:
    """Run one round. `server` and `upstream` are process ids; without `people` the plain relay is asked."""
    name = name or os.urandom(4).hex()
    everybody = [
        Client(number, port, session=people[number].session, cookie=people[number].cookie)
        if people
        else Client(number, port)
        for number in range(clients)
    ]
    for start in range(0, clients, 25):
        await asyncio.gather(*(client.open() for client in everybody[start : start + 25]))
    await asyncio.sleep(0.3)
    result = Round(clients)
    before, other, begun = machine.cpu_s(server), _others(upstream), time.monotonic()

    async def talk(index: int, client: Client) -> None:
        await asyncio.sleep(index / clients * words.WHOLE_S)
        for _ in range(TURNS):
            result.turns.append(await client.ask(name))

    await asyncio.gather(*(talk(index, client) for index, client in enumerate(everybody)))
    result.seconds = time.monotonic() - begun
    result.server_cpu = machine.cpu_s(server) - before
    result.other_cpu = _others(upstream) - other
    result.rss_mb = machine.rss_mb(server)
    for client in everybody:
        client.close()
    await asyncio.sleep(0.2)
    return result


def _others(upstream: int) -> float:
    return machine.cpu_s(upstream) + machine.cpu_s(os.getpid())
