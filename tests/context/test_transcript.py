"""Turns as messages: roles alternate, calls stand beside their results, nothing is empty."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat.context import prompts
from chat.context.transcript import (
    EMPTY_MESSAGE,
    NO_OUTPUT,
    NO_REPLY,
    clamp_limit,
    clamp_turn,
    cost,
    measured,
    stub_tools,
    turn_messages,
)
from chat.context.values import Block, History, Message, Request, Step, Turn
from chat.providers.validate import validate
from tests.context.strategies import COUNTER, histories, mark, turn

count = COUNTER.count


def call(call_id: str, body: str = "{}") -> Step:
    return Step(kind="tool_use", body=body, call_id=call_id, name="search")


def result(call_id: str, body: str = "found") -> Step:
    return Step(kind="tool_result", body=body, call_id=call_id)


def said(body: str) -> Step:
    return Step(kind="text", body=body)


def shape(messages: list[Message]) -> list[str]:
    """Messages in short: `a: text use c1` is an assistant's text and its call."""
    kinds = {"text": "text", "tool_use": "use", "tool_result": "result"}
    return [
        f"{message.role[0]}: " + " ".join(" ".join(filter(None, (kinds[b.type], b.call_id))) for b in message.blocks)
        for message in messages
    ]


def of(*steps: Step, reply: str = "Done.") -> list[str]:
    return shape(turn_messages([Turn(number=1, prompt="Look.", reply=reply, steps=steps)], count)[0])


def sendable(messages: list[Message], tail: list[Block]) -> Request:
    last = Message(role="user", blocks=(*tail, Block(text="And now?", component="current")))
    return Request(model="m", max_tokens=1, messages=(*messages, last))


@given(histories())
def test_any_turns_make_messages_that_the_api_takes(history: History) -> None:
    messages, tail = turn_messages(history.turns, count)
    validate(sendable(messages, tail))
    roles = [message.role for message in messages]
    assert all(left != right for left, right in pairwise(roles))
    assert not roles or (roles[0], roles[-1]) == ("user", "assistant")


@given(histories())
def test_a_turn_costs_at_least_what_its_blocks_hold(history: History) -> None:
    for one in history.turns:
        one = measured(one, count)
        messages, tail = turn_messages([one], count)
        blocks = [block for message in messages for block in message.blocks]
        if blocks and all(block.text not in (EMPTY_MESSAGE, NO_REPLY, NO_OUTPUT) for block in blocks):
            assert sum(block.tokens for block in blocks) + 5 * len(messages) <= cost(one)
        assert bool(messages) != bool(tail)


def test_a_call_is_answered_in_the_very_next_message() -> None:
    assert of(call("c1"), result("c1")) == ["u: text", "a: use c1", "u: result c1", "a: text"]


def test_calls_made_together_are_answered_together_in_any_order() -> None:
    expected = ["u: text", "a: use c1 use c2", "u: result c1 result c2", "a: text"]
    assert of(call("c1"), call("c2"), result("c2"), result("c1")) == expected
    assert of(call("c1"), call("c2"), result("c1"), said("Hm."), result("c2")) == [
        *expected[:3],
        "a: text text",
    ]


def test_a_call_that_was_cut_short_is_not_sent_nor_a_result_without_its_call() -> None:
    assert of(call("c1"), said("Wait.")) == ["u: text", "a: text text"]
    assert of(result("c9")) == ["u: text", "a: text"]
    assert of(call("c1"), reply="") == []
    assert of(call(""), result("")) == ["u: text", "a: text"]


def test_a_call_told_twice_is_sent_once() -> None:
    assert of(call("c1"), call("c1"), result("c1"), result("c1")) == of(call("c1"), result("c1"))
    assert of(call("c1"), result("c1"), call("c1"), result("c1")) == of(call("c1"), result("c1"))


def test_a_turn_that_stopped_at_a_result_ends_with_words() -> None:
    messages, tail = turn_messages([Turn(number=1, prompt="Look.", steps=(call("c1"), result("c1")))], count)
    assert messages[-1].blocks[-1].text == NO_REPLY
    assert not tail


def test_text_between_two_calls_stands_between_them() -> None:
    assert of(call("c1"), said("Next."), call("c2"), result("c1"), result("c2")) == [
        "u: text",
        "a: use c1",
        "u: result c1",
        "a: text use c2",
        "u: result c2",
        "a: text",
    ]


def test_thinking_is_never_sent() -> None:
    messages, _ = turn_messages([turn(1, "a", steps=(Step(kind="thinking", body="secret"),))], count)
    assert "secret" not in str(messages)


