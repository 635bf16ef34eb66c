"""Windows (see `recent`) kept in Redis: one entry a session, so that erasing one is deleting one key.

Values are users' words; they are nowhere else in Redis, and never logged. Loaded only where there is a Redis (by its
name, see the settings): the driver alone takes some megabytes.
"""

import time
from typing import Any

import redis
import structlog

from chat.store.recent import Key, Window

log = structlog.get_logger(__name__)

LIFE_S = 600
# A window is worth a few queries, so that waiting for it is never worth more than that.
TIMEOUT_S = 0.1
REST_S = 5.0
PREFIX = "chat:window:"


class RedisRecent:
    """Windows in Redis. Called from the database's threads; `hits` and `misses` since the start."""

    def __init__(self, url: str, *, life_s: int = LIFE_S) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, max_connections=8, retry=None
        )
        self._life_s = life_s
        self._rests_until = 0.0
        self.hits = self.misses = 0

    def get(self, key: Key) -> Window | None:
        """See Recent."""
        found = self._try(self._client.hgetall, PREFIX + key.session)
        window = None
        if found and found.get(b"key") == _name(key):
            try:
                window = Window.from_json(found[b"window"])
            except (ValueError, TypeError, KeyError):
                log.warning("window_unreadable", session=key.session)
        self.hits += window is not None
        self.misses += window is None
        return window

    def put(self, key: Key, window: Window) -> None:
        """See Recent."""
        name = PREFIX + key.session

        def store() -> None:
            # One transaction: a key beside another's window would be a lie.
            pipe = self._client.pipeline(transaction=True)
            pipe.hset(name, mapping={"key": _name(key), "window": window.to_json()})
            pipe.expire(name, self._life_s)
            pipe.execute()

        self._try(store)

    def forget(self, session: str) -> None:
        """See Recent."""
        self._try(self._client.delete, PREFIX + session)

    @property
    def resting(self) -> bool:
        """Whether Redis is left alone after a failure."""
        return time.monotonic() < self._rests_until

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _try(self, command: Any, *arguments: Any) -> Any:
        if self.resting:
            return None
        try:
            return command(*arguments)
        except redis.RedisError as error:
            self._rests_until = time.monotonic() + REST_S
            log.warning("window_cache_rests", seconds=REST_S, error=type(error).__name__)
            return None


def forget_all(url: str) -> None:
    """Drop the windows of all sessions: the rows are about to be other ones. Raises redis.RedisError."""
    with redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
        for name in client.scan_iter(match=f"{PREFIX}*", count=1_000):
            client.unlink(name)


def _name(key: Key) -> bytes:
    return ":".join(map(str, key[1:])).encode()
