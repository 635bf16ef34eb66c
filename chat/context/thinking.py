"""Extended thinking: how a model is asked for it, and what of it is kept for people to read.

What a model thought is never sent again: newer models reject thinking blocks after any edit of what stands before
them, and what it thought about one message is rarely of use for the next.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from chat.context.values import Step

# The fields that the Messages API takes ("thinking" in its reference): newer models decide for themselves how much
# they think, older ones are given a number of tokens.
ADAPTIVE, ENABLED, NONE = "adaptive", "enabled", "none"
KINDS = (ADAPTIVE, ENABLED, NONE)
# A reply that has no room left beside its thinking would be empty.
LEAST_REPLY = 256

_NEVER = ("claude-2", "claude-instant", "claude-3-haiku", "claude-3-opus", "claude-3-sonnet", "claude-3-5")
_NUMBERED = ("claude-3-7", "-4-0", "-4-1", "-4-5", "claude-opus-4-2", "claude-sonnet-4-2")


def kind_of(model: str) -> str:
    """How this model is asked to think, by its name: for when the Models API did not say."""
    if model.startswith(_NEVER):
        return NONE
    return ENABLED if any(part in model for part in _NUMBERED) else ADAPTIVE


def ask(kind: str, *, tokens: int, max_tokens: int) -> dict[str, Any] | None:
    """The request's field `thinking`, at most `tokens` of `max_tokens`; None where the model can't, or has no room.

    The API wants a budget below `max_tokens`. A summary of the thinking is asked for by name: some models leave the
    text out otherwise.
    """
    tokens = min(tokens, max_tokens - LEAST_REPLY)
    if kind == ADAPTIVE and tokens > 0:
        return {"type": "adaptive", "display": "summarized"}
    if kind == ENABLED and tokens >= 1_024:
        return {"type": "enabled", "budget_tokens": tokens}
    return None


def text_of(steps: Iterable[Step]) -> str:
    """What was thought, as far as the API gave it in words; blocks apart by an empty line."""
    found = (_words(step.body) for step in steps if step.kind == "thinking")
    return "\n\n".join(words for words in found if words)


def _words(body: str) -> str:
    try:
        block = json.loads(body)
    except ValueError:
        return ""
    words = block.get("thinking") if isinstance(block, Mapping) else None
    return words.strip() if isinstance(words, str) else ""
