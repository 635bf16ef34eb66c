"""The operator's pages. They show numbers, ids and codes; nothing here can reach what a user wrote.

The address holds the filter: `last` turns (50, 200, 1000) that end at turn `to`. A page that is asked with the
`stamp` of what it shows answers 204 while nothing was recorded since, so that polling costs two index reads.
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from io import StringIO
from typing import Any
from uuid import UUID
from zlib import crc32

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, F, OrderBy, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from monitoring import chart, reading, recording, series
from monitoring.models import Kind, SessionGauge

View = Callable[..., HttpResponse]

SPANS = (50, 200, 1000)
SPAN = 200
ROWS = 12  # of a table before it is asked for all
PAGE = 50  # sessions
BEFORE_PARTS = ("turn", "at", "model", "window", "utilisation", "size")
AFTER_PARTS = (
    "input", "cache_read", "cache_write", "output", "miss_cause", "estimate", "first_ms", "total_ms", "stop_reason",
    "outcome", "cost_usd",
)  # fmt: skip
SORTS: dict[str, tuple[OrderBy | str, ...]] = {
    "newest": ("-at", "pk"),
    "fullest": (F("utilisation").desc(nulls_last=True), "-at"),
}


def operators_only(view: View) -> View:
    """Staff with the permission monitoring.view_modelcall; anybody else 403, strangers to the login page.

    A poll of somebody who was signed out gets 401 and the order to reload: a swapped-in login form would be worse.
    """

    @require_GET
    @never_cache
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            if "HX-Request" in request.headers:
                return HttpResponse(status=401, headers={"HX-Refresh": "true"})
            return redirect_to_login(request.get_full_path())
        if not (request.user.is_staff and request.user.has_perm("monitoring.view_modelcall")):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return checked


@dataclass(frozen=True, slots=True)
class Range:
    """The turns that a page shows. `newest` is the newest turn there is; 0 with none."""

    first: int
    last: int
    newest: int
    span: int

    @property
    def older(self) -> int | None:
        """The last turn of the range before."""
        return self.first - 1 if self.first > 1 else None

    @property
    def newer(self) -> int | None:
        """The last turn of the range after."""
        return min(self.newest, self.last + self.span) if self.last < self.newest else None


def _range(request: HttpRequest, newest: int, *, everything: bool = False) -> Range:
    if everything and request.GET.get("last") == "all":
        return Range(1, newest, newest, newest)
    given = _int(request.GET.get("last"), SPAN)
    span = given if given in SPANS else SPAN
    last = min(newest, max(1, _int(request.GET.get("to"), newest)))
    return Range(max(1, last - span + 1), last, newest, span)


def _int(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else otherwise


@operators_only
def index(request: HttpRequest) -> HttpResponse:
    """The sessions that have calls, with how full each is."""
    found = SessionGauge.objects.all()
    counts = found.aggregate(
        all=Count("pk"),
        watch=Count("pk", filter=Q(utilisation__gte=series.WATCH)),
        alert=Count("pk", filter=Q(utilisation__gte=series.ALERT)),
    )
    newest = found.order_by("-at").first()
    sources = recording.sources()
    stamp = f"{counts['all']}-{newest.at.timestamp() if newest else 0}-{crc32(str(sources).encode())}"
    if request.GET.get("stamp") == stamp:
        return HttpResponse(status=204)
    sort = request.GET.get("sort", "")
    sort = sort if sort in SORTS else "newest"
    page = Paginator(found.order_by(*SORTS[sort]), PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "monitoring/index.html",
        {"page": page, "counts": counts, "sort": sort, "sorts": SORTS, "sources": sources, "stamp": stamp} | _common(),
    )


@operators_only
def session(request: HttpRequest, session: UUID) -> HttpResponse:
    """One session: utilisation by turn, usage statistics, turns, events. Empty, not missing, before its first call."""
    stamp = reading.stamp(session)
    if request.GET.get("stamp") == stamp:
        return HttpResponse(status=204)
    counted = reading.counted(session)
    shown = _range(request, max((call.number for call in counted), default=0))
    samples = reading.drawn(session, shown.first, shown.last)
    turns = series.by_turn(samples)
    marks = reading.marks(session, samples, shown.first, shown.last, shown.newest)
    counts = reading.events_by_kind(session)
    drawn = chart.draw(turns, marks, shown.first, shown.last)
    everything = request.GET.get("rows") == "all"
    totals = reading.totals(session)
    return render(
        request,
        "monitoring/session.html",
        {
            "session": session,
            "gauge": reading.gauge_of(session),
            "range": shown,
            "spans": SPANS,
            "statistics": series.statistics(counted),
            "totals": totals,
            "long": bool(totals.started and totals.ended and totals.started.date() != totals.ended.date()),
            "compactions": counts.get((Kind.COMPACTION, True), 0),
            "rejections": reading.rejections(counts),
            "trims": counts.get((Kind.TRIM, True), 0),
            "recoveries": counts.get((Kind.RECOVERY, True), 0),
            "chart": drawn,
            "turns": turns[::-1] if everything else turns[: -ROWS - 1 : -1],
            "turn_count": len(turns),
            "events": marks[::-1] if everything else marks[: -ROWS - 1 : -1],
            "event_count": len(marks),
            "stamp": stamp,
        }
        | _common(),
    )


def _common() -> dict[str, Any]:
    return {"standin": getattr(settings, "CHAT_STANDIN", False), "watch": series.WATCH, "alert": series.ALERT}


@operators_only
def turns_csv(request: HttpRequest, session: UUID) -> HttpResponse:
    """The calls behind the chart and the table of turns, a line a call; `last=all` for every turn."""
    shown = _range(request, reading.newest_turn(session), everything=True)
    calls = reading.drawn(session, shown.first, shown.last)
    used = {name for call in calls for name in call.components}
    names = [*series.COMPONENTS, *sorted(used - set(series.COMPONENTS))]
    header = [*BEFORE_PARTS, *names, *AFTER_PARTS]

    def line(call: series.Sample) -> list[Any]:
        parts = series.stack(call.components, call.size)
        share = call.utilisation
        return [
            call.number, call.at.isoformat(), call.model, call.window, "" if share is None else f"{share:.4f}",
            call.size, *(parts.get(name, 0) for name in names), call.input, call.cache_read, call.cache_write,
            call.output, call.miss_cause, call.estimate, call.first_ms, call.total_ms, call.stop_reason, call.outcome,
            call.cost,
        ]  # fmt: skip

    return _csv(f"session-{session.hex[:6]}-turns-{shown.first}-to-{shown.last}", header, map(line, calls))


@operators_only
def events_csv(request: HttpRequest, session: UUID) -> HttpResponse:
    """The compactions, trims, rungs, rejections, recoveries and surgery of the turns shown."""
    shown = _range(request, reading.newest_turn(session), everything=True)
    samples = reading.drawn(session, shown.first, shown.last)
    rows = reading.marks(session, samples, shown.first, shown.last, shown.newest)
    header = ["turn", "at", "kind", "outcome", "code", "tokens_before", "tokens_after", "seconds", "model"]
    lines = (
        [row.number, row.at.isoformat(), row.kind, row.outcome, row.code, row.tokens_before, row.tokens_after,
         row.seconds, row.model]
        for row in rows
    )  # fmt: skip
    return _csv(f"session-{session.hex[:6]}-events-{shown.first}-to-{shown.last}", header, lines)


def _csv(name: str, header: list[str], lines: Iterable[list[Any]]) -> HttpResponse:
    # Nothing in a line can begin a formula: codes start with a letter or a digit.
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(lines)
    return HttpResponse(
        text.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
