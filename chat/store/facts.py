"""What is remembered: exact values found by code when a turn ends, and what a person adds, corrects or takes away.

Rows are never edited: a correction supersedes, a forgotten fact keeps the time at which it went. Every change but
what is found at a close moves the context version.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from chat.context import prompts
from chat.context import values as context
from chat.context.exact import Exact
from chat.models import Fact, Turn
from chat.models.literal import BEGINNING, beginning
from chat.store import standing
from chat.store.branches import locked
from chat.store.standing import Standing

MOST_A_TURN = 40  # a pasted log holds thousands; beyond this the words themselves are the record
MOST_SHOWN = 200
MOST_CHARACTERS = 500
TOLD = "told"
"""The kind of a fact that a person wrote."""


class UnknownFact(Exception):
    """No such fact is remembered in this session."""


class EmptyFact(Exception):
    """A fact needs a word."""


class FactsFull(Exception):
    """What a person told may hold `most` tokens; with this it would be `tokens`."""

    def __init__(self, tokens: int, most: int):
        super().__init__(tokens, most)
        self.tokens = tokens
        self.most = most


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A current fact. `turn` and `number` are of the turn whose sentence it rests on; `before` is the value that it
    corrects. `since` is the context version at which it was learnt."""

    id: int
    kind: str
    value: str
    quote: str
    turn: int | None
    number: int | None
    before: str
    pinned: bool
    since: int
    made_by: str
    created_at: datetime

    def as_context(self, prefix_version: int) -> context.Fact:
        """As assembly takes it."""
        own = self.number if self.made_by != Fact.MadeBy.USER else None
        return context.Fact(
            kind=self.kind,
            value=self.value,
            quote=quote_of(self.before) if self.made_by == Fact.MadeBy.USER else self.quote,
            turn=own,
            pinned=self.pinned,
            settled=self.since <= prefix_version,
        )


def keep(turn: Turn, found: Sequence[Exact], *, since: int) -> int:
    """Store the values that a closed turn holds and the session does not yet know; returns how many are new.

    `since` is the session's context version: facts of that version stand in the cached prefix only after the next
    commit. What a person corrected or took away is not learnt again.
    """
    # What the prompt says the reply often repeats; the first quote is kept.
    found = list({(one.kind, one.value): one for one in reversed(found)}.values())[::-1][:MOST_A_TURN]
    if not found:
        return 0
    beginnings = {one.value[:BEGINNING] for one in found}
    own = Fact.objects.alias(begins=beginning("value")).filter(session_id=turn.session_id, begins__in=beginnings)
    # What only an excluded turn said is never told; what a person decided about it stays decided.
    decided = Q(forgotten_at__isnull=False) | Exists(Fact.objects.filter(supersedes_id=OuterRef("pk")))
    here = Q(turn__isnull=True) | Q(turn__active=True) & (Q(turn__excluded_by="") | decided)
    known = set(own.filter(here).values_list("kind", "value"))
    new = [
        Fact(
            session_id=turn.session_id,
            kind=one.kind,
            value=one.value,
            quote=one.quote,
            turn=turn,
            since=since,
            made_by=Fact.MadeBy.CODE,
        )
        for one in found
        if (one.kind, one.value) not in known
    ]
    Fact.objects.bulk_create(new)
    return len(new)


def quote_of(before: str) -> str:
    """What a model reads beside a value that a person corrected."""
    return f"The user corrected this; before it was {before}." if before else ""


def current(session_id: UUID, most: int = MOST_SHOWN) -> tuple[list[Known], int]:
    """What is remembered now, what a person told first, then the newest; and how many there are in all."""
    rows = _current(session_id)
    count = rows.count()
    source = ("supersedes__turn_id", "supersedes__turn__number", "supersedes__quote", "supersedes__value")
    found = rows.order_by("-pinned", "-id").annotate(number=F("turn__number"))[:most]
    out = []
    for row in found.values(
        "id", "kind", "value", "quote", "turn_id", "number", "pinned", "since", "made_by", "created_at", *source
    ):
        corrected = row["supersedes__value"] is not None
        out.append(
            Known(
                id=row["id"],
                kind=row["kind"],
                value=row["value"],
                quote=(row["supersedes__quote"] if corrected else row["quote"]) or "",
                turn=row["supersedes__turn_id"] if corrected else row["turn_id"],
                number=row["supersedes__turn__number"] if corrected else row["number"],
                before=row["supersedes__value"] or "",
                pinned=row["pinned"],
                since=row["since"],
                made_by=row["made_by"],
                created_at=row["created_at"],
            )
        )
    return out, count


