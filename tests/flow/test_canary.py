"""One word in everything that a person or a model can write: it reaches no log line, metric, span, address, nor any
table or page of monitoring."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from chat.models import Document, Fact, Summary
from chat.providers.standin.request import purpose
from ctxsite import logs
from monitoring import exposing, urls
from monitoring.models import ModelCall
from tests.flow.conftest import Start
from tests.flow.test_compaction import words
from tests.flow.test_tracing import Heard, heard

__all__ = ["heard"]

CANARY = "Quetzalcoatlus"
ARGUMENTS = {"code": "utilisation", "pk": 1}


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the site's own handler writes, at the lowest level that its configuration lets through."""
    stream = io.StringIO()
    configuration = logs.configuration(level="DEBUG", readable=False)
    configuration["handlers"]["stderr"]["stream"] = stream
    logging.config.dictConfig(configuration)
    yield stream
    logging.config.dictConfig(settings.LOGGING)


def pages(session: Any, user: int) -> list[str]:
    """The address of every page of monitoring."""
    found = []
    for pattern in urls.urlpatterns:
        wanted = pattern.pattern.converters
        given = {"session": session, "user": user} | ARGUMENTS
        found.append(reverse(f"monitoring:{pattern.name}", kwargs={name: given[name] for name in wanted}))
    return found


def look(client: Client, who: Any, addresses: list[str]) -> dict[str, str]:
    client.force_login(who)
    answers = {address: client.get(address) for address in addresses}
    assert sum(answer.status_code == 200 for answer in answers.values()) >= 8
    return {address: answer.content.decode() for address, answer in answers.items()}


def browse(client: Client, owner: Any, session: Any) -> None:
    """What a person does outside of the conversation itself, with the word in every field."""
    client.force_login(owner)
    home = f"/c/{session}/"
    client.post(f"{home}documents/", {"files": SimpleUploadedFile(f"{CANARY}.txt", CANARY.encode() * 3)})
    client.post(f"{home}rename/", {"title": f"{CANARY} talk"})
    client.post("/search/", {"query": CANARY})
    client.get(f"{home}?q={CANARY}", headers={"user-agent": CANARY, "x-request-id": CANARY, "referer": CANARY})
    client.get("/accounts/login/", {"next": f"/{CANARY}"})
    client.post("/accounts/login/", {"username": CANARY, "password": CANARY})


async def test_the_word_is_nowhere_but_where_it_belongs(
    start: Start, heard: Heard, written: io.StringIO, client: Client, olga: Any
) -> None:
    chat = await start(window=8_000, title=CANARY, text=f"You are {CANARY}. Be brief.")
    chat.owner.username, chat.owner.first_name, chat.owner.email = CANARY, CANARY, f"{CANARY}@example.org"
    await chat.owner.asave()
    chat.standin.responder = lambda body: f"{CANARY} it is." if purpose(body) == "reply" else None
    await sync_to_async(browse)(client, chat.owner, chat.session.pk)
    for number in range(1, 9):
        await chat.say(f"{CANARY} {words(number)} The {CANARY}-77 number is {CANARY}@example.org.")
        await chat.settled()
    chat.standin.faults.add("template", message=f"prompt: bad {CANARY}", purpose="reply")
    await chat.say(f"{CANARY} again")

    def told() -> dict[str, str]:
        """Where the word does belong, and everything that monitoring shows."""
        belongs = [Summary.objects.filter(text__contains=CANARY), Document.objects.filter(name__contains=CANARY)]
        belongs.append(Fact.objects.filter(quote__contains=CANARY))
        assert all(rows.exists() for rows in belongs)
        assert ModelCall.objects.filter(session=chat.session.pk).count() > 8
        shown = look(client, olga, pages(chat.session.pk, chat.owner.pk))
        for model in apps.get_app_config("monitoring").get_models():
            shown[model.__name__] = serializers.serialize("json", model._default_manager.all())
        return shown

    everything = await sync_to_async(told)()
    everything["metrics"] = exposing.told()[0].decode()
    everything["spans"] = str([one.to_json() for one in heard.exporter.get_finished_spans()])
    everything["points"] = str(heard.points())
    lines = written.getvalue()
    asked = [json.loads(line).get("request", "") for line in lines.splitlines() if line.startswith("{")]
    assert any(f"POST /c/{chat.session.pk}/documents/" in one for one in asked)
    assert "chat_calls_total{" in everything["metrics"]
    everything["logs"] = lines
    assert [name for name, text in everything.items() if CANARY.lower() in unquote(text).lower()] == []


async def test_a_line_says_which_request_session_and_turn_it_is_about(
    start: Start, written: io.StringIO, client: Client
) -> None:
    chat = await start(turns=True)
    session = str(chat.session.pk)

    def send() -> int:
        client.force_login(chat.owner)
        message = {"text": "Hello.", "client_id": "2b71f4aa-0000-4000-8000-000000000001"}
        return client.post(f"/c/{session}/turns/", message, headers={"accept": "application/json"}).json()["turn"]

    turn = await sync_to_async(send)()
    await chat.ended(turn)
    lines = [json.loads(line) for line in written.getvalue().splitlines() if line.startswith("{")]
    [opened] = [line for line in lines if line["event"] == "turn_opened"]
    [asked] = [line for line in lines if str(line.get("request")).endswith("/turns/") and "code" in line]
    [called] = [line for line in lines if line["event"] == "model_call"]
    assert opened["request_id"] == asked["request_id"]
    assert (opened["session"], opened["turn"]) == (session, turn) == (called["session"], called["turn"])
