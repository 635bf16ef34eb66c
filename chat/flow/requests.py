"""From a loaded turn to the request that will fit, before the API can refuse it and after it did."""

import asyncio
from dataclasses import replace
from functools import partial

import structlog
from django.conf import settings
from django.utils import timezone

from chat.context import thinking, tokens
from chat.context.assembly import assemble, next_rung
from chat.context.budget import Budget, BudgetError
from chat.context.tokens import Counter
from chat.context.values import Assembled, Prompt
from chat.flow.engine import Engine
from chat.providers.base import ContextOverflow, ProviderError
from chat.store.loading import Loaded

log = structlog.get_logger(__name__)

# Within a tenth of the limit the API is asked; below, the estimate is good enough. Not for longer than this, seconds.
ASK_SHARE = 0.9
ASK_S = 2.0
MOST_ASKED = 4
# A request of so little is made in about a millisecond.
BRIEF_CHARS = 16_000
BRIEF_TURNS = 50
# An estimate this close teaches nothing worth classifying the whole request again for.
CLOSE_ENOUGH = 0.02
EARLY_SAMPLES = 5


async def first_request(loaded: Loaded, budget: Budget, engine: Engine, counter: Counter) -> Assembled:
    """Make the request. Near the limit the API counts it, and a wrong estimate is corrected before it hurts.

    `counter` is the model's as it is now; smaller requests are made with the same one (see `smaller`).
    Raises BudgetError when nothing of it fits the window.
    """
    make = partial(
        assemble,
        loaded.history,
        _prompt(loaded),
        budget,
        counter,
        model=loaded.model,
        limits=engine.limits(loaded),
        ttl=settings.CHAT_CACHE_TTL,
    )
    # A pasted million characters takes tens of milliseconds to count, which other streams would feel.
    assembled = make() if _is_brief(loaded) else await asyncio.to_thread(make)
    assembled = _thinking(assembled, budget, engine)
    for _ in range(MOST_ASKED):
        if assembled.manifest.estimated <= budget.input_limit * ASK_SHARE:
            return assembled
        try:
            async with asyncio.timeout(ASK_S):
                counted = await engine.provider.count(assembled.request)
        except (ProviderError, TimeoutError):
            return assembled  # asking is a courtesy: the ladder stands behind the estimate
        await learn(engine, assembled, counted)
        if counted <= budget.hard_limit:
            return assembled
        assembled = await smaller(assembled, loaded, budget, engine, counter, actual=counted, allowed=budget.window)
    return assembled


def learn_overflow(engine: Engine, refused: Assembled, error: ContextOverflow) -> None:
    """Let the counter learn from the numbers of an error."""
    engine.learn_overflow(refused.request.model, actual=error.actual, estimated=refused.manifest.estimated)


async def smaller(
    assembled: Assembled,
    loaded: Loaded,
    budget: Budget,
    engine: Engine,
    counter: Counter,
    *,
    actual: int | None,
    allowed: int | None,
) -> Assembled:
    """One or more rungs down. Raises BudgetError when the ladder has ended.

    `counter` must be the one that `assembled` was made with: what has been learnt since is in `actual` already, and
    counted twice it would cost the user turns that still fit.
    """
    lower = await asyncio.to_thread(
        next_rung,
        assembled,
        loaded.history,
        _prompt(loaded),
        budget,
        counter,
        actual=actual,
        allowed=allowed,
        limits=engine.limits(loaded),
    )
    if lower is None:
        raise BudgetError("The message alone does not fit the window.", least=assembled.manifest.estimated)
    return _thinking(lower, budget, engine)


def _thinking(assembled: Assembled, budget: Budget, engine: Engine) -> Assembled:
    """The request with the field that asks for thinking, where there is a budget for it: no input."""
    if not budget.thinking:
        return assembled
    request = assembled.request
    info = engine.known_window(request.model)
    kind = (info.thinking if info else "") or thinking.kind_of(request.model)
    asked = thinking.ask(kind, tokens=budget.thinking, max_tokens=request.max_tokens)
    return replace(assembled, request=replace(request, thinking=asked))


async def learn(engine: Engine, assembled: Assembled, measured: int) -> None:
    """Let the counter learn from what the API counted, when there is something to learn."""
    if measured <= 0:
        return
    model = assembled.request.model
    counter = engine.counter(model)
    error = abs(assembled.manifest.estimated - measured) / measured
    if error < CLOSE_ENOUGH and counter.ratios.samples >= EARLY_SAMPLES:
        return
    shares = await asyncio.to_thread(tokens.total, [block.text for block in assembled.request.blocks()])
    # The estimate that the ratios alone give, beside the frames of messages and blocks.
    frame = (
        tokens.REQUEST_TOKENS
        + tokens.MESSAGE_TOKENS * len(assembled.request.messages)
        + tokens.BLOCK_TOKENS * len(assembled.request.blocks())
    )
    engine.learn(model, shares=shares, estimated=counter.count_shares(shares) + frame, measured=measured)


def _is_brief(loaded: Loaded) -> bool:
    """Whether the request is made sooner than a thread would be asked to."""
    history = loaded.history
    if history.documents or len(history.turns) > BRIEF_TURNS or any(turn.steps for turn in history.turns):
        return False
    told = [loaded.prompt, *(one.text for one in history.summaries)]
    told += [text for turn in history.turns for text in (turn.prompt, turn.reply)]
    return sum(map(len, told)) <= BRIEF_CHARS


def _prompt(loaded: Loaded) -> Prompt:
    return Prompt(text=loaded.prompt, number=loaded.number, date=timezone.localdate().isoformat())
