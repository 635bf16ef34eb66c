"""The end of a run: what it came to is put together, then stored and recorded in one transaction."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import transaction

from chat.context import gauge as gauges
from chat.context import rebuilding, recipes, thinking
from chat.context.budget import Budget
from chat.context.compaction import MESSAGES_A_TURN, Policy, level
from chat.context.tokens import BLOCK_TOKENS, MESSAGE_TOKENS, Counter
from chat.context.values import Assembled, Prompt, body_sha256
from chat.flow import allowing, titles
from chat.flow.engine import Engine
from chat.flow.failures import bare
from chat.flow.running import Running
from chat.models import ChatSession, Turn
from chat.providers.base import ContextOverflow
from chat.store import closing, leases, quotas
from chat.store.closing import Closed, Outcome, Sent, Thought
from chat.store.leases import Claim
from chat.store.loading import Loaded
from chat.stream import rendering
from chat.stream.hub import Hub
from monitoring import recording

# The urgency of a compaction by the mark that was reached.
PRIORITY = {"soft": 0, "high": 10, "hard": 20}
# A measured prompt this far from its estimate is not one prompt's difference: something else changed too.
LEAST_RATIO, MOST_RATIO = 0.25, 4.0
PESSIMISTIC = Counter()
SENT = ("verbatim", "clamped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Everything that closing a turn writes."""

    claim: Claim
    outcome: Outcome
    calls: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    room: int
    policy: Policy | None
    gauge: dict[str, Any] | None


async def ending(
    running: Running,
    loaded: Loaded | None,
    budget: Budget | None,
    policy: Policy | None,
    assembled: Assembled | None,
    status: str,
    error: str,
    engine: Engine,
) -> Ending:
    """Put together how a run ended, from whatever of it came into being."""
    # An attempt that failed before it had said as much as the one before it takes nothing back.
    text = running.claim.kept if _said_less(running, status) else running.text
    usage = running.usage
    measured = usage.total_input or None
    counter = engine.counter(loaded.model if loaded else settings.CHAT_MODEL)
    seen = running.live.blocks if running.live and text == running.text else []
    rendered = await _render(text, seen) if text.strip() else None
    thought = _thought(running, counter)
    whole = bool(running.stop_reason)
    prompt_tokens = _measured_prompt(loaded, assembled, measured)
    used, cost = allowing.used(running, loaded.model, 0 if whole else counter.count(running.text)) if loaded else (0, 0)
    outcome = Outcome(
        status=status,
        reply=text,
        reply_html=rendered.html if rendered else "",
        html_version=rendered.version if rendered else 0,
        error=error,
        stop_reason=running.stop_reason,
        usage=_usage(running) if whole or measured else None,
        prompt_tokens=prompt_tokens,
        prompt_source=Turn.Source.ESTIMATED if prompt_tokens is None else Turn.Source.API,
        reply_tokens=max(0, usage.output - thought.tokens) if whole else counter.count(text),
        reply_source=Turn.Source.API if whole else Turn.Source.ESTIMATED,
        steps=tuple(running.steps),
        thought=thought if thought.text else None,
        sent=_sent(loaded, assembled, measured),
        used=used,
        cost=cost,
    )
    calls: tuple[dict[str, Any], ...] = ()
    events, room, meter = (), 0, None
    if loaded and budget and policy and assembled:
        report = assembled.manifest.report
        room = budget.room(gauges.held(report))
        meter = gauges.gauge(
            report,
            budget=budget,
            policy=policy,
            measured=measured,
            estimated=assembled.manifest.estimated,
            reply_tokens=outcome.reply_tokens,
            verbatim=sum(run.last - run.first + 1 for run in assembled.manifest.runs if run.how in SENT),
            compacts=compacts(loaded.strategy, loaded.mode),
        ).to_dict()
        calls = _calls(running, loaded, budget, policy, assembled, running.outcome or bare(error) or "ok")
        if assembled.manifest.trimmed:
            events = (_trim(loaded, assembled),)
    return Ending(
        claim=running.claim,
        outcome=outcome,
        calls=calls,
        events=events,
        room=room,
        policy=policy,
        gauge=meter,
    )


async def _render(text: str, seen: Sequence[tuple[int, str]]) -> rendering.Rendered:
    if rendering.is_brief(text):
        return rendering.render(text, seen)
    return await asyncio.to_thread(rendering.render, text, seen)


