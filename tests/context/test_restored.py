"""Turns that came back: they stand word for word between the summaries and the window, and give way before it."""

from dataclasses import replace

import pytest

from chat.context.assembly import assemble
from chat.context.budget import split
from chat.context.tokens import Counter
from chat.context.values import Fact, History, Prompt, Summary, Turn

COUNTER = Counter()
WORDS = "plain words about a repair " * 20
PROMPT = Prompt(text="What now?", number=21)


def turn(number: int, **values: object) -> Turn:
    return Turn(number=number, prompt=f"Question {number}. {WORDS}", reply=f"Answer {number}. {WORDS}", **values)


@pytest.fixture
def history() -> History:
    """Twenty turns: 1-4 and 9-14 are summarised, 5-8 came back, from 15 on the window."""
    older = [turn(number, restored=True) for number in range(5, 9)]
    return History(
        summaries=(
            Summary(first=1, last=4, text="Previously: A.", tokens=9, ref="S1"),
            Summary(first=9, last=14, text="Previously: B.", tokens=9, ref="S2"),
        ),
        facts=(Fact(kind="id", value="A-7731", quote="it is A-7731", turn=6),),
        turns=(*older, *(turn(number) for number in range(15, 21))),
        last=20,
        window_from=15,
    )


def runs(built) -> list[tuple[int, int, str]]:
    return [(run.first, run.last, run.how) for run in built.manifest.runs]


def test_they_stand_in_their_order_and_the_manifest_says_so(history: History) -> None:
    built = assemble(history, PROMPT, split(200_000), COUNTER, model="m")
    assert runs(built) == [(1, 4, "summarised"), (5, 8, "verbatim"), (9, 14, "summarised"), (15, 21, "verbatim")]
    assert built.manifest.trimmed is False
    assert built.manifest.restored == ((5, 8),)
    texts = [block.text for message in built.request.messages for block in message.blocks]
    places = [next(at for at, text in enumerate(texts) if f"Question {n}." in text) for n in (5, 8, 15, 20)]
    assert places == sorted(places)
    assert not any("A-7731" in text for text in texts), "its turn says it"


def test_they_give_way_before_the_window_does_and_then_stay_away(history: History) -> None:
    whole = assemble(history, PROMPT, split(200_000), COUNTER, model="m").manifest.estimated
    built = assemble(history, PROMPT, split(200_000), COUNTER, model="m", limit=whole * 3 // 4)
    kept = [one for one in runs(built) if one[2] == "verbatim"]
    assert runs(built)[1][0] == 5
    assert runs(built)[1][2] == "omitted", "the oldest first"
    assert kept[-1][1] == 21
    assert built.manifest.trimmed, "whoever stores it makes that the state"
    assert built.manifest.restored != ((5, 8),)
    # Stored so, the next request is made without them and trims nothing.
    back = {number for first, last in built.manifest.restored for number in range(first, last + 1)}
    left = [one for one in history.turns if not one.restored or one.number in back]
    after = replace(history, turns=tuple(left), window_from=built.manifest.window_from)
    again = assemble(after, PROMPT, split(200_000), COUNTER, model="m", limit=whole * 3 // 4)
    assert not again.manifest.trimmed


def test_one_that_is_pinned_too_stands_once(history: History) -> None:
    pinned = tuple(replace(one, pinned=one.number == 6, pin_settled=False) for one in history.turns)
    built = assemble(replace(history, turns=pinned), PROMPT, split(200_000), COUNTER, model="m")
    texts = "\n".join(block.text for message in built.request.messages for block in message.blocks)
    assert texts.count("Question 6.") == 1
    assert (5, 8, "verbatim") in runs(built)


def test_where_only_they_give_way_the_window_stays(history: History) -> None:
    turns = tuple(one for one in history.turns if one.restored or one.number > 18)
    summaries = (history.summaries[0], replace(history.summaries[1], last=18))
    short = replace(history, turns=turns, summaries=summaries, window_from=19)
    whole = assemble(short, PROMPT, split(200_000), COUNTER, model="m").manifest.estimated
    built = assemble(short, PROMPT, split(200_000), COUNTER, model="m", limit=whole - 1)
    assert (built.manifest.window_from, built.manifest.restored) == (19, ())
    assert built.manifest.trimmed
    assert (5, 8, "omitted") in runs(built)
