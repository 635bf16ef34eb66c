"""What recorded calls add up to: pure functions from values to values, no database and no clock.

All tokens are the API's counts. The real size of an input is input + cache read + cache write, and utilisation is
that size as a share of the window. What a context is made of is an estimate of ours; `stack` fits it to the size
that the API counted, so that the parts of a bar add up to the bar.
"""

import bisect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import NamedTuple

from monitoring import figures

# From the bottom of a bar to its top: what changes least stands lowest.
COMPONENTS = ("system", "documents", "facts", "summaries", "recall", "history", "tool_results", "current")

# Shares of the window: 70 % on average means that compaction lags, 80 % that a session is about to hurt.
WATCH, ALERT = 0.70, 0.80

# How much of the newest turn's growth goes into the average. Three turns make up two thirds of it.
GROWTH_RATE = 0.3
# One turn counts for at most this many times the average: an attached document is a step, not a trend.
GROWTH_STEP = 3
# A request that finds this much of what its predecessor left in the cache has an intact prefix; the rest is rounding
# at the breakpoints.
HIT = 0.95
# How long an entry of the cache lives.
LIVES = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One call as the API counted it. `number` is its turn's; tokens unless the name says otherwise.

    `input` is what was paid in full, `size` the whole input. `compacts_at` and `reserve` are 0 when not told.
    """

    number: int
    at: datetime
    model: str = ""
    window: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    components: Mapping[str, int] = field(default_factory=dict)
    estimate: int | None = None
    compacts_at: int = 0
    reserve: int = 0
    first_ms: int | None = None
    total_ms: int | None = None
    stop_reason: str = ""
    outcome: str = "ok"
    miss_cause: str = ""
    cost: Decimal | None = None

    @property
    def size(self) -> int:
        """input_tokens + cache_read_input_tokens + cache_creation_input_tokens."""
        return self.input + self.cache_read + self.cache_write

    @property
    def sent(self) -> datetime:
        """When the request left: `at` is when its reply was whole."""
        return self.at - timedelta(milliseconds=self.total_ms or 0)

    @property
    def utilisation(self) -> float | None:
        """Share of the window; None when the window is unknown."""
        return utilisation(self.size, self.window)

    @property
    def cached(self) -> float | None:
        """Share of the input that was read from the cache."""
        return self.cache_read / self.size if self.size else None

    @property
    def estimate_off(self) -> float | None:
        """How far the estimate was off, as a share of the truth: negative where it was too low."""
        return (self.estimate - self.size) / self.size if self.estimate and self.size else None


class Counted(NamedTuple):
    """What statistics need of one reply: a plain tuple, since a session may have a hundred thousand. Tokens."""

    number: int
    window: int
    input: int
    cache_read: int
    cache_write: int
    output: int
    first_ms: int | None = None
    miss_cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that was done to a context at a turn. `outcome` "ok" means that it took effect."""

    kind: str
    number: int | None
    at: datetime
    tokens_before: int = 0
    tokens_after: int = 0
    seconds: float | None = None
    outcome: str = "ok"
    code: str = ""
    model: str = ""

    @property
    def took_effect(self) -> bool:
        """Whether the context is another one since."""
        return self.outcome == "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Usage of a session from the API's counts only. Averages and maxima in tokens; None at zero samples."""

    samples: int = 0
    average_input: float | None = None
    p95_input: int | None = None
    maximum_input: int | None = None
    maximum_at: int | None = None
    average_output: float | None = None
    total_input: int = 0
    total_output: int = 0
    cached: float | None = None
    breaks: int = 0
    main_break: str = ""
    first_p50_ms: int | None = None
    first_p95_ms: int | None = None
    peak: float | None = None
    peak_at: int | None = None


# --- one call ----------------------------------------------------------------------------------------------


def utilisation(tokens: int, window: int) -> float | None:
    """Context length as a share of the window, both in tokens; None when the window is unknown."""
    return tokens / window if window > 0 else None


def pressure(share: float | None) -> str:
    """The word for a utilisation: "calm", "watch" from 70 %, "alert" from 80 %, "unknown"."""
    if share is None:
        return "unknown"
    return "alert" if share >= ALERT else "watch" if share >= WATCH else "calm"


