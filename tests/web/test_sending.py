"""What a person sends, by socket or page: messages a minute are counted at this door."""

import contextlib
import threading
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from chat import service
from chat.flow import opening
from chat.flow.opening import Opened
from chat.models import Turn
from chat.providers.scripted import ScriptedProvider
from chat.store import sessions
from chat.web import sending

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def site(settings: Any, transactional_db: None) -> AsyncIterator[None]:
    """A service without a runner, which allows two messages a minute."""
    settings.CHAT_MESSAGES_PER_MINUTE = 2
    await service.start(provider=ScriptedProvider([]), run_turns=False, run_jobs=False)
    yield
    await service.stop()


async def send(user: Any, client_id: uuid.UUID | None = None) -> Any:
    """One message into a conversation of its own, or again into the one that it went to."""
    stored = await Turn.objects.filter(client_id=client_id).afirst() if client_id else None
    session = stored.session_id if stored else (await sync_to_async(sessions.create)(user)).pk
    return await sending.send(user.pk, session, client_id=client_id or uuid.uuid4(), text="Hello?")


async def test_the_third_message_in_a_minute_hears_when_it_may_be_sent(site: None, alice: Any, bob: Any) -> None:
    assert [type(await send(alice)) for _ in range(2)] == [Opened, Opened]
    refused = await send(alice)
    assert refused.code == "quota"
    assert 50_000 < refused.retry_after_ms <= 60_000
    assert await Turn.objects.acount() == 2
    assert isinstance(await send(bob), Opened)


async def test_a_message_whose_answer_was_lost_is_answered_over_the_limit(site: None, alice: Any) -> None:
    client = uuid.uuid4()
    await send(alice, client)
    await send(alice)
    assert (await send(alice, client)).duplicate
    assert (await send(alice)).code == "quota"


def test_a_first_message_that_comes_twice_at_once_begins_one_conversation(
    alice: Any, at_once: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, create = threading.Barrier(2), sessions.create

    def slowly(*args: Any, **values: Any) -> Any:
        # Who comes second gets as far as here only where nothing holds it back.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return create(*args, **values)

    monkeypatch.setattr(sessions, "create", slowly)
    client_id = uuid.uuid4()

    def send_first() -> Any:
        session = sending._new_session(alice, temporary=False, client_id=client_id)
        return opening.open_turn(owner_id=alice.pk, session_id=session, client_id=client_id, text="Hello?")

    first, second = at_once(send_first, send_first)
    assert (first.turn_id, first.duplicate or second.duplicate) == (second.turn_id, True)
    assert (Turn.objects.count(), alice.chat_sessions.count()) == (1, 1)


async def test_a_page_is_told_the_same(site: None, alice: Any, async_client: Any) -> None:
    await async_client.aforce_login(alice)
    for _ in range(3):
        session = await sync_to_async(sessions.create)(alice)
        answer = await async_client.post(
            f"/c/{session.pk}/turns/",
            {"text": "Hello?", "client_id": str(uuid.uuid4())},
            headers={"accept": "application/json"},
        )
    assert answer.status_code == 429
    assert (answer.json()["code"], answer.json()["reason"]) == ("quota", "messages")
    assert answer.json()["retry_after_ms"] > 50_000
