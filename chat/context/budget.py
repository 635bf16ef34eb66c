"""How the window is split: declared once, enforced before sending, shown to user and operator.

All figures are tokens. The proportions come from one declaration (`PARTS`, of 150); floors hold; what one component
leaves free another may borrow. Source of the rules: the context engine's budget chapter in docs/context.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# Of 150 parts. Summaries and facts live inside history's share; recall and documents share forty.
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

# The one declared order in which components give way, first first. `system` and `current` never do.
GIVES_WAY = ("recall", "documents", "history", "tool_results", "summaries", "facts")
COMPONENTS = ("system", "documents", "facts", "summaries", "recall", "history", "tool_results", "current")

RESPONSE_FLOOR = 512
NEWEST_TURN_FLOOR = 64


class BudgetError(ValueError):
    """The fixed components don't fit the window. `least` is the smallest window, in tokens, in which they would."""

    def __init__(self, message: str, *, least: int):
        super().__init__(message)
        self.least = least


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The split of one window, in tokens."""

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

    @property
    def input_limit(self) -> int:
        """What a request may hold: window - response - headroom."""
        return self.window - self.response - self.headroom

    @property
    def hard_limit(self) -> int:
        """What the API would still take: window - response. Beyond lies a 400."""
        return self.window - self.response

    def room(self, held: int) -> int:
        """Tokens for history when all other components really hold `held` now."""
        return max(0, self.input_limit - held)

    def of(self, component: str) -> int:
        """The declared budget of a component; the current message may take all that is left."""
        return self.input_limit if component == "current" else getattr(self, component)


def split(
    window: int, *, preset: Mapping[str, int] | None = None, response: int | None = None, system_tokens: int = 0
) -> Budget:
    """Split a window of `window` tokens.

    `preset` replaces the proportions by tokens of its own total (key `total`), scaled when the window is smaller;
    `response` replaces the reply's share. Raises BudgetError when instructions of `system_tokens`, the least reply
    and one small turn can't fit: a configuration error that names the least window.
    """
    parts = dict(PARTS) if preset is None else {key: value for key, value in preset.items() if key != "total"}
    total = sum(parts.values()) if preset is None else max(preset.get("total", 0), sum(parts.values()))
    # A preset is in tokens and is never stretched beyond what it declares; proportions fill the window.
    scale = window / total if preset is None else min(1.0, window / total)
    share = {key: int(value * scale) for key, value in parts.items()}
    reply = max(RESPONSE_FLOOR, response if response is not None else share["response"])
    system = max(share["system"], system_tokens)
    headroom = window - int(total * scale) + share["headroom"] if preset is None else share["headroom"]
    least = int((system_tokens + RESPONSE_FLOOR + NEWEST_TURN_FLOOR) / (1 - PARTS["headroom"] / sum(PARTS.values()))) + 1
    if window < least or reply + headroom + system_tokens + NEWEST_TURN_FLOOR > window:
        raise BudgetError(
            f"Instructions of {system_tokens:,} tokens and a reply of {reply:,} do not fit a window of {window:,} "
            f"tokens; the least window is {max(least, reply + headroom + system_tokens + NEWEST_TURN_FLOOR):,}.",
            least=max(least, reply + headroom + system_tokens + NEWEST_TURN_FLOOR),
        )
    return Budget(
        window=window,
        system=system,
        history=share["history"],
        documents=share["documents"],
        recall=share["recall"],
        tool_results=share["tool_results"],
        summaries=int(share["history"] * INSIDE_HISTORY["summaries"]),
        facts=int(share["history"] * INSIDE_HISTORY["facts"]),
        pins=int(share["history"] * INSIDE_HISTORY["pins"]),
        response=reply,
        headroom=headroom,
    )


def parse(text: str) -> dict[str, int] | None:
    """Read a preset such as "total=150000 system=3000 history=60000 ..."; '' means the default proportions.

    Raises ValueError, naming the word, on anything that is not one of the declared components.
    """
    if not text.strip():
        return None
    out: dict[str, int] = {}
    for word in text.split():
        key, _, value = word.partition("=")
        if key != "total" and key not in PARTS:
            raise ValueError(f"{word!r} names no component; these exist: total, {', '.join(PARTS)}.")
        if not value.isdigit():
            raise ValueError(f"{word!r} is not a number of tokens.")
        out[key] = int(value)
    missing = [key for key in PARTS if key not in out]
    if missing:
        raise ValueError(f"The budget names no {', '.join(missing)}.")
    return out
