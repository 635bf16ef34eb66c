"""When to compact, and what: a plan over numbers and tokens, without any text.

The marks are shares of `room` (what history may hold when all other components have what they hold now). A plan
covers whole turns, oldest first, in chunks that the summariser can take; it leaves the newest turns word for word.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from chat.context.budget import Budget, split
from chat.context.tokens import BLOCK_TOKENS, MESSAGE_TOKENS
from chat.context.window import MESSAGES_A_TURN, Size, newest

Level = Literal["none", "soft", "high", "hard"]

# What a message takes beside its text. Without it, a history of short turns would be trimmed before it is compacted.
FRAME_TOKENS = MESSAGE_TOKENS + BLOCK_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to compact, and into what. Shares are of `room`; tokens and turns otherwise.

    With `max_messages` (a bound of the word-for-word part, see `window.slide`) the soft mark is also reached when
    `batch_messages` can leave beside the turns that are kept, at the latest a turn before the bound.
    """

    soft: float = 0.60
    high: float = 0.75
    hard: float = 0.90
    keep_turns: int = 4
    keep_share: float = 0.50
    chunk_tokens: int = 20_000
    chunk_turns: int = 20
    summary_tokens: int = 400
    max_messages: int | None = None
    batch_messages: int = 10

    @property
    def land_share(self) -> float:
        """Where a compaction lands: at most a third of the high mark, so that the next one is far away."""
        return self.high / 3

    @property
    def bounded_turns(self) -> int | None:
        """How many turns stay at most where messages are bounded; None where they are not."""
        if self.max_messages is None:
            return None
        landing = max(self.keep_turns, int(self.max_messages * self.land_share) // MESSAGES_A_TURN)
        return max(1, min(landing, int(self.max_messages * self.keep_share) // MESSAGES_A_TURN))


@dataclass(frozen=True, slots=True)
class Chunk:
    """One contiguous range of turns that one summary will stand for.

    `tokens` are those of its source: all turns of the range but the excluded ones, pinned ones too, so that the
    summary still speaks for a turn that is no longer pinned. More than the summariser may be given only where a
    single turn is larger than that.
    """

    first: int
    last: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a compaction will do: summarise `chunks` in order, after which turns from `keep_from` on stay verbatim.

    `tokens` leave the word-for-word part.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The marks of one window, in tokens of compressible history: what docs and gauge print."""

    window: int
    held: int
    room: int
    soft: int
    high: int
    hard: int
    land: int

    def utilisation(self, tokens: int) -> float:
        """The share of the window that a request with `tokens` of history fills."""
        return (self.held + tokens) / self.window


def marks(budget: Budget, *, held: int = 0, policy: Policy | None = None) -> Marks:
    """The marks of a window whose other components hold `held` tokens."""
    policy = policy or Policy()
    room = budget.room(held)
    shares = {"soft": policy.soft, "high": policy.high, "hard": policy.hard, "land": policy.land_share}
    return Marks(window=budget.window, held=held, room=room, **{name: int(room * of) for name, of in shares.items()})


def marks_table(windows: Iterable[int] = (8_000, 200_000, 1_000_000)) -> list[Marks]:
    """The marks of empty windows with the default proportions and policy, for docs/configuration.md."""
    return [marks(split(window)) for window in windows]


def chunk_limit(summariser_window: int, *, at_most: int = 20_000) -> int:
    """Tokens that one summarising request may hold: min(20 k, 40 % of the summariser's window). Never trimmed."""
    return min(at_most, int(summariser_window * 0.4))


def compressible(sizes: Sequence[Size], covered: Sequence[tuple[int, int]] = ()) -> int:
    """Tokens of finished turns that a compaction could take: unpinned, not excluded, not covered."""
    return sum(size.tokens for size in _loose(sizes, covered))


def level(tokens: int, messages: int, *, room: int, policy: Policy) -> Level:
    """The mark that `messages` of compressible history with `tokens` of text have reached."""
    framed = tokens + messages * FRAME_TOKENS
    share = framed / room if room > 0 else float("inf") if framed else 0.0
    bound = _message_level(messages, policy)
    if share >= policy.hard or bound == "hard":
        return "hard"
    if share >= policy.high or bound == "high":
        return "high"
    return "soft" if share >= policy.soft or bound == "soft" else "none"


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
    below the soft mark too, all but the turns that are always kept, as a person asked for it.
    """
    loose = _loose(sizes, covered)
    tokens = sum(size.tokens for size in loose)
    reached = level(tokens, len(loose) * MESSAGES_A_TURN, room=room, policy=policy)
    if reached == "none" and not force:
        return None
    keep_from = _keep_from(loose, room=room, policy=policy, eager=reached == "none")
    gain = sum(size.tokens for size in loose if size.number < keep_from)
    chunks = tuple(_chunks(sizes, covered, keep_from, policy))
    # A summary carries its sections whatever it stands for: of less than one summary's length there is little gain.
    # Under pressure a little is better than what would come next, which is a trim.
    least = policy.summary_tokens if reached in ("none", "soft") else policy.summary_tokens // 4
    if not chunks or gain < least:
        return None
    return Plan(chunks=chunks, keep_from=keep_from, level=reached, tokens=gain)


def plan_merge(spans: Sequence[Span], *, budget: int, fan_in: int = 4) -> Merge | None:
    """The oldest `fan_in` neighbours of the fullest tier that has any, once all together outgrow `budget` tokens.

    Where no tier has two neighbours, the two of any tier that were summarised least often: the oldest summary is
    never written again for the sake of a new one, so that a turn is summarised again O(log n) times.
    """
    if sum(span.tokens for span in spans) <= budget:
        return None
    ordered = sorted(spans, key=lambda span: span.first)
    pairs = [(left, right) for left, right in pairwise(ordered) if left.last + 1 == right.first]
    equal = [left for left, right in pairs if left.tier == right.tier]
    if equal:
        tiers = sorted({span.tier for span in equal})
        fullest = max(tiers, key=lambda tier: sum(span.tokens for span in ordered if span.tier == tier))
        run = [next(span for span in equal if span.tier == fullest)]
        for left, right in pairs:
            if left == run[-1] and right.tier == fullest and len(run) < fan_in:
                run.append(right)
        return Merge(tuple(run))
    # Of equals the newest pair: what is older stays as it is for the cache.
    return Merge(min(reversed(pairs), key=lambda pair: max(span.tier for span in pair))) if pairs else None


def _message_level(messages: int, policy: Policy) -> Level:
    """The mark by messages: the window slides when the next one would be over the bound."""
    if policy.max_messages is None or policy.bounded_turns is None:
        return "none"
    last = max(MESSAGES_A_TURN, policy.max_messages - MESSAGES_A_TURN)
    batch = policy.bounded_turns * MESSAGES_A_TURN + policy.batch_messages
    if messages >= policy.max_messages:
        return "hard"
    if messages >= last:
        return "high"
    return "soft" if messages >= max(batch, policy.soft * policy.max_messages) else "none"


def _uncovered(sizes: Iterable[Size], covered: Sequence[tuple[int, int]]) -> Iterator[Size]:
    """The turns that no range holds; both in order."""
    ranges = iter(sorted(covered))
    at = next(ranges, None)
    for size in sizes:
        while at and at[1] < size.number:
            at = next(ranges, None)
        if not at or size.number < at[0]:
            yield size


def _loose(sizes: Iterable[Size], covered: Sequence[tuple[int, int]]) -> list[Size]:
    return [size for size in _uncovered(sizes, covered) if not size.excluded and not size.pinned]


def _keep_from(loose: Sequence[Size], *, room: int, policy: Policy, eager: bool) -> int:
    """Where the word-for-word part will start: the landing, widened to the last turns, capped by the share of room."""
    if not loose:
        return 1
    framed = [replace(size, tokens=size.tokens + MESSAGES_A_TURN * FRAME_TOKENS) for size in loose]
    landing = newest(framed, 0 if eager else int(room * policy.land_share))
    start = min(landing, loose[max(0, len(loose) - policy.keep_turns)].number)
    if policy.bounded_turns is not None:
        start = max(start, loose[max(0, len(loose) - policy.bounded_turns)].number)
    return max(start, newest(framed, int(room * policy.keep_share)))


def _chunks(
    sizes: Sequence[Size], covered: Sequence[tuple[int, int]], keep_from: int, policy: Policy
) -> Iterator[Chunk]:
    """Contiguous ranges below `keep_from` that no summary covers, cut at turns so that each fits the summariser.

    Ranges of excluded and pinned turns alone are not worth a summary.
    """
    stretch: list[Size] = []
    for size in _uncovered((size for size in sizes if size.number < keep_from), covered):
        if stretch and size.number != stretch[-1].number + 1:
            yield from _cut(stretch, policy)
            stretch = []
        stretch.append(size)
    yield from _cut(stretch, policy)


def _cut(stretch: Sequence[Size], policy: Policy) -> Iterator[Chunk]:
    """A stretch of neighbours in chunks of like size: a small rest would make a summary as long as its source.

    As many as the summariser needs, or as give each about `chunk_turns` turns, but none so small that its summary
    would be more than a quarter of it.
    """
    source = [0 if size.excluded else size.tokens for size in stretch]
    if not any(size.tokens for size in stretch if not size.excluded and not size.pinned):
        return
    total = sum(source)
    by_turns = min(-(-len(stretch) // policy.chunk_turns), total // (4 * policy.summary_tokens))
    target = total / max(1, by_turns, -(-total // policy.chunk_tokens))
    first, tokens = stretch[0].number, 0
    for size, own in zip(stretch, source, strict=True):
        if tokens and (tokens + own > policy.chunk_tokens or tokens + own / 2 > target):
            yield Chunk(first, size.number - 1, tokens)
            first, tokens = size.number, 0
        tokens += own
    yield Chunk(first, stretch[-1].number, tokens)