def count(session_id: UUID, most: int | None = None) -> int:
    """How many facts are remembered now; none is looked at beyond `most`."""
    return _current(session_id)[:most].count()


def _current(session_id: UUID):
    """Not forgotten, on the active path, and not superseded by one that is."""
    own = Fact.objects.filter(session_id=session_id, forgotten_at__isnull=True)
    here = own.filter(Q(turn__isnull=True) | Q(turn__active=True))
    newer = Fact.objects.filter(supersedes_id=OuterRef("pk"), forgotten_at__isnull=True)
    return here.exclude(Exists(newer.filter(Q(turn__isnull=True) | Q(turn__active=True))))


def add(session_id: UUID, value: str, *, count: Callable[[str], int], most: int) -> int:
    """Remember what a person says; its id. The same words again change nothing. `count` gives tokens of a text.

    Raises EmptyFact, FactsFull.
    """
    value = clean(value)
    with transaction.atomic():
        session = locked(session_id)
        same = _current(session_id).filter(value=value, turn__isnull=True).values_list("pk", flat=True).first()
        if same is not None:
            return same
        _room(session_id, value, count, most)
        return _told(session, TOLD, value)


def correct(session_id: UUID, fact_id: int, value: str, *, count: Callable[[str], int], most: int) -> int:
    """Put another value in the place of a fact; the new one's id. Raises UnknownFact, EmptyFact, FactsFull."""
    value = clean(value)
    with transaction.atomic():
        session = locked(session_id)
        old = _current(session_id).filter(pk=fact_id).first()
        if old is None:
            raise UnknownFact
        if old.value == value:
            return old.pk
        _room(session_id, value, count, most, but=fact_id)
        # A correction of a correction speaks of the sentence that the first one rests on.
        origin = old.supersedes if old.made_by == Fact.MadeBy.USER and old.supersedes_id else old
        if origin is not old:
            Fact.objects.filter(pk=old.pk).update(forgotten_at=Now())
        return _told(session, old.kind, value, supersedes=origin)


def forget(session_id: UUID, fact_id: int) -> bool:
    """Take a fact out of every later request, with those that it corrected; False when it is gone already.

    Raises UnknownFact.
    """
    with transaction.atomic():
        session = locked(session_id)
        own = Fact.objects.filter(session_id=session_id)
        fact = own.filter(pk=fact_id).first()
        if fact is None:
            raise UnknownFact
        if fact.forgotten_at is not None:
            return False
        gone, at = [], fact
        while at is not None:
            gone.append(at.pk)
            at = own.filter(pk=at.supersedes_id).first() if at.supersedes_id not in (None, *gone) else None
        own.filter(pk__in=gone, forgotten_at__isnull=True).update(forgotten_at=Now())
        standing.write(session, Standing.of(session), prefix=False)
        return True


def clean(value: str) -> str:
    """One line of at most MOST_CHARACTERS. Raises EmptyFact."""
    line = prompts.fold(value)[:MOST_CHARACTERS].strip()
    if not line:
        raise EmptyFact
    return line


def _told(session, kind: str, value: str, supersedes: Fact | None = None) -> int:
    standing.write(session, Standing.of(session), prefix=False)
    before = supersedes.value if supersedes else ""
    made = Fact.objects.create(
        session=session,
        kind=kind,
        value=value,
        quote=quote_of(before),
        since=session.context_version,
        supersedes=supersedes,
        pinned=True,
        made_by=Fact.MadeBy.USER,
    )
    return made.pk


def _room(session_id: UUID, value: str, count: Callable[[str], int], most: int, but: int | None = None) -> None:
    """Raises FactsFull where what a person told would not all be said any more."""
    told = _current(session_id).filter(pinned=True).exclude(pk=but).values_list("kind", "value", "quote")
    lines = [*told, (TOLD, value, "")]
    tokens = sum(count(prompts.wrap_facts([context.Fact(kind=k, value=v, quote=q)])) for k, v, q in lines)
    if tokens > most:
        raise FactsFull(tokens, most)
