"""Statements that every turn executes, written out: Django would build the same SQL anew each time, which costs more
than the database does.

Only what a load reads stands here; whoever changes a column of these tables finds it by the tests of the load, which
run on both databases. PostgreSQL gets them as prepared statements, so that it plans them once a connection.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection, connections

from chat.models import ChatSession, Document, Fact, Instructions, Manifest, Summary, Turn

_TURNS = Turn._meta.db_table
_SESSIONS = ChatSession._meta.db_table
_MANIFESTS = Manifest._meta.db_table
_INSTRUCTIONS = Instructions._meta.db_table
_SUMMARIES = Summary._meta.db_table
_FACTS = Fact._meta.db_table
_DOCUMENTS = Document._meta.db_table

HEAD = f"""
SELECT t.session_id, t.number, t.prompt, t.parent_id,
       p.tokens_upto, p.reply_tokens, p.reply_source,
       m.measured, m.context_version, m.window_from, m.model,
       s.owner_id, s.model, s.strategy, s.mode, s.window_messages, s.context_version, s.prefix_version,
       s.window_from, s.restored, s.open_tokens, s.compactions, s.marked, i.text,
       EXISTS (SELECT 1 FROM {_DOCUMENTS} d WHERE d.session_id = s.id AND d.removed_at IS NULL),
       s.thinking, s.soft_mark, s.hard_mark
FROM {_TURNS} t
JOIN {_SESSIONS} s ON s.id = t.session_id
JOIN {_INSTRUCTIONS} i ON i.id = s.instructions_id
LEFT JOIN {_TURNS} p ON p.id = t.parent_id
LEFT JOIN {_MANIFESTS} m ON m.turn_id = p.id
WHERE t.id = %s"""
"""A live turn with its session and what was measured of the turn before it. Parameter: the turn's id."""

_PATH = "id, number, prompt, reply, prompt_tokens, reply_tokens, pinned_since, excluded_by, step_count, tokens_upto"

NEWEST = f"""
SELECT {_PATH} FROM {_TURNS}
WHERE session_id = %s AND active = %s AND number >= %s AND number < %s AND tokens_upto > %s
ORDER BY number DESC LIMIT %s"""
"""The newest turns of the active path, newest first: session, True, first number, number of the live turn, tokens
that the running sum must exceed, most rows."""

MOST_FACTS = 200
"""Facts of one request, before its budget decides."""

FACTS = f"""
SELECT s.context_version, f.id, f.kind, f.value, f.quote, t.number, f.pinned, f.since, f.supersedes_id
FROM {_SESSIONS} s LEFT JOIN (
    SELECT f.id, f.kind, f.value, f.quote, f.turn_id, f.pinned, f.since, f.supersedes_id
    FROM {_FACTS} f
    WHERE f.session_id = %s AND f.forgotten_at IS NULL AND (f.turn_id IS NULL OR EXISTS (
        SELECT 1 FROM {_TURNS} t
        WHERE t.id = f.turn_id AND t.active = %s AND (f.pinned = %s OR t.number < %s)
    ))
    ORDER BY f.pinned DESC, f.id DESC LIMIT {MOST_FACTS}
) f ON 1 = 1 LEFT JOIN {_TURNS} t ON t.id = f.turn_id
WHERE s.id = %s
ORDER BY f.pinned DESC, f.id DESC"""
"""Current facts that no verbatim turn says, pinned ones first, then the newest: session, True, True, start of the
window, session. Each row begins with the version that everything else must have been read at: the last statement of a
load brings it, and there is a row, all null, for it where there are no facts.

Turns are looked at one by one in the order of the index, until there are enough: joined, PostgreSQL sorted all that was
ever learnt, or had workers do it. The limit is written out: of one that is bound it takes a tenth of all rows to be
wanted, and compiles the statement (20 ms and more)."""

SUMMARIES = f"""
SELECT id, first, last, text, tokens, tier FROM {_SUMMARIES}
WHERE session_id = %s AND state = 'active' ORDER BY first"""
"""The active summaries, oldest first: session."""