def stack(components: Mapping[str, int], total: int) -> dict[str, int]:
    """Estimated parts fitted to the counted total, in drawing order; they add up to it exactly.

    Each part keeps its proportion; what rounding leaves goes to the largest remainders. With nothing known about
    the parts there are none.
    """
    ordered = [name for name in COMPONENTS if components.get(name, 0) > 0]
    ordered += sorted(name for name, tokens in components.items() if name not in COMPONENTS and tokens > 0)
    whole = sum(components[name] for name in ordered)
    if not whole:
        return {}
    exact = {name: components[name] * total / whole for name in ordered}
    fitted = {name: math.floor(tokens) for name, tokens in exact.items()}
    left = total - sum(fitted.values())
    for name in sorted(ordered, key=lambda name: fitted[name] - exact[name])[:left]:
        fitted[name] += 1
    return fitted


def reuse(*, read: int, left_by_previous: int) -> float | None:
    """Share of what the previous call left in the cache (its reads + its writes) that this call read again.

    Tells a broken prefix from a prompt that has merely grown. None when nothing had been left.
    """
    return min(1.0, read / left_by_previous) if left_by_previous > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """What a call's cached prefix depended on. `cached` = its reads + writes, `read` = its reads, in tokens.

    `system` and `tools` are digests of what was sent there, '' when not told. `changed` says what was done to the
    finished turns since the call before: "", "compaction" or "messages".
    """

    at: datetime
    model: str
    cached: int = 0
    read: int = 0
    system: str = ""
    tools: str = ""
    changed: str = ""
    ttl: str = "5m"


def cache_miss_cause(previous: Prefix | None, current: Prefix) -> str:
    """Why a call did not find what its predecessor left in the cache; '' for a hit and for a first call.

    In the order in which a prefix is read, model and tools before messages: model, tools, system, compaction,
    messages, ttl, unexplained. Age comes last, since a prefix that was changed would have missed at any age.
    """
    if previous is None:
        return ""
    found = reuse(read=current.read, left_by_previous=previous.cached)
    if found is None or found >= HIT:
        return ""
    if previous.model != current.model:
        return "model"
    for part in ("tools", "system"):
        before, now = getattr(previous, part), getattr(current, part)
        if before and now and before != now:
            return part
    if current.changed:
        return current.changed
    return "ttl" if current.at - previous.at > LIVES[previous.ttl] else "unexplained"


# --- a session over its turns ------------------------------------------------------------------------------


def grow(growth: float, before: int, after: int, turns: int = 1) -> float:
    """The running average of tokens that a turn adds. A context that shrank says nothing about growth."""
    if turns < 1 or before <= 0 or after < before:
        return growth
    newest = (after - before) / turns
    return newest if growth <= 0 else growth + GROWTH_RATE * (min(newest, GROWTH_STEP * growth) - growth)


def turns_left(tokens: int, limit: int, growth: float) -> int | None:
    """Turns that still fit below `limit` tokens at this growth; None when nobody can tell, 0 when none does."""
    if limit <= 0:
        return None
    if tokens >= limit:
        return 0
    return math.floor((limit - tokens) / growth) if growth > 0 else None


def by_turn(samples: Iterable[Sample]) -> list[Sample]:
    """One sample a turn, in order: its newest call, which of a turn with tools is also its largest.

    A call that failed before the API counted it stands for its turn only if there is no other.
    """
    newest: dict[int, Sample] = {}
    for sample in samples:
        held = newest.get(sample.number)
        if held is None or (sample.size > 0, sample.at) >= (held.size > 0, held.at):
            newest[sample.number] = sample
    return [newest[number] for number in sorted(newest)]


def nearest_rank(values: Sequence[int], share: float) -> int | None:
    """The quantile by nearest rank: the smallest value that at least `share` of all values do not exceed."""
    if not values:
        return None
    # Multiplying first keeps 0.95 x 20 at 19, where a rounded-up 19.000000000000004 would name the 20th.
    rank = max(1, math.ceil(round(share * len(values), 9)))
    return sorted(values)[rank - 1]


