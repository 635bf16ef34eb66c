"""What each user's calls of a span come to, thousands of users at once: sums alone, from rows of days.

A user's day has a row for each model and strategy and one of all (`ALL`), made from the day's rollups in the
transaction that makes those; the days of an older release are made by the rounds, one after the other. What is no
whole day is read from hours, and what is no whole hour yet is added up from the calls by the database.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet, Sum

from monitoring import rolled, times
from monitoring.folding import ZERO, Figures
from monitoring.models import ModelCall, Progress, Rollup, UserDay
from monitoring.times import DAY

NAME = "userdays"
# No model has this name: it is no code that monitoring.recording lets in.
ALL = "*"
SUMS = ("calls", "failed", "counted", "priced", "input", "cache_read", "cache_write", "output", "cost", "saved")
COUNTED = Q(input__gt=0) | Q(cache_read__gt=0) | Q(cache_write__gt=0)
OF_CALLS = {
    "calls": Count("pk"),
    "failed": Count("pk", filter=~Q(outcome="ok")),
    "counted": Count("pk", filter=COUNTED),
    "priced": Count("cost"),
    **{f"all_{name}": Sum(name) for name in ("input", "cache_read", "cache_write", "output", "cost")},
    "all_saved": Sum("saved", filter=Q(cost__isnull=False)),
}


def by_user(start: datetime, end: datetime, **filters: Any) -> dict[int, Figures]:
    """What the calls of a span come to for each user: SUMS alone. Filters as in `rolled.between`."""
    until = rolled.until_of(single=True)
    made = Progress.objects.filter(pk=NAME).values_list("day_until", flat=True).first()
    until["1d"] = min(made, until["1d"]) if made and until.get("1d") else None
    given = {name: value for name, value in filters.items() if value is not None}
    found: dict[int, list[Any]] = {}
    for piece in times.pieces(start, end, until, None):
        for user, *sums in _sums(piece, given):
            held = found.get(user)
            if held is None:
                found[user] = [value or 0 for value in sums]
            else:
                found[user] = [one + (more or 0) for one, more in zip(held, sums, strict=True)]
    return {user: _figures(sums) for user, sums in found.items()}


def _figures(sums: Iterable[Any]) -> Figures:
    named = dict(zip(SUMS, sums, strict=True))
    return Figures(**named | {"cost": named["cost"] or ZERO, "saved": named["saved"] or ZERO})


def _sums(piece: times.Piece, given: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """(user, *SUMS) of a piece, some users more than once."""
    if piece.size == "1d":
        apart = given.keys() & {"model", "strategy"}
        days = UserDay.objects.filter(start__gte=piece.start, start__lt=piece.end, **given)
        yield from _added(days if "model" in given else days.exclude(model=ALL) if apart else days.filter(model=ALL))
    elif piece.size:
        rows = Rollup.objects.filter(size=piece.size, start__gte=piece.start, start__lt=piece.end, user__gt=0)
        yield from _added(rows.filter(**given))
    else:
        calls = ModelCall.objects.filter(at__gte=_newest(piece), at__lt=piece.end, user__gt=0).filter(**given)
        yield from calls.order_by().values_list("user").annotate(**OF_CALLS)


def _added(rows: QuerySet[Any]) -> Iterator[tuple[Any, ...]]:
    yield from rows.order_by().values_list("user").annotate(**{f"all_{name}": Sum(name) for name in SUMS})


def _newest(piece: times.Piece) -> datetime:
    """From when on a page adds up calls itself: all of the piece, or the newest rolled.MOST_CALLS."""
    rows = ModelCall.objects.filter(at__gte=piece.start, at__lt=piece.end).order_by("-at")
    beyond = rows.values_list("at", flat=True)[rolled.MOST_CALLS : rolled.MOST_CALLS + 1].first()
    return beyond or piece.start


# --- made


def make(day: datetime) -> None:
    """The rows of a day from its rollups. In the caller's transaction."""
    rows = Rollup.objects.filter(size="1d", start=day, user__gt=0).order_by()
    columns = {f"all_{name}": Sum(name) for name in SUMS}
    UserDay.objects.filter(start=day).delete()
    for keys in (("user", "model", "strategy"), ("user",)):
        made = (
            _row(day, dict(zip(keys, values, strict=False)), values[len(keys) :])
            for values in rows.values_list(*keys).annotate(**columns)
        )
        UserDay.objects.bulk_create(made, batch_size=500)


def _row(day: datetime, keys: Mapping[str, Any], sums: Iterable[Any]) -> UserDay:
    return UserDay(start=day, **{"model": ALL, **keys}, **dict(zip(SUMS, sums, strict=True)))


def roll(breathe: Callable[[float], None]) -> None:
    """Follow the rollups: the days that have none of these rows get them. `breathe` as in rollups."""
    upto = Progress.objects.filter(pk=rolled.ROLLUPS).values_list("day_until", flat=True).first()
    made = Progress.objects.filter(pk=NAME).values_list("day_until", flat=True).first()
    if upto is None or (made and made >= upto):
        return
    if made is None:
        made = Rollup.objects.filter(size="1d").aggregate(first=Min("start"))["first"]
        if made is None:
            return
        Progress.objects.get_or_create(pk=NAME, defaults={"day_until": made})
    for day in times.starts(made, upto, DAY):
        started = time.monotonic()
        with transaction.atomic():
            if not UserDay.objects.filter(start=day).exists():
                make(day)
            Progress.objects.filter(pk=NAME).update(day_until=day + DAY)
        breathe(time.monotonic() - started)
