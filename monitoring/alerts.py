"""When somebody is told: decisions from values, no database and no clock.

A rule opens when its reading is over the limit for some evaluations in a row, and resolves when it is at or below a
lower line for some in a row; between the lines nothing changes, so that a value at the line does not flap. What is
open is told again after the repeat interval until somebody acknowledges it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

KEY = 64  # characters of a key
KEYS = 100  # alerts of one rule that are looked at, the worst first

# Those that wake somebody or need somebody now.
URGENT = frozenset({"P0", "P1"})


class Decision(StrEnum):
    """What an evaluation of one key comes to."""

    OPEN = "opened"
    REPEAT = "repeated"
    RESOLVE = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The part of a rule that decides. Percent, minutes, dollars or a number, as its measure has it."""

    code: str
    limit: float
    resolve: float
    opens_after: int = 1
    resolves_after: int = 1
    repeat_s: int = 14_400


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured. `of` is the model or session that it is of, "" for all; `count` how many are over the limit,
    or how many samples there were."""

    value: float
    count: int = 1
    of: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many evaluations in a row a key was over the limit, or under the lower line."""

    over: int = 0
    under: int = 0


@dataclass(frozen=True, slots=True)
class Firing:
    """The unresolved alert of a key, as far as it matters here."""

    told_at: datetime
    acknowledged: bool = False


def key(rule: str, of: str = "") -> str:
    """What an alert is deduplicated by: the rule's code, and behind a colon the model or session."""
    return f"{rule}:{of}"[:KEY] if of else rule


def decide(
    rule: Rule, standing: Standing, firing: Firing | None, value: float | None, now: datetime
) -> tuple[Standing, Decision | None]:
    """One evaluation of one key. `value` None: there was nothing to measure, which is no trouble.

    Where it can't be known, don't evaluate: silence is no recovery.
    """
    over = value is not None and value > rule.limit
    under = value is None or value <= rule.resolve
    if firing is None:
        count = standing.over + 1 if over else 0
        return (Standing(), Decision.OPEN) if count >= rule.opens_after else (Standing(over=count), None)
    count = standing.under + 1 if under else 0
    if count >= rule.resolves_after:
        return Standing(), Decision.RESOLVE
    due = not firing.acknowledged and now - firing.told_at >= timedelta(seconds=rule.repeat_s)
    return Standing(under=count), Decision.REPEAT if due else None


@dataclass(frozen=True, slots=True)
class Episode:
    """A time that a rule would have been open; `ended` None: still."""

    began: datetime
    ended: datetime | None
    peak: float


def rehearse(rule: Rule, readings: Iterable[tuple[datetime, float | None]], evaluations: int = 1) -> list[Episode]:
    """What a rule would have done. Each reading stands for so many evaluations in a row, as when rows of five minutes
    stand for what was evaluated each minute."""
    found: list[Episode] = []
    standing, firing, peak = Standing(), None, 0.0
    for at, value in readings:
        for _ in range(evaluations):
            standing, decision = decide(rule, standing, firing, value, at)
            if decision is Decision.OPEN:
                firing, peak = Firing(at, acknowledged=True), value or 0.0
                found.append(Episode(at, None, peak))
            elif decision is Decision.RESOLVE:
                found[-1] = Episode(found[-1].began, at, found[-1].peak)
                firing = None
        if firing and value is not None and value > found[-1].peak:
            found[-1] = Episode(found[-1].began, None, value)
    return found


def standing_of(stored: Mapping[str, Sequence[int]], name: str) -> Standing:
    """The standing of a key as it is stored: [over, under]."""
    return Standing(*stored.get(name, (0, 0)))


def stored(standings: Mapping[str, Standing]) -> dict[str, list[int]]:
    """Standings as they are stored, without those that say nothing."""
    return {name: [one.over, one.under] for name, one in standings.items() if one != Standing()}


@dataclass(frozen=True, slots=True)
class Default:
    """A rule that every site begins with."""

    code: str
    measure: str
    limit: float
    resolve: float
    severity: str
    values: Mapping[str, Any] = field(default_factory=dict)


HOUR, MINUTE = 3_600, 60

# PRODUCT: the mean is over sessions with a call in the last 15 minutes, at least 5; opens after 3 evaluations 60 s
# apart, resolves 5 points below.
DEFAULTS: tuple[Default, ...] = (
    Default("mean-over-70", "mean", 70, 65, "P0", {"minimum": 5, "period_s": 15 * MINUTE, "opens_after": 3}),
    Default(
        "session-over-80", "session", 80, 75, "P2",
        {"period_s": HOUR, "opens_after": 2, "resolves_after": 2, "repeat_s": HOUR},
    ),
    Default("overflow-recovery", "overflow", 0, 0, "P1", {"period_s": HOUR, "repeat_s": HOUR}),
    Default(
        "gate-failures", "gate", 5, 2, "P3",
        {"period_s": HOUR, "minimum": 10, "repeat_s": 8 * HOUR, "email": False},
    ),
    Default("backlog-age", "backlog", 10, 5, "P2", {"opens_after": 3, "repeat_s": HOUR}),
    Default(
        "cache-drop", "cache", 5, 2, "P3",
        {"period_s": HOUR, "minimum": 50, "each": "model", "opens_after": 5, "resolves_after": 5, "repeat_s": 8 * HOUR,
         "email": False},
    ),
    Default(
        "error-rate", "errors", 1, 0.5, "P2",
        {"period_s": 5 * MINUTE, "minimum": 50, "opens_after": 3, "resolves_after": 3, "repeat_s": HOUR},
    ),
    Default("spend", "spend", 100, 100, "P2", {"repeat_s": 8 * HOUR}),
    Default("upstream-trouble", "upstream", 0, 0, "P1", {"period_s": HOUR, "repeat_s": HOUR}),
)  # fmt: skip
