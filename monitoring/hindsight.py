"""What a rule would have read in the last days: what it would have done is shown before it is saved."""

from collections import deque
from datetime import datetime, timedelta

from monitoring import rolled, times
from monitoring.folding import Figures
from monitoring.measures import OVERFLOWS, PERCENT, WEEK
from monitoring.models import AlertRule, ContextEvent, Kind, Measure, Purpose

Seen = list[tuple[datetime, float | None]]
NOTHING = Figures()


def history(rule: AlertRule, now: datetime, span: timedelta = WEEK) -> tuple[Seen, timedelta]:
    """What a rule would have read over the last `span`, and how far the readings are apart.

    Nearly: means are over calls and not sessions, the fullest session stays so for the rule's period, and the cache
    is compared with the hit rate of the whole span. Nothing for the age of the backlog, of which no history is kept.
    """
    start = times.floor(now - span, times.DAY)
    measure = Measure(rule.measure)
    if measure in (Measure.OVERFLOW, Measure.UPSTREAM, Measure.GATE):
        return _events(rule, start, now), times.FIVE
    if measure == Measure.BACKLOG:
        return [], times.FIVE
    found = rolled.sums(start, now, step=times.FIVE, purpose=_purpose(measure))
    return _over(rule, measure, start, now, found), times.FIVE


def _purpose(measure: Measure) -> str | None:
    return Purpose.REPLY.value if measure in (Measure.MEAN, Measure.SESSION, Measure.CACHE) else None


# What is added up over the period of a rule.
ADDED = ("calls", "failed", "shares", "share_sum", "counted", "cache_read", "size")


def _over(rule: AlertRule, measure: Measure, start: datetime, now: datetime, found: dict[datetime, Figures]) -> Seen:
    """The readings at the end of each five minutes, over the period of the rule up to there."""
    if measure == Measure.SPEND:
        return _spent(start, now, found)
    length = max(1, rule.period_s // int(times.FIVE.total_seconds()))
    usual = sum(one.cache_read for one in found.values()) / (sum(one.size for one in found.values()) or 1)
    seen: Seen = []
    window: deque[Figures] = deque()
    peaks: deque[tuple[int, float]] = deque()
    sums = dict.fromkeys(ADDED, 0.0)
    for place, at in enumerate(times.starts(start, now, times.FIVE)):
        figures = found.get(at) or NOTHING
        window.append(figures)
        gone = window.popleft() if len(window) > length else NOTHING
        for name in ADDED:
            sums[name] += getattr(figures, name) - getattr(gone, name)
        # The highest of a window, each value looked at twice at most.
        while peaks and peaks[0][0] <= place - length:
            peaks.popleft()
        if figures.peak is not None:
            while peaks and peaks[-1][1] <= figures.peak:
                peaks.pop()
            peaks.append((place, figures.peak))
        seen.append((min(now, at + times.FIVE), _once(rule, measure, sums, peaks[0][1] if peaks else None, usual)))
    return seen


def _spent(start: datetime, now: datetime, found: dict[datetime, Figures]) -> Seen:
    seen: Seen = []
    spent = 0.0
    for at in times.starts(start, now, times.FIVE):
        figures = found.get(at) or NOTHING
        spent = (0.0 if at == times.floor(at, times.DAY) else spent) + float(figures.cost)
        seen.append((min(now, at + times.FIVE), spent))
    return seen


def _once(rule: AlertRule, measure: Measure, sums: dict[str, float], peak: float | None, usual: float) -> float | None:
    enough = max(1, rule.minimum)
    if measure == Measure.MEAN:
        return sums["share_sum"] / sums["shares"] * PERCENT if sums["shares"] >= enough else None
    if measure == Measure.SESSION:
        return None if peak is None else peak * PERCENT
    if measure == Measure.CACHE:
        return (usual - sums["cache_read"] / sums["size"]) * PERCENT if sums["counted"] >= enough else None
    return sums["failed"] / sums["calls"] * PERCENT if sums["calls"] >= enough else None


def _events(rule: AlertRule, start: datetime, now: datetime) -> Seen:
    """The sliding count, or share, over the rule's period at each step."""
    period = timedelta(seconds=rule.period_s)
    kinds = {
        Measure.OVERFLOW: OVERFLOWS,
        Measure.UPSTREAM: (Kind.UPSTREAM,),
        Measure.GATE: (Kind.GATE_REJECTED, Kind.COMPACTION),
    }[Measure(rule.measure)]
    rows = ContextEvent.objects.filter(at__gte=start - period, at__lt=now, kind__in=kinds).order_by("at")
    events = list(rows.values_list("at", "kind", "outcome"))
    seen: Seen = []
    first = last = 0
    for at in times.starts(start + times.FIVE, now + times.FIVE, times.FIVE):
        moment = min(at, now)
        while last < len(events) and events[last][0] <= moment:
            last += 1
        while first < last and events[first][0] <= moment - period:
            first += 1
        seen.append((moment, _among(rule, events[first:last])))
    return seen


def _among(rule: AlertRule, events: list[tuple[datetime, str, str]]) -> float | None:
    if rule.measure != Measure.GATE:
        return float(sum(outcome == "ok" or kind == Kind.UPSTREAM for _, kind, outcome in events))
    bad = sum(kind == Kind.GATE_REJECTED or outcome != "ok" for _, kind, outcome in events)
    return bad / len(events) * PERCENT if len(events) >= max(1, rule.minimum) else None
