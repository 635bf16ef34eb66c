"""Another model, other instructions: between two turns, told with numbers, and never a request that is too long."""

from typing import Any

import pytest

from chat.context.tokens import Counter
from chat.flow import choosing
from chat.models import ChatSession, Instructions, Notice
from chat.providers.base import ModelInfo
from chat.store import branches, sessions
from tests.flow.conftest import Chat, Start

SMALL, LARGE = "claude-haiku-4-5-20251001", "claude-opus-4-6"


def choose(chat: Chat, **values: Any) -> bool:
    row = chat.row
    now = {"model": row.model, "instructions_id": row.instructions_id, "thinking": row.thinking}
    return choosing.choose(row.pk, **(now | values))


async def test_a_smaller_window_is_told_compressed_first_and_never_overrun(start: Start) -> None:
    chat = await start(window=None)
    chat.standin.window, chat.standin.windows = 60_000, {SMALL: 6_000}
    await chat.say("My order number is A-7731.")
    for number in range(12):
        await chat.say(f"Part {number}: " + "water hardness is a matter of calcium and magnesium. " * 60)
    fits = choosing.fit(chat.row, ModelInfo(id=SMALL, window=6_000), "", Counter(), thinking=False)
    assert fits.tight
    assert fits.tokens > 6_000
    before = len(chat.sent())
    assert choose(chat, model=SMALL)
    chat.service.wake_jobs()
    turn = await chat.say("What is my order number?")
    assert turn.status == "complete"
    assert "A-7731" in turn.reply
    later = chat.sent()[before:]
    assert {one.model for one in later} == {SMALL}
    assert all(one.status == 200 and one.tokens < 6_000 for one in later)
    assert Notice.objects.filter(session=chat.session, kind="compressed").exists()


async def test_while_a_reply_is_written_nothing_is_changed(start: Start) -> None:
    chat = await start(turns=False)
    await chat.open("Hello.")
    with pytest.raises(branches.SessionBusy):
        choose(chat, model=SMALL)
    assert chat.row.model == LARGE


async def test_other_instructions_are_in_the_next_request_and_the_old_ones_go(start: Start) -> None:
    chat = await start(standin={"keep_bodies": True}, text="Answer in rhymes.")
    await chat.say("Hello.")
    old, version = chat.row.instructions_id, chat.row.context_version
    assert choose(chat, instructions_id=sessions.instructions("Answer in one word.").pk)
    await chat.say("And now?")
    assert chat.sent()[-1].body["system"][0]["text"] == "Answer in one word."
    row = chat.row
    assert (row.context_version, row.prefix_version) == (version + 1, version + 1)
    assert not Instructions.objects.filter(pk=old).exists()
    assert not choose(chat), "nothing to change is no change"
    assert ChatSession.objects.get(pk=row.pk).context_version == version + 1
