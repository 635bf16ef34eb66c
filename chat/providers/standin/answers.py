"""Decides what one request is answered with: content blocks, stop reason, output tokens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import counting, replies, request, summaries, thoughts
from .faults import Fault


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply ready to be sent. `output` in tokens, `thinking` those of it that were thought."""

    blocks: list[dict[str, Any]]
    stop_reason: str
    output: int
    stop_sequence: str | None = None
    thinking: int = 0


def answer(body: Mapping[str, Any], mode: summaries.Mode, fault: Fault | None) -> Answer:
    """What the stand-in says to a request that its limits let through."""
    if fault and fault.kind == "reply" and fault.blocks:
        return Answer(fault.blocks, fault.stop_reason, sum(counting.block_tokens(block) for block in fault.blocks))
    thought = thoughts.think(body)
    spent = counting.count(thought)
    text, stop_reason = _text(body, mode, fault)
    stop_sequence = None
    for sequence in body.get("stop_sequences") or []:
        if sequence in text:
            text, stop_reason, stop_sequence = text.split(sequence, 1)[0], "stop_sequence", sequence
    cut = cut_to(text, body["max_tokens"] - spent)
    if len(cut) < len(text):
        text, stop_reason = cut, "max_tokens"
    if fault and fault.kind == "stop":
        text, stop_reason = "".join(pieces(text)[: fault.after or None]), fault.stop_reason
    blocks = [{"type": "text", "text": text}] if text else []
    if thought:
        blocks.insert(0, thoughts.block(thought))
    return Answer(blocks, stop_reason, max(1, counting.count(text)) + spent, stop_sequence, spent)


def _text(body: Mapping[str, Any], mode: summaries.Mode, fault: Fault | None) -> tuple[str, str]:
    if fault and fault.kind == "reply":
        return fault.text, fault.stop_reason
    reading = request.read(body)
    if reading.purpose == "summary":
        return summaries.compose(reading, body, mode)
    if reading.purpose == "title":
        return replies.title(reading), "end_turn"
    return replies.compose(reading), "end_turn"


def cut_to(text: str, tokens: int) -> str:
    """The beginning of `text` that has at most `tokens` tokens."""
    if counting.count(text) <= tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if counting.count(text[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def pieces(text: str) -> list[str]:
    """The text in deltas of two to four words; joined they are the text again."""
    words = re.findall(r"\s*\S+|\s+", text)
    found, at, size = [], 0, 2
    while at < len(words):
        found.append("".join(words[at : at + size]))
        at, size = at + size, size % 3 + 2
    return found
