"""How often a stream is read: what comes within a moment is read at once, not event by event.

A model sends an event for every few letters. Reading each by itself wakes the loop, the transport and four layers of
generators for text that is shown twenty times a second at most. So after each small chunk the connection is left alone
for `PACE_S`; what arrives meanwhile waits in the kernel and comes as one chunk. A process that reads many streams takes
longer steps: what a crowded process has least of is wake-ups, and ten a second still look like writing.
"""

import asyncio
import math
from typing import Any, ClassVar

PACE_S = 0.03
"""Seconds between two reads of one stream. It delays the end of a reply by half of this, and its beginning not."""

CROWD_S = 0.0006
"""Seconds for each stream that the process reads; the longer of the two counts, up to `LONGEST_S`."""

LONGEST_S = 0.15

TICK_S = 0.01
"""Streams are read together, at most this much later: the loop wakes once for all of them, not once for each."""

TURNS = round(PACE_S / TICK_S)
"""Streams that begin one after the other take their first steps in so many lengths, a tick apart, and stay apart from
then on: else a crowd would be read in one tick, and the ends of all replies fall just before a read, or all just after
one."""

SMALL_BYTES = 4096
"""A chunk this large already held many events: whoever sends so fast is read as fast as possible."""


class Pace:
    """Holds the connection of one response between two reads. `connection` is aiohttp's; None: nothing is held."""

    __slots__ = ("_connection", "_loop", "_next", "_resting")
    streams: ClassVar[int] = 0
    begun: ClassVar[int] = 0

    def __init__(self, connection: Any) -> None:
        Pace.streams += 1
        Pace.begun += 1
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._next = _tick(self._loop.time() + TICK_S * (1 + Pace.begun % TURNS))
        self._resting: tuple[asyncio.TimerHandle, Any] | None = None

    def rest(self, size: int) -> None:
        """Leave the connection alone until it is time to read again. `size`: bytes of the chunk just read.

        Returns at once: whoever reads next waits for bytes anyhow, and one wait is cheaper than two.
        """
        # None: the whole answer is here, and the connection belongs to somebody else by now.
        transport = self._connection.transport if self._connection is not None else None
        now = self._loop.time()
        due, step = self._next, min(LONGEST_S, max(PACE_S, CROWD_S * Pace.streams))
        self._next = _tick(max(now, due) + step)
        if transport is None or size >= SMALL_BYTES or now >= due:
            return
        transport.pause_reading()
        self._resting = (self._loop.call_at(due, self._read_on), transport)

    def close(self) -> None:
        """The stream has ended: rest no longer."""
        Pace.streams -= 1
        self._read_on()

    def _read_on(self) -> None:
        if self._resting:
            timer, transport = self._resting
            self._resting = None
            timer.cancel()
            transport.resume_reading()


def _tick(at: float) -> float:
    """The next tick from `at` on. A millionth of one early is on time: by the rounding of a clock's floats every other
    step would be a tick longer."""
    return math.ceil(at / TICK_S - 1e-6) * TICK_S
