"""The words of the websocket protocol, version 1: limits, close codes, and the frames that the server sends.

docs/protocol.md tells it to somebody who writes another client; a test compares the two. `end` counts the characters
of a reply as the server counts them: a page stores and echoes it, but never computes it (JavaScript counts UTF-16
units). What a page sends is in `inbound`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar
from uuid import UUID

VERSION = 1

FRAME_BYTES = 64 * 1024
"""Bytes of one inbound frame; a longer one closes the socket."""

TEXT_BYTES = 48 * 1024
"""Bytes (UTF-8) of a message that goes through the socket; a longer one goes by POST to the same function."""

FRAMES_PER_SECOND = 20
FRAMES_BURST = 40
ERRORS_ALLOWED = 5

COMMANDS_WAITING = 40
"""Commands of one socket that wait for the database; one more closes it."""

WINDOW_BYTES = 64 * 1024
"""Bytes of a reply that may be on their way without an acknowledgement; above that a socket gets no more of it."""

ACK_WITHIN_S = 30
"""Seconds in which something that was sent must be acknowledged."""

HEARTBEAT_S = 15
"""Seconds between two pings of a page."""

DEAD_S = 45
"""Seconds without a frame after which a page takes the server for dead."""

SILENT_S = 60
"""Seconds without a frame after which the server takes a page for dead: three pings were missed, and some grace."""


class Close(IntEnum):
    """Why the server closes a socket. Daphne lets an application use 1000 and 3000-4999 only."""

    RESTART = 4012
    SIGNED_OUT = 4401
    GONE = 4404
    SLOW = 4408
    VERSION = 4409
    FLOOD = 4429


# Made once: `json.dumps` with any option of its own makes an encoder for every call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Outbound:
    """What the server sends. Fields that are None are left out."""

    __slots__ = ()
    type: ClassVar[str]

    def to_json(self) -> str:
        """The frame as the text of one websocket message."""
        body: dict[str, Any] = {"v": VERSION, "type": self.type}
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None:
                body[name] = value
        return _encode(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Outbound):
    """The answer to hello. `head` is the number of the newest turn, `turn` its id and `before` that of the turn before
    it (0 without one); `live` the one that runs, {turn, epoch, end}, where `end` is what is stored of it; `around` a
    mark of what stands around the turns (title, notices, gauge), another one whenever that has changed."""

    type: ClassVar[str] = "welcome"
    head: int
    turn: int = 0
    before: int = 0
    live: Mapping[str, Any] | None = None
    around: str | None = None
    heartbeat_s: int = HEARTBEAT_S
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Outbound):
    """The message is stored; its turn will be answered."""

    type: ClassVar[str] = "accepted"
    client_id: UUID
    number: int
    turn: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(Outbound):
    """The message was not taken; the page keeps the text. `code` says why, `retry_after_ms` when to try again.

    `reason` is which limit a `quota` has met: messages, live, tokens or spend.
    """

    type: ClassVar[str] = "rejected"
    client_id: UUID
    code: str
    retry_after_ms: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Outbound):
    """A reply from its beginning, as far as one frame takes it, and the finished blocks in that as (end of the
    source, sanitised HTML). What is missing follows as deltas and blocks."""

    type: ClassVar[str] = "snapshot"
    turn: int
    number: int
    epoch: int
    text: str
    end: int
    blocks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta(Outbound):
    """More text: applied only if the epoch matches and `start` is where the page stopped."""

    type: ClassVar[str] = "delta"
    turn: int
    epoch: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Outbound):
    """A finished block of a running reply, sanitised. `end` is where its source ends in the text of the reply."""

    type: ClassVar[str] = "block"
    turn: int
    epoch: int
    index: int
    end: int
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Outbound):
    """The reply starts again from nothing, in a new epoch."""

    type: ClassVar[str] = "reset"
    turn: int
    epoch: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Outbound):
    """What a turn without new text is doing: queued, waiting, retrying, compacting; for how long already.

    "thought": it has ended to think, after so long, and begins to write.
    """

    type: ClassVar[str] = "status"
    turn: int
    phase: str
    since_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Outbound):
    """Something about the context that the user must know; `range` is the turns it speaks of."""

    type: ClassVar[str] = "notice"
    kind: str
    text: str = ""
    range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch(Outbound):
    """Other versions of the turns from number `first` on are shown: the path that ends with `turn`, number `head`."""

    type: ClassVar[str] = "branch"
    first: int
    turn: int
    head: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Outbound):
    """The reply has ended, one way or another; `sha256` is of its whole text."""

    type: ClassVar[str] = "done"
    turn: int
    epoch: int
    number: int
    status: str
    stop_reason: str = ""
    end: int
    sha256: str = ""
    usage: Mapping[str, Any] | None = None
    gauge: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Outbound):
    """The answer to a ping."""

    type: ClassVar[str] = "pong"
    t: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone(Outbound):
    """The conversation is there no more."""

    type: ClassVar[str] = "gone"
    session: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye(Outbound):
    """The server is about to close this socket."""

    type: ClassVar[str] = "bye"
    code: int
    reconnect_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Outbound):
    """The last frame could not be taken, and why. Five of them close the socket."""

    type: ClassVar[str] = "error"
    code: str
    detail: str = ""


OUTBOUND: tuple[type[Outbound], ...] = (
    Welcome, Accepted, Rejected, Snapshot, Delta, Block, Reset, Status, Notice, Branch, Done, Pong, Gone, Bye, Error,
)  # fmt: skip
