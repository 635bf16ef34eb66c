"""What the overview reads: calls by time out of the rollups, events, and how full sessions are now.

However many calls there were, a page costs the same few statements: rollups, an index over the events of the span,
the gauges of the sessions that it shows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from django.db.models import Count, F, FloatField, Func, IntegerField, Max, Q, QuerySet, Sum, Value, Window
from django.db.models.functions import Cast, Coalesce, Floor, Least

from monitoring import eventhours, filters, folding, forecast, lookups, rolled, series, times
from monitoring.filters import Filter
from monitoring.folding import Figures
from monitoring.models import ContextEvent, EventHour, Kind, ModelCall, Purpose, SessionGauge
from monitoring.points import Full, Happened, Point, Today

LIVE = timedelta(minutes=15)
"""A session is live for so long after its newest call."""
SUMMARISES = (Purpose.SUMMARY, Purpose.MERGE)
# What the charts say of summaries where a model is chosen, which is not theirs.
OF_SUMMARIES = ("calls", "failed", "priced", "cost", "outcomes")
ROWS = 6  # of "will be full soon" on the overview
OVERFLOWS = 500  # turns with an overflow of which it is asked whether they were answered, the newest first


def points(chosen: Filter, now: datetime) -> list[Point]:
    """Every step of the span, the newest last and still open."""
    since, step = chosen.since(now), chosen.span.step
    end = since + chosen.span.length
    # A user's rows begin at hours: what is finer is added up from the calls, which is for an hour only.
    if chosen.user is not None and chosen.span.length > filters.HOUR:
        step = max(step, filters.HOUR)
    since = filters.floor(since, step)
    by = _by_purpose(chosen, since, end, step, model=chosen.model or None)
    # A summary is made by another model than the one that is chosen.
    made = _by_purpose(chosen, since, end, step, columns=OF_SUMMARIES) if chosen.model else by
    happened = events(chosen, since, end, step)
    starts = [since + step * index for index in range(max(1, -((since - end) // step)))]
    return [
        Point(
            start,
            by.get(Purpose.REPLY, {}).get(start),
            _added(start, by, Purpose.values),
            _added(start, made, SUMMARISES),
            happened.get(start, Happened()),
        )
        for start in starts
    ]


def _by_purpose(
    chosen: Filter,
    since: datetime,
    end: datetime,
    step: timedelta,
    *,
    model: str | None = None,
    columns: tuple[str, ...] = folding.COLUMNS,
) -> dict[str, dict[datetime, Figures]]:
    asked = {"model": model, "strategy": chosen.strategy or None, "user": chosen.user}
    return rolled.between_by("purpose", since, end, step=step, columns=columns, **asked)


def _added(start: datetime, by: dict[str, dict[datetime, Figures]], purposes: Sequence[str]) -> Figures | None:
    found = [by[purpose][start] for purpose in purposes if start in by.get(purpose, {})]
    return folding.total(found) if found else None


def today(chosen: Filter, now: datetime) -> Today:
    """What this day came to so far: sums alone."""
    midnight = filters.floor(now, filters.DAY)
    asked: dict[str, Any] = {"strategy": chosen.strategy or None, "user": chosen.user, "columns": folding.SUMS}
    by = rolled.by("purpose", midnight, now, model=chosen.model or None, **asked)
    made = rolled.by("purpose", midnight, now, **asked) if chosen.model else by
    return Today(
        all=folding.total(by.values()),
        replies=by.get(Purpose.REPLY, Figures()),
        summaries=folding.total(made[purpose] for purpose in SUMMARISES if purpose in made),
    )


# --- events ------------------------------------------------------------------------------------------------


def told(chosen: Filter, since: datetime, end: datetime) -> QuerySet[ContextEvent]:
    """The events between two times, of the sessions that the filter chooses."""
    rows = ContextEvent.objects.filter(at__gte=since, at__lt=end)
    if chosen.user is not None:
        rows = rows.filter(user=chosen.user)
    if chosen.model or chosen.strategy:
        # An event knows its summariser's model; the session's own stands in the gauge.
        rows = rows.filter(session__in=gauges(chosen, since=None).values("session"))
    return rows


def events(chosen: Filter, since: datetime, end: datetime, step: timedelta) -> dict[datetime, Happened]:
    """What happened in each step: out of the hours that are added up where a step is of whole ones, and the events."""
    found: dict[datetime, Happened] = {}
    upto = since
    if chosen.user is None and not step % filters.HOUR:
        made = eventhours.until()
        upto = max(since, times.floor(min(end, made), filters.HOUR)) if made else since
    for at, kind, outcome, code, n, before, after, seconds, timed in chain(
        _of_hours(chosen, since, upto) if since < upto else (), _of_events(chosen, upto, end, step)
    ):
        point = found.setdefault(filters.floor(at, step), Happened())
        point.counts[kind, outcome, code] += n
        if kind == Kind.COMPACTION and outcome == "ok":
            point.before += before or 0
            point.after += after or 0
            point.seconds += seconds or 0
            point.timed += timed
    return found


def _of_hours(chosen: Filter, since: datetime, end: datetime) -> Iterator[tuple[Any, ...]]:
    rows = EventHour.objects.filter(start__gte=since, start__lt=end).order_by()
    asked = {"model": chosen.model, "strategy": chosen.strategy}
    grouped = rows.filter(**{name: value for name, value in asked.items() if value}).values_list(
        "start", "kind", "outcome", "code"
    )
    yield from grouped.annotate(
        Sum("events"), Sum("tokens_before"), Sum("tokens_after"), Sum("seconds"), Sum("timed")
    ).iterator()


def _of_events(chosen: Filter, since: datetime, end: datetime, step: timedelta) -> Iterator[tuple[Any, ...]]:
    length = int(step.total_seconds())
    rows = told(chosen, since, end).order_by().annotate(bucket=Bucket("at", length=length))
    grouped = rows.values_list("bucket", "kind", "outcome", "code").annotate(
        Count("pk"), Sum("tokens_before"), Sum("tokens_after"), Sum("seconds"), Count("seconds")
    )
    for bucket, *rest in grouped.iterator():
        yield times.EPOCH + timedelta(seconds=bucket), *rest


class Bucket(Func):
    """The start of the bucket of `length` seconds that a moment lies in, in seconds since 1970: added up by the
    database, since there are thousands of events in a day."""

    output_field = IntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        template = "(FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / %(length)s)::bigint * %(length)s)"
        return super().as_sql(compiler, connection, template=template, **more)

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        template = "(CAST(STRFTIME('%%%%s', %(expressions)s) AS INTEGER) / %(length)s * %(length)s)"
        return super().as_sql(compiler, connection, template=template, **more)


@dataclass(frozen=True, slots=True)
class Overflows:
    """The requests that the service refused as too long, and what became of their turns.

    `turns` were hit, `answered` of them got a reply in the end, `lost` are (session, turn) of those that did not.
    """

    turns: int
    answered: int
    first: datetime | None
    last: datetime | None
    lost: tuple[tuple[UUID, int], ...]


def overflows(chosen: Filter, since: datetime, end: datetime) -> Overflows:
    """What the overflows between two times came to. Lost ones are looked for among the newest OVERFLOWS turns."""
    rows = told(chosen, since, end).filter(
        kind__in=(Kind.RUNG, Kind.RECOVERY), session__isnull=False, number__isnull=False
    )
    # One look at them: the window counts all turns, however few are taken.
    hit = rows.order_by().values("session", "number").annotate(last=Max("at"), every=Window(Count("*")))
    found = list(hit.order_by("-last").values_list("session", "number", "last", "every")[:OVERFLOWS])
    if not found:
        return Overflows(0, 0, None, None, ())
    newest = {(session, number) for session, number, *_ in found}
    every = found[0][3]
    calls = ModelCall.objects.filter(
        session__in={session for session, _ in newest}, number__in={number for _, number in newest}, outcome="ok",
        purpose=Purpose.REPLY,
    )  # fmt: skip
    lost = newest - set(calls.values_list("session", "number"))
    return Overflows(
        turns=every,
        answered=every - len(lost),
        first=rows.order_by("at").values_list("at", flat=True).first(),
        last=found[0][2],
        lost=tuple(sorted(lost, key=str)),
    )


# --- now ---------------------------------------------------------------------------------------------------


def gauges(chosen: Filter, since: datetime | None) -> QuerySet[SessionGauge]:
    """The gauges of the sessions that the filter chooses; with `since`, of those with a call from then on."""
    rows = SessionGauge.objects.all()
    if since is not None:
        rows = rows.filter(at__gte=since)
    if chosen.model:
        rows = rows.filter(model=chosen.model)
    if chosen.strategy:
        rows = rows.filter(strategy=chosen.strategy)
    return rows if chosen.user is None else rows.filter(user=chosen.user)


def fullness(chosen: Filter, now: datetime) -> Full:
    """How full the sessions of the span are, in one look at them."""
    live = Q(at__gte=now - LIVE)
    # A float's last digit must not move 70 % into the bin below. What is not known is below 0: PostgreSQL would take
    # the least of nothing and 19 for 19.
    share = Floor(Coalesce(F("utilisation"), Value(-1.0)) * 20 + 1e-9, output_field=FloatField())
    rows = gauges(chosen, now - chosen.span.length).order_by()
    binned = rows.annotate(bin=Cast(Least(share, 19.0), IntegerField())).values_list("bin")
    found = list(
        binned.annotate(
            Count("pk"),
            n_live=Count("pk", filter=live),
            n_known=Count("utilisation", filter=live),
            shares=Sum("utilisation", filter=live),
            n_watch=Count("pk", filter=Q(utilisation__gte=series.WATCH)),
            n_alert=Count("pk", filter=Q(utilisation__gte=series.ALERT)),
            n_failing=Count("pk", filter=FAILING),
            n_soon=Count("pk", filter=NEAR),
            last=Max("at"),
        )
    )
    _, every, alive, known, shares, watch, alert, bad, soon, _ = zip(*found, strict=True) if found else [()] * 10
    counts = {row[0]: row[1] for row in found}
    return Full(
        all=sum(every),
        live=sum(alive),
        mean=sum(share or 0 for share in shares) / sum(known) if sum(known) else None,
        watch=sum(watch),
        alert=sum(alert),
        failing=sum(bad),
        soon=sum(soon),
        newest=max((row[-1] for row in found), default=None),
        bins=[counts.get(index, 0) for index in range(20)],
    )


@dataclass(frozen=True, slots=True)
class Soon:
    """A session that will be full: its gauge, how it stands, why, and what happens."""

    gauge: SessionGauge
    standing: forecast.Standing
    failing: forecast.Reason | None
    happens: forecast.Reason


NEAR = (
    Q(turns_to_compaction__lte=forecast.SOON)
    | Q(turns_left__lte=forecast.SOON)
    | Q(utilisation__gte=series.WATCH)
)  # fmt: skip
# In whole tokens, since the two databases round a share of a window differently.
FAILING = Q(tokens__gte=F("window") * 4 / 5, base_tokens__gte=F("window") * 4 / 5, window__gt=0)


def near(chosen: Filter, now: datetime) -> QuerySet[SessionGauge]:
    """The sessions of the span that are over 70 %, or due, or about to be."""
    return gauges(chosen, now - chosen.span.length).filter(NEAR)


def failing(chosen: Filter, now: datetime) -> QuerySet[SessionGauge]:
    """The sessions of the span whose last two turns were both over 80 %: their strategy fails."""
    return gauges(chosen, now - chosen.span.length).filter(FAILING)


def soonest(chosen: Filter, now: datetime, most: int = ROWS) -> list[Soon]:
    """The sessions that will be full next, the nearest hard limit first."""
    order = (F("turns_left").asc(nulls_last=True), F("turns_to_compaction").asc(nulls_last=True), "-utilisation")
    return stood(near(chosen, now).order_by(*order)[:most])


def stood(rows: Iterable[SessionGauge]) -> list[Soon]:
    """How these sessions stand: their newest call, refused summaries and what the chat knows of them."""
    found = list(rows)
    ids = [gauge.session for gauge in found]
    parts = _parts(found)
    refused = rejections(ids)
    known = lookups.by_key("standing", ids) if ids else {}
    out = []
    for gauge in found:
        more = known.get(gauge.session, {})
        one = forecast.Standing(
            tokens=gauge.tokens,
            window=gauge.window,
            before=gauge.base_tokens,
            growth=gauge.growth,
            compacts_in=gauge.turns_to_compaction,
            hard_in=gauge.turns_left,
            strategy=more.get("strategy", gauge.strategy),
            mode=more.get("mode", "auto"),
            parts=parts.get(gauge.session),
            pinned=more.get("pinned") or 0,
            rejections=refused.get(gauge.session, 0),
            job=more.get("job"),
            job_state=more.get("job_state", ""),
            job_s=more.get("job_s", 0),
        )
        out.append(Soon(gauge, one, forecast.failing(one), forecast.happens(one)))
    return out


def _parts(found: Sequence[SessionGauge]) -> dict[UUID, dict[str, int]]:
    """What the newest reply of each session was made of, fitted to its size."""
    newest = Q(pk__in=[])
    for gauge in found:
        newest |= Q(session=gauge.session, at=gauge.at)
    columns = ("session", "components", "input", "cache_read", "cache_write")
    rows = ModelCall.objects.filter(newest, purpose=Purpose.REPLY).values_list(*columns) if found else ()
    return {session: series.stack(components, sum(size)) for session, components, *size in rows}


def rejections(sessions: Sequence[UUID]) -> dict[UUID, int]:
    """How often each session's summaries were refused since its last compaction that took effect."""
    kinds = (Kind.COMPACTION, Kind.GATE_REJECTED)
    rows = ContextEvent.objects.filter(session__in=sessions, kind__in=kinds).order_by("at", "pk")
    counts: dict[UUID, int] = {}
    for session, kind, outcome in rows.values_list("session", "kind", "outcome") if sessions else ():
        took = kind == Kind.COMPACTION and outcome == "ok"
        counts[session] = 0 if took else counts.get(session, 0) + 1
    return counts


def choices() -> dict[str, list[str]]:
    """The models and strategies that a filter can choose."""
    if models := rolled.names("model"):
        return {"models": models, "strategies": rolled.names("strategy")}
    rows = SessionGauge.objects.order_by()
    return {
        "models": sorted(rows.values_list("model", flat=True).distinct()),
        "strategies": sorted(filter(None, rows.values_list("strategy", flat=True).distinct())),
    }
