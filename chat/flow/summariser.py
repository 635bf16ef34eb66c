"""One summary text: asked of the summary model, judged by the gate, and made by code when no model delivers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from chat.context import prompts
from chat.context.extract import extractive_summary
from chat.context.gate import Verdict, check_summary
from chat.context.values import Request, Summary, Turn
from chat.flow.asking import ask
from chat.flow.engine import Engine
from chat.models import Summary as SummaryRow
from chat.providers.base import ProviderError
from chat.store import summaries
from chat.store.summaries import Made
from monitoring import recording

log = structlog.get_logger(__name__)

# Room for the list of exact values and for a model that counts words loosely.
REPLY_FACTOR = 3
# The gate has refused this input so often that asking a model again is a waste; code makes an extract at once.
MOST_REJECTIONS = 3
# Tokens were counted for the chat's model; the summariser's own count may differ by so much.
MOST_OF_WINDOW = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What is to be summarised: turns, or (for a merge) summaries. Sizes in tokens. `keep`: what its owner wants."""

    session_id: UUID
    owner_id: int
    strategy: str
    chat_model: str
    first: int
    last: int
    tier: int
    source_hash: str
    source_tokens: int
    limit_tokens: int
    exact_tokens: int
    turns: tuple[Turn, ...] = ()
    children: tuple[Summary, ...] = ()
    keep: str = ""

    @property
    def purpose(self) -> str:
        """How the calls are recorded."""
        return "merge" if self.children else "summary"

    @property
    def source(self) -> str:
        """The words that the gate compares the summary with."""
        if self.children:
            return "\n\n".join(child.text for child in self.children)
        return prompts.source_text(self.turns)

    def request(self, model: str) -> Request:
        """The request for `model`."""
        most = self.limit_tokens * REPLY_FACTOR + self.exact_tokens
        if self.children:
            return prompts.merge_request(
                summaries=self.children, model=model, max_tokens=most, limit_tokens=self.limit_tokens, keep=self.keep
            )
        return prompts.summary_request(
            turns=self.turns, model=model, max_tokens=most, limit_tokens=self.limit_tokens, keep=self.keep
        )


async def summarise(work: Assignment, engine: Engine, *, last_try: bool) -> Made | None:
    """A text that passed the gate; None when not even code could make one.

    The summary model twice, then the chat's own model once, then an extract. With `last_try` false a transient
    error of the provider is raised instead of worked around: a better summary a little later beats an extract now.
    """
    models = (engine.summary_model, engine.summary_model, work.chat_model)
    refused = await engine.database.read(
        summaries.rejected, work.session_id, work.first, work.last, work.source_hash, work.keep
    )
    if not await _fits(work, engine):
        return await _extract(work, engine)
    for model in models[refused:] if refused < MOST_REJECTIONS else ():
        try:
            text, stop_reason = await _ask(work, model, engine)
        except ProviderError as error:
            if error.transient and not last_try:
                raise
            continue
        verdict = await asyncio.to_thread(_judge, work, text, stop_reason, engine)
        if verdict.ok:
            return _made(verdict, model, SummaryRow.MadeBy.MODEL)
        await engine.database.run(_record_rejection, work, model, verdict)
    return await _extract(work, engine)


async def _fits(work: Assignment, engine: Engine) -> bool:
    """Whether a model can take the source whole. Only a single giant turn can't; its input is never trimmed."""
    window = await engine.window(engine.summary_model)
    return work.source_tokens + work.limit_tokens * REPLY_FACTOR + work.exact_tokens < window.window * MOST_OF_WINDOW


async def _extract(work: Assignment, engine: Engine) -> Made | None:
    """The extract by code, through the same gate. A merge has none: its children simply stay."""
    if work.children or not any(not turn.excluded_by for turn in work.turns):
        return None
    counter = engine.counter(work.chat_model)

    def make() -> Verdict:
        text = extractive_summary(turns=work.turns, counter=counter, limit=work.limit_tokens, keep=work.keep)
        return _judge(work, text, "end_turn", engine)

    verdict = await asyncio.to_thread(make)
    if verdict.ok:
        return _made(verdict, "", SummaryRow.MadeBy.EXTRACT)
    await engine.database.run(_record_rejection, work, "code", verdict)
    return None


async def _ask(work: Assignment, model: str, engine: Engine) -> tuple[str, str]:
    """One call; recorded whatever comes of it."""
    return await ask(
        work.request(model),
        engine,
        purpose=work.purpose,
        session_id=work.session_id,
        owner_id=work.owner_id,
        number=work.last,
        strategy=work.strategy,
    )


def _judge(work: Assignment, text: str, stop_reason: str, engine: Engine) -> Verdict:
    return check_summary(
        text=text,
        stop_reason=stop_reason,
        source=work.source,
        source_tokens=work.source_tokens,
        counter=engine.counter(work.chat_model),
        limit_tokens=work.limit_tokens,
        exact_tokens=work.exact_tokens,
    )


def _made(verdict: Verdict, model: str, made_by: str) -> Made:
    gate = {"values": len(verdict.values), "added": len(verdict.missing), "left_out": len(verdict.left_out)}
    return Made(text=verdict.text, tokens=verdict.tokens, model=model, made_by=made_by, gate=gate)


def _record_rejection(work: Assignment, model: str, verdict: Verdict) -> None:
    """Keep that the gate refused this input, without the words; the operator sees it."""
    code = verdict.codes[0] if verdict.codes else "gate"
    summaries.save(
        work.session_id,
        work.first,
        work.last,
        work.source_hash,
        tier=work.tier,
        source_tokens=work.source_tokens,
        made=Made(text="", tokens=verdict.tokens, model=model, made_by="model", gate={"codes": list(verdict.codes)}),
        state=SummaryRow.State.REJECTED,
        reason=code,
        keep=work.keep,
    )
    recording.record_event(
        session=work.session_id,
        user=work.owner_id,
        kind="gate_rejected",
        number=work.last,
        model=model,
        tokens_before=work.source_tokens,
        tokens_after=verdict.tokens,
        seconds=None,
        outcome="rejected",
        code=code,
    )


def earlier(children: Sequence[SummaryRow]) -> tuple[Summary, ...]:
    """Summary rows as the values that a merge is made from."""
    return tuple(
        Summary(first=row.first, last=row.last, text=row.text, tokens=row.tokens, tier=row.tier, ref=f"S{row.pk}")
        for row in children
    )
