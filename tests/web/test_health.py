"""chat/web/health.py: up and ready are two questions."""

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test import AsyncClient
from django.utils import timezone

from chat.models import Worker
from chat.web import health

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
    assert response.json() == {"ready": True, "database": "ok", "bus": "none", "runner": "ok"}


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
    assert body == {"ready": False, "database": "down", "bus": "none", "runner": "unknown"}


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
