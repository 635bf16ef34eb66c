"""What rules look at, measured now: shares in percent, backlog in minutes, spend in US dollars, else a number.

A measure returns its readings, the worst first: none where there is too little to say something (which counts as
no trouble). It raises Unknown where it can't be known, and then nothing is decided.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Avg, Count, Q

from monitoring import recording, rolled, times
from monitoring.alerts import KEYS, Reading
from monitoring.models import AlertRule, ContextEvent, Kind, Measure, Purpose, SessionGauge

WEEK = timedelta(days=7)
OVERFLOWS = (Kind.RUNG, Kind.RECOVERY)
PERCENT = 100.0


class Unknown(Exception):
    """What a rule looks at can't be known now."""


def read(rule: AlertRule, now: datetime) -> list[Reading]:
    """The readings of a rule. Raises Unknown."""
    return MEASURES[Measure(rule.measure)](rule, now)


def _since(rule: AlertRule, now: datetime) -> datetime:
    return now - timedelta(seconds=rule.period_s)


def _mean(rule: AlertRule, now: datetime) -> list[Reading]:
    found = SessionGauge.objects.filter(at__gte=_since(rule, now), utilisation__isnull=False).aggregate(
        mean=Avg("utilisation"), sessions=Count("pk")
    )
    if found["sessions"] < rule.minimum:
        return []
    return [Reading(found["mean"] * PERCENT, found["sessions"])]


def _session(rule: AlertRule, now: datetime) -> list[Reading]:
    gauges = SessionGauge.objects.filter(at__gte=_since(rule, now), utilisation__isnull=False)
    worst = list(gauges.order_by("-utilisation").values_list("session", "utilisation")[:KEYS])
    if rule.each == AlertRule.Each.SESSION:
        return [Reading(share * PERCENT, 1, str(session), str(session)) for session, share in worst]
    over = gauges.filter(utilisation__gt=rule.limit / PERCENT).count()
    return [Reading(share * PERCENT, over, "", str(session)) for session, share in worst[:1]]


def _overflow(rule: AlertRule, now: datetime) -> list[Reading]:
    turns = ContextEvent.objects.filter(at__gte=_since(rule, now), kind__in=OVERFLOWS, outcome="ok")
    found = turns.values("session", "number").distinct().count()
    newest = turns.order_by("-at").values_list("session", flat=True).first() if found else None
    return [Reading(found, found, "", str(newest or ""))]


def _gate(rule: AlertRule, now: datetime) -> list[Reading]:
    good = Q(kind=Kind.COMPACTION, outcome="ok")
    bad = Q(kind=Kind.GATE_REJECTED) | (Q(kind=Kind.COMPACTION) & ~Q(outcome="ok"))
    found = ContextEvent.objects.filter(at__gte=_since(rule, now)).aggregate(
        good=Count("pk", filter=good), bad=Count("pk", filter=bad)
    )
    tried = found["good"] + found["bad"]
    return [] if tried < max(1, rule.minimum) else [Reading(found["bad"] / tried * PERCENT, found["bad"])]


def _backlog(rule: AlertRule, now: datetime) -> list[Reading]:
    told = recording.sources().get("jobs")
    if not told or "oldest_s" not in told:
        raise Unknown("backlog")
    return [Reading(told["oldest_s"] / 60, int(told.get("backlog", 0)))]


def _cache(rule: AlertRule, now: datetime) -> list[Reading]:
    since = _since(rule, now)
    recent = rolled.by("model", since, now, purpose=Purpose.REPLY.value)
    usual = rolled.by("model", times.floor(now - WEEK, times.DAY), since, purpose=Purpose.REPLY.value)
    found = []
    for model, figures in recent.items():
        before, after = usual[model].hit_rate if model in usual else None, figures.hit_rate
        if before is not None and after is not None and figures.counted >= rule.minimum:
            found.append(Reading((before - after) * PERCENT, figures.counted, model))
    found.sort(key=lambda reading: -reading.value)
    if rule.each == AlertRule.Each.MODEL:
        return found
    return [Reading(one.value, one.count) for one in found[:1]]


def _errors(rule: AlertRule, now: datetime) -> list[Reading]:
    figures = rolled.over(_since(rule, now), now)
    if figures.calls < max(1, rule.minimum):
        return []
    return [Reading(figures.failed / figures.calls * PERCENT, figures.failed)]


def _spend(rule: AlertRule, now: datetime) -> list[Reading]:
    figures = rolled.over(times.floor(now, times.DAY), now)
    if figures.calls and not figures.priced:
        raise Unknown("price")
    return [Reading(float(figures.cost), figures.calls)]


def _upstream(rule: AlertRule, now: datetime) -> list[Reading]:
    found = ContextEvent.objects.filter(at__gte=_since(rule, now), kind=Kind.UPSTREAM).count()
    return [Reading(found, found)]


MEASURES: dict[Measure, Callable[[AlertRule, datetime], list[Reading]]] = {
    Measure.MEAN: _mean,
    Measure.SESSION: _session,
    Measure.OVERFLOW: _overflow,
    Measure.GATE: _gate,
    Measure.BACKLOG: _backlog,
    Measure.CACHE: _cache,
    Measure.ERRORS: _errors,
    Measure.SPEND: _spend,
    Measure.UPSTREAM: _upstream,
}
