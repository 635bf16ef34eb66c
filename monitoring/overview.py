"""The overview: how things stand now, what becomes full, what it was over time, what went wrong.

A page that is asked with the `stamp` of what it shows answers 204 while nothing was recorded since.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zlib import crc32

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext

from monitoring import cards, filters, folding, over, recording, rolled, saying, timecharts, workcharts
from monitoring.access import operators_only
from monitoring.drawing import Drawn
from monitoring.filters import Filter
from monitoring.models import Alert, ContextEvent, ModelCall
from monitoring.points import Point, whole
from monitoring.sending import common, csv_of

ALERTS = 4  # open alerts on the overview
# What saying.fall looks at: a day by five minutes is many rows, and their histograms are most of them.
FALLS = ("calls", "input", "cache_read", "cache_write", "misses")


@operators_only
def index(request: HttpRequest) -> HttpResponse:
    """Everything at once, for the filter in the address."""
    now = timezone.now()
    chosen = filters.read(request.GET)
    sources = recording.sources()
    stamp = stamp_of(now, sources)
    if request.GET.get("stamp") == stamp:
        return HttpResponse(status=204)
    with rolled.once(now):
        return render(request, "monitoring/overview.html", _found(request, chosen, now, sources, stamp))


def _found(
    request: HttpRequest, chosen: Filter, now: datetime, sources: Mapping[str, Any], stamp: str
) -> dict[str, Any]:
    """What the overview shows."""
    points = over.points(chosen, now)
    full = over.fullness(chosen, now)
    today = over.today(chosen, now)
    overflows = over.overflows(chosen, chosen.since(now), now)
    jobs = sources.get("jobs")
    shown = {
        "cards": cards.cards(chosen, points, full, today, jobs, (overflows.turns, overflows.answered)),
        "charts": {
            "fullness": timecharts.fullness(full.bins, full.mean),
            **{code: draw(code, points, chosen, today) for code in workcharts.CHARTS},
        },
        "soon": over.soonest(chosen, now),
        "soon_count": full.soon,
        "wrong": wrong(points, overflows, jobs, now),
        "lost": overflows.lost[:ALERTS],
        "alerts": Alert.objects.filter(resolved_at=None).select_related("rule").order_by("-opened_at")[:ALERTS],
        "unanswered": [name for name, values in sources.items() if values is None],
        "full": full,
        "stamp": stamp,
    }
    return shown | common(request, chosen)


def stamp_of(now: datetime, sources: Mapping[str, Any]) -> str:
    """Changes when a call or an event was recorded, the queue moved, an alert did, or a point of the charts begins."""
    newest = [
        row.objects.order_by("-pk").values_list("pk", flat=True).first() or 0 for row in (ModelCall, ContextEvent)
    ]
    alerts = list(Alert.objects.filter(resolved_at=None).order_by("pk").values_list("pk", "state"))
    moves = crc32(f"{sources.get('jobs')} {alerts}".encode())
    return f"{newest[0]}-{newest[1]}-{moves:x}-{int(now.timestamp() // 300)}"


def draw(code: str, points: list[Point], chosen: Filter, today: over.Today | None = None) -> Drawn:
    """The chart of this code. The cache's fall is looked at by five minutes, the others take the points as they are."""
    if code == "cache":
        return timecharts.cache(points, chosen, sharper(points, chosen))
    if code == "money" and today is not None:
        return workcharts.money(points, chosen, workcharts.says_today(today.all, today.summaries))
    return workcharts.CHARTS[code](points, chosen)


def sharper(points: list[Point], chosen: Filter) -> saying.Fall | None:
    """The deepest fall of the hit rate, to the five minutes in which it began.

    A day is looked through by five minutes, since a quarter of an hour can hide one; longer spans by their points,
    and then the point that fell by five minutes.
    """
    five, step = 5 * filters.MINUTE, points[1].start - points[0].start if len(points) > 1 else chosen.span.step
    asked: dict[str, Any] = {"model": chosen.model or None, "strategy": chosen.strategy or None, "user": chosen.user}
    asked |= {"purpose": "reply", "columns": FALLS}
    rates = [(point.start, point.replies) for point in points]
    if step > five and chosen.span.length <= filters.DAY:
        finer = rolled.between(points[0].start, points[-1].start + step, step=five, **asked)
        return saying.fall(sorted(finer.items()))
    found = saying.fall(rates)
    if found is None or step <= five:
        return found
    finer = rolled.between(found.at, found.at + step, step=five, **asked)
    return saying.sharpened(found, sorted(finer.items()))


def wrong(
    points: list[Point], overflows: over.Overflows, jobs: Mapping[str, int | float] | None, now: datetime
) -> list[tuple[str, str, str]]:
    """(what, state, sentence) of the summariser, overflows and errors: what an operator asks first in the morning."""
    made = whole(points, "summaries")
    told = jobs or {}
    summariser = saying.Summariser(
        calls=made.calls,
        failed=made.failed,
        codes={code: n for code, n in made.outcomes.items() if code != "ok"},
        refused=sum(point.events.of("gate_rejected") for point in points),
        refusals=refusals(points),
        committed=sum(point.events.of("compaction", ok=True) for point in points),
        backlog=int(told.get("backlog", 0)),
        oldest_s=int(told.get("oldest_s", 0)),
    )
    lost = overflows.turns - overflows.answered
    calls = folding.total(point.all for point in points if point.all)
    return [
        (
            gettext("Summariser"),
            "alert" if summariser.failing else "",
            saying.of_summariser(summariser),
        ),
        (
            gettext("Overflows"),
            "alert" if lost else "watch" if overflows.turns else "",
            saying.of_overflows(
                overflows.turns, overflows.answered, overflows.first, overflows.last, now),
        ),
        (
            gettext("Model’s service"),
            "alert" if (calls.error_rate or 0) > cards.ERRORS else "",
            workcharts.errors(points, Filter()).say,
        ),
    ]  # fmt: skip


def refusals(points: list[Point]) -> dict[str, int]:
    """Summaries refused by the gate, by the code of why."""
    found: dict[str, int] = {}
    for point in points:
        for (kind, _outcome, code), n in point.events.counts.items():
            if kind == "gate_rejected":
                found[code] = found.get(code, 0) + n
    return found


def drawn_for(request: HttpRequest, code: str) -> tuple[Drawn, Filter]:
    """The chart that an address names; 404 for one that nobody draws."""
    now, chosen = timezone.now(), filters.read(request.GET)
    if code == "fullness":
        full = over.fullness(chosen, now)
        return timecharts.fullness(full.bins, full.mean), chosen
    if code not in workcharts.CHARTS:
        raise Http404
    return draw(code, over.points(chosen, now), chosen), chosen


@operators_only
def chart(request: HttpRequest, code: str) -> HttpResponse:
    """One chart, as wide as the page, with its table."""
    drawn, chosen = drawn_for(request, code)
    return render(request, "monitoring/chart.html", {"chart": drawn} | common(request, chosen))


@operators_only
def chart_csv(request: HttpRequest, code: str) -> HttpResponse:
    """The values of a chart, a line a point."""
    drawn, chosen = drawn_for(request, code)
    return csv_of(f"monitoring-{code}-{chosen.name}", drawn.header, drawn.lines)
