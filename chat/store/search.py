"""What somebody said, found again: in all turns of their conversations, also in those that were compressed long ago.

The database gives candidates (chat/models/words.py), the newest first; what is shown, and in which order, is decided
here. A word is found whole, the last one also by its beginning; words in quotes side by side. Writing without blanks
between words has no words to look up: it is looked for letter by letter, in one owner's turns.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from chat.models import ChatSession, Turn
from chat.models.words import TABLE

MOST_CHARACTERS = 200
MOST_TERMS = 8
# Turns that the database is asked for, newest first; what is beyond them is said to be there.
CANDIDATES = 400
CONVERSATIONS, HITS_EACH = 30, 3
HITS_WITHIN = 50
# Characters of a snippet, and of a text in which its place is looked for.
SNIPPET, LOOKED_AT = 180, 400_000
AHEAD = 50

_WORD = re.compile(r"[^\W_]+")
# Scripts that put no blanks between words: Han, kana, Thai, Lao, Khmer, Burmese; and Hangul, whose words are inflected.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff"
                       "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003134f]+")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand side by side. `begins`: the last may go on. `letters`: no word, but looked for as it is."""

    words: tuple[str, ...]
    begins: bool = False
    letters: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text, marked where it is what was looked for."""

    text: str
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A turn that holds what was looked for. `active`: on the path that the page shows."""

    turn_id: int
    number: int
    active: bool
    by_user: bool
    snippet: tuple[Part, ...]
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A conversation with its best hits; `more`: so many others were found in it."""

    session_id: UUID
    title: tuple[Part, ...]
    archived: bool
    hits: tuple[Hit, ...]
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that is shown. `cut`: there is more than that."""

    conversations: tuple[Found, ...] = ()
    hits: int = 0
    cut: bool = False


def read(query: str) -> tuple[Term, ...]:
    """The terms of what somebody typed; () when there is nothing to look for in it."""
    text = unicodedata.normalize("NFC", query[:MOST_CHARACTERS])
    terms: list[Term] = []
    for index, piece in enumerate(text.split('"')):
        if index % 2:
            terms += _phrase(piece)
        else:
            for word in piece.split():
                terms += _phrase(word)  # an order number or an address is one thing
    terms = terms[:MOST_TERMS]
    # Whoever has just typed a letter is still typing.
    if terms and not terms[-1].letters and len(terms[-1].words[-1]) > 1 and text[-1:].isalnum():
        terms[-1] = Term(terms[-1].words, begins=True)
    return tuple(dict.fromkeys(terms))


def _phrase(piece: str) -> Iterable[Term]:
    # No word of signs alone (², ½): the databases don't agree on what those are.
    words = tuple(word for word in _WORD.findall(piece) if any(one.isalpha() or one.isdecimal() for one in word))
    if any(_UNSPACED.search(word) for word in words):
        return [term for word in words for term in _single(word)]
    return [Term(words)] if words else []


def _single(word: str) -> Iterable[Term]:
    at = 0
    for run in _UNSPACED.finditer(word):
        if word[at : run.start()]:
            yield Term((word[at : run.start()],))
        yield Term((run[0],), letters=True)
        at = run.end()
    if word[at:]:
        yield Term((word[at:],))


def find(owner, query: str, *, archived: bool = False) -> Results:
    """The conversations of `owner` that hold all of it, in one turn or in their title; `archived`: only those put away.

    First those that hold the words side by side, then the newest.
    """
    terms = read(query)
    if not terms:
        return Results()
    sessions = ChatSession.objects.owned_by(owner).filter(temporary=False)
    if archived:
        sessions = sessions.filter(archived_at__isnull=False)
    rows = _candidates(terms, owner_id=owner.pk, archived=archived)
    together = {row[0] for row in _together(terms, owner_id=owner.pk, archived=archived)}
    turns: dict[UUID, list[int]] = {}
    for pk, session_id in rows:
        turns.setdefault(session_id, []).append(pk)
    look = _pattern(terms)
    named = _named(sessions, terms)
    heads = sessions.filter(pk__in={*turns, *named}).only("id", "title", "archived_at", "updated_at")
    order = sorted(
        heads,
        key=lambda one: (one.pk in named or not together.isdisjoint(turns.get(one.pk, ())), one.updated_at),
        reverse=True,
    )
    shown = order[:CONVERSATIONS]
    best = {
        one.pk: sorted(turns.get(one.pk, ()), key=lambda pk: (pk in together, pk), reverse=True)[:HITS_EACH]
        for one in shown
    }
    hits = _hits([pk for found in best.values() for pk in found], look)
    return Results(
        conversations=tuple(
            Found(
                session_id=one.pk,
                title=marked(one.title, look),
                archived=one.archived_at is not None,
                hits=tuple(hits[pk] for pk in best[one.pk] if pk in hits),
                more=max(0, len(turns.get(one.pk, ())) - HITS_EACH),
            )
            for one in shown
        ),
        hits=len(rows),
        cut=len(rows) >= CANDIDATES or len(order) > CONVERSATIONS,
    )


