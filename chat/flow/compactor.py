"""Compaction: summaries are made ahead of need, outside of any transaction, and committed in one.

One attempt at a time for a session (its job is the claim). Every chunk that passed the gate is a draft row at once:
a killed compactor pays for nothing twice. Losing the race costs the drafts nothing either; they wait until their
input is true again. When nothing can be made, nothing is consumed: the turns stay, and trimming answers with a
notice under pressure. So it does while compaction rests: its breaker is open, or that of the replies, or nothing
could be made of this session a moment ago.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from chat.context.budget import Budget
from chat.context.compaction import Chunk, Merge, plan_compaction, plan_merge
from chat.flow.closing import compacts
from chat.flow.engine import Engine
from chat.flow.summariser import Assignment, earlier, summarise
from chat.flow.waking import held, wake
from chat.models import ChatSession
from chat.models import Summary as SummaryRow
from chat.providers.breaker import Ticket
from chat.store import coverage, leases, loading, outline, summaries
from chat.store.leases import Claim
from chat.store.outline import Outline
from chat.store.summaries import Committed
from chat.stream.hub import Hub
from monitoring import recording

log = structlog.get_logger(__name__)

KIND = "compact"
JOB_LEASE_S = 60.0
# Passes of one job: planning looks at a bounded number of turns, a long backlog takes several.
MOST_PASSES = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a compaction came to. `code`: committed, nothing, not_wanted, lost, refused, resting."""

    code: str
    committed: tuple[Committed, ...] = ()


# Told after each chunk: how many of how many are made.
Progress = Callable[[int, int], Awaitable[None]]
# `summaries.commit`, or what does the same and writes down more in its transaction.
Commit = Callable[..., Committed | None]


async def _untold(made: int, of: int) -> None:
    """Nobody watches."""


def service_rests(engine: Engine) -> bool:
    """Whether no summary is to be made now: an operator paused it, or `model_rests`."""
    return engine.switches.compaction_paused or engine.switches.read_only or model_rests(engine)


def model_rests(engine: Engine) -> bool:
    """Whether no summary is to be asked for now: its service is in trouble, or that of the replies."""
    return engine.background.refusal(engine.summary_model) > 0


def session_rests(session_id: UUID, engine: Engine) -> bool:
    """Whether nothing could be made of this session a moment ago, by a model or by code."""
    return engine.refusals.refusal(session_id, time.monotonic()) > 0


def _refused(session_id: UUID, engine: Engine) -> None:
    breaker = engine.refusals.of(session_id)
    ticket = breaker.admit(time.monotonic())
    if isinstance(ticket, Ticket) and breaker.failed(ticket, time.monotonic()):
        log.warning("compaction_rests", session=str(session_id), code="refused")


async def compact(
    session_id: UUID,
    engine: Engine,
    hub: Hub,
    *,
    force: bool = False,
    last_try: bool = False,
    progress: Progress = _untold,
    commit: Commit = summaries.commit,
) -> Outcome:
    """Compact one session as far as its plan goes. Idempotent: without need, or with unchanged input, a no-op.

    `force`: somebody asked for it, so below the marks and in any mode. The caller holds the session's job. Raises
    ProviderError (transient) unless `last_try`.
    """
    done: list[Committed] = []
    woken = False
    if not force and session_rests(session_id, engine):
        return Outcome("resting")
    for _ in range(MOST_PASSES):
        sketch = await engine.database.read(outline.read, session_id)
        if not force and await wake(sketch, engine, hub):
            woken = True
            continue
        if not force and not compacts(sketch.strategy, sketch.mode):
            return Outcome("committed" if done or woken else "not_wanted", tuple(done))
        one = await _pass(sketch, engine, force=force, last_try=last_try, progress=progress, commit=commit)
        if isinstance(one, str):
            return Outcome("committed" if done or woken else one, tuple(done))
        done.append(one)
        if not one.merge:  # a merge says the same of the same turns
            hub.notice(session_id, kind="compressed", first=one.first, last=one.last)
            force = False
    return Outcome("committed", tuple(done))


