"""Each runtime switch, turned while the site runs: the row is written, and the running process does otherwise."""

import asyncio
import uuid
from typing import Any

import pytest
from django.test import Client

from chat.flow import compactor, inline
from chat.flow.opening import Opened, Rejected
from chat.models import Job, Manifest, Summary, Turn
from chat.providers.base import Overloaded
from chat.providers.scripted import ScriptedProvider
from chat.store import leases, sessions, switches
from chat.store.switches import Switches
from chat.web import condition
from monitoring.models import ModelCall
from tests.flow.conftest import Chat, Start, eventually
from tests.store.building import extend

PLAIN = "Plain words about the weather in the north. "
OTHER = "claude-sonnet-4-6"


async def turn(chat: Chat, **wanted: Any) -> None:
    """Write the row as another process would, and wait until this one has read it."""
    switches.write(Switches(**wanted))
    await eventually(lambda: chat.service.engine.switches == Switches(**wanted))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same loop, in steps that a test can wait for."""
    assert switches.REFRESH_S <= 2.5, "in force everywhere within 5 s, also when one reading fails"
    monkeypatch.setattr(switches, "REFRESH_S", 0.02)


async def test_what_another_process_wrote_is_in_force_here_and_costs_a_turn_nothing(start: Start) -> None:
    chat = await start(ScriptedProvider(default=["Yes."]))
    assert chat.service.engine.switches == Switches()
    before = switches.write(Switches(concurrency=3, summary_model=OTHER))
    assert before == Switches()
    await turn(chat, concurrency=3, summary_model=OTHER)
    assert switches.write(Switches()) == Switches(concurrency=3, summary_model=OTHER)


async def test_a_reading_that_fails_leaves_the_switches_as_they_were(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await start(ScriptedProvider(default=["Yes."]))
    await turn(chat, inline_off=True)
    real, failed = switches.read, asyncio.Event()
    loop = asyncio.get_running_loop()

    def broken() -> Switches:
        loop.call_soon_threadsafe(failed.set)
        raise switches.Error

    monkeypatch.setattr(switches, "read", broken)
    async with asyncio.timeout(5):
        await failed.wait()
    assert chat.service.engine.switches.inline_off
    monkeypatch.setattr(switches, "read", real)
    await turn(chat)


async def test_paused_compaction_waits_as_a_job_and_goes_on_when_the_switch_is_turned_back(start: Start) -> None:
    chat = await start(window=8_000)
    await turn(chat, compaction_paused=True)
    extend(chat.session, 8, tokens=800, words=PLAIN * 20)
    leases.enqueue(compactor.KIND, chat.session.pk)
    chat.service.wake_jobs()
    assert compactor.service_rests(chat.service.engine)
    assert not compactor.model_rests(chat.service.engine)
    assert await chat.service.jobs._claim() is False
    assert Job.objects.get().attempts == 0
    # Not before a reply either: what does not fit is left out, and said.
    said = await chat.say("And now?")
    assert said.status == Turn.Status.COMPLETE
    assert not Summary.objects.exists()
    await turn(chat)
    await eventually(lambda: Summary.objects.filter(state="active").exists())
    await chat.settled()


async def test_inline_off_lets_nobody_wait_while_the_background_goes_on(start: Start) -> None:
    chat = await start(window=8_000, jobs=False)
    extend(chat.session, 8, tokens=800, words=PLAIN * 20)
    await turn(chat, inline_off=True)
    assert await inline.compact_inline(chat.session.pk, chat.service.engine, chat.service.hub) is False
    assert not Job.objects.exists()
    outcome = await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub)
    assert outcome.code == "committed"


async def test_the_summariser_is_the_one_that_the_switch_names(start: Start) -> None:
    chat = await start(window=8_000, jobs=False)
    extend(chat.session, 8, tokens=800, words=PLAIN * 20)
    await turn(chat, summary_model=OTHER)
    await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub, force=True)
    assert set(ModelCall.objects.filter(purpose="summary").values_list("model", flat=True)) == {OTHER}


async def test_the_fallback_answers_where_the_conversations_own_model_cannot(start: Start) -> None:
    provider = ScriptedProvider([[Overloaded("busy")], ["From the other one."], ["From its own."]])
    chat = await start(provider)
    await turn(chat, fallback_model=OTHER)
    said = await chat.say("Are you there?")
    assert (said.status, said.reply) == (Turn.Status.COMPLETE, "From the other one.")
    assert Manifest.objects.get(turn=said).model == OTHER
    calls = ModelCall.objects.filter(purpose="reply").order_by("at").values_list("model", "outcome")
    assert list(calls) == [(chat.session.model, "overloaded"), (OTHER, "ok")]
    # The conversation keeps its model: the next turn asks that one again.
    assert (await chat.say("And now?")).reply == "From its own."
    assert [one.model for one in provider.requests] == [chat.session.model, OTHER, chat.session.model]


async def test_an_open_breaker_refuses_nobody_while_there_is_a_fallback(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = ScriptedProvider(default=["From the other one."])
    chat = await start(provider)
    own = chat.session.model
    monkeypatch.setattr(provider, "refusal", lambda model: 15.0 if model == own else 0.0)
    assert isinstance(await send(chat), Rejected)
    assert condition.now(own).code == "model"
    await turn(chat, fallback_model=OTHER)
    assert condition.now(own) is None
    said = await chat.say("Are you there?")
    assert said.reply == "From the other one."
    assert [one.model for one in provider.requests] == [OTHER]


async def test_concurrency_bounds_the_replies_of_a_process_and_ends_none(start: Start) -> None:
    gate = asyncio.Event()
    chat = await start(ScriptedProvider(default=lambda _request: ["So ", gate, "it is."]))
    await turn(chat, concurrency=1)
    first = await chat.open("One?")
    await chat.text_of(first.turn_id)
    other = sessions.create(chat.owner)
    second = await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=other.pk, client_id=uuid.uuid4(), text="Two?"
    )
    assert isinstance(second, Opened)
    await chat.service.runner._claim_all()
    assert chat.service.runner.live == 1
    assert chat.turn(second.turn_id).status == Turn.Status.QUEUED
    await turn(chat)
    await eventually(lambda: chat.turn(second.turn_id).status == Turn.Status.RUNNING)
    gate.set()
    assert (await chat.ended(first.turn_id)).status == Turn.Status.COMPLETE
    await eventually(lambda: chat.turn(second.turn_id).status == Turn.Status.COMPLETE)


async def send(chat: Chat, client_id: uuid.UUID | None = None) -> Opened | Rejected:
    """A message that may be refused."""
    return await chat.service.open_turn(
        owner_id=chat.owner.pk, session_id=chat.session.pk, client_id=client_id or uuid.uuid4(), text="Hello?"
    )


async def test_read_only_takes_no_message_and_no_change_and_shows_everything(start: Start) -> None:
    chat = await start(ScriptedProvider(default=["Yes."]))
    first = uuid.uuid4()
    stored = await send(chat, first)
    await chat.ended(stored.turn_id)
    await turn(chat, read_only=True)
    assert await send(chat) == Rejected("unavailable", 30_000)
    again = await send(chat, first)  # its acknowledgement was lost: it is stored, and says so
    assert isinstance(again, Opened)
    assert again.duplicate
    assert condition.now().code == "read_only"
    client = Client()
    client.force_login(chat.owner)
    page = f"/c/{chat.session.pk}/"
    assert (await asyncio.to_thread(client.get, page)).status_code == 200
    refused = await asyncio.to_thread(client.post, f"{page}rename/", {"title": "New"})
    assert refused.status_code == 503
    assert "read-only" in refused.content.decode()
    assert refused["Retry-After"] == "30"
    assert (await asyncio.to_thread(client.post, "/accounts/logout/")).status_code == 302
    assert chat.row.title != "New"
    await turn(chat)
    assert isinstance(await send(chat), Opened)
    await eventually(lambda: not Turn.objects.live().exists())
