"""What stands between this process and the model: the real API or the stand-in, and the policy around it.

Two ways lead to the same client. Replies have patience: a turn that waits for an open breaker is answered late, not
refused. What nobody waits for (summaries) has a breaker of its own that opens sooner, gives way while that of the
replies is open, and whose failures never count against the replies.

Breakers are those of one process: several processes each find out by themselves, at five calls each.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from chat.providers.alarm import Alarm
from chat.providers.anthropic import AnthropicProvider, Timeouts
from chat.providers.base import Provider
from chat.providers.breaker import Rule
from chat.providers.keys import FileKey, FixedKey, Key
from chat.providers.retry import RetryPolicy
from chat.providers.standin import StandIn, start_standin
from chat.providers.steady import Steady
from chat.store.database import Database
from monitoring import recording

log = structlog.get_logger(__name__)

STANDIN_KEY = "offline"

BACKGROUND_RULE = Rule(failures=3)
BACKGROUND_RETRY = RetryPolicy(attempts=2, whole=10.0)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Both ways to the model, and the stand-in where there is no real one."""

    reply: Provider
    background: Provider
    standin: StandIn | None = None


async def connect(database: Database, standin_options: dict[str, Any] | None = None) -> Upstream:
    """Make the client and what stands around it. Nothing is called yet."""
    standin = None
    if settings.CHAT_STANDIN:
        standin = await start_standin(
            window=settings.CHAT_CONTEXT_WINDOW or 200_000,
            models=[*settings.CHAT_MODELS, settings.CHAT_MODEL, settings.CHAT_SUMMARY_MODEL],
            **{"delay_ms": settings.CHAT_STANDIN_DELAY_MS, **(standin_options or {})},
        )
        client = AnthropicProvider(api_key=STANDIN_KEY, base_url=standin.base_url, timeouts=timeouts())
    else:
        base_url = settings.ANTHROPIC_BASE_URL or None
        client = AnthropicProvider(api_key=api_key(), base_url=base_url, timeouts=timeouts())
    alarm = Alarm(Recorder(database))
    reply = Steady(client, label=lambda: client.label, alarm=alarm)
    background = Steady(
        client,
        purpose="background",
        label=lambda: client.label,
        rule=BACKGROUND_RULE,
        retry=BACKGROUND_RETRY,
        patience=0.0,
        yields_to=reply,
        alarm=alarm,
    )
    recording.register_source("upstream", lambda: figures(reply, background))
    return Upstream(reply, background, standin)


def timeouts() -> Timeouts:
    """How long the service is waited for."""
    return Timeouts(
        connect=settings.CHAT_MODEL_CONNECT_S,
        first=settings.CHAT_MODEL_FIRST_S,
        content=settings.CHAT_MODEL_CONTENT_S,
        whole=settings.CHAT_MODEL_WHOLE_S,
    )


def api_key() -> Key:
    """The key of the settings."""
    if settings.CHAT_API_KEY_FILE:
        return FileKey(Path(settings.CHAT_API_KEY_FILE))
    return FixedKey(settings.ANTHROPIC_API_KEY)


def figures(reply: Steady, background: Steady) -> dict[str, int | float]:
    """How the breakers of this process stand."""
    return {
        f"{name}_{state}": steady.breakers.count(state)
        for name, steady in (("reply", reply), ("background", background))
        for state in ("closed", "open", "probing")
    }


class Recorder:
    """Keeps an alert as a row beside its log line, without holding up the call that raised it."""

    def __init__(self, database: Database):
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, what: str, model: str, cause: str) -> None:
        task = asyncio.create_task(self._record(what, model, cause))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, what: str, model: str, cause: str) -> None:
        try:
            await self._database.run(
                recording.record_event,
                session=None,
                user=None,
                kind="upstream",
                number=None,
                model=model,
                tokens_before=0,
                tokens_after=0,
                seconds=None,
                outcome=what,
                code=cause,
            )
        except (DatabaseError, InterfaceError, RuntimeError) as error:
            # The database is away, or the process ends; the log has the alert.
            log.warning("alert_not_stored", what=what, error=type(error).__name__)
