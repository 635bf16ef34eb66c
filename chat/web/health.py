"""Is the process up (/healthz), and can it answer somebody now (/readyz)? Neither asks who is asking, nor writes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat import service
from chat.models import Worker

log = structlog.get_logger(__name__)

CHECK_S = 2.0  # longer than a healthy database ever takes, shorter than what a load balancer waits
BEATS_MISSED = 3
# Threads of their own: probes of a hanging database may block each other, but nobody else.
probes = ThreadPoolExecutor(max_workers=2, thread_name_prefix="readyz")


def database_answers() -> str:
    """ "ok" when the database answers a query, else "down"."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


class Migrations:
    """Whether the schema has all that this release needs. Once it has, nothing takes it away: asked no more."""

    def __init__(self) -> None:
        self._done = False

    def __call__(self) -> str:
        """ "ok" or "pending"."""
        if not self._done:
            executor = MigrationExecutor(connection)
            self._done = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        return "ok" if self._done else "pending"


schema_is_whole = Migrations()


def runner_beats() -> str:
    """ "ok" when some process that runs turns has beaten lately, here or elsewhere, else "none"."""
    since = Now() - timedelta(seconds=settings.CHAT_BEAT_S * BEATS_MISSED)
    return "ok" if Worker.objects.filter(kinds__contains="turn", beat_at__gte=since).exists() else "none"


async def outcome(check: Callable[[], str]) -> str:
    """What `check` says, "down" when the database fails it, or "slow" after CHECK_S seconds."""

    def run() -> str:
        try:
            return check()
        except DatabaseError as error:
            log.warning("not_ready", error=type(error).__name__)
            return "down"
        finally:
            # A connection kept here would be one more that a restarted database has cut.
            connection.close()

    try:
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(probes, run), CHECK_S)
    except TimeoutError:
        return "slow"


def bus() -> str:
    """ "none" where nothing has to pass between processes, "up", or "down": then rows are read instead."""
    if not settings.REDIS_URL or not service.running():
        return "none"
    return "up" if service.current().bus.up else "down"


def storage() -> str:
    """ "failing" while what is written does not get stored, by the last attempt of this process."""
    return "failing" if service.running() and service.current().pulse.failing else "ok"


def model() -> str:
    """ "resting" while this process refuses messages because the default model's service fails. Nothing is wrong with
    the process then, and another one would fare no better."""
    resting = service.running() and service.current().engine.provider.refusal(settings.CHAT_MODEL) > 0
    return "resting" if resting else "ok"


@never_cache
@require_safe
async def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process serves at all. Touches nothing, so that a database outage doesn't get it killed."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """200 when a message sent now would be stored and answered, else 503; which part is missing stands in the JSON.

    A bus that is down slows the site and does not stop it; a model that rests is not a matter of this process.
    """
    parts: dict[str, Any] = {"database": await outcome(database_answers)}
    up = parts["database"] == "ok"
    parts["schema"] = await outcome(schema_is_whole) if up else "unknown"
    parts["runner"] = await outcome(runner_beats) if up and parts["schema"] == "ok" else "unknown"
    parts["storage"] = storage()
    ready = all(word == "ok" for word in parts.values()) and not service.draining()
    parts |= {"bus": bus(), "model": model(), "draining": service.draining()}
    return JsonResponse({"ready": ready, **parts}, status=200 if ready else 503)
