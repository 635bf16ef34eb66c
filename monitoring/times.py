"""Buckets of time in UTC, and which rows a span of time is read from. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FIVE, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
# The names of the sizes in rows, the largest first.
LENGTHS = {"1d": DAY, "1h": HOUR, "5m": FIVE}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def floor(moment: datetime, length: timedelta) -> datetime:
    """The start of the bucket that a moment falls into."""
    return moment - (moment - EPOCH) % length


def ceil(moment: datetime, length: timedelta) -> datetime:
    """The end of the bucket that a moment falls into; the moment itself where one starts."""
    return moment + (EPOCH - moment) % length


def starts(first: datetime, end: datetime, length: timedelta) -> Iterator[datetime]:
    """The starts of buckets from `first` on (which is one), before `end`."""
    while first < end:
        yield first
        first += length


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a span: read from rows of `size`, or from the calls themselves where it is ''."""

    size: str
    start: datetime
    end: datetime


def pieces(start: datetime, end: datetime, until: Mapping[str, datetime | None], step: timedelta | None) -> list[Piece]:
    """How to read [start, end) with the fewest rows: of the largest size that fits there, is rolled up and divides
    `step` (None: any).

    `until` says for each size that may be used by when everything is rolled up. What no size covers are calls.
    """
    found: list[Piece] = []
    while start < end:
        size, upto = "", end
        for name, length in LENGTHS.items():
            rolled = until.get(name)
            if rolled is None or (step is not None and step % length):
                continue
            last = floor(min(end, rolled), length)
            if start == floor(start, length) and start < last:
                size, upto = name, last
                break
            # Not there yet: smaller ones, or calls, lead up to where it begins.
            begin = ceil(start, length)
            if start < begin < last:
                upto = min(upto, begin)
        found.append(Piece(size, start, upto))
        start = upto
    return found
