"""Turns as messages: alternating roles, tool calls beside their results, nothing empty.

Roles alternate because a turn is a pair. A turn without an answer is folded into the next user message as a text
block of its own; an unfinished tool call is not sent, because the API refuses one without its result.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chat.context import prompts
from chat.context.tokens import BLOCK_TOKENS, MESSAGE_TOKENS, TOOL_BLOCK_TOKENS, Counter
from chat.context.values import Block, Message, Step, Turn

Count = Callable[[str], int]
NONE: Mapping[int, Sequence[Block]] = {}

# The API refuses an empty block, and one of blank space alone.
EMPTY_MESSAGE = "(empty message)"
NO_OUTPUT = "(no output)"
NO_REPLY = "(no reply)"

LEAST_CLAMP = 16  # tokens; below it nothing is left to read


def spoken(text: str) -> str:
    """`text`, or the words that stand for none of it."""
    return text if text.strip() else EMPTY_MESSAGE


def turn_messages(
    turns: Sequence[Turn], count: Count, documents: Mapping[int, Sequence[Block]] = NONE
) -> tuple[list[Message], list[Block]]:
    """The messages of finished turns, and the user blocks left over for the message that follows them.

    `documents` stand before the words that they came with, by the number of the turn.
    """
    messages: list[Message] = []
    pending: list[Block] = []
    for turn in turns:
        pending += documents.get(turn.number, ())
        reply = _reply(turn, count)
        if reply:
            pending.append(_text(turn.prompt, turn, turn.prompt_tokens, count))
            messages.append(Message(role="user", blocks=tuple(pending)))
            messages += reply
            pending = []
        else:
            text = prompts.wrap_unanswered(text=spoken(turn.prompt), turn=turn.number)
            pending.append(_block(turn, text, count(text) + BLOCK_TOKENS))
    return messages, pending


def measured(turn: Turn, count: Count) -> Turn:
    """The turn with every token count that it lacks estimated."""
    steps = tuple(
        step if step.tokens or not step.body else replace(step, tokens=count(step.body)) for step in turn.steps
    )
    return replace(
        turn,
        prompt_tokens=turn.prompt_tokens or count(turn.prompt),
        reply_tokens=turn.reply_tokens or count(turn.reply),
        steps=steps,
    )


def cost(turn: Turn) -> int:
    """Tokens that a turn takes in a request, its frames included."""
    return turn.tokens + 2 * (MESSAGE_TOKENS + BLOCK_TOKENS) + len(turn.steps) * (TOOL_BLOCK_TOKENS + MESSAGE_TOKENS)


def stub_tools(turn: Turn, count: Count) -> Turn:
    """The turn with every tool result that a stub is shorter than replaced by that stub."""
    if not any(step.kind == "tool_result" for step in turn.steps):
        return turn

    def shorter(step: Step) -> Step:
        body = stub(turn, step, step.tokens)
        tokens = count(body)
        return replace(step, body=body, tokens=tokens) if tokens < step.tokens else step

    return replace(turn, steps=tuple(shorter(step) if step.kind == "tool_result" else step for step in turn.steps))


def stub(turn: Turn, step: Step, tokens: int) -> str:
    """The line that stands for a tool's result of so many tokens."""
    names = {one.call_id: one.name for one in turn.steps if one.kind == "tool_use"}
    name = step.name or names.get(step.call_id) or "a tool"
    return f"[the result of {name}, {tokens:,} tokens, is stored with turn {turn.number}]"


def clamp_limit(turns: Sequence[Turn], room: int, most: int) -> int:
    """Tokens that each text of `turns` may hold so that all fit `room`: `most`, or the first of its halves that does.

    Halves, so that a room that differs a little from request to request gives the same bytes.
    """
    while most > LEAST_CLAMP and sum(_clamped_cost(turn, most) for turn in turns) > room:
        most //= 2
    return max(most, LEAST_CLAMP)


def clamp_turn(turn: Turn, counter: Counter, most: int) -> Turn:
    """The turn with each of its texts cut to at most `most` tokens, head and tail kept around a marker."""
    prompt, prompt_tokens = _clamped(turn, turn.prompt, turn.prompt_tokens, counter, most)
    reply, reply_tokens = turn.reply, turn.reply_tokens
    if reply.strip():
        reply, reply_tokens = _clamped(turn, reply, reply_tokens, counter, most)
    return replace(
        turn,
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        reply=reply,
        reply_tokens=reply_tokens,
        steps=tuple(_clamped_step(turn, step, counter, most) for step in turn.steps),
    )


def clamp_results(turn: Turn, counter: Counter, most: int) -> Turn:
    """The turn with each tool result over `most` tokens cut: a single one must not push out the conversation."""
    if not any(step.kind == "tool_result" and step.tokens > most for step in turn.steps):
        return turn
    return replace(
        turn,
        steps=tuple(
            _clamped_step(turn, step, counter, most) if step.kind == "tool_result" else step for step in turn.steps
        ),
    )


