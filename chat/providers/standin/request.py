"""Reads a request as a model would: who said what, what is asked now, and what the call is for."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Purpose = Literal["reply", "summary", "title"]
SUMMARISER = "You compress conversations"
"""The words by which a summarising request is known: they open its system prompt."""
_TITLER = re.compile(
    r"\b(?:write|give|make|create|generate|choose|suggest|name|find)\b[^.]{0,80}\btitles?\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply is made from.

    `words` are the user's own words now. `earlier` holds the other text of the messages, newest first: the turns
    before, then whatever was put ahead of the words (facts, recalled text, documents). `seed` is the same for the
    same request.
    """

    purpose: Purpose
    words: str
    earlier: tuple[str, ...]
    first: bool
    seed: int


def read(body: Mapping[str, Any]) -> Reading:
    """Read a request that the limits have let through. The system prompt is no statement of anybody's."""
    messages = [(message["role"], texts(message["content"])) for message in body["messages"]]
    at = next((i for i in range(len(messages) - 1, -1, -1) if messages[i][0] == "user" and messages[i][1]), None)
    words, ahead = "", []
    if at is not None:
        *ahead, words = messages[at][1]
    before = [text for i in range(len(messages) - 1, -1, -1) if i != at for text in reversed(messages[i][1])]
    digest = hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).digest()
    return Reading(
        purpose=purpose(body),
        words=words,
        earlier=(*before, *reversed(ahead)),
        first=len(messages) == 1,
        seed=int.from_bytes(digest[:8], "big"),
    )


def purpose(body: Mapping[str, Any]) -> Purpose:
    """What the call is for, by its system prompt."""
    system = " ".join(texts(body.get("system") or []))
    if SUMMARISER in system:
        return "summary"
    if _TITLER.search(system.split(". ")[0][:300]):
        return "title"
    return "reply"


def texts(content: Any) -> list[str]:
    """The texts of a message's or a system prompt's content, in order; those of tool results too."""
    if isinstance(content, str):
        return [content] if content.strip() else []
    found = []
    for block in content:
        if block.get("type") == "text":
            found.append(block["text"])
        elif block.get("type") == "tool_result":
            found += texts(block.get("content") or [])
    return found
