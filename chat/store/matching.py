"""What the database is asked for a search: the turns and attached documents with all terms, the newest first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from chat.models import ChatSession
from chat.models.wordsql import DOCUMENTS, TURNS, Index
from chat.store.snippets import Term

# Turns that are asked for, newest first, and as many documents; what is beyond is said to be there.
CANDIDATES = 400

_OPEN = "s.owner_id = %s AND s.deleted_at IS NULL"
_OWN = f"{_OPEN} AND NOT s.temporary"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate stands; `document_id` where not the turn's own words were found, but what came with it."""

    session_id: UUID
    document_id: int | None = None


Places = Mapping[int, Place]
"""By the turn's id."""


@dataclass(frozen=True, slots=True)
class _Look:
    """How a table of the index is asked. `r` is the row behind an entry, `s` its session.

    `columns` are turn, session and document; `joins` what else is needed; `letters` the texts that are looked through
    where there are no words; `counts` says which rows count.
    """

    index: Index
    columns: str
    joins: str
    letters: Sequence[str]
    counts: str


_SAID = _Look(TURNS, "r.id, r.session_id, NULL", "", TURNS.words("r"), TURNS.found("r"))
_ATTACHED = _Look(
    DOCUMENTS,
    "r.turn_id, r.session_id, r.id",
    " JOIN chat_turn t ON t.id = r.turn_id",
    ("r.name", "r.text"),
    f"{DOCUMENTS.found('r')} AND t.redacted_at IS NULL",
)


def candidates(
    terms: Sequence[Term], *, owner_id: int, session_id: UUID | None = None, archived: bool = False
) -> tuple[Places, bool]:
    """The newest turns that hold all terms or came with a document that does, and whether there may be older ones.

    In one session, or in all of the owner's that are not temporary; `archived`: in those put away.
    """
    said = _asked(_SAID, terms, owner_id, session_id, archived)
    attached = _asked(_ATTACHED, terms, owner_id, session_id, archived)
    # Where both do, the turn's own words are shown.
    return {**attached, **said}, max(len(said), len(attached)) >= CANDIDATES


def together(terms: Sequence[Term], places: Places, owner_id: int) -> set[int]:
    """Those of the places that hold the words of all terms side by side, where there are several."""
    words = tuple(word for term in terms for word in term.words)
    if len(words) < 2 or any(term.letters for term in terms):
        return set()
    phrase = [Term(words, begins=terms[-1].begins)]
    said = {pk: pk for pk, place in places.items() if place.document_id is None}
    attached = {place.document_id: pk for pk, place in places.items() if place.document_id is not None}
    return {
        rows[entry]
        for look, rows in ((_SAID, said), (_ATTACHED, attached))
        for entry in _among(look.index, phrase, rows, owner_id)
        if entry in rows
    }


def _asked(
    look: _Look, terms: Sequence[Term], owner_id: int, session_id: UUID | None, archived: bool
) -> dict[int, Place]:
    words = [term for term in terms if not term.letters]
    sessions, whose = [_OPEN if session_id else _OWN], [owner_id]
    if archived:
        sessions.append("s.archived_at IS NOT NULL")
    rows, values = [look.counts], list[Any]()
    if session_id:
        rows.append("r.session_id = %s")
        values.append(ChatSession._meta.pk.get_db_prep_value(session_id, connection))
    for term in terms:
        if term.letters:
            rows.append(f"({' OR '.join(f'{text} LIKE %s' for text in look.letters)})")
            values += [f"%{term.words[0]}%"] * len(look.letters)
    join = f"JOIN {look.index.source} r ON r.id ="
    if words and connection.vendor == "postgresql":
        query, given = _tsquery(words, owner_id, session_id)
        # The newest before any row is fetched for them; the index holds no other turns than those that count.
        most = CANDIDATES if look is _SAID and len(words) == len(terms) else "ALL"
        entries = (
            f"(SELECT f.id FROM {look.index.table}_find({query}) f JOIN chat_chatsession s ON s.id = f.session_id"
            f" WHERE {' AND '.join(sessions)} ORDER BY f.id DESC LIMIT {most})"
        )
        order, source, given = "f.id", f"{entries} f {join} f.id{look.joins}", [*given, *whose]
    else:
        order, source, given = "r.id", f"{look.index.source} r{look.joins}", []
        if words:
            order, source = "f.rowid", f"{look.index.table}(%s) f {join} f.rowid{look.joins}"
            given = [_match(look.index, words, session_id)]
        source += " JOIN chat_chatsession s ON s.id = r.session_id"
        rows, values = [*sessions, *rows], [*whose, *values]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {look.columns} FROM {source} WHERE {' AND '.join(rows)} ORDER BY {order} DESC LIMIT {CANDIDATES}",
            [*given, *values],
        )
        return {turn: Place(UUID(str(session)), document) for turn, session, document in cursor.fetchall()}


def _among(index: Index, terms: Sequence[Term], rows: Collection[int], owner_id: int) -> list[int]:
    """Entries that hold the terms: of PostgreSQL's those of `rows`, of SQLite's perhaps others between them, too."""
    if not rows:
        return []
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # FTS5 would look for each row of a list by itself.
            sql = f"SELECT rowid FROM {index.table}(%s) WHERE rowid BETWEEN %s AND %s"
            cursor.execute(sql, [_match(index, terms, None), min(rows), max(rows)])
        else:
            query, given = _tsquery(terms, owner_id, None)
            sql = f"SELECT {index.key} FROM {index.table} WHERE {index.key} = ANY(%s) AND words @@ ({query})"
            cursor.execute(sql, [list(rows), *given])
        return [entry for (entry,) in cursor.fetchall()]


def _match(index: Index, terms: Sequence[Term], session_id: UUID | None) -> str:
    """As FTS5 reads it. Words are letters and digits only: nothing in them ends a string."""
    said = " AND ".join(f'"{" ".join(term.words)}"{" *" if term.begins else ""}' for term in terms)
    match = f"{{{' '.join(index.texts)}}} : ({said})"
    return f'session_id : "{session_id.hex}" AND {match}' if session_id else match


def _tsquery(terms: Sequence[Term], owner_id: int, session_id: UUID | None) -> tuple[str, list[Any]]:
    """As PostgreSQL reads it, with its parameters."""
    queries = ["%s::tsquery"]
    values: list[Any] = [f"'=s{session_id}'" if session_id else f"'=o{owner_id}'"]
    for term in terms:
        queries.append("to_tsquery('chat_words', %s)")
        values.append(" <-> ".join(f"'{word}'" for word in term.words) + (":*" if term.begins else ""))
    return " && ".join(queries), values
