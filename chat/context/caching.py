"""Where the prompt-cache breakpoints stand.

At most four, of these the best that reach the model's least cacheable length: the last tool result of the running
turn, the last finished reply, the one before it where it lies out of sight, the documents that came with the current
message, the end of the summaries, of the first documents, of the system prompt. Source: the Messages API's prompt
caching rules (4 breakpoints; a look back of 20 blocks for what earlier requests wrote; a prefix below the minimum is
silently not cached).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from chat.context.values import DOCUMENT_REF, Block, Message

MOST_BREAKPOINTS = 4
# The API looks back 20 blocks from a breakpoint; a turn of that many would hide the entry written at the turn before.
LOOK_BACK = 18
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
    """Mark the breakpoints. `head` says that the first exchange holds documents, facts and summaries.

    The tokens of the frames don't count towards `least`: a prefix that just misses it would only waste a breakpoint.
    """
    blocks = [*system, *(block for message in messages for block in message.blocks)]
    upto = list(accumulate(block.tokens for block in blocks))
    chosen: list[int] = []
    for at in _candidates(system, messages, head=head):
        if at not in chosen and upto[at] >= least and len(chosen) < MOST_BREAKPOINTS:
            chosen.append(at)
    marked = iter([replace(block, cache=True) if at in chosen else block for at, block in enumerate(blocks)])
    return (
        tuple(next(marked) for _ in system),
        tuple(replace(message, blocks=tuple(next(marked) for _ in message.blocks)) for message in messages),
    )


def _candidates(system: Sequence[Block], messages: Sequence[Message], *, head: bool) -> Iterator[int]:
    """Every place a breakpoint may stand, the best first, as the index of a block of the whole request."""
    ends = list(accumulate((len(message.blocks) for message in messages), initial=len(system)))
    results = [at for at, block in enumerate(messages[-1].blocks, start=ends[-2]) if block.type == "tool_result"]
    if results:
        yield results[-1]
    replies = [at for at, message in enumerate(messages) if message.role == "assistant"]
    if replies:
        last = ends[replies[-1] + 1] - 1
        yield last
        earlier = [at for at in replies if _turn(messages[at]) != _turn(messages[replies[-1]])]
        if earlier and last - (before := ends[earlier[-1] + 1] - 1) > LOOK_BACK:
            yield before
    # The next request begins with them too: written here, they are not read at the full price once more.
    if attached := _attached(messages[-1], ends[-2]):
        yield attached[-1]
    if head:
        yield ends[1] - 1
    if attached := _attached(messages[0], len(system)):
        yield attached[-1]
    if system:
        yield len(system) - 1


def _attached(message: Message, start: int) -> list[int]:
    """Where attached documents stand in a message whose first block is `start`. A section found for it is none."""
    return [at for at, block in enumerate(message.blocks, start=start) if block.ref.startswith(DOCUMENT_REF)]


def _turn(message: Message) -> str:
    """Which turn a message belongs to."""
    return message.blocks[-1].ref