def statistics(calls: Iterable[Counted]) -> Statistics:
    """Usage over all calls that the API counted, in the order given; of equal maxima the first counts."""
    counted = [call for call in calls if call.input or call.cache_read or call.cache_write]
    if not counted:
        return Statistics()
    sizes = [call.input + call.cache_read + call.cache_write for call in counted]
    total, output = sum(sizes), sum(call.output for call in counted)
    largest = max(sizes)
    causes = Counter(call.miss_cause for call in counted if call.miss_cause)
    firsts = [call.first_ms for call in counted if call.first_ms is not None]
    peak, peak_at = max(
        ((size / call.window, call.number) for size, call in zip(sizes, counted, strict=True) if call.window),
        key=itemgetter(0),
        default=(None, None),
    )
    return Statistics(
        samples=len(counted),
        average_input=total / len(counted),
        p95_input=nearest_rank(sizes, 0.95),
        maximum_input=largest,
        maximum_at=counted[sizes.index(largest)].number,
        average_output=output / len(counted),
        total_input=total,
        total_output=output,
        cached=sum(call.cache_read for call in counted) / total,
        breaks=causes.total(),
        main_break=min(causes, key=lambda cause: (-causes[cause], cause), default=""),
        first_p50_ms=nearest_rank(firsts, 0.5),
        first_p95_ms=nearest_rank(firsts, 0.95),
        peak=peak,
        peak_at=peak_at,
    )


# --- what is said about it ---------------------------------------------------------------------------------

LANES = {"compaction": "compaction", "trim": "trim", "rung": "recovery", "recovery": "recovery", "surgery": "surgery"}


# These happen beside the turns, so what they were told with is not the turn that first sees them.
BESIDE = frozenset({"compaction", "gate_rejected"})


def place(marks: Iterable[Mark], samples: Iterable[Sample]) -> list[Mark]:
    """Marks at the turn that first sees what they did: of compactions, the first whose request left after them.

    One that no request has seen yet stands after the newest turn.
    """
    calls = sorted(samples, key=lambda sample: sample.sent)
    times = [sample.sent for sample in calls]
    after = max((sample.number for sample in calls), default=0) + 1

    def seen(mark: Mark) -> int:
        index = bisect.bisect_left(times, mark.at)
        return calls[index].number if index < len(calls) else after

    return [replace(mark, number=seen(mark)) if mark.kind in BESIDE else mark for mark in marks]


def lane(marks: Iterable[Mark]) -> list[Mark]:
    """The marks to draw: what took effect, by turn.

    The rungs of the overflow ladder at one turn are one recovery, from the tokens before the first to those after
    the last.
    """
    drawn: list[tuple[int, Mark]] = []
    recoveries: dict[int, int] = {}
    for mark in sorted(marks, key=lambda mark: mark.at):
        kind = LANES.get(mark.kind)
        if kind is None or mark.number is None or not mark.took_effect:
            continue
        if kind == "recovery" and mark.number in recoveries:
            begun = recoveries[mark.number]
            drawn[begun] = mark.number, replace(drawn[begun][1], tokens_after=mark.tokens_after)
            continue
        if kind == "recovery":
            recoveries[mark.number] = len(drawn)
        drawn.append((mark.number, replace(mark, kind=kind)))
    return [mark for _, mark in sorted(drawn, key=itemgetter(0))]


def headline(turns: Sequence[Sample], marks: Sequence[Mark], gettext: Callable[[str], str] = str) -> str:
    """What the chart shows, in sentences. `turns` as by_turn gives them, `marks` as lane gives them.

    `gettext` translates a sentence before its figures are put in, and its name has it found.
    """
    counted = [sample for sample in turns if sample.size > 0]
    if not counted:
        return gettext("No calls yet.")
    known = [sample for sample in counted if sample.utilisation is not None]
    if not known:
        return gettext("The window of this model is not known.")
    now, peak = known[-1], max(known, key=lambda sample: sample.utilisation or 0)
    values = {
        "turn": now.number,
        "size": figures.tokens(now.size),
        "window": figures.window(now.window),
        "now": figures.percent(now.utilisation, 0),
        "peak": figures.percent(peak.utilisation, 0),
        "peak_turn": peak.number,
    }
    sentences = [gettext("{now} of the {window} window at turn {turn}.")]
    if peak.number != now.number:
        sentences.append(
            {
                "alert": gettext("Peak {peak} at turn {peak_turn}, over the 80 % alert."),
                "watch": gettext("Peak {peak} at turn {peak_turn}, over the 70 % alert."),
            }.get(pressure(peak.utilisation), gettext("Peak {peak} at turn {peak_turn}."))
        )
    compactions = [mark for mark in marks if mark.kind == "compaction"]
    if compactions:
        last = compactions[-1]
        values |= {
            "last": last.number,
            "before": figures.tokens(last.tokens_before),
            "after": figures.tokens(last.tokens_after),
        }
        sentences.append(gettext("Last compaction before turn {last}: {before} to {after}."))
    return " ".join(sentence.format(**values) for sentence in sentences)