def _thought(running: Running, counter: Counter) -> Thought:
    """What the model thought before it answered: in the API's own count where it told one."""
    text = thinking.text_of(running.steps)
    tokens = running.usage.thinking or min(counter.count(text), running.usage.output)
    return Thought(text=text, tokens=tokens, seconds=round((running.first_ms or 0) / 1000))


def close(end: Ending) -> Closed | None:
    """Store the end of a run; None when the turn is no longer ours. One transaction with its call and its events."""
    with transaction.atomic():
        closed = closing.close_turn(end.claim, end.outcome)
        if closed is None:
            return None
        if closed.trimmed:
            for event in end.events:
                recording.record_event(**event)
        for call in end.calls:
            recording.record_call(**call)
        if closed.status == Turn.Status.COMPLETE:
            titles.enqueue(closed.session_id, closed.number)
        return replace(closed, compacts=_enqueue_compaction(closed, end))


def _said_less(running: Running, status: str) -> bool:
    if status == Turn.Status.STOPPED:
        return not running.text  # else what was seen last is what is kept
    return status == Turn.Status.FAILED and len(running.text) < len(running.claim.kept)


def record_broken(
    running: Running, loaded: Loaded, budget: Budget, policy: Policy, assembled: Assembled, error: str
) -> None:
    """Record a call that broke off and is followed by another attempt. One transaction."""
    with transaction.atomic():
        for call in _calls(running, loaded, budget, policy, assembled, error):
            recording.record_call(**call)
        used, cost = allowing.used(running, loaded.model, PESSIMISTIC.count(running.text))
        quotas.spend(loaded.owner_id, used=used, cost=cost)


async def announce(turn_id: int, engine: Engine, hub: Hub) -> None:
    """Tell those who watch that a turn has ended without a run: reaped, or stopped while it waited."""
    fields = ("session_id", "number", "epoch", "status", "stop_reason", "error", "usage", "reply")
    row = await engine.database.read(lambda: Turn.objects.values(*fields).get(pk=turn_id))
    live = hub.begin(row["session_id"], turn_id, row["number"], row["epoch"])
    hub.finish(
        row["session_id"],
        live,
        status=row["status"],
        stop_reason=row["stop_reason"] or row["error"],
        usage=row["usage"],
        text=row["reply"],
    )


def record_refusal(
    running: Running, loaded: Loaded, budget: Budget, policy: Policy, refused: Assembled, lower: Assembled
) -> None:
    """Record that the API refused a request as too long, and which smaller one follows. One transaction."""
    with transaction.atomic():
        for call in _calls(running, loaded, budget, policy, refused, ContextOverflow.code):
            recording.record_call(**call)
        recording.record_event(
            session=loaded.session_id,
            user=loaded.owner_id,
            kind="rung",
            number=loaded.number,
            model=loaded.model,
            tokens_before=refused.manifest.estimated,
            tokens_after=lower.manifest.estimated,
            seconds=None,
            outcome="ok",
            code=lower.rung or "ready_summary",
        )


def _enqueue_compaction(closed: Closed, end: Ending) -> bool:
    """Compaction due? Then as a row, in this transaction: it survives whatever happens to this process."""
    if end.policy is None or not compacts(closed.strategy, closed.mode):
        return False
    reached = level(closed.open_tokens, closed.open_turns * MESSAGES_A_TURN, room=end.room, policy=end.policy)
    if reached == "none":
        return False
    leases.enqueue("compact", closed.session_id, priority=PRIORITY[reached])
    return True


def compacts(strategy: str, mode: str) -> bool:
    """Whether a session is compacted by itself."""
    return strategy == ChatSession.Strategy.SUMMARY and mode == ChatSession.Mode.AUTO


def _usage(running: Running) -> dict[str, int]:
    usage = running.usage
    told = {
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "output": usage.output,
    }
    return told | ({"thinking": usage.thinking} if usage.thinking else {})


def _measured_prompt(loaded: Loaded | None, assembled: Assembled | None, measured: int | None) -> int | None:
    """The prompt's own tokens: this request's size less the last one's and its reply, where nothing else changed."""
    if not (loaded and assembled and measured and loaded.previous):
        return None
    before, manifest = loaded.previous, assembled.manifest
    same = (before.context_version, before.window_from, before.model) == (
        loaded.context_version,
        manifest.window_from,
        loaded.model,
    )
    plain = not assembled.rung and not any(line.component == "recall" and line.used for line in manifest.report)
    if not same or not plain:
        return None
    # The frames of the two messages are counted apart, as everywhere.
    own = measured - before.measured - before.reply_tokens - 2 * (MESSAGE_TOKENS + BLOCK_TOKENS)
    guess = next((line.used for line in manifest.report if line.component == "current"), 0)
    return own if own > 0 and guess * LEAST_RATIO <= own <= guess * MOST_RATIO else None