DOCUMENTS = f"""
SELECT d.id, d.name, d.text, d.tokens, d.since, t.number
FROM {_DOCUMENTS} d JOIN {_TURNS} t ON t.id = d.turn_id
WHERE d.session_id = %s AND d.removed_at IS NULL AND (t.active = %s OR EXISTS (
    SELECT 1 FROM {_TURNS} a
    WHERE a.session_id = t.session_id AND a.active = %s AND a.number = t.number
      AND (a.number = 1 OR a.parent_id = t.parent_id)))
ORDER BY d.since, d.id"""
"""The attached documents of the active path, as they came: those of its turns, and of another version of one of them.
Parameters: session, True, True. Ordered by when they began to be seen, so that a new one is always the last."""

_LEASE = {
    "postgresql": "statement_timestamp() + %s * interval '1 second'",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '+' || %s || ' seconds')",
}

# Who claims, its lease in seconds; again who, the courtesy in seconds, most rows. On PostgreSQL the rows are found
# before the update begins: with IN a plan may ask the subquery again and lock more of them than its LIMIT.
_TAKEN = "status = 'running', owner = %s, epoch = epoch + 1, attempt = attempt + 1"
# The first condition is that of the index: SQLite uses it only where it is repeated (models.literal).
_WAITING = (
    f"SELECT id FROM {_TURNS} WHERE status IN ('queued', 'running') AND status = 'queued'"
    " AND (owner = %s OR owner = '' OR created_at < "
)
_CLAIMED = "RETURNING id, session_id, epoch, attempt, reply"
_CLAIMS = {
    "postgresql": f"""
UPDATE {_TURNS} SET {_TAKEN}, lease_until = {_LEASE["postgresql"]}
WHERE status = 'queued' AND id = ANY(ARRAY({_WAITING} statement_timestamp() - %s * interval '1 second')
    ORDER BY created_at, id LIMIT %s FOR UPDATE SKIP LOCKED))
{_CLAIMED}""",
    "sqlite": f"""
UPDATE {_TURNS} SET {_TAKEN}, lease_until = {_LEASE["sqlite"]}
WHERE status = 'queued' AND id IN ({_WAITING} strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || %s || ' seconds'))
    ORDER BY created_at, id LIMIT %s)
{_CLAIMED}""",
}

# Turn, owner, epoch and text of each; the lease in seconds.
_BEATS = {
    "postgresql": f"""
UPDATE {_TURNS} t SET lease_until = {_LEASE["postgresql"]}, reply = COALESCE(b.reply, t.reply)
FROM unnest(%s::bigint[], %s::text[], %s::integer[], %s::text[]) AS b(id, owner, epoch, reply)
WHERE t.id = b.id AND t.owner = b.owner AND t.epoch = b.epoch AND t.status = 'running'
RETURNING t.id, t.epoch, t.cancel_requested""",
    "sqlite": f"""
UPDATE {_TURNS} SET lease_until = {_LEASE["sqlite"]}, reply = COALESCE(b.reply, {_TURNS}.reply)
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS owner,
             json_extract(value, '$[2]') AS epoch, json_extract(value, '$[3]') AS reply FROM json_each(%s)) AS b
WHERE {_TURNS}.id = b.id AND {_TURNS}.owner = b.owner AND {_TURNS}.epoch = b.epoch AND status = 'running'
RETURNING id, epoch, cancel_requested""",
}


def beats(held: Sequence[tuple[int, str, int, str | None]], lease_s: float) -> list[tuple[Any, ...]]:
    """Hold on to running turns: (turn, owner, epoch, text so far or None) of each, and the lease in seconds.

    Rows: turn and epoch of those that are still ours, and whether a stop was asked for.
    """
    postgresql = connection.vendor == "postgresql"
    given = [list(column) for column in zip(*held, strict=True)] if postgresql else [json.dumps(held)]
    return rows(_BEATS[connection.vendor], [lease_s, *given])


def claim() -> str:
    """Take the oldest waiting turns, in one statement. Parameters: owner, lease in seconds, owner, seconds for which
    another process's own turn is left to it, most turns. Rows: id, session, epoch, attempt, reply so far.
    """
    return _CLAIMS[connection.vendor]


def rows(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Execute one of the statements above and fetch all that it finds. Values are as the driver gives them."""
    own: Any = connections["default"]
    return own.fixed_rows(statement, parameters)


def as_uuid(value: Any) -> UUID:
    """SQLite keeps a UUID as its 32 digits, and gives it back so where no field of Django's stands between."""
    return value if isinstance(value, UUID) else UUID(value)
