"""What the charts show, in sentences: they are the charts' text for screen readers, and the answers to questions.

Pure: made from the same values as the picture.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.utils.translation import gettext

from monitoring import chart, figures
from monitoring.folding import Figures

# A fall of the hit rate of so many points is worth a sentence: the default of the alert rule on it.
FALL = 0.05
# What came before is the mean over so many points.
BEFORE = 8


def clock(at: datetime, newest: datetime | None = None) -> str:
    """14:05, or 21 Nov 14:05 where the newest point is of another day."""
    given = at.astimezone(UTC)
    same = newest is None or newest.astimezone(UTC).date() == given.date()
    return f"{given:%H:%M}" if same else f"{given.day} {given:%b %H:%M}"


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall of the cache hit rate: from `before` to `after` in the step that starts at `at`.

    `cause` is the one that broke most caches in it and `breaks` how many of the `all` breaks; `back` is the start of
    the step in which the rate was there again, None while it is not.
    """

    at: datetime
    before: float
    after: float
    cause: str
    breaks: int
    all: int
    back: datetime | None


def fall(points: Sequence[tuple[datetime, Figures | None]]) -> Fall | None:
    """The deepest fall of the hit rate against the points before it, or None where none was FALL deep."""
    known = [(start, each) for start, each in points if each is not None and each.size]
    deepest: tuple[float, int, float] | None = None
    for index in range(1, len(known)):
        earlier = earlier_of(known, index)
        size = sum(each.size for each in earlier)
        before = sum(each.cache_read for each in earlier) / size
        depth = before - (known[index][1].hit_rate or 0.0)
        # New sessions find no cache either: only what was broken is a fall with a cause.
        if depth >= FALL and known[index][1].misses and (deepest is None or depth > deepest[0]):
            deepest = depth, index, before
    if deepest is None:
        return None
    _, index, before = deepest
    at, there = known[index]
    back = next((start for start, each in known[index + 1 :] if (each.hit_rate or 0.0) > before - FALL), None)
    # What broke caches before did not make them fall now: the cause is what broke more than it used to.
    calls, usual = sum(each.calls for each in earlier_of(known, index)), Counter[str]()
    for each in earlier_of(known, index):
        usual.update(each.misses)
    more = {code: n - usual[code] / calls * there.calls for code, n in there.misses.items()}
    cause = max(more, key=lambda code: (more[code], code))
    return Fall(
        at=at,
        before=before,
        after=there.hit_rate or 0.0,
        cause=cause,
        breaks=there.misses[cause],
        all=sum(there.misses.values()),
        back=back,
    )


def earlier_of(known: Sequence[tuple[datetime, Figures]], index: int) -> list[Figures]:
    """The points before this one that it is compared with."""
    return [each for _, each in known[max(0, index - BEFORE) : index]]


def sharpened(found: Fall, finer: Sequence[tuple[datetime, Figures]]) -> Fall:
    """The same fall by finer steps: when it began, how deep it was there, and when it was over if that was within."""
    known = [(start, each) for start, each in finer if each.size]
    low = next((at for at, (_, each) in enumerate(known) if found.before - (each.hit_rate or 0.0) >= FALL), None)
    if low is None:
        return found
    start, there = known[low]
    back = next((at for at, each in known[low + 1 :] if (each.hit_rate or 0.0) > found.before - FALL), None)
    return replace(
        found,
        at=start,
        after=there.hit_rate or 0.0,
        breaks=there.misses.get(found.cause, 0),
        all=sum(there.misses.values()),
        back=back or found.back,
    )


def top(counts: Mapping[str, int]) -> str | None:
    """The code with the most, by name where they are equal; None of none."""
    return min(counts, key=lambda code: (-counts[code], code), default=None)


