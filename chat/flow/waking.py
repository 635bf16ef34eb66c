"""Summaries that a person took back: at the hard mark they are switched on again, at once and without a call."""

import structlog
from django.db import transaction

from chat.context import gauge as gauges
from chat.context.budget import Budget
from chat.context.compaction import MESSAGES_A_TURN, Policy, level
from chat.context.tokens import Counter
from chat.flow.engine import Engine
from chat.models import ChatSession
from chat.store import coverage, undoing
from chat.store.outline import Outline
from chat.stream.hub import Hub
from monitoring import recording

log = structlog.get_logger(__name__)


def wakes(strategy: str, mode: str) -> bool:
    """Whether summaries that a person took back may be switched on again at the hard mark."""
    return strategy == ChatSession.Strategy.SUMMARY and mode != ChatSession.Mode.NEVER


async def wake(sketch: Outline, engine: Engine, hub: Hub) -> bool:
    """At the hard mark, switch on a summary that a person took back: at once and without a call; with its notice."""
    if not sketch.undone or not wakes(sketch.strategy, sketch.mode):
        return False
    budget = await engine.budget(sketch.model, sketch.instructions, thinking=sketch.thinking)
    policy = await engine.policy(sketch)
    room = budget.room(held(sketch, budget, engine.counter(sketch.model)))
    changed = await engine.database.run(_wake, sketch, room, policy)
    if changed is None:
        return False
    log.info("summary_woken", session=str(sketch.session_id), first=changed.first, last=changed.last)
    hub.notice(sketch.session_id, kind="compressed", first=changed.first, last=changed.last)
    return True


def _wake(sketch: Outline, room: int, policy: Policy) -> undoing.Changed | None:
    """Switch one on, and record it, in one transaction."""

    def pressed(session: ChatSession) -> bool:
        messages = coverage.open_turns(session) * MESSAGES_A_TURN
        return level(session.open_tokens, messages, room=room, policy=policy) == "hard"

    with transaction.atomic():
        changed = undoing.wake(sketch.session_id, pressed)
        if changed:
            recording.record_event(
                session=sketch.session_id,
                user=sketch.owner_id,
                kind="compaction",
                number=changed.last,
                model="",
                tokens_before=changed.tokens,
                tokens_after=changed.told,
                seconds=None,
                outcome="ok",
                code="again",
            )
        return changed


def held(sketch: Outline, budget: Budget, counter: Counter) -> int:
    """What all components other than history hold: by the last manifest, and by what stands now."""
    told = min(sum(span.tokens for span in sketch.spans), budget.summaries_at_most)
    return max(counter.count(sketch.instructions) + told, gauges.held(sketch.report))
