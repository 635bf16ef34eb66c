"""What was recorded, entry by entry, against the books of whoever answered: equal, not close."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Sum

from monitoring import rolled
from monitoring.metrics import TOKENS, metrics
from monitoring.models import ContextEvent, ModelCall, Purpose

MERGES = {Purpose.MERGE.value: Purpose.SUMMARY.value}
"""Purposes that look the same from outside."""


class Entry(NamedTuple):
    """One call: what it was for, of which model, what became of it, and its tokens as the API counted them."""

    purpose: str
    model: str
    outcome: str
    stop_reason: str
    input: int
    cache_read: int
    cache_write: int
    output: int


Entries = Mapping[Entry, int]


def recorded(sessions: Iterable[UUID], *, unsent: str) -> Counter[Entry]:
    """The calls of these sessions. Those with the outcome `unsent` never left the house, and are left out."""
    rows = ModelCall.objects.filter(session__in=list(sessions)).exclude(outcome=unsent)
    counted: Counter[Entry] = Counter()
    for row in rows.values_list(*Entry._fields).iterator():
        entry = Entry(*row)
        counted[entry._replace(purpose=MERGES.get(entry.purpose, entry.purpose))] += 1
    return counted


def unsent(sessions: Iterable[UUID], outcome: str) -> int:
    """How many calls of these sessions never left the house."""
    return ModelCall.objects.filter(session__in=list(sessions), outcome=outcome).count()


def happened(sessions: Iterable[UUID]) -> Counter[tuple[str, str, str]]:
    """The events of these sessions, by kind, outcome and code."""
    rows = ContextEvent.objects.filter(session__in=list(sessions)).values_list("kind", "outcome", "code")
    return Counter(
        {(kind, outcome, code): count for kind, outcome, code, count in rows.annotate(Count("pk")).order_by()}
    )


def sums(entries: Entries) -> dict[str, int]:
    """Calls, tokens of each kind, and calls by purpose and outcome ("reply ok"), of many entries."""
    told: Counter[str] = Counter()
    for entry, count in entries.items():
        told["calls"] += count
        told[f"{entry.purpose} {entry.outcome}"] += count
        for kind in TOKENS:
            told[kind] += count * getattr(entry, kind)
    return dict(told)


def counted() -> dict[str, int]:
    """The same of this process's counters for Prometheus, since it started."""
    told: Counter[str] = Counter()
    for one in metrics.calls.collect()[0].samples:
        purpose = MERGES.get(one.labels["purpose"], one.labels["purpose"])
        told["calls"] += int(one.value)
        told[f"{purpose} {one.labels['outcome']}"] += int(one.value)
    for one in metrics.tokens.collect()[0].samples:
        told[one.labels["kind"]] += int(one.value)
    return dict(told)


def shown(start: datetime, end: datetime) -> dict[str, int]:
    """Calls and tokens as the pages add them up for everybody between two moments."""
    figures = rolled.over(start, end)
    return {"calls": figures.calls, **{kind: getattr(figures, kind) for kind in TOKENS}}


def stored(start: datetime, end: datetime) -> dict[str, int]:
    """The same added up from the rows."""
    rows = ModelCall.objects.filter(at__gte=start, at__lt=end)
    return {
        name: value or 0 for name, value in rows.aggregate(calls=Count("pk"), **{k: Sum(k) for k in TOKENS}).items()
    }


def differences(book: Entries, own: Entries) -> list[str]:
    """A sentence for each entry that is not in both as often; none when they are equal."""
    return [
        f"{_told(entry)}: {book.get(entry, 0)} answered, {own.get(entry, 0)} recorded"
        for entry in sorted({*book, *own})
        if book.get(entry, 0) != own.get(entry, 0)
    ]


def apart(name: str, expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """A sentence for each number of `expected` that `found` says otherwise."""
    return [
        f"{name}: {key} is {found.get(key, 0)}, not {value}"
        for key, value in sorted(expected.items())
        if found.get(key, 0) != value
    ]


def _told(entry: Entry) -> str:
    tokens = ", ".join(f"{kind} {getattr(entry, kind)}" for kind in TOKENS)
    return f"{entry.purpose} of {entry.model}, {entry.outcome} {entry.stop_reason or '-'} ({tokens})"
