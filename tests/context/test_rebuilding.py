"""A request is made again from references and numbers: byte for byte, or it is told which part is not what it was."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings

from chat.context import rebuilding, recipes
from chat.context.assembly import assemble, next_rung
from chat.context.budget import BudgetError, split
from chat.context.rebuilding import Rebuilt, rebuild
from chat.context.recipes import Sources, digest
from chat.context.tokens import Counter
from chat.context.values import Assembled, Document, Fact, History, Part, Prompt, Request, Step, Summary, Turn
from tests.context.strategies import COUNTER, MODEL, Case, cases, scaled, turn, turns


def recorded(request: Request, history: History, prompt: Prompt, limit: int) -> list[list[object]]:
    """The parts as a manifest stores them, through JSON."""
    described = recipes.describe(request, history, prompt, limit)
    blocks = [("system", one) for one in request.system]
    blocks += [(message.role, one) for message in request.messages for one in message.blocks]
    parts = [
        Part(role, one.component, one.ref, one.tokens, one.cache, how.check, how.recipe)
        for (role, one), how in zip(blocks, described, strict=True)
    ]
    return json.loads(json.dumps([rebuilding.write_part(part) for part in parts]))


def rows(history: History, prompt: Prompt) -> Sources:
    """What the rows hold, some of it more than a request needs. Thinking goes when a turn ends."""
    kept = [
        replace(one, steps=tuple(step for step in one.steps if step.kind != "thinking"))
        for one in (*history.turns, Turn(number=prompt.number, prompt=prompt.text, reply="What came later."))
    ]
    return Sources(
        instructions={digest(history.instructions): history.instructions, digest("Others."): "Others."},
        turns={one.number: one for one in kept},
        summaries={one.ref: one for one in history.summaries},
        facts={one.ref: one for one in history.facts},
        documents={one.ref: one for one in history.documents},
    )


def again(assembled: Assembled, history: History, prompt: Prompt, sources: Sources | None = None) -> Rebuilt:
    request = assembled.request
    limit = next(line.budget for line in assembled.manifest.report if line.component == "documents")
    stored = recorded(request, history, prompt, limit)
    return rebuild(
        rebuilding.read_parts(stored),
        model=request.model,
        frame=json.loads(json.dumps(rebuilding.frame_of(request, request.body()))),
        sha256=request.sha256(),
        sources=rows(history, prompt) if sources is None else sources,
    )


def thoughtless(case: Case) -> Case:
    """As a load brings it: thinking is deleted when a turn ends."""
    kept = tuple(
        replace(one, steps=tuple(step for step in one.steps if step.kind != "thinking")) for one in case.history.turns
    )
    return replace(case, history=replace(case.history, turns=kept))


def down(case: Case) -> Iterator[Assembled]:
    """The request of a case, and every smaller one that the ladder makes of it."""
    try:
        built: Assembled | None = assemble(
            case.history, case.prompt, case.budget, case.counter, model=MODEL, limits=case.limits, ttl="1h"
        )
    except BudgetError:
        return
    for _ in range(12):
        if built is None:
            return
        yield built
        built = next_rung(built, case.history, case.prompt, case.budget, case.counter, limits=case.limits)


def told(result: str, counter: Counter = COUNTER) -> Case:
    """A tool's result that the API counted as far more tokens than its few odd characters seem to be."""
    steps = (
        Step(kind="tool_use", body='{"q": 1}', call_id="c"),
        Step(kind="tool_result", body=result, call_id="c", tokens=2_000),
    )
    return Case(
        history=History(turns=(turn(1, "words", steps=steps),), last=1),
        prompt=Prompt(text="And now? " * 30, number=2),
        budget=split(9_000),
        counter=counter,
    )


def unanswered(words: str) -> Case:
    """A message without a reply, of which next to nothing can be sent."""
    one = Turn(number=1, prompt=words, prompt_tokens=100)
    return Case(history=History(turns=(one,), last=1), prompt=Prompt(text="Hello " * 150, number=2), budget=split(900))


@given(cases().map(thoughtless).map(lambda case: replace(case, extras=())))
@example(told(" 她"))
@example(told("[odd"))
@example(told("x" * 12, scaled(0.7)))
@example(unanswered("   Go on."))
@settings(max_examples=100)
def test_every_request_on_every_rung_is_made_again_byte_for_byte(case: Case) -> None:
    for built in down(case):
        found = again(built, case.history, case.prompt)
        assert [piece.state for piece in found.pieces] == ["sent"] * len(found.pieces)
        assert found.verified
        assert json.dumps(found.body) == json.dumps(built.request.body())  # the order of its keys, too
        assert found.frame_tokens + sum(piece.part.tokens for piece in found.pieces) == built.manifest.estimated


