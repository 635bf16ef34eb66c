"""Breakpoints: where they stand, and that what stands before the last of them is what the next request begins with."""

import json
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chat.context.budget import split
from chat.context.caching import MOST_BREAKPOINTS, least_prefix, place
from chat.context.compaction import Policy
from chat.context.values import DOCUMENT_REF, Assembled, Block, Extra, Fact, Message, Request, Step, Summary
from chat.context.window import WindowLimits
from tests.context.conversation import Conversation, text_of
from tests.context.stories import make
from tests.context.strategies import Case, cases


def block(tokens: int = 2_000, ref: str = "", component: str = "history", **fields: Any) -> Block:
    return Block(text="x", component=component, ref=ref, tokens=tokens, **fields)


def user(*blocks: Block) -> Message:
    return Message(role="user", blocks=blocks)


def assistant(*blocks: Block) -> Message:
    return Message(role="assistant", blocks=blocks)


def marked(system: list[Block], messages: list[Message], *, head: bool = False, least: int = 1_024) -> list[str]:
    """The refs of the blocks that got a breakpoint."""
    placed, rest = place(system, messages, head=head, least=least)
    return [one.ref for one in [*placed, *(one for message in rest for one in message.blocks)] if one.cache]


HEAD = [user(block(ref="document:1", component="documents"), block(ref="S1")), assistant(block(ref="acknowledgement"))]
SYSTEM = [block(ref="system")]


def turn(number: int, tokens: int = 2_000) -> list[Message]:
    return [user(block(tokens, f"turn {number}")), assistant(block(tokens, f"reply {number}"))]


def test_the_best_places_are_the_last_reply_the_summaries_the_documents_and_the_system_prompt() -> None:
    messages = [*HEAD, *turn(1), *turn(2), user(block(ref="now"))]
    assert marked(SYSTEM, messages, head=True) == ["system", "document:1", "S1", "reply 2"]


def test_the_last_tool_result_of_a_running_turn_comes_first() -> None:
    running = user(block(ref="r1", type="tool_result"), block(ref="r2", type="tool_result"), block(ref="now"))
    messages = [*HEAD, *turn(1), running]
    assert marked(SYSTEM, messages, head=True) == ["document:1", "S1", "reply 1", "r2"]


def test_without_anything_finished_only_the_system_prompt_is_marked() -> None:
    assert marked(SYSTEM, [user(block(ref="now"))]) == ["system"]
    assert marked([], [user(block(ref="now"))]) == []


def test_a_prefix_that_is_too_short_is_not_marked() -> None:
    messages = [*turn(1, tokens=400), user(block(ref="now"))]
    assert marked([block(200, "system")], messages) == []
    assert marked([block(224, "system")], messages) == ["reply 1"]


def test_a_turn_longer_than_the_look_back_marks_the_reply_before_it_too() -> None:
    def long(count: int) -> list[str]:
        steps = [block(ref="turn 2")] * count
        messages = [
            *turn(1),
            user(block(ref="turn 2")),
            assistant(*steps, block(ref="reply 2")),
            user(block(ref="now")),
        ]
        return marked(SYSTEM, messages)

    assert long(10) == ["system", "reply 2"]
    assert long(30) == ["system", "reply 1", "reply 2"]


def test_what_is_marked_is_all_that_changes() -> None:
    messages = [*HEAD, *turn(1), user(block(ref="now"))]
    system, placed = place(SYSTEM, messages, head=True, least=1_024)
    stripped = [Message(role=one.role, blocks=tuple(_unmarked(b) for b in one.blocks)) for one in placed]
    assert stripped == messages
    assert [_unmarked(one) for one in system] == SYSTEM


def _unmarked(one: Block) -> Block:
    return Block(text=one.text, component=one.component, ref=one.ref, type=one.type, tokens=one.tokens)


def test_the_least_prefix_is_the_one_of_the_longest_name_that_fits() -> None:
    assert least_prefix("claude-opus-4-6-20260101") == 4_096
    assert least_prefix("claude-haiku-4-5-20251001") == 4_096
    assert least_prefix("claude-sonnet-4-5") == 1_024
    assert least_prefix("") == 1_024


@given(cases())
def test_at_most_four_breakpoints_and_after_the_last_finished_reply_only_behind_documents(case: Case) -> None:
    request = make(case).request
    assert sum(one.cache for one in request.blocks()) <= MOST_BREAKPOINTS
    assert not any(one.cache and not one.ref.startswith(DOCUMENT_REF) for one in request.messages[-1].blocks)


# --- the prefix over 50 turns ------------------------------------------------------------------------------


def lines(request: Request) -> list[str]:
    """The request as the cache sees it, block by block, without the marks."""
    out = [json.dumps(["system", _body(one)]) for one in request.system]
    for at, message in enumerate(request.messages):
        out += [json.dumps([at, message.role, _body(one)]) for one in message.blocks]
    return out


def _body(one: Block) -> dict[str, object]:
    return {key: value for key, value in one.body("5m").items() if key != "cache_control"}


