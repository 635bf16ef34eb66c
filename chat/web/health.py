"""Is the process up (/healthz), and can it answer somebody now (/readyz)? Neither asks who is asking."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

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


def runner_beats() -> str:
    """ "ok" when some process that runs turns has beaten lately, here or elsewhere, else "none"."""
    since = timezone.now() - timedelta(seconds=settings.CHAT_BEAT_S * BEATS_MISSED)
    return "ok" if Worker.objects.filter(kinds__contains="turn", beat_at__gte=since).exists() else "none"


async def outcome(check: Callable[[], str]) -> str:
    """What `check` says, "down" when the database fails it, or "slow" after CHECK_S seconds."""

    def run() -> str:
        try:
            return check()
        except DatabaseError as error:
            log.warning("not_ready", check=check.__name__, error=type(error).__name__)
            return "down"
        finally:
            # A connection kept here would be one more that a restarted database has cut.
            connection.close()

    try:
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(probes, run), CHECK_S)
    except TimeoutError:
        return "slow"


@never_cache
@require_safe
async def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process serves at all. Touches nothing, so that a database outage doesn't get it killed."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """200 when a message sent now would be answered, else 503; which part is missing stands in the JSON.

    `bus` is "none" while there is one process: nothing has to pass between processes.
    """
    parts: dict[str, Any] = {"database": await outcome(database_answers), "bus": "none"}
    parts["runner"] = await outcome(runner_beats) if parts["database"] == "ok" else "unknown"
    ready = parts["database"] == "ok" and parts["runner"] == "ok"
    return JsonResponse({"ready": ready, **parts}, status=200 if ready else 503)
