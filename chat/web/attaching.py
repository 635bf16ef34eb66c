"""What a socket is told when it says hello: where its conversation stands, and how a reply ended meanwhile."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zlib import crc32

from django.db import connection

from chat.models import ChatSession, Turn
from chat.store import statements
from chat.stream.live import Live, ended

# Written out: every socket or turn executes them, and Django would put them together anew each time.
_SESSIONS = ChatSession._meta.db_table
_MINE = "s.id = %s AND s.owner_id = %s AND s.deleted_at IS NULL"
_IS_MINE = f"SELECT 1 FROM {_SESSIONS} s WHERE {_MINE}"
_LIVE = ", ".join(f"'{status}'" for status in Turn.LIVE)
# The length only where it is told: it costs reading the whole text.
_PLACE = f"""
SELECT s.turns_active, s.head_id, h.parent_id, h.epoch, h.status,
       CASE WHEN h.status IN ({_LIVE}) THEN LENGTH(h.reply) ELSE 0 END, s.context_version, s.title
FROM {_SESSIONS} s LEFT JOIN {Turn._meta.db_table} h ON h.id = s.head_id WHERE {_MINE}"""
_SEEN = {
    "postgresql": f"""
UPDATE {_SESSIONS} s SET seen = n.number
FROM unnest(%s::bigint[], %s::uuid[], %s::integer[]) AS n(owner, id, number)
WHERE s.id = n.id AND s.owner_id = n.owner AND s.seen < n.number RETURNING 1""",
    "sqlite": f"""
UPDATE {_SESSIONS} SET seen = n.number
FROM (SELECT json_extract(value, '$[0]') AS owner, json_extract(value, '$[1]') AS id,
             json_extract(value, '$[2]') AS number FROM json_each(%s)) AS n
WHERE {_SESSIONS}.id = n.id AND {_SESSIONS}.owner_id = n.owner AND seen < n.number RETURNING 1""",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation stands. `head`: number of its newest turn, `turn` its id, `before` that of the one before
    it (0: there is none).

    `around`: the `mark` of what stands around the turns. `live`: {turn, epoch, end} when that turn has not ended.
    `known`: the turn that was asked about is one of this conversation. `rest`: that turn, when it has ended.
    """

    head: int
    around: str
    turn: int = 0
    before: int = 0
    live: dict[str, Any] | None = None
    status: str = ""
    known: bool = True
    rest: Live | None = None


def place(owner_id: int, session_id: UUID, asked: int | None = None) -> Place | None:
    """Where a session stands, and what became of the turn `asked`; None when the session is not this owner's."""
    found = statements.rows(_PLACE, [_key(session_id), owner_id])
    if not found:
        return None
    head, turn, before, epoch, status, end, version, title = found[0]
    around = mark(version, title)
    turn, before, status = turn or 0, before or 0, status or ""
    live = {"turn": turn, "epoch": epoch, "end": end} if status in Turn.LIVE else None
    if asked is None or (live and asked == turn):
        return Place(head, around, turn, before, live, status)
    known, rest = _rest(session_id, asked)
    return Place(head, around, turn, before, live, status, known, rest)


def mark(version: int, title: str) -> str:
    """What changes whenever something around the turns does: a page that shows another one missed a notice."""
    return f"{version}.{crc32(title.encode()):08x}"


def is_mine(owner_id: int, session_id: UUID) -> bool:
    """Whether there is such a session of this owner's."""
    return bool(statements.rows(_IS_MINE, [_key(session_id), owner_id]))


def seen(noted: Sequence[tuple[int, UUID, int]]) -> None:
    """These owners have these sessions on the screen, up to these numbers: (owner, session, number)."""
    given = [(owner, _key(session_id), number) for owner, session_id, number in noted]
    columns = [list(column) for column in zip(*given, strict=True)]
    postgresql = connection.vendor == "postgresql"
    statements.rows(_SEEN[connection.vendor], columns if postgresql else [json.dumps(given)])


def _key(session_id: UUID) -> Any:
    return ChatSession._meta.pk.get_db_prep_value(session_id, connection)


def _rest(session_id: UUID, asked: int) -> tuple[bool, Live | None]:
    fields = ("number", "epoch", "status", "stop_reason", "error", "usage", "reply")
    row = Turn.objects.filter(pk=asked, session_id=session_id).values(*fields).first()
    if row is None:
        return False, None
    if row["status"] in Turn.LIVE:
        return True, None
    return True, ended(
        turn=asked,
        number=row["number"],
        epoch=row["epoch"],
        text=row["reply"],
        status=row["status"],
        stop_reason=row["stop_reason"] or row["error"],
        usage=row["usage"],
    )