def prefix(request: Request) -> list[str]:
    """What stands up to the last breakpoint."""
    upto = max((at for at, one in enumerate(request.blocks(), start=1) if one.cache), default=0)
    return lines(request)[:upto]


def settled(conversation: Conversation) -> object:
    """What may move the prefix: the start, the summaries, settled pins and facts."""
    return (
        conversation.window_from,
        tuple(conversation.summaries),
        tuple(one.number for one in conversation.turns if one.pinned and one.pin_settled),
        tuple(one for one in conversation.facts if one.settled),
        tuple(one for one in conversation.documents if one.settled),
    )


def odd_turn(conversation: Conversation, random: Random) -> Assembled:
    """A turn of whatever kind, with fresh things around it."""
    number = len(conversation.turns) + 1
    extras = [
        Extra(
            component="recall",
            text=f"[recalled] {random.random()} " + text_of(random.randrange(400)),
            tokens=1,
            ref="r",
        )
        for _ in range(random.randrange(3))
    ]
    steps = (
        Step(kind="tool_use", body='{"q": 1}', call_id=f"c{number}", name="search"),
        Step(kind="tool_result", body=text_of(random.randrange(1, 300)), call_id=f"c{number}"),
    )
    if random.random() < 0.3:
        fact = Fact(kind="id", value=f"A-{number}", turn=random.choice([None, number]), settled=False)
        conversation.facts = (*conversation.facts, fact)
    if random.random() < 0.1:
        conversation.attach(f"{number}.txt", f"[document-{number}] " + text_of(random.randrange(1, 300)))
    return conversation.ask(
        text_of(random.randrange(1, 400), f"question {'x' * (number % 7)} "),
        "" if random.random() < 0.1 else text_of(random.randrange(1, 600)),
        extras=extras,
        steps=steps if random.random() < 0.2 else (),
        date=f"2026-01-{number % 28 + 1:02}",
    )


@given(st.integers(0, 10**6), st.sampled_from([None, 20]), st.booleans())
@settings(max_examples=12)
def test_the_prefix_of_a_turn_is_the_prefix_of_the_next_over_50_turns(
    seed: int, max_messages: int | None, compacts: bool
) -> None:
    random = Random(seed)
    conversation = Conversation(
        budget=split(16_000),
        policy=Policy(max_messages=max_messages),
        limits=WindowLimits(max_messages=max_messages),
        instructions="Answer plainly. " * 60,
        facts=(Fact(kind="name", value="Mara"),),
        model="a-model",
    )
    systems = set()
    moved = stable = 0
    before: tuple[tuple[object, bool], list[str]] | None = None
    for _ in range(50):
        known = (settled(conversation), bool(before and before[0][1]))
        assembled = odd_turn(conversation, random)
        request = assembled.request
        # Where nothing compacts, the ladder's rung takes the documents out and puts them back.
        now = (settled(conversation), "documents" in assembled.dropped)
        systems.add(json.dumps([one.body("5m")["text"] for one in request.system]))
        if before and before[0] == known == now:
            assert lines(request)[: len(before[1])] == before[1]
            stable += 1
        else:
            moved += 1
        before = now, prefix(request)
        if compacts:
            conversation.compact()
    assert len(systems) == 1
    # The property says something: the prefix is there, and it seldom moves.
    assert stable >= 25
    assert moved <= 20


def test_the_system_prompt_is_byte_identical_for_every_session_with_the_same_instructions() -> None:
    seen = set()
    for seed in range(20):
        conversation = Conversation(
            budget=split(16_000 + seed * 1_000), instructions="Answer plainly.", model="a-model"
        )
        for _ in range(5):
            request = odd_turn(conversation, Random(seed)).request
            seen.add(json.dumps([{**one.body("5m"), "cache_control": None} for one in request.system]))
    assert len(seen) == 1


def test_what_recall_brings_never_decides_which_summaries_stand_in_the_prefix() -> None:
    conversation = Conversation(budget=split(16_000), model="a-model")
    for at in range(5):
        conversation.summaries.append(
            Summary(first=at + 1, last=at + 1, text=text_of(400, f"s{'x' * at} "), tokens=400, ref=f"S{at}")
        )
        conversation.ask(text_of(5), "ok")
    conversation.window_from = 6
    recalled = [Extra(component="recall", text=text_of(900), tokens=1, ref="r")]
    without = conversation.ask("First?", "ok").request
    with_recall = conversation.ask("Second?", "ok", extras=recalled).request
    assert without.messages[0].blocks == with_recall.messages[0].blocks


def test_newly_learnt_facts_never_push_the_known_ones_out_of_the_prefix() -> None:
    known = tuple(Fact(kind="id", value=f"A-{number}") for number in range(40))
    conversation = Conversation(budget=split(8_000), model="a-model", facts=known)
    before = conversation.ask("First?").request.messages[0]
    new = tuple(Fact(kind="id", value=f"B-{number}", settled=False) for number in range(40))
    conversation.facts = (*new, *known)
    assert conversation.ask("Second?").request.messages[0] == before
