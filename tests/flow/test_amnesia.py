"""The story of every support desk: a name and an order number in message 1, asked for at message 25."""

import pytest

from chat.models import Notice
from tests.flow.conftest import Chat, Start

WHO = "My name is Lena Brandt and my order number is A-7731."


async def story(chat: Chat) -> tuple[str, str]:
    """Tells it, and asks; returns what was answered."""
    await chat.say(WHO)
    for number in range(2, 13):
        turn = await chat.say(f"Something else, part {number}: I like the weather in the north very much.")
        assert turn.status == "complete"
        await chat.settled()
    order = await chat.say("What is my order number?")
    name = await chat.say("What is my name?")
    return order.reply, name.reply


async def test_a_sliding_window_says_that_it_is_not_in_its_context(start: Start) -> None:
    chat = await start(strategy="sliding_window", window_messages=20)
    order, name = await story(chat)
    assert "A-7731" not in order
    assert "Lena" not in name
    assert "not in my context" in order.lower()
    # The page had said so before the question was asked.
    assert Notice.objects.filter(kind="trimmed", first=1, ended_at=None).exists()


async def test_a_summary_answers(start: Start) -> None:
    chat = await start(strategy="summary", window_messages=20)
    order, name = await story(chat)
    assert "A-7731" in order
    assert "Lena" in name
    assert Notice.objects.filter(kind="compressed", first=1, ended_at=None).exists()
    assert chat.row.trims == 0


@pytest.mark.parametrize("mode", ["error", "garbage"])
async def test_a_summariser_that_fails_does_not_forget_either(start: Start, mode: str) -> None:
    chat = await start(strategy="summary", window_messages=20)
    chat.standin.summary_mode = mode

    async def nap(_: float) -> None:
        return None

    chat.service.engine.background._sleep = nap
    await chat.say(WHO)
    for number in range(2, 13):
        await chat.say(f"Something else, part {number}: I like the weather in the north very much.")
    order = await chat.say("What is my order number?")
    # Whatever is left of the turns, the value is kept as a fact.
    assert "A-7731" in order.reply
