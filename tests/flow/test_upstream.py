"""The model's service in trouble, through the whole stack in one process: what is refused, what waits, what is told."""

import asyncio
import logging
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError

from chat.flow import compactor, engine, failures, opening, summariser, upstream
from chat.flow.opening import Opened, Rejected
from chat.models import Job, Notice, Summary, Turn
from chat.providers.anthropic import Timeouts
from chat.providers.base import ProviderError, RateLimited, TooLarge, Unavailable
from chat.providers.keys import FileKey, FixedKey
from chat.providers.steady import BREAKER, Steady
from chat.store import leases
from chat.stream.protocol import Status
from monitoring import recording
from monitoring.models import ContextEvent, ModelCall
from tests.flow.conftest import Chat, Start, eventually
from tests.providers.building import request
from tests.store.building import extend

PLAIN = "Plain words about the weather in the north. "


class Clock:
    """The breakers' time, which a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def steadies(chat: Chat) -> tuple[Steady, Steady]:
    reply, background = chat.service.engine.provider, chat.service.engine.background
    assert isinstance(reply, Steady)
    assert isinstance(background, Steady)
    return reply, background


async def quick(chat: Chat) -> Clock:
    """No pause is made, and the breakers' clock stands still."""

    async def nap(seconds: float) -> None:
        clock.now += seconds
        await asyncio.sleep(0)

    clock = Clock()
    for steady in steadies(chat):
        steady._sleep, steady._clock = nap, clock
    return clock


async def break_down(chat: Chat) -> Clock:
    """Let two messages fail, after which the breaker is open."""
    clock = await quick(chat)
    reply, _ = steadies(chat)
    reply._patience = 0.0
    chat.standin.faults.add("status", status=529, times=5)
    for _ in range(2):
        assert (await chat.say("Hello")).status == "failed"
    assert reply.refusal(chat.session.model) > 0
    return clock


async def send(chat: Chat, text: str, client_id: uuid.UUID | None = None) -> Opened | Rejected:
    return await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=chat.session.pk, client_id=client_id or uuid.uuid4(), text=text
    )


