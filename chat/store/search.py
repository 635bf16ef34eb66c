"""What somebody said or attached, found again: in all turns of their conversations, compressed long ago or not.

The database gives candidates (matching), the newest first; what is shown, and in which order, is decided
here. A word is found whole, the last one also by its beginning; words in quotes side by side. All of them stand in one
turn, or in one document that came with it. Writing without blanks between words has no words to look up: it is looked
for letter by letter, in one owner's turns and documents.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Left

from chat.models import ChatSession, Document, Turn
from chat.store.matching import Places, candidates, together
from chat.store.snippets import LOOKED_AT, Part, Term, folded, marked, pattern, snippet

MOST_CHARACTERS = 200
MOST_TERMS = 8
CONVERSATIONS, HITS_EACH = 30, 3
HITS_WITHIN = 50
# Characters of attached documents that are read for one page of results, all together.
TEXTS = 1_000_000

_WORD = re.compile(r"[^\W_]+")
# Scripts that put no blanks between words: Han, kana, Thai, Lao, Khmer, Burmese; and Hangul, whose words are inflected.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff"
                       "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003134f]+")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A turn that holds what was looked for, or that a document with it came with: `document` is its name then.

    `active`: on the path that the page shows.
    """

    turn_id: int
    number: int
    active: bool
    by_user: bool
    snippet: tuple[Part, ...]
    at: datetime | None
    document: tuple[Part, ...] = ()


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
    places, cut = candidates(terms, owner_id=owner.pk, archived=archived)
    near = together(terms, places, owner.pk)
    turns: dict[UUID, list[int]] = {}
    for pk, place in places.items():
        turns.setdefault(place.session_id, []).append(pk)
    look = pattern(terms)
    named = _named(sessions, terms)
    heads = sessions.filter(pk__in={*turns, *named}).only("id", "title", "archived_at", "updated_at")
    order = sorted(
        heads,
        key=lambda one: (one.pk in named or not near.isdisjoint(turns.get(one.pk, ())), one.updated_at),
        reverse=True,
    )
    shown = order[:CONVERSATIONS]
    best = {
        one.pk: sorted(turns.get(one.pk, ()), key=lambda pk: (pk in near, pk), reverse=True)[:HITS_EACH]
        for one in shown
    }
    hits = _hits({pk: places[pk] for found in best.values() for pk in found}, look)
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
        hits=len(places),
        cut=cut or len(order) > CONVERSATIONS,
    )


def within(session: ChatSession, query: str) -> Results:
    """The turns of one conversation that hold all of it, the newest first."""
    terms = read(query)
    if not terms:
        return Results()
    places, _ = candidates(terms, owner_id=session.owner_id, session_id=session.pk)
    newest = sorted(places, reverse=True)[:HITS_WITHIN]
    look = pattern(terms)
    hits = _hits({pk: places[pk] for pk in newest}, look)
    shown = sorted(hits.values(), key=lambda hit: (hit.active, hit.number, hit.turn_id), reverse=True)
    found = Found(
        session_id=session.pk,
        title=marked(session.title, look),
        archived=session.archived_at is not None,
        hits=tuple(shown),
        more=max(0, len(places) - HITS_WITHIN),
    )
    return Results(conversations=(found,) if shown else (), hits=len(places), cut=len(places) > len(shown))


def _named(sessions: QuerySet, terms: Sequence[Term]) -> set[UUID]:
    """The conversations whose title holds all terms."""
    looks = [pattern([term]) for term in terms]
    titles = sessions.exclude(title="").order_by().values_list("pk", "title").iterator(chunk_size=2_000)
    return {pk for pk, title in titles if all(look.search(folded(title)) for look in looks)}


def _hits(places: Places, look: re.Pattern[str]) -> dict[int, Hit]:
    """What is shown of each place, by its turn."""
    fields = ("id", "session_id", "number", "parent_id", "active", "kind", "created_at")
    said = [pk for pk, place in places.items() if place.document_id is None]
    texts = Turn.objects.filter(pk__in=said).only(*fields, "prompt", "reply")
    hits = {turn.pk: _said(turn, look) for turn in texts}
    attached = {pk: place.document_id for pk, place in places.items() if place.document_id is not None}
    if attached:
        turns = Turn.objects.only(*fields).in_bulk(attached)
        shown = _versions(turns.values())
        most = min(LOOKED_AT, TEXTS // len(attached))
        documents = Document.objects.annotate(start=Left("text", most)).only("name").in_bulk(attached.values())
        for pk, document_id in attached.items():
            turn, document = turns.get(pk), documents.get(document_id)
            if turn and document:
                hits[pk] = _attached(shown.get(pk, turn), document, look)
    return hits


def _said(turn: Turn, look: re.Pattern[str]) -> Hit:
    # The words that ask for the rest of a reply are ours.
    text, by_user = turn.prompt, turn.kind != Turn.Kind.CONTINUE
    if turn.reply and not (by_user and look.search(folded(text[:LOOKED_AT]))):
        text, by_user = turn.reply, False
    return _hit(turn, by_user, snippet(text, look))


def _attached(turn: Turn, document: Any, look: re.Pattern[str]) -> Hit:
    return replace(_hit(turn, True, snippet(document.start, look)), document=marked(document.name, look))


def _hit(turn: Turn, by_user: bool, words: tuple[Part, ...]) -> Hit:
    return Hit(
        turn_id=turn.pk, number=turn.number, active=turn.active, by_user=by_user, snippet=words, at=turn.created_at
    )


def _versions(turns: Collection[Turn]) -> dict[int, Turn]:
    """Of turns that are not shown the version that is, by the turn's id: what was attached to one stays with all."""
    hidden = [turn for turn in turns if not turn.active]
    if not hidden:
        return {}
    active = Turn.objects.filter(
        active=True,
        session_id__in={turn.session_id for turn in hidden},
        number__in={turn.number for turn in hidden},
    ).only("id", "session_id", "number", "parent_id", "active", "created_at")
    places = {(turn.session_id, turn.number, turn.parent_id): turn for turn in active}
    found = ((turn.pk, places.get((turn.session_id, turn.number, turn.parent_id))) for turn in hidden)
    return {pk: turn for pk, turn in found if turn is not None}
