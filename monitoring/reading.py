"""Recorded rows, read as the values of `monitoring.series`.

A session's page costs ten queries, however long the session is. Only `counted` grows with it, by eight small columns
a reply, because averages and quantiles are of all of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain
from uuid import UUID

from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Sum, Value, When

from monitoring import pricing, sparing
from monitoring.models import ContextEvent, Kind, ModelCall, Purpose, SessionGauge
from monitoring.series import Counted, Mark, Sample, place

DRAWN = (
    "number", "at", "model", "window", "input", "cache_read", "cache_write", "output", "components", "estimate",
    "compacts_at", "reserve", "first_ms", "total_ms", "stop_reason", "outcome", "miss_cause", "cost",
)  # fmt: skip
MARKED = (
    "kind", "number", "at", "tokens_before", "tokens_after", "seconds", "outcome", "code", "model",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Totals:
    """What a session's calls of every purpose come to. Dollars are of the `calls - unpriced` whose price is known."""

    calls: int
    unpriced: int
    cost: Decimal | None
    saved: Decimal | None
    summaries: Decimal | None
    prompts: int
    started: datetime | None
    ended: datetime | None


def gauge_of(session: UUID) -> SessionGauge | None:
    """How full the session is now; None before its first counted reply."""
    return SessionGauge.objects.filter(pk=session).first()


def _replies(session: UUID) -> QuerySet[ModelCall]:
    return ModelCall.objects.filter(session=session, purpose=Purpose.REPLY, number__isnull=False)


def counted(session: UUID) -> list[Counted]:
    """Every reply of the session in order, as statistics need it."""
    return list(map(Counted._make, _replies(session).order_by("at", "pk").values_list(*Counted._fields)))


def newest_turn(session: UUID) -> int:
    """The highest number of a turn with a reply; 0 with none."""
    return _replies(session).aggregate(newest=Max("number"))["newest"] or 0


def drawn(session: UUID, first: int, last: int) -> list[Sample]:
    """The replies of turns `first` to `last` with everything that is drawn, in order."""
    rows = _replies(session).filter(number__range=(first, last)).order_by("at", "pk").values_list(*DRAWN)
    return [Sample(**dict(zip(DRAWN, row, strict=True))) for row in rows]


def marks(session: UUID, samples: Sequence[Sample], first: int, last: int, newest: int) -> list[Mark]:
    """What was done to the context of turns `first` to `last`, in order, and what the next turn will see first.

    `samples` are those of the range. Events are found by time, from the last request before the range to the last
    one of it, since a compaction is told with the turns that it covers and not with the one that first sees it.
    """
    rows = ContextEvent.objects.filter(session=session).order_by("at", "pk")
    before = _replies(session).filter(number__lt=first).order_by("-at").values_list("at", flat=True).first()
    if before and first > 1:
        rows = rows.filter(at__gt=before)
    if samples and last < newest:
        rows = rows.filter(at__lte=max(sample.at for sample in samples))
    found = place([Mark(**dict(zip(MARKED, row, strict=True))) for row in rows.values_list(*MARKED)], samples)
    end = newest + 1 if last >= newest else last
    return [mark for mark in found if mark.number is None or first <= mark.number <= end]


def events_by_kind(session: UUID) -> dict[tuple[str, bool], int]:
    """How many events of each kind the session had, by (kind, whether it took effect)."""
    rows = ContextEvent.objects.filter(session=session).values("kind")
    counts: dict[tuple[str, bool], int] = {}
    for row in rows.annotate(ok=Count("pk", filter=Q(outcome="ok")), all=Count("pk")).order_by():
        counts[row["kind"], True] = row["ok"]
        counts[row["kind"], False] = row["all"] - row["ok"]
    return counts


def rejections(counts: dict[tuple[str, bool], int]) -> int:
    """Compactions that came to nothing: refused by the gate, or failed."""
    refused = counts.get((Kind.GATE_REJECTED, True), 0) + counts.get((Kind.GATE_REJECTED, False), 0)
    return refused + counts.get((Kind.COMPACTION, False), 0)


def totals(session: UUID) -> Totals:
    """Calls, cost, savings and time of all purposes."""
    found = ModelCall.objects.filter(session=session).aggregate(
        calls=Count("pk"),
        priced=Count("cost"),
        summaries=Sum("cost", filter=Q(purpose__in=(Purpose.SUMMARY, Purpose.MERGE))),
        cost=Sum("cost"),
        saved=Sum("saved"),
        prompts=Count("system_digest", distinct=True, filter=Q(purpose=Purpose.REPLY) & ~Q(system_digest="")),
        started=Min("at"),
        ended=Max("at"),
    )
    return Totals(unpriced=found["calls"] - found.pop("priced"), **found)


def cut(session: UUID) -> dict[str, int]:
    """In how many of a session's requests each component had no room for all of it."""
    rows = ModelCall.objects.filter(session=session, cut__isnull=False).values_list("cut", flat=True)
    return dict(Counter(chain.from_iterable(rows.iterator())))


def told(session: UUID) -> list[Mark]:
    """Every event of the session as it was told, in order."""
    rows = ContextEvent.objects.filter(session=session).order_by("at", "pk").values_list(*MARKED)
    return [Mark(**dict(zip(MARKED, row, strict=True))) for row in rows]


@dataclass(frozen=True, slots=True)
class Spared:
    """What summaries kept out of a session's calls, and what was written to the cache again for it: tokens.

    `dollars` of both, before what the summaries cost; of the calls whose price is known.
    """

    tokens: int = 0
    rewritten: int = 0
    dollars: Decimal = Decimal(0)


def spared(session: UUID) -> Spared:
    """What the compactions of a session saved on its later calls."""
    size = F("input") + F("cache_read") + F("cache_write")
    # Added up by what a price depends on: model, class of size, and what the cache gave.
    floors = [When(Q(size__gt=most), then=Value(most + 1)) for most in sorted(pricing.SIZES, reverse=True)]
    paid = Case(
        When(Q(cache_read__gt=0) | Q(rewritten__isnull=False), then=Value(sparing.READ)),
        When(cache_write__gt=0, then=Value(sparing.WRITE)),
        default=Value(sparing.FULL),
    )
    rows = (
        ModelCall.objects.filter(Q(spared__gt=0) | Q(rewritten__gt=0), session=session)
        .annotate(size=size)
        .annotate(floor=Case(*floors, default=Value(0)), paid=paid)
        .values_list("model", "ttl", "floor", "paid")
        .annotate(tokens=Sum("spared"), again=Sum("rewritten"))
        .order_by()
    )
    kept = again = 0
    dollars = Decimal(0)
    for model, ttl, floor, paid_as, tokens, more in rows:
        kept, again = kept + (tokens or 0), again + (more or 0)
        dollars += pricing.of_spared(model, tokens or 0, floor, paid=paid_as, ttl=ttl) or 0
        dollars -= pricing.of_rewritten(model, more or 0, floor, ttl=ttl) or 0
    return Spared(kept, again, dollars)


def stamp(session: UUID) -> str:
    """Changes whenever something about the session was recorded: what a live page compares, at two index reads."""
    rows: Iterable[type[ModelCall] | type[ContextEvent]] = (ModelCall, ContextEvent)
    newest = [row.objects.filter(session=session).order_by("-at", "-pk").values_list("pk", flat=True) for row in rows]
    return "-".join(str(found.first() or 0) for found in newest)
