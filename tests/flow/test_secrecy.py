"""What the logs say of a turn: every call, trim, compaction and rung in numbers, and not one word of a user."""

import asyncio
import json
import logging
from typing import Any

import pytest
import structlog

from chat.flow import requests
from chat.providers.base import Unavailable
from chat.providers.scripted import ScriptedProvider
from chat.store import leases
from monitoring.recording import CALL_FIELDS, EVENT_FIELDS
from tests.flow.conftest import Start
from tests.flow.test_compaction import words
from tests.store.building import extend

CANARY = "Quetzalcoatlus"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Everything that is logged, as it would be written: of all loggers, at the lowest level."""
    caplog.set_level("DEBUG")

    def read() -> list[str]:
        plain = logging_formatter()
        return [plain.format(record) for record in caplog.records]

    return read


def logging_formatter() -> Any:
    """The formatter of the site's own handler."""
    handlers = [one for one in logging.getLogger().handlers if isinstance(
        one.formatter, structlog.stdlib.ProcessorFormatter)]  # fmt: skip
    return handlers[0].formatter


def events(lines: list[str], name: str) -> list[dict[str, Any]]:
    """The structured lines of one event."""
    out = []
    for line in lines:
        if line.startswith("{"):
            entry = json.loads(line)
            if entry.get("event") == name:
                out.append(entry)
    return out


async def test_no_word_of_a_user_or_a_model_is_in_any_line(start: Start, lines: Any, monkeypatch: Any) -> None:
    chat = await start(window=8_000)
    for number in range(1, 9):
        await chat.say(f"{CANARY} {words(number)} The {CANARY}-77 number is {CANARY}@example.org.")
        await chat.settled()
    # Failures quote what they failed on: the API, the parser, the database, our own code.
    chat.standin.faults.add("template", message=f"prompt: bad {CANARY}", purpose="reply")
    await chat.say(f"{CANARY} again")
    chat.standin.faults.add("overflow", purpose="reply")
    await chat.say(f"{CANARY} once more")
    chat.standin.faults.add("eof", after=2, purpose="reply")
    await chat.say(f"{CANARY} and more")
    chat.standin.summary_mode = "blank"
    extend(chat.session, 8, tokens=700, words=f"{CANARY} words. " * 100)
    await chat.say(f"{CANARY}?")
    await chat.settled()

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError(f"cannot parse {CANARY}")

    with monkeypatch.context() as patch:
        patch.setattr(requests, "assemble", broken)
        assert (await chat.say(f"{CANARY}!")).error == "internal"
    written = lines()
    assert len(events(written, "model_call")) > 10
    assert events(written, "turn_failed")
    assert not [line for line in written if CANARY.lower() in line.lower()]


async def test_each_call_is_one_line_with_its_fields(start: Start, lines: Any) -> None:
    chat = await start(window=8_000)
    for number in range(1, 9):
        await chat.say(words(number))
        await chat.settled()
    calls = events(lines(), "model_call")
    assert len(calls) == len([one for one in chat.standin.log if one.endpoint == "messages"])
    assert {one["purpose"] for one in calls} == {"reply", "summary"}
    for call in calls:
        assert set(CALL_FIELDS) <= set(call)
    assert len({call["call"] for call in calls}) == len(calls)


async def test_each_compaction_is_one_line_with_its_fields(start: Start, lines: Any) -> None:
    chat = await start(window=8_000)
    for number in range(1, 9):
        await chat.say(words(number))
        await chat.settled()
    told = [one for one in events(lines(), "context_event") if one["kind"] == "compaction"]
    assert len(told) == chat.row.compactions >= 1
    assert set(EVENT_FIELDS) <= set(told[0])
    assert told[0]["tokens_before"] > told[0]["tokens_after"]
    assert told[0]["seconds"] > 0


async def test_each_trim_is_one_line_with_its_fields(start: Start, lines: Any) -> None:
    chat = await start(strategy="sliding_window", window_messages=6)
    for number in range(1, 9):
        await chat.say(f"Message {number}.")
    told = [one for one in events(lines(), "context_event") if one["kind"] == "trim"]
    assert len(told) == chat.row.trims >= 1
    assert set(EVENT_FIELDS) <= set(told[0])


async def test_each_rung_is_one_line_with_its_fields(start: Start, lines: Any) -> None:
    chat = await start(window=8_000)
    extend(chat.session, 8, tokens=300, words="Plain words about the weather. " * 15)
    chat.standin.faults.add("overflow", times=2, purpose="reply")
    await chat.say("Where were we?")
    told = [one for one in events(lines(), "context_event") if one["kind"] == "rung"]
    assert len(told) == 2
    assert set(EVENT_FIELDS) <= set(told[0])
    assert told[0]["tokens_before"] > told[0]["tokens_after"]


async def test_a_job_that_fails_is_told_without_its_words(start: Start, lines: Any) -> None:
    chat = await start(ScriptedProvider([[f"{CANARY} half", Unavailable(CANARY)]], default=["Fine."]))
    await chat.say(f"{CANARY}.")

    async def broken(claim: Any) -> str:
        raise KeyError(CANARY)

    chat.service.jobs._kinds["compact"] = broken
    leases.enqueue("compact", chat.session.pk)
    chat.service.wake()
    async with asyncio.timeout(10):
        await chat.settled()
    written = lines()
    assert events(written, "job_failed")
    assert not [line for line in written if CANARY.lower() in line.lower()]
