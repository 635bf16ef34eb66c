"""Calls added up into rows of five minutes, hours and days, a little at a time.

A bucket is always made whole, from the calls themselves, in one transaction: done twice it is the same, done by two
at once one of them gives up, and a process that dies leaves the bucket as it was. Only buckets that have ended are
made; the page reads the rest from the calls. Hours and the users in them are made from calls, days from hours.

What comes late is found by its number: calls above `seen` whose bucket has been made already. A transaction may
commit a smaller number after a larger one was seen, so `seen` follows by SETTLE. A bucket that holds as many calls as
its rows say is left alone, since calls never change.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Min, Sum
from django.db.models.functions import TruncHour, TruncMinute

from monitoring import folding, rolled, stored, times
from monitoring.folding import ALL, EVERYBODY, Figures
from monitoring.models import ModelCall, Progress, Rollup
from monitoring.times import DAY, FIVE, HOUR

# Longer than any transaction that records a call lives.
SETTLE = timedelta(minutes=5)
# For so long nobody's clock is ahead of ours: a bucket that ended is left to those who write their calls late.
GRACE = timedelta(seconds=5)
KEYS = ("model", "purpose", "strategy")
Rows = dict[tuple[Any, ...], Figures]


@dataclass(frozen=True, slots=True)
class Rolled:
    """What one round did: hours (or parts of them) made; whether there is more to do at once."""

    made: int = 0
    more: bool = False


def roll(now: datetime, *, seconds: float = 20.0, breathe: Callable[[float], None] = lambda spent: None) -> Rolled:
    """Bring the rollups up to `now`, for about `seconds` at most.

    `breathe(spent)` is called after each piece of work with the seconds that it took: a process that also serves
    people rests there.
    """
    place, newest = _place(now)
    closed = times.floor(now - GRACE, FIVE)
    if place.hour_until is None or closed <= times.floor(place.hour_until, FIVE):
        return Rolled()
    late = _late(place)
    begun, made = time.monotonic(), 0
    for hour in _hours(place.hour_until, closed, late):
        if made and time.monotonic() - begun > seconds:
            return Rolled(made, more=True)
        started = time.monotonic()
        if _hour(hour, closed, late, again=hour < place.hour_until):
            made += 1
            breathe(time.monotonic() - started)
    _reached(five_until=closed, hour_until=times.floor(closed, HOUR))
    for day in _days(place, late):
        started = time.monotonic()
        _day(day)
        breathe(time.monotonic() - started)
    _settle(newest, now)
    return Rolled(made)


def _place(now: datetime) -> tuple[Progress, int]:
    """How far the rollups have come, and the number of the newest call. Made at the first round."""
    newest = ModelCall.objects.aggregate(newest=Max("pk"))["newest"] or 0
    place = Progress.objects.filter(pk=rolled.ROLLUPS).first()
    if place is None:
        # All there is will be made anyhow; only what is written right now can come late.
        before = ModelCall.objects.filter(at__lt=now - 2 * SETTLE).order_by("-at").values_list("pk", flat=True).first()
        place, _ = Progress.objects.get_or_create(pk=rolled.ROLLUPS, defaults={"seen": before or 0})
    if place.hour_until is None:
        oldest = ModelCall.objects.aggregate(oldest=Min("at"))["oldest"]
        if oldest is not None:
            first = times.floor(oldest, HOUR)
            place.five_until = place.hour_until = first
            place.day_until = times.floor(oldest, DAY)
            place.save(update_fields=["five_until", "hour_until", "day_until"])
    return place, newest


def _late(place: Progress) -> dict[datetime, set[datetime]]:
    """Buckets that were made before some of their calls were seen, by their hour."""
    calls = ModelCall.objects.filter(pk__gt=place.seen, at__lt=place.five_until)
    if place.floor:
        # What was deleted can't be added up again: such a call is left to retention.
        calls = calls.filter(at__gte=place.floor)
    minutes = calls.annotate(minute=TruncMinute("at", tzinfo=UTC)).values_list("minute", flat=True)
    found: dict[datetime, set[datetime]] = {}
    for minute in minutes.distinct().order_by():
        found.setdefault(times.floor(minute, HOUR), set()).add(times.floor(minute, FIVE))
    return found


def _hours(until: datetime, closed: datetime, late: Iterable[datetime]) -> list[datetime]:
    """The hours that have something to be made, the oldest first; the last one may not have ended.

    A site that stood idle for a month has none of them to go through.
    """
    calls = ModelCall.objects.filter(at__gte=until, at__lt=closed).annotate(hour=TruncHour("at", tzinfo=UTC))
    return sorted({*late, *calls.values_list("hour", flat=True).distinct().order_by()})


def _hour(hour: datetime, closed: datetime, late: dict[datetime, set[datetime]], *, again: bool) -> bool:
    """Make an hour that has ended, or the ended buckets of one that has not; False when there was nothing to do."""
    if hour + HOUR <= closed:
        if again and _calls_in(hour, HOUR) == _rolled_in("1h", hour, HOUR):
            return False
        _make_hour(hour)
        return True
    made = False
    until = rolled.until() or hour
    for bucket in times.starts(hour, closed, FIVE):
        if bucket >= until or (
            bucket in late.get(hour, ()) and _calls_in(bucket, FIVE) != _rolled_in("5m", bucket, FIVE)
        ):
            _make_five(bucket)
            made = True
    return made


def _calls_in(start: datetime, length: timedelta) -> int:
    return ModelCall.objects.filter(at__gte=start, at__lt=start + length).count()


def _rolled_in(size: str, start: datetime, length: timedelta) -> int:
    rows = Rollup.objects.filter(size=size, user=EVERYBODY, start__gte=start, start__lt=start + length)
    return rows.aggregate(calls=Sum("calls"))["calls"] or 0


def _make_five(start: datetime) -> None:
    with transaction.atomic():
        rows: Rows = {}
        for call in rolled.calls(start, start + FIVE):
            rows.setdefault((start, EVERYBODY, call.model, call.purpose, call.strategy), Figures()).add(call)
        _replace("5m", start, start + FIVE, rows | _together(rows))
        _reached(five_until=start + FIVE)


def _make_hour(hour: datetime) -> None:
    """All rows of an hour: twelve times five minutes, the hour, and the hour of each user."""
    end = hour + HOUR
    with transaction.atomic():
        fives: Rows = {}
        people: Rows = {}
        for call in rolled.calls(hour, end):
            keys = call.model, call.purpose, call.strategy
            fives.setdefault((times.floor(call.at, FIVE), EVERYBODY, *keys), Figures()).add(call)
            if call.user:
                people.setdefault((hour, call.user, *keys), Figures()).add(call)
        for (_, user, *keys), figures in fives.items():
            folding.take(people.setdefault((hour, user, *keys), Figures()), figures)
        _replace("5m", hour, end, fives | _together(fives))
        _replace("1h", hour, end, people | _together(people))
        _reached(five_until=end, hour_until=end)


def _together(rows: Rows) -> Rows:
    """The rows of everybody, all models and strategies together."""
    made: Rows = {}
    for (at, user, _, purpose, _), figures in rows.items():
        if user == EVERYBODY:
            folding.take(made.setdefault((at, ALL, "", purpose, ""), Figures()), figures)
    return made


def _days(place: Progress, late: Iterable[datetime]) -> list[datetime]:
    """Days that have ended since, and those of which an hour was made again."""
    hour_until = Progress.objects.values_list("hour_until", flat=True).get(pk=rolled.ROLLUPS)
    closed = times.floor(hour_until, DAY)
    changed = {times.floor(hour, DAY) for hour in late if hour + HOUR <= hour_until}
    return sorted({day for day in changed if day < closed} | set(times.starts(place.day_until, closed, DAY)))


def _day(day: datetime) -> None:
    """The rows of a day from its hours; nothing where they say the same as before."""
    if _rolled_in("1d", day, DAY) == _rolled_in("1h", day, DAY):
        _reached(day_until=day + DAY)
        return
    with transaction.atomic():
        rows: Rows = {}
        hours = Rollup.objects.filter(size="1h", start__gte=day, start__lt=day + DAY).order_by()
        for user, model, purpose, strategy, *values in hours.values_list("user", *KEYS, *folding.COLUMNS).iterator(
            2_000
        ):
            key = day, user, model, purpose, strategy
            folding.take(rows.setdefault(key, Figures()), folding.of_row(values))
        _replace("1d", day, day + DAY, rows)
        _reached(day_until=day + DAY)


def _replace(size: str, start: datetime, end: datetime, rows: Rows) -> None:
    Rollup.objects.filter(size=size, start__gte=start, start__lt=end).delete()
    stored.insert(size, rows)


def _reached(**moments: datetime) -> None:
    """Move what is rolled up by so much ahead; never back, when something late was made again."""
    for name, moment in moments.items():
        Progress.objects.filter(pk=rolled.ROLLUPS, **{f"{name}__lt": moment}).update(**{name: moment})


def _settle(newest: int, now: datetime) -> None:
    """Calls up to `newest` were looked at now; those looked at SETTLE ago will not be again."""
    with transaction.atomic():
        place = Progress.objects.select_for_update().get(pk=rolled.ROLLUPS)
        if place.ahead_at is None or now - place.ahead_at >= SETTLE:
            place.seen, place.ahead, place.ahead_at = max(place.seen, place.ahead), newest, now
        place.done_at = now
        place.save(update_fields=["seen", "ahead", "ahead_at", "done_at"])
