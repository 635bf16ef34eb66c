"""When to compact, and what: a plan over numbers and tokens, without any text.

The marks are shares of `room` (what history may hold when all other components have what they hold now). A plan
covers whole turns, oldest first, in chunks that the summariser can take; it leaves the newest turns word for word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chat.context.window import MESSAGES_A_TURN, Size, newest

Level = Literal["none", "soft", "high", "hard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to compact. Shares are of `room`; the message bound, where there is one, works by the same shares."""

    soft: float = 0.60
    high: float = 0.75
    hard: float = 0.90
    keep_turns: int = 4
    keep_share: float = 0.50
    chunk_tokens: int = 20_000
    summary_tokens: int = 400
    max_messages: int | None = None

    @property
    def land_share(self) -> float:
        """Where a compaction lands: at most a third of the high mark, so that the next one is far away."""
        return self.high / 3


@dataclass(frozen=True, slots=True)
class Chunk:
    """One contiguous range of turns that one summary will stand for."""

    first: int
    last: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a compaction will do: summarise `chunks` in order, after which turns from `keep_from` on stay verbatim."""

    chunks: tuple[Chunk, ...]
    keep_from: int
    level: Level
    tokens: int

    @property
    def first(self) -> int:
        """The number of the first turn that will be covered."""
        return self.chunks[0].first

    @property
    def last(self) -> int:
        """The number of the last turn that will be covered."""
        return self.chunks[-1].last


@dataclass(frozen=True, slots=True)
class Span:
    """An active summary as planning sees it: its range, its tier, its own tokens."""

    first: int
    last: int
    tier: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Adjacent summaries that one of the next tier will replace."""

    spans: tuple[Span, ...]

    @property
    def tier(self) -> int:
        """The tier of the summary that will be made."""
        return max(span.tier for span in self.spans) + 1


def chunk_limit(summariser_window: int, *, at_most: int = 20_000) -> int:
    """Tokens that one summarising request may hold: min(20 k, 40 % of the summariser's window). Never trimmed."""
    return min(at_most, int(summariser_window * 0.4))


def compressible(sizes: Sequence[Size], covered: Sequence[tuple[int, int]] = ()) -> int:
    """Tokens of finished turns that a compaction could take: unpinned, not excluded, not covered."""
    return sum(size.tokens for size in _open(sizes, covered) if not size.pinned)


def level(tokens: int, messages: int, *, room: int, policy: Policy) -> Level:
    """The mark that `tokens` (and, where bounded, `messages`) of compressible history have reached."""
    share = tokens / room if room > 0 else float("inf") if tokens else 0.0
    if policy.max_messages:
        share = max(share, messages / policy.max_messages)
    if share >= policy.hard:
        return "hard"
    if share >= policy.high:
        return "high"
    return "soft" if share >= policy.soft else "none"


def plan_compaction(
    sizes: Sequence[Size],
    *,
    room: int,
    policy: Policy,
    covered: Sequence[tuple[int, int]] = (),
    force: bool = False,
) -> Plan | None:
    """Decide what to summarise now; None when there is nothing to do or nothing to gain.

    `sizes` are finished turns in order, `covered` the ranges of active (and undone) summaries. `force` compacts
    below the soft mark too, as a person asked for it.
    """
    loose = [size for size in _open(sizes, covered) if not size.pinned]
    tokens = sum(size.tokens for size in loose)
    reached = level(tokens, len(loose) * MESSAGES_A_TURN, room=room, policy=policy)
    if reached == "none" and not force:
        return None
    keep_from = _keep_from(loose, room=room, policy=policy)
    chunks = _chunks(sizes, covered, keep_from, policy)
    total = sum(chunk.tokens for chunk in chunks)
    # A summary may hold 60 % of its source at most and carries its sections: below this it can't pay for itself.
    if not chunks or total < policy.summary_tokens:
        return None
    return Plan(chunks=tuple(chunks), keep_from=keep_from, level=reached, tokens=total)


def plan_merge(spans: Sequence[Span], *, budget: int, fan_in: int = 4) -> Merge | None:
    """The oldest `fan_in` adjacent summaries of the fullest tier, once all together outgrow `budget` tokens.

    Where the fullest tier has no two neighbours, the two oldest neighbours of any tier. So a turn is summarised
    again O(log n) times.
    """
    if sum(span.tokens for span in spans) <= budget or len(spans) < 2:
        return None
    ordered = sorted(spans, key=lambda span: span.first)
    by_tier: dict[int, int] = {}
    for span in ordered:
        by_tier[span.tier] = by_tier.get(span.tier, 0) + span.tokens
    fullest = max(by_tier, key=lambda tier: (by_tier[tier], -tier))
    run: list[Span] = []
    for span in ordered:
        if span.tier == fullest and (not run or run[-1].last + 1 == span.first):
            run.append(span)
        elif len(run) >= 2:
            break
        else:
            run = [span] if span.tier == fullest else []
        if len(run) == fan_in:
            break
    if len(run) >= 2:
        return Merge(tuple(run))
    for left, right in zip(ordered, ordered[1:], strict=False):
        if left.last + 1 == right.first:
            return Merge((left, right))
    return None


def _open(sizes: Sequence[Size], covered: Sequence[tuple[int, int]]) -> list[Size]:
    """Turns that are neither excluded nor covered."""
    ranges = sorted(covered)
    out: list[Size] = []
    at = 0
    for size in sizes:
        while at < len(ranges) and ranges[at][1] < size.number:
            at += 1
        inside = at < len(ranges) and ranges[at][0] <= size.number
        if not inside and not size.excluded:
            out.append(size)
    return out


def _keep_from(loose: Sequence[Size], *, room: int, policy: Policy) -> int:
    """Where the word-for-word part will start: the landing, widened to the last turns, capped by the share of room."""
    if not loose:
        return 1
    landing = newest(loose, int(room * policy.land_share))
    widened = min(landing, loose[max(0, len(loose) - policy.keep_turns)].number)
    if policy.max_messages:
        turns = max(1, int(policy.max_messages * policy.keep_share) // MESSAGES_A_TURN)
        landing_turns = max(1, int(policy.max_messages * policy.land_share) // MESSAGES_A_TURN, policy.keep_turns)
        start = loose[max(0, len(loose) - min(turns, landing_turns))].number
        widened = max(widened, start)
    return max(widened, newest(loose, int(room * policy.keep_share)))


def _chunks(
    sizes: Sequence[Size], covered: Sequence[tuple[int, int]], keep_from: int, policy: Policy
) -> list[Chunk]:
    """Contiguous ranges below `keep_from` that no summary covers, cut at turns so that each fits the summariser.

    Excluded and pinned turns lie inside a range but cost nothing: they are left out of its source. Ranges without
    any text of their own are not worth a summary.
    """
    open_numbers = {size.number for size in _open(sizes, covered)}
    taken = sorted(covered)
    chunks: list[Chunk] = []
    first = last = tokens = 0

    def close() -> None:
        nonlocal first, last, tokens
        if first and tokens:
            chunks.append(Chunk(first, last, tokens))
        first = last = tokens = 0

    for size in sizes:
        if size.number >= keep_from:
            break
        if any(start <= size.number <= end for start, end in taken):
            close()
            continue
        own = size.tokens if size.number in open_numbers and not size.pinned else 0
        if first and (size.number != last + 1 or (tokens and tokens + own > policy.chunk_tokens)):
            close()
        first = first or size.number
        last = size.number
        tokens += own
    close()
    return chunks
