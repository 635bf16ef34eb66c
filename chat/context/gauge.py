"""The gauge: how full the window is, what it is made of, and what comes next. All figures are tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chat.context.budget import Budget
from chat.context.compaction import Policy
from chat.context.values import Line

# What becomes history as soon as the reply is there.
_BECOMES_HISTORY = ("history", "current")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """What the user is shown. `tokens` is the context after the last reply; `estimated` when no API counted it.

    `compacts_at` is None where nothing is ever compacted. `turns_left` is how many turns of the average size fit
    below it, or else below the hard limit. `components` add up to `tokens`. `thinking` is a part of `reserve`.
    """

    tokens: int
    window: int
    share: float
    estimated: bool
    components: dict[str, int]
    compacts_at: int | None
    hard_limit: int
    reserve: int
    free: int
    turns_left: int | None
    thinking: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for frames and pages."""
        return {name: getattr(self, name) for name in self.__slots__}


def held(report: Iterable[Line]) -> int:
    """What all components other than history and the current message hold, from a manifest's report."""
    return sum(line.used for line in report if line.component not in ("history", "tool_results", "current"))


def compacts_at(report: Iterable[Line], *, budget: Budget, policy: Policy) -> int:
    """The context length at which the soft mark is reached while the other components hold what they hold now."""
    other = held(report)
    return other + int(budget.room(other) * policy.soft)


def gauge(
    report: Iterable[Line],
    *,
    budget: Budget,
    policy: Policy,
    measured: int | None,
    estimated: int,
    reply_tokens: int,
    verbatim: int,
    compacts: bool = True,
) -> Gauge:
    """The gauge after a turn: its manifest's report scaled to what the API counted, plus the reply.

    `verbatim` is how many turns stand word for word, the new one included: they give the average turn.
    """
    lines = list(report)
    real = estimated if measured is None else measured
    counted = sum(line.used for line in lines) or 1
    components = {
        line.component: line.used * real // counted
        for line in lines
        if line.used and line.component not in _BECOMES_HISTORY
    }
    # The rest, so that the parts add up to the whole whatever was rounded.
    components["history"] = real - sum(components.values()) + reply_tokens
    tokens = real + reply_tokens
    mark = compacts_at(lines, budget=budget, policy=policy) if compacts else None
    limit = budget.input_limit
    average = max(1, components["history"] // max(1, verbatim))
    return Gauge(
        tokens=tokens,
        window=budget.window,
        share=tokens / budget.window,
        estimated=measured is None,
        components=components,
        compacts_at=mark,
        hard_limit=limit,
        reserve=budget.window - limit,
        free=max(0, limit - tokens),
        thinking=budget.thinking,
        turns_left=max(0, ((mark or limit) - tokens) // average),
    )
