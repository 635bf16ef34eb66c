"""How long a stream may be silent: one timer for the whole stream, re-armed only when it fires.

`asyncio.timeout` around every read is the plain way; it arms and cancels a timer for each token, which costs more
than reading the token. What is measured is the time spent waiting for bytes: a reader that was busy elsewhere when
the time came gets the whole patience again, because the bytes may already be there.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from chat.providers.base import Unavailable

_Bytes = TypeVar("_Bytes")


class Patience:
    """Waits for bytes until `due` (the loop's time). `seconds` is the patience after each content."""

    __slots__ = ("_due", "_loop", "_missed", "_seconds", "_timer", "_waiting")

    def __init__(self, due: float, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = due
        self._seconds = seconds
        self._missed = False
        self._waiting: asyncio.Task[object] | None = None
        self._timer = self._loop.call_at(due, self._check)

    def heard(self, end: float) -> None:
        """Content came: be patient again, but not beyond `end`. Unavailable when that has passed."""
        now = self._loop.time()
        if now >= end:
            raise Unavailable("the reply took too long")
        self._due = min(end, now + self._seconds)
        if self._due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._check)

    async def wait(self, read: Awaitable[_Bytes]) -> _Bytes:
        """What `read` gives; Unavailable when it gives nothing in time."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream is read inside a task")
        cancelling = task.cancelling()
        self._waiting = task
        try:
            return await read
        except asyncio.CancelledError:
            # Ours, and nobody else's at the same time: then it is no cancellation but a missed deadline.
            if not self._missed or task.uncancel() > cancelling:
                raise
        finally:
            self._waiting = None
        raise Unavailable("no content in time")

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        if now >= self._due:
            if self._waiting is not None:
                self._missed = True
                self._waiting.cancel()
                return
            self._due = now + self._seconds
        self._timer = self._loop.call_at(self._due, self._check)
