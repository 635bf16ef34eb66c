"""The rows behind the live text: what other processes write of the turns that are watched here. Reads only."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

from chat.models import ChatSession, Notice, Turn
from chat.store.database import Database
from chat.store.statements import as_uuid
from chat.stream.protocol import Done
from chat.stream.rows import Change, Row

_TURNS = Turn._meta.db_table
_NOTICES = Notice._meta.db_table
_SESSIONS = ChatSession._meta.db_table
# Written out, not as parameters: else SQLite does not see that the partial indices hold all that is asked for.
_LIVE = "('queued', 'running')"

NEWS = f"""
SELECT 'live', id, session_id, number, epoch, status FROM {_TURNS} WHERE status IN {_LIVE}
UNION ALL
SELECT 'ended', id, session_id, number, epoch, status FROM {_TURNS} WHERE id > %s AND status NOT IN {_LIVE}
UNION ALL
SELECT 'notice', id, session_id, first, last, kind FROM {_NOTICES} WHERE id > %s
UNION ALL
SELECT 'gone', 0, id, 0, 0, '' FROM {_SESSIONS} WHERE deleted_at > %s"""
"""Parameters: the id of a turn and of a notice, above which all is new; a time. Every part is one index."""

NEWEST = f"SELECT (SELECT COALESCE(MAX(id), 0) FROM {_TURNS}), (SELECT COALESCE(MAX(id), 0) FROM {_NOTICES})"

SLACK = 32
"""Rows before the newest one seen that are looked at again: ids are given before the commit, not in its order."""

DELETED_WITHIN = timedelta(seconds=60)
"""How far back deletions are told. Longer than a scan and than clocks differ; a socket that was told is gone."""

AT_ONCE = 200


class Rows:
    """The reader that `chat.stream.following` is handed. Its state is how far it has read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._from: tuple[int, int] | None = None
        self._seen = (0, 0)

    def reset(self) -> None:
        """The next call of `news` begins with what is newest then."""
        self._from = None

    async def news(self) -> Sequence[Change]:
        """See stream.rows."""
        return await self._database.read(self._news)

    async def rows(self, known: dict[int, int]) -> Sequence[Row]:
        """See stream.rows."""
        found: list[Row] = []
        pairs = list(known.items())
        for start in range(0, len(pairs), AT_ONCE):
            found += await self._database.read(_rows, pairs[start : start + AT_ONCE])
        return found

    async def ends(self, turns: Sequence[int]) -> Sequence[tuple[UUID, Done, str]]:
        """See stream.rows."""
        return await self._database.read(_ends, turns)

    def _news(self) -> list[Change]:
        with connection.cursor() as cursor:
            if self._from is None:
                cursor.execute(NEWEST)
                self._from = self._seen = cursor.fetchone()
            turn, notice = (max(low, high - SLACK) for low, high in zip(self._from, self._seen, strict=True))
            since = connection.ops.adapt_datetimefield_value(timezone.now() - DELETED_WITHIN)
            cursor.execute(NEWS, [turn, notice, since])
            found = [
                Change(kind, pk, as_uuid(session), first, second, word)
                for kind, pk, session, first, second, word in cursor.fetchall()
            ]
        self._seen = (
            max([self._seen[0], *(one.id for one in found if one.kind in ("live", "ended"))]),
            max([self._seen[1], *(one.id for one in found if one.kind == "notice")]),
        )
        return found


def _rows(pairs: list[tuple[int, int]]) -> list[Row]:
    marks = ", ".join(["%s"] * len(pairs))
    cases = " ".join(["WHEN %s THEN %s"] * len(pairs))
    statement = (
        "SELECT id, session_id, number, epoch, status, LENGTH(reply), SUBSTR(reply, CASE id "
        f"{cases} END) FROM {_TURNS} WHERE id IN ({marks})"
    )
    # SUBSTR counts from 1, and characters, on both databases.
    parameters = [value for turn, known in pairs for value in (turn, known + 1)]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, *(turn for turn, _ in pairs)])
        return [
            Row(turn, as_uuid(session), number, epoch, status in Turn.TERMINAL, length, piece)
            for turn, session, number, epoch, status, length, piece in cursor.fetchall()
        ]


def _ends(turns: Sequence[int]) -> list[tuple[UUID, Done, str]]:
    fields = ("pk", "session_id", "number", "epoch", "status", "stop_reason", "error", "usage", "reply")
    found = []
    for row in Turn.objects.finished().filter(pk__in=turns).order_by("pk").values(*fields):
        reply = row["reply"]
        done = Done(
            turn=row["pk"],
            epoch=row["epoch"],
            number=row["number"],
            status=row["status"],
            stop_reason=row["stop_reason"] or row["error"],
            end=len(reply),
            sha256=hashlib.sha256(reply.encode("utf-8", "surrogatepass")).hexdigest(),
            usage=row["usage"],
        )
        found.append((row["session_id"], done, reply))
    return found
