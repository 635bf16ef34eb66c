"""The cost of the policies: what the design of the window rests on."""

from tests.bench.policies import POLICIES, rows


def test_batched_compaction_costs_at_most_four_fifths_of_append_only_and_the_others_more() -> None:
    costs = dict(rows())
    assert list(costs) == list(POLICIES)
    assert costs["batched"] <= 0.8 * costs["append-only"]
    assert costs["append-only"] < costs["sliding"] < costs["every turn"]


def test_batched_compaction_really_happens_and_mostly_reads_the_cache() -> None:
    cache = POLICIES["batched"]()
    assert cache.inputs < POLICIES["append-only"]().inputs * 0.6
    assert cache.reads / cache.inputs > 0.75
