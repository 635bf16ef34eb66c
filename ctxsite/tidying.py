"""Full garbage collections when nobody waits for a word.

One of them looks at every object: 1.2 s with ten thousand sockets, in which every reply stands still. Python's own rule
makes one whenever a quarter has been added. Here the young generations are collected as ever, and all of it between
replies, or when so much has been added that memory may be the worse trouble. It seldom finds anything: nearly all that
a reply or a socket leaves behind goes by itself.
"""

import asyncio
import gc
from collections.abc import Callable

LOOK_S = 5.0

WORTH = 20
"""Rounds of the younger generations, of some 7,000 objects more each, after which a full collection is worth it."""

TOO_MANY = 150
"""Rounds (a million objects, of the order of 100 MB) after which it does not wait for the replies."""

NEVER = 1 << 30


def due(rounds: int, live: int) -> bool:
    """Whether to collect now, `rounds` after the last time, with so many replies running."""
    return rounds > TOO_MANY or (rounds > WORTH and not live)


async def tidy(live: Callable[[], int]) -> None:
    """Take the full collections over from Python until cancelled. `live`: how many replies are running."""
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    try:
        while True:
            await asyncio.sleep(LOOK_S)
            if due(gc.get_count()[2], live()):
                gc.collect()
    finally:
        gc.set_threshold(young, middle, old)
