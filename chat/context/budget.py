"""How the window is split: declared once, enforced before sending, shown to user and operator.

All figures are tokens. The proportions come from one declaration (`PARTS`, of 150); floors hold; what one component
leaves free another may borrow. Source of the rules: the chapter on the budget in docs/context.md.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

# Of 150 parts. Summaries, facts and pins live inside history's share; recall and documents share forty.
PARTS: Mapping[str, int] = {
    "system": 3,
    "history": 60,
    "documents": 30,
    "recall": 10,
    "tool_results": 20,
    "response": 8,
    "headroom": 19,
}
INSIDE_HISTORY: Mapping[str, float] = {"summaries": 0.25, "facts": 0.08, "pins": 0.25}
ELASTIC = ("history", "documents", "recall", "tool_results")

# The one declared order in which components give way, first first. `system` and `current` never do.
GIVES_WAY = ("recall", "documents", "history", "tool_results", "summaries", "pins", "facts")
# In the order in which the model reads them.
COMPONENTS = ("system", "documents", "facts", "summaries", "pins", "history", "tool_results", "recall", "current")

RESPONSE_FLOOR = 512
# The least that the Messages API takes as a budget for thinking, and what a large window gives it.
THINKING_FLOOR = 1_024
THINKING_PART = 25
# The least that is left for the newest turn with the notes above it, even by a counter that counts twofold.
NEWEST_TURN_FLOOR = 256
# Four summaries of tier 1. With fewer the tiers of a merge have no room to grow, and old turns are summarised over
# and over again.
SUMMARIES_FLOOR = 1_600
# No model's window is larger; where the search for the least window ends.
WIDEST = 1 << 40


class BudgetError(ValueError):
    """The fixed components don't fit the window. `least` is the smallest window, in tokens, in which they would."""

    def __init__(self, message: str, *, least: int):
        super().__init__(message)
        self.least = least


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The split of one window, in tokens. `thinking` is a part of `response`, 0 where none is asked for."""

    window: int
    system: int
    history: int
    documents: int
    recall: int
    tool_results: int
    summaries: int
    facts: int
    pins: int
    response: int
    headroom: int
    thinking: int = 0

    @property
    def input_limit(self) -> int:
        """What a request may hold: window - response - headroom."""
        return self.window - self.response - self.headroom

    @property
    def hard_limit(self) -> int:
        """What the API would still take: window - response. Beyond lies a 400."""
        return self.window - self.response

    @property
    def summaries_at_most(self) -> int:
        """What summaries may hold while merging lags, borrowed from the turns: half as much again.

        A fixed figure on purpose. Were it to follow what recall leaves free, the cached prefix would change with
        every message.
        """
        return self.summaries * 3 // 2

    def room(self, held: int) -> int:
        """Tokens for history when all other components really hold `held` now."""
        return max(0, self.input_limit - held)

    def of(self, component: str) -> int:
        """The declared budget of a component; the current message may take all that is left."""
        return self.input_limit if component == "current" else int(getattr(self, component))


def split(
    window: int,
    *,
    preset: Mapping[str, int] | None = None,
    response: int | None = None,
    system_tokens: int = 0,
    thinking: int = 0,
) -> Budget:
    """Split a window of `window` tokens.

    `preset` (see `parse`) replaces the proportions by tokens of its own total: scaled down in a smaller window, in a
    larger one what lies beyond the total stays unused. `response` replaces the reply's share. With `thinking`, a 25th
    of the window, at most so many tokens, is set aside for it beside the reply. Raises BudgetError when instructions of
    `system_tokens`, the reply and one small turn don't fit: a configuration error that names the least window.
    """
    budget = _split(window, preset, response, system_tokens, thinking)
    if budget is None:
        least = least_window(preset=preset, response=response, system_tokens=system_tokens, thinking=thinking)
        raise BudgetError(
            f"Instructions of {system_tokens:,} tokens and a reply of {max(RESPONSE_FLOOR, response or 0):,} "
            f"do not fit a window of {window:,} tokens; the least window is {least:,}.",
            least=least,
        )
    return budget


def least_window(
    *, preset: Mapping[str, int] | None = None, response: int | None = None, system_tokens: int = 0, thinking: int = 0
) -> int:
    """The smallest window, in tokens, that `split` accepts with these settings."""
    return bisect_left(
        range(WIDEST), True, key=lambda window: _split(window, preset, response, system_tokens, thinking) is not None
    )


def parse(text: str) -> dict[str, int] | None:
    """Read a preset such as "total=150000 system=3000 history=60000 ..."; '' means the default proportions.

    All components are named; `total` may be left out and is their sum then. Raises ValueError, naming the word, on
    anything else.
    """
    if not text.strip():
        return None
    out: dict[str, int] = {}
    for word in text.split():
        key, _, value = word.partition("=")
        if key != "total" and key not in PARTS:
            raise ValueError(f"{word!r} names no component; these exist: total, {', '.join(PARTS)}.")
        if key in out:
            raise ValueError(f"{word!r} comes second: {key} is named already.")
        if not (value.isascii() and value.isdecimal()):
            raise ValueError(f"{word!r} is not a number of tokens.")
        out[key] = int(value)
    missing = [key for key in PARTS if key not in out]
    if missing:
        raise ValueError(f"The budget names no {', '.join(missing)}.")
    parts = sum(out[key] for key in PARTS)
    if out.setdefault("total", parts) < parts:
        raise ValueError(f"'total={out['total']}' is less than its parts, which are {parts}.")
    if not out["history"]:
        raise ValueError("'history=0' leaves no room for a conversation.")
    return out


def _split(
    window: int, preset: Mapping[str, int] | None, response: int | None, system_tokens: int, thinking: int
) -> Budget | None:
    """The split, or None when the floors don't fit."""
    if preset is None:
        return _share(window, window, PARTS, response, system_tokens, thinking)
    # Floors hold even against a preset: where they don't fit into its total, it may stretch.
    within = min(window, preset.get("total", 0) or sum(preset.values()))
    return _share(window, within, preset, response, system_tokens, thinking) or _share(
        window, window, preset, response, system_tokens, thinking
    )


def _share(
    window: int, usable: int, parts: Mapping[str, int], response: int | None, system_tokens: int, most_thinking: int
) -> Budget | None:
    """`usable` of the window by the proportions of `parts`; what lies beyond it is headroom."""
    total = parts.get("total", 0) or sum(parts.values())

    def part(name: str) -> int:
        return parts[name] * usable // total

    thinking = max(THINKING_FLOOR, min(most_thinking, window // THINKING_PART)) if most_thinking else 0
    reply = max(RESPONSE_FLOOR, part("response") if response is None else response) + thinking
    system = max(part("system"), system_tokens)
    headroom = window - usable + part("headroom")
    rest = window - reply - headroom
    if rest - system_tokens < NEWEST_TURN_FLOOR:
        return None
    # In a small window the floors of reply and system are more than their parts: the others share what is left.
    left = max(0, rest - system)
    elastic = sum(parts[name] for name in ELASTIC)
    shares = {name: min(part(name), parts[name] * left // elastic) for name in ELASTIC}
    history = shares["history"]
    inside = {name: int(history * share) for name, share in INSIDE_HISTORY.items()}
    inside["summaries"] = max(inside["summaries"], min(SUMMARIES_FLOOR, history // 2))
    return Budget(
        window=window,
        system=min(system, rest),
        response=reply,
        headroom=headroom,
        thinking=thinking,
        **shares,
        **inside,
    )
