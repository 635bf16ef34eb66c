"""What calls add up to, call by call or sum by sum: adding all calls and adding parts of them give the same. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from monitoring import pricing, series, sparing
from monitoring.histograms import MS, OFF, SHARE, Histogram, merge

# The digests that a row keeps, the smallest of all. They are hashes, so that these tell how many there are: exactly
# up to here, nearly beyond; and the smallest of two parts are among the smallest of each.
SYSTEMS = 32
_DIGESTS = 16**16

# Whose rows they are, beside those of single users. A row of ALL is of all models and strategies too: what most
# pages ask for, in an eighth of the rows.
EVERYBODY, ALL = 0, -1

ZERO = Decimal(0)
# A logarithm for every call would take longer than all the rest of it.
_ms_bucket = lru_cache(maxsize=65_536)(MS.bucket)
# A call is added to the row of everybody and to that of its user, one after the other.
_of_spared = lru_cache(maxsize=64)(pricing.of_spared)


class Call(NamedTuple):
    """The columns of ModelCall that are added up, by their names there."""

    at: datetime
    model: str
    purpose: str
    strategy: str
    user: int | None
    outcome: str
    window: int
    input: int
    cache_read: int
    cache_write: int
    output: int
    left: int | None
    spared: int | None
    cost: Decimal | None
    saved: Decimal | None
    estimate: int | None
    first_ms: int | None
    total_ms: int | None
    miss_cause: str
    components: Mapping[str, int]
    system_digest: str
    ttl: str = "5m"
    rewritten: int | None = None
    cut: Mapping[str, int] | None = None


@dataclass(slots=True)
class Figures:
    """Sums over calls, as the columns of `monitoring.models.Rollup`; tokens and US dollars.

    `cost`, `saved`, `spared_cost` and `rewrite_cost` are of the `priced` calls alone: with `unpriced` ones the whole is
    unknown.
    """

    calls: int = 0
    failed: int = 0
    counted: int = 0
    priced: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    left: int = 0
    reused: int = 0
    spared: int = 0
    rewritten: int = 0
    cost: Decimal = ZERO
    saved: Decimal = ZERO
    spared_cost: Decimal = ZERO
    rewrite_cost: Decimal = ZERO
    shares: int = 0
    share_sum: float = 0.0
    watch: int = 0
    alert: int = 0
    peak: float | None = None
    utilisation: Histogram = field(default_factory=dict)
    first_hit: Histogram = field(default_factory=dict)
    first_partial: Histogram = field(default_factory=dict)
    first_miss: Histogram = field(default_factory=dict)
    total: Histogram = field(default_factory=dict)
    estimate: Histogram = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    misses: dict[str, int] = field(default_factory=dict)
    components: dict[str, int] = field(default_factory=dict)
    systems: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)

    def add(self, call: Call) -> None:
        """One call more."""
        size = call.input + call.cache_read + call.cache_write
        self.calls += 1
        self.outcomes[call.outcome] = self.outcomes.get(call.outcome, 0) + 1
        if call.outcome != "ok":
            self.failed += 1
        if call.miss_cause:
            self.misses[call.miss_cause] = self.misses.get(call.miss_cause, 0) + 1
        if call.cost is not None:
            self.priced += 1
            self.cost += call.cost
            self.saved += call.saved or ZERO
        self.input += call.input
        self.cache_read += call.cache_read
        self.cache_write += call.cache_write
        self.output += call.output
        if call.total_ms is not None:
            _count(self.total, _ms_bucket(call.total_ms))
        if call.first_ms is not None:
            found = (
                self.first_miss if not call.cache_read else self.first_partial if call.miss_cause else self.first_hit
            )
            _count(found, _ms_bucket(call.first_ms))
        if size:
            self._add_size(call, size)

    def _add_size(self, call: Call, size: int) -> None:
        """What only a call tells that the API counted."""
        self.counted += 1
        if call.left:
            self.left += call.left
            self.reused += min(call.left, call.cache_read)
        if call.spared:
            self.spared += call.spared
            paid = sparing.paid_as(read=call.cache_read, write=call.cache_write, rewritten=call.rewritten)
            self.spared_cost += _of_spared(call.model, call.spared, size, paid=paid, ttl=call.ttl) or ZERO
        if call.rewritten:
            self.rewritten += call.rewritten
            self.rewrite_cost += pricing.of_rewritten(call.model, call.rewritten, size, ttl=call.ttl) or ZERO
        share = series.utilisation(size, call.window)
        if share is not None:
            self.shares += 1
            self.share_sum += share
            self.watch += share >= series.WATCH
            self.alert += share >= series.ALERT
            self.peak = share if self.peak is None else max(self.peak, share)
            _count(self.utilisation, SHARE.bucket(share))
        if call.estimate:
            _count(self.estimate, OFF.bucket((call.estimate - size) / size))
        for name, tokens in call.components.items():
            self.components[name] = self.components.get(name, 0) + tokens
        for name in call.cut or ():
            self.cut[name] = self.cut.get(name, 0) + 1
        if call.system_digest:
            self.systems[call.system_digest] = self.systems.get(call.system_digest, 0) + 1
            if len(self.systems) > SYSTEMS:
                del self.systems[max(self.systems)]

    def __add__(self, other: "Figures") -> "Figures":
        return total((self, other))

    @property
    def size(self) -> int:
        """The whole input: input_tokens + cache_read_input_tokens + cache_creation_input_tokens."""
        return self.input + self.cache_read + self.cache_write

    @property
    def unpriced(self) -> int:
        """Calls whose price is unknown: with any, cost and savings are at least what stands there."""
        return self.calls - self.priced

    @property
    def spared_dollars(self) -> Decimal:
        """What was spared, less what was written to the cache again; before what the summaries cost."""
        return self.spared_cost - self.rewrite_cost

    @property
    def hit_rate(self) -> float | None:
        """Share of the input that was read from the cache."""
        return self.cache_read / self.size if self.size else None

    @property
    def reuse(self) -> float | None:
        """Share of what calls had left in the cache that the next ones read again."""
        return self.reused / self.left if self.left else None

    @property
    def mean_utilisation(self) -> float | None:
        """The mean over calls of their share of the window."""
        return self.share_sum / self.shares if self.shares else None

    @property
    def error_rate(self) -> float | None:
        """Share of calls that did not end well."""
        return self.failed / self.calls if self.calls else None

    @property
    def first(self) -> Histogram:
        """First-token times of all calls."""
        return merge((self.first_hit, self.first_partial, self.first_miss))

    @property
    def system_prompts(self) -> int:
        """How many different system prompts there were: exact up to SYSTEMS - 1, an estimate beyond."""
        if len(self.systems) < SYSTEMS:
            return len(self.systems)
        return round((SYSTEMS - 1) / (int(max(self.systems), 16) / _DIGESTS))


HISTOGRAMS = ("utilisation", "first_hit", "first_partial", "first_miss", "total", "estimate")
COUNTS = ("outcomes", "misses", "components", "systems", "cut")
COLUMNS = tuple(one.name for one in fields(Figures))
SUMS = tuple(name for name in COLUMNS if name not in (*HISTOGRAMS, *COUNTS, "peak"))
_NUMBERED = frozenset(HISTOGRAMS)
_OPEN = frozenset((*HISTOGRAMS, *COUNTS))


def of_row(values: Iterable[Any], columns: Sequence[str] = COLUMNS) -> Figures:
    """Figures from some COLUMNS of a stored row, whose histograms have names for numbers, as JSON wants it.

    A count that is younger than the row is None there.
    """
    given = dict(zip(columns, values, strict=True))
    for name in _OPEN & given.keys():
        held = given[name]
        given[name] = {int(bucket): count for bucket, count in held.items()} if name in _NUMBERED else held or {}
    return Figures(**given)


def total(parts: Iterable[Figures]) -> Figures:
    """What all parts add up to."""
    whole = Figures()
    for part in parts:
        take(whole, part)
    return whole


def take(whole: Figures, part: Figures) -> None:
    """Add `part` to `whole`, in place."""
    for name in SUMS:
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
    if part.peak is not None:
        whole.peak = part.peak if whole.peak is None else max(whole.peak, part.peak)
    for name in (*HISTOGRAMS, *COUNTS):
        held = getattr(whole, name)
        for key, count in getattr(part, name).items():
            held[key] = held.get(key, 0) + count
    if len(whole.systems) > SYSTEMS:
        whole.systems = {digest: whole.systems[digest] for digest in sorted(whole.systems)[:SYSTEMS]}


def _count(histogram: Histogram, bucket: int) -> None:
    histogram[bucket] = histogram.get(bucket, 0) + 1
