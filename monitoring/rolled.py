"""What calls came to over any span of time, read from rollups and, where there are none yet, from the calls.

All moments are UTC. Counts and sums are exact up to the second; a late call is in its rollup after the loop's next
round, a minute later. `user` means one user's calls, else everybody's.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from django.db.models import Max, QuerySet, Sum
from django.utils import timezone

from monitoring import folding, times
from monitoring.folding import ALL, EVERYBODY, Call, Figures
from monitoring.models import ModelCall, Progress, Rollup

ROLLUPS = "rollups"
# What a page adds up itself at most, the newest calls first: more only while the loop has not come so far yet, and
# then the page says by when everything is rolled up.
MOST_CALLS = 100_000
FIELDS = ("model", "purpose", "strategy")
# A page that asks several times holds so many calls at most: five minutes of them, where the loop keeps up.
MOST_HELD = 10_000
_held: ContextVar[dict[Any, Any] | None] = ContextVar("held", default=None)


def between(
    start: datetime,
    end: datetime,
    *,
    step: timedelta,
    user: int | None = None,
    model: str | None = None,
    purpose: str | None = None,
    strategy: str | None = None,
    columns: tuple[str, ...] = folding.COLUMNS,
) -> dict[datetime, Figures]:
    """Figures for each bucket of `step` (a multiple of 5 minutes) that has calls, by its start, in order of time.

    `start` is moved back to the start of its bucket; the last bucket ends at `end`. Rows of five minutes are kept
    for 35 days: a step below an hour finds nothing before. Fewer `columns` are read faster; what they leave out may be
    there or not.
    """
    if step % times.FIVE or step <= timedelta(0):
        raise ValueError("A step is a multiple of five minutes.")
    found: dict[datetime, Figures] = {}
    filters = {"user": user, "model": model, "purpose": purpose, "strategy": strategy}
    for at, _, figures in _read(times.floor(start, step), end, step, filters, (), columns):
        bucket = times.floor(at, step)
        folding.take(found.setdefault(bucket, Figures()), figures)
    return dict(sorted(found.items()))


def over(start: datetime, end: datetime, **filters: Any) -> Figures:
    """What all calls of a span come to. Filters as in `between`."""
    return folding.total(figures for _, _, figures in _read(start, end, None, filters, ()))


def by(
    field: str, start: datetime, end: datetime, columns: tuple[str, ...] = folding.COLUMNS, **filters: Any
) -> dict[str, Figures]:
    """What the calls of a span come to for each "model", "purpose" or "strategy" of them. Others as in `between`."""
    if field not in FIELDS:
        raise ValueError(field)
    found: dict[str, Figures] = {}
    for _, key, figures in _read(start, end, None, filters, (field,), columns):
        folding.take(found.setdefault(key[0], Figures()), figures)
    return found


def between_by(
    field: str,
    start: datetime,
    end: datetime,
    *,
    step: timedelta,
    columns: tuple[str, ...] = folding.COLUMNS,
    **filters: Any,
) -> dict[str, dict[datetime, Figures]]:
    """As `between`, for each "model", "purpose" or "strategy" apart; one reading of what several charts need."""
    if field not in FIELDS or step % times.FIVE or step <= timedelta(0):
        raise ValueError(field, step)
    found: dict[str, dict[datetime, Figures]] = {}
    for at, key, figures in _read(times.floor(start, step), end, step, filters, (field,), columns):
        folding.take(found.setdefault(key[0], {}).setdefault(times.floor(at, step), Figures()), figures)
    return found


def sums(start: datetime, end: datetime, *, step: timedelta, **filters: Any) -> dict[datetime, Figures]:
    """As `between`, but the sums (folding.SUMS) and the peak alone: many buckets at a fraction of the cost."""
    found: dict[datetime, Figures] = {}
    start = times.floor(start, step)
    for piece in times.pieces(start, end, until_of(single=filters.get("user") is not None), step):
        for at, figures in _sums(piece, filters, "start") if piece.size else _loose(piece, filters, "at", step):
            folding.take(found.setdefault(times.floor(at, step), Figures()), figures)
    return dict(sorted(found.items()))


@contextmanager
def once(now: datetime) -> Iterator[None]:
    """Within this, calls that are not rolled up are read once, up to `now`, however often they are asked for."""
    token = _held.set({"now": now})
    try:
        yield
    finally:
        _held.reset(token)


def names(field: str) -> list[str]:
    """Every "model" or "strategy" that is rolled up, without looking through all sessions; nothing before the first
    round."""
    rows = Rollup.objects.filter(user=EVERYBODY).order_by()
    since = times.floor(timezone.now(), times.DAY) - times.DAY
    days, lately = rows.filter(size="1d"), rows.filter(size="5m", start__gte=since)
    found = {*days.values_list(field, flat=True).distinct(), *lately.values_list(field, flat=True).distinct()}
    return sorted(filter(None, found))


def until() -> datetime | None:
    """By when everything is rolled up; None before the first round."""
    return Progress.objects.filter(pk=ROLLUPS).values_list("five_until", flat=True).first()


def _read(
    start: datetime,
    end: datetime,
    step: timedelta | None,
    filters: dict[str, Any],
    keys: tuple[str, ...],
    columns: tuple[str, ...] = folding.COLUMNS,
) -> Iterator[tuple[datetime, tuple[str, ...], Figures]]:
    """Parts of a span with when they start and what `keys` they are of."""
    for piece in times.pieces(start, end, until_of(single=filters.get("user") is not None), step):
        if piece.size:
            rows = _rows(piece, filters, keys)
            for at, *values in rows.values_list("start", *keys, *columns):
                yield at, tuple(values[: len(keys)]), folding.of_row(values[len(keys) :], columns)
            continue
        length = step or times.DAY
        found: dict[tuple[Any, ...], Figures] = {}
        for call in _newest(piece, filters):
            key = (times.floor(call.at, length), *(getattr(call, name) for name in keys))
            found.setdefault(key, Figures()).add(call)
        for (at, *key), figures in found.items():
            yield at, tuple(key), figures


def calls(
    start: datetime, end: datetime, filters: dict[str, Any] | None = None, *, most: int | None = None
) -> Iterator[Call]:
    """The calls of a span as what is added up: in no order, or the newest `most` of them."""
    rows = ModelCall.objects.filter(at__gte=start, at__lt=end).filter(**_given(filters or {}))
    if most:
        rows = rows.order_by("-at")[:most]
    return map(Call._make, rows.values_list(*Call._fields).iterator(2_000))


def _newest(piece: times.Piece, filters: dict[str, Any]) -> Iterable[Call]:
    """The calls of a piece that no rollup covers, at most MOST_CALLS."""
    held = _held.get()
    if held is None or filters.get("user") is not None:
        return calls(piece.start, piece.end, filters, most=MOST_CALLS)
    span = piece.start, min(piece.end, held["now"])
    found = held.get(span)
    if found is None:
        rows = calls(*span, most=MOST_CALLS)
        found = list(islice(rows, MOST_HELD + 1))
        if len(found) > MOST_HELD:
            return _of(chain(found, rows), filters)
        held[span] = found
    return _of(found, filters)


def _of(found: Iterable[Call], filters: dict[str, Any]) -> Iterator[Call]:
    given = _given(filters).items()
    return (call for call in found if all(getattr(call, name) == value for name, value in given))


def _rows(piece: times.Piece, filters: dict[str, Any], keys: tuple[str, ...]) -> QuerySet[Rollup]:
    """The rows of a piece that add up to what is asked for, each call once."""
    rows = Rollup.objects.filter(size=piece.size, start__gte=piece.start, start__lt=piece.end, **_given(filters))
    if filters.get("user") is None:
        apart = {"model", "strategy"} & {*_given(filters), *keys}
        rows = rows.filter(user__gt=0) if "user" in keys else rows.filter(user=EVERYBODY if apart else ALL)
    return rows.order_by()


def _sums(
    piece: times.Piece, filters: dict[str, Any], key: str, names: tuple[str, ...] = folding.SUMS
) -> Iterator[tuple[Any, Figures]]:
    """The sums of rows, by the database, for each value of a column. Of users each alone, else everybody's."""
    rows = _rows(piece, filters, (key,))
    columns = {f"all_{name}": Sum(name) for name in names} | {"highest": Max("peak")}
    for value, *added, peak in rows.values_list(key).annotate(**columns).order_by():
        yield value, Figures(**dict(zip(names, added, strict=True)), peak=peak)


def _loose(
    piece: times.Piece, filters: dict[str, Any], key: str, step: timedelta | None
) -> Iterator[tuple[Any, Figures]]:
    """The figures of calls for each value of a column, moments by their `step`."""
    found: dict[Any, Figures] = {}
    for call in _newest(piece, filters):
        value = getattr(call, key)
        found.setdefault(times.floor(value, step) if step else value, Figures()).add(call)
    yield from found.items()


def until_of(*, single: bool) -> dict[str, datetime | None]:
    """By when each size is rolled up; of single users there are no rows of five minutes."""
    row = Progress.objects.filter(pk=ROLLUPS).first()
    if row is None:
        return {}
    return {"1d": row.day_until, "1h": row.hour_until} | ({} if single else {"5m": row.five_until})


def _given(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}
