"""How many messages one person may send in any minute: counted in Redis for all processes, else by this one alone.

A message over the limit is refused before it costs a thread or a transaction. Redis is asked through `limits`; while
it is down, and where there is none, a window in memory counts. (That one is our own: the library's walks through all
keys with every hit, 14 ms of CPU with 300 people, measured on its version 5.8.)
"""

import time
from collections import deque
from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chat.store.quotas import Over

log = structlog.get_logger(__name__)

MINUTE_S = 60.0
# Longer than Redis ever takes in one place with us; a message waits for it no longer than that.
REDIS_S = 0.25
# So long nobody asks a Redis that did not answer.
REST_S = 5.0
CONNECTIONS = 8


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

    def __init__(self, redis_url: str = "") -> None:
        self._window = Window()
        self._pool: BlockingConnectionPool | None = None
        self._limiter: MovingWindowRateLimiter | None = None
        self._rests_until = 0.0
        if redis_url:
            self._pool = BlockingConnectionPool.from_url(
                redis_url,
                max_connections=CONNECTIONS,
                timeout=REDIS_S,
                socket_timeout=REDIS_S,
                socket_connect_timeout=REDIS_S,
                # Once, for a connection that a restart had cut; the library's own patience takes seconds.
                retry=Retry(NoBackoff(), 1),
            )
            storage = RedisStorage(
                f"async+{redis_url}",
                implementation="redispy",
                wrap_exceptions=True,
                key_prefix="chat:rate",
                connection_pool=self._pool,
            )
            self._limiter = MovingWindowRateLimiter(storage)

    async def take(self, user_id: int) -> Over | None:
        """Count a message; when it is one too many, it is not counted, and this says until when."""
        most = settings.CHAT_MESSAGES_PER_MINUTE
        if not most:
            return None
        wait = await self._ask_redis(user_id, most)
        if wait is None:
            wait = self._window.take(user_id, most, time.monotonic())
        return Over("messages", timezone.now() + timedelta(seconds=wait)) if wait else None

    async def _ask_redis(self, user_id: int, most: int) -> float | None:
        """Seconds to wait, as Redis counts; None when there is none, or none that answers."""
        if self._limiter is None or time.monotonic() < self._rests_until:
            return None
        item, who = RateLimitItemPerMinute(most), str(user_id)
        try:
            if await self._limiter.hit(item, who):
                return 0.0
            stats = await self._limiter.get_window_stats(item, who)
        except StorageError as error:
            log.warning("rates_in_memory", error=type(error.storage_error).__name__)
            self._rests_until = time.monotonic() + REST_S
            return None
        return max(0.001, stats.reset_time - time.time())

    async def close(self) -> None:
        """Give the connections back."""
        if self._pool:
            await self._pool.aclose()
