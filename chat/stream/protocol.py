"""The frames between a page and the server, as typed values (JSON, version 1).

What a page sends is checked here and nowhere else: `parse` returns a frame whose every field is of its type and
within its limit, or raises `BadFrame` with a code that says what was wrong. What the server sends is made by
`to_json`. `end` counts the characters of a reply as the server counts them: a page stores and echoes it, but never
computes it (JavaScript counts UTF-16 units).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Literal, NoReturn, Self, cast
from uuid import UUID

VERSION = 1

FRAME_BYTES = 64 * 1024
"""Bytes of one inbound frame; a longer one closes the socket."""

TEXT_BYTES = 48 * 1024
"""Bytes (UTF-8) of a message that goes through the socket; a longer one goes by POST to the same function."""

FRAMES_PER_SECOND = 20
FRAMES_BURST = 40
ERRORS_ALLOWED = 5

HEARTBEAT_S = 15
"""Seconds between two pings of a page."""

SILENCE_S = 45
"""Seconds without a frame after which either side takes the other for dead."""


class Close(IntEnum):
    """Why the server closes a socket. Daphne lets an application use 1000 and 3000-4999 only."""

    RESTART = 4012
    SIGNED_OUT = 4401
    GONE = 4404
    SLOW = 4408
    VERSION = 4409
    FLOOD = 4429


class BadFrame(Exception):
    """A frame that can't be taken. `code` is for the page, the message for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


Op = Literal["new", "edit", "regenerate", "retry", "continue"]
OPS: tuple[Op, ...] = ("new", "edit", "regenerate", "retry", "continue")


# --- from the page --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The page is here, or here again: which turn it shows, of which epoch, and up to where."""

    type: ClassVar[str] = "hello"
    session: UUID
    turn: int | None = None
    epoch: int | None = None
    end: int | None = None
    build: str = ""

    @classmethod
    def read(cls, fields: "Fields") -> Self:
        return cls(
            session=fields.uuid("session"),
            turn=fields.count_or_none("turn"),
            epoch=fields.count_or_none("epoch"),
            end=fields.count_or_none("end"),
            build=fields.text("build", limit=64, default=""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A message. `client_id` makes a repeated send harmless; `of` is the turn that is edited, retried, continued.

    `base` is the number of the newest turn that the user was looking at.
    """

    type: ClassVar[str] = "send"
    client_id: UUID
    op: Op = "new"
    of: int | None = None
    text: str = ""
    base: int | None = None

    @classmethod
    def read(cls, fields: "Fields") -> Self:
        op = fields.text("op", limit=16, default="new")
        if op not in OPS:
            fields.fail("op", "is none of " + ", ".join(OPS))
        text = fields.text("text", limit=FRAME_BYTES, default="")
        if len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES:
            raise BadFrame("too_large", f"text: over {TEXT_BYTES} bytes; send it by POST")
        return cls(
            client_id=fields.uuid("client_id"),
            op=cast(Op, op),
            of=fields.count_or_none("of"),
            text=clean_text(text),
            base=fields.count_or_none("base"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The page has shown this much."""

    type: ClassVar[str] = "ack"
    turn: int
    end: int

    @classmethod
    def read(cls, fields: "Fields") -> Self:
        return cls(turn=fields.count("turn"), end=fields.count("end"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The user wants this reply to end here."""

    type: ClassVar[str] = "stop"
    turn: int

    @classmethod
    def read(cls, fields: "Fields") -> Self:
        return cls(turn=fields.count("turn"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there? `t` comes back unchanged."""

    type: ClassVar[str] = "ping"
    t: float

    @classmethod
    def read(cls, fields: "Fields") -> Self:
        return cls(t=fields.number("t"))


Inbound = Hello | Send | Ack | Stop | Ping
INBOUND: dict[str, Callable[["Fields"], Inbound]] = {
    Hello.type: Hello.read,
    Send.type: Send.read,
    Ack.type: Ack.read,
    Stop.type: Stop.read,
    Ping.type: Ping.read,
}


def parse(data: str | bytes) -> Inbound:
    """One frame from the page. Raises `BadFrame`: too_large, not_json, version, unknown_type, bad_field."""
    size = len(data) if isinstance(data, bytes) else len(data.encode("utf-8", "surrogatepass"))
    if size > FRAME_BYTES:
        raise BadFrame("too_large", f"over {FRAME_BYTES} bytes")
    try:
        body = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadFrame("not_json", "not JSON") from error
    if not isinstance(body, dict):
        raise BadFrame("not_json", "not an object")
    if body.pop("v", None) != VERSION:
        raise BadFrame("version", f"v: only {VERSION} is spoken here")
    kind = body.pop("type", None)
    read = INBOUND.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise BadFrame("unknown_type", "type: " + ", ".join(INBOUND))
    fields = Fields(body)
    frame = read(fields)
    fields.finish()
    return frame


def clean_text(text: str) -> str:
    """Text that every database and the API can take: NUL and lone surrogates become U+FFFD, line ends become \\n."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


class Fields:
    """The fields of one inbound frame; each read takes one, and none may be left over."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = dict(body)

    def fail(self, name: str, problem: str) -> NoReturn:
        raise BadFrame("bad_field", f"{name}: {problem}")

    def finish(self) -> None:
        """Refuse what nobody asked for: a misspelt field must not pass for an absent one."""
        for name in self._body:
            self.fail(str(name)[:40], "unknown field")

    def text(self, name: str, *, limit: int, default: str | None = None) -> str:
        """A string of at most `limit` characters."""
        value = self._body.pop(name, None)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            self.fail(name, "must be a string")
        if len(value) > limit:
            self.fail(name, f"over {limit} characters")
        return value

    def uuid(self, name: str) -> UUID:
        """A UUID in its usual form of 36 characters."""
        value = self.text(name, limit=36)
        try:
            found = UUID(value)
        except ValueError:
            self.fail(name, "must be a UUID")
        if str(found) != value.lower():
            self.fail(name, "must be a UUID with hyphens")
        return found

    def count(self, name: str) -> int:
        """A whole number from 0 to 2**53, the largest that JavaScript holds exactly."""
        value = self._body.pop(name, None)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
            self.fail(name, "must be a whole number, 0 or more")
        return value

    def count_or_none(self, name: str) -> int | None:
        return self.count(name) if self._body.get(name) is not None else self._body.pop(name, None)

    def number(self, name: str) -> float:
        """A number within the same bounds, whole or not."""
        value = self._body.pop(name, None)
        if not isinstance(value, int | float) or isinstance(value, bool) or not -(2**53) <= value <= 2**53:
            self.fail(name, "must be a number")
        return value


# --- to the page ----------------------------------------------------------------------------------------------


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
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Outbound):
    """The answer to hello. `head` is the number of the newest turn; `live` the one that runs, {turn, epoch, end}."""

    type: ClassVar[str] = "welcome"
    head: int
    live: Mapping[str, Any] | None = None
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
    """Nothing was stored; the page keeps the text. `code` says why, `retry_after_ms` when to try again."""

    type: ClassVar[str] = "rejected"
    client_id: UUID
    code: str
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Outbound):
    """All text of a running reply so far, and its finished blocks as (end of the source, sanitised HTML)."""

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
    """What a turn without new text is doing: queued, waiting, retrying, compacting; for how long already."""

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
    Welcome, Accepted, Rejected, Snapshot, Delta, Block, Reset, Status, Notice, Done, Pong, Gone, Bye, Error,
)  # fmt: skip
