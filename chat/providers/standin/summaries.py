"""The stand-in as a summariser: lossy by default, and broken on demand."""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Literal

from . import counting, language
from .request import Reading
from .statements import is_question

Mode = Literal["lossy", "blank", "garbage", "huge", "cut", "error", "slow"]

_ROLE = re.compile(
    r"^(?:\[[^\]]{0,40}\]\s*)?(?:turn\s+\d+\s*[:,-]?\s*)?(?:user|assistant|human|speaker|reply|"
    r"prompt)\s*(?:\(\d+\))?\s*[:>-]\s*",
    re.IGNORECASE,
)
_FRAME = re.compile(r"\s*(?:#|Previously in this conversation)")
_INSTRUCTION = re.compile(
    r"\b(?:summar\w+|transcript|compress\w*|sections?|headings?|instructions?|escaped)\b", re.IGNORECASE
)
_EXACT = re.compile(r"\S*\d\S*|\S+@\S+|https?://\S+")
_EDGES = ".,;:!?\"'()"
_DECISION = re.compile(r"\b(?:decided|decide|chose|choose|agreed|because|prefer\w*|instead|settled)\b", re.IGNORECASE)
_PROMISE = re.compile(
    r"\b(?:will|going to|need to|must|should|plan\w*|tomorrow|later|waiting|promise\w*)\b", re.IGNORECASE
)
_ARTEFACT = re.compile(r"\b[\w-]+\.(?:py|js|ts|md|txt|pdf|csv|xlsx?|docx?|png|jpg|json|html|sql|yaml|zip)\b")


def compose(reading: Reading, body: Mapping[str, Any], mode: Mode) -> tuple[str, str]:
    """The summary of what the request holds, and its stop reason."""
    # The transcript is by far the longest text; what stands around it are orders and facts that are kept elsewhere.
    source = max((*reading.earlier, reading.words), key=len)
    if mode == "blank":
        return "\n\n", "end_turn"
    if mode == "garbage":
        return _garbage(reading.seed), "end_turn"
    text = _lossy(source, body["max_tokens"])
    if mode == "huge":
        return f"{text}\n\n{source}\n\n{source}", "end_turn"
    if mode == "cut":
        return text[: max(1, len(text) // 2)], "max_tokens"
    return text, "end_turn"


def _lossy(source: str, max_tokens: int) -> str:
    told = "\n".join(line for line in source.splitlines() if not _FRAME.match(line))
    sentences = [_ROLE.sub("", sentence).strip() for sentence in language.sentences(told)]
    sentences = [found for found in sentences if 15 <= len(found) <= 240 and not _INSTRUCTION.search(found)]
    telling = [found for found in sentences if not is_question(found)]
    bland = [found for found in telling if not _EXACT.search(found)] or [_EXACT.sub("...", found) for found in telling]
    left = [min(max_tokens * 3 // 4, 320, max(75, counting.count(told) // 4)) - 60]
    used: set[str] = set()

    goal = _take(bland, lambda found: True, 3, left, used)
    decisions = _take(bland, lambda found: bool(_DECISION.search(found)), 2, left, used)
    promises = _take(
        [*bland, *sentences], lambda found: bool(_PROMISE.search(found)) and not _EXACT.search(found), 2, left, used
    )
    # Only the first value is kept: whoever relies on a summary for exact values must lose them here.
    parts = [part for found in telling for part in language.clauses(found) if _EXACT.search(part)]
    exact = [f'{_EXACT.findall(part)[0].strip(_EDGES)}: "{part}"' for part in parts[:1]]
    artefacts = list(dict.fromkeys(_ARTEFACT.findall(told)))[:3]
    hints = _hints(" ".join(telling))
    return "\n\n".join([
        "Previously in this conversation:",
        "## Goal and situation\n" + (" ".join(goal) or "The two of them talked; nothing was asked for in particular."),
        "## Decisions and why\n" + _listed(decisions),
        "## Commitments and open questions\n" + _listed(promises),
        "## Exact values\n" + _listed(exact),
        "## Artefacts\n" + _listed(artefacts),
        "## Lookup hints\n" + (", ".join(hints) or "none"),
    ])  # fmt: skip


def _take(sentences: list[str], wanted: Callable[[str], bool], most: int, left: list[int], used: set[str]) -> list[str]:
    chosen = [found for found in sentences if wanted(found) and found not in used]
    # Spread over the whole transcript, so that the end is not always lost.
    step = max(1, len(chosen) // most)
    kept = []
    for found in chosen[::step][:most]:
        cost = counting.count(found)
        if cost <= left[0]:
            left[0] -= cost
            used.add(found)
            kept.append(found)
    return kept


def _listed(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items) or "- none"


def _hints(text: str) -> list[str]:
    counts = Counter(word.lower() for word in re.findall(r"[A-Za-z][a-z-]{4,}", text))
    commonest = (
        word for word in sorted(counts, key=lambda word: (-counts[word], word)) if language.content_words(word)
    )
    return list(islice(commonest, 6))


def _garbage(seed: int) -> str:
    choose = random.Random(seed)
    letters = "abcdefghijklmnoprstuvwz"
    return " ".join("".join(choose.choice(letters) for _ in range(choose.randint(2, 9))) for _ in range(60))
