"""What is old enough is deleted, a little at a time, and calls only when they are rolled up.

`Progress.floor` is moved first: from then on nobody makes the rollups of those days again, which would find them
empty. A batch is one short transaction; who dies between two leaves calls that the next round deletes.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Model, Q, QuerySet

from monitoring import rolled, times
from monitoring.models import (
    Alert,
    ContextEvent,
    Delivery,
    EventHour,
    ModelCall,
    Progress,
    Rollup,
    SessionGauge,
)

# Rows of one transaction: on SQLite everybody who writes waits for it.
BATCH = 500
# Alerts compare with the last 7 days, and a day is rolled up when it has ended.
LEAST_DAYS = 8
# Rollups: a chart by 5 minutes looks back a day, by hours (those of events, too) a month. Days are kept.
KEEP = {"5m": timedelta(days=35), "1h": timedelta(days=400)}


def purge(
    now: datetime, *, seconds: float = 5.0, breathe: Callable[[float], None] = lambda spent: None
) -> dict[str, int]:
    """Delete what its time is up for, for about `seconds`; how many rows of each table went.

    `breathe(spent)` is called after each batch with the seconds that it took.
    """
    ends = time.monotonic() + seconds
    gone: dict[str, int] = {}
    for rows in _old(now):
        name = rows.model._meta.model_name or ""
        while time.monotonic() < ends:
            begun = time.monotonic()
            count = _batch(rows)
            gone[name] = gone.get(name, 0) + count
            breathe(time.monotonic() - begun)
            if count < BATCH:
                break
    return {name: count for name, count in gone.items() if count}


def _batch(rows: QuerySet[Model]) -> int:
    chosen = list(rows.values_list("pk", flat=True)[:BATCH])
    if chosen:
        rows.model._default_manager.filter(pk__in=chosen).delete()
    return len(chosen)


def _old(now: datetime) -> list[QuerySet[Model]]:
    found: list[QuerySet[Model]] = [
        Rollup.objects.filter(size=size, start__lt=now - keep).order_by() for size, keep in KEEP.items()
    ]
    found.append(EventHour.objects.filter(start__lt=now - KEEP["1h"]).order_by())
    floor = _floor(now)
    if floor:
        found.append(ModelCall.objects.filter(at__lt=floor).order_by("at"))
        found.append(SessionGauge.objects.filter(at__lt=floor).order_by("at"))
    if settings.MONITORING_KEEP_EVENTS_DAYS > 0:
        since = now - timedelta(days=settings.MONITORING_KEEP_EVENTS_DAYS)
        found.append(ContextEvent.objects.filter(at__lt=since).order_by("at"))
        found.append(Delivery.objects.filter(Q(alert=None) | Q(alert__resolved_at__lt=since), created_at__lt=since))
        found.append(Alert.objects.filter(resolved_at__lt=since, deliveries=None))
    return found


def _floor(now: datetime) -> datetime | None:
    """Before when calls may go: whole days, all of them rolled up. Moved ahead in its row first."""
    if settings.MONITORING_KEEP_DAYS <= 0:
        return None
    place = Progress.objects.filter(pk=rolled.ROLLUPS).first()
    if place is None or place.day_until is None:
        return None
    wanted = times.floor(now - timedelta(days=max(LEAST_DAYS, settings.MONITORING_KEEP_DAYS)), times.DAY)
    floor = min(wanted, place.day_until)
    if place.floor is None or place.floor < floor:
        Progress.objects.filter(pk=rolled.ROLLUPS).update(floor=floor)
        return floor
    return place.floor
