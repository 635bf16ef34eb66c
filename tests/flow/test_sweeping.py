"""What the sweep asks of the Models API: little, whatever models the rows name. And how much it removes: some."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from chat import service
from chat.flow import sweeping
from chat.flow.engine import Engine
from chat.flow.sweeping import Marks
from chat.models import ChatSession, Turn
from chat.providers.base import ModelInfo
from chat.providers.scripted import ScriptedProvider
from chat.store import purging, sessions
from chat.store.database import Database
from tests.store.building import conversation

pytestmark = pytest.mark.django_db(transaction=True)


class Knows(ScriptedProvider):
    """Knows the models that it is given, and keeps a list of those that it was asked for."""

    def __init__(self, *models: str) -> None:
        super().__init__()
        self.models = models
        self.asked: list[str] = []

    async def window(self, model: str) -> ModelInfo:
        """The window of a model that it knows."""
        self.asked.append(model)
        known = model in self.models
        return ModelInfo(id=model, window=200_000 if known else 0, known=known, source="scripted")


@pytest.fixture
def database(settings: Any) -> Iterator[Database]:
    settings.CHAT_CONTEXT_WINDOW = None
    database = Database(1)
    yield database
    database.close()


def grown(owner: Any, *models: str, **values: Any) -> None:
    """A conversation of each model with something to compress."""
    for model in models:
        session = sessions.create(owner, model=model, **values)
        ChatSession.objects.filter(pk=session.pk).update(open_tokens=1_000)


async def test_a_model_that_nobody_knows_is_not_asked_for_by_every_sweep(
    alice: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.run(grown, alice, "known", "unknown")
    provider = Knows("known")
    marks = Marks(Engine(provider, database))
    for _ in range(3):
        assert set(await marks.read()) == {"known"}
    assert sorted(provider.asked) == ["known", "unknown"]
    # After a while it is: a model may have come, or the service is back.
    monkeypatch.setattr(sweeping, "REST_S", 0.0)
    later = Marks(Engine(provider, database))
    for _ in range(2):
        await later.read()
    assert provider.asked.count("unknown") == 3


async def test_many_unknown_models_hold_up_no_sweep_and_hide_no_known_one(alice: Any, database: Database) -> None:
    await database.run(grown, alice, *(f"made-up-{number}" for number in range(9)), "known")
    provider = Knows("known")
    engine = Engine(provider, database)
    marks = Marks(engine)
    await engine.window("known")
    provider.asked.clear()
    asked = 0
    for _ in range(3):
        assert set(await marks.read()) == {"known"}
        assert len(provider.asked) - asked == sweeping.MOST_UNTOLD
        asked = len(provider.asked)
    assert len(set(provider.asked)) == 9


async def test_what_holds_nothing_or_is_deleted_asks_for_no_window(alice: Any, database: Database) -> None:
    await database.run(sessions.create, alice, model="empty")
    await database.run(lambda: grown(alice, "deleted", deleted_at=timezone.now()))
    provider = Knows()
    assert await Marks(Engine(provider, database)).read() == {}
    assert provider.asked == []


async def test_a_sweep_removes_some_of_a_long_conversation_others_write_meanwhile_and_the_next_goes_on(
    alice: Any, database: Database, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await database.run(conversation, alice, 8)
    settings.CHAT_UNDO_S = -1
    await database.run(lambda: ChatSession.objects.update(deleted_at=timezone.now()))
    loop, whole = asyncio.get_running_loop(), purging.purge
    done: list[Any] = []
    sending: list[asyncio.Task[None]] = []

    def send() -> None:
        sending.append(loop.create_task(database.run(done.append, "sent")))

    def piece(undo_s: float) -> purging.Purged | None:
        if not done:
            loop.call_soon_threadsafe(send)
        done.append(whole(undo_s, step_s=0.0))
        return done[-1]

    monkeypatch.setattr(purging, "purge", piece)
    monkeypatch.setattr(purging, "TURNS", 2)
    monkeypatch.setattr(service, "PURGED_AT_ONCE", 3)
    running: Any = SimpleNamespace(database=database, engine=SimpleNamespace(recent=None), forgetting=False)
    await service._purge(running)
    some, all_of_it = purging.Purged(session.pk, False), purging.Purged(session.pk, True)
    assert done == [some, "sent", some, some]
    assert await database.run(Turn.objects.count) == 2
    assert not running.forgetting
    await service._purge(running)
    assert done[4:] == [some, all_of_it, None]
    assert not await database.run(ChatSession.objects.count)
