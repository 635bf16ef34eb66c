"""What summaries kept out of a request is told with the call, for "saved by compaction"."""

from types import SimpleNamespace

import pytest

from chat.context.values import Run
from chat.flow.closing import spared


@pytest.mark.parametrize(
    ("runs", "tokens"),
    [
        ([Run(1, 4, "verbatim", "", 400)], 0),
        # Turns 1 to 3 cost 900 of the 1,100 tokens; their summary 50.
        ([Run(1, 3, "summarised", "S1", 50), Run(4, 6, "verbatim", "", 230)], 850),
        ([Run(1, 2, "summarised", "S1", 50), Run(3, 3, "recalled", "", 90), Run(4, 6, "verbatim", "", 230)], 760),
        # Nobody loaded turn 2, which was left out: how large it is, is not known here.
        ([Run(1, 1, "summarised", "S1", 50), Run(2, 2, "omitted", "window", 0), Run(3, 6, "verbatim", "", 300)], None),
        ([Run(1, 3, "summarised", "S1", 5_000), Run(4, 6, "verbatim", "", 230)], 0),
    ],
)
def test_the_tokens_of_covered_turns_less_those_of_their_summaries(runs, tokens):
    turns = [SimpleNamespace(number=number, tokens=size) for number, size in ((3, 90), (4, 100), (5, 100))]
    loaded = SimpleNamespace(number=6, parent_upto=1_100, history=SimpleNamespace(turns=turns))
    assert spared(loaded, SimpleNamespace(manifest=SimpleNamespace(runs=runs))) == tokens
