"""The page of one session. It shows numbers, ids and codes; nothing here can reach what a user wrote.

The address holds the filter: `last` turns (50, 200, 1000) that end at turn `to`. A page that is asked with the
`stamp` of what it shows answers 204 while nothing was recorded since, so that polling costs two index reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext

from monitoring import chart, fate, figures, lookups, over, reading, saying, series, workcharts
from monitoring.access import operators_only
from monitoring.models import Kind
from monitoring.sending import common, csv_of

SPANS = (50, 200, 1000)
SPAN = 200
ROWS = 12  # of a table before it is asked for all
BEFORE_PARTS = ("turn", "at", "model", "window", "utilisation", "size")
AFTER_PARTS = (
    "input", "cache_read", "cache_write", "output", "miss_cause", "estimate", "first_ms", "total_ms", "stop_reason",
    "outcome", "cost_usd",
)  # fmt: skip


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
    asked = _int(request.GET.get("turn"), 0)
    fates = lookups.rows("fate", session, asked) if asked else []
    totals = reading.totals(session)
    gauge = reading.gauge_of(session)
    spared = reading.spared(session)
    return render(
        request,
        "monitoring/session.html",
        {
            "session": session,
            "gauge": gauge,
            "stands": over.stood([gauge])[0] if gauge else None,
            "fills": fills(turns),
            "summaries": lookups.rows("summaries", session),
            "notices": lookups.rows("notices", session),
            "work": next(iter(lookups.rows("work", session)), None),
            "asked": asked,
            "fates": fates,
            "fate": fate.says(asked, fates, reading.told(session), shown.newest) if asked else "",
            "spared": spared,
            "saved": spared.dollars - (totals.summaries or 0),
            "how_saved": workcharts.how_saved(),
            "cut": saying.of_cut(reading.cut(session)),
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
        | common(request),
    )


def fills(turns: Sequence[series.Sample]) -> str:
    """Which component fills the newest context, in words; "" before the API counted one."""
    newest = next((turn for turn in reversed(turns) if turn.size), None)
    if newest is None:
        return ""
    parts = series.stack(newest.components, newest.size)
    if not parts:
        return gettext("What fills it was not told.")
    ordered = sorted(parts, key=lambda code: -parts[code])
    second = ordered[1] if len(ordered) > 1 else ""
    values = {
        "part": chart.name_of(ordered[0]),
        "tokens": figures.tokens(parts[ordered[0]]),
        "all": figures.tokens(newest.size),
        "share": figures.percent(parts[ordered[0]] / newest.size, 0),
        "next": chart.name_of(second) if second else "",
        "rest": figures.tokens(parts[second]) if second else "",
    }
    sentence = gettext("Filled by {part}: {tokens} of {all} tokens ({share})")
    end = gettext("; next {next}, {rest}.") if second else "."
    return (sentence + end).format(**values)


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

    return csv_of(f"session-{session.hex[:6]}-turns-{shown.first}-to-{shown.last}", header, map(line, calls))


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
    return csv_of(f"session-{session.hex[:6]}-events-{shown.first}-to-{shown.last}", header, lines)