async def _pass(
    sketch: Outline, engine: Engine, *, force: bool, last_try: bool, progress: Progress, commit: Commit
) -> Committed | str:
    """One commit: a merge where the summaries outgrew their budget, else one plan. Or a code that says why none.

    The merge goes first: summaries over their budget take the room of turns that need not be compacted at all.
    """
    budget = await engine.budget(sketch.model, sketch.instructions, thinking=sketch.thinking)
    policy = await engine.policy(sketch)
    started = time.monotonic()
    merged = await _merged(sketch, budget, engine, last_try=last_try)
    if merged:
        drafts, window_from = [merged], sketch.window_from
    else:
        room = budget.room(held(sketch, budget, engine.counter(sketch.model)))
        plan = plan_compaction(sketch.sizes, room=room, policy=policy, covered=sketch.taken, force=force)
        if plan is None:
            return "nothing" if merged is None else "refused"
        drafts = []
        for made, chunk in enumerate(plan.chunks):
            await progress(made, len(plan.chunks))
            work = await engine.database.read(chunk_work, sketch, chunk, budget)
            draft = await _draft(work, engine, last_try=last_try)
            if draft is None:
                break
            drafts.append(draft)
        await progress(len(drafts), len(plan.chunks))
        if not drafts:
            _refused(sketch.session_id, engine)
            return "refused"
        engine.refusals.forget(sketch.session_id)
        # What could be made so far is worth committing; the window starts behind it.
        whole = len(drafts) == len(plan.chunks)
        window_from = plan.keep_from if whole else plan.chunks[len(drafts) - 1].last + 1
    seconds = time.monotonic() - started
    ids = [one.pk for one in drafts]
    committed = await engine.database.run(
        _commit, sketch, ids, window_from, bool(merged), seconds, engine.summary_model, commit
    )
    return committed or "lost"


async def _merged(
    sketch: Outline, budget: Budget, engine: Engine, *, last_try: bool
) -> SummaryRow | Literal[False] | None:
    """The draft of a merge that is due; None when none is, False when none could be made."""
    merge = plan_merge(sketch.spans, budget=budget.summaries)
    if merge is None:
        return None
    work = await engine.database.read(_merge_work, sketch, merge, budget)
    return (await _draft(work, engine, last_try=last_try) if work else None) or False


async def _draft(work: Assignment, engine: Engine, *, last_try: bool) -> SummaryRow | None:
    """The draft for one chunk: the one that an earlier attempt left, or a new one; None when none can be made."""
    kept = await engine.database.read(
        summaries.draft_of, work.session_id, work.first, work.last, work.source_hash, work.keep
    )
    if kept:
        return kept
    made = await summarise(work, engine, last_try=last_try)
    if made is None:
        return None
    return await engine.database.run(
        summaries.save,
        work.session_id,
        work.first,
        work.last,
        work.source_hash,
        tier=work.tier,
        source_tokens=work.source_tokens,
        made=made,
        keep=work.keep,
    )


