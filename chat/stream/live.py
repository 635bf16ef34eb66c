"""One reply as it is written: appended once, flushed in pieces, never copied."""

import asyncio
import hashlib
from collections.abc import Mapping
from math import inf
from typing import Any

from chat.stream.protocol import Done, Status


class Live:
    """One reply as it is written. `end` counts characters (code points), as the server does everywhere."""

    __slots__ = ("_new", "_parts", "blocks", "committed", "done", "epoch", "flushed_at", "looked", "number", "phase",
                 "rendering", "text", "timer", "turn")  # fmt: skip

    def __init__(self, turn: int, number: int, epoch: int):
        self.turn = turn
        self.number = number
        self.epoch = epoch
        self.text = ""
        self.blocks: list[tuple[int, str]] = []
        self.committed = 0
        self.looked = 0
        self.done: Done | None = None
        self.phase: Status | None = None
        self.rendering = False
        self.flushed_at = -inf  # the loop's time, which begins at 0 with the machine
        self.timer: asyncio.TimerHandle | None = None
        self._parts: list[str] = []
        self._new = 0

    @property
    def end(self) -> int:
        """The length of the flushed text, in characters."""
        return len(self.text)

    @property
    def size(self) -> int:
        """The length of all text so far, flushed or not, in characters."""
        return len(self.text) + self._new

    def add(self, text: str) -> int:
        """Take a delta in; returns the characters that wait to be flushed."""
        self._parts.append(text)
        self._new += len(text)
        return self._new

    def flush(self) -> bool:
        """Make what was added visible; whether there was anything."""
        if not self._parts:
            return False
        self.text += "".join(self._parts)
        self._parts.clear()
        self._new = 0
        return True

    def whole(self) -> str:
        """All text so far, flushed or not: what a checkpoint stores."""
        return self.text + "".join(self._parts)


def ended(
    *, turn: int, number: int, epoch: int, text: str, status: str, stop_reason: str, usage: Mapping[str, Any] | None
) -> Live:
    """A reply that is over, from its row: for a page that was away when it ended."""
    live = Live(turn, number, epoch)
    live.text = text
    live.done = end_of(live, status=status, stop_reason=stop_reason, usage=usage)
    return live


def end_of(
    live: Live,
    *,
    status: str,
    stop_reason: str = "",
    usage: Mapping[str, Any] | None = None,
    gauge: Mapping[str, Any] | None = None,
    text: str | None = None,
) -> Done:
    """The last frame of a reply. `text` is what was stored, where it is not what was streamed."""
    stored = live.text if text is None else text
    return Done(
        turn=live.turn,
        epoch=live.epoch,
        number=live.number,
        status=status,
        stop_reason=stop_reason,
        end=len(stored),
        sha256=hashlib.sha256(stored.encode("utf-8", "surrogatepass")).hexdigest(),
        usage=usage,
        gauge=gauge,
    )
