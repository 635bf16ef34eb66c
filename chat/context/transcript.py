"""Turns as messages: alternating roles, tool calls beside their results, nothing empty.

Roles alternate because a turn is a pair. A turn without an answer is folded into the next user message as a text
block of its own; an unfinished tool call is not sent, because the API refuses one without its result.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from chat.context import prompts
from chat.context.tokens import BLOCK_TOKENS, TOOL_BLOCK_TOKENS, Counter
from chat.context.values import Block, Message, Step, Turn

EMPTY_PROMPT = "(empty message)"  # the API refuses an empty block; only imports can bring one


def turn_messages(turns: Sequence[Turn], count: Callable[[str], int]) -> tuple[list[Message], list[Block]]:
    """The messages of finished turns, and the user blocks left over for the message that follows them."""
    messages: list[Message] = []
    pending: list[Block] = []
    for turn in turns:
        reply = _reply(turn, count)
        if reply:
            pending.append(_text(turn.prompt, turn, turn.prompt_tokens, count))
            messages.append(Message(role="user", blocks=tuple(pending)))
            messages += reply
            pending = []
        else:
            text = prompts.wrap_unanswered(text=turn.prompt.strip() or EMPTY_PROMPT, turn=turn.number)
            pending.append(
                Block(text=text, component="history", ref=f"turn {turn.number}", tokens=count(text) + BLOCK_TOKENS)
            )
    return messages, pending


def clamp_turn(turn: Turn, counter: Counter, most: int) -> Turn:
    """The turn with each of its texts cut to at most `most` tokens, head and tail kept around a marker."""
    marker = f"[... cut for length; the whole of turn {turn.number} is stored ...]"

    def short(text: str, tokens: int) -> tuple[str, int]:
        if max(tokens, counter.count(text)) <= most:
            return text, tokens
        cut = prompts.clamp(text=text, counter=counter, tokens=most, marker=marker)
        return cut, counter.count(cut)

    prompt, prompt_tokens = short(turn.prompt, turn.prompt_tokens)
    reply, reply_tokens = short(turn.reply, turn.reply_tokens)
    steps: list[Step] = []
    for step in turn.steps:
        if step.kind == "tool_use":  # its JSON can't be cut and stay JSON
            steps.append(step)
            continue
        body, tokens = short(step.body, step.tokens)
        steps.append(replace(step, body=body, tokens=tokens))
    return replace(
        turn,
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        reply=reply,
        reply_tokens=reply_tokens,
        steps=tuple(steps),
    )


def _text(text: str, turn: Turn, tokens: int, count: Callable[[str], int]) -> Block:
    body = text if text.strip() else EMPTY_PROMPT
    return Block(
        text=body,
        component="history",
        ref=f"turn {turn.number}",
        tokens=(tokens or count(body)) + BLOCK_TOKENS,
    )


def _reply(turn: Turn, count: Callable[[str], int]) -> list[Message]:
    """The assistant's side of a turn, and the tool results between: starts and ends with the assistant, or empty."""
    ref = f"turn {turn.number}"
    answered = {step.call_id for step in turn.steps if step.kind == "tool_result"}
    messages: list[Message] = []
    said: list[Block] = []
    results: list[Block] = []

    def flush() -> None:
        nonlocal said, results
        if said:
            messages.append(Message(role="assistant", blocks=tuple(said)))
        if results:
            messages.append(Message(role="user", blocks=tuple(results)))
        said, results = [], []

    for step in turn.steps:
        if step.kind == "tool_result":
            if not any(block.call_id == step.call_id for block in said):
                continue  # the call stands nowhere before it
            tokens = (step.tokens or count(step.body)) + TOOL_BLOCK_TOKENS
            results.append(
                Block(
                    text=step.body or "(no output)",
                    component="history",
                    ref=ref,
                    type="tool_result",
                    call_id=step.call_id,
                    is_error=step.is_error,
                    tokens=tokens,
                )
            )
            continue
        if results:
            flush()
        if step.kind == "tool_use" and step.call_id in answered:
            tokens = (step.tokens or count(step.body)) + TOOL_BLOCK_TOKENS
            said.append(
                Block(
                    text=step.body,
                    component="history",
                    ref=ref,
                    type="tool_use",
                    call_id=step.call_id,
                    name=step.name,
                    tokens=tokens,
                )
            )
        elif step.kind == "text" and step.body.strip():
            said.append(_text(step.body, turn, step.tokens, count))
    if results:
        flush()
    if turn.reply.strip():
        said.append(_text(turn.reply, turn, turn.reply_tokens, count))
    flush()
    if messages and messages[-1].role == "user":
        # A turn that was stopped between a result and the words about it: the results alone can't end a turn.
        closing = Block(text="(no reply)", component="history", ref=ref, tokens=count("(no reply)") + BLOCK_TOKENS)
        messages.append(Message(role="assistant", blocks=(closing,)))
    return messages
