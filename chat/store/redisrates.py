"""Messages a minute (see `rates`) counted in Redis, through `limits`, for all processes together.

Loaded only where there is a Redis (by its name, see the settings): driver and library take some megabytes.
"""

import time

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

log = structlog.get_logger(__name__)

# Longer than Redis ever takes in one place with us; a message waits for it no longer than that.
REDIS_S = 0.25
# So long nobody asks a Redis that did not answer.
REST_S = 5.0
CONNECTIONS = 8


class RedisRates:
    """See rates.Shared. Lives in one event loop."""

    def __init__(self, url: str) -> None:
        self._rests_until = 0.0
        self._pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=REDIS_S,
            socket_timeout=REDIS_S,
            socket_connect_timeout=REDIS_S,
            # Once, for a connection that a restart had cut; the library's own patience takes seconds.
            retry=Retry(NoBackoff(), 1),
        )
        storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            wrap_exceptions=True,
            key_prefix="chat:rate",
            connection_pool=self._pool,
        )
        self._limiter = MovingWindowRateLimiter(storage)

    async def take(self, who: int, most: int) -> float | None:
        """See rates.Shared."""
        if time.monotonic() < self._rests_until:
            return None
        item, name = RateLimitItemPerMinute(most), str(who)
        try:
            if await self._limiter.hit(item, name):
                return 0.0
            stats = await self._limiter.get_window_stats(item, name)
        except StorageError as error:
            log.warning("rates_in_memory", error=type(error.storage_error).__name__)
            self._rests_until = time.monotonic() + REST_S
            return None
        return max(0.001, stats.reset_time - time.time())

    async def close(self) -> None:
        """See rates.Shared."""
        await self._pool.aclose()
