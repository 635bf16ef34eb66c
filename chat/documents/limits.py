"""How much of a file is read. Loaded by the child, too: the standard library only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`characters` of text and `pages` that are kept; `memory` in bytes and `seconds` that reading may take."""

    characters: int
    pages: int
    memory: int
    seconds: float
