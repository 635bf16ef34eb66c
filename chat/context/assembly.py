"""Assembly: a history, a message and a budget become one request and the manifest that proves what it holds.

Here it is climbed down until the request fits, or until the API takes it; `building` makes each of the requests.
"""

from collections.abc import Sequence

from chat.context.budget import Budget, BudgetError, least_window
from chat.context.building import Builder
from chat.context.overflow import LADDER, Cut, at, below
from chat.context.tokens import BLOCK_TOKENS, MESSAGE_TOKENS, REQUEST_TOKENS, Counter
from chat.context.values import Assembled, Extra, History, Prompt, Request
from chat.context.window import WindowLimits

__all__ = ["assemble", "next_rung"]


def assemble(
    history: History,
    prompt: Prompt,
    budget: Budget,
    counter: Counter,
    *,
    model: str,
    extras: Sequence[Extra] = (),
    limits: WindowLimits | None = None,
    ttl: str = "5m",
    cut: Cut | None = None,
    limit: int | None = None,
) -> Assembled:
    """Make the request for `prompt`.

    `limits` bounds the word-for-word messages (the sliding window); `limit` replaces the budget's own input limit
    in tokens; `cut` starts lower on the ladder. Climbs down until the estimate fits. Raises BudgetError when not
    even the clamped message alone fits.
    """
    builder = Builder(history, prompt, budget, counter, model, extras, limits or WindowLimits(), ttl)
    most = budget.input_limit if limit is None else limit
    start = cut or Cut()
    built = builder.build(start, most)
    for lower in below(start):
        if built.manifest.estimated <= most:
            break
        built = builder.build(lower, most)
    if built.manifest.estimated > most:
        raise BudgetError(
            f"The instructions leave no room for a message in {most:,} tokens.",
            least=least_window(response=budget.response, system_tokens=built.manifest.estimated),
        )
    return built


def next_rung(
    assembled: Assembled,
    history: History,
    prompt: Prompt,
    budget: Budget,
    counter: Counter,
    *,
    actual: int | None = None,
    allowed: int | None = None,
    extras: Sequence[Extra] = (),
    limits: WindowLimits | None = None,
) -> Assembled | None:
    """The next strictly smaller request after the API refused `assembled` as too long; None at the ladder's end.

    Everything else as `assembled` was made from; `counter` may have learnt from the error. `actual` and `allowed` are
    the tokens that the error named: what the counter still gets wrong is taken off by that factor, so one step may
    go down several rungs. At the last rung the message is clamped further, at least to half.
    """
    estimated = _recounted(assembled.request, counter)
    most = estimated - 1
    if actual and allowed and actual > allowed:
        fits = min(allowed - budget.response, int(allowed * 0.95))
        most = min(most, estimated * fits // actual)
    request = assembled.request
    builder = Builder(history, prompt, budget, counter, request.model, extras, limits or WindowLimits(), request.ttl)
    rungs = list(below(at(assembled.rung)))
    if not rungs:
        rungs, most = [at(LADDER[-1].name)], min(most, estimated // 2)
    for cut in rungs:
        built = builder.build(cut, most)
        if built.manifest.estimated <= most:
            return built
    return None


def _recounted(request: Request, counter: Counter) -> int:
    """The estimate of a request by a counter that may have learnt since it was made; turns keep their stored counts."""
    texts = [block.text for block in request.blocks() if block.component not in ("history", "pins")]
    kept = sum(block.tokens for block in request.blocks() if block.component in ("history", "pins"))
    frames = REQUEST_TOKENS + MESSAGE_TOKENS * len(request.messages) + BLOCK_TOKENS * len(texts)
    return frames + kept + sum(counter.count(text) for text in texts)
