"""Making room while somebody waits: at the hard mark, before a turn is sent, for so many seconds at most."""

import asyncio
import time
from uuid import UUID

import structlog
from django.conf import settings

from chat.context.budget import Budget
from chat.context.compaction import MESSAGES_A_TURN, Level, Policy, level
from chat.context.tokens import Counter
from chat.flow import compactor
from chat.flow.closing import compacts
from chat.flow.compactor import JOB_LEASE_S, KIND, service_rests, session_rests
from chat.flow.engine import Engine
from chat.flow.waking import wake, wakes
from chat.models import ChatSession
from chat.store import leases, outline
from chat.store.leases import Claim
from chat.store.loading import Loaded
from chat.stream.hub import Hub

log = structlog.get_logger(__name__)

POLL_S = 0.1


def due_level(loaded: Loaded, budget: Budget, policy: Policy, counter: Counter) -> Level:
    """The mark that a session has reached just before its turn is sent; "none" where nothing is ever compacted."""
    if not wakes(loaded.strategy, loaded.mode):
        return "none"
    history = loaded.history
    held = counter.count(history.instructions) + sum(one.tokens for one in (*history.summaries, *history.documents))
    newest = max((one.last for one in history.summaries), default=0)
    messages = (loaded.number - 1 - newest) * MESSAGES_A_TURN
    return level(loaded.open_tokens, messages, room=budget.room(held), policy=policy)


async def make_room(loaded: Loaded, engine: Engine, hub: Hub) -> bool:
    """At the hard mark, before a turn is sent; whether the context changed.

    What is ready is used first, and needs no model. Where a person wants to be asked, that is all: the ladder answers.
    """
    session, changed = loaded.session_id, False
    while await wake(await engine.database.read(outline.read, session), engine, hub):
        changed = True
    if compacts(loaded.strategy, loaded.mode):
        hub.status(session, loaded.turn_id, "compacting")
        changed = await compact_inline(session, engine, hub) or changed
        hub.status(session, loaded.turn_id, "waiting")
    return changed


async def compact_inline(session_id: UUID, engine: Engine, hub: Hub, owner: str = "inline") -> bool:
    """Compact while the user waits, up to the deadline; whether the context changed.

    A compaction that runs already is waited for. Past the deadline the drafts made so far stay, the job goes on in
    the background, and the turn is answered with what fits; while compaction rests, or an operator switched this off,
    nobody waits for it.
    """
    if engine.switches.inline_off or service_rests(engine) or session_rests(session_id, engine):
        log.info("inline_compaction_rests", session=str(session_id))
        return False
    before = await engine.database.read(_version, session_id)
    deadline = time.monotonic() + settings.CHAT_INLINE_DEADLINE_S
    claim = await _claimed(session_id, engine, owner)
    if claim is None:
        # Another process may be at it, so there is no event to wait for: its row is asked.
        for _ in range(int(settings.CHAT_INLINE_DEADLINE_S / POLL_S)):
            if time.monotonic() > deadline or not await engine.database.read(leases.is_running, KIND, session_id):
                break
            await asyncio.sleep(POLL_S)
    else:
        error = "deadline"
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await compactor.compact(session_id, engine, hub, last_try=True)
            error = ""
        except TimeoutError:
            log.info("inline_compaction_deadline", session=str(session_id))
        except Exception as failure:
            # A compaction never stands in the way of an answer: what does not fit is trimmed, with a notice.
            log.exception("inline_compaction_failed", session=str(session_id))
            error = type(failure).__name__[:40]
        finally:
            # Also when the user stops: whatever was not done goes on in the background.
            await asyncio.shield(engine.database.run(leases.finish_job, claim, error=error, retry_in_s=0.0))
    return await engine.database.read(_version, session_id) != before


async def _claimed(session_id: UUID, engine: Engine, owner: str) -> Claim | None:
    """The session's job, made and taken; given back when this is cancelled while a thread is still taking it."""
    taking = asyncio.ensure_future(engine.database.run(leases.claim_for_session, KIND, session_id, owner, JOB_LEASE_S))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        claim = await taking
        if claim:
            await engine.database.run(leases.finish_job, claim, error="cancelled", retry_in_s=0.0)
        raise


def _version(session_id: UUID) -> int:
    return ChatSession.objects.values_list("context_version", flat=True).get(pk=session_id)