def within(session: ChatSession, query: str) -> Results:
    """The turns of one conversation that hold all of it, the newest first."""
    terms = read(query)
    if not terms:
        return Results()
    rows = _candidates(terms, owner_id=session.owner_id, session_id=session.pk)
    look = _pattern(terms)
    hits = _hits([pk for pk, _ in rows[:HITS_WITHIN]], look)
    shown = sorted(hits.values(), key=lambda hit: (hit.active, hit.number, hit.turn_id), reverse=True)
    found = Found(
        session_id=session.pk,
        title=marked(session.title, look),
        archived=session.archived_at is not None,
        hits=tuple(shown),
        more=max(0, len(rows) - HITS_WITHIN),
    )
    return Results(conversations=(found,) if shown else (), hits=len(rows), cut=len(rows) > len(shown))


# --- what the database is asked ------------------------------------------------------------------------------

_OPEN = "s.owner_id = %s AND s.deleted_at IS NULL"
_OWN = f"{_OPEN} AND NOT s.temporary"


def _candidates(
    terms: Sequence[Term], *, owner_id: int, session_id: UUID | None = None, archived: bool = False
) -> list[tuple[int, UUID]]:
    """The newest turns that hold all terms, as (turn, session)."""
    words = [term for term in terms if not term.letters]
    letters = [term.words[0] for term in terms if term.letters]
    whose = (_OPEN if session_id else _OWN) + (" AND s.archived_at IS NOT NULL" if archived else "")
    where: list[str] = [whose]
    values: list[Any] = [owner_id]
    if session_id:
        where.append("t.session_id = %s")
        values.append(ChatSession._meta.pk.get_db_prep_value(session_id, connection))
    if letters:
        where += ["(t.prompt LIKE %s OR t.reply LIKE %s)"] * len(letters)
        values += [f"%{found}%" for found in letters for _ in range(2)]
    if words:
        match = _sqlite if connection.vendor == "sqlite" else _postgresql
        source, given, order = match(words, owner_id, session_id)
        values = [*given, *values]
    else:
        source = "SELECT t.id, t.session_id FROM chat_turn t JOIN chat_chatsession s ON s.id = t.session_id WHERE"
        order = "t.id"
        where += [f"t.status IN ({', '.join(['%s'] * len(Turn.TERMINAL))})", "t.redacted_at IS NULL"]
        values += [status.value for status in Turn.TERMINAL]
    with connection.cursor() as cursor:
        cursor.execute(f"{source} {' AND '.join(where)} ORDER BY {order} DESC LIMIT {CANDIDATES}", values)
        return [(pk, UUID(str(session))) for pk, session in cursor.fetchall()]


def _together(terms: Sequence[Term], **where: Any) -> list[tuple[int, UUID]]:
    """Of several words those turns that hold them side by side."""
    words = tuple(word for term in terms for word in term.words)
    if len(words) < 2 or any(term.letters for term in terms):
        return []
    return _candidates([Term(words, begins=terms[-1].begins)], **where)


def _sqlite(terms: Sequence[Term], owner_id: int, session_id: UUID | None) -> tuple[str, list[Any], str]:
    # Words are letters and digits only: nothing in them ends a string.
    said = " AND ".join(f'"{" ".join(term.words)}"{" *" if term.begins else ""}' for term in terms)
    match = f"{{prompt reply}} : ({said})"
    if session_id:
        match = f'session_id : "{session_id.hex}" AND {match}'
    source = (
        f"SELECT t.id, t.session_id FROM {TABLE} f JOIN chat_turn t ON t.id = f.rowid"
        f" JOIN chat_chatsession s ON s.id = t.session_id WHERE {TABLE} MATCH %s AND"
    )
    return source, [match], "f.rowid"


