"""Extended thinking: asked for as the model wants it, kept for people, never sent again, counted apart."""

import json

from chat.context import budget, thinking
from chat.context.values import Step
from chat.models import Manifest, Thought
from chat.web import gauge
from tests.flow.conftest import Start


async def test_what_was_thought_is_kept_and_never_sent_again(start: Start) -> None:
    chat = await start(standin={"keep_bodies": True}, thinking=True)
    turn = await chat.say("My order number is A-7731.")
    kept = Thought.objects.get(turn=turn)
    assert "A-7731" in kept.text
    assert 0 < kept.tokens < turn.usage["output"]
    assert turn.usage["thinking"] == kept.tokens
    assert turn.reply_tokens == turn.usage["output"] - kept.tokens
    assert "thought" in [one.phase for one in chat.frames if one.type == "status"]
    assert "A-7731" in (await chat.say("What is my order number?")).reply
    sent = chat.sent()[-1].body
    assert sent["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert kept.text not in json.dumps(sent, ensure_ascii=False)
    # "What the model sees" makes it again from the manifest, this field too.
    assert Manifest.objects.get(turn__number=2).frame["thinking"] == sent["thinking"]


async def test_an_older_model_gets_a_budget_below_its_longest_reply(start: Start) -> None:
    chat = await start(standin={"keep_bodies": True}, thinking=True, model="claude-haiku-4-5-20251001")
    turn = await chat.say("Hello.")
    sent = chat.sent()[-1].body
    assert sent["thinking"]["type"] == "enabled"
    assert 1_024 <= sent["thinking"]["budget_tokens"] < sent["max_tokens"]
    assert turn.status == "complete"
    row = next(one for one in gauge.of_session(chat.row)["legend"] if one.name == "thinking")
    assert row.tokens == "1 k"


async def test_without_being_asked_for_nothing_of_it_is_sent_or_kept(start: Start) -> None:
    chat = await start(standin={"keep_bodies": True})
    await chat.say("Hello.")
    assert "thinking" not in chat.sent()[-1].body
    assert not Thought.objects.exists()


async def test_a_window_with_no_room_for_it_is_answered_without(start: Start) -> None:
    chat = await start(window=2_000, standin={"keep_bodies": True}, thinking=True)
    assert (await chat.say("Hello.")).status == "complete"
    assert "thinking" not in chat.sent()[-1].body


def test_the_reserve_grows_by_what_is_set_aside_for_it() -> None:
    for window in (8_000, 16_000, 200_000, 1_000_000):
        plain, thinks = budget.split(window), budget.split(window, thinking=8_000)
        assert thinks.response == plain.response + thinks.thinking
        assert 1_024 <= thinks.thinking <= 8_000
        assert thinks.input_limit == plain.input_limit - thinks.thinking


def test_a_model_is_asked_in_the_way_it_knows() -> None:
    kinds = {
        "claude-opus-4-6": "adaptive",
        "claude-sonnet-4-6": "adaptive",
        "claude-haiku-4-5-20251001": "enabled",
        "claude-opus-4-20250514": "enabled",
        "claude-3-haiku-20240307": "none",
    }
    assert {name: thinking.kind_of(name) for name in kinds} == kinds
    assert thinking.ask("enabled", tokens=4_000, max_tokens=3_000) == {"type": "enabled", "budget_tokens": 2_744}
    assert thinking.ask("enabled", tokens=4_000, max_tokens=1_200) is None
    assert thinking.ask("none", tokens=4_000, max_tokens=9_000) is None


def test_of_a_block_without_words_nothing_is_shown() -> None:
    steps = [
        Step(kind="thinking", body=json.dumps({"type": "thinking", "thinking": " Hm. ", "signature": "s"})),
        Step(kind="thinking", body=json.dumps({"type": "redacted_thinking", "data": "x"})),
        Step(kind="thinking", body="no JSON"),
        Step(kind="tool_use", body="{}"),
    ]
    assert thinking.text_of(steps) == "Hm."
