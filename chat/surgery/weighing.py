"""How heavy a conversation's next request is, and which turns it would be sent: for one session, or many at once."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest

from chat.models import ChatSession, Document, Summary, Turn
from chat.store import coverage, documents, marks, ranges
from chat.store.ranges import Ranges
from chat.store.standing import Standing
from chat.surgery.values import Weight

BATCH = 500
"""A statement takes only so many parameters."""


def weigh(session: ChatSession) -> Weight:
    """The weight of one session. Rows only, and no words."""
    turns = sent(session)
    return Weight(
        verbatim=sum(coverage.range_tokens(session.pk, *one) for one in turns),
        summaries=coverage.summary_tokens(session.pk),
        documents=documents.seen(session.pk).order_by().aggregate(sum=Sum("tokens"))["sum"] or 0,
        turns=count(turns),
    )


def sent(session: ChatSession) -> Ranges:
    """The finished turns that are sent word for word: the window, restored ones and pins, without excluded ones."""
    stands = Standing.of(session)
    last = session.turns_active - Turn.objects.live_in(session.pk).count()
    window = [(stands.window_from, last)] if stands.window_from <= last else []
    own = marks.sizes(session.pk) if session.marked else []
    pinned = [(one.number, one.number) for one in own if one.pinned and one.number <= last]
    excluded = [(one.number, one.number) for one in own if one.excluded]
    return ranges.without([*stands.restored, *window, *pinned], excluded)


def told(session: ChatSession) -> Ranges:
    """The turns of which the model is sent their own words: of those that are `sent`, without redacted ones."""
    turns = sent(session)
    return ranges.without(turns, redacted(session.pk, turns))


def redacted(session_id: UUID, turns: Ranges) -> Ranges:
    """Those of these turns that hold a marker only."""
    path = Turn.objects.filter(session_id=session_id, active=True, redacted_at__isnull=False).order_by("number")
    found = (path.filter(number__range=one).values_list("number", flat=True) for one in turns)
    return [(number, number) for numbers in found for number in numbers]


def count(turns: Sequence[tuple[int, int]]) -> int:
    """How many turns these ranges hold."""
    return sum(last - first + 1 for first, last in turns)


def changes(
    session_id: UUID, before: Ranges, after: Ranges
) -> tuple[tuple[tuple[int, int, str], ...], tuple[tuple[int, int], ...]]:
    """Of the turns that are `told`: those that are so no more, with what becomes of them, and those that are again."""
    left: list[tuple[int, int, str]] = []
    gone = ranges.without(before, after)
    removed = redacted(session_id, gone)
    left += [(*one, "redacted") for one in within(gone, removed)]
    gone = ranges.without(gone, removed)
    excluded = [(one.number, one.number) for one in marks.sizes(session_id) if one.excluded]
    covered = coverage.covered(session_id)
    left += [(*one, "excluded") for one in within(gone, excluded)]
    rest = ranges.without(gone, excluded)
    left += [(*one, "summarised") for one in within(rest, covered)]
    left += [(*one, "omitted") for one in ranges.without(rest, covered)]
    return tuple(sorted(left)), tuple(ranges.without(after, before))


def within(some: Ranges, others: Sequence[tuple[int, int]]) -> Ranges:
    """What of `some` lies in `others`."""
    return ranges.without(some, ranges.without(some, others))


def many(session_ids: Collection[UUID], *, last_turns: int | None = None) -> dict[UUID, Weight]:
    """The weights of many sessions, in few statements; with `last_turns` as if only so many stood word for word.

    Those that are `special` are weighed one by one, as they are; they are few.
    """
    out: dict[UUID, Weight] = {}
    for some in portions(session_ids):
        summaries = _sums(Summary.objects.filter(state=Summary.State.ACTIVE, until__active=True), some)
        rows = _rows(some, last_turns)
        for pk, start, turns, total, below, live in rows:
            last = turns - (1 if live else 0)
            out[pk] = Weight(
                verbatim=max(0, total - below),
                summaries=summaries.get(pk, 0),
                documents=0,
                turns=max(0, last - start + 1),
            )
        for session in special(some):
            out[session.pk] = weigh(session)
    return out


def special(session_ids: Collection[UUID]) -> Iterator[ChatSession]:
    """Those of which more is to be said than where their window begins: marks, restored ranges, documents."""
    attached = Document.objects.filter(session=OuterRef("pk"), removed_at=None, turn__isnull=False)
    odd = Q(marked__gt=0) | Q(restored__isnull=False) | Exists(attached)
    for some in portions(session_ids):
        yield from ChatSession.objects.filter(odd, pk__in=some)


def _rows(some: Sequence[UUID], last_turns: int | None) -> Iterator[tuple[UUID, int, int, int, int, bool]]:
    """Of each session: its id, where its window starts, its turns, the tokens up to its last finished turn and up to
    the window, and whether a turn is live."""
    path = Turn.objects.filter(session=OuterRef("pk"), active=True)
    begins = F("window_from")
    start = begins if last_turns is None else Greatest(begins, F("turns_active") - last_turns + 1)
    found = ChatSession.objects.filter(pk__in=some).annotate(
        total=Coalesce(F("head__tokens_upto"), 0),
        waiting=Q(head__status__in=Turn.LIVE),
        parent_upto=Coalesce(F("head__parent__tokens_upto"), 0),
        start=start,
        below=Coalesce(Subquery(path.filter(number=OuterRef("start") - 1).values("tokens_upto")[:1]), 0),
    )
    fields = ("pk", "start", "turns_active", "total", "parent_upto", "below", "waiting")
    for pk, first, turns, total, parent, below, waiting in found.values_list(*fields):
        yield pk, first, turns, (parent if waiting else total), below, waiting


def _sums(rows: QuerySet[Any], some: Sequence[UUID]) -> dict[UUID, int]:
    found = rows.filter(session_id__in=some).order_by().values("session_id").annotate(sum=Sum("tokens"))
    return {row["session_id"]: row["sum"] or 0 for row in found}


def portions(session_ids: Iterable[UUID], most: int = BATCH) -> Iterator[list[UUID]]:
    """These ids, at most so many at a time."""
    source = iter(session_ids)
    while some := list(islice(source, most)):
        yield some