class TestOpenBreaker:
    async def test_a_message_is_refused_before_anything_is_written(self, start: Start) -> None:
        chat = await start()
        await break_down(chat)
        asked, rows, version = len(chat.sent()), Turn.objects.count(), chat.row.updated_at
        answer = await send(chat, "Are you there?")
        assert isinstance(answer, Rejected)
        assert (answer.code, 10_000 < answer.retry_after_ms <= 15_000) == ("unavailable", True)
        assert (Turn.objects.count(), chat.row.updated_at, len(chat.sent())) == (rows, version, asked)

    async def test_a_message_that_was_stored_before_is_a_duplicate_all_the_same(self, start: Start) -> None:
        chat = await start()
        client_id = uuid.uuid4()
        first = await send(chat, "Hello", client_id)
        assert isinstance(first, Opened)
        await chat.ended(first.turn_id)
        await break_down(chat)
        again = await send(chat, "Hello", client_id)
        assert isinstance(again, Opened)
        assert (again.turn_id, again.duplicate) == (first.turn_id, True)

    async def test_a_session_with_another_model_goes_on(self, start: Start) -> None:
        chat = await start()
        await break_down(chat)
        chat.session.model = django_settings.CHAT_SUMMARY_MODEL
        chat.session.save(update_fields=["model"])
        assert isinstance(await send(chat, "Hello"), Opened)

    async def test_a_turn_that_waited_already_is_answered_by_the_probe(self, start: Start) -> None:
        chat = await start()
        await break_down(chat)
        reply, _ = steadies(chat)
        reply._patience = 45.0
        opened = await asyncio.to_thread(
            opening.open_turn,
            owner_id=chat.owner.pk,
            session_id=chat.session.pk,
            client_id=uuid.uuid4(),
            text="I was queued before.",
        )
        assert isinstance(opened, Opened)
        chat.service.wake()
        assert (await chat.ended(opened.turn_id)).status == "complete"
        assert reply.refusal(chat.session.model) == 0

    async def test_the_operator_gets_one_line_and_one_row_and_sees_the_state(
        self, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        chat = await start()
        await break_down(chat)
        row = await eventually(lambda: ContextEvent.objects.filter(kind="upstream").first())
        assert (row.outcome, row.code, row.model, row.session) == (
            "breaker_opened", "overloaded", chat.session.model, None,
        )  # fmt: skip
        assert ContextEvent.objects.filter(kind="upstream").count() == 1
        assert caplog.text.count("'event': 'breaker_opened'") == 1
        assert upstream.STANDIN_KEY not in caplog.text
        assert recording.sources()["upstream"] == {
            "reply_closed": 0, "reply_open": 1, "reply_probing": 0,
            "background_closed": 0, "background_open": 0, "background_probing": 0,
        }  # fmt: skip

    async def test_an_alert_that_no_database_takes_is_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        class Away:
            async def run(self, *_: Any, **__: Any) -> None:
                raise OperationalError

        recorder = upstream.Recorder(Away())
        recorder("breaker_opened", "m", "overloaded")
        await asyncio.gather(*recorder._tasks)
        assert "alert_not_stored" in caplog.text


class TestRefusedAccount:
    @pytest.mark.parametrize(
        ("status", "kind", "message"),
        [
            (401, "", "invalid x-api-key"),
            (402, "", "Your credit balance is too low"),
            (400, "invalid_request_error", "You have reached your specified API usage limits."),
            (429, "", "This request would exceed your organization's spend limit."),
        ],
    )
    async def test_it_is_said_once_to_the_operator_and_plainly_to_the_user(
        self, start: Start, caplog: pytest.LogCaptureFixture, status: int, kind: str, message: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        chat = await start()
        chat.standin.faults.add("status", status=status, error_type=kind, message=message, times=99)
        for _ in range(3):
            turn = await chat.say("Hello")
            assert (turn.status, turn.error) == ("failed", "refused")
        assert len(chat.sent()) == 3  # never asked twice for one message
        assert caplog.text.count("'event': 'upstream_refused'") == 1
        await eventually(lambda: ContextEvent.objects.filter(kind="upstream").exists())
        assert ContextEvent.objects.get(kind="upstream").outcome == "upstream_refused"
        assert upstream.STANDIN_KEY not in caplog.text
        assert message not in caplog.text

    async def test_it_is_also_said_when_the_window_is_what_was_asked_for(self, start: Start) -> None:
        chat = await start(window=None)
        chat.standin.faults.add("status", status=401, endpoint="models", times=9)
        turn = await chat.say("Hello")
        assert (turn.status, turn.error) == ("failed", "refused")

    async def test_a_service_that_does_not_say_its_window_at_once_is_not_waited_for_when_it_was_said_before(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chat = await start(window=None)
        assert (await chat.say("Hello")).status == "complete"
        monkeypatch.setattr(engine, "ASK_WINDOW_S", 0.05)
        monkeypatch.setattr(engine, "WINDOW_AGE_S", 0.0)
        monkeypatch.setattr(chat.service.engine.provider, "window", lambda model: asyncio.sleep(3600))
        assert (await chat.say("And now?")).status == "complete"


class TestWaits:
    async def test_still_trying_is_said_after_three_seconds_of_failing(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failures, "STILL_S", 0.05)
        chat = await start()
        chat.standin.faults.add("status", status=429, retry_after=0.3, times=1)
        assert (await chat.say("Hello")).status == "complete"
        told = [one for one in chat.frames if isinstance(one, Status) and one.phase == "retrying"]
        assert len(told) == 1
        assert told[0].since_ms >= 50

    async def test_nothing_is_said_of_a_failure_that_passed_at_once(self, start: Start) -> None:
        chat = await start()
        await quick(chat)
        chat.standin.faults.add("status", status=529, times=2)
        assert (await chat.say("Hello")).status == "complete"
        assert not [one for one in chat.frames if isinstance(one, Status) and one.phase == "retrying"]

    async def test_a_long_wait_is_named(self, start: Start) -> None:
        chat = await start()
        chat.standin.faults.add("status", status=429, retry_after=7200)
        turn = await chat.say("Hello")
        assert (turn.status, turn.error) == ("failed", "rate_limited:7200")
        assert len(chat.sent()) == 1
        assert ModelCall.objects.get().outcome == "rate_limited"

    async def test_what_is_too_large_is_named(self, start: Start) -> None:
        chat = await start()
        chat.standin.faults.add("status", status=413)
        turn = await chat.say("Words " * 200)
        assert (turn.status, turn.error) == ("failed", "too_large:current")
        assert len(chat.sent()) == 1

    def test_a_code_carries_no_more_than_it_must(self) -> None:
        assert failures.stored(Unavailable(), None) == "unavailable"
        assert failures.stored(Unavailable(wait=9.0, cause=BREAKER), None) == "unavailable"
        assert failures.stored(RateLimited(wait=7200.4), None) == "rate_limited:7200"
        assert failures.stored(TooLarge(), request("a", "b", system="longer than both")) == "too_large:system"
        assert failures.bare("too_large:system") == failures.bare("too_large") == "too_large"


class TestCompaction:
    async def test_while_its_service_is_in_trouble_nobody_waits_for_it(self, start: Start) -> None:
        chat = await start(window=8_000, jobs=False)
        _, background = steadies(chat)
        await quick(chat)
        chat.standin.summary_mode = "error"
        for number in range(2):
            with pytest.raises(ProviderError):
                await summariser._ask(_work(chat, number), django_settings.CHAT_SUMMARY_MODEL, chat.service.engine)
        assert background.refusal(django_settings.CHAT_SUMMARY_MODEL) > 0
        asked = len(chat.standin.log)
        extend(chat.session, 12, tokens=700, words=PLAIN * 35)
        turn = await chat.say("Where were we?")
        assert turn.status == "complete"
        assert [one.purpose for one in chat.standin.log[asked:] if one.endpoint == "messages"] == ["reply"]
        assert Notice.objects.filter(kind="trimmed", ended_at=None).exists()
        assert not Summary.objects.exists()

    async def test_its_jobs_wait_as_rows_and_go_on_afterwards(self, start: Start) -> None:
        chat = await start(window=8_000)
        clock = await break_down(chat)
        extend(chat.session, 12, tokens=500, words=PLAIN * 25)
        leases.enqueue(compactor.KIND, chat.session.pk)
        assert not await chat.service.jobs._claim()
        assert Job.objects.get().attempts == 0
        clock.now += 15.0
        await chat.settled()
        assert chat.row.compactions >= 1

    async def test_a_session_that_nothing_can_summarise_is_trimmed_with_a_notice(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chat = await start(window=8_000, jobs=False)
        chat.standin.summary_mode = "garbage"
        monkeypatch.setattr(summariser, "extractive_summary", lambda **_: "")
        extend(chat.session, 12, tokens=700, words=PLAIN * 35)
        for _ in range(2):
            assert (await chat.say("Where were we?")).status == "complete"
            assert Notice.objects.filter(kind="trimmed", ended_at=None).exists()
        assert compactor.session_rests(chat.session.pk, chat.service.engine)
        # The first message asked for the summary, the second found it resting.
        assert len([one for one in chat.standin.log if one.purpose == "summary"]) == 3
        assert not Summary.objects.exclude(state="rejected").exists()

    async def test_what_fails_there_never_refuses_a_message(self, start: Start) -> None:
        chat = await start(window=8_000, jobs=False)
        await quick(chat)
        reply, background = steadies(chat)
        chat.standin.summary_mode = "error"
        extend(chat.session, 12, tokens=700, words=PLAIN * 35)
        assert (await chat.say("Where were we?")).status == "complete"
        assert background.breakers.count("open") >= 1
        assert reply.breakers.count("open") == 0
        assert isinstance(await send(chat, "And now?"), Opened)


def _work(chat: Chat, number: int) -> summariser.Assignment:
    return summariser.Assignment(
        session_id=chat.session.pk, owner_id=chat.owner.pk, strategy="summary", chat_model=chat.session.model,
        first=1, last=1, tier=1, source_hash=str(number), source_tokens=100, limit_tokens=100, exact_tokens=100,
    )  # fmt: skip


class TestKey:
    def test_it_comes_from_the_file_when_there_is_one(self, settings: Any, tmp_path: Path) -> None:
        settings.ANTHROPIC_API_KEY = "sk-from-the-environment"
        assert isinstance(upstream.api_key(), FixedKey)
        path = tmp_path / "key"
        path.write_text("sk-from-the-file\n")
        settings.CHAT_API_KEY_FILE = str(path)
        key = upstream.api_key()
        assert isinstance(key, FileKey)
        assert key.current() == "sk-from-the-file"
        os.replace(tmp_path / "key", tmp_path / "away")
        assert key.renew() == "sk-from-the-file"


def test_without_a_setting_the_service_is_waited_for_as_long_as_the_client_says() -> None:
    assert upstream.timeouts() == Timeouts(connect=5.0, first=30.0, content=60.0, whole=600.0) == Timeouts()