def sizes(budget: Budget) -> tuple[int, int]:
    """The caps of a tier-1 summary and of its list of exact values: in a small window, a quarter of their budget."""
    cap = min(settings.CHAT_SUMMARY_TOKENS, max(120, budget.summaries // 4))
    return cap, cap


def chunk_work(sketch: Outline, chunk: Chunk, budget: Budget) -> Assignment:
    """What a summary of these turns is made from."""
    limit, exact = sizes(budget)
    return Assignment(
        session_id=sketch.session_id,
        owner_id=sketch.owner_id,
        strategy=sketch.strategy,
        chat_model=sketch.model,
        first=chunk.first,
        last=chunk.last,
        tier=1,
        source_hash=coverage.source_hash(sketch.session_id, chunk.first, chunk.last),
        source_tokens=chunk.tokens,
        limit_tokens=limit,
        exact_tokens=exact,
        # Pinned turns too, though they stay word for word: one that is unpinned later must stand in the summary.
        turns=tuple(
            turn for turn in loading.turns_between(sketch.session_id, chunk.first, chunk.last) if not turn.excluded_by
        ),
        keep=sketch.keep,
    )


def _merge_work(sketch: Outline, merge: Merge, budget: Budget) -> Assignment | None:
    first, last = merge.spans[0].first, merge.spans[-1].last
    rows = list(
        SummaryRow.objects.filter(
            session_id=sketch.session_id, state=SummaryRow.State.ACTIVE, first__gte=first, last__lte=last
        ).order_by("first")
    )
    return merge_work(sketch, rows, merge.tier, budget) if len(rows) == len(merge.spans) else None


def merge_work(sketch: Outline, rows: Sequence[SummaryRow], tier: int, budget: Budget) -> Assignment:
    """What a summary of these summaries is made from; the oldest comes first."""
    first, last = rows[0].first, rows[-1].last
    limit, exact = sizes(budget)
    return Assignment(
        session_id=sketch.session_id,
        owner_id=sketch.owner_id,
        strategy=sketch.strategy,
        chat_model=sketch.model,
        first=first,
        last=last,
        tier=tier,
        source_hash=coverage.source_hash(sketch.session_id, first, last),
        source_tokens=sum(row.tokens for row in rows),
        limit_tokens=limit,
        exact_tokens=exact,
        children=earlier(rows),
        keep=sketch.keep,
    )


def _commit(
    sketch: Outline, drafts: list[int], window_from: int, merge: bool, seconds: float, model: str, commit: Commit
) -> Committed | None:
    """Commit and record it in one transaction."""
    with transaction.atomic():
        committed = commit(sketch.session_id, drafts, window_from=window_from, merge=merge)
        if committed:
            recording.record_event(
                session=sketch.session_id,
                user=sketch.owner_id,
                kind="compaction",
                number=committed.last,
                model=model,
                tokens_before=committed.tokens_before,
                tokens_after=committed.tokens_after,
                seconds=seconds,
                outcome="ok",
                code="merge" if merge else "summary",
            )
        return committed


async def run_job(claim: Claim, engine: Engine, hub: Hub) -> str:
    """The job: compact its session; '' or the code of what went wrong. What it came to stays in its row."""
    last_try = claim.attempt >= leases.MOST_JOB_ATTEMPTS
    asked = bool((await engine.database.read(leases.args_of, claim)).get("force"))

    async def told(made: int, of: int) -> None:
        await engine.database.run(leases.note, claim, {"made": made, "of": of})

    progress = told if asked else _untold
    outcome = await compact(claim.session_id, engine, hub, force=asked, last_try=last_try, progress=progress)
    log.info("compaction_job", session=str(claim.session_id), outcome=outcome.code, commits=len(outcome.committed))
    await engine.database.run(leases.note, claim, _told(outcome))
    return "" if outcome.code != "lost" else "lost"


def _told(outcome: Outcome) -> dict[str, int | str]:
    """What a job came to: a code, and of what it compressed the turns and the tokens before and after."""
    made = [one for one in outcome.committed if not one.merge]
    if not made:
        return {"code": outcome.code}
    return {
        "code": outcome.code,
        "first": min(one.first for one in made),
        "last": max(one.last for one in made),
        "before": sum(one.tokens_before for one in made),
        "after": sum(one.tokens_after for one in made),
    }


def sweep(marks: dict[str, int], limit: int = 100) -> int:
    """Enqueue sessions that grew without a reply (import, model switch), fullest first. Reads no text.

    `marks` are the tokens by model at which the soft mark is reached at the earliest. Returns how many jobs were made.
    """
    made = 0
    for model, mark in marks.items():
        due = ChatSession.objects.fullest(mark).filter(
            model=model, strategy=ChatSession.Strategy.SUMMARY, mode=ChatSession.Mode.AUTO
        )
        made += sum(leases.enqueue(KIND, pk) for pk in due.values_list("pk", flat=True)[:limit])
    return made