def _sent(loaded: Loaded | None, assembled: Assembled | None, measured: int | None) -> Sent | None:
    if not (loaded and assembled):
        return None
    request, manifest = assembled.request, assembled.manifest
    limit = next((line.budget for line in manifest.report if line.component == "documents"), 0)
    made = recipes.describe(request, loaded.history, Prompt(text=loaded.prompt, number=loaded.number), limit)
    parts = tuple(
        replace(part, check=one.check, recipe=one.recipe) for part, one in zip(manifest.parts, made, strict=True)
    )
    body = request.body()
    return Sent(
        manifest=replace(manifest, parts=parts),
        context_version=loaded.context_version,
        model=loaded.model,
        rung=assembled.rung,
        frame=rebuilding.frame_of(request, body),
        body_sha256=body_sha256(body),
        measured=measured,
    )


def _calls(
    running: Running, loaded: Loaded, budget: Budget, policy: Policy, assembled: Assembled, outcome: str
) -> tuple[dict[str, Any], ...]:
    """The call that ended so, behind the ones that failed unseen and were made again."""
    last = _call(running, loaded, budget, policy, assembled, outcome)
    failed = tuple(
        last
        | {"stop_reason": "", "first_ms": None, "total_ms": one.total_ms}
        | {"call": one.call, "outcome": one.outcome}
        | {name: getattr(one.usage, name) for name in ("input", "cache_read", "cache_write", "output")}
        for one in running.attempts
    )
    running.attempts.clear()
    return (*failed, last)


def _call(
    running: Running, loaded: Loaded, budget: Budget, policy: Policy, assembled: Assembled, outcome: str
) -> dict[str, Any]:
    usage = running.usage
    report = assembled.manifest.report
    return {
        "call": running.call,
        "session": loaded.session_id,
        "user": loaded.owner_id,
        "turn": loaded.turn_id,
        "number": loaded.number,
        "purpose": "reply",
        "model": loaded.model,
        "strategy": loaded.strategy,
        "window": budget.window,
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "output": usage.output,
        "components": {line.component: line.used for line in report},
        "estimate": assembled.manifest.estimated,
        "first_ms": running.first_ms,
        "total_ms": int((time.monotonic() - running.sent_at) * 1000),
        "stop_reason": running.stop_reason,
        "outcome": outcome,
        "ttl": settings.CHAT_CACHE_TTL,
        "compacts_at": gauges.compacts_at(report, budget=budget, policy=policy),
        "reserve": budget.window - budget.input_limit,
        "system_digest": _digest(assembled),
        "spared": spared(loaded, assembled),
        "cut": {line.component: line.before - line.used for line in report if line.truncated},
    }


def spared(loaded: Loaded, assembled: Assembled) -> int | None:
    """What summaries kept out of a request: the tokens of the turns that they stand for, less their own.

    None where it can't be told, because older turns are neither summarised nor loaded.
    """
    runs = assembled.manifest.runs
    summaries = [run.tokens for run in runs if run.how == "summarised"]
    if not summaries:
        return 0
    loaded_tokens = {turn.number: turn.tokens for turn in loaded.history.turns}
    covered = loaded.parent_upto
    for run in runs:
        if run.how != "summarised":
            for number in range(run.first, min(run.last, loaded.number - 1) + 1):
                if number not in loaded_tokens:
                    return None
                covered -= loaded_tokens[number]
    return max(0, covered - sum(summaries))


def _digest(assembled: Assembled) -> str:
    return hashlib.sha256("\n".join(block.text for block in assembled.request.system).encode()).hexdigest()


def _trim(loaded: Loaded, assembled: Assembled) -> dict[str, Any]:
    kept = sum(run.tokens for run in assembled.manifest.runs if run.how in ("verbatim", "clamped"))
    return {
        "session": loaded.session_id,
        "user": loaded.owner_id,
        "kind": "trim",
        "number": loaded.number,
        "model": loaded.model,
        "tokens_before": sum(turn.tokens for turn in loaded.history.turns),
        "tokens_after": kept,
        "seconds": None,
        "outcome": "ok",
        "code": assembled.rung or "window",
    }
