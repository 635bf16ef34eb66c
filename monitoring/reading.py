"""Recorded rows, read as the values of `monitoring.series`.

A session's page costs eight queries, however long the session is; only `samples_of` grows with it (integers, no
components), because averages and quantiles are of all its calls.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from monitoring.models import ContextEvent, Kind, ModelCall, Purpose, SessionGauge
from monitoring.series import Mark, Sample, place

# What statistics need; the components are read for the turns that are drawn.
COUNTED = (
    "number", "at", "model", "window", "input", "cache_read", "cache_write", "output", "first_ms", "total_ms", "ttl",
    "outcome", "miss_cause",
)  # fmt: skip
DRAWN = (*COUNTED, "components", "estimate", "compacts_at", "reserve", "stop_reason", "cost")
MARKED = (
    "kind", "number", "at", "tokens_before", "tokens_after", "seconds", "outcome", "code", "model",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Totals:
    """What a session's calls of every purpose come to. `cost` in US dollars of the `calls - unpriced` known ones."""

    calls: int
    cost: Decimal | None
    unpriced: int


def gauge_of(session: UUID) -> SessionGauge | None:
    """How full the session is now; None before its first counted reply."""
    return SessionGauge.objects.filter(pk=session).first()


def _replies(session: UUID) -> QuerySet[ModelCall]:
    return ModelCall.objects.filter(session=session, purpose=Purpose.REPLY, number__isnull=False)


def samples_of(session: UUID) -> list[Sample]:
    """Every reply of the session in order, without its components."""
    return list(_samples(_replies(session).order_by("at", "pk"), COUNTED))


def drawn(session: UUID, first: int, last: int) -> Iterator[Sample]:
    """The replies of turns `first` to `last` with everything that is drawn, in order."""
    return _samples(_replies(session).filter(number__range=(first, last)).order_by("at", "pk"), DRAWN)


def _samples(rows: QuerySet[ModelCall], fields: tuple[str, ...]) -> Iterator[Sample]:
    return (Sample(**dict(zip(fields, row, strict=True))) for row in rows.values_list(*fields).iterator(2_000))


def marks(session: UUID, samples: Sequence[Sample], first: int, last: int) -> list[Mark]:
    """What was done to the context of turns `first` to `last`, in order, and what the next turn will see first.

    `samples` are all of the session's, since events are told apart by when they happened (series.place).
    """
    before = [sample.sent for sample in samples if sample.number < first]
    upto = [sample.at for sample in samples if sample.number <= last]
    rows = ContextEvent.objects.filter(session=session).order_by("at", "pk")
    if before:
        rows = rows.filter(at__gt=max(before))
    newest = max((sample.number for sample in samples), default=0)
    if upto and last < newest:
        rows = rows.filter(at__lt=max(upto))
    found = place((Mark(**dict(zip(MARKED, row, strict=True))) for row in rows.values_list(*MARKED)), samples)
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
    """Calls and cost of all purposes."""
    found = ModelCall.objects.filter(session=session).aggregate(
        calls=Count("pk"), spent=Sum("cost"), priced=Count("cost")
    )
    return Totals(calls=found["calls"], cost=found["spent"], unpriced=found["calls"] - found["priced"])


def stamp(session: UUID) -> str:
    """Changes whenever something about the session was recorded: what a live page compares, at two index reads."""
    rows: Iterable[type[ModelCall] | type[ContextEvent]] = (ModelCall, ContextEvent)
    newest = [row.objects.filter(session=session).order_by("-at", "-pk").values_list("pk", flat=True) for row in rows]
    return "-".join(str(found.first() or 0) for found in newest)
