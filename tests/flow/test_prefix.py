"""What stands above the last finished reply does not change from request to request, byte by byte."""

import uuid
from typing import Any

from chat.models import Turn
from chat.store import branches, sessions
from tests.flow.conftest import Chat, Start, eventually
from tests.flow.test_compaction import words

# A model with the least cacheable prefix that the stand-in knows.
MODEL = "claude-sonnet-4-6"


def blocks(body: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """A request as the cache reads it: role, text and whether a breakpoint follows, in order."""
    out = [("tools", str(tool), "cache_control" in tool) for tool in body.get("tools", [])]
    out += [("system", one["text"], "cache_control" in one) for one in body["system"]]
    for message in body["messages"]:
        out += [(message["role"], one["text"], "cache_control" in one) for one in message["content"]]
    return out


def prefix(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Everything up to the last breakpoint."""
    read = blocks(body)
    last = max((at for at, (_, _, cached) in enumerate(read) if cached), default=-1)
    return [one[:2] for one in read[: last + 1]]


def bodies(chat: Chat) -> list[dict[str, Any]]:
    return [one.body for one in chat.sent() if one.status == 200]


def breaks(chat: Chat) -> tuple[int, int]:
    """How often the prefix of one request was not the beginning of the next, with and without a reason."""
    turns = list(Turn.objects.filter(session=chat.session, manifest__isnull=False).order_by("pk"))
    seen = bodies(chat)
    assert len(turns) == len(seen)
    allowed = unexplained = 0
    for (before, old), (after, new) in zip(
        zip(turns, seen, strict=True), list(zip(turns, seen, strict=True))[1:], strict=False
    ):
        then = [one[:2] for one in blocks(new)]
        if then[: len(prefix(old))] == prefix(old):
            continue
        moved = (before.manifest.context_version, before.manifest.window_from) != (
            after.manifest.context_version,
            after.manifest.window_from,
        )
        allowed, unexplained = allowed + moved, unexplained + (not moved)
    return allowed, unexplained


async def test_fifty_turns_keep_system_and_prefix(start: Start) -> None:
    chat = await start(window=16_000, standin={"keep_bodies": True}, model=MODEL)
    for number in range(50):
        assert (await chat.say(words(number, 12))).status == "complete"
        await chat.settled()
    seen = bodies(chat)
    assert len({str(body["system"][0]["text"]) for body in seen}) == 1
    assert len({one.system_sha256 for one in chat.sent()}) <= 2  # with and without a breakpoint behind it
    commits = chat.row.compactions + chat.row.trims
    assert commits >= 1
    allowed, unexplained = breaks(chat)
    assert unexplained == 0
    assert allowed <= commits
    # And it pays: but for the beginning and the commits, every call finds what the last one wrote.
    hits = [one.usage["cache_read_input_tokens"] > 0 for one in chat.sent() if one.tokens > 2_000]
    assert sum(hits) >= len(hits) - 2 * commits - 2
    assert all(sum(cached for *_, cached in blocks(body)) <= 4 for body in seen)


async def test_sessions_with_the_same_instructions_share_their_system_prompt(start: Start) -> None:
    chat = await start(standin={"keep_bodies": True})
    for _ in range(20):
        session = sessions.create(chat.owner)
        await chat.service.open_turn(
            owner_id=chat.owner.pk, session_id=session.pk, client_id=uuid.uuid4(), text="Hello."
        )
    await eventually(lambda: len(bodies(chat)) == 20 and not Turn.objects.live().exists())
    assert len({one.system_sha256 for one in chat.sent()}) == 1
    assert {body["system"][0]["text"] for body in bodies(chat)} == {chat.session.instructions.text}


async def test_no_date_no_number_no_id_stands_above_the_last_reply(start: Start) -> None:
    chat = await start(window=8_000, standin={"keep_bodies": True})
    for number in range(12):
        await chat.say(words(number, 40))
        await chat.settled()
    for body in bodies(chat):
        above = str(body["system"]) + str(body["messages"][:-1])
        assert "Today is" not in above
        assert str(chat.session.pk) not in above
        assert chat.owner.username not in above
        assert "Today is" in str(body["messages"][-1])


async def test_a_switch_of_branch_is_the_only_break_it_makes(start: Start) -> None:
    chat = await start(window=16_000, standin={"keep_bodies": True}, model=MODEL)
    turns = [await chat.say(words(number, 20)) for number in range(8)]
    await chat.say(words(30, 20), op="edit", of=turns[5].pk)
    await chat.say(words(31, 20))
    branches.switch(chat.session.pk, turns[5].pk)
    await chat.say(words(32, 20))
    await chat.say(words(33, 20))
    allowed, unexplained = breaks(chat)
    assert (allowed <= 2, unexplained) == (True, 0)
