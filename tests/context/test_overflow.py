"""The ladder: its order, and that each rung holds all that the ones above gave."""

from dataclasses import fields
from itertools import pairwise

import pytest

from chat.context.overflow import LADDER, Cut, at, below


def gave_way(cut: Cut) -> set[str]:
    """What differs from a cut of nothing; the share of history only when it is the last one."""
    return {field.name for field in fields(cut) if getattr(cut, field.name) != field.default} - {"rung"}


def test_the_ladder_goes_down_in_the_declared_order() -> None:
    assert [rung.name for rung in LADDER] == [
        "recall",
        "documents",
        "half",
        "quarter",
        "tool_results",
        "clamp",
        "summaries",
        "pins",
        "alone",
        "clamp_current",
    ]


def test_every_rung_holds_all_that_those_above_it_gave() -> None:
    cuts = [Cut(), *below(Cut())]
    for above, under in pairwise(cuts):
        assert gave_way(above) <= gave_way(under)
        assert under != above
    shares = [cut.history for cut in cuts if cut.history is not None]
    assert shares == sorted(shares, reverse=True)
    assert gave_way(cuts[-1]) == {field.name for field in fields(Cut)} - {"rung"}


def test_a_rung_is_found_by_its_name_and_what_lies_below_it_goes_on_from_there() -> None:
    assert at("") == Cut()
    for cut in below(Cut()):
        assert at(cut.rung) == cut
    cuts = list(below(Cut()))
    for number, cut in enumerate(cuts, start=1):
        assert list(below(cut)) == cuts[number:]


def test_an_unknown_rung_is_an_error() -> None:
    with pytest.raises(KeyError):
        at("sideways")
