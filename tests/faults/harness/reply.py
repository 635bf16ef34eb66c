"""One reply as a page has it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Reply:
    """One reply as this page has it. `end` is the server's counter."""

    turn: int
    epoch: int = 0
    text: str = ""
    end: int = 0
    done: dict[str, Any] | None = None
    first_at: float | None = None
    done_at: float | None = None
    resets: int = 0
    epochs: list[int] = field(default_factory=list)
