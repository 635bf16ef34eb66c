"""The sliding window: which finished turns are sent word for word, and when the start moves.

Whole turns only. The start moves rarely and then by a lot, because every move breaks the prompt cache: a window
that slides each turn costs 438 thousand token-prices over 60 turns, one that moves in batches 213.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MESSAGES_A_TURN = 2


@dataclass(frozen=True, slots=True)
class Size:
    """How much a finished turn holds: what window and compaction are planned from, without any text."""

    number: int
    tokens: int
    pinned: bool = False
    excluded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimits:
    """Bounds of the word-for-word part: messages (None: no bound), and the least batch that leaves at once."""

    max_messages: int | None = None
    batch_messages: int = 10


@dataclass(frozen=True, slots=True)
class WindowStatistics:
    """Whole turns and both roles counted. `dropped` is never negative; `utilisation` is a share of 1, or None."""

    active: int
    total: int
    dropped: int
    maximum: int | None
    utilisation: float | None


def statistics(*, last: int, window_from: int, limits: WindowLimits) -> WindowStatistics:
    """Count messages of `last` finished turns of which those from `window_from` on are in the window."""
    total = last * MESSAGES_A_TURN
    active = max(0, last - window_from + 1) * MESSAGES_A_TURN
    maximum = limits.max_messages
    return WindowStatistics(
        active=active,
        total=total,
        dropped=max(0, total - active),
        maximum=maximum,
        utilisation=None if not maximum else active / maximum,
    )


def slide(sizes: Sequence[Size], *, window_from: int, limits: WindowLimits) -> int:
    """The window's new start when the next message joins, or the old one while everything fits.

    `sizes` are the loaded turns. Over the bound, or where loading stopped short of the window's start, at least
    `batch_messages` of the oldest messages leave at once (of a small window half), always whole turns, and the
    newest turn stays.
    """
    loaded = [size for size in sizes if size.number >= window_from]
    inside = [size.number for size in loaded if not size.excluded]
    messages = len(inside) * MESSAGES_A_TURN + 1  # the message that is about to be sent
    over = messages - (limits.max_messages or messages)
    if over <= 0 and (not loaded or loaded[0].number == window_from):
        return window_from
    if not inside:
        return loaded[0].number
    batch = min(limits.batch_messages, len(inside) * MESSAGES_A_TURN // 2)
    return inside[min(-(-max(over, batch) // MESSAGES_A_TURN), len(inside) - 1)]


def newest(sizes: Sequence[Size], limit: int, *, at_least: int = 1) -> int:
    """The number of the first turn of the longest newest run that holds at most `limit` tokens.

    At least `at_least` turns stay even when they hold more. Without turns: 1.
    """
    kept = 0
    used = 0
    start = sizes[-1].number + 1 if sizes else 1
    for size in reversed(sizes):
        tokens = 0 if size.excluded else size.tokens
        if kept >= at_least and used + tokens > limit:
            break
        used += tokens
        kept += 0 if size.excluded else 1
        start = size.number
    return start
