"""What a person may use: set aside when a message is taken, settled however its turn ends."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chat.context import budget
from chat.flow import allowing, opening
from chat.flow.opening import Opened, Rejected
from chat.models import Allowance, ChatSession, Turn
from chat.providers.base import ModelInfo, Overloaded
from chat.providers.scripted import ScriptedProvider
from chat.store import integrity, leases, quotas, sessions
from monitoring.models import ModelCall
from tests.flow.conftest import Chat, Start, eventually
from tests.store.building import conversation, reread

pytestmark = pytest.mark.django_db(transaction=True)


def held(user: Any) -> tuple[int, ...]:
    row = Allowance.objects.get(user=user)
    return row.messages, row.live, row.reserved, row.reserved_cost


def send(session: ChatSession, client_id: uuid.UUID | None = None, **values: Any) -> Opened | Rejected:
    return opening.open_turn(
        owner_id=session.owner_id, session_id=session.pk, client_id=client_id or uuid.uuid4(), text="Hello?", **values
    )


async def test_a_finished_turn_counts_what_the_api_counted_at_its_price(start: Start) -> None:
    chat = await start()
    turn = await chat.say("Hello?")
    row = Allowance.objects.get(user=chat.owner)
    assert row.used == sum(turn.usage.values()) > 0
    assert row.cost == round(ModelCall.objects.get().cost * 1_000_000) > 0
    assert held(chat.owner) == (1, 0, 0, 0)
    assert turn.reserved >= row.used
    assert turn.reserved_cost >= row.cost


async def test_while_a_reply_is_written_the_most_it_can_use_is_set_aside(start: Start) -> None:
    chat = await start(standin={"delay_ms": 30})
    opened = await chat.open("Hello?")
    await chat.text_of(opened.turn_id)
    turn = chat.turn(opened.turn_id)
    assert held(chat.owner) == (1, 1, turn.reserved, turn.reserved_cost)
    await chat.service.stop_turn(owner_id=chat.owner.pk, session_id=chat.session.pk, turn_id=turn.pk)
    await chat.ended(turn.pk)
    row = Allowance.objects.get(user=chat.owner)
    assert held(chat.owner) == (1, 0, 0, 0)
    assert 0 < row.used < turn.reserved


async def test_a_turn_that_fails_gives_all_of_it_back(start: Start) -> None:
    chat = await start(ScriptedProvider([[Overloaded()]]))
    assert (await chat.say("Hello?")).status == Turn.Status.FAILED
    assert held(chat.owner) == (1, 0, 0, 0)
    assert Allowance.objects.get(user=chat.owner).used == 0


def test_a_turn_that_never_began_gives_it_back(alice: Any) -> None:
    session = conversation(alice, 2)
    opened = send(session)
    assert opening.ask_stop(owner_id=alice.pk, session_id=session.pk, turn_id=opened.turn_id) == "stopped"
    assert held(alice) == (1, 0, 0, 0)
    assert integrity.violations() == []


def test_a_turn_whose_runner_died_twice_gives_it_back(alice: Any) -> None:
    session = conversation(alice, 2)
    opened = send(session)
    for attempt in (1, 2):
        assert leases.claim_turn(f"runner {attempt}", 15).attempt == attempt
        assert held(alice)[1] == 1
        Turn.objects.filter(pk=opened.turn_id).update(lease_until=timezone.now() - timedelta(minutes=1))
        leases.reap_turns()
    assert Turn.objects.get(pk=opened.turn_id).status == Turn.Status.FAILED
    assert held(alice) == (1, 0, 0, 0)
    assert integrity.violations() == []


def test_a_released_turn_stays_set_aside_once(alice: Any) -> None:
    opened = send(conversation(alice, 2))
    before = held(alice)
    leases.release_turn(leases.claim_turn("me", 15), costs_attempt=False)
    leases.claim_turn("you", 15)
    assert held(alice) == before
    assert Turn.objects.get(pk=opened.turn_id).is_live


def test_the_third_reply_at_once_is_refused_and_nothing_is_written(alice: Any, settings: Any) -> None:
    settings.CHAT_LIVE_TURNS = 2
    chats = [conversation(alice, 1) for _ in range(3)]
    assert [type(send(one)) for one in chats] == [Opened, Opened, Rejected]
    refused = send(chats[2])
    assert (refused.code, refused.reason) == ("quota", "live")
    assert 0 < refused.retry_after_ms <= 2_000
    assert reread(chats[2]).turns_total == 1
    assert held(alice)[:2] == (2, 2)


def test_a_message_sent_again_is_answered_over_every_cap(alice: Any, settings: Any) -> None:
    session, client = conversation(alice), uuid.uuid4()
    first = send(session, client)
    leases.claim_turn("me", 15)
    Turn.objects.filter(pk=first.turn_id).update(status="failed", closed_at=timezone.now(), digest="d")
    settings.CHAT_TOKENS_PER_DAY = 1
    again = send(session, client)
    assert (again.turn_id, again.duplicate) == (first.turn_id, True)
    assert send(session).reason == "tokens"
    assert held(alice)[0] == 1


def test_a_message_sent_again_is_set_aside_once(alice: Any) -> None:
    session, client = conversation(alice), uuid.uuid4()
    first = send(session, client)
    before = held(alice)
    leases.claim_turn("me", 15)
    assert opening.ask_stop(owner_id=alice.pk, session_id=session.pk, turn_id=first.turn_id) == "asked"
    Turn.objects.filter(pk=first.turn_id).update(status="stopped", closed_at=timezone.now(), digest="d")
    assert send(session, client).duplicate
    assert held(alice) == before


@pytest.mark.parametrize("cap", ["CHAT_TOKENS_PER_DAY", "CHAT_SPEND_PER_DAY", "CHAT_LIVE_TURNS"])
def test_of_twenty_sends_at_once_as_many_are_taken_as_fit(alice: Any, settings: Any, at_once: Any, cap: str) -> None:
    chats = [conversation(alice) for _ in range(20)]
    settings.CHAT_LIVE_TURNS = 0
    setattr(settings, cap, {"CHAT_TOKENS_PER_DAY": 5_500, "CHAT_SPEND_PER_DAY": 5.5, "CHAT_LIVE_TURNS": 5}[cap])
    answers = at_once(*[lambda one=one: send(one, worth=lambda *_: (1_000, 1_000_000)) for one in chats])
    assert sum(isinstance(one, Opened) for one in answers) == 5
    assert {one.code for one in answers if isinstance(one, Rejected)} == {"quota"}
    assert Turn.objects.count() == 5
    assert integrity.violations() == []


async def test_no_call_is_made_past_a_cap_with_twenty_messages_at_once(start: Start, settings: Any) -> None:
    chat = await start(standin={"delay_ms": 1})
    await chat.say("Hello?")
    used = Allowance.objects.get(user=chat.owner).used
    most, _ = allowing.most(chat.service.engine, sessions_of(chat, 1)[0], 100)
    settings.CHAT_TOKENS_PER_DAY = used + 4 * most
    for _ in range(3):
        await asyncio.gather(*(message(chat, one) for one in sessions_of(chat, 20)))
        await eventually(lambda: not Turn.objects.live().exists())
        assert Allowance.objects.get(user=chat.owner).used <= settings.CHAT_TOKENS_PER_DAY
    row = Allowance.objects.get(user=chat.owner)
    assert row.used == sum(sum(turn.usage.values()) for turn in Turn.objects.all())
    assert (row.live, row.reserved) == (0, 0)


async def test_a_summary_counts_for_the_owner_of_the_conversation(start: Start) -> None:
    chat = await start(window=8_000)
    for number in range(60):
        await chat.say(f"Question {number}: " + "what happened to the order in the warehouse last week? " * 12)
        await chat.settled()
        if ModelCall.objects.filter(purpose="summary").exists():
            break
    row = Allowance.objects.get(user=chat.owner)
    calls = ModelCall.objects.all()
    assert {call.purpose for call in calls} == {"reply", "summary"}
    assert row.used == sum(call.input + call.cache_read + call.cache_write + call.output for call in calls)
    assert row.cost == sum(round(call.cost * 1_000_000) for call in calls)


def sessions_of(chat: Chat, count: int) -> list[ChatSession]:
    return [sessions.create(chat.owner) for _ in range(count)]


async def message(chat: Chat, session: ChatSession) -> Opened | Rejected:
    return await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=session.pk, client_id=uuid.uuid4(), text="Hello?"
    )


async def test_a_replay_may_use_what_people_may_not(start: Start, settings: Any) -> None:
    settings.CHAT_TOKENS_PER_DAY = 1
    chat = await start()
    refused = await message(chat, chat.session)
    assert (refused.code, refused.reason) == ("quota", "tokens")
    opened = await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=chat.session.pk, client_id=uuid.uuid4(), text="Hello?", caps=quotas.Caps()
    )
    await chat.ended(opened.turn_id)


class Known:
    """An engine that knows one window."""

    def __init__(self, window: int | None) -> None:
        self.window = window

    def known_window(self, model: str) -> ModelInfo | None:
        return ModelInfo(id=model, window=self.window) if self.window else None

    def budget_of(self, info: ModelInfo, instructions: str, thinking: bool = False) -> Any:
        return budget.split(info.window)


def test_the_most_of_a_call_grows_with_the_conversation_up_to_its_budget(alice: Any, settings: Any) -> None:
    settings.CHAT_CONTEXT_WINDOW = None
    session = conversation(alice, 0)
    session.model = "claude-opus-4-6"
    sizes = []
    for session.open_tokens in (0, 50_000, 300_000, 400_000):
        tokens, cost = allowing.most(Known(200_000), session, 100)
        sizes.append(tokens)
        assert cost > tokens * 5
    assert sizes == sorted(sizes)
    assert sizes[0] < 25_000
    assert sizes[2:] == [174_667, 174_667]
    assert allowing.most(Known(None), session, 100) == allowing.most(Known(200_000), session, 100)
    assert allowing.most(Known(500), session, 100)[0] == 500
