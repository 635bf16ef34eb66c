"""What one user uses and costs: for operators, and for the user about themselves."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from monitoring import filters, folding, lookups, over, rolled, saying, series, workcharts
from monitoring.access import operators_only, signed_in_only
from monitoring.filters import Filter
from monitoring.folding import Figures
from monitoring.models import ModelCall, Purpose
from monitoring.points import Point
from monitoring.sending import common
from monitoring.series import Counted

CALLS = 50_000
"""Replies that a user's averages and quantiles are of at most, the newest first."""
SESSIONS = 12


@dataclass(frozen=True, slots=True)
class Usage:
    """What a user's calls of a span come to.

    `spared` is what compaction saved after what its summaries cost; `cut` says which components had no room; `short`
    that the statistics are of the newest CALLS replies alone; `daily` that `points` are days. `work` are the running
    totals of the user's conversations, of all time; None where nobody knows of any.
    """

    all: Figures
    statistics: series.Statistics
    by_model: list[tuple[str, Figures]]
    by_purpose: list[tuple[str, Figures]]
    points: list[Point]
    spared: Decimal
    cut: str
    short: bool
    daily: bool
    how_saved: str
    work: dict[str, Any] | None

    @property
    def steps(self) -> list[tuple[datetime, Figures]]:
        """When they used it: by days, hours or five minutes."""
        return [(point.start, point.all) for point in reversed(self.points) if point.all]

    @property
    def sentence(self) -> str:
        """What it costs, in words."""
        made = folding.total(one for name, one in self.by_purpose if name in over.SUMMARISES)
        return workcharts.says_money(self.all, made)


def usage(chosen: Filter, now: datetime) -> Usage:
    """The usage of the filter's user. Days and hours are in UTC."""
    since = filters.floor(chosen.since(now), filters.HOUR)
    asked = {"user": chosen.user, "model": chosen.model or None, "strategy": chosen.strategy or None}
    purposes = rolled.by("purpose", since, now, **asked)
    made = folding.total(purposes[name] for name in over.SUMMARISES if name in purposes)
    points = over.points(chosen, now)
    whose = over.gauges(chosen, None).values("session")
    rows = ModelCall.objects.filter(session__in=whose, purpose=Purpose.REPLY, at__gte=since, number__isnull=False)
    newest = list(map(Counted._make, rows.order_by("-at", "-pk").values_list(*Counted._fields)[:CALLS]))
    all_ = folding.total(purposes.values())
    return Usage(
        all=all_,
        statistics=series.statistics(newest[::-1]),
        by_model=_dearest(rolled.by("model", since, now, **asked)),
        by_purpose=_dearest(purposes),
        points=points,
        spared=workcharts.spared(all_, made),
        cut=saying.of_cut(all_.cut),
        short=len(newest) == CALLS,
        daily=chosen.span.step >= filters.DAY,
        how_saved=workcharts.how_saved(),
        work=next(iter(lookups.rows("person", chosen.user)), None),
    )


def _dearest(by: dict[str, Figures]) -> list[tuple[str, Figures]]:
    return sorted(by.items(), key=lambda pair: (-pair[1].cost, pair[0]))


@operators_only
def user(request: HttpRequest, user: int) -> HttpResponse:
    """What user `user` costs, of what, and their fullest sessions."""
    now, given = timezone.now(), filters.read(request.GET)
    span = given.span if "span" in request.GET else filters.SPANS["30d"]
    chosen = Filter(span, given.model, given.strategy, user)
    rows = over.gauges(chosen, None)
    used = usage(chosen, now)
    context: dict[str, Any] = {
        "whose": user,
        "usage": used,
        "chart": workcharts.money(used.points, chosen),
        "of": saying.of_time(span.length),
        "sessions": rows.order_by("-at")[:SESSIONS],
        "session_count": rows.count(),
    }
    return render(request, "monitoring/user.html", context | common(request, chosen))


@signed_in_only
def mine(request: HttpRequest) -> HttpResponse:
    """The same numbers, shown to whom they are about."""
    given = filters.read(request.GET)
    span = given.span if "span" in request.GET else filters.SPANS["30d"]
    chosen = Filter(span, user=request.user.pk)
    context = {"usage": usage(chosen, timezone.now()), "of": saying.of_time(span.length)}
    return render(request, "monitoring/mine.html", context | common(request) | {"chosen": chosen, "spans": _spans()})


def _spans() -> list[filters.Span]:
    return list(filters.SPANS.values())
