"""The prompt cache: which tokens of a request are read, written, or neither.

Rules: platform.claude.com/docs/en/build-with-claude/prompt-caching. The prefix runs tools, system, messages. A
breakpoint writes an entry for the exact bytes up to it. A read looks at each breakpoint and the blocks before it,
20 positions at most, for an entry that an earlier request wrote. Prefixes under the model's minimum are not kept.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .counting import MESSAGE, block_tokens

LOOK_BACK = 20
TTL = {"5m": 300.0, "1h": 3600.0}
"""Seconds that an entry lives after it was last read or written."""


@dataclass(frozen=True, slots=True)
class Position:
    """The prefix up to and with one block: its hash, its tokens, and the breakpoint's time to live, if any."""

    digest: bytes
    tokens: int
    ttl: str


@dataclass(frozen=True, slots=True)
class Account:
    """The input tokens of one request, divided as the API's `usage` divides them."""

    fresh: int = 0
    read: int = 0
    written: dict[str, int] = field(default_factory=lambda: {"5m": 0, "1h": 0})

    @property
    def total(self) -> int:
        """The size of the whole input in tokens."""
        return self.fresh + self.read + sum(self.written.values())

    def usage(self, output: int, thinking: int = 0) -> dict[str, Any]:
        """The `usage` object of the API. `output` in tokens, `thinking` those of it that were thought."""
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": sum(self.written.values()),
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written["5m"],
                "ephemeral_1h_input_tokens": self.written["1h"],
            },
            "output_tokens": output,
            "output_tokens_details": {"thinking_tokens": thinking} if thinking else None,
            "service_tier": "standard",
        }


def positions(body: Mapping[str, Any]) -> list[Position]:
    """Every block of the request in the order in which the model reads it, with the running hash and tokens."""
    found = []
    digest = hashlib.sha256(str(body["model"]).encode())
    tokens = 0
    parts = list(_parts(body))
    for index, (place, extra, block) in enumerate(parts):
        bare = {key: value for key, value in block.items() if key != "cache_control"}
        digest.update(place.encode())
        digest.update(json.dumps(bare, sort_keys=True, separators=(",", ":")).encode())
        tokens += extra + block_tokens(block)
        control = block.get("cache_control")
        if index == len(parts) - 1:
            control = control or body.get("cache_control")
        found.append(Position(digest.digest(), tokens, control.get("ttl", "5m") if control else ""))
    return found


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for tool in body.get("tools", []):
        yield "tool", MESSAGE, tool
    for block in _blocks(body.get("system", [])):
        yield "system", 0, block
    # Another way to think keeps the cache of tools and system, and loses that of the messages.
    way = json.dumps(body["thinking"], sort_keys=True) if body.get("thinking") else ""
    for message in body["messages"]:
        for index, block in enumerate(_blocks(message["content"])):
            yield f"{way}{message['role']}:{index == 0}", MESSAGE if index == 0 else 0, block


def _blocks(content: Any) -> list[Mapping[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


class PromptCache:
    """The entries that requests wrote. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[bytes, tuple[float, float]] = {}

    def account(self, prefix: list[Position], minimum: int) -> Account:
        """Divide a request's tokens, and remember what its breakpoints write. `minimum` in tokens."""
        now = self._clock()
        self._forget(now)
        marks = [index for index, position in enumerate(prefix) if position.ttl and position.tokens >= minimum]
        total = prefix[-1].tokens if prefix else 0
        if not marks:
            return Account(fresh=total)
        hit = max((found for mark in marks if (found := self._find(prefix, mark)) is not None), default=None)
        read = 0 if hit is None else prefix[hit].tokens
        if hit is not None:
            self._touch(prefix[hit].digest, now)
        written = {"5m": 0, "1h": 0}
        done = read
        for mark in marks:
            position = prefix[mark]
            if position.tokens > done:
                written[position.ttl] += position.tokens - done
                done = position.tokens
            self._write(position, now)
        return Account(fresh=total - done, read=read, written=written)

    def _find(self, prefix: list[Position], mark: int) -> int | None:
        for index in range(mark, max(-1, mark - LOOK_BACK), -1):
            if prefix[index].digest in self._entries:
                return index
        return None

    def _write(self, position: Position, now: float) -> None:
        ttl = max(TTL[position.ttl], self._entries.get(position.digest, (0.0, 0.0))[0])
        self._entries[position.digest] = (ttl, now + ttl)

    def _touch(self, digest: bytes, now: float) -> None:
        ttl, _ = self._entries[digest]
        self._entries[digest] = (ttl, now + ttl)

    def _forget(self, now: float) -> None:
        for digest in [digest for digest, (_, until) in self._entries.items() if until <= now]:
            del self._entries[digest]