def test_blank_texts_become_words_that_say_so() -> None:
    messages, _ = turn_messages(
        [Turn(number=1, prompt=" ", reply="Hm?", steps=(call("c1"), result("c1", "\n")))], count
    )
    assert messages[0].blocks[0].text == EMPTY_MESSAGE
    assert messages[2].blocks[0].text == NO_OUTPUT


def test_an_input_that_is_no_json_object_becomes_one() -> None:
    for body in ('{"q": [1,', "words", "[1]", '{"a": NaN}', "[" * 100_000):
        messages, _ = turn_messages([turn(1, "a", steps=(call("c1", body), result("c1")))], count)
        assert json.loads(messages[1].blocks[0].text) == {"text": body}
    messages, _ = turn_messages([turn(1, "a", steps=(call("c1", ""), result("c1")))], count)
    assert messages[1].blocks[0].text == "{}"


def test_turns_without_a_reply_are_folded_as_blocks_of_their_own() -> None:
    messages, tail = turn_messages([turn(1, "a", answer=""), turn(2, "b"), turn(3, "c", answer="")], count)
    assert [block.text for block in messages[0].blocks] == [
        prompts.wrap_unanswered(text=f"{mark('prompt', 1)} a", turn=1),
        f"{mark('prompt', 2)} b",
    ]
    assert [block.ref for block in tail] == ["turn 3"]


def test_pinned_turns_are_their_own_component() -> None:
    messages, _ = turn_messages([turn(1, "a", pinned=True), turn(2, "b")], count)
    assert [message.blocks[0].component for message in messages] == ["pins", "pins", "history", "history"]


@given(histories(), st.integers(16, 3_000))
def test_no_text_of_a_clamped_turn_is_over_the_limit_and_small_ones_are_untouched(history: History, most: int) -> None:
    for one in history.turns:
        one = measured(one, count)
        cut = clamp_turn(one, COUNTER, most)
        pairs = [(one.prompt, one.prompt_tokens, cut.prompt, cut.prompt_tokens)]
        pairs += [(one.reply, one.reply_tokens, cut.reply, cut.reply_tokens)] if one.reply.strip() else []
        pairs += [
            (a.body, a.tokens, b.body, b.tokens)
            for a, b in zip(one.steps, cut.steps, strict=True)
            if a.kind != "tool_use"
        ]
        for before, tokens, after, left in pairs:
            if tokens <= most:
                assert (before, tokens) == (after, left)
            else:
                assert count(after) <= most
                assert left <= most
                assert after.strip()


def test_a_clamped_text_keeps_head_and_tail_around_a_marker_that_names_its_turn() -> None:
    one = measured(Turn(number=7, prompt="BEGIN " + "word " * 5_000 + "END", reply="ok"), count)
    cut = clamp_turn(one, COUNTER, 200)
    assert cut.prompt.startswith("BEGIN")
    assert cut.prompt.endswith("END")
    assert "the whole of turn 7 is stored" in cut.prompt
    assert cut.reply == "ok"


def test_what_the_api_counted_as_more_than_we_do_is_cut_by_that_much_more() -> None:
    one = Turn(number=1, prompt="word " * 600, reply="ok", prompt_tokens=4_000, reply_tokens=1)  # we count 1,000
    cut = clamp_turn(one, COUNTER, 2_000)
    assert count(cut.prompt) <= 500
    assert cut.prompt_tokens <= 2_000


def test_a_giant_call_stays_json() -> None:
    one = measured(turn(1, "a", steps=(call("c1", json.dumps({"text": "word " * 9_000})), result("c1"))), count)
    messages, tail = turn_messages([clamp_turn(one, COUNTER, 100)], count)
    validate(sendable(messages, tail))
    assert count(messages[1].blocks[0].text) < 100


@given(histories(), st.integers(1, 50_000))
def test_the_clamp_limit_makes_turns_fit_or_is_the_least(history: History, room: int) -> None:
    told = [measured(one, count) for one in history.turns]
    most = clamp_limit(told, room, 8_000)
    assert 16 <= most <= 8_000
    if most > 16:
        assert sum(cost(clamp_turn(one, COUNTER, most)) for one in told if one.reply.strip()) <= room


def test_a_stub_is_shorter_than_what_it_stands_for_and_names_it() -> None:
    steps = (call("c1"), result("c1", "data " * 900), call("c2"), result("c2", "ok"))
    one = measured(turn(4, "a", steps=steps), count)
    stubbed = stub_tools(one, count)
    assert stubbed.steps[1].body == "[the result of search, 1,500 tokens, is stored with turn 4]"
    assert stubbed.steps[3] == one.steps[3]
    assert stubbed.tokens < one.tokens
    plain = turn(1, "a")
    assert stub_tools(plain, count) is plain