@given(cases().map(thoughtless))
@settings(max_examples=60)
def test_what_no_recipe_makes_is_unknown_and_never_passes_for_what_was_sent(case: Case) -> None:
    built = assemble(
        case.history, case.prompt, case.budget, case.counter, model=MODEL, extras=case.extras, limits=case.limits
    )
    found = again(built, case.history, case.prompt)
    for piece in found.pieces:
        assert piece.state in ("sent", "unknown")
        assert (piece.block is None) == (piece.state == "unknown")
    assert found.verified == all(piece.state == "sent" for piece in found.pieces)


HISTORY = History(
    instructions="Answer plainly.",
    documents=(Document(name="terms.md", text="Two years.", tokens=40, ref="document:3", turn=1),),
    facts=(Fact(kind="order", value="A-7731", quote="my order A-7731", turn=1, ref="F1"),),
    summaries=(Summary(first=1, last=3, text="They spoke of a machine.", tokens=20, ref="S9"),),
    turns=turns(4, 6),
    last=6,
    window_from=4,
)
PROMPT = Prompt(text="And now?", number=7, date="2026-11-22")
BUDGET = split(16_000)


def sent() -> Assembled:
    return assemble(HISTORY, PROMPT, BUDGET, COUNTER, model=MODEL)


def differing(**changed: Any) -> dict[str, str]:
    """The parts that are not what was sent, by ref, after some rows changed."""
    sources = replace(rows(HISTORY, PROMPT), **changed)
    found = again(sent(), HISTORY, PROMPT, sources)
    assert not found.verified
    assert (found.body is None) == any(piece.block is None for piece in found.pieces)
    return {piece.part.ref: piece.state for piece in found.pieces if piece.state != "sent"}


def test_it_is_told_which_part_was_edited_or_erased_since() -> None:
    known = rows(HISTORY, PROMPT)
    edited = {**known.turns, 5: replace(known.turns[5], reply="Something else.")}
    assert differing(turns=edited) == {"turn 5": "changed"}
    assert differing(turns={n: one for n, one in known.turns.items() if n != 4}) == {"turn 4": "gone"}
    assert differing(summaries={}) == {"S9": "gone"}
    assert differing(documents={}) == {"document:3": "gone"}
    assert differing(facts={}) == {"facts": "gone"}
    assert differing(instructions={}) == {"instructions": "gone"}
    reworded = {"F1": replace(known.facts["F1"], value="A-7732")}
    assert differing(facts=reworded) == {"facts": "changed"}


def test_our_own_wording_that_a_later_release_changed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assembled = sent()
    limit = next(line.budget for line in assembled.manifest.report if line.component == "documents")
    parts = rebuilding.read_parts(recorded(assembled.request, HISTORY, PROMPT, limit))
    monkeypatch.setitem(recipes.NOTES, "compressed", "Earlier parts were folded.")
    request = assembled.request
    frame = rebuilding.frame_of(request, request.body())
    found = rebuild(parts, model=request.model, frame=frame, sha256=request.sha256(), sources=rows(HISTORY, PROMPT))
    assert [piece.part.ref for piece in found.pieces if piece.state == "changed"] == ["note"]
    assert not found.verified


def test_a_part_of_the_older_layout_is_read_and_said_to_be_unchecked() -> None:
    assembled = sent()
    stored = [[part.role, part.component, part.ref, part.tokens, part.cache] for part in assembled.manifest.parts]
    found = rebuild(
        rebuilding.read_parts(stored), model=MODEL, frame=None, sha256="0" * 64, sources=rows(HISTORY, PROMPT)
    )
    states = {piece.part.ref: piece.state for piece in found.pieces}
    assert states["turn 5"] == states["S9"] == states["document:3"] == "unchecked"
    assert states["facts"] == states["date"] == states["instructions"] == "unknown"
    assert found.body is None
    assert not found.verified


def test_words_stand_in_a_manifest_nowhere() -> None:
    words = ("Answer", "Two years", "terms.md", "A-7731", "machine", "prompt-", "reply-", "And now", "Note:")
    limit = next(line.budget for line in sent().manifest.report if line.component == "documents")
    stored = json.dumps(recorded(sent().request, HISTORY, PROMPT, limit))
    assert [one for one in words if one in stored] == []
    assert "2026-11-22" in stored  # a date that was sent is a number


def test_a_turn_of_a_hundred_tool_steps_is_stored_in_little() -> None:
    steps = []
    for call in range(50):
        steps += [
            Step(kind="tool_use", body='{"q": 1}', call_id=f"c{call}", name="look"),
            Step(kind="tool_result", body="x" * 400, call_id=f"c{call}"),
        ]
    history = History(turns=(replace(turn(1, "words"), steps=tuple(steps)),), last=1)
    prompt = Prompt(text="More.", number=2)
    built = assemble(history, prompt, BUDGET, COUNTER, model=MODEL)
    assert again(built, history, prompt).verified
    limit = next(line.budget for line in built.manifest.report if line.component == "documents")
    assert len(json.dumps(recorded(built.request, history, prompt, limit))) < 100 * len(built.request.blocks())
