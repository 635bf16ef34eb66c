"""What a person's decision about the context costs, and whether it fits, before anything is changed.

Everything here reads rows; the changes themselves are in `store.undoing`, `store.marks` and `store.facts`. All figures
are tokens unless a name says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from chat.context import budget as budgets
from chat.context import gauge as gauges
from chat.context import prompts
from chat.context.budget import Budget
from chat.context.compaction import FRAME_TOKENS, MESSAGES_A_TURN, Policy, chunk_limit, level, plan_compaction
from chat.context.gate import MOST_OF_SOURCE
from chat.context.tokens import Counter
from chat.context.values import Line
from chat.context.window import Size
from chat.flow import engine
from chat.flow.closing import compacts
from chat.flow.compactor import KIND, sizes
from chat.models import ChatSession, Job, Manifest, Model
from chat.providers.base import ModelInfo
from chat.store import branches, coverage, leases, outline, undoing
from monitoring import recording

# Asked for by a person: ahead of what the soft mark found, behind what somebody waits for.
PRIORITY = 15
# A summary of a model is hardly ever shorter than its headings and a sentence.
LEAST_SUMMARY = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A session's context as decisions are measured by: `tokens` of `turns` stand word for word, in so much `room`."""

    budget: Budget
    policy: Policy
    counter: Counter
    room: int
    tokens: int
    turns: int

    def most(self, turns: int) -> int:
        """How many tokens may stand word for word with `turns` turns: below the hard mark, where what was taken back
        would be compressed again with the next message."""
        return int(self.room * self.policy.hard) - turns * MESSAGES_A_TURN * FRAME_TOKENS - 1

    def reached(self, tokens: int, turns: int) -> str:
        """The mark that so many turns reach."""
        return level(tokens, turns * MESSAGES_A_TURN, room=self.room, policy=self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What sending turns first..last word for word again adds. `reached`: the mark that the conversation is at then.

    `most` is what may stand word for word then, `tokens_after` what would.
    """

    first: int
    last: int
    added: int
    saved: int
    tokens_after: int
    most: int
    reached: str

    @property
    def fits(self) -> bool:
        """Whether it is taken at all."""
        return self.reached != "hard" and self.tokens_after <= self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What compressing now would do: turns first..last go, those from `keep_from` on stay word for word.

    `leave` tokens go; summaries of `low` to `high` tokens take their place. `cost_low` and `cost_high` are in
    millionths of a US dollar, 0 where nobody knows the price.
    """

    first: int
    last: int
    keep_from: int
    head: int
    parts: int
    leave: int
    low: int
    high: int
    cost_low: int
    cost_high: int


def figures(session: ChatSession, counter: Counter) -> Figures | None:
    """The figures of a session; None while nobody knows how large its model's window is."""
    last = (
        Manifest.objects.filter(turn__session_id=session.pk, turn__active=True)
        .order_by("-turn__number")
        .values_list("window", "budget")
        .first()
    )
    return figures_of(
        session,
        counter,
        window=window_of(session.model) or (last[0] if last else None),
        report=[Line(*line) for line in last[1]] if last else [],
        told=coverage.summary_tokens(session.pk),
        turns=coverage.open_turns(session),
    )


def figures_of(
    session: ChatSession, counter: Counter, *, window: int | None, report: Sequence[Line], told: int, turns: int
) -> Figures | None:
    """The figures of a session of which this is known: its model's window, what its last request held, tokens of its
    active summaries, and how many turns they leave. Nothing is read."""
    split = _budget(session, counter, window)
    if split is None:
        return None
    summariser = settings.CHAT_CONTEXT_WINDOW or split.window
    now = counter.count(session.instructions.text) + min(told, split.summaries_at_most)
    return Figures(
        budget=split,
        policy=engine.policy(session, chunk_tokens=chunk_limit(summariser)),
        counter=counter,
        room=split.room(max(now, gauges.held(report))),
        tokens=session.open_tokens,
        turns=turns,
    )


def window_of(model: str) -> int | None:
    """The window of a model as far as the rows know; None when nobody has been told."""
    known = Model.objects.filter(pk=model).values_list("window", flat=True).first()
    return settings.CHAT_CONTEXT_WINDOW or known


def _budget(session: ChatSession, counter: Counter, window: int | None) -> Budget | None:
    if not window:
        return None
    system = counter.count(session.instructions.text)
    try:
        return engine.split(ModelInfo(id=session.model, window=window), system, thinking=session.thinking)
    except budgets.BudgetError:
        return None


def price_of_restoring(session: ChatSession, first: int, last: int, own: Figures) -> Price | None:
    """What taking back the compression of turns first..last costs; None when none of them is compressed."""
    plan = undoing.plan(session.pk, first, last)
    if plan is None:
        return None
    turns = own.turns + sum(end - begin + 1 for begin, end in plan.turns)
    after = own.tokens + sum(coverage.range_tokens(session.pk, *one) for one in plan.turns)
    return Price(
        first=plan.turns[0][0],
        last=plan.turns[-1][1],
        added=plan.tokens,
        saved=plan.saved,
        tokens_after=after,
        most=own.most(turns),
        reached=own.reached(after, turns),
    )


def preview(session: ChatSession, own: Figures, model: str = "") -> Preview | None:
    """What compressing would do now, at the prices of `model`; None when there is nothing to gain. Nobody is asked."""
    sketch = outline.read(session.pk)
    return preview_of(session, own, sketch.sizes, sketch.taken, model)


def preview_of(
    session: ChatSession, own: Figures, turns: Sequence[Size], taken: Sequence[tuple[int, int]], model: str
) -> Preview | None:
    """What compressing would do to these finished turns, of which some are `taken`. Nothing is read."""
    plan = plan_compaction(turns, room=own.room, policy=own.policy, covered=taken, force=True)
    if plan is None:
        return None
    limit, exact = sizes(own.budget)
    high = sum(min(limit + exact, int(chunk.tokens * MOST_OF_SOURCE)) for chunk in plan.chunks)
    low = sum(min(max(LEAST_SUMMARY, limit // 4), int(chunk.tokens * MOST_OF_SOURCE)) for chunk in plan.chunks)
    read = sum(chunk.tokens for chunk in plan.chunks)
    read += len(plan.chunks) * own.counter.count(prompts.SUMMARISER)
    costs = [recording.price(model, input=read, output=out, ttl="5m") for out in (low, high)]
    return Preview(
        first=plan.first,
        last=plan.last,
        keep_from=plan.keep_from,
        head=session.turns_active,
        parts=len(plan.chunks),
        leave=plan.tokens,
        low=low,
        high=high,
        cost_low=costs[0],
        cost_high=costs[1],
    )


def ask_compaction(session_id: UUID, keep: str) -> int | None:
    """Have a session compressed now, in the background; the job's id. `keep`: what its owner wants kept, as data."""
    with transaction.atomic():
        branches.locked(session_id)
        ChatSession.objects.filter(pk=session_id).update(keep=keep)
        return leases.hurry(KIND, session_id, priority=PRIORITY, force=True)


def job(session_id: UUID, job_id: int) -> Job | None:
    """A compression of this session, as it stands."""
    return Job.objects.filter(pk=job_id, session_id=session_id, kind=KIND).first()


def set_mode(session_id: UUID, mode: str) -> None:
    """Change when a session is compressed; where that is "by itself", what is due is done."""
    set_handling(session_id, mode=mode)


def set_handling(session_id: UUID, **values: object) -> None:
    """Change how a session's context is handled (mode, strategy, window_messages). The version moves: facts of turns
    that left the window are told by some ways of handling and not by others."""
    with transaction.atomic():
        session = branches.locked(session_id)
        changes = {name: value for name, value in values.items() if getattr(session, name) != value}
        if not changes:
            return
        ChatSession.objects.filter(pk=session_id).update(context_version=F("context_version") + 1, **changes)
        session.refresh_from_db()
        if compacts(session.strategy, session.mode) and session.open_tokens:
            leases.enqueue(KIND, session_id)
