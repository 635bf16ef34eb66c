"""Ranges of turns as (first, last), both included: in order, apart from one another, joined where they touch."""

from collections.abc import Iterable, Sequence
from typing import Any

Ranges = list[tuple[int, int]]


def read(stored: Any) -> Ranges:
    """Ranges as a JSON column keeps them. What is no pair of whole numbers from 1 on is left out."""
    pairs = stored if isinstance(stored, list) else []
    return join((pair[0], pair[1]) for pair in pairs if _is_range(pair))


def _is_range(pair: Any) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    first, last = pair
    return type(first) is int and type(last) is int and 1 <= first <= last


def join(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The turns of all of `ranges`."""
    out: Ranges = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out


def gaps(first: int, last: int, ranges: Iterable[tuple[int, int]]) -> Ranges:
    """What of first..last none of `ranges` holds."""
    out: Ranges = []
    at = first
    for start, end in sorted(ranges):
        if end < at:
            continue
        if start > last:
            break
        if start > at:
            out.append((at, start - 1))
        at = end + 1
    if at <= last:
        out.append((at, last))
    return out


def without(ranges: Iterable[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> Ranges:
    """What of `ranges` none of `taken` holds."""
    return [gap for first, last in join(ranges) for gap in gaps(first, last, taken)]


def before(ranges: Iterable[tuple[int, int]], number: int) -> Ranges:
    """What of `ranges` lies before turn `number`."""
    return [(first, min(last, number - 1)) for first, last in join(ranges) if first < number]


def hold(ranges: Iterable[tuple[int, int]], number: int) -> bool:
    """Whether one of `ranges` holds turn `number`."""
    return any(first <= number <= last for first, last in ranges)


def place(start: int, older: Iterable[tuple[int, int]], covered: Sequence[tuple[int, int]]) -> tuple[int, Ranges]:
    """Where the word-for-word part begins, and which older ranges are sent so too, in the one form that is stored.

    The turns from `start` on and those of `older` stand word for word, but for what summaries have `covered`. The
    part begins behind the last summary that reaches it; what stands before is a range, unless it touches the part.
    """
    reaching = [last for _, last in covered if last >= start]
    window_from = max(reaching, default=start - 1) + 1
    standing = without([*older, *([(start, window_from - 1)] if start < window_from else [])], covered)
    kept = before(standing, window_from)
    if kept and kept[-1][1] == window_from - 1:
        window_from = kept.pop()[0]
    return window_from, kept
