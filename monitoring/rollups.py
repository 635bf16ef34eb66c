"""Calls added up into rows of five minutes, hours and days, a little at a time.

A bucket is always made whole, from the calls themselves, in one transaction: done twice it is the same, done by two
at once one of them gives up, and a process that dies leaves the bucket as it was. Only buckets that have ended are
made; the page reads the rest from the calls. Hours and the users in them are made from calls, days from hours.

What comes late is found by its number (monitoring.progress). A bucket that holds as many calls as its rows say is left
alone, since calls never change. Behind the calls follow the hours of events and the days of users.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min, Sum
from django.db.models.functions import TruncMinute

from monitoring import eventhours, folding, progress, rolled, stored, times, userdays
from monitoring.folding import ALL, EVERYBODY, Figures
from monitoring.models import ModelCall, Progress, Rollup
from monitoring.times import DAY, FIVE, HOUR

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
    begun = time.monotonic()
    done = _calls(now, seconds, breathe)
    if done.more:
        return done
    userdays.roll(breathe)
    left = seconds - (time.monotonic() - begun)
    return Rolled(done.made, more=eventhours.roll(now, seconds=left, breathe=breathe))


def _calls(now: datetime, seconds: float, breathe: Callable[[float], None]) -> Rolled:
    place, newest = _place(now)
    closed = times.floor(now - progress.GRACE, FIVE)
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
    progress.settle(rolled.ROLLUPS, newest, now)
    return Rolled(made)


def _place(now: datetime) -> tuple[Progress, int]:
    """How far the rollups have come, and the number of the newest call. Made at the first round."""
    place, newest = progress.place_of(rolled.ROLLUPS, ModelCall, now)
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


def _hours(until: datetime, closed: datetime, late: Iterable[datetime]) -> Iterator[datetime]:
    """The hours that have something to be made, the oldest first; the last one may not have ended."""
    yield from sorted(hour for hour in late if hour < until)
    yield from progress.hours(ModelCall, until, closed)


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
            _at(rows, (start, EVERYBODY, call.model, call.purpose, call.strategy)).add(call)
        _replace("5m", start, start + FIVE, rows | _together(rows))
        _reached(five_until=start + FIVE)


def _make_hour(hour: datetime) -> None:
    """All rows of an hour: twelve times five minutes, the hour, and the hour of each user."""
    end = hour + HOUR
    with transaction.atomic():
        fives: Rows = {}
        people: Rows = {}
        begins = list(times.starts(hour, end, FIVE))
        for call in rolled.calls(hour, end):
            keys = call.model, call.purpose, call.strategy
            # By looking up: dividing moments takes longer.
            _at(fives, (begins[bisect_right(begins, call.at) - 1], EVERYBODY, *keys)).add(call)
            if call.user:
                _at(people, (hour, call.user, *keys)).add(call)
        for (_, user, *keys), figures in fives.items():
            folding.take(_at(people, (hour, user, *keys)), figures)
        _replace("5m", hour, end, fives | _together(fives))
        _replace("1h", hour, end, people | _together(people))
        _reached(five_until=end, hour_until=end)


def _at(rows: Rows, key: tuple[Any, ...]) -> Figures:
    """The figures of a row, made where there are none: `setdefault` would make some for every call."""
    figures = rows.get(key)
    if figures is None:
        figures = rows[key] = Figures()
    return figures


def _together(rows: Rows) -> Rows:
    """The rows of everybody, all models and strategies together."""
    made: Rows = {}
    for (at, user, _, purpose, _), figures in rows.items():
        if user == EVERYBODY:
            folding.take(_at(made, (at, ALL, "", purpose, "")), figures)
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
            folding.take(_at(rows, key), folding.of_row(values))
        _replace("1d", day, day + DAY, rows)
        userdays.make(day)
        _reached(day_until=day + DAY)


def _replace(size: str, start: datetime, end: datetime, rows: Rows) -> None:
    Rollup.objects.filter(size=size, start__gte=start, start__lt=end).delete()
    stored.insert(size, rows)


def _reached(**moments: datetime) -> None:
    progress.reached(rolled.ROLLUPS, **moments)
