"""Which sessions will be full soon, why, and what happens next. Pure: values in, values out; tokens.

Two forecasts, since they answer two questions: in how many turns compaction is due, and in how many the hard limit is
reached if nothing is compacted. Both are the room that is left over the running average of what a turn adds
(`series.grow`), so they hold as long as turns stay what they were; `backtest` says how far off that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitoring import series

# A strategy that compresses by itself; under any other name nothing does.
COMPRESSES = "summary"
# Parts that no compaction shortens: above this share of the window they are why a session stays full.
HOLDS = 0.25
# Seconds for which a compaction may wait before its waiting is the reason.
WAITS = 60
# Turns within which a session counts as full soon.
SOON = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A session as its gauge, its newest call and the chat know it. `before` is the context one turn ago.

    `mode`, `pinned` and the `job` fields are "" and 0 where nobody told; `rejections` are refused summaries since the
    last compaction that took effect.
    """

    tokens: int
    window: int
    before: int = 0
    growth: float = 0
    compacts_in: int | None = None
    hard_in: int | None = None
    strategy: str = COMPRESSES
    mode: str = "auto"
    parts: Mapping[str, int] | None = None
    pinned: int = 0
    rejections: int = 0
    job: int | None = None
    job_state: str = ""
    job_s: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """A code with what belongs to it: a share of the window, a number, a name. The page has the words."""

    code: str
    share: float | None = None
    count: int | None = None
    name: str = ""


def failing(one: Standing) -> Reason | None:
    """Why the strategy does not keep this session below 80 %, or None while it does.

    It fails when two calls in a row were over: one may be the message that made compaction due.
    """
    if not one.window or min(one.tokens, one.before) / one.window < series.ALERT:
        return None
    return cause(one)


def cause(one: Standing) -> Reason:
    """What holds a session up, the certain before the likely."""
    off = _off(one)
    if off:
        return off
    if one.rejections:
        return Reason("gate", count=one.rejections)
    if one.job_state == "due" and one.job_s > WAITS:
        return Reason("backlog", count=one.job_s)
    parts = one.parts or {}
    held = {"pins": one.pinned, "documents": parts.get("documents", 0), "facts": parts.get("facts", 0)}
    name = max(held, key=lambda each: held[each])
    if one.window and held[name] / one.window >= HOLDS:
        return Reason(name, share=held[name] / one.window)
    return Reason("growth")


def _off(one: Standing) -> Reason | None:
    if one.strategy and one.strategy != COMPRESSES:
        return Reason("off", name=one.strategy)
    return Reason("off", name=one.mode) if one.mode and one.mode != "auto" else None


def happens(one: Standing) -> Reason:
    """What happens next to a session, by itself."""
    if one.job_state == "running":
        return Reason("compacting", count=one.job_s)
    if one.job_state == "due":
        return Reason("queued", count=one.job_s)
    if off := _off(one):
        return off
    if one.compacts_in is None:
        return Reason("unknown")
    return Reason("next") if one.compacts_in == 0 else Reason("planned", count=one.compacts_in)


def order(one: Standing) -> tuple[int, int, float]:
    """Sorts what hurts first: the hard limit, then compaction, then the fullest."""
    far = 1 << 31
    return (
        far if one.hard_in is None else one.hard_in,
        far if one.compacts_in is None else one.compacts_in,
        -(one.tokens / one.window if one.window else 0.0),
    )


# --- how good it is ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """One turn of a replay: its context length, and the length at which what is forecast happens. Tokens."""

    tokens: int
    limit: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """How far forecasts were off, in turns. `share` is the median of |said - came| / came."""

    forecasts: int
    median: float | None
    share: float | None


def backtest(sessions: Sequence[Sequence[Point]], within: int = SOON) -> Backtest:
    """What would have been said after each turn of these replays, against the turn at which it came.

    Only what was `within` so many turns is judged: that is what the page shows as soon. What never came before its
    replay ended is not judged.
    """
    offs: list[tuple[int, int]] = []
    for points in sessions:
        growth, start = 0.0, 0
        for index, point in enumerate(points):
            before = points[index - 1].tokens if index else 0
            growth = series.grow(growth, before, point.tokens)
            said = series.turns_left(point.tokens, point.limit, growth)
            if point.tokens >= point.limit or point.tokens < before:
                start = index
            came = _came(points, index)
            if said is not None and came is not None and 0 < came <= within and index > start + 1:
                offs.append((abs(said + 1 - came), came))
    if not offs:
        return Backtest(0, None, None)
    return Backtest(len(offs), _median([off for off, _ in offs]), _median([off / came for off, came in offs]))


def _came(points: Sequence[Point], index: int) -> int | None:
    """Turns from this one to the first at the limit, or None: never, or something else shortened it before."""
    for ahead in range(index + 1, len(points)):
        if points[ahead].tokens >= points[ahead].limit:
            return ahead - index
        if points[ahead].tokens < points[ahead - 1].tokens:
            return None
    return None


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
