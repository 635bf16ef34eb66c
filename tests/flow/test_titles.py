"""The title that a model finds: once, in the background, recorded, and never over its owner's own."""

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.models.functions import Now

from chat.context import titling
from chat.flow import titles
from chat.flow.asking import ask
from chat.flow.engine import UnknownWindow
from chat.models import Allowance, ChatSession, Job
from chat.providers.scripted import ScriptedProvider
from chat.store import leases
from chat.stream.protocol import Notice
from monitoring.models import ModelCall
from tests.flow.conftest import Chat, Start

FIRST = "Please help me to plan a long trip to Norway. We start in Oslo and we want to see the fjords."


@pytest.fixture(autouse=True)
def by_model(settings: Any) -> None:
    settings.CHAT_TITLES = "model"


def asked(chat: Chat) -> list[Any]:
    return [one for one in chat.standin.log if one.purpose == "title"]


async def test_the_first_words_at_once_and_then_a_better_title(start: Start) -> None:
    chat = await start()
    await chat.open(FIRST)
    row = chat.row
    assert (row.title, row.titled_by) == ("Please help me to plan a long trip to Norway.", "code")
    await chat.until(lambda: [one for one in chat.frames if isinstance(one, Notice) and one.kind == "title"])
    row = chat.row
    assert (row.title, row.titled_by) == ("Help me to plan a long", "model")
    await chat.say("And in winter?")
    await chat.settled()
    assert len(asked(chat)) == 1
    (call,) = ModelCall.objects.filter(purpose="title")
    assert (call.session, call.outcome, call.model) == (
        chat.session.pk,
        "ok",
        chat.service.engine and asked(chat)[0].model,
    )
    assert call.input + call.cache_read + call.cache_write < 600
    used = sum(Allowance.objects.filter(user=chat.owner).values_list("used", flat=True))
    assert used == sum(one.input + one.cache_read + one.cache_write + one.output for one in ModelCall.objects.all())


@pytest.mark.parametrize(
    "reply", ["", "x" * 100, 'A "great" trip', "Sure:\nNorway", "<img src=x onerror=alert(1)>"], ids=repr
)
async def test_what_is_no_title_changes_nothing(start: Start, reply: str) -> None:
    chat = await start()
    chat.standin.faults.add("reply", text=reply, purpose="title")
    await chat.say(FIRST)
    await chat.settled()
    assert len(asked(chat)) == 1
    assert (chat.row.title, chat.row.titled_by) == ("Please help me to plan a long trip to Norway.", "code")


@pytest.mark.parametrize(
    "change",
    [{"title": "Mine", "titled_by": "user"}, {"temporary": True}, {"deleted_at": Now()}],
    ids=["its owner called it", "it is temporary", "it is deleted"],
)
async def test_nobody_is_asked_when_nothing_would_come_of_it(start: Start, change: dict[str, Any]) -> None:
    chat = await start(jobs=False)
    await chat.say(FIRST)
    assert Job.objects.get(kind="title").priority < 0
    ChatSession.objects.filter(pk=chat.session.pk).update(**change)
    claim = leases.claim_for_session("title", chat.session.pk, "me", 60)
    title = chat.row.title
    assert await titles.run_job(claim, chat.service.engine, chat.service.hub) == ""
    assert asked(chat) == []
    assert chat.row.title == title
    leases.finish_job(claim)
    assert not titles.enqueue(chat.session.pk, 2)


async def test_a_title_by_its_owner_that_comes_meanwhile_stays(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = await start()
    ask = titles.ask

    async def slow(*args: Any, **options: Any) -> tuple[str, str]:
        answer = await ask(*args, **options)
        ChatSession.objects.filter(pk=chat.session.pk).update(title="Mine", titled_by="user")
        return answer

    monkeypatch.setattr(titles, "ask", slow)
    await chat.say(FIRST)
    await chat.settled()
    assert len(asked(chat)) == 1
    assert chat.row.title == "Mine"


async def test_who_has_used_up_the_day_keeps_the_first_words(start: Start, settings: Any) -> None:
    chat = await start(jobs=False)
    await chat.say(FIRST)
    settings.CHAT_TOKENS_PER_DAY = 10
    claim = leases.claim_for_session("title", chat.session.pk, "me", 60)
    await titles.run_job(claim, chat.service.engine, chat.service.hub)
    assert asked(chat) == []


@pytest.mark.parametrize(("setting", "title"), [("code", "Please help me to plan a long trip to Norway."), ("off", "")])
async def test_it_can_be_turned_off(start: Start, settings: Any, setting: str, title: str) -> None:
    settings.CHAT_TITLES = setting
    chat = await start()
    await chat.say(FIRST)
    assert chat.row.title == title
    assert not Job.objects.exists()


async def test_a_service_in_trouble_is_asked_again_later(start: Start) -> None:
    chat = await start()
    chat.standin.faults.add("status", status=529, purpose="title", times=9)
    await chat.say(FIRST)
    await chat.settled()
    job = Job.objects.get(kind="title")
    assert (job.state, job.error, job.attempts) == ("due", "overloaded", 1)
    assert chat.row.titled_by == "code"


async def test_a_call_that_could_not_be_recorded_is_not_made() -> None:
    async def nobody_knows(model: str) -> None:
        raise UnknownWindow(model)

    provider = ScriptedProvider(default=["Norway"])
    engine: Any = SimpleNamespace(window=nobody_knows, background=provider)
    with pytest.raises(UnknownWindow):
        await ask(
            titling.request(FIRST, "", "a-model"), engine, purpose="title", session_id=uuid.uuid4(), owner_id=1,
            number=1, strategy="summary",
        )  # fmt: skip
    assert provider.requests == []
