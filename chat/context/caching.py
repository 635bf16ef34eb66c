"""Where the prompt-cache breakpoints stand.

At most four, of these the best that reach the model's least cacheable length: the last tool result of the running
turn, the last finished reply, the end of the summaries, the end of the documents, the end of the system prompt.
Source: the Messages API's prompt caching rules (4 breakpoints; a prefix below the minimum is silently not cached).
"""

from collections.abc import Sequence
from dataclasses import replace

from chat.context.values import Block, Message

MOST_BREAKPOINTS = 4
# Tokens below which a prefix isn't cached, by how the model's name begins; the longest beginning wins.
LEAST_PREFIX = {
    "": 1024,
    "claude-opus-4-5": 4096,
    "claude-opus-4-6": 4096,
    "claude-haiku-4-5": 4096,
}


def least_prefix(model: str) -> int:
    """The least cacheable prefix of a model, in tokens."""
    return LEAST_PREFIX[max((key for key in LEAST_PREFIX if model.startswith(key)), key=len)]


def place(
    system: Sequence[Block], messages: Sequence[Message], *, head: bool, least: int
) -> tuple[tuple[Block, ...], tuple[Message, ...]]:
    """Mark the breakpoints. `head` says that the first exchange holds documents, facts and summaries."""
    flat = [("system", 0, i) for i in range(len(system))]
    flat += [("message", m, b) for m, message in enumerate(messages) for b in range(len(message.blocks))]
    blocks = [*system, *(block for message in messages for block in message.blocks)]
    upto: dict[tuple[str, int, int], int] = {}
    used = 0
    for place_, block in zip(flat, blocks, strict=True):
        used += block.tokens
        upto[place_] = used

    chosen: list[tuple[str, int, int]] = []
    for candidate in _candidates(system, messages, head=head):
        if candidate not in chosen and upto[candidate] >= least and len(chosen) < MOST_BREAKPOINTS:
            chosen.append(candidate)
    marked = set(chosen)
    return (
        tuple(replace(block, cache=("system", 0, i) in marked) for i, block in enumerate(system)),
        tuple(
            replace(
                message,
                blocks=tuple(
                    replace(block, cache=True) if ("message", m, b) in marked else block
                    for b, block in enumerate(message.blocks)
                ),
            )
            for m, message in enumerate(messages)
        ),
    )


def _candidates(system: Sequence[Block], messages: Sequence[Message], *, head: bool) -> list[tuple[str, int, int]]:
    """Every place a breakpoint may stand, the best first."""
    out: list[tuple[str, int, int]] = []
    final = len(messages) - 1
    results = [b for b, block in enumerate(messages[final].blocks) if block.type == "tool_result"]
    if results:
        out.append(("message", final, results[-1]))
    replies = [m for m, message in enumerate(messages) if message.role == "assistant"]
    if replies:
        out.append(("message", replies[-1], len(messages[replies[-1]].blocks) - 1))
    if head:
        out.append(("message", 0, len(messages[0].blocks) - 1))
        documents = [b for b, block in enumerate(messages[0].blocks) if block.component == "documents"]
        if documents:
            out.append(("message", 0, documents[-1]))
    if system:
        out.append(("system", 0, len(system) - 1))
    return out
