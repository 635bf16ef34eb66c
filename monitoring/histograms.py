"""Counts by bucket: what quantiles of any number of calls are read from, and what adds up without the calls.

A histogram maps the number of a bucket to how many values fell in it. Adding two, bucket by bucket, gives the one of
all their values, so rollups of rollups lose nothing. Quantiles are by nearest rank over the buckets; the value given
is the middle of the bucket, and so off by half a bucket at most. Pure.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Histogram = dict[int, int]


@dataclass(frozen=True, slots=True)
class Scale:
    """How values fall into buckets: steps of one `width`, or, with a `ratio`, each bucket that much wider than the
    one before. Values beyond `least` and `most` count in the outermost buckets."""

    least: float
    most: float
    width: float = 0.0
    ratio: float = 0.0

    def bucket(self, value: float) -> int:
        """The number of the bucket of a value."""
        value = self.least if value < self.least else self.most if value > self.most else value
        if self.ratio:
            return math.floor(math.log(value) / math.log(self.ratio) + 1e-9)
        # The half of a billionth keeps 0.29 in bucket 29, where 0.29 / 0.01 is 28.999999999999996.
        return math.floor(value / self.width + 1e-9)

    def start(self, bucket: int) -> float:
        """The least value of a bucket."""
        return self.ratio**bucket if self.ratio else bucket * self.width

    def middle(self, bucket: int) -> float:
        """What a value of this bucket is taken for."""
        return (self.start(bucket) + self.start(bucket + 1)) / 2


# Shares of a window, off by half a point; a request that was refused may be over 1.
SHARE = Scale(least=0.0, most=3.0, width=0.01)
# Milliseconds up to an hour, off by 2.5 %.
MS = Scale(least=1.0, most=3_600_000.0, ratio=1.05)
# How far an estimate was off, as a share of the truth: off by half a point itself.
OFF = Scale(least=-1.0, most=3.0, width=0.01)


def merge(histograms: Iterable[Mapping[int, int]]) -> Histogram:
    """The histogram of all values together."""
    merged: Histogram = {}
    for histogram in histograms:
        for bucket, count in histogram.items():
            merged[bucket] = merged.get(bucket, 0) + count
    return merged


def count(histogram: Mapping[int, int]) -> int:
    """How many values there are."""
    return sum(histogram.values())


def quantile(histogram: Mapping[int, int], scale: Scale, share: float) -> float | None:
    """The value that `share` of all do not exceed, by nearest rank, as the middle of its bucket; None of nothing."""
    of = count(histogram)
    if not of:
        return None
    rank, passed = max(1, math.ceil(round(share * of, 9))), 0
    for bucket in sorted(histogram):
        passed += histogram[bucket]
        if passed >= rank:
            return scale.middle(bucket)
    raise AssertionError("a rank beyond all values")
