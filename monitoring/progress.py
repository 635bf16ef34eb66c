"""How far work in the background has come, kept in rows of Progress: what is made, and what was looked at.

What comes late is found by its number: rows above `seen` whose bucket has been made already. A transaction may commit
a smaller number after a larger one was seen, so `seen` follows by SETTLE.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max

from monitoring import times
from monitoring.models import ContextEvent, ModelCall, Progress

# Longer than any transaction that records something lives.
SETTLE = timedelta(minutes=5)
# For so long nobody's clock is ahead of ours: a bucket that ended is left to those who write late.
GRACE = timedelta(seconds=5)

Recorded = type[ModelCall] | type[ContextEvent]


def place_of(name: str, rows: Recorded, now: datetime) -> tuple[Progress, int]:
    """How far the work `name` over `rows` has come, and the number of the newest row. Made at the first round."""
    newest = rows.objects.aggregate(newest=Max("pk"))["newest"] or 0
    place = Progress.objects.filter(pk=name).first()
    if place is None:
        # All there is will be made anyhow; only what is written right now can come late.
        before = rows.objects.filter(at__lt=now - 2 * SETTLE).order_by("-at").values_list("pk", flat=True).first()
        place, _ = Progress.objects.get_or_create(pk=name, defaults={"seen": before or 0})
    return place, newest


def hours(rows: Recorded, since: datetime, closed: datetime) -> Iterator[datetime]:
    """The hours from `since` on in which something was recorded before `closed`, the oldest first.

    Each costs one look into an index: a month of rows is not read to find its hours, nor a month without any.
    """
    while True:
        found = rows.objects.filter(at__gte=since, at__lt=closed).order_by("at").values_list("at", flat=True).first()
        if found is None:
            return
        hour = times.floor(found, times.HOUR)
        yield hour
        since = hour + times.HOUR


def reached(name: str, **moments: datetime) -> None:
    """Move what is made by so much ahead; never back, when something late was made again."""
    for column, moment in moments.items():
        Progress.objects.filter(pk=name, **{f"{column}__lt": moment}).update(**{column: moment})


def settle(name: str, newest: int, now: datetime) -> None:
    """Rows up to `newest` were looked at now; those looked at SETTLE ago will not be again."""
    with transaction.atomic():
        place = Progress.objects.select_for_update().get(pk=name)
        if place.ahead_at is None or now - place.ahead_at >= SETTLE:
            place.seen, place.ahead, place.ahead_at = max(place.seen, place.ahead), newest, now
        place.done_at = now
        place.save(update_fields=["seen", "ahead", "ahead_at", "done_at"])
