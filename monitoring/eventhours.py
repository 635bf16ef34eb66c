"""Events added up by the hour: what a chart of a week or a month reads in the place of every event.

Made, remade and found late as monitoring.rollups does with calls: an hour is made whole from its events in one
transaction when it has ended, and again when one came late.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Min, Sum

from monitoring import progress, times
from monitoring.models import ContextEvent, EventHour, Progress, SessionGauge
from monitoring.times import HOUR

EVENTS = "events"
SESSIONS = 500  # looked up at once
COLUMNS = ("session", "kind", "outcome", "code", "tokens_before", "tokens_after", "seconds")


def until() -> datetime | None:
    """By when all events are added up; None before the first round."""
    return Progress.objects.filter(pk=EVENTS).values_list("hour_until", flat=True).first()


def roll(now: datetime, *, seconds: float, breathe: Callable[[float], None]) -> bool:
    """Bring the hours up to `now`, for about `seconds`; whether there is more to do at once.

    `breathe` as in rollups.
    """
    place, newest = progress.place_of(EVENTS, ContextEvent, now)
    if place.hour_until is None:
        oldest = ContextEvent.objects.aggregate(oldest=Min("at"))["oldest"]
        if oldest is None:
            return False
        place.hour_until = times.floor(oldest, HOUR)
        place.save(update_fields=["hour_until"])
    closed = times.floor(now - progress.GRACE, HOUR)
    begun = time.monotonic()
    hours = chain(_late(place, now), progress.hours(ContextEvent, place.hour_until, closed))
    for made, hour in enumerate(hours):
        if made and time.monotonic() - begun > seconds:
            return True
        started = time.monotonic()
        make(hour)
        breathe(time.monotonic() - started)
    progress.reached(EVENTS, hour_until=closed)
    progress.settle(EVENTS, newest, now)
    return False


def _late(place: Progress, now: datetime) -> list[datetime]:
    """Hours that were made before some of their events were seen."""
    rows = ContextEvent.objects.filter(pk__gt=place.seen, at__lt=place.hour_until)
    if settings.MONITORING_KEEP_EVENTS_DAYS > 0:
        # An hour of which retention has deleted a part can't be made again.
        kept = now - timedelta(days=settings.MONITORING_KEEP_EVENTS_DAYS) + HOUR
        rows = rows.filter(at__gte=times.ceil(kept, HOUR))
    hours = {times.floor(at, HOUR) for at in rows.order_by().values_list("at", flat=True).iterator()}
    return sorted(hour for hour in hours if _told(hour) != _made(hour))


def _told(hour: datetime) -> int:
    return ContextEvent.objects.filter(at__gte=hour, at__lt=hour + HOUR).count()


def _made(hour: datetime) -> int:
    return EventHour.objects.filter(start=hour).aggregate(events=Sum("events"))["events"] or 0


def make(hour: datetime) -> None:
    """The rows of an hour."""
    with transaction.atomic():
        found = list(ContextEvent.objects.filter(at__gte=hour, at__lt=hour + HOUR).values_list(*COLUMNS))
        whose = _whose({session for session, *_ in found if session})
        rows: dict[tuple[str, ...], EventHour] = {}
        for session, kind, outcome, code, before, after, seconds in found:
            model, strategy = whose.get(session, ("", ""))
            key = kind, outcome, code, model, strategy
            row = rows.get(key)
            if row is None:
                row = rows[key] = EventHour(
                    start=hour, kind=kind, outcome=outcome, code=code, model=model, strategy=strategy
                )
            row.events += 1
            row.tokens_before += before
            row.tokens_after += after
            row.seconds += seconds or 0
            row.timed += seconds is not None
        EventHour.objects.filter(start=hour).delete()
        EventHour.objects.bulk_create(rows.values())
        progress.reached(EVENTS, hour_until=hour + HOUR)


def _whose(sessions: Iterable[UUID]) -> dict[UUID, tuple[str, str]]:
    """The model and strategy of each session: an event knows its summariser's model only."""
    found: dict[UUID, tuple[str, str]] = {}
    wanted = list(sessions)
    for first in range(0, len(wanted), SESSIONS):
        some = wanted[first : first + SESSIONS]
        rows = SessionGauge.objects.filter(pk__in=some).values_list("session", "model", "strategy")
        found |= {session: (model, strategy) for session, model, strategy in rows}
    return found