def marker(turn: Turn) -> str:
    """What stands where a text of a turn was cut."""
    return f"[... cut for length; the whole of turn {turn.number} is stored ...]"


def _clamped(
    turn: Turn, text: str, tokens: int, counter: Counter, most: int, blank: str = EMPTY_MESSAGE
) -> tuple[str, int]:
    """`text` and its tokens, both cut to `most`; `blank` where nothing is left to read."""
    if tokens <= most:
        return text, tokens
    # Where the API counted more than we do, our count is too small by that factor for the rest of it, too.
    ours = counter.count(text)
    limit = min(most, ours * most // tokens)
    cut = prompts.clamp(text=text, counter=counter, tokens=limit, marker=marker(turn))
    cut = cut if cut.strip() else blank
    return cut, min(most, max(1, counter.count(cut) * max(tokens, ours) // ours))


def _clamped_step(turn: Turn, step: Step, counter: Counter, most: int) -> Step:
    if step.tokens <= most:
        return step
    if step.kind == "tool_use":  # JSON that is cut is no JSON any more
        body = cut_call(turn)
        return replace(step, body=body, tokens=counter.count(body))
    blank = NO_OUTPUT if step.kind == "tool_result" else EMPTY_MESSAGE
    body, tokens = _clamped(turn, step.body, step.tokens, counter, most, blank)
    return replace(step, body=body, tokens=tokens)


def cut_call(turn: Turn) -> str:
    """What stands for a tool's call that was too long."""
    return json.dumps({"cut": marker(turn)})


def _clamped_cost(turn: Turn, most: int) -> int:
    texts = (turn.prompt_tokens, turn.reply_tokens, *(step.tokens for step in turn.steps))
    return cost(turn) - turn.tokens + sum(min(tokens, most) for tokens in texts)


def _block(turn: Turn, text: str, tokens: int) -> Block:
    component = "pins" if turn.pinned else "history"
    return Block(text=text, component=component, ref=f"turn {turn.number}", tokens=tokens)


def _text(text: str, turn: Turn, tokens: int, count: Count) -> Block:
    body = spoken(text)
    return _block(turn, body, (tokens or count(body)) + BLOCK_TOKENS)


def _reply(turn: Turn, count: Count) -> list[Message]:
    """The assistant's side of a turn with the tool results between: from assistant to assistant, or empty.

    Results follow their calls at once and all together, whatever the order in which they arrived: the API wants
    every call of a message answered in the next.
    """
    results = {step.call_id: step for step in reversed(turn.steps) if step.kind == "tool_result"}
    messages: list[Message] = []
    said: list[Block] = []
    calls: list[str] = []

    def answer() -> None:
        """End the assistant's message, and answer its calls."""
        nonlocal said, calls
        if said:
            messages.append(Message(role="assistant", blocks=tuple(said)))
        if calls:
            answers = tuple(_result(results.pop(call), turn, count) for call in calls)
            messages.append(Message(role="user", blocks=answers))
        said, calls = [], []

    for step in turn.steps:
        if step.kind == "tool_use":
            if step.call_id and step.call_id in results and step.call_id not in calls:
                said.append(_call(step, turn, count))
                calls.append(step.call_id)
        elif calls:
            answer()
        if step.kind == "text" and step.body.strip():
            said.append(_text(step.body, turn, step.tokens, count))
    if calls:
        answer()
    if turn.reply.strip():
        said.append(_text(turn.reply, turn, turn.reply_tokens, count))
    elif messages and not said:
        # Stopped between a result and the words about it: a result alone can't end a turn.
        said.append(_block(turn, NO_REPLY, count(NO_REPLY) + BLOCK_TOKENS))
    answer()
    return messages


def step_block(turn: Turn, step: Step, body: str, tokens: int = 0) -> Block:
    """A step as a block: `body`, which is the step's own or what was left of it, as the API takes it."""
    if step.kind == "tool_use":
        block = _block(turn, _input(body), tokens)
        return replace(block, type="tool_use", call_id=step.call_id, name=step.name or "tool")
    if step.kind == "tool_result":
        block = _block(turn, body if body.strip() else NO_OUTPUT, tokens)
        return replace(block, type="tool_result", call_id=step.call_id, is_error=step.is_error)
    return _block(turn, spoken(body), tokens)


def _call(step: Step, turn: Turn, count: Count) -> Block:
    return step_block(turn, step, step.body, (step.tokens or count(step.body)) + TOOL_BLOCK_TOKENS)


def _result(step: Step, turn: Turn, count: Count) -> Block:
    body = step.body if step.body.strip() else NO_OUTPUT
    return step_block(turn, step, body, (step.tokens or count(body)) + TOOL_BLOCK_TOKENS)


def _input(body: str) -> str:
    """The JSON object of a call's input; what isn't one (a call cut short, an import) becomes the text of one."""
    if not body.strip():
        return "{}"
    try:
        known = isinstance(json.loads(body, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        known = False
    return body if known else json.dumps({"text": body}, ensure_ascii=False)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON.")
