"""ctxsite/logs.py: what happened can be read in the logs, what somebody wrote cannot."""

import asyncio
import contextlib
import gc
import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
import structlog
import uvicorn
from django.conf import settings

from ctxsite import logs

CANARY = "canary-7731"


@contextlib.contextmanager
def configured(stream: io.StringIO) -> Iterator[None]:
    """The production configuration, which writes there."""
    configuration = logs.configuration(level="INFO", readable=False)
    configuration["handlers"]["stderr"]["stream"] = stream
    logging.config.dictConfig(configuration)
    yield
    logging.config.dictConfig(settings.LOGGING)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What it writes. Tasks that an earlier test left say what they have to say before."""
    gc.collect()
    stream = io.StringIO()
    with configured(stream):
        yield stream


def parsed(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields(lines):
    structlog.get_logger("chat.flow").info("model_call", turn=7, tokens=1200)
    [line] = parsed(lines)
    assert {"event": "model_call", "turn": 7, "tokens": 1200, "level": "info", "logger": "chat.flow"}.items() <= (
        line.items()
    )


@pytest.mark.parametrize("logger", [structlog.get_logger("chat"), logging.getLogger("some.library")])
def test_an_exception_is_logged_by_type_and_place_without_its_message(lines, logger):
    try:
        try:
            raise ValueError(f"Key (reply)=({CANARY}) already exists")
        except ValueError as error:
            raise RuntimeError(CANARY) from error
    except RuntimeError:
        logger.exception("failed")
    [line] = parsed(lines)
    assert CANARY not in lines.getvalue()
    assert line["error"] == ["builtins.RuntimeError", "builtins.ValueError"]
    assert "test_logs.py" in str(line["error_at"])


async def test_what_a_task_ended_with_is_logged_without_its_message(lines):
    async def broken():
        raise ValueError(CANARY)

    task = asyncio.create_task(broken())
    await asyncio.wait({task})
    del task
    gc.collect()
    [line] = parsed(lines)
    assert (line["event"], line["error"]) == ("Task exception was never retrieved", ["builtins.ValueError"])
    assert CANARY not in lines.getvalue()


def test_an_exception_in_the_words_of_a_library_is_its_name(lines):
    # As daphne's server does it.
    error = ValueError(CANARY)
    logging.getLogger("daphne.server").error("Exception inside application: %s", error, exc_info=error)
    [line] = parsed(lines)
    assert (line["event"], line["error"]) == ("Exception inside application: ValueError", ["builtins.ValueError"])
    assert CANARY not in lines.getvalue()


def test_uvicorn_writes_no_addresses_and_everything_else_as_we_do():
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
    assert logging.getLogger("uvicorn.access").hasHandlers(), "as the server has it before it loads the site"
    stream = io.StringIO()
    with configured(stream):
        assert not logging.getLogger("uvicorn.access").hasHandlers()
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=ValueError(CANARY))
    [line] = parsed(stream)
    assert (line["event"], line["error"]) == ("Exception in ASGI application", ["builtins.ValueError"])


@pytest.mark.django_db
def test_a_search_is_not_written_down(lines, client):
    client.get(f"/accounts/login/?next=/&q={CANARY}", headers={"user-agent": CANARY})
    [line] = [line for line in parsed(lines) if line["event"] in ("request_finished", "request_failed")]
    assert line["request"] == "GET /accounts/login/"
    assert CANARY not in lines.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/s/{}/", "/accounts/password/MQ/{}/", "/account/email/{}/"])
def test_what_opens_something_to_whoever_has_it_is_not_written_down(lines, client, path):
    client.get(path.format(CANARY))
    [line] = parsed(lines)
    assert CANARY not in str(line)
    assert line["request"] == f"GET {path.format('…')}"


@pytest.mark.django_db
def test_a_probe_that_went_well_is_no_news_and_one_that_failed_is(lines, client):
    client.get("/healthz")
    assert parsed(lines) == []
    client.get("/readyz")
    assert [(line["request"], line["code"]) for line in parsed(lines)] == [("GET /readyz", 503)]