def of_cache(points: Sequence[tuple[datetime, Figures | None]], found: Fall | None, causes: Mapping[str, str]) -> str:
    """Why the cache hit rate fell, and when; or that it did not."""
    whole = [each for _, each in points if each is not None]
    size = sum(each.size for each in whole)
    if not size:
        return gettext("No calls yet.")
    newest = points[-1][0]
    if found is None:
        rate = figures.percent(sum(each.cache_read for each in whole) / size, 0)
        return gettext("No fall of 5 points or more; {rate} of the input came from the cache.").format(rate=rate)
    values = {
        "before": figures.percent(found.before, 0),
        "after": figures.percent(found.after, 0),
        "at": clock(found.at, newest),
        "cause": causes.get(found.cause, found.cause),
        "n": figures.whole(found.breaks),
        "all": figures.whole(found.all),
        "back": clock(found.back, newest) if found.back else "",
    }
    sentence = gettext("Fell from {before} to {after} at {at}: {cause} ({n} of {all} breaks)")
    end = gettext("; back since {back}.") if found.back else "."
    return (sentence + end).format(**values)


@dataclass(frozen=True, slots=True)
class Summariser:
    """How the making of summaries went: calls and how many failed, with codes; refusals by the gate, with codes."""

    calls: int
    failed: int
    codes: Mapping[str, int]
    refused: int
    refusals: Mapping[str, int]
    committed: int
    backlog: int = 0
    oldest_s: int = 0

    @property
    def failing(self) -> bool:
        """A fifth of the calls failed, or as many summaries were refused as were committed, or the queue stands."""
        return (
            (self.failed > 0 and self.failed * 5 >= self.calls)
            or (self.refused > 0 and self.refused >= self.committed)
            or self.oldest_s > 600
        )


def of_summariser(one: Summariser) -> str:
    """Whether the summariser fails, and by what."""
    values = {
        "calls": figures.whole(one.calls),
        "failed": figures.whole(one.failed),
        "code": (top(one.codes) or "").replace("_", " "),
        "refused": figures.whole(one.refused),
        "gate": (top(one.refusals) or "").replace("_", " "),
        "committed": figures.whole(one.committed),
        "backlog": figures.whole(one.backlog),
        "minutes": figures.whole(one.oldest_s // 60),
    }
    out = []
    if one.failed:
        out.append(gettext("{failed} of {calls} calls failed, most: {code}"))
    if one.refused:
        out.append(gettext("the gate refused {refused}, most: {gate}"))
    if one.oldest_s > 600:
        out.append(gettext("{backlog} compactions wait, the oldest for {minutes} min"))
    if one.failing:
        return gettext("Failing: ").format() + ", ".join(out).format(**values) + "."
    if not one.calls and not one.refused:
        return gettext("Not failing: it was not needed.")
    rest = gettext("{calls} calls, {committed} compactions; ") + (", ".join(out) if out else gettext("none failed"))
    return gettext("Not failing: ") + rest.format(**values) + "."


def of_overflows(turns: int, answered: int, first: datetime | None, last: datetime | None, now: datetime) -> str:
    """Whether what was too long for the model lost anything."""
    if not turns:
        return gettext("None: no request was refused as too long.")
    values = {
        "turns": figures.whole(turns),
        "answered": figures.whole(answered),
        "lost": figures.whole(turns - answered),
        "first": clock(first, now) if first else "",
        "last": clock(last, now) if last else "",
    }
    when = (
        gettext("{turns} turns overflowed from {first} to {last}")
        if turns > 1
        else gettext("1 turn overflowed at {last}")
    )
    if answered == turns:
        end = gettext("; nothing was lost: all answered by a smaller request, every word is kept in the transcript.")
    else:
        end = gettext("; {answered} answered, {lost} got no reply. What was written is kept; they can be retried.")
    return (when + end).format(**values)


def of_time(length: timedelta) -> str:
    """A span in words: "1 h", "24 h", "7 d"."""
    hours = int(length.total_seconds() // 3600)
    return gettext("{n} h").format(n=hours) if hours <= 24 else gettext("{n} d").format(n=hours // 24)


def of_cut(cut: Mapping[str, int]) -> str:
    """In how many requests a component had no room for all of it: "history 12, documents 3"; "none" of none."""
    ordered = sorted(cut.items(), key=lambda pair: (-pair[1], pair[0]))
    told = ", ".join(f"{chart.name_of(code)}{figures.SPACE}{figures.whole(n)}" for code, n in ordered)
    return told or gettext("none")
