"""How many messages one person may send in any minute: counted in Redis for all processes, else by this one alone.

A message over the limit is refused before it costs a thread or a transaction. While Redis (`redisrates`) is down, and
where there is none, a window in memory counts. (That one is our own: the library's walks through all keys with every
hit, 14 ms of CPU with 300 people, measured on its version 5.8 of `limits`.)
"""

import time
from collections import deque
from datetime import timedelta
from typing import Protocol

from django.conf import settings
from django.utils import timezone

from chat.store.quotas import Over

MINUTE_S = 60.0


class Shared(Protocol):
    """Where all processes count together."""

    async def take(self, who: int, most: int) -> float | None:
        """Take one of `most` a minute; 0 when it was there, else the seconds until there is one again. None when
        nobody knows. Never raises."""

    async def close(self) -> None:
        """Give back what is open."""


class Window:
    """What was taken by whom in the last `seconds`, in memory. Times are of the monotonic clock."""

    def __init__(self, seconds: float = MINUTE_S) -> None:
        self._seconds = seconds
        self._taken: dict[int, deque[float]] = {}
        self._swept = 0.0

    def take(self, who: int, most: int, now: float) -> float:
        """Take one; 0 when it was there, else the seconds until there is one again."""
        if now - self._swept > self._seconds:
            self._swept = now
            self._taken = {one: taken for one, taken in self._taken.items() if taken[-1] > now - self._seconds}
        taken = self._taken.setdefault(who, deque())
        while taken and taken[0] <= now - self._seconds:
            taken.popleft()
        if len(taken) >= most:
            return taken[0] + self._seconds - now
        taken.append(now)
        return 0.0

    def __len__(self) -> int:
        return len(self._taken)


class Rates:
    """Counts messages for one process. Lives in one event loop."""

    def __init__(self, shared: Shared | None = None) -> None:
        self._window = Window()
        self._shared = shared

    async def take(self, user_id: int) -> Over | None:
        """Count a message; when it is one too many, it is not counted, and this says until when."""
        most = settings.CHAT_MESSAGES_PER_MINUTE
        if not most:
            return None
        wait = await self._shared.take(user_id, most) if self._shared else None
        if wait is None:
            wait = self._window.take(user_id, most, time.monotonic())
        return Over("messages", timezone.now() + timedelta(seconds=wait)) if wait else None

    async def close(self) -> None:
        """Give the connections back."""
        if self._shared:
            await self._shared.close()
