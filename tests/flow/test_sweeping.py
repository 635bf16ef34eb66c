"""What the sweep asks of the Models API: little, whatever models the rows name."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from chat.flow import sweeping
from chat.flow.engine import Engine
from chat.flow.sweeping import Marks
from chat.models import ChatSession
from chat.providers.base import ModelInfo
from chat.providers.scripted import ScriptedProvider
from chat.store import sessions
from chat.store.database import Database

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