def _postgresql(terms: Sequence[Term], owner_id: int, session_id: UUID | None) -> tuple[str, list[Any], str]:
    queries = ["%s::tsquery"]
    values: list[Any] = [f"'=s{session_id}'" if session_id else f"'=o{owner_id}'"]
    for term in terms:
        queries.append("to_tsquery('chat_words', %s)")
        values.append(" <-> ".join(f"'{word}'" for word in term.words) + (":*" if term.begins else ""))
    # First what the index says: asked for the newest at once, the planner may read all turns from the end.
    source = (
        "WITH f AS MATERIALIZED (SELECT DISTINCT turn_id, session_id"
        f" FROM {TABLE} WHERE words @@ ({' && '.join(queries)}))"
        " SELECT f.turn_id, f.session_id FROM f JOIN chat_chatsession s ON s.id = f.session_id"
        " JOIN chat_turn t ON t.id = f.turn_id WHERE"
    )
    return source, values, "f.turn_id"


def _named(sessions: QuerySet, terms: Sequence[Term]) -> set[UUID]:
    """The conversations whose title holds all terms."""
    looks = [_pattern([term]) for term in terms]
    titles = sessions.exclude(title="").order_by().values_list("pk", "title").iterator(chunk_size=2_000)
    return {pk for pk, title in titles if all(look.search(folded(title)) for look in looks)}


def _hits(turn_ids: Sequence[int], look: re.Pattern[str]) -> dict[int, Hit]:
    rows = Turn.objects.filter(pk__in=turn_ids).only("id", "number", "active", "prompt", "reply", "created_at")
    hits = {}
    for turn in rows:
        text, by_user = turn.prompt, True
        if not look.search(folded(turn.prompt[:LOOKED_AT])) and turn.reply:
            text, by_user = turn.reply, False
        hits[turn.pk] = Hit(
            turn_id=turn.pk,
            number=turn.number,
            active=turn.active,
            by_user=by_user,
            snippet=snippet(text, look),
            at=turn.created_at,
        )
    return hits


# --- snippets -----------------------------------------------------------------------------------------------


class _Fold(dict):
    """Characters to small ones without accents, each to exactly one, so that places stay what they are."""

    def __missing__(self, code: int) -> str:
        small = unicodedata.normalize("NFD", chr(code))[0].lower()
        self[code] = folded_one = small if len(small) == 1 else chr(code)
        return folded_one


_FOLD = _Fold()


def folded(text: str) -> str:
    """`text` in small letters without accents, as long as it was."""
    return text.lower() if text.isascii() else text.translate(_FOLD)


def _pattern(terms: Sequence[Term]) -> re.Pattern[str]:
    """What finds the terms in a folded text."""
    looks = []
    for term in terms:
        said = r"[\W_]+".join(re.escape(folded(word)) for word in term.words)
        looks.append(said if term.letters else rf"(?<![^\W_]){said}" + (r"[^\W_]*" if term.begins else r"(?![^\W_])"))
    return re.compile("|".join(looks))


def marked(text: str, look: re.Pattern[str]) -> tuple[Part, ...]:
    """The whole of a short text, in parts."""
    parts: list[Part] = []
    at = 0
    for match in look.finditer(folded(text)):
        if match.start() > at:
            parts.append(Part(text[at : match.start()]))
        parts.append(Part(text[match.start() : match.end()], marked=True))
        at = match.end()
    return (*parts, Part(text[at:])) if text[at:] else tuple(parts)


def snippet(text: str, look: re.Pattern[str]) -> tuple[Part, ...]:
    """The piece of `text` with the most different matches, in parts; its beginning where nothing matches."""
    text = text[:LOOKED_AT]
    places = [(match.start(), match[0]) for match in look.finditer(folded(text))][:1_000]
    best, most = 0, 0
    for index, (start, _) in enumerate(places):
        near = {said for at, said in places[index : index + 20] if at < start + SNIPPET - AHEAD}
        if len(near) > most:
            best, most = start, len(near)
    start = _at_a_word(text, max(0, best - AHEAD))
    piece = text[start : start + SNIPPET]
    if start + SNIPPET < len(text):
        piece = (piece.rsplit(None, 1)[0] if len(piece.split()) > 1 else piece) + " …"
    piece = ("… " if start else "") + " ".join(piece.split())
    return marked(piece, look)


def _at_a_word(text: str, at: int) -> int:
    """The place of the next word's beginning at or after `at`, if there is one soon."""
    if at == 0:
        return 0
    blank = re.compile(r"\s").search(text, at, at + AHEAD // 2)
    return blank.end() if blank else at
