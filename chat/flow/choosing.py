"""Another model, other instructions, thinking or not: what a conversation is answered by, changed between two turns.

A smaller window is told with its numbers before the switch, and what no longer fits is compressed first: the job is
made with the switch, and the next turn waits for it at the hard mark. It never ends in a request that is too long.
"""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from chat.context.budget import Budget
from chat.context.compaction import MESSAGES_A_TURN, chunk_limit, level
from chat.context.tokens import Counter
from chat.flow import engine
from chat.flow.closing import compacts
from chat.flow.compactor import KIND
from chat.models import ChatSession, Turn
from chat.providers.base import ModelInfo
from chat.store import branches, coverage, documents, leases, sessions
from monitoring import recording

# Somebody is about to write: ahead of what the marks found.
PRIORITY = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a conversation fits a model: `tokens` it holds, `window` the model takes. `reached` is the mark that it is at
    there. `thinks` says whether the window has room for thinking."""

    tokens: int
    window: int
    reached: str
    thinks: bool

    @property
    def tight(self) -> bool:
        """Whether older parts must go before the next message."""
        return self.reached == "hard"


def fit(session: ChatSession, info: ModelInfo, text: str, counter: Counter, *, thinking: bool) -> Fit:
    """How the conversation would fit with instructions `text`. Raises BudgetError. Reads rows, no words of turns."""
    told = counter.count(text)
    budget = engine.split(info, told, thinking=thinking)
    other = told + min(coverage.summary_tokens(session.pk), budget.summaries_at_most)
    other += min(documents.seen(session.pk).order_by().aggregate(sum=Sum("tokens"))["sum"] or 0, budget.documents)
    policy = engine.policy(session, chunk_tokens=chunk_limit(info.window))
    messages = coverage.open_turns(session) * MESSAGES_A_TURN
    return Fit(
        tokens=other + session.open_tokens,
        window=info.window,
        reached=level(session.open_tokens, messages, room=budget.room(other), policy=policy),
        thinks=bool(budget.thinking),
    )


def system_budget(info: ModelInfo) -> Budget:
    """The split of a window before anybody's instructions are in it: what they are held against. Raises BudgetError."""
    return engine.split(info, 0)


def choose(session_id: UUID, *, model: str, instructions_id: int, thinking: bool) -> bool:
    """Change what answers; whether anything changed. Raises branches.SessionBusy while a reply is being written.

    Another model or other instructions make a new prefix: nothing of it is in the cache, so that what waited for the
    next commit takes its place at once.
    """
    with transaction.atomic():
        session = branches.locked(session_id)
        if Turn.objects.live_in(session_id).exists():
            raise branches.SessionBusy
        before = {"model": session.model, "instructions_id": session.instructions_id, "thinking": session.thinking}
        now = {"model": model, "instructions_id": instructions_id, "thinking": thinking}
        changes: dict[str, object] = {name: value for name, value in now.items() if before[name] != value}
        if not changes:
            return False
        if set(changes) - {"thinking"}:
            changes |= {"context_version": F("context_version") + 1, "prefix_version": F("context_version") + 1}
        ChatSession.objects.filter(pk=session_id).update(**changes)
        if "instructions_id" in changes:
            sessions.forget_instructions([session.instructions_id])
        if "model" in changes and compacts(session.strategy, session.mode) and session.open_tokens:
            leases.hurry(KIND, session_id, priority=PRIORITY)
        return True


def price_of_prefix(model: str, tokens: int) -> tuple[int, int]:
    """What sending so many tokens costs: written to the cache anew, and read from it. Millionths of a US dollar; 0
    where nobody knows."""
    ttl = settings.CHAT_CACHE_TTL
    return recording.price(model, cache_write=tokens, ttl=ttl), recording.price(model, cache_read=tokens, ttl=ttl)
