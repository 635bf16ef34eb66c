"""What a page sends, checked here and nowhere else.

`parse` returns a frame whose every field is of its type and within its limit, or raises `BadFrame` with a code that
says what was wrong. The other direction, the limits and the close codes are in `protocol`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn, Self, cast
from uuid import UUID

from chat.stream.protocol import FRAME_BYTES, TEXT_BYTES, VERSION


class BadFrame(Exception):
    """A frame that can't be taken. `code` is for the page, the message for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


Op = Literal["new", "edit", "regenerate", "retry", "continue"]
OPS: tuple[Op, ...] = ("new", "edit", "regenerate", "retry", "continue")
# Documents of one message, whatever a conversation may have.
MOST_DOCUMENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The page is here, or here again: which turn it shows, of which epoch, and up to where.

    `blocks` is how many finished blocks of it the page has, `block_end` where the last of them ends.
    """

    type: ClassVar[str] = "hello"
    session: UUID
    turn: int | None = None
    epoch: int | None = None
    end: int | None = None
    blocks: int = 0
    block_end: int = 0
    build: str = ""

    @classmethod
    def read(cls, fields: "Fields") -> Self:
        return cls(
            session=fields.uuid("session"),
            turn=fields.count_or_none("turn"),
            epoch=fields.count_or_none("epoch"),
            end=fields.count_or_none("end"),
            blocks=fields.count_or_none("blocks") or 0,
            block_end=fields.count_or_none("block_end") or 0,
            build=fields.text("build", limit=64, default=""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A message. `client_id` makes a repeated send harmless; `of` is the turn that is edited, retried, continued.

    `base` is the number of the newest turn that the user was looking at; `documents` are the ids of those that wait
    beside the message box and go with it.
    """

    type: ClassVar[str] = "send"
    client_id: UUID
    op: Op = "new"
    of: int | None = None
    text: str = ""
    base: int | None = None
    documents: tuple[int, ...] = ()

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
            documents=fields.ids("documents", most=MOST_DOCUMENTS),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The page has taken in this much; sent again with the same `end` when finished blocks came after it."""

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
    """One frame from the page.

    Raises `BadFrame`: frame_too_large, too_large, not_json, version, unknown_type, bad_field.
    """
    # A character is a byte at least: what is far too long is not even encoded.
    short = isinstance(data, str) and len(data) <= FRAME_BYTES
    size = len(data.encode("utf-8", "surrogatepass")) if short else len(data)
    if size > FRAME_BYTES:
        raise BadFrame("frame_too_large", f"over {FRAME_BYTES} bytes")
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


# As JSON encoders write it, with or without a space. Anything else is no worse, only slower.
_PING = re.compile(rb'\{"v": ?1, ?"type": ?"ping", ?"t": ?(-?(?:0|[1-9][0-9]{0,14}))\}')


def pong(data: bytes) -> str | None:
    """The text of the answer, if this is a ping in its usual form: what thousands of idle pages send, for a twentieth
    of the price. None: `parse` must judge it."""
    found = _PING.fullmatch(data)
    return f'{{"v":{VERSION},"type":"pong","t":{found[1].decode()}}}' if found else None


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
        """Refuse what nobody asked for: a misspelt field must not pass for an absent one. Its name is the page's own
        words, and is said back to it as text that can be sent."""
        for name in self._body:
            self.fail(clean_text(name)[:40], "unknown field")

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

    def ids(self, name: str, *, most: int) -> tuple[int, ...]:
        """At most so many whole numbers from 1 to 2**53; none where the field is absent."""
        value = self._body.pop(name, None)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most:
            self.fail(name, f"must be a list of at most {most}")
        if not all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= 2**53 for one in value):
            self.fail(name, "must be a list of ids")
        return tuple(value)

    def number(self, name: str) -> float:
        """A number within the same bounds, whole or not."""
        value = self._body.pop(name, None)
        if not isinstance(value, int | float) or isinstance(value, bool) or not -(2**53) <= value <= 2**53:
            self.fail(name, "must be a number")
        return value
