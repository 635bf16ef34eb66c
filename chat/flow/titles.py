"""A better title, by the summary model, in the background: after the first whole reply, and never over its owner's own.

Asked again only while its conversation is short and still called by its first words: with the next replies, not more
often. Who has used up a day's allowance keeps the first words.
"""

from dataclasses import dataclass
from datetime import UTC
from uuid import UUID

import structlog
from django.conf import settings
from django.utils import timezone

from chat.context import titling
from chat.flow.asking import ask
from chat.flow.engine import Engine
from chat.models import Allowance, ChatSession, Turn
from chat.store import leases, quotas
from chat.store.leases import Claim
from chat.stream.hub import Hub

log = structlog.get_logger(__name__)

KIND = "title"
# Turns after which nobody asks any more, and a priority behind every compaction.
MOST_TURNS = 3
PRIORITY = -10


@dataclass(frozen=True, slots=True)
class Work:
    """What a title is made from."""

    owner_id: int
    strategy: str
    prompt: str
    reply: str


def enqueue(session_id: UUID, number: int) -> bool:
    """In the transaction that closes turn `number` as complete: have a title made, if it is wanted."""
    if settings.CHAT_TITLES != "model" or number > MOST_TURNS or not _wanting(session_id).exists():
        return False
    return leases.enqueue(KIND, session_id, priority=PRIORITY)


async def run_job(claim: Claim, engine: Engine, hub: Hub) -> str:
    """The job: '' in any case; what the model did not do well is left as it was. Raises ProviderError."""
    session_id = claim.session_id
    work = await engine.database.read(_work, session_id)
    if work is None:
        return ""
    request = titling.request(work.prompt, work.reply, engine.summary_model)
    text, stop_reason = await ask(
        request,
        engine,
        purpose="title",
        session_id=session_id,
        owner_id=work.owner_id,
        number=1,
        strategy=work.strategy,
    )
    title = titling.judged(text, stop_reason)
    kept = bool(title) and await engine.database.run(_keep, session_id, title)
    log.info("title_job", session=str(session_id), outcome="kept" if kept else "refused" if not title else "late")
    if kept:
        hub.notice(session_id, kind="title", first=1, last=1)
    return ""


def _wanting(session_id: UUID):
    return ChatSession.objects.filter(
        pk=session_id, titled_by=ChatSession.TitledBy.CODE, temporary=False, deleted_at__isnull=True
    )


def _work(session_id: UUID) -> Work | None:
    session = _wanting(session_id).only("owner_id", "strategy").first()
    first = Turn.objects.filter(session_id=session_id, active=True, number=1, redacted_at__isnull=True).first()
    if session is None or first is None or not first.prompt.strip() or _used_up(session.owner_id):
        return None
    return Work(session.owner_id, session.strategy, first.prompt, first.reply)


def _used_up(user_id: int) -> bool:
    caps = quotas.caps()
    day = timezone.now().astimezone(UTC).date()
    row = Allowance.objects.filter(user_id=user_id, day=day).first()
    if row is None:
        return False
    return row.used + row.reserved >= caps.tokens or row.cost + row.reserved_cost >= caps.cost


def _keep(session_id: UUID, title: str) -> bool:
    changed = _wanting(session_id).update(title=title, titled_by=ChatSession.TitledBy.MODEL)
    return bool(changed)
