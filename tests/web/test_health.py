"""chat/web/health.py: up and ready are two questions."""

import asyncio
import threading
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import AsyncClient
from django.utils import timezone

from chat import service
from chat.flow import opening
from chat.models import Worker
from chat.providers.scripted import ScriptedProvider
from chat.store import pulse
from chat.web import health, sending

WELL = {
    "ready": True,
    "database": "ok",
    "schema": "ok",
    "runner": "ok",
    "storage": "ok",
    "bus": "none",
    "model": "ok",
    "draining": False,
}

pytestmark = pytest.mark.django_db(transaction=True)


def beat(*, seconds_ago: float, kinds: str = "turns") -> None:
    Worker.objects.create(id="w1", kinds=kinds, beat_at=timezone.now() - timedelta(seconds=seconds_ago))


async def ask(path: str) -> tuple[int, dict[str, object]]:
    response = await AsyncClient().get(path)
    return response.status_code, response.json()


def test_a_process_is_up_for_anybody_and_without_the_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")


def test_a_site_with_a_beating_runner_is_ready(client):
    beat(seconds_ago=1)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == WELL


@pytest.mark.parametrize(("seconds_ago", "kinds"), [(60, "turns"), (1, "jobs")])
def test_a_site_whose_runner_is_gone_or_runs_no_turns_is_not_ready(client, seconds_ago, kinds):
    beat(seconds_ago=seconds_ago, kinds=kinds)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["runner"] == "none"


async def test_a_database_that_fails_makes_the_site_unready_and_says_no_more(monkeypatch):
    def fail() -> str:
        raise OperationalError("connection to server at 10.0.0.5 failed: secret detail")

    monkeypatch.setattr(health, "database_answers", fail)
    status, body = await ask("/readyz")
    assert status == 503
    unknown = {"schema": "unknown", "runner": "unknown"}
    assert body == WELL | {"ready": False, "database": "down"} | unknown


async def test_a_database_that_hangs_does_not_hang_the_answer(monkeypatch):
    def hang() -> str:
        connection.ensure_connection()
        held.wait(10)
        return "ok"

    held = threading.Event()
    monkeypatch.setattr(health, "database_answers", hang)
    monkeypatch.setattr(health, "CHECK_S", 0.05)
    try:
        status, body = await ask("/readyz")
    finally:
        held.set()
    assert (status, body["database"]) == (503, "slow")


@pytest.fixture
async def site():
    """A service without a runner; somebody else's beats."""
    await service.start(provider=ScriptedProvider([]), run_turns=False, run_jobs=False)
    await sync_to_async(beat)(seconds_ago=0)
    yield service.current()
    await service.stop()


async def test_a_process_that_drains_is_not_ready(site):
    assert await ask("/readyz") == (200, WELL)
    await service.drain()
    assert await ask("/readyz") == (503, WELL | {"ready": False, "draining": True})


async def test_a_bus_that_is_down_slows_the_site_and_does_not_stop_it(site, settings, monkeypatch):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for up, word in ((True, "up"), (False, "down")):
        monkeypatch.setattr(type(site.bus), "up", up)
        assert await ask("/readyz") == (200, WELL | {"bus": word})


async def test_a_model_that_rests_is_told_and_takes_no_process_out(site, monkeypatch):
    monkeypatch.setattr(site.engine.provider, "refusal", lambda model: 12.0)
    assert await ask("/readyz") == (200, WELL | {"model": "resting"})


async def test_a_schema_that_lacks_a_migration_is_not_ready(site, monkeypatch):
    monkeypatch.setattr(health, "schema_is_whole", health.Migrations())
    last = await MigrationRecorder.Migration.objects.filter(app="chat").alatest("name")
    await MigrationRecorder.Migration.objects.filter(pk=last.pk).adelete()
    assert await ask("/readyz") == (503, WELL | {"ready": False, "schema": "pending", "runner": "unknown"})
    await last.asave(force_insert=True)
    assert await ask("/readyz") == (200, WELL)


async def test_a_message_that_was_not_stored_makes_the_site_unready_until_something_is(site, alice, monkeypatch):
    def full(**_):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(opening, "open_turn", full)
    refused = await sending.send(alice.pk, uuid.uuid4(), client_id=uuid.uuid4(), text="Hello?")
    assert refused.code == "storage"
    assert await ask("/readyz") == (503, WELL | {"ready": False, "storage": "failing"})
    await site.pulse.beat()
    assert await ask("/readyz") == (200, WELL)


async def test_the_pulse_finds_a_full_disk_by_itself(site, monkeypatch):
    def full(owner):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(pulse, "_write", full)
    await site.pulse.beat()
    assert (await ask("/readyz"))[1]["storage"] == "failing"
    monkeypatch.undo()
    monkeypatch.setattr(pulse, "AGAIN_S", 0.01)
    for _ in range(1_000):
        if not site.pulse.failing:
            break
        await asyncio.sleep(0.02)
    assert site.pulse.failing == ""


async def test_a_pulse_leaves_a_runners_row_what_it_is(site):
    await Worker.objects.acreate(id=site.owner, kinds="turn job", slots=3, beat_at=timezone.now() - timedelta(hours=1))
    await site.pulse.beat()
    row = await Worker.objects.aget(pk=site.owner)
    assert (row.kinds, row.slots) == ("turn job", 3)
    assert timezone.now() - row.beat_at < timedelta(minutes=1)
