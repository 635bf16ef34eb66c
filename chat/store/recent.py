"""The window of a session's newest turns, kept for ten minutes where the next turn of the session finds it.

A window is named by (session, context version, last finished turn, limits of the load): whatever changes how finished
turns are seen raises the version, and a new turn changes the last one, so that what is found under its name is never
stale. One entry a session, so that erasing one is deleting one key. It is a saving only: what is missing, late or
broken is read from the database. Values are users' words; they are nowhere else in Redis, and never logged.
"""

import json
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import redis
import structlog

log = structlog.get_logger(__name__)

LIFE_S = 600
# A window is worth a few queries, so that waiting for it is never worth more than that.
TIMEOUT_S = 0.1
REST_S = 5.0
PREFIX = "chat:window:"


class Key(NamedTuple):
    """What a window is of. `turns` and `tokens` are the limits that it was read within."""

    session: str
    version: int
    head: int | None
    turns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that a request is made from, as they were read: lists, so that a copy through JSON is the same.

    `turns` are rows of `loading.Row`, oldest first; the first `marked` of them are pinned ones from before the window.
    """

    turns: list[Any]
    marked: int
    steps: dict[int, list[list[Any]]]
    excluded: list[tuple[int, str]]
    summaries: list[Any]
    facts: list[Any]

    def followed_by(self, row: tuple[Any, ...], steps: list[list[Any]], key: Key, upto: int) -> "Window | None":
        """The window after one more turn, whose running sum of tokens is `upto`; None when an older turn would have
        to leave it, because what becomes of that one the database says. The last field of a row is its running sum.
        """
        own = [*self.turns[self.marked :], row]
        if len(own) > key.turns or own[0][-1] <= upto - key.tokens:
            return None
        return replace(
            self, turns=[*self.turns, row], steps={**self.steps, row[0]: steps} if steps else dict(self.steps)
        )

    def to_json(self) -> str:
        """As text, for a cache."""
        return json.dumps(
            [self.turns, self.marked, list(self.steps.items()), self.excluded, self.summaries, self.facts]
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "Window":
        """From `to_json`. Raises ValueError or TypeError for anything else."""
        turns, marked, steps, excluded, summaries, facts = json.loads(text)
        return cls(turns, marked, dict(steps), excluded, summaries, facts)


class Recent(Protocol):
    """A cache of windows. Never raises: what it can't do is a miss."""

    def get(self, key: Key) -> Window | None:
        """The window of exactly this name."""
        ...

    def put(self, key: Key, window: Window) -> None:
        """Keep a window; the session's older one goes."""
        ...

    def forget(self, session: str) -> None:
        """Delete what is kept of a session."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


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
