"""Figures by time: what happened in each step of a span, and what all of them come to. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from monitoring import folding
from monitoring.folding import Figures


@dataclass(slots=True)
class Happened:
    """The events of one point. Tokens before and after and seconds are of compactions that took effect."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    before: int = 0
    after: int = 0
    seconds: float = 0
    timed: int = 0

    def of(self, *kinds: str, ok: bool | None = None) -> int:
        """How many events of these kinds; with `ok`, those that took effect, or those that did not."""
        return sum(
            n
            for (kind, outcome, _), n in self.counts.items()
            if kind in kinds and (ok is None or (outcome == "ok") is ok)
        )

    def add(self, other: "Happened") -> None:
        """Take in another point's events."""
        self.counts += other.counts
        self.before += other.before
        self.after += other.after
        self.seconds += other.seconds
        self.timed += other.timed


@dataclass(frozen=True, slots=True)
class Point:
    """One step of time: replies, calls for any purpose, summaries, events. None where there was no call."""

    start: datetime
    replies: Figures | None
    all: Figures | None
    summaries: Figures | None
    events: Happened


@dataclass(frozen=True, slots=True)
class Today:
    """Since midnight UTC: calls for any purpose, replies and summaries."""

    all: Figures
    replies: Figures
    summaries: Figures


@dataclass(frozen=True, slots=True)
class Full:
    """How full the sessions of a span are: `all` of them, those `live`, their `mean` utilisation, those over 70 % and
    80 %, those whose strategy is `failing`, those that will be full `soon`, and when the newest call was.

    `bins` are sessions by utilisation, in steps of 5 % of the window; the last holds all from 95 % on.
    """

    all: int
    live: int
    mean: float | None
    watch: int
    alert: int
    failing: int
    soon: int
    newest: datetime | None
    bins: list[int]


def whole(found: Sequence[Point], name: str = "replies") -> Figures:
    """The figures of all points: "replies", "all" or "summaries"."""
    return folding.total(each for point in found if (each := getattr(point, name)) is not None)
