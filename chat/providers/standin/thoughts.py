"""What the stand-in thinks before it answers, when it is asked to think: about the request, and nothing else."""

import hashlib
from collections.abc import Mapping
from typing import Any

from . import request

_ASKING = ("enabled", "adaptive")
_QUOTED = 160
"""Characters of the user's words that are thought about."""


def think(body: Mapping[str, Any]) -> str:
    """The thinking for this request; "" where none is asked for."""
    asked = (body.get("thinking") or {}).get("type")
    reading = request.read(body)
    if asked not in _ASKING or reading.purpose != "reply":
        return ""
    words = " ".join(reading.words.split())[:_QUOTED]
    told = len(reading.earlier)
    return (
        f"The user writes: “{words}”\n\n"
        f"Pieces of text before that in this request: {told}. What is asked must be found in them, or it is not in the "
        "context.\n\n- Look for the words of the question.\n- Prefer what was said last.\n- Answer plainly."
    )


def block(text: str) -> dict[str, Any]:
    """The content block of a thought, with a signature as opaque as the real one."""
    return {"type": "thinking", "thinking": text, "signature": hashlib.sha256(text.encode()).hexdigest()}
