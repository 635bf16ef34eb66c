"""Full garbage collections when nobody waits for a word, or when nobody would notice.

One of them looks at every object: 10 ms with a few hundred sockets, 1.2 s with ten thousand, in which every reply
stands still. It is needed all the same: a socket that has closed leaves 50 KB that only such a look finds. Python's own
rule makes one whenever a quarter has been added. Here the young generations are collected as ever, though less often,
and all of it when that is brief, or between replies, or when so much has been added that memory may be the worse
trouble.
"""

import asyncio
import gc
import time
from collections.abc import Callable

LOOK_S = 5.0

YOUNG = 10_000
"""New objects between two looks at the youngest. Python's 700 are the work of a moment here."""

BRIEF_S = 0.02
"""A collection that takes no longer is made beside running replies."""

TOO_MANY = 10
"""Rounds of the younger generations (a million objects, of the order of 100 MB) after which it waits for nobody."""

NEVER = 1 << 30


def due(rounds: int, live: int, took: float) -> bool:
    """Whether to collect now, `rounds` after the last time, with so many replies running; that took so many seconds."""
    return rounds > TOO_MANY or (rounds > 0 and (not live or took <= BRIEF_S))


async def tidy(live: Callable[[], int]) -> None:
    """Take the full collections over from Python until cancelled. `live`: how many replies are running."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, before[1], NEVER)
    took = 0.0
    try:
        while True:
            await asyncio.sleep(LOOK_S)
            if due(gc.get_count()[2], live(), took):
                started = time.thread_time()
                gc.collect()
                took = time.thread_time() - started
    finally:
        gc.set_threshold(*before)
